package teamstest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// server listens for the tenant. Its listener can be taken away and put back
// on the same port, which is how a tenant refuses connections.
type server struct {
	http *http.Server
	tls  *tls.Config
	addr string

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]struct{}
	serving  sync.WaitGroup
}

func newServer(addr string, ca *authority, handler http.Handler) (*server, error) {
	s := &server{
		tls:   &tls.Config{Certificates: []tls.Certificate{ca.leaf}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}},
		addr:  addr,
		conns: map[net.Conn]struct{}{},
	}
	// HTTP/1.1 only: a fault can then cut one answer by closing its connection.
	s.http = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
		ConnState:         s.track,
	}
	if err := s.listen(); err != nil {
		return nil, err
	}
	s.addr = s.listener.Addr().String()
	return s, nil
}

func (s *server) track(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		s.conns[c] = struct{}{}
	case http.StateClosed, http.StateHijacked:
		delete(s.conns, c)
	}
}

// listen takes the port, without serving yet.
func (s *server) listen() error {
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listener = tls.NewListener(l, s.tls)
	return nil
}

// serve accepts connections until the listener is closed.
func (s *server) serve() {
	s.mu.Lock()
	l := s.listener
	s.mu.Unlock()
	s.serving.Go(func() { _ = s.http.Serve(l) }) // ends with net.ErrClosed or ErrServerClosed
}

// refuse closes the port and every connection. accept puts it back.
func (s *server) refuse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return
	}
	_ = s.listener.Close()
	s.listener = nil
	for c := range s.conns {
		_ = c.Close()
	}
}

// accept takes the same port again after refuse.
func (s *server) accept() error {
	s.mu.Lock()
	open := s.listener != nil
	s.mu.Unlock()
	if open {
		return nil
	}
	if err := s.listen(); err != nil {
		return err
	}
	s.serve()
	return nil
}

func (s *server) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close() // a handler hangs on purpose
	}
	s.mu.Lock()
	if s.listener != nil {
		_ = s.listener.Close()
		s.listener = nil
	}
	s.mu.Unlock()
	s.serving.Wait()
	if err != nil {
		return fmt.Errorf("stop server: %w", err)
	}
	return nil
}

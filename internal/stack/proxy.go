package stack

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

// Proxy stands between the bridge and the homeserver and writes down what is
// asked, so that a test can say how many requests something cost.
type Proxy struct {
	server *http.Server
	addr   string
	done   chan struct{}

	mu       sync.Mutex
	requests []ProxiedRequest
}

// ProxiedRequest is one request of the bridge to the homeserver.
type ProxiedRequest struct {
	At           time.Time
	Method, Path string
}

// newProxy forwards to the target from a port of its own.
func newProxy(target string) (*Proxy, error) {
	to, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("parse the homeserver's address: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the homeserver proxy: %w", err)
	}
	forward := httputil.NewSingleHostReverseProxy(to)
	forward.Transport = &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
	// A homeserver that is away is a refused connection to the bridge, not a 502.
	forward.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	p := &Proxy{addr: listener.Addr().String(), done: make(chan struct{})}
	p.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.requests = append(p.requests, ProxiedRequest{At: time.Now(), Method: r.Method, Path: r.URL.Path})
		p.mu.Unlock()
		forward.ServeHTTP(w, r)
	})}
	go func() {
		defer close(p.done)
		_ = p.server.Serve(listener)
	}()
	return p, nil
}

// URL is the address that the bridge uses as the homeserver's.
func (p *Proxy) URL() string { return "http://" + p.addr }

// Requests returns what was asked since the last Reset.
func (p *Proxy) Requests() []ProxiedRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]ProxiedRequest(nil), p.requests...)
}

// Reset forgets the requests so far.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = nil
}

func (p *Proxy) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if p.server.Shutdown(ctx) != nil {
		_ = p.server.Close()
	}
	<-p.done
}

package teams

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/net/netutil"
)

// Limits of listeners, which face the internet.
const (
	listenerHeaderTimeout = 5 * time.Second
	listenerReadTimeout   = 10 * time.Second
	listenerWriteTimeout  = 15 * time.Second
	listenerIdleTimeout   = 2 * time.Minute
	listenerStopTimeout   = 5 * time.Second
	listenerMaxHeader     = 16 << 10
	listenerMaxConns      = 256
)

// ListenerOptions configures Listen.
type ListenerOptions struct {
	// Name is for what it listens, which errors and the log say.
	Name string
	// Address is where to listen, such as ":29330".
	Address string
	// Paths are served by Handler; everything else is not found.
	Paths   []string
	Handler http.Handler
	// WriteTimeout bounds one request with its answer, 0 for 15 seconds.
	WriteTimeout time.Duration
	// TLS is nil behind a proxy that ends TLS.
	TLS    *tls.Config
	Logger zerolog.Logger
}

// Listener is an HTTP server of its own for one purpose, so that nothing else
// is exposed with it. It listens from Listen on and
// answers while Serve runs.
type Listener struct {
	name   string
	ln     net.Listener
	server *http.Server
}

// Listen opens the port, so that a wrong address is an error at start.
func Listen(ctx context.Context, opts ListenerOptions) (*Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", opts.Address)
	if err != nil {
		return nil, fmt.Errorf("%s listener: %w", opts.Name, err)
	}
	ln = netutil.LimitListener(ln, listenerMaxConns)
	if opts.TLS != nil {
		ln = tls.NewListener(ln, opts.TLS)
	}
	mux := http.NewServeMux()
	for _, path := range opts.Paths {
		mux.Handle(path, opts.Handler)
	}
	write := opts.WriteTimeout
	if write == 0 {
		write = listenerWriteTimeout
	}
	return &Listener{name: opts.Name, ln: ln, server: &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: listenerHeaderTimeout,
		ReadTimeout:       listenerReadTimeout,
		WriteTimeout:      write,
		IdleTimeout:       listenerIdleTimeout,
		MaxHeaderBytes:    listenerMaxHeader,
		ErrorLog:          log.New(opts.Logger.With().Str("component", opts.Name+" listener").Logger(), "", 0),
	}}, nil
}

// Addr returns the address that is listened on.
func (l *Listener) Addr() net.Addr { return l.ln.Addr() }

// Serve answers requests until ctx ends, then lets those that run finish.
func (l *Listener) Serve(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() { failed <- l.server.Serve(l.ln) }()
	select {
	case err := <-failed:
		return fmt.Errorf("%s listener: %w", l.name, err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), listenerStopTimeout)
	defer cancel()
	err := l.server.Shutdown(stop)
	if err != nil {
		err = errors.Join(err, l.server.Close())
	}
	<-failed
	return err
}

// Close stops a listener that is not going to be served.
func (l *Listener) Close() error { return l.ln.Close() }

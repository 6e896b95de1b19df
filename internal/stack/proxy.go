package stack

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// Proxy stands in one direction between the bridge and the homeserver. It
// writes down what is asked, so that a test can say how many requests something
// cost, and fails requests on demand.
type Proxy struct {
	server *http.Server
	addr   string
	done   chan struct{}
	target atomic.Pointer[url.URL]
	// forward has no timeout of its own: /sync waits long.
	forward *httputil.ReverseProxy

	mu       sync.Mutex
	requests []ProxiedRequest
	counted  int
	faults   func(r *http.Request) ProxyFault
	tap      func(r *http.Request) func(body []byte)
	// conns are those that are open, to be cut.
	conns map[net.Conn]struct{}
}

// ProxiedRequest is one request that passed.
type ProxiedRequest struct {
	At           time.Time
	Method, Path string
}

// ProxyFault is what becomes of a request.
type ProxyFault int

const (
	// ProxyPass lets the request pass.
	ProxyPass ProxyFault = iota
	// ProxyRefuse cuts the connection before anything was forwarded.
	ProxyRefuse
	// ProxyLose forwards the request and cuts the connection in place of the answer.
	ProxyLose
	// ProxyTwice forwards the request twice, one after the other, and passes the
	// second answer.
	ProxyTwice
	// ProxySwallow answers 200 with an empty object, and forwards nothing: who
	// asks believes that it was heard.
	ProxySwallow
)

// proxyLog bounds what is remembered of requests; long runs make millions.
const proxyLog = 100_000

// newProxy listens on a port of its own; aim says where it forwards to.
func newProxy() (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for a proxy: %w", err)
	}
	p := &Proxy{addr: listener.Addr().String(), done: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	p.forward = &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(p.target.Load()) },
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
		ModifyResponse: func(resp *http.Response) error {
			if heard, ok := resp.Request.Context().Value(tapKey{}).(func()); ok && resp.StatusCode < 300 {
				heard()
			}
			return nil
		},
		// One that is away is a cut connection to the other, not a 502.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	p.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: p, ConnState: p.track}
	go func() {
		defer close(p.done)
		_ = p.server.Serve(listener)
	}()
	return p, nil
}

// aim sets where the proxy forwards to.
func (p *Proxy) aim(target string) error {
	to, err := url.Parse(target)
	if err != nil {
		return fmt.Errorf("parse the address to forward to: %w", err)
	}
	p.target.Store(to)
	return nil
}

// tapKey is the context key of what is called when a request has succeeded.
type tapKey struct{}

// Tap asks choose about every request that is forwarded. What it returns, which
// may be nil, gets the request's body once the request has been answered with
// success, also where the answer is lost on its way.
func (p *Proxy) Tap(choose func(r *http.Request) func(body []byte)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tap = choose
}

// tapped returns the request with a note of who wants to have its body.
func (p *Proxy) tapped(r *http.Request) *http.Request {
	p.mu.Lock()
	choose := p.tap
	p.mu.Unlock()
	if choose == nil {
		return r
	}
	hear := choose(r)
	if hear == nil {
		return r
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r = r.WithContext(context.WithValue(r.Context(), tapKey{}, func() { hear(body) }))
	r.Body = io.NopCloser(bytes.NewReader(body))
	return r
}

// ServeHTTP forwards a request, or fails it.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fault := p.note(r)
	if fault != ProxyRefuse && fault != ProxySwallow {
		r = p.tapped(r)
	}
	switch fault {
	case ProxyRefuse:
		panic(http.ErrAbortHandler)
	case ProxyLose:
		p.forward.ServeHTTP(discard{http.Header{}}, r)
		panic(http.ErrAbortHandler)
	case ProxySwallow:
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "{}")
		return
	case ProxyTwice:
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		first := r.Clone(r.Context())
		first.Body, r.Body = io.NopCloser(bytes.NewReader(body)), io.NopCloser(bytes.NewReader(body))
		p.forward.ServeHTTP(discard{http.Header{}}, first)
	}
	p.forward.ServeHTTP(w, r)
}

func (p *Proxy) note(r *http.Request) ProxyFault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counted++
	if len(p.requests) < proxyLog {
		p.requests = append(p.requests, ProxiedRequest{At: time.Now(), Method: r.Method, Path: r.URL.Path})
	}
	if p.faults == nil {
		return ProxyPass
	}
	return p.faults(r)
}

// Fail asks choose about every request, one at a time, until it is nil again.
func (p *Proxy) Fail(choose func(r *http.Request) ProxyFault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = choose
}

// Cut closes every open connection and refuses all requests until Fail is
// called again, as a network that is gone does.
func (p *Proxy) Cut() {
	p.Fail(func(*http.Request) ProxyFault { return ProxyRefuse })
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close()
	}
}

func (p *Proxy) track(conn net.Conn, state http.ConnState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch state {
	case http.StateNew:
		p.conns[conn] = struct{}{}
	case http.StateClosed, http.StateHijacked:
		delete(p.conns, conn)
	}
}

// URL is the proxy's address.
func (p *Proxy) URL() string { return "http://" + p.addr }

// Requests returns what was asked since the last Reset, the first 100,000.
func (p *Proxy) Requests() []ProxiedRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]ProxiedRequest(nil), p.requests...)
}

// Count is how many requests there were since the last Reset.
func (p *Proxy) Count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counted
}

// Reset forgets the requests so far.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests, p.counted = nil, 0
}

func (p *Proxy) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if p.server.Shutdown(ctx) != nil {
		_ = p.server.Close()
	}
	<-p.done
}

// discard is where an answer goes that nobody gets.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

package teams

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
)

// HTTPMetrics counts what the HTTP stack does. Labels are operations of a
// fixed set ("GET channel messages"), never ids.
type HTTPMetrics interface {
	// GraphRequest is called after each attempt; status is 0 without an answer.
	GraphRequest(op string, status int, took time.Duration)
	// GraphWaited is called when a request was held back by the limiter.
	GraphWaited(op string, waited time.Duration)
	// GraphPaused is called when an answer made the limiter pause.
	GraphPaused(op string, pause time.Duration, announced bool)
}

// HTTPOptions configures NewHTTPClient.
type HTTPOptions struct {
	// Endpoints are the only places that requests go to.
	Endpoints Endpoints
	// Proxy is a proxy URL (network.proxy); empty means the environment's.
	Proxy string
	// CAFile has PEM certificates to trust besides the system's (network.ca_file).
	CAFile string
	// Limiter is shared by all clients; nil makes one of its own.
	Limiter *Limiter
	// Timeout bounds one attempt from connecting to the answer's last byte,
	// not the wait for the limiter (0 means 60 seconds).
	Timeout time.Duration
	// Attempts bounds how often a GET is sent (0 means 4). Writes are sent once.
	Attempts int
	// UserAgent names the bridge and its version.
	UserAgent string
	Metrics   HTTPMetrics
	// Observer may be nil.
	Observer HTTPObserver
	Logger   zerolog.Logger
	// Leash, where it is set, makes the connections, on top of the usual way.
	Leash func(next func(ctx context.Context, network, address string) (net.Conn, error)) func(ctx context.Context, network, address string) (net.Conn, error)
	// Transport replaces the network in tests; Proxy and CAFile are then unused.
	Transport http.RoundTripper
}

// Bounds of request and answer bodies.
const (
	maxRequestBody = 8 << 20
	maxErrorBody   = 1 << 20
)

// NewHTTPClient returns the one HTTP client that Graph and the sign-in service
// are called with. From outside to inside: host check, limiter, deadline,
// network; answers of Graph that are not a success come back as *Error (except
// a 401 with a claims challenge, which the Graph library answers itself),
// those of the sign-in service as they are. Redirects are never followed.
func NewHTTPClient(o HTTPOptions) (*http.Client, error) {
	transport := o.Transport
	traced := false
	if transport == nil {
		t, err := NewTransport(o.Proxy, o.CAFile)
		if err != nil {
			return nil, err
		}
		if o.Leash != nil {
			t.DialContext = o.Leash(t.DialContext)
		}
		transport, traced = t, true
	}
	s := &stack{opts: o, next: transport, traced: traced, limiter: o.Limiter}
	if s.limiter == nil {
		s.limiter = NewLimiter(LimiterOptions{})
	}
	if s.opts.Timeout <= 0 {
		s.opts.Timeout = time.Minute
	}
	if s.opts.Attempts <= 0 {
		s.opts.Attempts = 4
	}
	if s.opts.UserAgent == "" {
		s.opts.UserAgent = "teamsbridge"
	}
	return &http.Client{
		Transport:     s,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// NewTransport is the network way out that an operator has set: through a proxy,
// where one is named, and trusting the authorities of a file beside the system's.
// It keeps none of Graph's rules; what goes to Graph goes through NewHTTPClient.
func NewTransport(proxy, caFile string) (*http.Transport, error) {
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          100,
		MaxIdleConnsPerHost:   32,
		MaxConnsPerHost:       128,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   15 * time.Second,
		ExpectContinueTimeout: time.Second,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
		// A connection that died silently must not hold every request on it
		// until its deadline.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
	}
	if proxy != "" {
		u, err := url.Parse(proxy)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5") {
			return nil, errors.New("network.proxy: must be an http, https or socks5 URL")
		}
		t.Proxy = http.ProxyURL(u)
	}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("network.ca_file: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, errors.New("network.ca_file: has no PEM certificate")
		}
		t.TLSClientConfig.RootCAs = pool
	}
	return t, nil
}

// stack is the RoundTripper described at NewHTTPClient.
type stack struct {
	opts    HTTPOptions
	next    http.RoundTripper
	traced  bool // next reports connections through httptrace
	limiter *Limiter
}

// RoundTrip implements http.RoundTripper.
func (s *stack) RoundTrip(req *http.Request) (*http.Response, error) {
	c, err := s.admit(req)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	body, err := readRequest(c, req)
	if err != nil {
		return nil, err
	}
	for n := 1; ; n++ {
		asked := time.Now()
		if err := s.turn(req.Context(), c); err != nil {
			return nil, err
		}
		if waited := time.Since(asked); s.opts.Metrics != nil && waited > time.Millisecond {
			s.opts.Metrics.GraphWaited(c.op, waited)
		}
		resp, failed := s.attempt(req, c, body)
		if failed == nil {
			return resp, nil
		}
		if n >= s.opts.Attempts || !repeatable(c, failed) || req.Context().Err() != nil {
			return nil, failed
		}
		if failed.Kind != KindThrottled {
			// The limiter knows how long to hold back after a 429; other
			// failures get a delay of their own.
			if err := sleep(req.Context(), backoff(n, 500*time.Millisecond, 10*time.Second)); err != nil {
				return nil, failed
			}
		}
	}
}

// promptly is how long BeforeSend's function may take without the request losing
// its place in the limits.
const promptly = 100 * time.Millisecond

// turn returns when the request may be sent.
func (s *stack) turn(ctx context.Context, c call) error {
	if err := s.limiter.wait(ctx, c); err != nil || !c.write || c.login || ctx.Value(ctxBeforeSend) == nil {
		return err
	}
	began := time.Now()
	if err := AboutToSend(ctx); err != nil {
		return &Error{Op: c.op, Kind: KindUnknown, Unsent: true, Err: err}
	}
	if time.Since(began) < promptly && !s.limiter.paused(c) {
		return nil
	}
	return s.limiter.wait(ctx, c)
}

// admit classifies a request, or refuses it for where it goes.
func (s *stack) admit(req *http.Request) (call, error) {
	if req.Context().Value(ctxFile) != nil {
		return s.admitFile(req)
	}
	toGraph := s.opts.Endpoints.AllowsToken(req.URL)
	login := s.opts.Endpoints.IsLogin(req.URL) && !(toGraph && s.opts.Endpoints.isGraphPath(req.URL))
	authorized := req.Header.Get("Authorization") != ""
	if !toGraph && (!login || authorized) {
		return call{}, &Error{Op: req.Method + " foreign host", Kind: KindForeignHost,
			Hint: "requests go to the configured Graph and sign-in hosts only (network.cloud, network.endpoints)"}
	}
	if login {
		return call{op: "sign-in", row: "sign-in", write: req.Method != http.MethodGet, login: true}, nil
	}
	c := classify(req.Method, req.URL)
	c.user, _ = req.Context().Value(ctxAccount).(string)
	return c, nil
}

func readRequest(c call, req *http.Request) ([]byte, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return nil, nil
	}
	defer closeBody(req)
	var buf bytes.Buffer
	if req.ContentLength > 0 && req.ContentLength <= maxRequestBody {
		buf.Grow(int(req.ContentLength) + bytes.MinRead)
	}
	_, err := buf.ReadFrom(io.LimitReader(req.Body, maxRequestBody+1))
	body := buf.Bytes()
	if err != nil {
		return nil, &Error{Op: c.op, Kind: KindUnknown, Err: err}
	}
	if len(body) > maxRequestBody {
		return nil, &Error{Op: c.op, Kind: KindTooLarge, Hint: "the request is larger than Graph takes"}
	}
	return body, nil
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// attempt sends the request once. Exactly one of its results is set.
func (s *stack) attempt(req *http.Request, c call, body []byte) (*http.Response, *Error) {
	ctx, cancel, touch := s.bound(req.Context(), c)
	var reached atomic.Bool
	reached.Store(!s.traced)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { reached.Store(true) },
	})
	out := s.prepare(req.Clone(ctx), body)
	started := time.Now()
	defer s.watchSlow(c)()
	resp, err := s.next.RoundTrip(out)
	if err != nil {
		cancel()
		s.observe(c, 0, "", time.Since(started))
		failed := transportError(c, err, reached.Load())
		if req.Context().Err() != nil {
			failed = canceled(c, req.Context().Err(), reached.Load())
		}
		s.judge(req.Context(), c, 0, failed, started)
		return nil, failed
	}
	resp.Request = req
	if resp.StatusCode < 300 && req.Context().Value(ctxStream) != nil {
		s.observe(c, resp.StatusCode, requestID(resp.Header), time.Since(started))
		s.report(c, started, resp, 0)
		s.judge(req.Context(), c, resp.StatusCode, nil, started)
		resp.Body = &streamBody{ReadCloser: resp.Body, call: c, cancel: cancel, touch: touch, left: bodyLimit(ctx)}
		return resp, nil
	}
	defer cancel()
	failed := s.finish(ctx, c, resp)
	s.observe(c, resp.StatusCode, requestID(resp.Header), time.Since(started))
	var announced time.Duration
	if failed != nil {
		announced = failed.RetryAfter
	}
	s.report(c, started, resp, announced)
	s.judge(req.Context(), c, resp.StatusCode, failed, started)
	if failed != nil {
		if req.Context().Err() != nil && failed.Status < 300 {
			failed.Err = req.Context().Err()
		}
		return nil, failed
	}
	return resp, nil
}

func (s *stack) prepare(out *http.Request, body []byte) *http.Request {
	out.Body, out.GetBody, out.ContentLength = http.NoBody, nil, 0
	if body != nil {
		// A length instead of chunks; and GetBody lets the transport use
		// another connection where it knows that nothing was sent on this one.
		out.Body = io.NopCloser(bytes.NewReader(body))
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		out.ContentLength = int64(len(body))
	}
	out.Header.Set("User-Agent", s.opts.UserAgent)
	if out.Header.Get("client-request-id") == "" {
		out.Header.Set("client-request-id", uuid.NewString())
	}
	return out
}

// finish reads the answer; what is not a success of Graph becomes an *Error.
func (s *stack) finish(ctx context.Context, c call, resp *http.Response) *Error {
	limit := bodyLimit(ctx)
	if resp.StatusCode >= 300 {
		limit = maxErrorBody
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	_ = resp.Body.Close()
	if resp.StatusCode >= 300 && !c.login {
		if challenged(resp) {
			resp.Body = io.NopCloser(bytes.NewReader(body))
			return nil
		}
		// An error answer that broke off still has its status.
		return answerError(c, resp, body)
	}
	if err != nil {
		e := transportError(c, fmt.Errorf("the answer broke off: %w", err), true)
		e.Status, e.RequestID = resp.StatusCode, requestID(resp.Header)
		return e
	}
	if int64(len(body)) > limit {
		return tooLarge(c, resp.StatusCode)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	return nil
}

func tooLarge(c call, status int) *Error {
	return &Error{Op: c.op, Kind: KindBadRequest, Status: status, Code: "ResponseTooLarge", Ambiguous: c.write && !c.login}
}

func (s *stack) report(c call, started time.Time, resp *http.Response, announced time.Duration) {
	throttled := resp.StatusCode == http.StatusTooManyRequests
	if c.login && resp.StatusCode >= 400 {
		announced = retryAfter(resp.Header, nil, time.Now())
	}
	if resp.StatusCode < 400 {
		announced = 0
	}
	pause := s.limiter.report(c, started, throttled, announced)
	if !throttled && announced == 0 {
		return
	}
	s.opts.Logger.Warn().Str("op", c.op).Int("status", resp.StatusCode).Dur("pause", pause).
		Bool("announced", announced > 0).Msg("Graph told us to slow down")
	if s.opts.Metrics != nil {
		s.opts.Metrics.GraphPaused(c.op, pause, announced > 0)
	}
}

func (s *stack) observe(c call, status int, id string, took time.Duration) {
	s.opts.Logger.Debug().Str("op", c.op).Int("status", status).Str("request_id", id).Dur("took", took).Msg("Graph request")
	if s.opts.Metrics != nil {
		s.opts.Metrics.GraphRequest(c.op, status, took)
	}
}

// challenged reports whether the Graph library can answer a 401 with a new
// token: exactly what it can take apart, with anything else it would panic.
func challenged(resp *http.Response) bool {
	const scheme = "Bearer "
	v := resp.Header.Get("WWW-Authenticate")
	if resp.StatusCode != http.StatusUnauthorized || len(v) < len(scheme) || !strings.EqualFold(v[:len(scheme)], scheme) {
		return false
	}
	for p := range strings.SplitSeq(v[len(scheme):], ",") {
		if p = strings.Trim(p, " "); strings.HasPrefix(p, "claims") {
			value, ok := strings.CutPrefix(p, `claims="`)
			return ok && len(value) > 1 && strings.IndexByte(value, '"') == len(value)-1
		}
	}
	return false
}

package teams

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

// graphServer is a real HTTPS server with a CA file of its own.
type graphServer struct {
	*httptest.Server
	endpoints Endpoints
	caFile    string
	hits      atomic.Int64
}

func newGraphServer(t *testing.T, h http.HandlerFunc) *graphServer {
	t.Helper()
	g := &graphServer{}
	g.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.hits.Add(1)
		h(w, r)
	}))
	g.Config.ErrorLog = log.New(io.Discard, "", 0)
	g.EnableHTTP2 = true
	g.StartTLS()
	t.Cleanup(g.Close)
	g.caFile = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: g.Certificate().Raw})
	require.NoError(t, os.WriteFile(g.caFile, block, 0o600))
	var err error
	g.endpoints, err = ResolveEndpoints("global", g.URL, g.URL, nil)
	require.NoError(t, err)
	return g
}

func (g *graphServer) client(t *testing.T, change ...func(*HTTPOptions)) *http.Client {
	t.Helper()
	o := HTTPOptions{Endpoints: g.endpoints, CAFile: g.caFile, Limiter: NewLimiter(LimiterOptions{Disabled: true}),
		Timeout: 10 * time.Second, Logger: zerolog.Nop()}
	for _, f := range change {
		f(&o)
	}
	c, err := NewHTTPClient(o)
	require.NoError(t, err)
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func do(t *testing.T, c *http.Client, method, rawURL string, headers ...string) (*http.Response, error) {
	t.Helper()
	var body io.Reader
	if method != http.MethodGet {
		body = strings.NewReader(`{"a":1}`)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, rawURL, body)
	require.NoError(t, err)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return c.Do(req)
}

func typedError(t *testing.T, err error) *Error {
	t.Helper()
	var e *Error
	require.ErrorAs(t, err, &e)
	return e
}

func TestAnswersBecomeTypedErrors(t *testing.T) {
	type want struct {
		kind      Kind
		ambiguous bool // of a POST
		attempts  int64
	}
	cases := []struct {
		status int
		body   string
		header string
		want   want
	}{
		{400, `{"error":{"code":"BadRequest","message":"no"}}`, "", want{KindBadRequest, false, 1}},
		{400, `{"error":{"code":"syncStateNotFound"}}`, "", want{KindGone, false, 1}},
		{401, `{"error":{"code":"InvalidAuthenticationToken"}}`, "", want{KindSignInExpired, false, 1}},
		{401, ``, `Bearer realm="", claims=x`, want{KindSignInExpired, false, 1}},
		{402, ``, "", want{KindPermission, false, 1}},
		{403, `{"error":{"code":"Forbidden"}}`, "", want{KindPermission, false, 1}},
		{404, `<html>`, "", want{KindNotFound, false, 1}},
		{408, ``, "", want{KindUnavailable, true, 1}},
		{409, ``, "", want{KindConflict, false, 1}},
		{410, `{"error":{"code":"resyncRequired"}}`, "", want{KindGone, false, 1}},
		{412, `{"error":{"code":"PreconditionFailed"}}`, "", want{KindPrecondition, false, 1}},
		{413, ``, "", want{KindTooLarge, false, 1}},
		{418, `{"error":3}`, "", want{KindBadRequest, false, 1}},
		{429, ``, "", want{KindThrottled, false, 2}},
		{500, `{}`, "", want{KindUnavailable, true, 1}},
		{501, ``, "", want{KindBadRequest, false, 1}},
		{502, `{"error":{"code":"BadGateway"}}`, "", want{KindUnavailable, true, 2}},
		{503, `<html>down</html>`, "", want{KindUnavailable, true, 2}},
		{504, ``, "", want{KindUnavailable, true, 2}},
		{302, ``, "", want{KindUnknown, false, 1}},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%d %s", c.status, c.body), func(t *testing.T) {
			g := newGraphServer(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("request-id", "req-1")
				w.Header().Set("Location", "https://elsewhere.example/")
				if c.header != "" {
					w.Header().Set("WWW-Authenticate", c.header)
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			client := g.client(t, func(o *HTTPOptions) { o.Attempts = 2 })
			_, err := do(t, client, "GET", g.endpoints.Root()+"/teams/T/channels/C/messages")
			e := typedError(t, err)
			require.Equal(t, c.want.kind, e.Kind)
			require.Equal(t, c.status, e.Status)
			require.Equal(t, "req-1", e.RequestID)
			require.False(t, e.Ambiguous)
			require.Equal(t, e.Kind == KindPermission, e.Hint != "" && strings.Contains(e.Hint, "permission"))
			require.Equal(t, e.Kind == KindGone, e.Location != "")
			require.Equal(t, c.want.attempts, g.hits.Load())

			client = g.client(t, func(o *HTTPOptions) { o.Attempts = 2 })
			_, err = do(t, client, "POST", g.endpoints.Root()+"/teams/T/channels/C/messages")
			require.Equal(t, c.want.kind, KindOf(err))
			require.Equal(t, c.want.ambiguous, IsAmbiguous(err))
			require.Equal(t, c.want.attempts+1, g.hits.Load(), "a write is sent once")
		})
	}
}

// claims challenges are answered by the Graph library with a new token.
func TestClaimsChallengePassesThrough(t *testing.T) {
	g := newGraphServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="", error="insufficient_claims", claims="eyJhIjoxfQ=="`)
		w.WriteHeader(401)
	})
	resp, err := do(t, g.client(t), "GET", g.endpoints.Root()+"/teams")
	require.NoError(t, err)
	require.Equal(t, 401, resp.StatusCode)
}

func TestReadsAreRepeated(t *testing.T) {
	var n atomic.Int64
	g := newGraphServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch n.Add(1) {
		case 1:
			w.WriteHeader(503)
		case 2:
			cut(w)
		default:
			_, _ = io.WriteString(w, `{"value":[]}`)
		}
	})
	resp, err := do(t, g.client(t), "GET", g.endpoints.Root()+"/teams")
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.JSONEq(t, `{"value":[]}`, string(body))
	require.EqualValues(t, 3, n.Load())
}

// cut promises more than it sends.
func cut(w http.ResponseWriter) {
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, `{"id":"1"`)
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func TestWritesAreSentOnceAndSayWhatIsKnown(t *testing.T) {
	t.Run("the answer breaks off", func(t *testing.T) {
		g := newGraphServer(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(201)
			_, _ = io.WriteString(w, `{"id`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
		_, err := do(t, g.client(t), "POST", g.endpoints.Root()+postA)
		e := typedError(t, err)
		require.True(t, e.Ambiguous)
		require.Equal(t, 201, e.Status, "it was accepted; only its id is unknown")
		require.EqualValues(t, 1, g.hits.Load())
	})
	t.Run("no answer", func(t *testing.T) {
		g := newGraphServer(t, func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) })
		_, err := do(t, g.client(t), "POST", g.endpoints.Root()+postA)
		require.Equal(t, KindUnavailable, KindOf(err))
		require.True(t, IsAmbiguous(err))
		require.EqualValues(t, 1, g.hits.Load())
	})
	t.Run("deadline", func(t *testing.T) {
		release := make(chan struct{})
		g := newGraphServer(t, func(w http.ResponseWriter, r *http.Request) { <-release })
		defer close(release)
		_, err := do(t, g.client(t, func(o *HTTPOptions) { o.Timeout = 100 * time.Millisecond }), "POST", g.endpoints.Root()+postA)
		require.Equal(t, KindUnavailable, KindOf(err))
		require.True(t, IsAmbiguous(err))
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
	t.Run("the caller gives up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		release := make(chan struct{})
		g := newGraphServer(t, func(w http.ResponseWriter, r *http.Request) { cancel(); <-release })
		defer close(release)
		req, err := http.NewRequestWithContext(ctx, "POST", g.endpoints.Root()+postA, strings.NewReader("{}"))
		require.NoError(t, err)
		_, err = g.client(t).Do(req)
		require.ErrorIs(t, err, context.Canceled)
		require.True(t, IsAmbiguous(err))
	})
	t.Run("connection refused", func(t *testing.T) {
		g := newGraphServer(t, func(http.ResponseWriter, *http.Request) {})
		client := g.client(t)
		g.Close()
		_, err := do(t, client, "POST", g.endpoints.Root()+postA)
		require.Equal(t, KindUnavailable, KindOf(err))
		require.False(t, IsAmbiguous(err), "nothing was sent")
	})
	t.Run("foreign certificate", func(t *testing.T) {
		g := newGraphServer(t, func(http.ResponseWriter, *http.Request) {})
		_, err := do(t, g.client(t, func(o *HTTPOptions) { o.CAFile = "" }), "POST", g.endpoints.Root()+postA)
		require.Equal(t, KindUnavailable, KindOf(err))
		require.False(t, IsAmbiguous(err))
		require.Zero(t, g.hits.Load())
	})
	t.Run("a connection that is used again", func(t *testing.T) {
		var mu sync.Mutex
		var bodies []string
		g := newGraphServer(t, func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			mu.Lock()
			bodies = append(bodies, fmt.Sprint(r.ContentLength, " ", string(b)))
			mu.Unlock()
		})
		client := g.client(t)
		for range 3 {
			_, err := do(t, client, "POST", g.endpoints.Root()+postA)
			require.NoError(t, err)
		}
		require.Equal(t, []string{`7 {"a":1}`, `7 {"a":1}`, `7 {"a":1}`}, bodies)
	})
}

// A token must never leave for another host, whoever asks for it.
func TestTokenStaysOnAllowedHosts(t *testing.T) {
	var leaked atomic.Int64
	foreign := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { leaked.Add(1) }))
	defer foreign.Close()
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { leaked.Add(1) }))
	defer plain.Close()
	g := newGraphServer(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, foreign.URL+"/v1.0/teams", http.StatusTemporaryRedirect)
	})
	client := g.client(t)
	for _, target := range []string{foreign.URL + "/v1.0/teams", plain.URL, "http://graph.example/v1.0/teams",
		strings.Replace(g.URL, "https://", "http://graph.evil.example#", 1), strings.Replace(g.URL, "127.0.0.1", "localhost", 1)} {
		_, err := do(t, client, "GET", target, "Authorization", "Bearer secret")
		require.Equal(t, KindForeignHost, KindOf(err), target)
		_, err = do(t, client, "GET", target)
		require.Equal(t, KindForeignHost, KindOf(err), target)
	}
	_, err := do(t, client, "GET", g.endpoints.Root()+"/teams", "Authorization", "Bearer secret")
	require.Equal(t, 307, typedError(t, err).Status, "redirects are not followed")

	// Even a client that follows them does not get through.
	following := &http.Client{Transport: redirecting{client.Transport}}
	_, err = do(t, following, "GET", g.endpoints.Root()+"/teams", "Authorization", "Bearer secret")
	require.Error(t, err)
	require.Equal(t, KindForeignHost, KindOf(err))
	require.Zero(t, leaked.Load())

	// Sign-in gets requests, but no access token.
	e := g.endpoints
	e.Login, e.Graph, e.Hosts = g.URL, "https://graph.example", []string{"graph.example"}
	client = g.client(t, func(o *HTTPOptions) { o.Endpoints = e })
	_, err = do(t, client, "POST", g.URL+"/t/oauth2/v2.0/token", "Authorization", "Bearer secret")
	require.Equal(t, KindForeignHost, KindOf(err))
	resp, err := do(t, client, "POST", g.URL+"/t/oauth2/v2.0/token")
	require.NoError(t, err)
	require.Equal(t, 307, resp.StatusCode)
}

// redirecting turns the typed error of a redirect back into the redirect.
type redirecting struct{ next http.RoundTripper }

func (r redirecting) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.next.RoundTrip(req)
	if e, ok := err.(*Error); ok && e.Status == 307 {
		u, _ := url.Parse("https://127.0.0.1:1/v1.0/teams")
		return &http.Response{StatusCode: 307, Header: http.Header{"Location": {u.String()}}, Body: http.NoBody, Request: req}, nil
	}
	return resp, err
}

func TestBodiesAreBounded(t *testing.T) {
	g := newGraphServer(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(make([]byte, 3000))
	})
	client := g.client(t)
	get := func(ctx context.Context) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, "GET", g.endpoints.Root()+"/teams", nil)
		require.NoError(t, err)
		return client.Do(req)
	}
	_, err := get(WithBodyLimit(t.Context(), 2999))
	require.Equal(t, "ResponseTooLarge", typedError(t, err).Code)
	_, err = get(WithBodyLimit(t.Context(), 3000))
	require.NoError(t, err)

	resp, err := get(WithStream(WithBodyLimit(t.Context(), 2999)))
	require.NoError(t, err)
	_, err = io.ReadAll(resp.Body)
	require.Equal(t, "ResponseTooLarge", typedError(t, err).Code)
	require.NoError(t, resp.Body.Close())
	resp, err = get(WithStream(WithBodyLimit(t.Context(), 3000)))
	require.NoError(t, err)
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Len(t, data, 3000)
	require.NoError(t, resp.Body.Close())

	req, err := http.NewRequestWithContext(t.Context(), "POST", g.endpoints.Root()+postA, strings.NewReader(strings.Repeat("x", maxRequestBody+1)))
	require.NoError(t, err)
	_, err = client.Do(req)
	require.Equal(t, KindTooLarge, KindOf(err))
}

type countingMetrics struct {
	requests, waits, pauses atomic.Int64
	op                      atomic.Value
}

func (m *countingMetrics) GraphRequest(op string, status int, took time.Duration) {
	m.requests.Add(1)
	m.op.Store(op)
}
func (m *countingMetrics) GraphWaited(string, time.Duration)       { m.waits.Add(1) }
func (m *countingMetrics) GraphPaused(string, time.Duration, bool) { m.pauses.Add(1) }

func TestMetricsAndHeaders(t *testing.T) {
	var n atomic.Int64
	g := newGraphServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("User-Agent") != "teamsbridge/1" || r.Header.Get("client-request-id") == "" {
			w.WriteHeader(400)
			return
		}
		if n.Add(1) == 1 {
			w.Header().Set("Retry-After", "0.2")
			w.WriteHeader(429)
		}
	})
	m := &countingMetrics{}
	client := g.client(t, func(o *HTTPOptions) { o.Metrics = m; o.UserAgent = "teamsbridge/1" })
	_, err := do(t, client, "GET", g.endpoints.Root()+"/teams/T/channels/C/messages")
	require.NoError(t, err)
	require.EqualValues(t, 2, m.requests.Load())
	require.EqualValues(t, 1, m.waits.Load())
	require.EqualValues(t, 1, m.pauses.Load())
	require.Equal(t, "GET channel messages", m.op.Load())
}

func TestProxy(t *testing.T) {
	g := newGraphServer(t, func(w http.ResponseWriter, r *http.Request) {})
	var connects atomic.Int64
	refuse := atomic.Bool{}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connects.Add(1)
		if refuse.Load() || r.Method != http.MethodConnect {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		up, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(502)
			return
		}
		down, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(down, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(up, down); _ = up.Close() }()
		go func() { _, _ = io.Copy(down, up); _ = down.Close() }()
	}))
	defer proxy.Close()
	client := g.client(t, func(o *HTTPOptions) { o.Proxy = proxy.URL })
	_, err := do(t, client, "GET", g.endpoints.Root()+"/teams")
	require.NoError(t, err)
	require.EqualValues(t, 1, connects.Load())
	refuse.Store(true)
	client = g.client(t, func(o *HTTPOptions) { o.Proxy = proxy.URL; o.Attempts = 1 })
	_, err = do(t, client, "POST", g.endpoints.Root()+postA)
	require.Equal(t, KindUnavailable, KindOf(err))
	require.False(t, IsAmbiguous(err))
}

func TestHTTPOptionsNameTheSetting(t *testing.T) {
	e, err := Cloud("global")
	require.NoError(t, err)
	empty := filepath.Join(t.TempDir(), "empty.pem")
	require.NoError(t, os.WriteFile(empty, []byte("nothing"), 0o600))
	for setting, o := range map[string]HTTPOptions{
		"network.proxy":   {Endpoints: e, Proxy: "proxy.example:3128"},
		"network.ca_file": {Endpoints: e, CAFile: filepath.Join(t.TempDir(), "missing.pem")},
	} {
		_, err := NewHTTPClient(o)
		require.ErrorContains(t, err, setting)
	}
	_, err = NewHTTPClient(HTTPOptions{Endpoints: e, CAFile: empty})
	require.ErrorContains(t, err, "network.ca_file")
}

func TestRetryAfterValues(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 10, 500e6, time.UTC)
	for _, c := range []struct {
		header, date, body string
		want               time.Duration
	}{
		{"5", "", "", 5 * time.Second},
		{" 1.5 ", "", "", 1500 * time.Millisecond},
		{"-1", "", "", 0},
		{"NaN", "", "", 0},
		{"1e30", "", "", maxAnnounced},
		{"soon", "", "", 0},
		{"Thu, 01 Jan 2026 00:00:20 GMT", "", "", 9500 * time.Millisecond},
		{"Thu, 01 Jan 2026 00:00:20 GMT", "Thu, 01 Jan 2026 00:00:15 GMT", "", 5 * time.Second},
		{"Thu, 01 Jan 2025 00:00:20 GMT", "", "", 0},
		{"", "", `{"error":{"retryAfterSeconds":7}}`, 7 * time.Second},
		{"", "", `{"error":{"innerError":{"retryAfterSeconds":"8"}}}`, 8 * time.Second},
		{"", "", `{"error":`, 0},
	} {
		h := http.Header{}
		if c.header != "" {
			h.Set("Retry-After", c.header)
		}
		if c.date != "" {
			h.Set("Date", c.date)
		}
		require.Equal(t, c.want, retryAfter(h, []byte(c.body), now), "%+v", c)
	}
}

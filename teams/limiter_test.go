package teams

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

// fakeGraph is a transport without a network, so that limits can be tested on
// a virtual clock.
type fakeGraph struct {
	mu     sync.Mutex
	sent   []sentRequest
	answer func(n int, r *http.Request) *http.Response
}

type sentRequest struct {
	at           time.Time
	method, path string
}

func (f *fakeGraph) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	n := len(f.sent)
	f.sent = append(f.sent, sentRequest{time.Now(), r.Method, r.URL.Path})
	f.mu.Unlock()
	resp := f.answer(n, r)
	resp.Request = r
	return resp, nil
}

func (f *fakeGraph) times() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []time.Time
	for _, s := range f.sent {
		out = append(out, s.at)
	}
	return out
}

func reply(status int, body string, headers ...string) *http.Response {
	h := http.Header{}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func fakeClient(t *testing.T, f *fakeGraph, l *Limiter) *http.Client {
	t.Helper()
	e, err := Cloud("global")
	require.NoError(t, err)
	c, err := NewHTTPClient(HTTPOptions{Endpoints: e, Limiter: l, Transport: f, Logger: zerolog.Nop()})
	require.NoError(t, err)
	return c
}

func request(t *testing.T, ctx context.Context, c *http.Client, method, path string) error {
	t.Helper()
	var body io.Reader
	if method != http.MethodGet {
		body = strings.NewReader(`{}`)
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://graph.microsoft.com/v1.0"+path, body)
	require.NoError(t, err)
	resp, err := c.Do(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	return err
}

func ok(int, *http.Request) *http.Response { return reply(200, `{}`) }

const (
	postA = "/teams/T/channels/A/messages"
	postB = "/teams/T/channels/B/messages"
)

// A client that is told to wait must hold back all callers of the scope until
// the announced time is over, and must not do so with other operations.
func TestRetryAfterHoldsAllCallers(t *testing.T) {
	for name, announce := range map[string]func(now time.Time) *http.Response{
		"seconds": func(time.Time) *http.Response { return reply(429, ``, "Retry-After", "30") },
		"date": func(now time.Time) *http.Response {
			return reply(429, ``, "Retry-After", now.UTC().Add(30*time.Second).Format(http.TimeFormat), "Date", now.UTC().Format(http.TimeFormat))
		},
		"date without the service's clock": func(now time.Time) *http.Response {
			return reply(429, ``, "Retry-After", now.UTC().Add(31*time.Second).Format(http.TimeFormat))
		},
		"in the body": func(time.Time) *http.Response {
			return reply(429, `{"error":{"code":"TooManyRequests","retryAfterSeconds":30}}`)
		},
		"with a 503": func(time.Time) *http.Response { return reply(503, ``, "Retry-After", "30") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var over time.Time
				f := &fakeGraph{}
				f.answer = func(n int, r *http.Request) *http.Response {
					if n == 0 {
						over = time.Now().Add(30 * time.Second)
						return announce(time.Now())
					}
					return reply(200, `{}`)
				}
				c := fakeClient(t, f, NewLimiter(LimiterOptions{}))
				err := request(t, t.Context(), c, "POST", postA)
				require.Error(t, err)
				require.GreaterOrEqual(t, RetryAfter(err), 29*time.Second)

				var wg sync.WaitGroup
				for i := range 20 {
					path := []string{postA, postB}[i%2]
					wg.Go(func() { require.NoError(t, request(t, t.Context(), c, "POST", path)) })
				}
				require.NoError(t, request(t, t.Context(), c, "GET", "/teams/T"))
				require.True(t, time.Now().Before(over), "another operation is not held back")
				wg.Wait()
				sent := f.sent
				require.Len(t, sent, 22)
				require.Equal(t, "/v1.0/teams/T", sent[1].path)
				perChannel := map[string]time.Time{}
				for _, s := range sent[2:] {
					require.False(t, s.at.Before(over), "%s sent %s before the announced time was over", s.path, over.Sub(s.at))
					if last, ok := perChannel[s.path]; ok {
						require.GreaterOrEqual(t, s.at.Sub(last), time.Second, "the pause's end is no excuse for a burst")
					}
					perChannel[s.path] = s.at
				}
			})
		})
	}
}

func TestPauseReachesThoseAlreadyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var over time.Time
		f := &fakeGraph{}
		f.answer = func(n int, r *http.Request) *http.Response {
			if n == 0 {
				time.Sleep(500 * time.Millisecond)
				over = time.Now().Add(20 * time.Second)
				return reply(429, ``, "Retry-After", "20")
			}
			return reply(200, `{}`)
		}
		c := fakeClient(t, f, NewLimiter(LimiterOptions{}))
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { _ = request(t, t.Context(), c, "POST", postA) })
		}
		wg.Wait()
		for _, at := range f.times()[1:] {
			require.False(t, at.Before(over))
		}
	})
}

func TestLongPauseFailsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeGraph{answer: func(n int, r *http.Request) *http.Response { return reply(429, ``, "Retry-After", "600") }}
		c := fakeClient(t, f, NewLimiter(LimiterOptions{}))
		begin := time.Now()
		err := request(t, t.Context(), c, "GET", postA)
		require.Equal(t, KindThrottled, KindOf(err))
		err = request(t, t.Context(), c, "GET", postB)
		require.Equal(t, KindThrottled, KindOf(err))
		require.Equal(t, 600*time.Second, RetryAfter(err))
		require.Zero(t, time.Since(begin))
		require.Len(t, f.sent, 1, "nothing is sent in a paused scope")
	})
}

func TestRefusalWithoutAnnouncementBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeGraph{}
		f.answer = func(n int, r *http.Request) *http.Response {
			if n < 3 {
				return reply(429, ``)
			}
			return reply(200, `{}`)
		}
		c := fakeClient(t, f, NewLimiter(LimiterOptions{}))
		require.NoError(t, request(t, t.Context(), c, "GET", postA))
		at := f.times()
		require.Len(t, at, 4)
		for i, least := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second} {
			gap := at[i+1].Sub(at[i])
			require.GreaterOrEqual(t, gap, least)
			require.LessOrEqual(t, gap, 2*least+1300*time.Millisecond)
		}
	})
}

func TestRefusalsUnderWayTogetherCountOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(LimiterOptions{})
		c := call{op: "x", row: "messages", resource: "A"}
		sent := time.Now()
		time.Sleep(time.Millisecond)
		for range 20 {
			require.LessOrEqual(t, l.report(c, sent, true, 0), time.Second)
		}
		time.Sleep(2 * time.Second)
		require.Greater(t, l.report(c, time.Now().Add(-time.Millisecond), true, 0), 900*time.Millisecond)
		l.report(c, time.Now().Add(time.Millisecond), false, 0)
		for _, b := range l.buckets {
			require.Zero(t, b.strikes, "a success ends the series")
		}
	})
}

// In no second may more be sent than the documented number.
func TestDocumentedRates(t *testing.T) {
	for _, c := range []struct {
		name, method string
		path         func(i int) string
		account      bool
		n, limit     int
		atLeast      float64 // requests per second that must be reached
	}{
		{"one channel", "POST", func(int) string { return postA }, false, 20, 1, 0.8},
		{"one user", "POST", func(i int) string { return "/teams/T/channels/C" + string(rune('a'+i)) + "/messages" }, true, 20, 1, 0.8},
		{"the tenant", "GET", func(i int) string { return "/teams/T/channels/C" + strings.Repeat("x", i) + "/messages" }, false, 200, 20, 16},
		{"export", "GET", func(int) string { return "/teams/T/channels/getAllMessages()" }, false, 1000, 200, 160},
		{"a team's members", "GET", func(int) string { return "/teams/T/members" }, false, 40, 4, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeGraph{answer: ok}
				client := fakeClient(t, f, NewLimiter(LimiterOptions{}))
				ctx := t.Context()
				if c.account {
					ctx = WithAccount(ctx, "u1")
				}
				begin := time.Now()
				var wg sync.WaitGroup
				for i := range c.n {
					wg.Go(func() { require.NoError(t, request(t, ctx, client, c.method, c.path(i))) })
				}
				wg.Wait()
				at := f.times()
				for i := range at {
					inSecond := 0
					for _, other := range at[i:] {
						if other.Sub(at[i]) < time.Second {
							inSecond++
						}
					}
					require.LessOrEqual(t, inSecond, c.limit)
				}
				require.GreaterOrEqual(t, float64(c.n)/max(time.Since(begin).Seconds(), 0.001), c.atLeast)
			})
		})
	}
}

// A busy channel must not hold up the others, and who came first goes first.
func TestFairness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeGraph{answer: ok}
		c := fakeClient(t, f, NewLimiter(LimiterOptions{}))
		var (
			wg    sync.WaitGroup
			mu    sync.Mutex
			order []int
		)
		for i := range 30 {
			wg.Go(func() {
				require.NoError(t, request(t, t.Context(), c, "POST", postA))
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
			})
			synctest.Wait()
		}
		begin := time.Now()
		require.NoError(t, request(t, t.Context(), c, "POST", postB))
		require.Less(t, time.Since(begin), time.Second)
		wg.Wait()
		for i, got := range order {
			require.Equal(t, i, got)
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeGraph{answer: ok}
		l := NewLimiter(LimiterOptions{MaxQueue: 5 * time.Second})
		c := fakeClient(t, f, l)
		l.report(classify("POST", mustURL(t, "https://graph.microsoft.com/v1.0"+postA)), time.Now(), true, 50*time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		err := request(t, ctx, c, "POST", postA)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.False(t, IsAmbiguous(err), "nothing was sent")
		err = request(t, t.Context(), c, "POST", postA)
		require.Equal(t, KindThrottled, KindOf(err), "the queue is bounded too")
		ctx, stop := context.WithCancel(t.Context())
		stop()
		require.ErrorIs(t, request(t, ctx, c, "POST", postA), context.Canceled)
		require.Empty(t, f.sent)
	})
}

func TestLimiterForgetsIdleScopes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(LimiterOptions{Disabled: true})
		for i := range maxBuckets + 10 {
			require.NoError(t, l.wait(t.Context(), call{row: "messages", resource: time.Duration(i).String()}))
		}
		require.Greater(t, len(l.buckets), maxBuckets)
		time.Sleep(2 * time.Second)
		require.NoError(t, l.wait(t.Context(), call{row: "messages", resource: "another"}))
		require.Less(t, len(l.buckets), 100)
	})
}

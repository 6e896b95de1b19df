package teams

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

type recordingObserver struct {
	mu       sync.Mutex
	attempts []Attempt
	slow     atomic.Int32
}

func (r *recordingObserver) GraphAttempt(a Attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts = append(r.attempts, a)
}
func (r *recordingObserver) GraphSlow(string) { r.slow.Add(1) }

func (r *recordingObserver) take() []Attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.attempts
	r.attempts = nil
	return taken
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// observed makes a client whose network is the function.
func observed(t *testing.T, network roundTripFunc) (*http.Client, *recordingObserver, Endpoints) {
	t.Helper()
	endpoints, err := Cloud("global")
	require.NoError(t, err)
	o := &recordingObserver{}
	client, err := NewHTTPClient(HTTPOptions{Endpoints: endpoints, Transport: network, Observer: o})
	require.NoError(t, err)
	return client, o, endpoints
}

func answer(status int, header ...string) *http.Response {
	resp := &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody}
	for i := 0; i+1 < len(header); i += 2 {
		resp.Header.Set(header[i], header[i+1])
	}
	return resp
}

func TestAttemptsSayWhatTheyWereAbout(t *testing.T) {
	var reply func() (*http.Response, error)
	client, o, endpoints := observed(t, func(*http.Request) (*http.Response, error) { return reply() })
	request := func(ctx context.Context, method, url string) Attempt {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader("{}"))
		require.NoError(t, err)
		if resp, err := client.Do(req); err == nil {
			require.NoError(t, resp.Body.Close())
		}
		taken := o.take()
		require.NotEmpty(t, taken)
		return taken[0]
	}
	reply = func() (*http.Response, error) { return answer(200), nil }
	channel := endpoints.Root() + "/teams/T/channels/C/messages"
	require.Equal(t, Attempt{Op: "GET channel messages", Scope: "C", Status: 200}, request(t.Context(), "GET", channel))
	require.Equal(t, Attempt{Op: "POST channel message", Scope: "C", Write: true, Account: "ada", Status: 200},
		request(WithAccount(t.Context(), "ada"), "POST", channel))
	require.Equal(t, Attempt{Op: "GET team messages export", Scope: "T", Status: 200},
		request(t.Context(), "GET", endpoints.Root()+"/teams/T/channels/getAllMessages"))
	require.Equal(t, Attempt{Op: "GET organization", Status: 200}, request(t.Context(), "GET", endpoints.Root()+"/organization"))
	require.Equal(t, Attempt{Op: "sign-in", SignIn: true, Status: 200}, request(t.Context(), "POST", endpoints.TokenURL("T")))
	require.Equal(t, Attempt{Op: "sign-in", SignIn: true, Status: 200}, request(t.Context(), "GET", endpoints.ConfigurationURL("T")))

	reply = func() (*http.Response, error) { return answer(400), nil }
	a := request(t.Context(), "POST", endpoints.TokenURL("T"))
	require.Nil(t, a.Err, "answers of the sign-in service are for who asked")
	require.Equal(t, 400, a.Status)
	reply = func() (*http.Response, error) { return answer(429, "Retry-After", "40"), nil }
	a = request(t.Context(), "POST", channel)
	require.Equal(t, KindThrottled, a.Err.Kind)
	require.Equal(t, 40*time.Second, a.Pause)
}

func TestSlowRequestsAreReportedBeforeTheyEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, o, endpoints := observed(t, func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		// its caller's patience ends before ours, but late enough to count
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			req, err := http.NewRequestWithContext(ctx, "POST", endpoints.Root()+"/teams/T/channels/C/messages", nil)
			if err == nil {
				_, err = client.Do(req)
			}
			require.Error(t, err)
		}()
		time.Sleep(slowAfter - time.Second)
		require.Zero(t, o.slow.Load())
		time.Sleep(2 * time.Second)
		require.EqualValues(t, 1, o.slow.Load())
		require.Empty(t, o.take())
		<-done
		taken := o.take()
		require.Len(t, taken, 1)
		require.Equal(t, KindUnavailable, taken[0].Err.Kind)
	})
}

// Who gives up says nothing about the service.
func TestCallersWhoGiveUpAreNotReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, o, endpoints := observed(t, func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		get := func(ctx context.Context) {
			req, err := http.NewRequestWithContext(ctx, "GET", endpoints.Root()+"/organization", nil)
			require.NoError(t, err)
			_, err = client.Do(req)
			require.Error(t, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		get(ctx)
		cancel()
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(20*time.Second, cancel)
		get(ctx)
		require.Empty(t, o.take())
	})
}

package stack

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProxyFaults(t *testing.T) {
	var served atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	}))
	defer server.Close()
	p, err := newProxy()
	require.NoError(t, err)
	defer p.close()
	require.NoError(t, p.aim(server.URL))

	var heard []string
	p.Tap(func(r *http.Request) func([]byte) {
		if r.URL.Path != "/x" {
			return nil
		}
		return func(body []byte) { heard = append(heard, string(body)) }
	})
	put := func() (string, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, p.URL()+"/x", strings.NewReader("body"))
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return "", err
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		return string(body), err
	}
	for _, test := range []struct {
		fault  ProxyFault
		served int32
		fails  bool
	}{{ProxyPass, 1, false}, {ProxyRefuse, 0, true}, {ProxyLose, 1, true}, {ProxyTwice, 2, false}} {
		served.Store(0)
		p.Fail(func(*http.Request) ProxyFault { return test.fault })
		body, err := put()
		require.Equal(t, test.fails, err != nil, "fault %d: %v", test.fault, err)
		if !test.fails {
			require.Equal(t, "body", body)
		}
		require.Equal(t, test.served, served.Load(), "fault %d", test.fault)
	}
	p.Fail(nil)
	_, err = put()
	require.NoError(t, err)
	require.Equal(t, 5, p.Count())
	require.Len(t, p.Requests(), 5)
	require.Len(t, heard, 5, "of what was forwarded, each answer")
	require.Equal(t, "body", heard[4])
	p.Reset()
	require.Zero(t, p.Count())
}

// Cut ends requests that wait for their answer, as /sync does for long.
func TestProxyCut(t *testing.T) {
	arrived := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	}))
	defer server.Close()
	p, err := newProxy()
	require.NoError(t, err)
	defer p.close()
	require.NoError(t, p.aim(server.URL))
	failed := make(chan error, 1)
	go func() {
		resp, err := http.Get(p.URL() + "/sync")
		if err == nil {
			_ = resp.Body.Close()
		}
		failed <- err
	}()
	<-arrived
	p.Cut()
	select {
	case err := <-failed:
		require.Error(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("the request goes on")
	}
}

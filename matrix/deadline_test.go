package matrix

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// drip gives a byte a minute.
type drip struct {
	ctx  context.Context
	left int
}

func (d *drip) Read(p []byte) (int, error) {
	if d.left == 0 {
		return 0, io.EOF
	}
	select {
	case <-time.After(time.Minute):
		d.left--
		p[0] = 'x'
		return 1, nil
	case <-d.ctx.Done():
		return 0, context.Cause(d.ctx)
	}
}

func (d *drip) Close() error { return nil }

// A file may take hours while its bytes flow; anything else, and a file that
// stands still, ends in time.
func TestDeadlines(t *testing.T) {
	const media, other = "https://hs.example/_matrix/client/v1/media/download/a/b", "https://hs.example/_matrix/client/v3/sync"
	ask := func(t *testing.T, url string, serve roundTrip) (string, error) {
		client := &http.Client{Timeout: 3 * time.Minute, Transport: serve}
		bound(client)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, io.NopCloser(strings.NewReader("body")))
		require.NoError(t, err)
		resp, err := client.Do(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		return string(got), err
	}
	answers := func(minutes int) roundTrip {
		return func(req *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: &drip{req.Context(), minutes}}, nil
		}
	}
	silent := func(req *http.Request) (*http.Response, error) {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	takes := func(minutes int) roundTrip {
		return func(req *http.Request) (*http.Response, error) {
			for range minutes {
				if _, err := (&drip{req.Context(), 1}).Read(make([]byte, 1)); err != nil {
					return nil, err
				}
				_, _ = req.Body.Read(make([]byte, 1))
			}
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		}
	}
	synctest.Test(t, func(t *testing.T) {
		got, err := ask(t, media, answers(120))
		require.NoError(t, err)
		require.Len(t, got, 120)
		_, err = ask(t, other, answers(120))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = ask(t, media, silent)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = ask(t, media, takes(4))
		require.NoError(t, err, "the file is on its way")
		_, err = ask(t, other, takes(4))
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

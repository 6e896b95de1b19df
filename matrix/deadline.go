package matrix

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// deadlines bounds requests to the homeserver in the way that fits them. The
// framework's client gives every request three minutes, a file of any size too.
// Here a file's bytes may take any time as long as they flow.
type deadlines struct {
	next http.RoundTripper
	// limit is how long a request may take, and how long one with a file's bytes
	// may stand still.
	limit time.Duration
}

// bound replaces a client's deadline.
func bound(client *http.Client) {
	if client.Timeout <= 0 {
		return
	}
	next := client.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	client.Transport, client.Timeout = &deadlines{next: next, limit: client.Timeout}, 0
}

// RoundTrip implements http.RoundTripper.
func (d *deadlines) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	timer := time.AfterFunc(d.limit, func() {
		cancel(fmt.Errorf("the homeserver took longer than %s: %w", d.limit, context.DeadlineExceeded))
	})
	touch := func() {}
	if isMedia(req) {
		touch = func() { timer.Reset(d.limit) }
	}
	done := func() {
		timer.Stop()
		cancel(nil)
	}
	out := req.Clone(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		out.Body = &watchedBody{ReadCloser: req.Body, touch: touch, done: func() {}}
	}
	resp, err := d.next.RoundTrip(out)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && req.Context().Err() == nil {
			err = cause
		}
		done()
		return nil, err
	}
	resp.Body = &watchedBody{ReadCloser: resp.Body, touch: touch, done: done}
	return resp, nil
}

// isMedia reports whether a request carries a file, or asks for one.
func isMedia(req *http.Request) bool {
	path := req.URL.Path
	return strings.HasPrefix(path, "/_matrix/media/") || strings.HasPrefix(path, "/_matrix/client/v1/media/")
}

// watchedBody tells when bytes came, and when nobody wants more.
type watchedBody struct {
	io.ReadCloser
	touch, done func()
}

// Read implements io.Reader.
func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.touch()
	}
	return n, err
}

// Close implements io.Closer.
func (b *watchedBody) Close() error {
	defer b.done()
	return b.ReadCloser.Close()
}

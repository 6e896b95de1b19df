package teams

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const foreignFileHint = "files go to and come from the cloud's SharePoint hosts only (network.cloud, network.endpoints.files)"

// withFile marks a request as one that goes to an address which Graph has given
// out for a file's bytes. Such an address is its own proof: a token never goes
// there.
func withFile(ctx context.Context) context.Context {
	return context.WithValue(ctx, ctxFile, true)
}

// admitFile lets a request for a file's bytes through, or refuses it for where
// it goes.
func (s *stack) admitFile(req *http.Request) (call, error) {
	if req.Header.Get("Authorization") != "" || !s.opts.Endpoints.AllowsFile(req.URL) {
		return call{}, &Error{Op: req.Method + " file content", Kind: KindForeignHost, Hint: foreignFileHint}
	}
	return call{op: req.Method + " file content", row: rowFileContent, write: req.Method != http.MethodGet, file: true}, nil
}

// AllowsFile reports whether a file's bytes may go to u or come from it: a host
// of the cloud's SharePoint, or one that is configured for it.
func (e Endpoints) AllowsFile(u *url.URL) bool {
	if u == nil || u.User != nil || u.Scheme != "https" && !(u.Scheme == "http" && e.plain() && isLoopback(u.Hostname())) {
		return false
	}
	return slices.ContainsFunc(e.Files, func(host string) bool {
		if domain, ok := strings.CutPrefix(host, "*."); ok {
			name, ok := strings.CutSuffix(strings.ToLower(u.Hostname()), "."+domain)
			return ok && name != "" && (u.Port() == "" || u.Port() == "443")
		}
		return sameHost(u, host)
	})
}

// bound returns the context of an attempt. It ends when the request has taken
// too long; a file's bytes may take any time as long as they flow, and touch is
// to be called when some came.
func (s *stack) bound(ctx context.Context, c call) (_ context.Context, done context.CancelFunc, touch func()) {
	if !c.file {
		ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
		return ctx, cancel, func() {}
	}
	patience := s.opts.Timeout
	if c.write {
		patience = 5 * patience // a range goes out whole before anything comes back
	}
	ctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(patience, cancel)
	stop := func() {
		timer.Stop()
		cancel()
	}
	return ctx, stop, func() { timer.Reset(patience) }
}

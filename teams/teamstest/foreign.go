package teamstest

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// OpForeign is a request to the foreign host.
const OpForeign Op = "foreign"

// foreign is a host that is not Graph: message content may name it, and no
// token must ever reach it. It shares the tenant's authority, and nothing else.
type foreign struct {
	mu     sync.Mutex
	server *server
	url    string
}

// ForeignURL is the origin of a host that is not Graph's, with another name
// and another port than the tenant's. Every path of it answers with a small
// picture; a request that carries an Authorization header is a violation. The
// host listens from the first call on.
func (t *Tenant) ForeignURL() (string, error) {
	f := &t.edge.foreign
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.server != nil {
		return f.url, nil
	}
	s, err := newServer("127.0.0.1:0", t.ca, http.HandlerFunc(t.edge.serveForeign))
	if err != nil {
		return "", err
	}
	s.serve()
	// The tenant's certificate is valid for both names.
	host := "localhost"
	if u, err := url.Parse(t.url); err == nil && u.Hostname() == host {
		host = "127.0.0.1"
	}
	f.server, f.url = s, "https://"+host+s.addr[strings.LastIndex(s.addr, ":"):]
	return f.url, nil
}

func (e *edgeState) serveForeign(w http.ResponseWriter, r *http.Request) {
	x := &exchange{t: e.t, r: r, op: OpForeign, path: r.URL.Path, received: e.t.clock.Now()}
	if r.Header.Get("Authorization") != "" {
		e.violate(x, ViolationTokenLeak, r.Host)
	}
	resp := &response{status: http.StatusOK, header: http.Header{"Content-Type": {"image/png"}}, body: onePixel()}
	e.record(x, traceOf(x), resp, false)
	resp.writeTo(w)
}

func (f *foreign) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.server != nil {
		_ = f.server.close() // it holds nothing
	}
}

// onePixel is the smallest picture.
func onePixel() []byte {
	return []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89" +
		"\x00\x00\x00\rIDATx\x9cc\xf8\xff\xff?\x00\x05\xfe\x02\xfe\xa75\x81\x84\x00\x00\x00\x00IEND\xaeB`\x82")
}

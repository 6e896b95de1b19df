package demopage

import (
	"crypto/subtle"
	"encoding/json"
	"net"
	"net/http"
	"strings"
)

// tokenHeader carries the token that the page was served with. A page of
// another site can neither read it nor send the header without being asked for
// permission first, which it does not get.
const tokenHeader = "X-Demo-Token"

// policy is what the page may load and do: its own files, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// guard refuses what another site may have sent through somebody's browser.
func (p *Page) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		switch {
		case !p.named(r.Host):
			// A foreign name that leads to this machine: DNS rebinding.
			refuse(w, http.StatusMisdirectedRequest, "This server answers to "+p.host+" only.")
		case r.Method != http.MethodGet && r.Method != http.MethodHead && !p.own(r):
			refuse(w, http.StatusForbidden, "This request does not come from the page.")
		case crossSite(r):
			refuse(w, http.StatusForbidden, "This request comes from another site.")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// named reports whether the host of a request is this server's own name.
func (p *Page) named(host string) bool {
	_, port, err := net.SplitHostPort(p.host)
	return host == p.host || err == nil && host == "localhost:"+port
}

// own reports whether a request was made by the page.
func (p *Page) own(r *http.Request) bool {
	return r.Header.Get("Origin") == "http://"+r.Host &&
		subtle.ConstantTimeCompare([]byte(r.Header.Get(tokenHeader)), []byte(p.token)) == 1
}

// crossSite reports whether a browser says that another site wants more than
// to lead somebody to the page.
func crossSite(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return false
	}
	return strings.HasPrefix(r.URL.Path, "/api/") || strings.HasPrefix(r.URL.Path, "/media/")
}

func refuse(w http.ResponseWriter, status int, why string) {
	answer(w, status, map[string]string{"error": why})
}

func answer(w http.ResponseWriter, status int, what any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(what)
}

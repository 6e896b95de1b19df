package webpage

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// TokenField is the hidden field of a form with its token.
const TokenField = "token"

// Digest is of a secret word, by which what belongs to it is found.
type Digest [sha256.Size]byte

// DigestOf returns a word's digest.
func DigestOf(word string) Digest { return sha256.Sum256([]byte(word)) }

var secret = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// NewSecret returns 32 random bytes as a word for links and cookies.
func NewSecret() string {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	return base64.RawURLEncoding.EncodeToString(random)
}

// IsSecret reports whether a word has the form of NewSecret's.
func IsSecret(word string) bool { return secret.MatchString(word) }

// Site is where browsers reach a listener.
type Site struct {
	// Secure says that it is by https, so that cookies can be for https alone.
	Secure bool
	public string
	prefix string // the path of the public URL
	key    []byte // of the forms' tokens
}

// NewSite returns the site of a public URL, with a key of its own.
func NewSite(public string) *Site {
	s := &Site{public: strings.TrimRight(public, "/"), key: make([]byte, 32)}
	_, _ = rand.Read(s.key) // never fails
	if u, err := url.Parse(s.public); err == nil {
		s.prefix, s.Secure = u.Path, u.Scheme == "https"
	}
	return s
}

// Address returns the URL of a path.
func (s *Site) Address(path string) string { return s.public + path }

// Token is what the form of something secret sends along.
func (s *Site) Token(of ...string) string {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(strings.Join(of, "\n")))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Pressed reports whether a form that came is the one with the token of something
// secret, and not another site's. The body's size has to be limited before.
func (s *Site) Pressed(r *http.Request, of ...string) bool {
	if from := r.Header.Get("Sec-Fetch-Site"); from != "" && from != "same-origin" {
		return false
	}
	return hmac.Equal([]byte(r.PostFormValue(TokenField)), []byte(s.Token(of...)))
}

// Serve serves pages with the path of the public URL in front and without it, for
// proxies that take it away. The policy is the content security policy; referrer
// says how much of an address links tell.
func (s *Site) Serve(mux *http.ServeMux, policy, referrer string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", referrer)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Robots-Tag", "noindex, nofollow")
		if rest, ok := strings.CutPrefix(r.URL.Path, s.prefix+"/"); ok && s.prefix != "" {
			short := r.Clone(r.Context())
			short.URL.Path, short.URL.RawPath = "/"+rest, ""
			if _, pattern := mux.Handler(short); pattern != "" {
				r = short
			}
		}
		mux.ServeHTTP(w, r)
	})
}

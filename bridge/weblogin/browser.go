package weblogin

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
)

// A browser is known by a random cookie. It is Lax: it comes with the link and
// with the way back from the sign-in service, which are navigations, and not with
// what another site's form sends.
func (s *Server) cookieName() string {
	if s.secure {
		// The prefix keeps other hosts of the domain from setting it.
		return "__Host-teamsbridge-sign-in"
	}
	return "teamsbridge-sign-in"
}

// browser returns the cookie of a request, "" where there is none.
func (s *Server) browser(r *http.Request) string {
	cookie, err := r.Cookie(s.cookieName())
	if err != nil || !stateWord.MatchString(cookie.Value) {
		return ""
	}
	return cookie.Value
}

// know gives the browser its cookie, for another while where it has one.
func (s *Server) know(w http.ResponseWriter, r *http.Request) string {
	word := s.browser(r)
	if word == "" {
		random := make([]byte, 32)
		_, _ = rand.Read(random) // never fails
		word = base64.RawURLEncoding.EncodeToString(random)
	}
	http.SetCookie(w, &http.Cookie{
		Name: s.cookieName(), Value: word, Path: "/", MaxAge: int((s.opts.Life + keepOutcome).Seconds()),
		HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteLaxMode,
	})
	return word
}

// buttonToken is what the button of a ticket's page sends along in one browser.
func (s *Server) buttonToken(ticket, browser string) string {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(ticket + "\n" + browser))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// pressed reports whether the button of the ticket's page was pressed in the
// browser, and not something on another site.
func (s *Server) pressed(r *http.Request, ticket, browser string) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		return false
	}
	return browser != "" && hmac.Equal([]byte(r.PostFormValue(tokenField)), []byte(s.buttonToken(ticket, browser)))
}

package weblogin

import (
	"net/http"

	"teamsbridge/bridge/webpage"
)

// A browser is known by a random cookie. It is Lax: it comes with the link and
// with the way back from the sign-in service, which are navigations, and not with
// what another site's form sends.
func (s *Server) cookieName() string {
	if s.site.Secure {
		// The prefix keeps other hosts of the domain from setting it.
		return "__Host-teamsbridge-sign-in"
	}
	return "teamsbridge-sign-in"
}

// browser returns the cookie of a request, "" where there is none.
func (s *Server) browser(r *http.Request) string {
	cookie, err := r.Cookie(s.cookieName())
	if err != nil || !webpage.IsSecret(cookie.Value) {
		return ""
	}
	return cookie.Value
}

// know gives the browser its cookie, for another while where it has one.
func (s *Server) know(w http.ResponseWriter, r *http.Request) string {
	word := s.browser(r)
	if word == "" {
		word = webpage.NewSecret()
	}
	http.SetCookie(w, &http.Cookie{
		Name: s.cookieName(), Value: word, Path: "/", MaxAge: int((s.opts.Life + keepOutcome).Seconds()),
		HttpOnly: true, Secure: s.site.Secure, SameSite: http.SameSiteLaxMode,
	})
	return word
}

// pressed reports whether the button of the ticket's page was pressed in the
// browser, and not something on another site.
func (s *Server) pressed(r *http.Request, ticket, browser string) bool {
	return browser != "" && s.site.Pressed(r, ticket, browser)
}

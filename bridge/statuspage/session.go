package statuspage

import (
	"errors"
	"net/http"
	"time"

	"teamsbridge/bridge/webpage"
)

const (
	// LinkLife is how long a link can be opened.
	LinkLife = 5 * time.Minute
	// SessionLife is how long a session may last, SessionIdle without a request.
	SessionLife = 12 * time.Hour
	SessionIdle = 2 * time.Hour

	maxTickets  = 1000
	maxSessions = 1000
)

// ErrTooMany is returned where very many links are open.
var ErrTooMany = errors.New("too many links to the status page are open")

// ticket is a link that nobody has opened yet.
type ticket struct {
	user    string
	expires time.Time
}

// session is a browser that may use the page.
type session struct {
	user           string
	expires, until time.Time // at the latest, and where nothing is asked
	// answer is what the last button brought, shown once.
	answer string
	failed bool
}

// Link makes a link for an administrator. An earlier one that was not opened is
// worth nothing any more.
func (s *Server) Link(user string) (address string, expires time.Time, err error) {
	word, now := webpage.NewSecret(), s.opts.Now()
	expires = now.Add(LinkLife)
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, t := range s.tickets {
		if t.user == user || !now.Before(t.expires) {
			delete(s.tickets, key)
		}
	}
	if len(s.tickets) >= maxTickets {
		return "", expires, ErrTooMany
	}
	s.tickets[webpage.DigestOf(word)] = ticket{user: user, expires: expires}
	return s.site.Address(enterPath + word), expires, nil
}

// ticketOf returns whose link it is, "" where it is not good.
func (s *Server) ticketOf(word string) (user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.tickets[webpage.DigestOf(word)]
	if !ok || !s.opts.Now().Before(t.expires) {
		return ""
	}
	return t.user
}

// enter uses a link up and begins a session.
func (s *Server) enter(word string) (cookie, user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opts.Now()
	t, ok := s.tickets[webpage.DigestOf(word)]
	delete(s.tickets, webpage.DigestOf(word))
	if !ok || !now.Before(t.expires) {
		return "", ""
	}
	var oldest webpage.Digest
	for key, one := range s.sessions {
		if !now.Before(one.expires) || !now.Before(one.until) {
			delete(s.sessions, key)
		} else if old := s.sessions[oldest]; old == nil || one.expires.Before(old.expires) {
			oldest = key
		}
	}
	if len(s.sessions) >= maxSessions {
		delete(s.sessions, oldest)
	}
	cookie = webpage.NewSecret()
	s.sessions[webpage.DigestOf(cookie)] = &session{user: t.user, expires: now.Add(SessionLife), until: now.Add(SessionIdle)}
	return cookie, t.user
}

// cookieName keeps other hosts of the domain from setting it where it can.
func (s *Server) cookieName() string {
	if s.site.Secure {
		return "__Host-teamsbridge-status"
	}
	return "teamsbridge-status"
}

// visitor returns who asks, and the word of their session; "" for strangers, also
// for somebody who is no administrator any more.
func (s *Server) visitor(r *http.Request) (user, word string) {
	cookie, err := r.Cookie(s.cookieName())
	if err != nil || !webpage.IsSecret(cookie.Value) {
		return "", ""
	}
	s.mu.Lock()
	one, now := s.sessions[webpage.DigestOf(cookie.Value)], s.opts.Now()
	if one == nil || !now.Before(one.expires) || !now.Before(one.until) {
		delete(s.sessions, webpage.DigestOf(cookie.Value))
		s.mu.Unlock()
		return "", ""
	}
	one.until, user = now.Add(SessionIdle), one.user
	s.mu.Unlock()
	if !s.opts.Bridge.IsAdmin(user) {
		s.leave(cookie.Value)
		return "", ""
	}
	return user, cookie.Value
}

func (s *Server) leave(word string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, webpage.DigestOf(word))
}

// keep keeps an answer for the page that is shown next, taken is it.
func (s *Server) keep(word, answer string, failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.sessions[webpage.DigestOf(word)]; one != nil {
		one.answer, one.failed = answer, failed
	}
}

func (s *Server) taken(word string) (answer string, failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.sessions[webpage.DigestOf(word)]; one != nil {
		answer, failed = one.answer, one.failed
		one.answer, one.failed = "", false
	}
	return answer, failed
}

// setCookie gives the browser its word; an empty one takes it away. It is Strict:
// nothing that another site links or sends comes with it.
func (s *Server) setCookie(w http.ResponseWriter, word string) {
	age := int(SessionLife.Seconds())
	if word == "" {
		age = -1
	}
	http.SetCookie(w, &http.Cookie{
		Name: s.cookieName(), Value: word, Path: "/", MaxAge: age, HttpOnly: true, Secure: s.site.Secure, SameSite: http.SameSiteStrictMode,
	})
}

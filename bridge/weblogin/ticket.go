package weblogin

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"

	"teamsbridge/bridge/webpage"
	"teamsbridge/teams"
)

// Why a ticket ends without an account, besides what package teams tells.
var (
	ErrExpired   = errors.New("the link has expired")
	ErrReplaced  = errors.New("a newer link was asked for")
	ErrCancelled = errors.New("the sign-in was cancelled")
	ErrBroken    = errors.New("the sign-in broke off")
	ErrTooMany   = errors.New("too many sign-ins are under way")
)

// Request is what a ticket is for.
type Request struct {
	// User is the Matrix account that asked.
	User string
	// Relay says that the Microsoft account is to write for everybody.
	Relay bool
	// Account is whom the sign-in service is to offer, empty for anybody.
	Account string
	// Take stores the sign-in. Its error is the ticket's outcome.
	Take func(ctx context.Context, result teams.SignInResult) error
	// Say puts an outcome into people's words.
	Say func(err error) string
}

// phase is how far a ticket is.
type phase int

const (
	open      phase = iota // nothing has come back yet
	answering              // an answer is being redeemed
	over
)

// Ticket is one link.
type Ticket struct {
	s       *Server
	word    string
	request Request
	expires time.Time
	done    chan struct{}

	// The server's lock guards what follows.
	phase   phase
	browser webpage.Digest // of the browser that took it up
	taken   bool
	visit   *teams.WebLogin // the newest
	account teams.Account
	err     error
	keep    time.Time // until when the outcome is shown
}

// Begin makes a ticket. The account's earlier one is worth nothing any more.
func (s *Server) Begin(r Request) (*Ticket, error) {
	word := make([]byte, ticketSize)
	_, _ = rand.Read(word) // never fails
	now := s.opts.Now()
	t := &Ticket{s: s, word: hex.EncodeToString(word), request: r, expires: now.Add(s.opts.Life), done: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, old := range s.tickets {
		switch {
		case old.phase == open && old.request.User == r.User:
			s.end(old, teams.Account{}, ErrReplaced)
			delete(s.tickets, key)
		case old.phase == open && !now.Before(old.expires):
			s.end(old, teams.Account{}, ErrExpired)
			delete(s.tickets, key)
		case old.phase == over && (old.request.User == r.User || !now.Before(old.keep)):
			delete(s.tickets, key)
		}
	}
	if len(s.tickets) >= maxTickets {
		return nil, ErrTooMany
	}
	s.tickets[webpage.DigestOf(t.word)] = t
	return t, nil
}

// URL is the link.
func (t *Ticket) URL() string { return t.s.site.Address(linkPath + t.word) }

// Expires is until when the link is good.
func (t *Ticket) Expires() time.Time { return t.expires }

// Wait returns when the sign-in is stored, or when it is certain that it won't be.
func (t *Ticket) Wait(ctx context.Context) (teams.Account, error) {
	timer := time.NewTimer(t.expires.Sub(t.s.opts.Now()))
	defer timer.Stop()
	select {
	case <-t.done:
	case <-ctx.Done():
		t.s.giveUp(t, ErrCancelled)
	case <-timer.C:
		t.s.giveUp(t, ErrExpired)
	}
	// An answer that is being redeemed is bounded in time, and is waited for:
	// what the page says is what the bot says.
	<-t.done
	return t.account, t.err
}

// Cancel makes the link worthless, unless an answer is already being redeemed.
func (t *Ticket) Cancel() { t.s.giveUp(t, ErrCancelled) }

func (s *Server) giveUp(t *Ticket, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.phase == open {
		s.end(t, teams.Account{}, why)
	}
}

// end is the outcome of a ticket. The lock is held.
func (s *Server) end(t *Ticket, account teams.Account, err error) {
	if t.visit != nil {
		delete(s.visits, webpage.DigestOf(t.visit.State))
	}
	t.phase, t.visit, t.account, t.err = over, nil, account, err
	t.keep = s.opts.Now().Add(keepOutcome)
	close(t.done)
}

// find returns the ticket of a link, nil where there is none that is good for
// anything. The lock is held.
func (s *Server) find(word string) *Ticket {
	t := s.tickets[webpage.DigestOf(word)]
	now := s.opts.Now()
	switch {
	case t == nil, t.phase == open && !now.Before(t.expires), t.phase == over && !now.Before(t.keep):
		return nil
	}
	return t
}

// takeUp gives the ticket to a browser and begins a visit to the sign-in service,
// in place of an earlier one.
func (s *Server) takeUp(t *Ticket, browser string) (address string, ok bool, err error) {
	visit, err := s.opts.Login(s.site.Address(callbackPath), t.request.Account)
	if err != nil {
		return "", false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.phase != open || (t.taken && t.browser != webpage.DigestOf(browser)) {
		return "", false, nil
	}
	if t.visit != nil {
		delete(s.visits, webpage.DigestOf(t.visit.State))
	}
	t.taken, t.browser, t.visit = true, webpage.DigestOf(browser), visit
	s.visits[webpage.DigestOf(visit.State)] = t
	return visit.URL(), true, nil
}

// verdict is what is made of an answer's state.
type verdict int

const (
	accepted verdict = iota
	unknownState
	otherBrowser
)

// answered takes the visit of a state, once. A browser that it is not of gets
// nothing, and ends the visit: its code would be good for whoever gets hold of the
// address and has the person's cookie. The person presses the button again.
func (s *Server) answered(state, browser string) (*Ticket, *teams.WebLogin, verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.visits[webpage.DigestOf(state)]
	switch {
	case t == nil || t.phase != open || !s.opts.Now().Before(t.expires):
		return nil, nil, unknownState
	case browser == "" || t.browser != webpage.DigestOf(browser):
		delete(s.visits, webpage.DigestOf(state))
		t.visit = nil
		return t, nil, otherBrowser
	}
	visit := t.visit
	delete(s.visits, webpage.DigestOf(state))
	t.phase, t.visit = answering, nil
	return t, visit, accepted
}

package teams

import (
	"slices"
	"strings"
	"time"
)

// PollerStatus is a snapshot for status commands.
type PollerStatus struct {
	// Scopes is how many teams and channels are read, by reader.
	Scopes map[string]int
	// Waiting is how many of them are due, Unreadable how many channels have
	// no reader left.
	Waiting, Unreadable int
	Lag                 time.Duration
	LastError           string
}

// ScopeStatus is how one scope is read.
type ScopeStatus struct {
	Scope  Scope
	Reader string
	// LastRead is when the last complete read began, LastFull when the last
	// reconciliation did.
	LastRead, LastFull time.Time
	LastError          string
}

// Lag returns how long the scope that waits longest has been waiting to be
// read: 0 when nothing is due.
func (p *Poller) Lag() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lag(p.opts.Now())
}

// Behind reports whether the channel is being read, or somebody has asked for
// that, and whether it waits because reading fails. PollerOptions.Read is called
// when it is done.
func (p *Poller) Behind(ch ChannelRef) (behind, failing bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.planned.IsZero() {
		return true, false
	}
	for _, scope := range []Scope{Scope(ch), {TeamID: ch.TeamID}} {
		u := p.units[scope]
		if u == nil || !u.asked && !u.again && u.read == nil || scope.ChannelID == "" && p.separate[Scope(ch)] {
			continue
		}
		behind = true
		failing = failing || u.failures > 0 || p.opts.Now().Before(p.pause)
	}
	return behind, failing
}

// Covered returns when the last complete read of a channel since the start began,
// the zero time where there was none.
func (p *Poller) Covered(ch ChannelRef) (began time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, scope := range []Scope{Scope(ch), {TeamID: ch.TeamID}} {
		u := p.units[scope]
		if u != nil && (scope.ChannelID != "" || !p.separate[Scope(ch)]) && u.covered.After(began) {
			began = u.covered
		}
	}
	return began
}

func (p *Poller) lag(now time.Time) time.Duration {
	var lag time.Duration
	for _, u := range p.units {
		if since, waits := u.waits(now); waits {
			lag = max(lag, now.Sub(since))
		}
	}
	return lag
}

func (u *unit) waits(now time.Time) (since time.Time, waits bool) {
	if !u.waiting.IsZero() {
		return u.waiting, true
	}
	return u.due, !u.due.IsZero() && !u.due.After(now)
}

// Status returns what the poller is doing.
func (p *Poller) Status() PollerStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.opts.Now()
	out := PollerStatus{Scopes: map[string]int{}, Unreadable: len(p.unreadable), Lag: p.lag(now)}
	for _, u := range p.units {
		out.Scopes[u.reader.name()]++
		if _, waits := u.waits(now); waits {
			out.Waiting++
		}
	}
	if p.lastErr != nil {
		out.LastError = p.lastErr.Error()
	}
	return out
}

// Scopes returns how each scope is read; a channel that no reader is left for
// has none.
func (p *Poller) Scopes() []ScopeStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]ScopeStatus, 0, len(p.units)+len(p.unreadable))
	for _, u := range p.units {
		one := ScopeStatus{Scope: u.scope, Reader: u.reader.name(), LastRead: u.covered, LastFull: u.fullAt}
		if u.err != nil {
			one.LastError = u.err.Error()
		}
		out = append(out, one)
	}
	for scope := range p.unreadable {
		out = append(out, ScopeStatus{Scope: scope, LastError: ErrUnreadable.Error()})
	}
	slices.SortFunc(out, func(a, b ScopeStatus) int { return strings.Compare(a.Scope.String(), b.Scope.String()) })
	return out
}

package teams

import (
	"slices"
	"strings"
	"time"
)

type refusalKey struct {
	scope  Scope
	reader string
}

// Refusal is a reader that Graph does not allow for a scope.
type Refusal struct {
	Scope  Scope
	Reader string
	Kind   Kind
	// Reason is what Graph said.
	Reason string
	At     time.Time
	// Until is when the reader is tried again.
	Until time.Time
}

// Refusals returns which readers are refused where, and why.
func (p *Poller) Refusals() []Refusal {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Refusal, 0, len(p.refusals))
	for _, r := range p.refusals {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Refusal) int {
		if c := strings.Compare(a.Scope.String(), b.Scope.String()); c != 0 {
			return c
		}
		return strings.Compare(a.Reader, b.Reader)
	})
	return out
}

// Retry forgets all refusals, because somebody has given a permission.
func (p *Poller) Retry() {
	p.mu.Lock()
	clear(p.refusals)
	p.mu.Unlock()
	p.Wake()
}

// plan decides which scopes are read by which reader, unless that was done
// within maxAge and nothing happened since.
func (p *Poller) plan(maxAge time.Duration) {
	now := p.opts.Now()
	p.mu.Lock()
	fresh := !p.replan && !p.planned.IsZero() && now.Sub(p.planned) < maxAge
	p.mu.Unlock()
	if fresh {
		return
	}
	wanted := p.opts.Teams()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expireRefusals(now)
	planned := map[Scope]reader{}
	unreadable := map[Scope]bool{}
	separate := map[Scope]bool{}
	teams := make(map[string]bool, len(wanted))
	for _, t := range wanted {
		teams[t.ID] = true
		p.planTeam(t.ID, t.Channels, true, planned, unreadable)
		p.planTeam(t.ID, t.Separate, false, planned, unreadable)
		for _, id := range t.Separate {
			separate[Scope{TeamID: t.ID, ChannelID: id}] = true
		}
	}
	for scope, u := range p.units {
		if planned[scope] == nil && !u.running {
			delete(p.units, scope)
			u.read = nil
			p.parked[scope] = u
		}
	}
	for scope := range p.parked {
		if !teams[scope.TeamID] {
			delete(p.parked, scope)
		}
	}
	for scope, r := range planned {
		p.use(scope, r, now)
	}
	clear(p.carry)
	p.unreadable, p.separate = unreadable, separate
	p.planned, p.replan = now, false
	p.signal()
}

// use makes sure that a scope is read by a reader. What is new is due at once;
// what had another reader for a while goes on as before, unless the reader it
// had was asked to read and refused. p.mu is held.
func (p *Poller) use(scope Scope, r reader, now time.Time) {
	u := p.units[scope]
	if u == nil {
		if u = p.parked[scope]; u != nil {
			delete(p.parked, scope)
			u.asked = false
		} else {
			u = &unit{scope: scope, reader: r, asked: true, due: now}
		}
		p.units[scope] = u
	}
	if u.running {
		return
	}
	if u.reader != r {
		u.reader, u.read, u.due = r, nil, now
		u.failures, u.odd, u.err = 0, 0, nil
	}
	if u.due.IsZero() {
		u.due = now
	}
	if p.carry[scope.TeamID] && scope.ChannelID != "" {
		u.asked, u.due = true, now
	}
	if u.asked && u.waiting.IsZero() {
		u.waiting = now
	}
}

// planTeam goes through the readers in order of preference: export serves all
// of a team's channels at once, where it may, the others each their own.
func (p *Poller) planTeam(teamID string, rest []string, together bool, planned map[Scope]reader, unreadable map[Scope]bool) {
	for _, name := range p.opts.Readers {
		if len(rest) == 0 {
			return
		}
		if name == SourceExport {
			if team := (Scope{TeamID: teamID}); together && !p.refused(team, name) {
				planned[team] = p.readers[name]
				return
			}
			continue
		}
		var left []string
		for _, id := range rest {
			if ch := (Scope{TeamID: teamID, ChannelID: id}); p.refused(ch, name) {
				left = append(left, id)
			} else {
				planned[ch] = p.readers[name]
			}
		}
		rest = left
	}
	for _, id := range rest {
		unreadable[Scope{TeamID: teamID, ChannelID: id}] = true
	}
}

func (p *Poller) refused(scope Scope, reader string) bool {
	_, refused := p.refusals[refusalKey{scope, reader}]
	return refused
}

// expireRefusals forgets what is to be tried again: everything after a day,
// and earlier what leaves a channel without any reader. p.mu is held.
func (p *Poller) expireRefusals(now time.Time) {
	last := map[Scope]time.Time{}
	for scope := range p.unreadable {
		for key, r := range p.refusals {
			if key.scope == scope && r.At.After(last[scope]) {
				last[scope] = r.At
			}
		}
	}
	for key, r := range p.refusals {
		at, stuck := last[key.scope]
		if !stuck && key.scope.ChannelID == "" {
			at, stuck = stuckTeam(last, key.scope.TeamID)
		}
		if !now.Before(r.Until) || stuck && now.Sub(at) >= pollerUnreadableRetry {
			delete(p.refusals, key)
		}
	}
}

// stuckTeam returns when the last of a team's channels became unreadable.
func stuckTeam(last map[Scope]time.Time, teamID string) (at time.Time, stuck bool) {
	for scope, t := range last {
		if scope.TeamID == teamID {
			stuck = true
			if t.After(at) {
				at = t
			}
		}
	}
	return at, stuck
}

// refuse remembers that a reader can't be used for a scope. p.mu is held.
func (p *Poller) refuse(u *unit, err error) {
	now := p.opts.Now()
	p.refusals[refusalKey{u.scope, u.reader.name()}] = Refusal{
		Scope: u.scope, Reader: u.reader.name(), Kind: KindOf(err), Reason: err.Error(),
		At: now, Until: now.Add(pollerRefusalLife),
	}
	if u.scope.ChannelID == "" && (u.asked || u.again) {
		p.carry[u.scope.TeamID] = true
	}
	p.replan = true
	u.read, u.due, u.waiting = nil, time.Time{}, time.Time{}
	u.asked, u.again = u.asked || u.again, false
	u.failures, u.odd = 0, 0
}

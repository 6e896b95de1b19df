package health

import "time"

// refusalLife is how far apart refusals of one operation may be and still count
// together.
const refusalLife = time.Hour

// refusals follows one operation that is answered with 403.
type refusals struct {
	// ever is set once the operation has succeeded: what never worked was never
	// taken away.
	ever        bool
	in          scopes
	first, last time.Time
	// core is set for an operation that carries messages.
	core   bool
	detail string
}

func (r *refusals) add(o Observation) {
	if len(r.in) > 0 && o.At.Sub(r.last) > refusalLife {
		r.in = nil
	}
	if len(r.in) == 0 {
		r.first = o.At
	}
	r.in.add(o.Scope)
	r.last, r.core, r.detail = o.At, o.Core, o.Detail
}

func (r *refusals) success() { r.ever, r.in = true, nil }

// general reports whether it is not one conversation that refuses: several do, or
// all that are in use.
func (r *refusals) general(o *Options, t *talks, now time.Time) bool {
	if len(r.in) >= o.RevokedScopes {
		return r.last.Sub(r.first) >= o.RevokedFor
	}
	if !r.core || !r.ever || r.last.Sub(r.first) < o.RevokedFor || now.Sub(r.last) > refusalLife {
		return false
	}
	since, all := t.all(r.in, now, o.Lately)
	return all && r.last.Sub(since) >= o.RevokedFor
}

// permissions follows 403s by operation.
type permissions struct {
	ops map[string]*refusals
	// coreAt is when an operation that carries messages has last succeeded.
	coreAt time.Time
}

func (p *permissions) of(op string) *refusals {
	r := p.ops[op]
	if r == nil {
		r = &refusals{}
		p.ops[op] = r
	}
	return r
}

// blocked reports whether refusals mean that a permission is gone and messages
// have no other way. Graph refuses some readers from the start, for which others
// stand in; only what worked before, or had nothing in its place, is an outage.
func (p *permissions) blocked(r *refusals, o *Options, t *talks, now time.Time) bool {
	return r.core && !p.coreAt.After(r.first) && (r.ever || p.coreAt.IsZero()) && r.general(o, t, now)
}

// lost reports whether an operation that has worked is refused in general.
func (p *permissions) lost(o *Options, t *talks, now time.Time) bool {
	for _, r := range p.ops {
		if r.ever && r.general(o, t, now) {
			return true
		}
	}
	return false
}

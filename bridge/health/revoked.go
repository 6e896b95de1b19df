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
}

func (r *refusals) add(o Observation) {
	if len(r.in) > 0 && o.At.Sub(r.last) > refusalLife {
		r.in = nil
	}
	if len(r.in) == 0 {
		r.first = o.At
	}
	r.in.add(o.Scope)
	r.last = o.At
}

func (r *refusals) success() { r.ever, r.in = true, nil }

// general reports whether it is not one conversation that refuses.
func (r *refusals) general(o *Options) bool {
	return len(r.in) >= o.RevokedScopes && r.last.Sub(r.first) >= o.RevokedFor
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

// revoked says what a 403 means: whether a permission is gone, and whether
// messages have no other way. Graph refuses some readers from the start, for
// which others stand in; only what worked before, or had nothing in its place,
// is an outage.
func (p *permissions) revoked(o Observation, opts *Options) (gone, blocked bool) {
	r := p.of(o.Op)
	r.add(o)
	if !r.general(opts) {
		return false, false
	}
	blocked = o.Core && !p.coreAt.After(r.first) && (r.ever || p.coreAt.IsZero())
	return r.ever || blocked, blocked
}

// lost reports whether an operation that has worked is refused in general.
func (p *permissions) lost(opts *Options) bool {
	for _, r := range p.ops {
		if r.ever && r.general(opts) {
			return true
		}
	}
	return false
}

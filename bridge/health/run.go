package health

import (
	"slices"
	"time"
)

const (
	recentKept = 5
	// coreScopes conversations must fail before a probe's success is not
	// believed any more.
	coreScopes = 3
)

// run is a row of failures without a success between.
type run struct {
	n, probes   int
	first, last time.Time
	// probedAt is when the first of the failing probes was.
	probedAt time.Time
	in       scopes
	// coreIn are the scopes in which operations failed that carry messages;
	// contradicted, that something light succeeded all the same.
	coreIn       scopes
	contradicted bool
	// wide is set where one of the failures speaks for the whole dependency.
	wide   bool
	recent []Outcome
	detail string
}

func (r *run) add(o Observation, gap time.Duration) {
	if r.n > 0 && o.At.Sub(r.last) > gap {
		*r = run{}
	}
	if r.n == 0 || o.At.Before(r.first) {
		r.first = o.At
	}
	if o.At.After(r.last) {
		r.last = o.At
	}
	r.n++
	if o.Probe {
		if r.probes == 0 {
			r.probedAt = o.At
		}
		r.probes++
	}
	if o.Scope == "" {
		r.wide = true
	} else {
		r.in.add(o.Scope)
	}
	if o.Core && o.Scope != "" {
		r.coreIn.add(o.Scope)
	}
	if r.recent = append(r.recent, o.Outcome); len(r.recent) > recentKept {
		r.recent = slices.Delete(r.recent, 0, 1)
	}
	// What a probe met is the clearest: it asks nothing in particular.
	if o.Detail != "" && (o.Probe || r.probes == 0) {
		r.detail = o.Detail
	}
}

// forgetProbes takes the failing probes back, for what a probe's success does
// not speak for.
func (r *run) forgetProbes() {
	if r.probes == r.n {
		*r = run{}
	}
	r.probes = 0
}

// down reports whether the run is an outage, at a level of the flapping guard.
func (r *run) down(o *Options, level int) bool {
	after, span := o.guarded(level)
	if r.probes >= o.ProbeFails && r.last.Sub(r.probedAt) >= span {
		return true
	}
	several := r.wide || len(r.in) >= o.DownScopes
	return r.n >= after && several && r.last.Sub(r.first) >= span
}

// narrow reports whether fewer conversations have failed than speak for all.
func (r *run) narrow(o *Options) bool {
	return !r.wide && r.probes == 0 && len(r.in) < o.DownScopes
}

// outcome is what most of the last failures were, the newest of those where
// two are as many.
func (r *run) outcome() Outcome {
	best, most := OK, 0
	for i := len(r.recent) - 1; i >= 0; i-- {
		n := 0
		for _, other := range r.recent {
			if other == r.recent[i] {
				n++
			}
		}
		if n > most {
			best, most = r.recent[i], n
		}
	}
	return best
}

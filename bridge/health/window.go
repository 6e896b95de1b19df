package health

import (
	"slices"
	"time"
)

const (
	windowBuckets = 12
	// scopesKept is as many different scopes as any threshold asks for.
	scopesKept = 8
)

// scopes is a small set: it only has to tell one from several.
type scopes []string

func (s *scopes) add(scope string) {
	if len(*s) < scopesKept && !slices.Contains(*s, scope) {
		*s = append(*s, scope)
	}
}

// window counts outcomes of the last while in buckets, so that its size does
// not depend on the traffic.
type window struct {
	width   time.Duration
	buckets [windowBuckets]bucket
}

type bucket struct {
	slot                 int64
	good, bad, throttled int
	badIn, throttledIn   scopes
}

func (w *window) add(o Observation) {
	slot := w.slot(o.At)
	b := &w.buckets[int(slot%windowBuckets)]
	if slot < b.slot {
		return // an observation that comes a whole window late
	} else if slot > b.slot {
		*b = bucket{slot: slot}
	}
	switch {
	case o.Outcome == OK:
		b.good++
	case o.Outcome == Throttled:
		b.throttled++
		b.throttledIn.add(o.Scope)
	case o.Outcome.failed():
		b.bad++
		b.badIn.add(o.Scope)
	}
}

// sums adds up the buckets that are still within the window.
func (w *window) sums(now time.Time) (sum bucket) {
	oldest := w.slot(now) - windowBuckets
	for i := range w.buckets {
		b := &w.buckets[i]
		if b.slot <= oldest {
			continue
		}
		sum.good += b.good
		sum.bad += b.bad
		sum.throttled += b.throttled
		for _, scope := range b.badIn {
			sum.badIn.add(scope)
		}
		for _, scope := range b.throttledIn {
			sum.throttledIn.add(scope)
		}
	}
	return sum
}

func (w *window) slot(at time.Time) int64 {
	return at.UnixNano() / int64(w.width/windowBuckets)
}

// share is n's part of everything that was counted.
func (b *bucket) share(n int) float64 {
	all := b.good + b.bad + b.throttled
	if all == 0 {
		return 0
	}
	return float64(n) / float64(all)
}

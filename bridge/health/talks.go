package health

import (
	"slices"
	"time"
)

// talksKept is of how many conversations it is known how they fare; those that
// were used least lately are forgotten.
const talksKept = 4096

// talks is how each conversation fares. What speaks for all of a large tenant,
// five conversations that refuse, is more than a small one has: there, all those
// that are in use speak for it.
type talks struct {
	of map[string]*talk
	// okAt and okIn are the last success and where it was, otherAt the last one
	// anywhere else.
	okAt, otherAt time.Time
	okIn          string
}

// talk is one conversation.
type talk struct {
	// worked is set once a write, or a reading that carries messages, has succeeded in it.
	worked bool
	// usedAt is when one was last tried, failedAt since when all of them fail.
	usedAt, failedAt time.Time
	// fails is how many have failed since.
	fails int
	// own means that it fails while another one works: that says nothing about
	// any other until it works again.
	own bool
}

func (t *talks) note(o Observation) {
	if !o.Core && o.Dependency != GraphWrite || o.Probe || o.Scope == "" {
		return
	}
	switch {
	case o.Outcome == OK:
		one := t.get(o.Scope)
		one.worked, one.own, one.failedAt, one.fails, one.usedAt = true, false, time.Time{}, 0, later(one.usedAt, o.At)
		if t.okIn != o.Scope {
			t.okIn, t.otherAt = o.Scope, t.okAt
		}
		t.okAt = later(t.okAt, o.At)
	case o.Outcome.failed(), o.Outcome == Forbidden:
		one := t.get(o.Scope)
		one.usedAt = later(one.usedAt, o.At)
		if one.failedAt.IsZero() {
			one.failedAt = o.At
		}
		one.fails++
		elsewhere := t.okAt
		if t.okIn == o.Scope {
			elsewhere = t.otherAt
		}
		one.own = one.own || elsewhere.After(one.failedAt)
	}
}

// remember takes it that a conversation worked before this process began; at is
// when, zero where that is long ago.
func (t *talks) remember(scope string, at time.Time) {
	one := t.get(scope)
	one.worked, one.usedAt = true, later(one.usedAt, at)
}

func (t *talks) get(scope string) *talk {
	if one := t.of[scope]; one != nil {
		return one
	}
	if t.of == nil {
		t.of = map[string]*talk{}
	}
	if len(t.of) >= talksKept {
		oldest := ""
		for name, one := range t.of {
			if oldest == "" || one.usedAt.Before(t.of[oldest].usedAt) {
				oldest = name
			}
		}
		delete(t.of, oldest)
	}
	one := &talk{}
	t.of[scope] = one
	return one
}

// speaks returns a conversation whose failures may be those of all: it has
// worked, and none works while it does not.
func (t *talks) speaks(scope string) (one *talk, ok bool) {
	one = t.of[scope]
	return one, one != nil && one.worked && !one.own
}

// all reports whether the given conversations are all that were in use lately,
// and since when all of them fail; false where none of them speaks for others.
func (t *talks) all(in scopes, now time.Time, lately time.Duration) (since time.Time, ok bool) {
	failing := 0
	for _, scope := range in {
		if one, speaks := t.speaks(scope); speaks && !one.failedAt.IsZero() {
			failing++
			since = later(since, one.failedAt)
		}
	}
	if failing == 0 {
		return since, false
	}
	for scope, one := range t.of {
		if _, speaks := t.speaks(scope); speaks && now.Sub(one.usedAt) < lately && one.failedAt.IsZero() {
			return since, false
		}
	}
	return since, true
}

// insist reports whether one of the given conversations has failed so often, and
// for so long: one failure here and one there are of the kind that a second try
// overcomes.
func (t *talks) insist(in scopes, times int, span time.Duration) bool {
	return slices.ContainsFunc(in, func(scope string) bool {
		one, speaks := t.speaks(scope)
		return speaks && one.fails >= times && one.usedAt.Sub(one.failedAt) >= span
	})
}

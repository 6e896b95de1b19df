package crashtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"maunium.net/go/mautrix/id"
)

// voice is how people of one side do things. All of it takes effect before it
// returns, or fails the run.
type voice interface {
	// say says a remark for the first time, in answer to its root if it has one.
	say(ctx context.Context, m *remark) error
	edit(ctx context.Context, m *remark, text string) error
	remove(ctx context.Context, m *remark) error
	react(ctx context.Context, m *remark, by *person) (id.EventID, error)
	unreact(ctx context.Context, m *remark, by *person, reaction id.EventID) error
}

// window is how many messages may be on their way in each direction before
// people become slow, and then fall silent at twice as many. It keeps both
// directions under way all the time, while the bridge is away too, and what waits
// for Teams is sent within seconds at one message per second and channel.
func (r *run) window() int { return min(400, 8*len(r.places)) }

// slowly is how long each waits when much is on its way.
const slowly = 300 * time.Millisecond

// voices is how many people speak at once on a side.
const voices = 4

// talk makes one side's traffic until enough was said.
func (r *run) talk(ctx context.Context, s side, v voice, rng *rand.Rand) error {
	speakers := r.people
	if s == inMatrix {
		speakers = nil
		for _, p := range r.people {
			if p.cli != nil {
				speakers = append(speakers, p)
			}
		}
	}
	spoke := time.Now()
	for !r.enough() {
		said, arrived := r.book.counts(s)
		other, _ := r.book.counts(1 - s)
		// A side that is ahead waits for the other one: what goes wrong is spread
		// over all arrivals, and Teams alone would say three quarters of them.
		late, ahead := said-arrived, said-other >= r.window()
		if ahead || late >= 2*r.window() || late >= r.window() && time.Since(spoke) < slowly {
			select {
			case <-time.After(10 * time.Millisecond):
				continue
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		spoke = time.Now()
		by, at := speakers[rng.IntN(len(speakers))], r.places[rng.IntN(len(r.places))]
		if err := r.act(ctx, s, v, rng, by, at); err != nil {
			return fmt.Errorf("%s in %s: %w", by.user.DisplayName(), s, err)
		}
	}
	return nil
}

// act does one thing. The gate is what stops clients while their homeserver is
// being restarted.
func (r *run) act(ctx context.Context, s side, v voice, rng *rand.Rand, by *person, at *place) error {
	r.gates[s].RLock()
	defer r.gates[s].RUnlock()
	lot := rng.IntN(100)
	if s == inMatrix && r.onlyTalk.Load() {
		lot = 0
	}
	switch {
	case lot < 66:
		var root *remark
		if rng.IntN(2) == 0 {
			root = r.book.answer(rng, s, at)
		}
		m := r.book.open(s, by, at, root, r.words(rng), rng.IntN(25) == 0)
		if err := v.say(ctx, m); err != nil {
			return fmt.Errorf("say %s: %w", m.token, err)
		}
	case lot < 78:
		m := r.book.change(rng, s, at, func(m *remark) bool { return !m.picture })
		if m == nil {
			return nil
		}
		text := m.token + " edited " + r.words(rng)
		if err := v.edit(ctx, m, text); err != nil {
			return fmt.Errorf("edit %s: %w", m.token, err)
		}
		r.book.done(m, func() { m.text = text; r.book.edits[s]++ })
	case lot < 83:
		m := r.book.change(rng, s, at, func(m *remark) bool {
			free := m.replies == 0
			m.closed = m.closed || free
			return free
		})
		if m == nil {
			return nil
		}
		if err := v.remove(ctx, m); err != nil {
			return fmt.Errorf("delete %s: %w", m.token, err)
		}
		r.book.done(m, func() { m.deleted = true; r.book.deletes[s]++; r.book.arrive(m) })
	case lot < 95:
		return r.reacts(ctx, s, v, rng, by, at)
	default:
		return r.takesBack(ctx, s, v, rng, by, at)
	}
	return nil
}

func (r *run) reacts(ctx context.Context, s side, v voice, rng *rand.Rand, by *person, at *place) error {
	emoji := by.emoji(s)
	m := r.book.pick(rng, at, func(m *remark) bool {
		ok := m.known(s) && !m.used[emoji]
		m.busy = m.busy || ok
		return ok
	})
	if m == nil {
		return nil
	}
	reaction, err := v.react(ctx, m, by)
	if err != nil {
		return fmt.Errorf("react to %s: %w", m.token, err)
	}
	r.book.done(m, func() { m.reactions[emoji], m.used[emoji] = reaction, true; r.book.reactions[s]++ })
	return nil
}

func (r *run) takesBack(ctx context.Context, s side, v voice, rng *rand.Rand, by *person, at *place) error {
	emoji := by.emoji(s)
	m := r.book.pick(rng, at, func(m *remark) bool {
		_, ok := m.reactions[emoji]
		m.busy = m.busy || ok
		return ok
	})
	if m == nil {
		return nil
	}
	if err := v.unreact(ctx, m, by, m.reactions[emoji]); err != nil {
		return fmt.Errorf("take a reaction to %s back: %w", m.token, err)
	}
	r.book.done(m, func() { delete(m.reactions, emoji); r.book.removals[s]++ })
	return nil
}

var vocabulary = strings.Fields("the a new old blue heavy plan report train window river paper coffee meeting budget server mountain garden " +
	"opens moves waits falls arrives tomorrow today quickly again perhaps über naïve Straße 東京 данные ready late early together")

func (r *run) words(rng *rand.Rand) string {
	out := make([]string, 2+rng.IntN(12))
	for i := range out {
		out[i] = vocabulary[rng.IntN(len(vocabulary))]
	}
	return strings.Join(out, " ")
}

package bridge

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"teamsbridge/database"
	"teamsbridge/texts"
)

// holds knows which queues are to wait: paused ones, and those of a declared or
// rehearsed outage. It is a copy of the table in memory, written through,
// because lanes ask it before every message.
type holds struct {
	db  *database.Database
	now func() time.Time
	// wake makes what was held look whether it may go on.
	wake func()
	// expired is told of a hold whose time was over, after it was taken away. A
	// crash in between leaves it untold.
	expired func(ctx context.Context, h database.Hold)

	// writing keeps the table and the copy in the same order.
	writing sync.Mutex
	mu      sync.RWMutex
	all     []database.Hold
	changed chan struct{}
}

func newHolds(db *database.Database, now func() time.Time, wake func()) *holds {
	return &holds{db: db, now: now, wake: wake, expired: func(context.Context, database.Hold) {}, changed: make(chan struct{}, 1)}
}

// load reads the holds. Those whose time was over while the bridge was away do
// not count any more; run takes them away.
func (h *holds) load(ctx context.Context) error {
	h.writing.Lock()
	defer h.writing.Unlock()
	return h.read(ctx)
}

func (h *holds) read(ctx context.Context) error {
	all, err := h.db.Holds.All(ctx)
	if err != nil {
		return fmt.Errorf("loading holds: %w", err)
	}
	h.mu.Lock()
	h.all = all
	h.mu.Unlock()
	select {
	case h.changed <- struct{}{}:
	default:
	}
	return nil
}

// Held reports whether what is said in a portal's room is to wait: until the
// hold is taken away, also where its time is over, because what waits is told
// then how long it was held.
func (h *holds) Held(portal string) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.ContainsFunc(h.all, func(hold database.Hold) bool { return hold.Covers(portal) })
}

// holding returns the hold that keeps a portal waiting: of several the one
// that was set first.
func (h *holds) holding(portal string) (database.Hold, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, hold := range h.all {
		if hold.Covers(portal) && !h.isOver(hold) {
			return hold, true
		}
	}
	return database.Hold{}, false
}

// overAt is when a hold that is taken away now was over.
func (h *holds) overAt(scope, kind string) time.Time {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, hold := range h.all {
		if hold.Scope == scope && hold.Kind == kind && h.isOver(hold) {
			return hold.Until
		}
	}
	return h.now()
}

func (h *holds) isOver(hold database.Hold) bool {
	return !hold.Until.IsZero() && !hold.Until.After(h.now())
}

// list returns the holds that count now, the oldest first.
func (h *holds) list() []database.Hold {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.DeleteFunc(slices.Clone(h.all), h.isOver)
}

// set stores a hold; the last one of its kind and scope counts. It counts from
// when set has returned.
func (h *holds) set(ctx context.Context, hold database.Hold) error {
	h.writing.Lock()
	defer h.writing.Unlock()
	if hold.Began.IsZero() {
		hold.Began = h.now()
	}
	if err := h.db.Holds.Set(ctx, hold); err != nil {
		return err
	}
	if err := h.read(ctx); err != nil {
		return err
	}
	h.wake() // one that was replaced may have covered more, or longer
	return nil
}

// clear takes a hold away and lets go on what it held; ok is false where there
// was none.
func (h *holds) clear(ctx context.Context, scope, kind string) (ok bool, err error) {
	h.writing.Lock()
	defer h.writing.Unlock()
	return h.remove(ctx, scope, kind)
}

func (h *holds) remove(ctx context.Context, scope, kind string) (ok bool, err error) {
	if ok, err = h.db.Holds.Clear(ctx, scope, kind, h.overAt(scope, kind)); err != nil {
		return false, err
	}
	if err = h.read(ctx); err != nil {
		return ok, err
	}
	h.wake()
	return ok, nil
}

// run takes holds away whose time is over, until ctx ends.
func (h *holds) run(ctx context.Context) error {
	for {
		next, err := h.expire(ctx)
		if err != nil {
			return err
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-h.changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// holdsLook is how often run looks at the latest.
const holdsLook = time.Hour

// expire takes away what is over and returns how long nothing else will be.
func (h *holds) expire(ctx context.Context) (time.Duration, error) {
	over, wait, err := h.takeOver(ctx)
	for _, hold := range over {
		zerolog.Ctx(ctx).Info().Str("kind", hold.Kind).Str("scope", hold.Scope).Msg("A hold's time is over")
		h.expired(ctx, hold)
	}
	return wait, err
}

func (h *holds) takeOver(ctx context.Context) (over []database.Hold, wait time.Duration, err error) {
	h.writing.Lock()
	defer h.writing.Unlock()
	h.mu.RLock()
	all := slices.Clone(h.all)
	h.mu.RUnlock()
	wait = holdsLook
	for _, hold := range all {
		switch {
		case h.isOver(hold):
			if _, err = h.remove(ctx, hold.Scope, hold.Kind); err != nil {
				return over, 0, err
			}
			over = append(over, hold)
		case !hold.Until.IsZero():
			wait = min(wait, hold.Until.Sub(h.now()))
		}
	}
	return over, wait, nil
}

// holdText says why a queue waits.
func holdText(x texts.Texts, hold database.Hold) string {
	reason := strings.TrimSpace(hold.Reason)
	switch hold.Kind {
	case database.HoldOutage:
		return x.Say(texts.HoldOutage, "why", reason)
	case database.HoldDrill:
		return x.Say(texts.HoldDrill, "why", drills.Retell(x, reason))
	default:
		return x.Say(texts.HoldPause, "why", reason)
	}
}

package database

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// expelPause is the pause between two looks at sessions that are being ended.
const expelPause = 50 * time.Millisecond

// tenure is the time of one leader.
type tenure struct {
	store  leaseStore
	times  leaseTimes
	now    func() time.Duration
	term   int64
	holder string
	// fence is the number of the lock of its sessions.
	fence int64

	// until is a time of now.
	until atomic.Int64
	ended atomic.Bool
}

func (t *tenure) held() bool { return !t.ended.Load() && t.left() > 0 }

func (t *tenure) left() time.Duration { return time.Duration(t.until.Load()) - t.now() }

// extend notes a renewal, by when it was asked for.
func (t *tenure) extend(asked time.Duration) {
	t.until.Store(int64(asked + t.times.length - t.times.margin))
}

func (t *tenure) end() { t.ended.Store(true) }

// keep renews the lease until it is lost.
func (t *tenure) keep(ctx context.Context) error {
	var last error
	for wait := t.times.every; ; {
		if err := pause(ctx, max(0, min(wait, t.left()))); err != nil {
			return err
		}
		if t.left() <= 0 {
			return errors.Join(errExpired, last)
		}
		renewed, err := t.renew(ctx)
		switch {
		case errors.Is(err, errShared):
			return err
		case err != nil:
			last, wait = err, t.times.retry
		case !renewed:
			return errSuperseded
		default:
			last, wait = nil, t.times.every
		}
	}
}

func (t *tenure) renew(ctx context.Context) (renewed bool, err error) {
	asked := t.now()
	ctx, cancel := context.WithTimeoutCause(ctx, max(0, min(t.times.timeout, t.left())), errSilent)
	defer cancel()
	if renewed, err = t.store.renew(ctx, t.term, t.holder); err == nil && renewed {
		t.extend(asked)
	}
	return renewed, err
}

// expel makes sure that no leader before can write any more: its sessions end,
// and the fence admits no new ones. Until then this one must not begin.
func (t *tenure) expel(ctx context.Context) error {
	for renewal := t.now() + t.times.every; ; {
		if t.left() <= 0 {
			return fmt.Errorf("end the sessions of the instance before: %w", errExpired)
		}
		asking, cancel := context.WithTimeoutCause(ctx, t.times.timeout, errSilent)
		found, err := t.store.expel(asking, t.term, t.holder)
		cancel()
		if err != nil {
			return fmt.Errorf("end the sessions of the instance before: %w", err)
		}
		if found == 0 {
			return nil
		}
		if err = pause(ctx, expelPause); err != nil {
			return err
		}
		if t.now() < renewal {
			continue
		}
		if renewed, err := t.renew(ctx); err != nil || !renewed {
			return errors.Join(errSuperseded, err)
		}
		renewal = t.now() + t.times.every
	}
}

// release lets another one begin at once.
func (t *tenure) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, t.times.timeout, errSilent)
	defer cancel()
	if err := t.store.release(ctx, t.term, t.holder); err != nil {
		return fmt.Errorf("give the database's lease back: %w", err)
	}
	return nil
}

package teamstest

import (
	"context"
	"sync"
	"time"
)

// Clock is the tenant's idea of time. It runs with the real clock, displaced
// by whatever tests have advanced it, unless it was frozen. Everything in the
// tenant that has a lifetime, tokens, limits, subscriptions, reads this clock.
type Clock struct {
	mu     sync.Mutex
	offset time.Duration
	frozen time.Time
	moved  chan struct{}
}

// NewClock returns a running clock that shows start now. A zero start means
// the real time.
func NewClock(start time.Time) *Clock {
	c := &Clock{moved: make(chan struct{})}
	if !start.IsZero() {
		c.offset = time.Until(start)
	}
	return c
}

// Now is the tenant's current time, in UTC.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

func (c *Clock) now() time.Time {
	if !c.frozen.IsZero() {
		return c.frozen
	}
	// Round strips the monotonic reading: an offset of days is meant.
	return time.Now().Add(c.offset).Round(0).UTC()
}

// Advance moves the clock forward and wakes everybody who waits on it.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.frozen.IsZero() {
		c.offset += d
	} else {
		c.frozen = c.frozen.Add(d)
	}
	c.wake()
}

// Freeze stops the clock where it is; Advance still moves it.
func (c *Clock) Freeze() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = c.now()
	c.wake()
}

// Resume lets a frozen clock run on from where it stands.
func (c *Clock) Resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.frozen.IsZero() {
		return
	}
	c.offset = time.Until(c.frozen)
	c.frozen = time.Time{}
	c.wake()
}

func (c *Clock) wake() {
	close(c.moved)
	c.moved = make(chan struct{})
}

// WaitUntil returns when the clock shows at or later, or when ctx is done.
func (c *Clock) WaitUntil(ctx context.Context, at time.Time) error {
	for {
		c.mu.Lock()
		left, frozen, moved := at.Sub(c.now()), !c.frozen.IsZero(), c.moved
		c.mu.Unlock()
		if left <= 0 {
			return nil
		}
		var ring <-chan time.Time
		if !frozen {
			timer := time.NewTimer(left)
			defer timer.Stop()
			ring = timer.C
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-moved:
		case <-ring:
		}
	}
}

// Wait returns when d has passed on the clock, or when ctx is done.
func (c *Clock) Wait(ctx context.Context, d time.Duration) error {
	return c.WaitUntil(ctx, c.Now().Add(d))
}

package database

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// leaseWorld is a database with a lease, and those who contend for it.
type leaseWorld struct {
	t  *testing.T
	mu sync.Mutex
	leaseRow
	// writers are the terms of the sessions that the fence has admitted.
	writers []int64
}

// contender is one instance's way to the database.
type contender struct {
	w *leaseWorld
	// cut: nothing goes through. deaf: what is asked for is done, and the answer
	// never comes. slow: how long an answer takes.
	cut, deaf bool
	slow      time.Duration
}

func newWorld(t *testing.T) *leaseWorld {
	return &leaseWorld{t: t, leaseRow: leaseRow{Released: true}}
}

// virtual is a clock of the bubble.
func virtual() func() time.Duration {
	began := time.Now()
	return func() time.Duration { return time.Since(began) }
}

func (w *leaseWorld) join(now func() time.Duration) (*contender, *lease) {
	c := &contender{w: w}
	return c, newLease(c, leaseDefaults, now)
}

func (c *contender) way(ctx context.Context, do func(w *leaseWorld)) error {
	c.w.mu.Lock()
	cut, deaf, slow := c.cut, c.deaf, c.slow
	if !cut {
		do(c.w)
	}
	c.w.mu.Unlock()
	if cut || deaf {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	if slow == 0 {
		return nil
	}
	return pause(ctx, slow)
}

func (c *contender) set(change func(c *contender)) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	change(c)
}

func (c *contender) read(ctx context.Context) (row leaseRow, err error) {
	err = c.way(ctx, func(w *leaseWorld) { row = w.leaseRow })
	return row, err
}

func (c *contender) take(ctx context.Context, seen leaseRow, holder string) (taken bool, err error) {
	err = c.way(ctx, func(w *leaseWorld) {
		if taken = w.leaseRow == seen; taken {
			w.leaseRow = leaseRow{Term: seen.Term + 1, Holder: holder}
		}
	})
	return taken, err
}

func (c *contender) renew(ctx context.Context, term int64, holder string) (renewed bool, err error) {
	err = c.way(ctx, func(w *leaseWorld) {
		if renewed = w.Term == term && w.Holder == holder; renewed {
			w.Beat++
		}
	})
	return renewed, err
}

func (c *contender) expel(ctx context.Context, _ int64, _ string) (found int, err error) {
	err = c.way(ctx, func(w *leaseWorld) { found, w.writers = len(w.writers), nil })
	return found, err
}

func (c *contender) release(ctx context.Context, term int64, holder string) error {
	return c.way(ctx, func(w *leaseWorld) { w.Released = w.Released || w.Term == term && w.Holder == holder })
}

func (c *contender) fence() int64 { return 0 }

func (c *contender) close() {}

// stands by until it leads, as an instance does; at is when.
func standBy(t *testing.T, l *lease) (lock *Lock, at time.Time) {
	t.Helper()
	for range 1000 {
		lock, err := l.try(t.Context())
		if err == nil {
			t.Cleanup(func() { _ = lock.Close() })
			return lock, time.Now()
		}
		wait := 500 * time.Millisecond
		if locked := new(LockedError); errors.As(err, &locked) && locked.Again > 0 {
			wait = min(wait, locked.Again)
		}
		time.Sleep(wait)
	}
	t.Fatal("it never leads")
	return nil, time.Time{}
}

// neverBoth fails when both may act at one time.
func neverBoth(t *testing.T, locks ...func() *Lock) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() {
		for pause(ctx, time.Millisecond) == nil {
			held := 0
			for _, lock := range locks {
				if l := lock(); l != nil && l.Held() {
					held++
				}
			}
			if held > 1 {
				t.Error("two instances may act")
				return
			}
		}
	}()
}

// TestLeaseIsHeld: nobody else gets it while it is renewed, however slow the
// database is; and at once when it is given back.
func TestLeaseIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		way, first := w.join(virtual())
		lock, _ := standBy(t, first)
		_, second := w.join(virtual())
		way.set(func(c *contender) { c.slow = leaseDefaults.timeout - time.Millisecond })
		for range 240 {
			_, err := second.try(t.Context())
			require.ErrorIs(t, err, ErrLocked)
			require.True(t, lock.Held())
			time.Sleep(500 * time.Millisecond)
		}
		require.Contains(t, second.seen.Holder, first.name)
		way.set(func(c *contender) { c.slow = 0 })
		require.NoError(t, lock.Close())
		require.False(t, lock.Held())
		next, _ := standBy(t, second)
		require.True(t, next.Held())
		require.Empty(t, lock.Lost(), "it was given back, not lost")
	})
}

// cutOff has a leader lose its database in a way, and another one follow it. It
// returns how long after the cut the first stopped and the second began.
func cutOff(t *testing.T, cut func(c *contender)) (stopped, began time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		way, first := w.join(virtual())
		_, second := w.join(virtual())
		lock, _ := standBy(t, first)
		var other *Lock
		var mu sync.Mutex
		neverBoth(t, func() *Lock { return lock }, func() *Lock { mu.Lock(); defer mu.Unlock(); return other })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+300*time.Millisecond)
		defer cancel()
		for ctx.Err() == nil { // the second looks on meanwhile
			_, err := second.try(t.Context())
			require.ErrorIs(t, err, ErrLocked)
			_ = pause(ctx, 500*time.Millisecond)
		}
		at := time.Now()
		way.set(cut)
		go func() {
			require.Error(t, <-lock.Lost())
			stopped = time.Since(at)
			require.False(t, lock.Held())
		}()
		next, when := standBy(t, second)
		mu.Lock()
		other = next
		mu.Unlock()
		began = when.Sub(at)
		time.Sleep(time.Minute)
		require.True(t, next.Held())
		require.False(t, lock.Held())
		way.set(func(c *contender) { c.cut, c.deaf, c.slow = false, false, 0 }) // too late
		time.Sleep(time.Minute)
		require.True(t, next.Held())
	})
	return stopped, began
}

// TestLeaseOfWhoIsCutOff: the leader stops before another one begins, whether
// its questions or only the answers are lost, or come too late; and that one
// begins soon.
func TestLeaseOfWhoIsCutOff(t *testing.T) {
	for name, cut := range map[string]func(c *contender){
		"Cut":  func(c *contender) { c.cut = true },
		"Deaf": func(c *contender) { c.deaf = true },
		"Slow": func(c *contender) { c.slow = time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			stopped, began := cutOff(t, cut)
			require.LessOrEqual(t, stopped, leaseDefaults.length-leaseDefaults.margin)
			require.Greater(t, began, stopped)
			if name == "Cut" { // otherwise renewals go on until it stops
				require.LessOrEqual(t, began, leaseDefaults.length+time.Second)
			}
			require.Less(t, began, 2*leaseDefaults.length)
		})
	}
}

// TestLeaseOutlastsAShortCut: a server that is away for some seconds, as in a
// restart, costs nobody the lead.
func TestLeaseOutlastsAShortCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		way, first := w.join(virtual())
		lock, _ := standBy(t, first)
		for range 20 {
			way.set(func(c *contender) { c.cut = true })
			time.Sleep(3 * time.Second)
			way.set(func(c *contender) { c.cut = false })
			time.Sleep(3*time.Second + 50*time.Millisecond) // at another moment of its round each time
			require.True(t, lock.Held())
		}
		require.Empty(t, lock.Lost())
	})
}

// TestLeaseOfWhoWasStopped: a process that did not run for longer than its lease
// must not act when it goes on, whatever it does first: not even with the answer
// to a renewal at hand that came in time.
func TestLeaseOfWhoWasStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slept atomic.Int64 // nanoseconds: the clock goes on, nothing runs
		began := time.Now()
		w := newWorld(t)
		way, first := w.join(func() time.Duration { return time.Since(began) + time.Duration(slept.Load()) })
		lock, _ := standBy(t, first)
		require.True(t, lock.Held())
		way.set(func(c *contender) { c.slow = time.Second })
		time.Sleep(1500 * time.Millisecond) // a renewal is under way
		require.True(t, lock.Held())
		slept.Store(int64(time.Hour))
		require.False(t, lock.Held())
		time.Sleep(600 * time.Millisecond) // its answer comes: it was granted an hour ago
		require.False(t, lock.Held())
		require.ErrorIs(t, <-lock.Lost(), errExpired)
	})
}

// TestLeaseGoesToOne: of many who wait one gets it, each time.
func TestLeaseGoesToOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		terms := make(chan *Lock)
		for range 5 {
			go func() {
				_, l := w.join(virtual())
				lock, _ := standBy(t, l)
				terms <- lock
			}()
		}
		for range 5 {
			lock := <-terms
			select {
			case <-terms:
				t.Error("two lead")
			case <-time.After(30 * time.Second):
			}
			require.True(t, lock.Held())
			require.NoError(t, lock.Close())
		}
		require.EqualValues(t, 5, w.Term)
	})
}

// TestLeaseWaitsForTheSessionsBefore: whoever takes over does not begin while the
// one before might still write, and not with a lease that ended meanwhile.
func TestLeaseWaitsForTheSessionsBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, l := w.join(virtual())
		t0 := &tenure{store: &stubborn{contender: &contender{w: w}, looks: 100}, times: l.times, now: l.now, term: 1, holder: "x"}
		w.leaseRow = leaseRow{Term: 1, Holder: "x"}
		t0.extend(l.now())
		began := time.Now()
		require.NoError(t, t0.expel(t.Context()))
		require.Equal(t, 100*expelPause, time.Since(began))
		require.True(t, t0.held(), "it is renewed meanwhile")
		w.Term = 2
		t0.store = &stubborn{contender: &contender{w: w}, looks: 1000}
		require.ErrorIs(t, t0.expel(t.Context()), errSuperseded)
	})
}

// stubborn has sessions that do not end at once.
type stubborn struct {
	*contender
	looks int
}

func (s *stubborn) expel(context.Context, int64, string) (int, error) {
	s.looks--
	return max(0, s.looks+1), nil
}

// TestInUse tells a lease that is renewed from one that was left behind.
func TestInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, first := w.join(virtual())
		inUse := func() bool {
			_, l := w.join(virtual())
			used, err := l.inUse(t.Context())
			require.NoError(t, err)
			return used
		}
		require.False(t, inUse())
		lock, _ := standBy(t, first)
		require.True(t, inUse())
		require.NoError(t, lock.Close())
		require.False(t, inUse())
		w.Released = false // killed
		require.False(t, inUse())
	})
}

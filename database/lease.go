package database

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// leaseTimes say how a lease is kept.
//
// Nobody's wall clock counts. The leader may act until length minus margin after
// it asked for its last renewal that succeeded; another one may begin when it has
// seen no renewal for length. It can't have seen one before it was asked for, so
// the leader has stopped a margin before, however late messages are: the margin
// is for clocks that run at different speeds, and for the time that an end takes.
type leaseTimes struct {
	length, margin time.Duration
	// every is how often it is renewed, retry the pause after a try that failed,
	// timeout how long one try may take, patience how long a look at it by who
	// does not have it.
	every, retry, timeout, patience time.Duration
}

// A killed leader is followed after 6 to 7 seconds; a leader does without its
// database for 3 at least, and for 4 where connections are refused meanwhile.
var leaseDefaults = leaseTimes{
	length: 6 * time.Second, margin: time.Second, every: time.Second, retry: 200 * time.Millisecond, timeout: 1500 * time.Millisecond,
	patience: 10 * time.Second,
}

var (
	errSilent     = errors.New("the server does not answer")
	errSuperseded = errors.New("another instance has taken the lease of the database")
	errExpired    = errors.New("the lease of the database could not be renewed in time")
)

// leaseRow is what the database says of the lease.
type leaseRow struct {
	// Term grows with each leader, Beat with each renewal.
	Term, Beat int64
	Holder     string
	// Released is set by a leader that has stopped.
	Released bool
}

// leaseStore is where the lease is kept. Its methods give up when the context
// ends, and the next one begins afresh. It is for one goroutine at a time.
type leaseStore interface {
	read(ctx context.Context) (leaseRow, error)
	// take begins the next term, if the row still says what was seen.
	take(ctx context.Context, seen leaseRow, holder string) (taken bool, err error)
	// renew reports false where the term is over.
	renew(ctx context.Context, term int64, holder string) (renewed bool, err error)
	// expel ends the sessions in which former leaders might still write, and
	// returns how many there were.
	expel(ctx context.Context, term int64, holder string) (found int, err error)
	release(ctx context.Context, term int64, holder string) error
	// fence is the number of the lock that admitted sessions have.
	fence() int64
	close()
}

// lease is one contender's view of the lease.
type lease struct {
	store leaseStore
	times leaseTimes
	// now is a clock that goes on while the machine sleeps and never jumps.
	now  func() time.Duration
	name string

	seen    leaseRow
	seenAt  time.Duration
	sighted bool
	// leading is set when it has been taken.
	leading *tenure
}

func newLease(store leaseStore, times leaseTimes, now func() time.Duration) *lease {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return &lease{store: store, times: times, now: now, name: fmt.Sprintf("%s:%d", host, os.Getpid())}
}

// look reads the lease and returns how long nobody may take it yet.
func (l *lease) look(ctx context.Context) (wait time.Duration, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, l.times.patience, errSilent)
	defer cancel()
	row, err := l.store.read(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the database's lease: %w", err)
	}
	at := l.now()
	if !l.sighted || row != l.seen {
		l.seen, l.seenAt, l.sighted = row, at, true
	}
	if row.Released {
		return 0, nil
	}
	return max(0, l.seenAt+l.times.length-at), nil
}

// try takes the lease if its holder has given it up, or has not renewed it for
// as long as it lasts.
func (l *lease) try(ctx context.Context) (*Lock, error) {
	wait, err := l.look(ctx)
	if err != nil {
		return nil, err
	}
	if wait > 0 {
		return nil, &LockedError{Holder: l.seen.Holder, Again: wait}
	}
	t := &tenure{store: l.store, times: l.times, now: l.now, term: l.seen.Term + 1, holder: l.name + ":" + rand.Text()[:8]}
	asked := l.now()
	taking, cancel := context.WithTimeoutCause(ctx, l.times.length-l.times.margin, errSilent)
	defer cancel()
	taken, err := l.store.take(taking, l.seen, t.holder)
	if err != nil {
		return nil, fmt.Errorf("take the database's lease: %w", err)
	}
	if !taken {
		return nil, &LockedError{Holder: l.seen.Holder}
	}
	t.extend(asked)
	t.fence = l.store.fence()
	if err = t.expel(ctx); err != nil {
		t.end()
		return nil, errors.Join(err, t.release(context.WithoutCancel(ctx)))
	}
	l.leading = t
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	lock := newLock(t.held, sync.OnceValue(func() error {
		t.end()
		stop()
		<-done
		defer t.store.close()
		return t.release(context.Background())
	}))
	go func() {
		defer close(done)
		if err := t.keep(running); running.Err() == nil {
			t.end()
			lock.lost <- err
		}
	}()
	return lock, nil
}

// inUse looks whether somebody renews the lease.
func (l *lease) inUse(ctx context.Context) (bool, error) {
	if _, err := l.look(ctx); err != nil {
		return false, err
	}
	first := l.seen
	for until := l.now() + 2*l.times.every + l.times.timeout; l.seen == first && !first.Released && l.now() < until; {
		if err := pause(ctx, l.times.retry); err != nil {
			return false, err
		}
		if _, err := l.look(ctx); err != nil {
			return false, err
		}
	}
	return l.seen != first && !l.seen.Released, nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

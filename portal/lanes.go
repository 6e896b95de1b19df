package portal

import (
	"context"
	"sync"
	"time"
)

// lanes runs work for many keys, one goroutine per key and only while the key
// has work, with a limit on how many work at once.
type lanes struct {
	// work does what there is to do for a key and says when to look again; the
	// zero time means not before the next wake.
	work func(ctx context.Context, key string) time.Time
	now  func() time.Time
	slot chan struct{}

	mu   sync.Mutex
	ctx  context.Context // nil while not running
	wg   sync.WaitGroup
	keys map[string]*lane
}

type lane struct {
	running bool
	again   bool // woken while running
	timer   *time.Timer
}

// giveWay is returned by work that has more to do for its key: the lane goes to
// the end of the queue for a slot, so that a few keys with a long backlog do
// not keep all the others waiting until they are through.
var giveWay = time.Unix(0, 1)

func newLanes(limit int, now func() time.Time, work func(ctx context.Context, key string) time.Time) *lanes {
	return &lanes{work: work, now: now, slot: make(chan struct{}, limit), keys: map[string]*lane{}}
}

// start lets lanes run until ctx ends. Keys woken before are not remembered:
// the caller wakes what its store says has work.
func (l *lanes) start(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ctx = ctx
}

// stop waits until no lane runs; ctx of start must have ended.
func (l *lanes) stop() {
	l.mu.Lock()
	l.ctx = nil
	for key, ln := range l.keys {
		if ln.timer != nil {
			ln.timer.Stop()
		}
		if !ln.running {
			delete(l.keys, key)
		}
	}
	l.mu.Unlock()
	l.wg.Wait()
}

// wakeAfter makes sure that a key's work is looked at when a time has passed,
// or when the lane is ready for it.
func (l *lanes) wakeAfter(key string, d time.Duration) {
	if d <= 0 {
		l.wake(key)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx == nil || l.ctx.Err() != nil {
		return
	}
	switch ln := l.keys[key]; {
	case ln == nil:
		l.keys[key] = &lane{timer: time.AfterFunc(d, func() { l.wake(key) })}
	case ln.running:
		ln.again = true
	}
	// A lane with a timer looks again then: at what is in front, or no later
	// than d from now because it was woken for a message that came before.
}

// wake makes sure that a key's work is looked at from now on.
func (l *lanes) wake(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx == nil || l.ctx.Err() != nil {
		return
	}
	ln := l.keys[key]
	if ln == nil {
		ln = &lane{}
		l.keys[key] = ln
	}
	if ln.timer != nil {
		ln.timer.Stop()
		ln.timer = nil
	}
	if ln.running {
		ln.again = true
		return
	}
	ln.running = true
	l.wg.Add(1)
	go l.run(l.ctx, key, ln)
}

// woken reports whether a key whose work runs was woken since it began or since
// this was asked last: there may be something new to look at.
func (l *lanes) woken(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln := l.keys[key]
	if ln == nil || !ln.again {
		return false
	}
	ln.again = false
	return true
}

func (l *lanes) run(ctx context.Context, key string, ln *lane) {
	defer l.wg.Done()
	for {
		var next time.Time
		select {
		case l.slot <- struct{}{}:
			next = l.work(ctx, key)
			<-l.slot
		case <-ctx.Done():
		}
		l.mu.Lock()
		switch {
		case ctx.Err() != nil:
			delete(l.keys, key)
			l.mu.Unlock()
			return
		case ln.again, next.Equal(giveWay):
			ln.again = false
			l.mu.Unlock()
			continue
		case next.IsZero():
			delete(l.keys, key)
		default:
			ln.running = false
			ln.timer = time.AfterFunc(max(next.Sub(l.now()), time.Millisecond), func() { l.wake(key) })
		}
		l.mu.Unlock()
		return
	}
}

// beside runs what takes long and needs none of what lanes share: another lane
// may have the place meanwhile. It is called by work.
func (l *lanes) beside(f func() error) error {
	<-l.slot
	defer func() { l.slot <- struct{}{} }()
	return f()
}

// busy returns how many keys have work or wait for their time.
func (l *lanes) busy() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.keys)
}

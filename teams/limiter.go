package teams

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// LimiterOptions configures a Limiter; the zero value is what production uses.
type LimiterOptions struct {
	// Disabled switches the documented rates off; announced pauses still hold.
	Disabled bool
	// Scale multiplies the documented rates (0 means 1); tests use it.
	Scale float64
	// Utilisation is the share of a documented rate that is used steadily, the
	// rest being the burst (0 means 0.83, which Microsoft calls safe).
	Utilisation float64
	// PostUtilisation is the same for posts of one account and to one channel
	// (0 means Utilisation, and 0.87 where that is 0, too). One a second leaves
	// nothing to burst with, so the rest is there only for requests that take
	// different times to arrive; and it is what a backlog goes at.
	PostUtilisation float64
	// MaxPause is the longest announced pause that a call waits out; a longer
	// one fails the call with KindThrottled at once (0 means 1 minute).
	MaxPause time.Duration
	// MaxQueue bounds the whole wait of one call (0 means 15 minutes).
	MaxQueue time.Duration
}

// Limiter keeps all callers of one application and tenant below Graph's
// documented limits and holds them back while Graph has told one of them to
// wait. Waiters of a scope go first come, first served. All clients of a
// process must share one Limiter.
type Limiter struct {
	opts LimiterOptions
	rows map[string]row

	mu      sync.Mutex
	buckets map[bucketKey]*bucket
	swept   time.Time
}

// bucketKey names a scope: a row alone for application and tenant, with a
// resource or a user for the narrower ones.
type bucketKey struct{ row, kind, id string }

// bucket is the state of one scope. Everything but turn is under Limiter.mu.
type bucket struct {
	key bucketKey
	// turn is held by the one waiter whose turn it is; channels serve their
	// senders in order of arrival.
	turn     chan struct{}
	interval time.Duration // between tokens; 0 is unlimited
	burst    time.Duration // how far ahead of time tokens may be taken
	next     time.Time     // when the next token would be due without burst
	paused   time.Time     // nothing may be sent before
	struck   time.Time     // when the last unannounced refusal came
	strikes  int           // unannounced refusals since the last success
	users    int
}

// maxBuckets is how many scopes are kept before idle ones are forgotten.
const maxBuckets = 50_000

// NewLimiter returns a Limiter with nothing paused.
func NewLimiter(opts LimiterOptions) *Limiter {
	if opts.Scale <= 0 {
		opts.Scale = 1
	}
	if opts.Utilisation <= 0 || opts.Utilisation > 1 {
		opts.Utilisation = 0.83
		if opts.PostUtilisation <= 0 || opts.PostUtilisation > 1 {
			opts.PostUtilisation = 0.87
		}
	}
	if opts.PostUtilisation <= 0 || opts.PostUtilisation > 1 {
		opts.PostUtilisation = opts.Utilisation
	}
	if opts.MaxPause <= 0 {
		opts.MaxPause = time.Minute
	}
	if opts.MaxQueue <= 0 {
		opts.MaxQueue = 15 * time.Minute
	}
	return &Limiter{opts: opts, rows: rows(), buckets: map[bucketKey]*bucket{}}
}

// wait returns when the call may be sent. Its error is an *Error: nothing was
// sent, so it is never ambiguous.
func (l *Limiter) wait(ctx context.Context, c call) error {
	if err := ctx.Err(); err != nil {
		return canceled(c, err, false)
	}
	buckets := l.acquire(c)
	defer l.release(buckets)
	queue, cancel := context.WithTimeout(ctx, l.opts.MaxQueue)
	defer cancel()
	held, from := 0, 0
	defer func() { yield(buckets[:held]) }()
	for {
		// Narrow scopes first, and one waiter of each goes on to the next: who
		// waits for a busy channel must not stand in the tenant's queue, and
		// tokens are taken only when all scopes have one.
		for i := from; i < len(buckets); i++ {
			if i >= held {
				select {
				case buckets[i].turn <- struct{}{}:
					held = i + 1
				case <-queue.Done():
					return l.waitError(ctx, c, queue.Err())
				}
			}
			if err := l.ready(queue, c, buckets[i]); err != nil {
				return l.waitError(ctx, c, err)
			}
		}
		closed := l.take(buckets)
		if closed < 0 {
			return nil
		}
		// A scope was paused while we waited for a wider one: let the wider
		// ones go on with those whom the pause does not concern.
		yield(buckets[closed+1 : held])
		held, from = closed+1, closed
	}
}

// paused reports whether one of the call's scopes lets nothing through for now.
func (l *Limiter) paused(c call) bool {
	buckets := l.acquire(c)
	defer l.release(buckets)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	return slices.ContainsFunc(buckets, func(b *bucket) bool { return b.paused.After(now) })
}

// yield lets the next waiters of the scopes have their turn.
func yield(buckets []*bucket) {
	for _, b := range buckets {
		<-b.turn
	}
}

func (l *Limiter) waitError(ctx context.Context, c call, err error) error {
	if e, ok := err.(*Error); ok {
		return e
	}
	if ctx.Err() != nil {
		e := canceled(c, ctx.Err(), false)
		e.Unsent = true
		return e
	}
	return &Error{Op: c.op, Kind: KindThrottled, Unsent: true, Hint: "more requests are waiting than Graph's limits let through", Err: err}
}

// ready waits until b would let one request through.
func (l *Limiter) ready(ctx context.Context, c call, b *bucket) error {
	for {
		l.mu.Lock()
		pause, delay := b.wait(time.Now())
		l.mu.Unlock()
		if pause > l.opts.MaxPause {
			return &Error{Op: c.op, Kind: KindThrottled, RetryAfter: pause, Unsent: true, Hint: "Graph has announced a pause"}
		}
		if pause <= 0 && delay <= 0 {
			return nil
		}
		if err := sleep(ctx, max(pause, delay)); err != nil {
			return err
		}
	}
}

// take takes a token of every scope and returns -1, or takes none and returns
// the index of a scope that lets nothing through now.
func (l *Limiter) take(buckets []*bucket) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for i, b := range buckets {
		if pause, delay := b.wait(now); pause > 0 || delay > 0 {
			return i
		}
	}
	for _, b := range buckets {
		if b.next.Before(now) {
			b.next = now
		}
		b.next = b.next.Add(b.interval)
	}
	return -1
}

// wait says how long b is paused, and else how long its next token takes.
func (b *bucket) wait(now time.Time) (pause, delay time.Duration) {
	if pause = b.paused.Sub(now); pause > 0 {
		return pause, 0
	}
	return 0, b.next.Add(-b.burst).Sub(now)
}

// report tells the limiter how a request that was sent at sent ended, and
// returns the pause that follows from it. announced is Graph's own Retry-After.
//
// Graph does not say which dimension of a limit was hit, so all of the
// request's scopes pause: the resource, the user, and the operation for the
// whole application and tenant. Other operations have limits of their own.
func (l *Limiter) report(c call, sent time.Time, throttled bool, announced time.Duration) time.Duration {
	buckets := l.acquire(c)
	defer l.release(buckets)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	var longest time.Duration
	for _, b := range buckets {
		var pause time.Duration
		switch {
		case announced > 0:
			pause = announced
			b.struck, b.strikes = now, 0
		case throttled:
			// Refusals of requests that were under way together are one.
			if b.strikes == 0 || sent.After(b.struck) {
				b.strikes++
				b.struck = now
				pause = backoff(b.strikes, time.Second, time.Minute)
			}
		default:
			if sent.After(b.struck) {
				b.strikes = 0
			}
		}
		if until := now.Add(pause); pause > 0 && until.After(b.paused) {
			b.paused = until
		}
		longest = max(longest, b.paused.Sub(now))
	}
	return longest
}

// backoff returns an exponential delay with jitter between half and the whole.
func backoff(n int, base, limit time.Duration) time.Duration {
	d := limit
	if n < 16 {
		d = min(limit, base<<(n-1))
	}
	return d/2 + time.Duration(rand.Int64N(int64(d/2)+1))
}

// acquire returns the scopes of a call, the narrowest first.
func (l *Limiter) acquire(c call) []*bucket {
	r := l.rows[c.row]
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.buckets) > maxBuckets && time.Since(l.swept) > time.Second {
		l.forget()
	}
	out := make([]*bucket, 0, 3)
	if c.resource != "" {
		out = append(out, l.bucket(bucketKey{c.row, "resource", c.resource}, r.resource))
	}
	if c.user != "" {
		out = append(out, l.bucket(bucketKey{c.row, "user", c.user}, r.user))
	}
	return append(out, l.bucket(bucketKey{c.row, "tenant", ""}, r.tenant))
}

func (l *Limiter) release(buckets []*bucket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range buckets {
		b.users--
	}
}

func (l *Limiter) bucket(key bucketKey, perSecond float64) *bucket {
	b := l.buckets[key]
	if b == nil {
		b = &bucket{key: key, turn: make(chan struct{}, 1)}
		if perSecond > 0 && !l.opts.Disabled {
			perSecond *= l.opts.Scale
			share := l.opts.Utilisation
			if key.row == rowPost && key.kind != "tenant" {
				share = l.opts.PostUtilisation
			}
			b.interval = time.Duration(float64(time.Second) / (perSecond * share))
			// Steady rate and burst together stay within one second's limit.
			if spare := int(perSecond * (1 - share)); spare > 1 {
				b.burst = time.Duration(spare-1) * b.interval
			}
		}
		l.buckets[key] = b
	}
	b.users++
	return b
}

// forget drops the scopes whose state says nothing any more.
func (l *Limiter) forget() {
	now := time.Now()
	l.swept = now
	for key, b := range l.buckets {
		if b.users == 0 && b.strikes == 0 && b.next.Before(now) && b.paused.Before(now) {
			delete(l.buckets, key)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

package teamstest

import (
	"math"
	"net/http"
	"sync"
	"time"
)

// RetryAfterMode says whether refusals of the throttle carry Retry-After.
type RetryAfterMode int

const (
	// RetryAfterAlways sends the header with every 429.
	RetryAfterAlways RetryAfterMode = iota
	// RetryAfterNever leaves it out, as Teams' own tier often does.
	RetryAfterNever
	// RetryAfterAlternating sends it with every other 429.
	RetryAfterAlternating
)

// inFlightGrace is how long after a 429 a request of the same scope is taken
// to have been under way already, and is not held against the client.
const inFlightGrace = 250 * time.Millisecond

// throttle keeps one token bucket per documented limit and scope. The
// buckets count always; they refuse only while enforced.
type throttle struct {
	now func() time.Time

	mu       sync.Mutex
	enforced bool
	mode     RetryAfterMode
	given    int
	buckets  map[string]*bucket
	pauses   map[string]pause
}

// bucket holds tokens up to one second's worth of its rate, two at least:
// the documentation tolerates short bursts and gives no number.
type bucket struct {
	tokens float64
	filled time.Time
}

// pause is an announced Retry-After.
type pause struct{ since, until time.Time }

// verdict is what the throttle says about one request.
type verdict struct {
	refuse     bool
	retryAfter time.Duration // announced, 0 for none
	exceeded   string        // the limit whose bucket was empty
	early      string        // the scope whose Retry-After was not waited for
}

func newThrottle(now func() time.Time, enforced bool) *throttle {
	return &throttle{now: now, enforced: enforced, buckets: map[string]*bucket{}, pauses: map[string]pause{}}
}

// admit counts a request and says whether it is refused.
func (t *throttle) admit(scopes []scopeLimit) verdict {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	var v verdict
	wait := t.waiting(scopes, now, &v)
	for _, s := range scopes {
		if missing := t.take(s, now); missing > 0 {
			if v.exceeded == "" {
				v.exceeded = s.key
			}
			wait = max(wait, missing)
		}
	}
	if v.refuse = t.enforced && wait > 0; !v.refuse {
		return v
	}
	t.given++
	if t.mode == RetryAfterNever || t.mode == RetryAfterAlternating && t.given%2 == 0 {
		return v
	}
	v.retryAfter = wholeSeconds(wait)
	if v.exceeded != "" {
		t.announce(v.exceeded, now, v.retryAfter)
	}
	return v
}

// waiting is how long announced pauses of the scopes still last.
func (t *throttle) waiting(scopes []scopeLimit, now time.Time, v *verdict) (wait time.Duration) {
	for _, s := range scopes {
		p, ok := t.pauses[s.key]
		if !ok {
			continue
		}
		if !now.Before(p.until) {
			delete(t.pauses, s.key)
			continue
		}
		if now.Sub(p.since) > inFlightGrace {
			v.early = s.key
			if t.enforced {
				// Retrying early prolongs the wait.
				p.until = p.until.Add(time.Second)
				t.pauses[s.key] = p
			}
		}
		wait = max(wait, p.until.Sub(now))
	}
	return wait
}

// take removes a token, or returns how long it takes until there is one. A
// refused request takes none: otherwise a client could never get out.
func (t *throttle) take(s scopeLimit, now time.Time) time.Duration {
	room := math.Max(2, s.rate)
	b := t.buckets[s.key]
	if b == nil {
		b = &bucket{tokens: room, filled: now}
		t.buckets[s.key] = b
	}
	if passed := now.Sub(b.filled).Seconds(); passed > 0 {
		b.tokens = math.Min(room, b.tokens+passed*s.rate)
		b.filled = now
	}
	if b.tokens >= 1 {
		b.tokens--
		return 0
	}
	return max(time.Millisecond, time.Duration((1-b.tokens)/s.rate*float64(time.Second)))
}

// announce remembers a Retry-After; a longer one stays.
func (t *throttle) announce(key string, now time.Time, d time.Duration) {
	if p, ok := t.pauses[key]; ok && p.until.After(now.Add(d)) {
		return
	}
	t.pauses[key] = pause{since: now, until: now.Add(d)}
}

// announced registers the Retry-After of an injected 429 for the narrowest
// scope that does not depend on the caller, so that early requests are seen.
func (t *throttle) announced(scopes []scopeLimit, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(scopes) > 0 {
		t.announce(scopes[min(1, len(scopes)-1)].key, t.now(), d)
	}
}

func wholeSeconds(d time.Duration) time.Duration {
	return max(time.Second, (d + time.Second - 1).Truncate(time.Second))
}

// SetLimits turns the documented throttling on or off. Violations are noticed
// either way.
func (t *Tenant) SetLimits(enforced bool) {
	th := t.edge.throttle
	th.mu.Lock()
	defer th.mu.Unlock()
	th.enforced = enforced
	clear(th.buckets)
	clear(th.pauses)
}

// SetRetryAfter says whether the throttle's refusals carry Retry-After.
func (t *Tenant) SetRetryAfter(mode RetryAfterMode) {
	th := t.edge.throttle
	th.mu.Lock()
	defer th.mu.Unlock()
	th.mode = mode
}

// throttleCall is the seam: it draws a call's tokens and refuses with 429.
func (e *edgeState) throttleCall(x *exchange) *apiError {
	q, resource, ok := quotaOf(x)
	if !ok {
		return nil
	}
	v := e.throttle.admit(q.scopes(resource, x.caller))
	if v.exceeded != "" {
		e.violate(x, ViolationLimit, v.exceeded)
	}
	if v.early != "" {
		e.violate(x, ViolationEarly, v.early)
	}
	if !v.refuse {
		return nil
	}
	return &apiError{
		Status: http.StatusTooManyRequests, Code: "TooManyRequests",
		Message:    "Too many requests. Please wait and try again.",
		RetryAfter: v.retryAfter,
	}
}

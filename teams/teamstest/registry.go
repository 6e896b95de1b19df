package teamstest

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// find returns a subscription that lives, nil otherwise.
func (n *notifier) find(id string) *subscription {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.expire()
	return n.subscriptions[id]
}

// all returns the subscriptions that live, oldest first.
func (n *notifier) all() []*subscription {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.expire()
	return slices.Clone(n.order)
}

// admit applies the quotas; with commit the subscription begins to live.
func (n *notifier) admit(s *subscription, commit bool) *apiError {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.expire()
	if len(n.subscriptions) >= n.opts.MaxSubscriptions {
		return quotaExceeded(fmt.Sprintf("The organization has reached its limit of %d subscriptions for Teams resources.", n.opts.MaxSubscriptions))
	}
	// Documented per app and channel or team; the tenant-wide resources are
	// treated alike, which is harder than silence. An encoded resource is a
	// resource of its own.
	if n.taken[s.place()] != nil {
		return quotaExceeded("App " + s.appID + " has reached its limit of 1 subscription for resource '" + s.resource + "'.")
	}
	if commit {
		n.taken[s.place()] = s
		n.subscriptions[s.id] = s
		n.order = append(n.order, s)
		if s.topic.key != "" {
			n.index[s.topic.key] = append(n.index[s.topic.key], s)
		}
		n.poke()
	}
	return nil
}

func quotaExceeded(reason string) *apiError {
	return extensionError(403, "Operation: Create; Exception: [Status Code: Forbidden; Reason: "+reason+"]")
}

// expire drops what is over. The lock is held.
func (n *notifier) expire() {
	now := n.e.t.clock.Now()
	for _, s := range n.order {
		if !now.Before(s.expires) {
			n.drop(s)
		}
	}
}

// drop ends a subscription's life. The lock is held.
func (n *notifier) drop(s *subscription) {
	if n.subscriptions[s.id] == nil {
		return
	}
	same := func(other *subscription) bool { return other == s }
	delete(n.subscriptions, s.id)
	delete(n.taken, s.place())
	n.order = slices.DeleteFunc(slices.Clone(n.order), same)
	n.index[s.topic.key] = slices.DeleteFunc(slices.Clone(n.index[s.topic.key]), same)
	n.stats.Lost += len(s.parked)
	s.parked = nil
}

// alive reports whether a subscription lives. The lock is held.
func (n *notifier) alive(s *subscription) bool {
	return n.subscriptions[s.id] != nil && n.e.t.clock.Now().Before(s.expires)
}

func (n *notifier) remove(id string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.subscriptions[id]
	if s == nil {
		return false
	}
	n.drop(s)
	return true
}

// removed ends a subscription and tells the client so.
func (n *notifier) removed(s *subscription) {
	if n.remove(s.id) {
		n.tell(s, "subscriptionRemoved")
	}
}

// subscriptionPatch is what a PATCH changes; zero fields stay.
type subscriptionPatch struct {
	now             time.Time
	expires         time.Time
	certificate     *certificate
	notificationURL string
}

// together is the span within which reauthorize and PATCH of the same
// subscription must not both come.
const together = 10 * time.Minute

// patch applies a PATCH. soon reports that a reauthorize came shortly before,
// ok that the subscription still lives.
func (n *notifier) patch(s *subscription, p subscriptionPatch) (soon, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.alive(s) {
		return false, false
	}
	if !p.expires.IsZero() {
		s.expires = p.expires
	}
	if p.certificate != nil {
		s.certificate = p.certificate
	}
	if p.notificationURL != "" {
		s.notificationURL = p.notificationURL
	}
	s.lastPatch = p.now
	n.authorized(s, p.now)
	return !s.lastReauthorize.IsZero() && p.now.Sub(s.lastReauthorize) < together, true
}

// reauthorize notes a reauthorize, which extends nothing.
func (n *notifier) reauthorize(s *subscription, now time.Time) (soon bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s.lastReauthorize = now
	n.authorized(s, now)
	return !s.lastPatch.IsZero() && now.Sub(s.lastPatch) < together
}

// authorized lets deliveries go on; what waited is sent. The lock is held.
func (n *notifier) authorized(s *subscription, now time.Time) {
	s.authorize(now)
	parked := s.parked
	s.parked = nil
	for _, it := range parked {
		n.enqueueLocked(it)
	}
	n.poke()
}

// poke wakes the lifecycle loop. The lock is held.
func (n *notifier) poke() {
	if n.rouse != nil {
		n.rouse()
	}
}

// lifecycle tells clients that their subscriptions want reauthorization.
func (n *notifier) lifecycle() {
	for n.ctx.Err() == nil {
		ctx, cancel := context.WithCancel(n.ctx)
		n.mu.Lock()
		n.rouse = cancel
		n.mu.Unlock()
		_ = n.e.t.clock.WaitUntil(ctx, n.remind()) // woken, due, or closed: look again
		cancel()
	}
}

// remind sends the reminders that are due and returns when the next is.
func (n *notifier) remind() time.Time {
	n.mu.Lock()
	n.expire()
	now := n.e.t.clock.Now()
	next := now.Add(24 * time.Hour)
	var due []*subscription
	for _, s := range n.order {
		if !now.Before(s.reauthorizeAt) {
			// Again every 15 minutes until it is heard.
			s.reauthorizeAt = now.Add(15 * time.Minute)
			due = append(due, s)
		}
		if s.reauthorizeAt.Before(next) {
			next = s.reauthorizeAt
		}
	}
	n.mu.Unlock()
	for _, s := range due {
		n.tell(s, "reauthorizationRequired")
	}
	return next
}

// tell queues a lifecycle notification. Teams never sends "missed".
func (n *notifier) tell(s *subscription, event string) {
	if s.lifecycleURL == "" {
		return
	}
	n.enqueue(&item{s: s, lifecycle: event, born: n.e.t.clock.Now()})
}

// RemoveSubscription ends a subscription from the service's side. With tell,
// its lifecycle URL hears of it; without, it is simply gone.
func (t *Tenant) RemoveSubscription(id string, tell bool) error {
	n := t.edge.notifier
	s := n.find(id)
	if s == nil {
		return fmt.Errorf("no subscription %s", id)
	}
	if tell {
		n.removed(s)
	} else {
		n.remove(id)
	}
	return nil
}

// RequireReauthorization tells a subscription's lifecycle URL at once that it
// must be reauthorized.
func (t *Tenant) RequireReauthorization(id string) error {
	n := t.edge.notifier
	s := n.find(id)
	if s == nil {
		return fmt.Errorf("no subscription %s", id)
	}
	now := t.clock.Now()
	n.mu.Lock()
	s.reauthorizeAt = now.Add(15 * time.Minute)
	s.authorizedUntil = now.Add(time.Hour)
	n.poke()
	n.mu.Unlock()
	n.tell(s, "reauthorizationRequired")
	return nil
}

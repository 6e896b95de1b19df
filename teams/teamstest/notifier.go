package teamstest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/tidwall/gjson"
)

// NotifyOptions sets change notifications up.
type NotifyOptions struct {
	// RootCAs are the authorities that notification addresses are checked
	// against, nil for the system's.
	RootCAs *x509.CertPool
	// Latency is how long a notification waits before its first attempt, on
	// the tenant's clock. Microsoft names 10 s on average; 0 is at once.
	Latency time.Duration
	// MaxSubscriptions is the organisation's quota, 0 for the documented
	// 10,000.
	MaxSubscriptions int
	// OmitShared leaves messages of shared channels out of the tenant-wide
	// subscription. The documentation says "all channels" and nothing else.
	OmitShared bool
	// EndpointsForgiven switches the slow and drop states of notification
	// addresses off.
	EndpointsForgiven bool
}

// NotificationStats counts what became of notifications.
type NotificationStats struct {
	// Delivered were accepted, at the first or a later attempt.
	Delivered int
	// Attempts are the requests that were made, lifecycle ones included.
	Attempts int
	// Failed are the requests that were not accepted.
	Failed int
	// Lost were given up after four hours, or because their subscription
	// ended.
	Lost int
	// Dropped were never tried: their address was in the drop state, or a
	// fault ate them.
	Dropped int
	// Lifecycle are the lifecycle notifications that were accepted.
	Lifecycle int
}

// Subscription is what the tenant knows of a subscription.
type Subscription struct {
	ID              string
	AppID           string
	UserID          string
	Resource        string
	ChangeType      string
	NotificationURL string
	LifecycleURL    string
	ClientState     string
	CertificateID   string
	IncludeData     bool
	Expires         time.Time
	// Paused says that deliveries wait for the client to reauthorize.
	Paused bool
	// Waiting is the number of notifications that wait for that.
	Waiting int
}

// item is one notification of one subscription.
type item struct {
	s          *subscription
	changeType string
	lifecycle  string // the event, for lifecycle notifications
	change     change
	object     []byte // the changed object, for rich ones
	born       time.Time
	encrypted  *encryptedContent
	again      bool // deliver a second time afterwards
	first      bool // counted in notifier.pending
}

// notifier delivers change notifications.
type notifier struct {
	e      *edgeState
	opts   NotifyOptions
	client *http.Client
	ctx    context.Context
	work   sync.WaitGroup

	mu            sync.Mutex
	closed        bool
	subscriptions map[string]*subscription
	taken         map[string]*subscription // by place
	order         []*subscription
	index         map[string][]*subscription
	endpoints     map[string]*endpoint
	pending       int                // first attempts that are not over
	idle          chan struct{}      // closed when pending falls to 0
	rouse         context.CancelFunc // tells the lifecycle loop to look again
	stats         NotificationStats
	tokens        validationTokens
}

func newNotifier(e *edgeState, opts NotifyOptions) *notifier {
	if opts.MaxSubscriptions == 0 {
		opts.MaxSubscriptions = subscriptionQuota
	}
	n := &notifier{
		e: e, opts: opts, ctx: e.ctx,
		client: &http.Client{
			Transport: &http.Transport{
				TLSClientConfig:     &tls.Config{RootCAs: opts.RootCAs, MinVersion: tls.VersionTLS12},
				MaxIdleConnsPerHost: endpointRequests,
				IdleConnTimeout:     30 * time.Second,
			},
			// A redirect is not an acceptance.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		subscriptions: map[string]*subscription{}, taken: map[string]*subscription{}, index: map[string][]*subscription{}, endpoints: map[string]*endpoint{},
		idle: make(chan struct{}),
	}
	n.spawn(n.lifecycle)
	return n
}

// spawn runs f unless the notifier was closed. The lock must not be held.
func (n *notifier) spawn(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.spawnLocked(f)
}

func (n *notifier) spawnLocked(f func()) {
	if !n.closed {
		n.work.Go(f)
	}
}

// close waits for everything that spawn began; e.ctx was cancelled before.
func (n *notifier) close() {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.work.Wait()
	n.client.CloseIdleConnections()
}

// onChange is the seam: it queues the notifications of a change.
func (n *notifier) onChange(c change) {
	changeType := changeTypeOf(c.Kind)
	now := n.e.t.clock.Now()
	for _, key := range topicKeys(c) {
		n.mu.Lock()
		listeners := slices.Clone(n.index[key])
		n.mu.Unlock()
		for _, s := range listeners {
			if !s.wants(changeType) || s.topic.wide && n.omitted(c) {
				continue
			}
			it := &item{s: s, changeType: changeType, change: c, born: now}
			if s.includeData {
				it.object = c.resourceJSON(s.prefersUnknown)
			}
			n.offer(it)
		}
	}
}

// omitted reports whether a message is kept from the tenant-wide subscription:
// system messages come through the subscriptions of single channels only.
func (n *notifier) omitted(c change) bool {
	if c.MessageID == "" {
		return false
	}
	if gjson.GetBytes(c.resourceJSON(true), "messageType").String() == "systemEventMessage" {
		return true
	}
	if !n.opts.OmitShared {
		return false
	}
	n.e.t.mu.Lock()
	defer n.e.t.mu.Unlock()
	team := n.e.t.team(c.TeamID)
	if team == nil {
		return false
	}
	ch := team.channel(c.ChannelID)
	return ch != nil && ch.kind == Shared
}

// offer applies the faults of notifications and queues what is left.
func (n *notifier) offer(it *item) {
	in := n.e.faults.strike(phaseNotify, target{path: it.change.Resource})
	if in == nil {
		n.release(it)
		return
	}
	if it.change.MessageID != "" {
		in.note(Struck{ChannelID: it.change.ChannelID, MessageID: it.change.MessageID})
	}
	switch in.fault.Kind {
	case FaultNotifyNever:
		n.count(func(s *NotificationStats) { s.Dropped++ })
	case FaultNotifyTwice:
		it.again = true
		n.release(it)
	case FaultNotifyLate:
		due := it.born.Add(in.fault.Delay)
		n.spawn(func() {
			if n.e.t.clock.WaitUntil(n.ctx, due) == nil {
				n.release(it)
			}
		})
	case FaultNotifyReorder:
		n.hold(it, in.fault.Delay)
	case FaultRemoveSubscription:
		n.removed(it.s)
	}
}

// hold keeps an item until the next of its subscription has been queued.
func (n *notifier) hold(it *item, limit time.Duration) {
	if limit == 0 {
		limit = 2 * time.Second
	}
	n.mu.Lock()
	earlier := it.s.held
	it.s.held = it
	n.mu.Unlock()
	if earlier != nil {
		n.enqueue(earlier)
	}
	due := it.born.Add(limit)
	n.spawn(func() {
		if n.e.t.clock.WaitUntil(n.ctx, due) != nil {
			return
		}
		n.mu.Lock()
		still := it.s.held == it
		if still {
			it.s.held = nil
		}
		n.mu.Unlock()
		if still {
			n.enqueue(it)
		}
	})
}

// release queues an item, and after it the one that was held for it.
func (n *notifier) release(it *item) {
	n.mu.Lock()
	held := it.s.held
	it.s.held = nil
	n.mu.Unlock()
	n.enqueue(it)
	if held != nil {
		// Queued only when the other has been sent: never in the same body.
		n.spawn(func() {
			if n.settle(n.ctx) == nil {
				n.enqueue(held)
			}
		})
	}
}

func (n *notifier) count(change func(*NotificationStats)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(&n.stats)
}

// settle waits until every queued notification had its first attempt.
func (n *notifier) settle(ctx context.Context) error {
	for {
		n.mu.Lock()
		pending, idle := n.pending, n.idle
		n.mu.Unlock()
		if pending == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-n.ctx.Done():
			return context.Cause(n.ctx)
		case <-idle:
		}
	}
}

// started and done count first attempts. The lock is held.
func (n *notifier) started(it *item) {
	it.first = true
	n.pending++
}

func (n *notifier) done(it *item) {
	if !it.first {
		return
	}
	it.first = false
	if n.pending--; n.pending == 0 {
		close(n.idle)
		n.idle = make(chan struct{})
	}
}

// NotificationsSettled waits until every notification that is queued had its
// first attempt. While Graph is down none has.
func (t *Tenant) NotificationsSettled(ctx context.Context) error {
	return t.edge.notifier.settle(ctx)
}

// NotificationStats counts what became of notifications so far.
func (t *Tenant) NotificationStats() NotificationStats {
	n := t.edge.notifier
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stats
}

// Subscriptions lists the subscriptions that live, oldest first.
func (t *Tenant) Subscriptions() []Subscription {
	n := t.edge.notifier
	now := t.clock.Now()
	var list []Subscription
	for _, s := range n.all() {
		n.mu.Lock()
		info := Subscription{
			ID: s.id, AppID: s.appID, UserID: s.userID, Resource: s.resource, ChangeType: s.changeType,
			NotificationURL: s.notificationURL, LifecycleURL: s.lifecycleURL, ClientState: s.clientState,
			IncludeData: s.includeData, Expires: s.expires,
			Paused: !now.Before(s.authorizedUntil), Waiting: len(s.parked),
		}
		if s.certificate != nil {
			info.CertificateID = s.certificate.id
		}
		n.mu.Unlock()
		list = append(list, info)
	}
	return list
}

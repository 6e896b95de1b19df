package teams

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	subscriptionInterval   = time.Minute
	subscriptionFirstRetry = time.Minute
	subscriptionLastRetry  = time.Hour
	subscriptionCallTime   = 45 * time.Second
	subscriptionParallel   = 4
)

// SubscriptionRecord is what has to survive a restart about a subscription,
// since Graph may not tell its client state.
type SubscriptionRecord struct {
	ID            string
	Resource      string
	Expires       time.Time
	CertificateID string
	// ClientState is a digest of the client state, not the secret itself.
	ClientState string
	CreatedAt   time.Time
	// RenewedAt is when it was last renewed, which also reauthorizes it.
	RenewedAt time.Time
}

// SubscriptionRecords keeps records by subscription id.
type SubscriptionRecords interface {
	LoadSubscriptions(ctx context.Context) ([]SubscriptionRecord, error)
	SaveSubscription(ctx context.Context, r SubscriptionRecord) error
	ForgetSubscription(ctx context.Context, id string) error
}

// SubscriptionManagerOptions configures NewSubscriptionManager.
type SubscriptionManagerOptions struct {
	API SubscriptionAPI
	// Wanted returns the whole set; an error leaves everything as it is.
	Wanted          func(ctx context.Context) ([]WantedSubscription, error)
	NotificationURL string
	// LifecycleURL defaults to NotificationURL.
	LifecycleURL string
	ClientState  string
	// Certificates returns the keys of now; needed where data are wanted.
	Certificates func() CertSet
	// Records may be nil: then a subscription of which Graph hides the client
	// state is taken for ours if it has our URL.
	Records SubscriptionRecords
	// OnGap is told that messages of the resource may have been missed since
	// its subscription was last known to work; it must not block.
	OnGap    func(resource, reason string)
	Interval time.Duration
	Counters Counters
	Logger   zerolog.Logger
	Now      func() time.Time
}

// The reasons given to OnGap.
const (
	GapCreated = "created"
	GapLost    = "lost"
	GapRemoved = "removed"
	GapMissed  = "missed"
	GapKey     = "key replaced"
)

// SubscriptionManager makes the subscriptions on Graph equal to those wanted.
type SubscriptionManager struct {
	opts   SubscriptionManagerOptions
	digest string
	wake   chan struct{}

	// round serialises Reconcile. The receiver, which answers Graph's
	// validation in the middle of it, knows nothing of it.
	round sync.Mutex

	mu     sync.Mutex
	states map[string]*subscriptionState // by resource key
	began  time.Time                     // the first round
	loaded bool                          // Graph's list was read once
	listed error
	pause  time.Time
}

// subscriptionState is what is known of one wanted resource.
type subscriptionState struct {
	wanted   WantedSubscription
	record   SubscriptionRecord // zero ID: there is none
	since    time.Time          // when that became so
	life     time.Duration      // as granted
	renewing bool
	err      error
	failures int
	next     time.Time // no attempt to create before
}

// NewSubscriptionManager returns a manager; Run or Reconcile work.
func NewSubscriptionManager(opts SubscriptionManagerOptions) *SubscriptionManager {
	if opts.LifecycleURL == "" {
		opts.LifecycleURL = opts.NotificationURL
	}
	if opts.Certificates == nil {
		opts.Certificates = func() CertSet { return CertSet{} }
	}
	if opts.OnGap == nil {
		opts.OnGap = func(string, string) {}
	}
	if opts.Interval <= 0 {
		opts.Interval = subscriptionInterval
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	opts.Counters = countersOr(opts.Counters)
	sum := sha256.Sum256([]byte("client state\x00" + opts.ClientState))
	return &SubscriptionManager{
		opts:   opts,
		digest: hex.EncodeToString(sum[:]),
		wake:   make(chan struct{}, 1),
		states: map[string]*subscriptionState{},
	}
}

// Wake makes Run reconcile now; it never blocks.
func (m *SubscriptionManager) Wake() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Run reconciles now, each interval and when woken, until ctx ends.
func (m *SubscriptionManager) Run(ctx context.Context) error {
	for {
		if err := m.Reconcile(ctx); err != nil && ctx.Err() == nil {
			m.opts.Logger.Warn().Err(err).Msg("Subscriptions could not all be brought up to date")
		}
		if !waitFor(ctx, m.opts.Interval, m.wake) {
			return ctx.Err()
		}
	}
}

// load brings back what was known before a restart, once.
func (m *SubscriptionManager) load(ctx context.Context) (map[string]SubscriptionRecord, error) {
	known := map[string]SubscriptionRecord{}
	if m.opts.Records == nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, s := range m.states {
			if s.record.ID != "" {
				known[s.record.ID] = s.record
			}
		}
		return known, nil
	}
	records, err := m.opts.Records.LoadSubscriptions(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		known[r.ID] = r
	}
	return known, nil
}

func (m *SubscriptionManager) save(ctx context.Context, r SubscriptionRecord) error {
	if m.opts.Records == nil {
		return nil
	}
	return m.opts.Records.SaveSubscription(ctx, r)
}

func (m *SubscriptionManager) forget(ctx context.Context, id string) error {
	if m.opts.Records == nil || id == "" {
		return nil
	}
	return m.opts.Records.ForgetSubscription(ctx, id)
}

// errNoCertificate is a mistake of the caller: data wanted and no key for it.
var errNoCertificate = errors.New("resource data are wanted without a certificate")

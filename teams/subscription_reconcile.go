package teams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Reconcile reads Graph's list of our subscriptions and makes it equal to what
// is wanted: adopts, renews, creates, deletes. It does nothing that is not
// needed, so that a restart changes nothing.
func (m *SubscriptionManager) Reconcile(ctx context.Context) error {
	m.round.Lock()
	defer m.round.Unlock()
	now := m.opts.Now()
	m.mu.Lock()
	pause := m.pause
	if m.began.IsZero() {
		m.began = now
	}
	m.mu.Unlock()
	if now.Before(pause) {
		return nil
	}
	wanted, err := m.opts.Wanted(ctx)
	if err != nil {
		return fmt.Errorf("wanted subscriptions: %w", err)
	}
	known, err := m.load(ctx)
	if err != nil {
		return fmt.Errorf("subscription records: %w", err)
	}
	existing, err := m.list(ctx)
	if err != nil {
		return err
	}
	found := m.match(wanted, existing, known)
	// What exists is kept alive before anything new is made.
	errs := []error{m.saveAdopted(ctx, found.adopted), m.renewDue(ctx), m.deleteStrays(ctx, found.strays)}
	errs = append(errs, m.forgetGone(ctx, found.gone), m.createMissing(ctx))
	return errors.Join(errs...)
}

func (m *SubscriptionManager) list(ctx context.Context) ([]Subscription, error) {
	call, cancel := context.WithTimeout(ctx, subscriptionCallTime)
	defer cancel()
	existing, err := m.opts.API.ListSubscriptions(call)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listed = err
	if err != nil {
		m.delay(err)
		return nil, fmt.Errorf("list subscriptions: %w", err)
	}
	return existing, nil
}

// delay keeps us from asking before Graph said that we may. m.mu is held.
func (m *SubscriptionManager) delay(err error) {
	if wait := RetryAfter(err); wait > 0 {
		if until := m.opts.Now().Add(wait); until.After(m.pause) {
			m.pause = until
		}
	}
}

// matched is what came out of comparing Graph's list with what is wanted.
type matched struct {
	adopted []SubscriptionRecord // existing, and not in our records
	gone    []SubscriptionRecord // in our records, and not existing
	strays  []Subscription       // ours, and not wanted like that
}

// match pairs what is wanted with what exists.
func (m *SubscriptionManager) match(wanted []WantedSubscription, existing []Subscription, known map[string]SubscriptionRecord) (out matched) {
	now := m.opts.Now()
	// Of two for the same resource the one that lives longer is kept.
	slices.SortStableFunc(existing, func(a, b Subscription) int { return b.Expires.Compare(a.Expires) })
	byKey := map[string]WantedSubscription{}
	for _, w := range wanted {
		byKey[resourceKey(w.Resource)] = w
	}
	found := map[string]Subscription{}
	listed := map[string]bool{}
	for _, s := range existing {
		listed[s.ID] = true
		record, recorded := known[s.ID]
		if !recorded && s.NotificationURL != m.opts.NotificationURL {
			continue // somebody else's
		}
		key := resourceKey(s.Resource)
		w, isWanted := byKey[key]
		_, twice := found[key]
		if !isWanted || twice || !m.fits(s, w, record, recorded, now) {
			out.strays = append(out.strays, s)
			continue
		}
		found[key] = s
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loaded = true
	for key := range m.states {
		if _, ok := byKey[key]; !ok {
			delete(m.states, key)
		}
	}
	for key, w := range byKey {
		state := m.states[key]
		if state == nil {
			state = &subscriptionState{}
			m.states[key] = state
		}
		state.wanted = w
		if s, ok := found[key]; ok {
			if m.adopt(state, s, known) {
				out.adopted = append(out.adopted, state.record)
			}
		} else {
			state.become(SubscriptionRecord{}, now)
		}
	}
	for id, record := range known {
		if !listed[id] {
			out.gone = append(out.gone, record)
		}
	}
	return out
}

// fits reports whether an existing subscription can be kept. What PATCH can
// mend, expiry and certificate, does not matter here.
func (m *SubscriptionManager) fits(s Subscription, w WantedSubscription, record SubscriptionRecord, recorded bool, now time.Time) bool {
	switch {
	case s.NotificationURL != m.opts.NotificationURL,
		s.LifecycleURL != m.opts.LifecycleURL, // can't be added later
		s.IncludeData != w.Data,
		changeKey(s.ChangeType) != changeKey(w.ChangeType),
		!s.Expires.IsZero() && !s.Expires.After(now):
		return false
	case s.ClientState != "":
		return s.ClientState == m.opts.ClientState
	case recorded:
		return record.ClientState == m.digest
	}
	// Hidden by Graph and not in our records: with records it is not ours to
	// trust, its notifications might all carry another secret.
	return m.opts.Records == nil
}

// adopt takes over a subscription that exists and reports whether there was
// no record of it. m.mu is held.
func (m *SubscriptionManager) adopt(state *subscriptionState, s Subscription, known map[string]SubscriptionRecord) (fresh bool) {
	if state.record.ID != s.ID {
		record, recorded := known[s.ID]
		if !recorded {
			record = SubscriptionRecord{ID: s.ID, Resource: s.Resource, ClientState: m.digest, CreatedAt: m.opts.Now()}
		}
		fresh = !recorded
		state.become(record, m.opts.Now())
		state.life = maxSubscriptionLife
		if life := record.Expires.Sub(record.RenewedAt); !record.RenewedAt.IsZero() && life > 0 {
			state.life = life
		}
	}
	if !s.Expires.IsZero() {
		state.record.Expires = s.Expires
	}
	if s.CertificateID != "" {
		state.record.CertificateID = s.CertificateID
	}
	state.err, state.failures, state.next = nil, 0, time.Time{}
	return fresh
}

func (m *SubscriptionManager) saveAdopted(ctx context.Context, adopted []SubscriptionRecord) error {
	var errs []error
	for _, r := range adopted {
		m.opts.Counters.Count(CountSubscription, "adopted", 1)
		m.opts.Logger.Info().Str("resource", r.Resource).Str("subscription", r.ID).Msg("Adopted subscription")
		errs = append(errs, m.save(ctx, r))
	}
	return errors.Join(errs...)
}

// forgetGone tells of subscriptions that Graph does not have any more.
func (m *SubscriptionManager) forgetGone(ctx context.Context, gone []SubscriptionRecord) error {
	var errs []error
	for _, r := range gone {
		m.opts.Counters.Count(CountSubscription, "lost", 1)
		m.opts.Logger.Warn().Str("resource", r.Resource).Str("subscription", r.ID).Msg("Subscription is gone")
		m.opts.OnGap(r.Resource, GapLost)
		errs = append(errs, m.forget(ctx, r.ID))
	}
	return errors.Join(errs...)
}

func (m *SubscriptionManager) deleteStrays(ctx context.Context, strays []Subscription) error {
	var errs []error
	for _, s := range strays {
		call, cancel := context.WithTimeout(ctx, subscriptionCallTime)
		err := m.opts.API.DeleteSubscription(call, s.ID)
		cancel()
		if err != nil && KindOf(err) != KindNotFound {
			errs = append(errs, fmt.Errorf("delete subscription %s: %w", s.ID, err))
			continue
		}
		m.opts.Counters.Count(CountSubscription, "deleted", 1)
		m.opts.Logger.Info().Str("resource", s.Resource).Str("subscription", s.ID).Msg("Deleted subscription")
		errs = append(errs, m.forget(ctx, s.ID))
	}
	return errors.Join(errs...)
}

// createMissing makes what is wanted and does not exist, a few at a time. The
// first answer that concerns all of them ends the round.
func (m *SubscriptionManager) createMissing(ctx context.Context) error {
	now := m.opts.Now()
	m.mu.Lock()
	var missing []*subscriptionState
	for _, s := range m.states {
		if s.record.ID == "" && !now.Before(s.next) {
			missing = append(missing, s)
		}
	}
	m.mu.Unlock()
	slices.SortFunc(missing, func(a, b *subscriptionState) int {
		return strings.Compare(a.wanted.Resource, b.wanted.Resource)
	})
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
		stop bool
	)
	sem := make(chan struct{}, subscriptionParallel)
	for _, s := range missing {
		sem <- struct{}{}
		mu.Lock()
		halt := stop
		mu.Unlock()
		if halt || ctx.Err() != nil {
			<-sem
			break
		}
		wg.Go(func() {
			defer func() { <-sem }()
			if err := m.create(ctx, s); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
				kind := KindOf(err)
				stop = stop || kind == KindThrottled || kind == KindUnavailable || kind == KindSignInExpired
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (m *SubscriptionManager) create(ctx context.Context, state *subscriptionState) error {
	m.mu.Lock()
	w := state.wanted
	m.mu.Unlock()
	now := m.opts.Now()
	ask := Subscription{
		Resource: w.Resource, ChangeType: w.ChangeType,
		NotificationURL: m.opts.NotificationURL, LifecycleURL: m.opts.LifecycleURL,
		ClientState: m.opts.ClientState, Expires: now.Add(maxSubscriptionLife - subscriptionLifeMargin),
		IncludeData: w.Data,
	}
	if ask.ChangeType == "" {
		ask.ChangeType = AllChanges
	}
	if w.Data {
		cert := m.opts.Certificates().Current
		if cert == nil {
			return m.failed(state, w.Resource, errNoCertificate)
		}
		ask.CertificateID, ask.CertificateBase64 = cert.ID, cert.Base64()
	}
	call, cancel := context.WithTimeout(ctx, subscriptionCallTime)
	got, err := m.opts.API.CreateSubscription(call, ask)
	cancel()
	if err != nil {
		return m.failed(state, w.Resource, err)
	}
	if got.Expires.IsZero() {
		got.Expires = ask.Expires
	}
	record := SubscriptionRecord{
		ID: got.ID, Resource: w.Resource, Expires: got.Expires, CertificateID: ask.CertificateID,
		ClientState: m.digest, CreatedAt: now, RenewedAt: now,
	}
	m.mu.Lock()
	state.become(record, m.opts.Now())
	state.life = got.Expires.Sub(now)
	state.err, state.failures, state.next = nil, 0, time.Time{}
	m.mu.Unlock()
	m.opts.Counters.Count(CountSubscription, "created", 1)
	m.opts.Logger.Info().Str("resource", w.Resource).Str("subscription", got.ID).
		Time("expires", got.Expires).Msg("Created subscription")
	// Whatever was said before this moment was not notified.
	m.opts.OnGap(w.Resource, GapCreated)
	return m.save(ctx, record)
}

// failed remembers why a subscription could not be made and when to try again.
func (m *SubscriptionManager) failed(state *subscriptionState, resource string, err error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.delay(err)
	state.err = err
	wait := max(retryWait(state.failures, subscriptionFirstRetry, subscriptionLastRetry), RetryAfter(err))
	switch KindOf(err) {
	case KindThrottled, KindUnavailable, KindSignInExpired:
		wait = RetryAfter(err) // the round's own pace is slow enough
	default:
		state.failures++
	}
	state.next = m.opts.Now().Add(wait)
	m.opts.Counters.Count(CountSubscription, "failed", 1)
	return fmt.Errorf("create subscription %s: %w", resource, err)
}

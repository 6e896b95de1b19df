package teams

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// renewDue renews what has less than a third of its life left, or an old key.
func (m *SubscriptionManager) renewDue(ctx context.Context) error {
	now := m.opts.Now()
	current := m.opts.Certificates().Current
	m.mu.Lock()
	var due []*subscriptionState
	for _, s := range m.states {
		if s.record.ID == "" || now.Before(s.next) {
			continue
		}
		oldKey := s.wanted.Data && current != nil && s.record.CertificateID != current.ID
		if oldKey || s.record.Expires.Sub(now) < s.life/3 {
			due = append(due, s)
		}
	}
	m.mu.Unlock()
	var errs []error
	for _, s := range due {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := m.renew(ctx, s)
		errs = append(errs, err)
		if kind := KindOf(err); kind == KindThrottled || kind == KindUnavailable {
			break
		}
	}
	return errors.Join(errs...)
}

// renew moves the expiry, which reauthorizes too, so that the reauthorize call
// is never made: Graph does not want both within ten minutes.
func (m *SubscriptionManager) renew(ctx context.Context, state *subscriptionState) error {
	now := m.opts.Now()
	m.mu.Lock()
	record, w := state.record, state.wanted
	if state.renewing || record.ID == "" {
		m.mu.Unlock()
		return nil // a lifecycle event and the round met
	}
	state.renewing = true
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		state.renewing = false
		m.mu.Unlock()
	}()
	ask := Subscription{ID: record.ID, Resource: w.Resource, Expires: now.Add(maxSubscriptionLife - subscriptionLifeMargin)}
	certs := m.opts.Certificates()
	newKey := w.Data && certs.Current != nil && record.CertificateID != certs.Current.ID
	unreadable := newKey && certs.Find(record.CertificateID) == nil
	if newKey {
		ask.CertificateID, ask.CertificateBase64 = certs.Current.ID, certs.Current.Base64()
	}
	call, cancel := context.WithTimeout(ctx, subscriptionCallTime)
	got, err := m.opts.API.RenewSubscription(call, ask)
	cancel()
	if KindOf(err) == KindNotFound {
		return m.lost(ctx, record, GapLost)
	}
	m.mu.Lock()
	if err != nil {
		state.err = err
		m.delay(err)
		m.mu.Unlock()
		return fmt.Errorf("renew subscription %s: %w", record.ID, err)
	}
	if got.Expires.IsZero() {
		got.Expires = ask.Expires
	}
	record.Expires, record.RenewedAt = got.Expires, now
	if newKey {
		record.CertificateID = certs.Current.ID
	}
	state.become(record, now)
	state.life, state.err = got.Expires.Sub(now), nil
	m.mu.Unlock()
	m.opts.Counters.Count(CountSubscription, "renewed", 1)
	if unreadable {
		// Until now it was encrypted to a key that is lost.
		m.opts.OnGap(w.Resource, GapKey)
	}
	return m.save(ctx, record)
}

// lost forgets a subscription that Graph does not have, so that the next round
// makes it anew.
func (m *SubscriptionManager) lost(ctx context.Context, record SubscriptionRecord, reason string) error {
	m.mu.Lock()
	for _, s := range m.states {
		if s.record.ID == record.ID {
			s.become(SubscriptionRecord{}, m.opts.Now())
			s.err, s.next, s.failures = nil, time.Time{}, 0
		}
	}
	m.mu.Unlock()
	m.opts.Counters.Count(CountSubscription, reason, 1)
	m.opts.Logger.Warn().Str("resource", record.Resource).Str("subscription", record.ID).
		Str("reason", reason).Msg("Subscription is gone")
	m.opts.OnGap(record.Resource, reason)
	m.Wake()
	return m.forget(ctx, record.ID)
}

// HandleLifecycle implements LifecycleHandler. A nil error means that the
// event needs no further attention. It does not wait for a round that runs:
// making thousands of subscriptions takes long, and notifications don't wait.
func (m *SubscriptionManager) HandleLifecycle(ctx context.Context, event LifecycleEvent) error {
	state, record := m.find(event.SubscriptionID)
	switch event.Type {
	case "reauthorizationRequired":
		if state == nil {
			// Perhaps not adopted yet, perhaps not ours: the list will tell.
			m.Wake()
			return nil
		}
		// Announced every few minutes until the end; once is enough.
		if m.opts.Now().Sub(record.RenewedAt) < subscriptionRenewRepeat {
			return nil
		}
		err := m.renew(ctx, state)
		switch KindOf(err) {
		case KindThrottled, KindUnavailable, KindSignInExpired:
			return err
		}
		return nil // refusals are shown by State and tried again when due
	case "subscriptionRemoved":
		if state == nil {
			if event.Resource != "" {
				m.opts.OnGap(event.Resource, GapRemoved)
			}
			m.Wake()
			return nil
		}
		return m.lost(ctx, record, GapRemoved)
	default: // missed, and whatever else means that something was not told
		resource := event.Resource
		if state != nil {
			resource = record.Resource
		}
		m.opts.OnGap(resource, GapMissed)
		return nil
	}
}

func (m *SubscriptionManager) find(id string) (*subscriptionState, SubscriptionRecord) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.states {
		if s.record.ID != "" && s.record.ID == id {
			return s, s.record
		}
	}
	return nil, SubscriptionRecord{}
}

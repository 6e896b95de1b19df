package teams

import (
	"slices"
	"strings"
	"time"
)

// SubscriptionStatus names the state of a wanted subscription.
type SubscriptionStatus string

// The states of a subscription.
const (
	SubscriptionActive  SubscriptionStatus = "active"
	SubscriptionPending SubscriptionStatus = "pending"
	// SubscriptionQuota: Graph has no room for another one.
	SubscriptionQuota SubscriptionStatus = "quota"
	// SubscriptionForbidden: a permission is missing.
	SubscriptionForbidden SubscriptionStatus = "permission missing"
	// SubscriptionUnreachable: Graph could not reach our notification URL.
	SubscriptionUnreachable SubscriptionStatus = "notification URL not reachable"
	SubscriptionRefused     SubscriptionStatus = "refused"
	// SubscriptionUnavailable: Graph can't be asked at the moment.
	SubscriptionUnavailable SubscriptionStatus = "Graph unavailable"
)

// SubscriptionStatuses returns every state.
func SubscriptionStatuses() []SubscriptionStatus {
	return []SubscriptionStatus{SubscriptionActive, SubscriptionPending, SubscriptionQuota, SubscriptionForbidden,
		SubscriptionUnreachable, SubscriptionRefused, SubscriptionUnavailable}
}

// SubscriptionState is one wanted subscription as status commands show it.
type SubscriptionState struct {
	Resource string
	// ID and Expires are empty where there is none.
	ID        string
	Expires   time.Time
	Status    SubscriptionStatus
	LastError string
	// NextTry is when a failed one is tried again.
	NextTry time.Time
}

// State returns the wanted subscriptions by resource.
func (m *SubscriptionManager) State() []SubscriptionState {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.opts.Now()
	out := make([]SubscriptionState, 0, len(m.states))
	for _, s := range m.states {
		one := SubscriptionState{
			Resource: s.wanted.Resource, ID: s.record.ID, Expires: s.record.Expires,
			Status: s.status(now), NextTry: s.next,
		}
		if s.err != nil {
			one.LastError = s.err.Error()
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b SubscriptionState) int { return strings.Compare(a.Resource, b.Resource) })
	return out
}

// Healthy reports whether every wanted subscription exists and Graph's list
// could be read last time.
func (m *SubscriptionManager) Healthy() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.loaded || m.listed != nil {
		return false
	}
	for _, s := range m.states {
		if !s.works(m.opts.Now()) {
			return false
		}
	}
	return true
}

// become notes which subscription there is now; none if the record is empty.
func (s *subscriptionState) become(record SubscriptionRecord, now time.Time) {
	if s.since.IsZero() || s.record.ID != record.ID {
		s.since = now
	}
	s.record = record
}

// works reports whether there is a subscription that has not run out: while
// Graph can't be asked for its list, one may do so without being renewed.
func (s *subscriptionState) works(now time.Time) bool {
	return s.record.ID != "" && (s.record.Expires.IsZero() || now.Before(s.record.Expires))
}

func (s *subscriptionState) status(now time.Time) SubscriptionStatus {
	switch {
	case s.works(now):
		return SubscriptionActive
	case s.err == nil:
		return SubscriptionPending
	}
	return refusalStatus(s.err)
}

// refusalStatus tells the failures apart by what the service said, since it
// uses 403 for a missing permission and for a full quota alike.
func refusalStatus(err error) SubscriptionStatus {
	text := strings.ToLower(err.Error())
	switch KindOf(err) {
	case KindThrottled, KindUnavailable:
		return SubscriptionUnavailable
	case KindPermission:
		for _, word := range []string{"quota", "limit", "exceed", "maximum", "already"} {
			if strings.Contains(text, word) {
				return SubscriptionQuota
			}
		}
		return SubscriptionForbidden
	case KindBadRequest:
		if strings.Contains(text, "validation") {
			return SubscriptionUnreachable
		}
	}
	return SubscriptionRefused
}

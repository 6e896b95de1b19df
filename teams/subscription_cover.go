package teams

import "time"

// unsubscribedGrace is how long a subscription to messages may be missing before
// that counts: a round makes it, or makes it anew, within that time.
const unsubscribedGrace = time.Minute

// Subscribed returns since when, as far as this process knows, a subscription
// tells of a channel's messages; zero where none does. Where the channel is to
// have one of its own, that is the one that counts.
func (m *SubscriptionManager) Subscribed(ch ChannelRef) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.states[resourceKey(ChannelMessages(ch, false).Resource)]
	if s == nil {
		s = m.states[resourceKey(TenantMessages(false).Resource)]
	}
	if s == nil || !s.works(m.opts.Now()) {
		return time.Time{}
	}
	return s.since
}

// Unsubscribed returns the scopes whose messages no subscription has been telling
// of for a while although one ought to, whatever the reason: refused, run out,
// gone, or not made because Graph can't be asked.
func (m *SubscriptionManager) Unsubscribed() (scopes []Scope) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.opts.Now()
	if !m.loaded {
		if m.began.IsZero() || now.Sub(m.began) < unsubscribedGrace {
			return nil
		}
		return []Scope{{}} // nobody knows what there is
	}
	for _, s := range m.states {
		since := s.since
		switch {
		case s.works(now):
			continue
		case s.record.ID != "":
			since = s.record.Expires
		}
		if now.Sub(since) < unsubscribedGrace {
			continue
		}
		if r, ok := ParseResource(s.wanted.Resource); ok && r.Kind == ResourceMessage {
			scopes = append(scopes, r.Scope())
		}
	}
	return scopes
}

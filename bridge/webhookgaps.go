package bridge

import (
	"context"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"teamsbridge/teams"
)

// gapsInterval is how often it is looked whether notifications can be relied on.
const gapsInterval = 5 * time.Second

// webhookGaps reads around notifications that may be missing: Graph drops them
// for an endpoint that is slow, and tells nobody. While there is a doubt the
// readers read all the time, within poller.requests_per_second, what it is about.
type webhookGaps struct {
	doubts *teams.WebhookDoubts
	// subscribed says since when a channel's messages are subscribed to, zero
	// where they are not; unsubscribed lists what ought to be and is not.
	subscribed   func(teams.ChannelRef) time.Time
	unsubscribed func() []teams.Scope
	wanted       func(teams.ChannelRef) bool
	// read asks for scopes to be read, for everything where there are none.
	read     func(reason string, scopes ...teams.Scope)
	counters teams.Counters
	now      func() time.Time

	// doubting is what was doubted at the last look.
	doubting map[teams.Scope]bool
}

// doubtful is what the poller asks; there is nothing to doubt without a webhook.
func (g *webhookGaps) doubtful() []teams.Scope { return g.state().Scopes }

// state is what status shows.
func (g *webhookGaps) state() teams.WebhookDoubt {
	if g == nil {
		return teams.WebhookDoubt{}
	}
	return g.doubts.State()
}

// notifying reports whether a notification ought to tell of what is written in a
// channel at a time: a subscription that is a moment old need not yet.
func (g *webhookGaps) notifying(ch teams.ChannelRef, at time.Time) bool {
	if g == nil {
		return false
	}
	since := g.subscribed(ch)
	return !since.IsZero() && !at.Before(since.Add(time.Minute))
}

// expect notes a message that a notification has to tell of.
func (g *webhookGaps) expect(ref teams.MessageRef) {
	if g != nil && g.notifying(ref.ChannelRef, g.now()) && g.wanted(ref.ChannelRef) {
		g.doubts.Expect(ref)
	}
}

// missed notes a message that was read, and of which none told in time.
func (g *webhookGaps) missed() {
	if g != nil {
		g.doubts.Note(teams.DoubtUnannounced)
	}
}

// run looks whether notifications can be relied on.
func (g *webhookGaps) run(ctx context.Context) error {
	return every(gapsInterval, g.look)(ctx)
}

// look has read what a doubt begins about. What comes while it lasts the poller
// reads by itself.
func (g *webhookGaps) look(ctx context.Context) error {
	g.doubts.Unsubscribed(g.unsubscribed())
	state := g.doubts.State()
	doubting := make(map[teams.Scope]bool, len(state.Scopes))
	var fresh []teams.Scope
	for _, scope := range state.Scopes {
		doubting[scope] = true
		// What is read anyway need not be read once more when less is in doubt.
		if !g.doubting[scope] && !g.doubting[teams.Scope{}] {
			fresh = append(fresh, scope)
		}
	}
	switch log := zerolog.Ctx(ctx); {
	case len(fresh) > 0:
		log.Warn().Strs("reasons", state.Reasons).Int("scopes", len(fresh)).Bool("everything", fresh[0] == teams.Scope{}).
			Msg("Notifications may be missing, reading what there is")
		g.counters.Count(teams.CountDoubt, state.Reasons[0], 1)
		if fresh[0] == (teams.Scope{}) {
			fresh = nil
		}
		g.read(state.Reasons[0], fresh...)
	case len(doubting) == 0 && len(g.doubting) > 0:
		log.Info().Msg("Notifications can be relied on again")
	}
	g.doubting = doubting
	return nil
}

// newWebhookGaps makes the doubts about the webhook.
func (r *runtime) newWebhookGaps() *webhookGaps {
	return &webhookGaps{
		doubts: teams.NewWebhookDoubts(r.now), wanted: r.catalog.wanted, counters: teamsCounters{r.metrics}, now: r.now,
		subscribed:   func(ch teams.ChannelRef) time.Time { return r.subs.Subscribed(ch) },
		unsubscribed: func() []teams.Scope { return slices.Concat(r.subs.Unsubscribed(), r.leftOut()) },
		read:         func(reason string, scopes ...teams.Scope) { r.poller.Request(reason, scopes...) },
	}
}

// leftOut returns the channels that there is no room to subscribe to.
func (r *runtime) leftOut() []teams.Scope {
	if scopes := r.unsubscribable.Load(); scopes != nil {
		return *scopes
	}
	return nil
}

// wasAway notes that notifications may have found nobody here: where there were
// subscriptions before, Graph may have taken the endpoint for an unresponsive one.
func (r *runtime) wasAway(ctx context.Context) error {
	records, err := r.db.Subscriptions.All(ctx)
	if err == nil && len(records) > 0 {
		r.gaps.doubts.Note(teams.DoubtStarted)
	}
	return err
}

package bridge

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"teamsbridge/teams"
)

// gapsInterval is how often it is looked whether notifications can be relied on.
const gapsInterval = 5 * time.Second

// webhookGaps reads around notifications that may be missing: Graph drops them
// for an endpoint that is slow, and tells nobody. While there is a doubt the
// readers read all the time, within poller.requests_per_second.
type webhookGaps struct {
	doubts *teams.WebhookDoubts
	// notified reports whether notifications ought to come, subscribed whether
	// all that is subscribed to can be.
	notified   func() bool
	subscribed func() bool
	wanted     func(teams.ChannelRef) bool
	// read asks for everything to be read.
	read     func(reason string)
	counters teams.Counters

	doubting bool
}

// doubtful is what the poller asks; there is nothing to doubt without a webhook.
func (g *webhookGaps) doubtful() bool { return g != nil && g.doubts.State().Any() }

// state is what status shows.
func (g *webhookGaps) state() teams.WebhookDoubt {
	if g == nil {
		return teams.WebhookDoubt{}
	}
	return g.doubts.State()
}

// expect notes a message that a notification has to tell of.
func (g *webhookGaps) expect(ref teams.MessageRef) {
	if g != nil && g.notified() && g.wanted(ref.ChannelRef) {
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

// look has everything read where a doubt begins. What comes while it lasts the
// poller reads by itself.
func (g *webhookGaps) look(ctx context.Context) error {
	if !g.subscribed() {
		g.doubts.Note(teams.DoubtUnsubscribed)
	}
	state := g.doubts.State()
	switch log := zerolog.Ctx(ctx); {
	case state.Any() && !g.doubting:
		log.Warn().Strs("reasons", state.Reasons).Msg("Notifications may be missing, reading what there is")
		g.counters.Count(teams.CountDoubt, state.Reasons[0], 1)
		g.read(state.Reasons[0])
	case !state.Any() && g.doubting:
		log.Info().Msg("Notifications can be relied on again")
	}
	g.doubting = state.Any()
	return nil
}

// newWebhookGaps makes the doubts about the webhook.
func (r *runtime) newWebhookGaps() *webhookGaps {
	return &webhookGaps{
		doubts: teams.NewWebhookDoubts(r.now), wanted: r.catalog.wanted, subscribed: r.messagesSubscribed,
		notified: r.health.notifying, read: func(reason string) { r.poller.Request(reason) }, counters: teamsCounters{r.metrics},
	}
}

// messagesSubscribed reports whether Graph has not refused a subscription to
// messages.
func (r *runtime) messagesSubscribed() bool {
	if r.subs == nil {
		return true
	}
	for _, s := range r.subs.State() {
		switch s.Status {
		case teams.SubscriptionActive, teams.SubscriptionPending, teams.SubscriptionUnavailable:
			continue
		}
		if res, ok := teams.ParseResource(s.Resource); ok && res.Kind == teams.ResourceMessage {
			return false
		}
	}
	return true
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

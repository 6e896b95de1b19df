package bridge

import (
	"context"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	vitals "teamsbridge/bridge/health"
	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

const (
	// notificationGrace is how late a notification may be before a message counts
	// as one of which none told. Microsoft promises a minute at most.
	notificationGrace = 5 * time.Minute
	// missedChecks bounds the look-ups for one page of messages.
	missedChecks = 20
	// missedLife is how old a message may be: what is read again later than that
	// tells nothing new.
	missedLife = 48 * time.Hour
)

// lookAtSubscriptions notes whether notifications can come at all.
func (h *health) lookAtSubscriptions() {
	state, detail := h.subscriptions()
	h.note(h.monitor.Hold(vitals.Webhook, state, detail))
}

// subscriptionHealth is how the subscriptions are.
func (r *runtime) subscriptionHealth() (vitals.State, string) {
	if r.subs == nil {
		return vitals.Unknown, ""
	}
	return judgeSubscriptions(r.subs.State())
}

func judgeSubscriptions(states []teams.SubscriptionState) (vitals.State, string) {
	active, failed := 0, 0
	why := ""
	for _, s := range states {
		switch s.Status {
		case teams.SubscriptionActive:
			active++
		case teams.SubscriptionPending:
		default:
			failed++
			why = string(s.Status)
		}
	}
	switch {
	case failed > 0 && active == 0:
		return vitals.Down, texts.Texts{}.Count(texts.SubscriptionsNone, len(states), "why", why)
	case failed > 0:
		return vitals.Degraded, inEnglish(texts.SubscriptionsSome, "failed", strconv.Itoa(failed), "all", strconv.Itoa(len(states)), "why", why)
	case active > 0 && active == len(states):
		return vitals.Up, ""
	default:
		return vitals.Unknown, ""
	}
}

// intakeWatch lets health see what the webhook does.
type intakeWatch struct {
	teams.Counters
	health *health
}

// Count implements teams.Counters.
func (w intakeWatch) Count(event, reason string, n int) {
	w.Counters.Count(event, reason, n)
	o := vitals.Observation{Dependency: vitals.Webhook, Op: "notification"}
	switch {
	case event == teams.CountReceived:
	case event == teams.CountRefused && (reason == teams.ReasonNotPersisted || reason == teams.ReasonOverloaded):
		o.Outcome = vitals.ServerError
	default:
		return
	}
	w.health.observe(o)
}

// watchedSink lets health see which messages only a reader found although a
// notification ought to have brought them.
type watchedSink struct {
	teams.Sink
	health *health
	gaps   *webhookGaps
	inbox  *database.Inbox
	wanted func(teams.ChannelRef) bool
}

// Accept implements teams.Sink.
func (w *watchedSink) Accept(ctx context.Context, source string, msgs []teams.Message) error {
	var missed []string
	switch source {
	case teams.SourceExport, teams.SourceDelta, teams.SourceList:
		missed = w.missed(ctx, msgs)
	}
	if err := w.Sink.Accept(ctx, source, msgs); err != nil {
		return err
	}
	for _, conversation := range missed {
		w.gaps.missed()
		w.health.observe(vitals.Observation{Dependency: vitals.Webhook, Op: "message", Scope: conversation, Outcome: vitals.Missed})
	}
	return nil
}

// missed returns the conversations of messages that are not in the ledger yet,
// and were written while there were subscriptions. Of those written just now a
// notification may still tell.
func (w *watchedSink) missed(ctx context.Context, msgs []teams.Message) (conversations []string) {
	now := w.health.now()
	checks := 0
	for _, m := range msgs {
		if m.Event != nil || !m.Deleted.IsZero() || m.Created.Before(now.Add(-missedLife)) || !w.gaps.notifying(m.Channel, m.Created) || !w.wanted(m.Channel) {
			continue
		}
		if checks++; checks > missedChecks {
			return conversations
		}
		key := string(portal.ChannelPortal(m.Channel).ID)
		row, err := w.inbox.Get(ctx, key, m.ID)
		if err != nil {
			zerolog.Ctx(ctx).Warn().Err(err).Str("portal", key).Msg("Could not see whether a notification has brought a message")
			return conversations
		}
		switch {
		case row != nil:
		case m.Created.After(now.Add(-notificationGrace)):
			w.gaps.expect(m.Ref())
		default:
			conversations = append(conversations, key)
		}
	}
	return conversations
}

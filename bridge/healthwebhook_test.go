package bridge

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	vitals "teamsbridge/bridge/health"
	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
)

// Messages that only a reader found, long after they were written, show that
// notifications do not come.
func TestMessagesThatOnlyAReaderFound(t *testing.T) {
	now := time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC)
	h := newHealth(nil, func() time.Time { return now })
	state := func() vitals.State { return h.monitor.Status()[3].State }
	subscribed := vitals.Up
	h.subscriptions = func() (vitals.State, string) { return subscribed, "" }
	db := testDB(t)
	ref := teams.ChannelRef{TeamID: "team", ChannelID: "channel"}
	var since time.Time
	gaps := &webhookGaps{doubts: teams.NewWebhookDoubts(h.now), now: h.now, subscribed: func(teams.ChannelRef) time.Time { return since }}
	gaps.wanted = func(teams.ChannelRef) bool { return true }
	sink := &watchedSink{Sink: noSink{}, health: h, gaps: gaps, inbox: db.Inbox, wanted: func(r teams.ChannelRef) bool { return r == ref }}
	message := func(id string, created time.Time) teams.Message {
		return teams.Message{ID: id, Channel: ref, Created: created}
	}
	read := func(source string, msgs ...teams.Message) {
		t.Helper()
		require.NoError(t, sink.Accept(t.Context(), source, msgs))
	}
	// three pages of a message each, from two channels
	three := func(source, prefix string, created time.Time) {
		for i := range 3 {
			read(source, message(fmt.Sprint(prefix, i), created))
		}
	}
	three(teams.SourceExport, "before there were subscriptions ", now)
	h.lookAtSubscriptions()
	since = now
	require.Equal(t, vitals.Up, state())
	three(teams.SourceExport, "written before there were subscriptions ", now.Add(-time.Hour))
	now = now.Add(time.Hour)
	three(teams.SourceExport, "just now ", now.Add(-time.Minute))
	three(teams.SourceHistory, "history ", now.Add(-30*time.Minute))
	three(teams.SourceWebhook, "notified ", now.Add(-30*time.Minute))
	read(teams.SourceList, teams.Message{ID: "elsewhere", Channel: teams.ChannelRef{TeamID: "x", ChannelID: "y"}, Created: now.Add(-30 * time.Minute)})
	require.NotEqual(t, vitals.Down, state())

	// Those that are in the ledger came by notification.
	for i := range 3 {
		_, err := db.Inbox.Accept(t.Context(), []database.InboxRow{{Portal: string(portal.ChannelPortal(ref).ID),
			MessageID: fmt.Sprint("known ", i), Version: 1, CreatedAt: now, ReceivedAt: now, Source: teams.SourceWebhook, Payload: []byte("{}")}})
		require.NoError(t, err)
	}
	three(teams.SourceExport, "known ", now.Add(-30*time.Minute))
	require.Equal(t, vitals.Up, state())

	// All of one channel: it may be that channel's subscription.
	three(teams.SourceExport, "missed ", now.Add(-30*time.Minute))
	require.Equal(t, vitals.Up, state())
	ref = teams.ChannelRef{TeamID: "team", ChannelID: "another"}
	read(teams.SourceExport, message("missed there", now.Add(-30*time.Minute)))
	require.Equal(t, vitals.Down, state())

	intakeWatch{noCounters{}, h}.Count(teams.CountReceived, "", 1)
	require.Equal(t, vitals.Up, state())
	subscribed = vitals.Down
	h.lookAtSubscriptions()
	require.Equal(t, vitals.Down, state())
}

type noCounters struct{}

func (noCounters) Count(string, string, int) {}

func TestSubscriptionsAreJudged(t *testing.T) {
	with := func(statuses ...teams.SubscriptionStatus) vitals.State {
		var all []teams.SubscriptionState
		for _, s := range statuses {
			all = append(all, teams.SubscriptionState{Status: s})
		}
		state, _ := judgeSubscriptions(all)
		return state
	}
	require.Equal(t, vitals.Unknown, with())
	require.Equal(t, vitals.Unknown, with(teams.SubscriptionPending))
	require.Equal(t, vitals.Unknown, with(teams.SubscriptionActive, teams.SubscriptionPending))
	require.Equal(t, vitals.Up, with(teams.SubscriptionActive, teams.SubscriptionActive))
	require.Equal(t, vitals.Degraded, with(teams.SubscriptionActive, teams.SubscriptionForbidden))
	require.Equal(t, vitals.Down, with(teams.SubscriptionPending, teams.SubscriptionUnreachable))
}

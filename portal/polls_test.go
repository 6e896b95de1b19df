package portal_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
)

func poll(question string, answers ...string) map[string]any {
	list := make([]any, len(answers))
	for i, a := range answers {
		list[i] = map[string]any{"id": a, "org.matrix.msc1767.text": a}
	}
	return map[string]any{"org.matrix.msc3381.poll.start": map[string]any{
		"kind": "org.matrix.msc3381.poll.disclosed", "max_selections": 1,
		"question": map[string]any{"org.matrix.msc1767.text": question}, "answers": list,
	}}
}

func vote(pollID id.EventID, answer string) map[string]any {
	return map[string]any{
		"m.relates_to":                     map[string]any{"rel_type": "m.reference", "event_id": pollID.String()},
		"org.matrix.msc3381.poll.response": map[string]any{"answers": []any{answer}},
	}
}

// A poll's question and answers are in Teams like any message, also through an
// outage, a restart and a repeated transaction; votes stay in Matrix.
func TestPollsGoToTeamsAsText(t *testing.T) {
	r := started(t)
	over := outage(r)
	first := r.Send(portaltest.AliceMXID, event.EventUnstablePollStart, poll("Lunch?", "Pizza", "Soup"))
	r.Redeliver(first)
	r.Say(portaltest.AliceMXID, "vote please")
	r.Eventually(func() bool { return r.Counts.Get(portal.MetricEnqueued, "message") == 2 })
	r.Restart()
	over()
	r.Quiet()
	require.Equal(t, []string{"📊 Poll: Lunch?1. Pizza2. Soup", "vote please"}, r.TeamsTexts())
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, first))

	cast := r.Send(portaltest.BobMXID, event.EventUnstablePollResponse, vote(first, "Soup"))
	r.Eventually(func() bool { return r.Counts.Get(portal.MetricIgnored, portal.IgnoredPollVote) == 1 })
	require.NoError(t, r.DB.Journal.Done(context.Background(), cast.String()), "the real journal does not keep votes")
	r.Redact(portaltest.AliceMXID, first)
	r.Quiet()
	require.Equal(t, []string{"vote please"}, r.TeamsTexts(), "a poll can be deleted like any message")
}

// The framework takes no polls from people without a login of their own.
func TestPollOfARelayedUserIsNotTaken(t *testing.T) {
	r := started(t)
	e := r.Send(portaltest.CarolMXID, event.EventUnstablePollStart, poll("Lunch?", "Pizza"))
	r.Quiet()
	require.Empty(t, r.TeamsTexts())
	require.NotEmpty(t, r.HS.Statuses(e))
	require.NotEqual(t, event.MessageStatusSuccess, lastStatus(r, e))
}

func TestStickersAndLocationsGoToTeamsAsText(t *testing.T) {
	r := started(t)
	r.Send(portaltest.AliceMXID, event.EventSticker, map[string]any{"body": "Party parrot", "url": "mxc://example.org/none", "info": map[string]any{"mimetype": "image/png", "size": 10 << 20}})
	r.Send(portaltest.CarolMXID, event.EventSticker, map[string]any{"body": "Sad parrot", "url": "mxc://example.org/none", "info": map[string]any{"mimetype": "image/png", "size": 10 << 20}})
	r.Send(portaltest.AliceMXID, event.EventMessage, map[string]any{"msgtype": "m.location", "body": "Town hall", "geo_uri": "geo:52.52,13.405;u=10"})
	r.Quiet()
	texts := r.TeamsTexts()
	require.Len(t, texts, 3)
	require.Contains(t, texts[0], "Sticker: Party parrot")
	require.Contains(t, texts[1], "Sad parrot")
	require.Contains(t, texts[2], "Location: Town hall (52.52, 13.405)")
}

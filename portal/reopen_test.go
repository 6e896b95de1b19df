package portal_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
)

// waiting waits until as many rows as that wait in either direction.
func waiting(t *testing.T, r *portaltest.Rig, out, in int) {
	t.Helper()
	ctx := context.Background()
	r.Eventually(func() bool {
		inbox, err := r.DB.Inbox.Stats(ctx)
		require.NoError(t, err)
		rows, err := r.DB.Outbox.Queue(ctx, string(portal.ChannelPortal(portaltest.Channel).ID), 99)
		require.NoError(t, err)
		return inbox.ByState[database.StatePending] == in && len(rows) == out
	})
}

// With a lost key the bridge starts, and both sides are asked once more for what
// waited: all of it arrives, once and in order.
func TestLostKeyLosesNothing(t *testing.T) {
	r := portaltest.New(t)
	r.Start()
	root := r.Say(portaltest.AliceMXID, "root")
	changed := r.Say(portaltest.AliceMXID, "to be edited")
	reacted := r.React(portaltest.AliceMXID, root, "🎉")
	r.Quiet()
	over := outage(r)
	var noRoom atomic.Bool
	noRoom.Store(true)
	r.HS.SetFaults(func(user id.UserID, _ event.Type, _ map[string]any) error {
		if noRoom.Load() && user != portaltest.AliceMXID && user != portaltest.BobMXID && user != portaltest.CarolMXID {
			return portaltest.Down()
		}
		return nil
	}, nil)
	first := r.Say(portaltest.AliceMXID, "first")
	r.Reply(portaltest.CarolMXID, root, "second")
	r.Edit(portaltest.AliceMXID, first, "first, merged")
	r.Edit(portaltest.AliceMXID, changed, "edited")
	r.React(portaltest.BobMXID, changed, "👍")
	r.Redact(portaltest.AliceMXID, reacted)
	r.Say(portaltest.CarolMXID, "last")
	r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "<p>one</p>")
	r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "<p>two</p>")
	waiting(t, r, 7, 2)

	r.Stop()
	r.Key = anotherKey
	r.Start()
	over()
	noRoom.Store(false)
	r.Quiet()
	require.Equal(t, []string{"root", "edited", "one", "two", "first, merged", "carol: second", "carol: last"}, r.TeamsTexts())
	texts := r.Texts()
	require.Equal(t, []string{"one", "two"}, texts[len(texts)-2:])
	require.GreaterOrEqual(t, r.Counts.Get(portal.MetricReopened, "asked of the homeserver"), 6)
	require.Equal(t, 2, r.Counts.Get(portal.MetricReopened, "asked of Teams"))
	rows, err := r.DB.Outbox.ParkedFor(context.Background(), "unreadable outbox row", time.Time{}, 0, 9)
	require.NoError(t, err)
	require.Empty(t, rows)
}

// What neither side has any more is parked for a named reason, is counted, and holds
// up nothing.
func TestLostKeyAndNobodyElseHasIt(t *testing.T) {
	r := portaltest.New(t)
	r.Start()
	over := outage(r)
	r.HS.SetFaults(func(user id.UserID, _ event.Type, _ map[string]any) error {
		if user != portaltest.AliceMXID {
			return portaltest.Down()
		}
		return nil
	}, nil)
	lost := r.Say(portaltest.AliceMXID, "lost")
	r.Say(portaltest.AliceMXID, "there")
	gone := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "<p>gone</p>")
	r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "<p>here</p>")
	waiting(t, r, 2, 2)
	r.Stop()
	r.HS.Lose(lost)
	r.Tenant.Remove(portaltest.Channel, gone.ID)
	r.Key = anotherKey
	r.Start()
	over()
	r.HS.SetFaults(nil, nil)
	r.Quiet()
	require.Equal(t, []string{"here", "there"}, r.TeamsTexts())
	require.Contains(t, r.Texts(), "here")
	require.NotContains(t, r.Texts(), "gone")
	rows, err := r.DB.Outbox.ParkedFor(context.Background(), "unreadable outbox row", time.Time{}, 0, 9)
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.Equal(t, lost.String(), rows[0].EventID)
	require.Equal(t, event.MessageStatusFail, lastStatus(r, lost), "its author knows")
	require.Equal(t, 1, r.Counts.Get(portal.MetricFailed, "unreadable outbox row"))
	parked, err := r.DB.Inbox.ParkedAs(context.Background(), gone.ID)
	require.NoError(t, err)
	require.Len(t, parked, 1)
	require.Equal(t, "unreadable ledger row", parked[0].Reason)
	require.Equal(t, 1, r.Counts.Get(portal.MetricParked, "unreadable ledger row"))

	// With the key that sealed it, it is good again.
	r.Stop()
	r.Key, r.PreviousKeys = "", nil
	r.Start()
	ok, err := r.DB.Outbox.Requeue(context.Background(), rows[0].ID, time.Time{})
	require.NoError(t, err)
	require.True(t, ok)
	r.Sender.Wake(rows[0].Portal)
	r.Quiet()
	require.Contains(t, r.TeamsTexts(), "lost")
}

const anotherKey = "another key, for nobody knows the first"

// The polls of a lost key, edited as they are, and the votes in them go on counting;
// one that the homeserver does not have does not.
func TestLostKeyAndPolls(t *testing.T) {
	r := portaltest.New(t)
	r.Start()
	pollID := r.Send(portaltest.AliceMXID, event.EventUnstablePollStart, poll("Lunch?", "Soup", "Salad"))
	r.Send(portaltest.BobMXID, event.EventUnstablePollResponse, vote(pollID, "Soup"))
	lost := r.Send(portaltest.CarolMXID, event.EventUnstablePollResponse, vote(pollID, "Salad"))
	r.Quiet()
	r.Send(portaltest.AliceMXID, event.EventUnstablePollStart, isEdit(pollID, poll("Dinner?", "Soup", "Salad")))
	r.Quiet()
	require.Contains(t, strings.Join(r.TeamsTexts(), ""), "Dinner?")
	r.Stop()
	r.HS.Lose(lost)
	r.Key = anotherKey
	r.Start()
	r.Send(portaltest.AliceMXID, event.EventUnstablePollResponse, vote(pollID, "Soup"))
	r.Eventually(func() bool { return strings.Contains(strings.Join(r.TeamsTexts(), ""), "2 votes") })
	r.Quiet()
	text := strings.Join(r.TeamsTexts(), "")
	require.Contains(t, text, "Dinner?")
	require.NotContains(t, text, "Lunch?")
	require.Equal(t, 1, r.Counts.Get(portal.MetricReopened, "vote lost"))
	require.Zero(t, r.Counts.Get(portal.MetricReopened, "poll lost"))
	polls, votes, err := r.DB.Polls.Unreadable(context.Background())
	require.NoError(t, err)
	require.Empty(t, polls)
	require.Empty(t, votes)
}

// A digest of which the key is lost on its way goes to Teams all the same.
func TestLostKeyAndDigest(t *testing.T) {
	r, release := digesting(t, 2)
	var want []string
	for i := range 5 {
		want = append(want, fmt.Sprintf("message number %d", i))
		r.Say(portaltest.BobMXID, want[i])
	}
	refuse := outage(r)
	release()
	r.Eventually(func() bool {
		open, err := r.DB.Digests.Open(context.Background())
		return err == nil && len(open) == 1
	}, "a digest is put together")
	r.Stop()
	r.Key = anotherKey
	r.Start()
	refuse()
	require.NoError(t, r.Sender.Kick(context.Background()))
	r.Quiet()
	order, times := said(r, want)
	require.Equal(t, want, order)
	for _, text := range want {
		require.Equal(t, 1, times[text], text)
	}
}

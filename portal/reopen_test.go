package portal_test

import (
	"context"
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
	r.Key = "another key, for nobody knows the first"
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
	r.Key = "another key, for nobody knows the first"
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
	ok, err := r.DB.Outbox.Requeue(context.Background(), rows[0].ID)
	require.NoError(t, err)
	require.True(t, ok)
	r.Sender.Wake(rows[0].Portal)
	r.Quiet()
	require.Contains(t, r.TeamsTexts(), "lost")
}

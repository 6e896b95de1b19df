package portal_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// cutOne cuts the connection of the first send that matches, on which the
// homeserver goes on working until Finish, and refuses what matches from then on
// until over is called.
func cutOne(r *portaltest.Rig, match func(event.Type, map[string]any) bool) (over func()) {
	var cut atomic.Bool
	r.HS.SetFaults(func(_ id.UserID, kind event.Type, content map[string]any) error {
		if match(kind, content) && cut.Load() {
			return portaltest.Refused(429, "M_LIMIT_EXCEEDED")
		}
		return nil
	}, nil)
	r.HS.CutWhile(func(kind event.Type, content map[string]any) bool {
		return match(kind, content) && !cut.Swap(true)
	})
	return func() {
		r.HS.SetFaults(nil, nil)
		r.HS.CutWhile(nil)
	}
}

// tell gives the bridge all events of the room, as transactions do.
func tell(t *testing.T, r *portaltest.Rig) {
	t.Helper()
	require.NoError(t, r.Echo(context.Background(), r.HS.Events(r.Room)...))
}

// TestArrivesAfterItWasTakenBack has the homeserver make an event after the
// bridge is done with the deletion of what it shows, and after it was restarted:
// it does not stay.
//
// Proves T3 and T4.
func TestArrivesAfterItWasTakenBack(t *testing.T) {
	isPicture := func(_ event.Type, content map[string]any) bool { return content["msgtype"] == "m.image" }
	for name, c := range map[string]struct {
		match   func(event.Type, map[string]any) bool
		html    string
		reacted bool
	}{
		"message":  {cutting(event.EventMessage), "secret", false},
		"picture":  {isPicture, `<p>look</p><p><img src="` + imageURL + `" alt="pic"></p>`, false},
		"reaction": {cutting(event.EventReaction), "hello", true},
	} {
		for _, restarts := range []int{0, 1, 2} {
			t.Run(fmt.Sprint(name, restarts), func(t *testing.T) {
				r := started(t)
				r.Tenant.AddImage(imageURL, []byte("png"))
				over := cutOne(r, c.match)
				m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, c.html)
				takeBack := portaltest.SetDeleted()
				if c.reacted {
					r.Quiet()
					r.Tenant.Change(portaltest.Channel, m.ID, portaltest.AddReaction(portaltest.Dave, "👍"))
					takeBack = portaltest.DropReaction(portaltest.Dave, "👍")
				}
				r.Eventually(func() bool { return r.HS.InFlight() == 1 })
				if restarts == 2 {
					r.Restart() // while the message is on its way
				}
				r.Tenant.Change(portaltest.Channel, m.ID, takeBack)
				over()
				r.Quiet()
				if restarts > 0 {
					r.Restart() // when the ledger is done with it
					r.Quiet()
				}
				r.HS.Finish()
				tell(t, r)
				r.Quiet()
				for _, e := range r.HS.Events(r.Room) {
					if c.match(e.Type, e.Content) {
						require.True(t, e.Redacted, "%s after %d restarts", e.Type.Type, restarts)
					}
				}
				require.Equal(t, 1, r.Counts.Get(portal.MetricIngestDoubt, "taken back"))
			})
		}
	}
}

// TestBothComeAfterTheyWereTakenBack: a send became two events after Teams had
// taken the message back, and the one that counted is gone before the other is
// looked at. None stays.
func TestBothComeAfterTheyWereTakenBack(t *testing.T) {
	r := started(t)
	over := cutOne(r, cutting(event.EventMessage))
	m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "secret")
	r.Eventually(func() bool { return r.HS.InFlight() == 1 })
	r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetDeleted())
	over()
	r.Quiet()
	r.HS.Finish()
	one := r.HS.Messages(r.Room)[0].ID
	other := r.HS.Double(t, one)
	// Whoever looks at the other one first does not get it away.
	r.HS.SetFaults(func(_ id.UserID, kind event.Type, content map[string]any) error {
		if kind == event.EventRedaction && content["redacts"] == other.String() && r.Counts.Get(portal.MetricIngestDoubt, "taken back") == 0 {
			return portaltest.Down()
		}
		return nil
	}, nil)
	tell(t, r)
	r.Eventually(func() bool { return r.HS.Event(one).Redacted && r.HS.Event(other).Redacted })
	r.Quiet()
	require.Empty(t, r.Texts())
}

// TestTakenBackAndRestored restores a message in Teams that was deleted before
// Matrix had it, and whose event was taken back when it came: it is there again,
// although the homeserver knows the transaction of the first send.
//
// Proves T4.
func TestTakenBackAndRestored(t *testing.T) {
	r := started(t)
	over := cutOne(r, cutting(event.EventMessage))
	m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "secret")
	r.Eventually(func() bool { return r.HS.InFlight() == 1 })
	r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetDeleted())
	over()
	r.Quiet()
	r.HS.Finish()
	tell(t, r)
	r.Quiet()
	require.Empty(t, r.HS.Messages(r.Room))
	r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetUndeleted("back again"))
	r.Quiet()
	tell(t, r)
	r.Quiet()
	require.Equal(t, []string{"back again"}, r.Texts())
}

// TestEventWithoutARowStays loses the row of a message that stands in Teams: its
// event is no orphan, and only a comparison may judge it.
//
// Proves M1.
func TestEventWithoutARowStays(t *testing.T) {
	r := started(t)
	m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "hello")
	r.Quiet()
	require.NoError(t, r.Bridge.DB.Message.DeleteAllParts(context.Background(), "", portal.MessageID(portaltest.Channel, m.ID)))
	tell(t, r)
	r.Quiet()
	require.Equal(t, []string{"hello"}, r.Texts())

	// While nobody can ask Teams, nothing is taken back.
	r.Tenant.SetRead(func(string) error { return portaltest.ErrUnavailable })
	var deleted teams.Message
	r.Tenant.SetChanged(func(m teams.Message) { deleted = m })
	r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetDeleted())
	accept(t, r, deleted)
	r.Eventually(func() bool {
		row, err := r.DB.Inbox.Get(context.Background(), r.Portal(), m.ID)
		return err == nil && row.Delivered == deleted.ETag
	})
	r.Restart()
	tell(t, r)
	require.Equal(t, []string{"hello"}, r.Texts())
	r.Tenant.SetRead(nil)
	r.Eventually(func() bool { return len(r.Texts()) == 0 })
}

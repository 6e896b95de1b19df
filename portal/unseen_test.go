package portal_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
)

// A delivery fails after the homeserver took the event, for a reason that says
// nothing about that; then a newer version comes, which begins to count attempts
// anew, and the homeserver has forgotten transaction ids. The event's echo tells.
func TestNewerVersionAfterAFailedAttemptDoublesNothing(t *testing.T) {
	r := started(t)
	var failing, stored atomic.Bool
	failing.Store(true)
	refuse := func(when *atomic.Bool) func(id.UserID, event.Type, map[string]any) error {
		return func(_ id.UserID, kind event.Type, _ map[string]any) error {
			if failing.Load() && kind == event.EventMessage && when.Load() {
				stored.Store(true)
				return portaltest.Refused(429, "M_LIMIT_EXCEEDED")
			}
			return nil
		}
	}
	// The first attempt makes the event, and none after it gets that far.
	r.HS.SetFaults(refuse(&stored), refuse(&failing))
	m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "once")
	r.Eventually(func() bool {
		row, err := r.DB.Inbox.Get(context.Background(), r.Portal(), m.ID)
		return err == nil && row != nil && row.Attempts > 0
	})
	require.NoError(t, r.Look(context.Background(), r.Room))
	r.HS.Restart()
	r.Tenant.Change(portaltest.Channel, m.ID, portaltest.AddReaction(portaltest.Dave, "👍"))
	failing.Store(false)
	r.Quiet()
	require.Equal(t, []string{"once"}, r.Texts())
	require.Len(t, r.HS.Reactions(r.Room, r.HS.Messages(r.Room)[0].ID), 1)
}

// An edit that Teams took, although it answered that it can't be reached, is no
// edit made in Teams, also for the bridge that is started after.
func TestEditOfUnknownOutcomeIsNotToldAsMadeInTeams(t *testing.T) {
	var held atomic.Bool
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) {
			out.Held = func(string) bool { return held.Load() }
		}
	})
	e := r.Say(portaltest.BobMXID, "first")
	r.Quiet()
	r.Tenant.SetChanged(nil)
	r.Tenant.SetFault(func(op, _ string) portaltest.Fault {
		if op == "edit" {
			held.Store(true) // it is not tried again before Teams has been listed
			return portaltest.Fault{Lose: portaltest.ErrAmbiguous}
		}
		return portaltest.Fault{}
	})
	edit := r.Edit(portaltest.BobMXID, e, "second")
	queued := func() bool {
		row, err := r.DB.Outbox.ByEvent(context.Background(), edit.String())
		return err == nil && row != nil && row.State == database.StateQueued && row.Attempts > 0
	}
	r.Eventually(queued)
	r.Restart()
	require.NoError(t, r.Ingest.Accept(context.Background(), "list", r.Tenant.Messages(portaltest.Channel)))
	r.Eventually(func() bool {
		in, err := r.DB.Inbox.Stats(context.Background())
		return err == nil && in.ByState[database.StatePending] == 0
	})
	r.Tenant.SetFault(nil)
	held.Store(false)
	require.NoError(t, r.Sender.Kick(context.Background()))
	r.Quiet()
	for _, e := range r.HS.Messages(r.Room) {
		require.False(t, strings.Contains(e.Text(), "edited in Teams"), e.Text())
	}
}

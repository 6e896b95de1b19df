package portal_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// loseOne loses the answer to the first send of a kind that the homeserver has
// stored, and refuses everything until the returned function is called.
func loseOne(r *portaltest.Rig, kind event.Type) (lost func() bool, over func()) {
	stored := false
	r.HS.SetFaults(func(_ id.UserID, k event.Type, _ map[string]any) error {
		if stored && k == kind {
			return portaltest.Down()
		}
		return nil
	}, func(_ id.UserID, k event.Type, _ map[string]any) error {
		if k == kind && !stored {
			stored = true
			return portaltest.Down()
		}
		return nil
	})
	return func() bool { return len(r.HS.Events(r.Room)) > 0 }, func() { r.HS.SetFaults(nil, nil) }
}

// TestDeletedBeforeItsSendWasAnswered deletes a message in Teams while nobody
// knows yet that Matrix has it: it does not stay there, whether or not the
// bridge was restarted in between.
//
// Proves T3 and T4.
func TestDeletedBeforeItsSendWasAnswered(t *testing.T) {
	for _, restart := range []bool{false, true} {
		r := started(t)
		lost, over := loseOne(r, event.EventMessage)
		m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "secret")
		r.Eventually(lost)
		if restart {
			r.Stop()
		}
		r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetDeleted())
		over()
		if restart {
			r.Start()
			accept(t, r, r.Tenant.Messages(portaltest.Channel)...)
		}
		r.Quiet()
		require.Empty(t, r.HS.Messages(r.Room))
	}
}

// TestReactionTakenBackBeforeItsSendWasAnswered does the same with a reaction.
//
// Proves T3 and T4.
func TestReactionTakenBackBeforeItsSendWasAnswered(t *testing.T) {
	r := started(t)
	m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "hello")
	r.Quiet()
	_, over := loseOne(r, event.EventReaction)
	r.Tenant.Change(portaltest.Channel, m.ID, portaltest.AddReaction(portaltest.Dave, "👍"))
	target := last(t, r).ID
	r.Eventually(func() bool { return len(r.HS.Reactions(r.Room, target)) > 0 })
	r.Tenant.Change(portaltest.Channel, m.ID, portaltest.DropReaction(portaltest.Dave, "👍"))
	over()
	r.Quiet()
	require.Empty(t, r.HS.Reactions(r.Room, target))
}

// TestReplyWaitsForARootThatIsNotShownYet has Graph answer 404 for a root that
// was just written: the reply waits for it and comes into its thread.
//
// Proves T5.
func TestReplyWaitsForARootThatIsNotShownYet(t *testing.T) {
	r := started(t)
	r.Tenant.SetChanged(nil) // the root's notification is lost
	root := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "root")
	reply := r.Tenant.Post(portaltest.Channel, root.ID, portaltest.Bob, "reply")
	asked := make(chan struct{}, 100)
	r.Tenant.SetRead(func(op string) error {
		if op == "message" && len(asked) < 3 {
			asked <- struct{}{}
			return portaltest.ErrNotFound
		}
		return nil
	})
	accept(t, r, reply)
	r.Quiet()
	all := r.HS.Messages(r.Room)
	require.Len(t, all, 2)
	require.Equal(t, all[0].ID.String(), all[1].Relation("event_id"))
}

func accept(t *testing.T, r *portaltest.Rig, msgs ...teams.Message) {
	t.Helper()
	require.NoError(t, r.Ingest.Accept(t.Context(), "list", msgs))
}

package portal_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// lagging returns a rig whose tenant does not know a new message by its id for a time.
func lagging(t *testing.T, lag, patience time.Duration) *portaltest.Rig {
	t.Helper()
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) { out.TargetPatience = patience }
	})
	r.Tenant.SetWriteLag(func(teams.Message) time.Duration { return lag })
	return r
}

// TestYoungTarget: what follows a message by so short a time that Graph does not
// know the message yet gets there all the same.
//
// Proves M1.
func TestYoungTarget(t *testing.T) {
	const lag, patience = 300 * time.Millisecond, 20 * time.Second
	t.Run("reply", func(t *testing.T) {
		r := lagging(t, lag, patience)
		root := r.Say(portaltest.AliceMXID, "root")
		reply := r.Reply(portaltest.AliceMXID, root, "reply")
		r.Quiet()
		msgs := r.Tenant.Messages(portaltest.Channel)
		require.Len(t, msgs, 2)
		require.Equal(t, msgs[0].ID, msgs[1].ReplyToID, "it stays in its thread")
		require.Equal(t, event.MessageStatusSuccess, lastStatus(r, reply))
		require.Positive(t, r.Counts.Get(portal.MetricSendRetry, "Teams does not show yet what it belongs to"))
	})
	t.Run("reply to what was written in Teams", func(t *testing.T) {
		r := lagging(t, lag, patience)
		post := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "root")
		r.Eventually(func() bool { return len(r.HS.Messages(r.Room)) == 1 })
		r.Reply(portaltest.AliceMXID, last(t, r).ID, "reply")
		r.Quiet()
		require.Equal(t, post.ID, r.Tenant.Messages(portaltest.Channel)[1].ReplyToID)
	})
	t.Run("edit", func(t *testing.T) {
		r := lagging(t, lag, patience)
		e := r.Say(portaltest.AliceMXID, "first")
		r.Eventually(func() bool { return len(r.TeamsTexts()) == 1 })
		edit := r.Edit(portaltest.AliceMXID, e, "second")
		r.Quiet()
		require.Equal(t, []string{"second"}, r.TeamsTexts())
		require.Equal(t, event.MessageStatusSuccess, lastStatus(r, edit))
	})
	t.Run("deletion", func(t *testing.T) {
		r := lagging(t, lag, patience)
		e := r.Say(portaltest.AliceMXID, "secret")
		r.Eventually(func() bool { return len(r.TeamsTexts()) == 1 })
		del := r.Redact(portaltest.AliceMXID, e)
		r.Quiet()
		require.Empty(t, r.TeamsTexts(), "a 404 does not mean that it was deleted before")
		require.Equal(t, event.MessageStatusSuccess, lastStatus(r, del))
	})
	t.Run("reaction and its removal", func(t *testing.T) {
		r := lagging(t, lag, patience)
		r.Say(portaltest.AliceMXID, "message")
		e := r.HS.Messages(r.Room)[0].ID
		r.Eventually(func() bool { return len(r.TeamsTexts()) == 1 })
		reaction := r.React(portaltest.AliceMXID, e, "👍")
		r.Eventually(func() bool { return len(r.Tenant.Messages(portaltest.Channel)[0].Reactions) == 1 })
		r.Tenant.SetWriteLag(func(teams.Message) time.Duration { return 2 * lag })
		r.Redact(portaltest.AliceMXID, reaction)
		r.Quiet()
		require.Empty(t, r.Tenant.Messages(portaltest.Channel)[0].Reactions)
	})
}

// TestTargetThatIsNotThere: what acts on a message that is gone does not hold its
// conversation up longer than a young message may take, and not at all where
// Graph shows that it was deleted.
func TestTargetThatIsNotThere(t *testing.T) {
	t.Run("young", func(t *testing.T) {
		r := lagging(t, time.Hour, 300*time.Millisecond)
		e := r.Say(portaltest.AliceMXID, "first")
		r.Eventually(func() bool { return len(r.TeamsTexts()) == 1 })
		edit := r.Edit(portaltest.AliceMXID, e, "second")
		r.Quiet()
		require.Equal(t, event.MessageStatusFail, lastStatus(r, edit))
		require.Positive(t, r.Counts.Get(portal.MetricFailed, "not found"))
	})
	t.Run("deleted", func(t *testing.T) {
		r := lagging(t, 0, time.Hour)
		r.Say(portaltest.AliceMXID, "message")
		r.Quiet()
		r.Tenant.SetChanged(nil)
		m := r.Tenant.Messages(portaltest.Channel)[0]
		r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetDeleted())
		r.Tenant.SetFault(func(op, _ string) portaltest.Fault {
			if op == "edit" {
				return portaltest.Fault{Refuse: portaltest.ErrNotFound}
			}
			return portaltest.Fault{}
		})
		edit := r.Edit(portaltest.AliceMXID, r.HS.Messages(r.Room)[0].ID, "second")
		r.Quiet()
		require.Equal(t, event.MessageStatusFail, lastStatus(r, edit))
	})
	t.Run("a reaction that is not there", func(t *testing.T) {
		r := lagging(t, 0, time.Hour)
		r.Say(portaltest.AliceMXID, "message")
		r.Quiet()
		e := r.HS.Messages(r.Room)[0].ID
		reaction := r.React(portaltest.AliceMXID, e, "👍")
		r.Quiet()
		r.Tenant.SetChanged(nil)
		r.Tenant.Change(portaltest.Channel, r.Tenant.Messages(portaltest.Channel)[0].ID, portaltest.DropReaction(portaltest.Alice, "👍"))
		r.Tenant.SetFault(func(op, _ string) portaltest.Fault {
			if op == "unreact" {
				return portaltest.Fault{Refuse: portaltest.ErrNotFound}
			}
			return portaltest.Fault{}
		})
		removal := r.Redact(portaltest.AliceMXID, reaction)
		r.Quiet()
		require.Equal(t, event.MessageStatusSuccess, lastStatus(r, removal))
	})
}

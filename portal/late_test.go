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

// lateWrite has Teams say of the first write of a kind that it failed. Teams
// carries it out when the returned function is called; refused reports whether
// it was made.
func lateWrite(r *portaltest.Rig, op string) (refused func() bool, carryOut func()) {
	writes := make(chan portaltest.Write, 1)
	var done atomic.Bool
	r.Tenant.SetWrites(func(w portaltest.Write) (out portaltest.Fault) {
		if w.Op == op && !done.Swap(true) {
			writes <- w
			out.Refuse = portaltest.ErrAmbiguous
		}
		return out
	})
	return func() bool { return len(writes) > 0 }, func() {
		w := <-writes
		change := portaltest.SetText(w.HTML)
		switch op {
		case "react":
			change = portaltest.AddReaction(w.Account, w.HTML)
		case "unreact":
			change = portaltest.DropReaction(w.Account, w.HTML)
		}
		r.Tenant.Change(w.Channel, w.Target, change)
	}
}

// restarting restarts the bridge around what happens in Teams, if it is to.
func restarting(t *testing.T, r *portaltest.Rig, restart bool, happen func()) {
	if !restart {
		happen()
		return
	}
	r.Stop()
	happen()
	r.Start()
	accept(t, r, r.Tenant.Messages(portaltest.Channel)...)
}

// undone reports whether a late write was seen, and what it undid sent again.
func undone(r *portaltest.Rig) bool {
	return r.Counts.Get(portal.MetricDelivered, "behind a late write") > 0
}

// TestLateEditDoesNotStand has Teams carry an edit out behind a newer one: the
// newer one stands on both sides, for a person's own account and the relay, and
// also where the bridge was restarted in between.
//
// Proves M4.
func TestLateEditDoesNotStand(t *testing.T) {
	for _, user := range []id.UserID{portaltest.AliceMXID, portaltest.BobMXID} {
		for _, restart := range []bool{false, true} {
			// The newer edit comes while the other waits to be tried again.
			r := started(t, func(r *portaltest.Rig) {
				r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) {
					out.RetryMin, out.RetryMax = time.Second, time.Second
				}
			})
			e := r.Say(user, "first")
			r.Quiet()
			refused, carryOut := lateWrite(r, "edit")
			r.Edit(user, e, "second")
			r.Eventually(refused)
			r.Edit(user, e, "third")
			r.Quiet()
			restarting(t, r, restart, carryOut)
			r.Quiet()
			require.True(t, undone(r))
			require.Contains(t, r.TeamsTexts()[0], "third")
			require.Equal(t, []string{"third"}, r.Texts())
			r.Edit(user, e, "fourth")
			r.Quiet()
			require.Contains(t, r.TeamsTexts()[0], "fourth")
			require.Equal(t, []string{"fourth"}, r.Texts())
		}
	}
}

// TestEditBackBehindALostAnswer: an edit is made and its answer lost, and while it
// waits to be tried again its author edits the message back to what the bridge
// knows it to say in Teams. That has to go there all the same.
//
// Proves M4.
func TestEditBackBehindALostAnswer(t *testing.T) {
	r := started(t, func(r *portaltest.Rig) {
		// The first edit waits for its next try while the second one comes.
		r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) {
			out.RetryMin, out.RetryMax = time.Hour, time.Hour
		}
	})
	e := r.Say(portaltest.AliceMXID, "first")
	r.Quiet()
	r.Tenant.SetChanged(nil) // nobody tells what Teams shows, which would mend it later
	r.Tenant.SetWrites(func(portaltest.Write) portaltest.Fault { return portaltest.Fault{Lose: portaltest.ErrAmbiguous} })
	second := r.Edit(portaltest.AliceMXID, e, "second")
	r.Eventually(func() bool {
		row, err := r.DB.Outbox.ByEvent(context.Background(), second.String())
		return err == nil && row != nil && row.State == database.StateQueued && row.Attempts == 1
	})
	require.Equal(t, []string{"second"}, r.TeamsTexts())
	r.Edit(portaltest.AliceMXID, e, "first")
	r.Eventually(func() bool { n, err := r.DB.Journal.Count(context.Background()); return err == nil && n == 0 })
	r.Tenant.SetWrites(nil)
	require.NoError(t, r.Sender.Kick(context.Background()))
	r.Quiet()
	require.Equal(t, []string{"first"}, r.TeamsTexts())
	require.Equal(t, []string{"first"}, r.Texts())
}

// TestLateEditOfWhatWasWrittenInTeams does the same with a message from Teams
// that its author edits in Matrix.
//
// Proves M4.
func TestLateEditOfWhatWasWrittenInTeams(t *testing.T) {
	r := started(t)
	r.Tenant.Post(portaltest.Channel, "", portaltest.Alice, "first")
	r.Quiet()
	e := last(t, r).ID
	_, carryOut := lateWrite(r, "edit")
	r.Edit(portaltest.AliceMXID, e, "second")
	r.Quiet()
	r.Edit(portaltest.AliceMXID, e, "third")
	r.Quiet()
	carryOut()
	r.Quiet()
	require.True(t, undone(r))
	require.Contains(t, r.TeamsTexts()[0], "third")
	require.Equal(t, []string{"third"}, r.Texts())
}

// TestEditInTeamsBehindAnAmbiguousOne: what somebody writes in Teams after an
// edit of ours had no answer is an edit made in Teams.
//
// Proves T4.
func TestEditInTeamsBehindAnAmbiguousOne(t *testing.T) {
	r := started(t)
	e := r.Say(portaltest.AliceMXID, "first")
	r.Quiet()
	_, carryOut := lateWrite(r, "edit")
	r.Edit(portaltest.AliceMXID, e, "second")
	r.Quiet()
	carryOut()
	r.Quiet()
	r.Tenant.Change(portaltest.Channel, r.Tenant.Messages(portaltest.Channel)[0].ID, portaltest.SetText("in Teams"))
	r.Quiet()
	require.Equal(t, []string{"in Teams"}, r.TeamsTexts())
	require.Equal(t, []string{"in Teams"}, r.Texts())
}

// TestLateReactionDoesNotStand has Teams carry a reaction out after it was taken
// back, and a removal after the reaction was made again: what was said last
// stands on both sides.
//
// Proves M4.
func TestLateReactionDoesNotStand(t *testing.T) {
	for _, user := range []id.UserID{portaltest.AliceMXID, portaltest.BobMXID} {
		for _, op := range []string{"react", "unreact"} {
			for _, restart := range []bool{false, true} {
				r := started(t)
				e := r.Say(portaltest.BobMXID, "hello")
				r.Quiet()
				_, carryOut := lateWrite(r, op)
				made := r.React(user, e, "👍")
				r.Quiet()
				r.Redact(user, made)
				r.Quiet()
				if op == "unreact" {
					r.React(user, e, "👍")
					r.Quiet()
				}
				restarting(t, r, restart, carryOut)
				r.Quiet()
				require.True(t, undone(r))
				want := 0
				if op == "unreact" {
					want = 1
				}
				require.Len(t, r.Tenant.Messages(portaltest.Channel)[0].Reactions, want, "%s by %s", op, user)
				require.Len(t, r.HS.Reactions(r.Room, e), want, "%s by %s", op, user)
				for _, x := range r.HS.Events(r.Room) {
					require.False(t, x.Bridge && x.Type == event.EventReaction, "nobody reacted in Teams")
				}
			}
		}
	}
}

// TestLateRelayReactionOfSeveral leaves a reaction of the relay alone that
// somebody else stands behind.
//
// Proves M4.
func TestLateRelayReactionOfSeveral(t *testing.T) {
	r := started(t)
	e := r.Say(portaltest.BobMXID, "hello")
	r.Quiet()
	r.People.SignIn(portaltest.Alice, false)
	_, carryOut := lateWrite(r, "react")
	made := r.React(portaltest.BobMXID, e, "👍")
	r.Quiet()
	r.React(portaltest.AliceMXID, e, "👍")
	r.Redact(portaltest.BobMXID, made)
	r.Quiet()
	carryOut()
	r.Quiet()
	require.False(t, undone(r))
	require.Len(t, r.Tenant.Messages(portaltest.Channel)[0].Reactions, 1)
	require.Len(t, r.HS.Reactions(r.Room, e), 1)
}

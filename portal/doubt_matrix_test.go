package portal_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
)

// cutting lets the homeserver go on working on a kind of event whose sender is gone.
func cutting(kind event.Type) func(event.Type, map[string]any) bool {
	return func(k event.Type, content map[string]any) bool {
		return k == kind && content[portal.SourceField] != nil
	}
}

// killedInFlight returns a rig whose bridge died while a send was in flight.
// The next one rests for so long.
func killedInFlight(t *testing.T, kind event.Type, rest time.Duration, act func(r *portaltest.Rig)) *portaltest.Rig {
	t.Helper()
	r := started(t)
	r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "before")
	r.Quiet()
	r.HS.HangWhile(cutting(kind))
	act(r)
	r.Eventually(func() bool { return r.HS.InFlight() == 1 })
	r.Stop()
	r.HS.CutWhile(nil)
	r.Tune = func(in *portal.IngestOptions, _ *portal.SenderOptions) { in.DoubtRest = rest }
	return r
}

func post(text string) func(r *portaltest.Rig) {
	return func(r *portaltest.Rig) { r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, text) }
}

// TestKilledWhileASendIsInFlight: the homeserver makes the event of a dead
// bridge's request after the next bridge has come up.
func TestKilledWhileASendIsInFlight(t *testing.T) {
	const rest = 400 * time.Millisecond
	r := killedInFlight(t, event.EventMessage, rest, post("in flight"))
	tune := r.Tune
	var began time.Time
	var rested atomic.Int64
	r.Tune = func(in *portal.IngestOptions, out *portal.SenderOptions) {
		tune(in, out)
		in.Look = func(ctx context.Context, room id.RoomID) error {
			rested.Store(int64(time.Since(began)))
			r.HS.Finish()
			return r.Look(ctx, room)
		}
	}
	began = time.Now()
	r.Start()
	r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "after")
	r.Quiet()
	require.GreaterOrEqual(t, time.Duration(rested.Load()), rest, "the homeserver gets its time")
	require.Equal(t, []string{"before", "in flight", "after"}, r.Texts())
	require.Equal(t, 1, r.Counts.Get(portal.MetricIngestDoubt, "looked"), "once, not for every message")

	// Replies go on with the event that was found.
	r.Tenant.Post(portaltest.Channel, r.Tenant.Messages(portaltest.Channel)[1].ID, portaltest.Dave, "reply")
	r.Quiet()
	require.Equal(t, r.HS.Messages(r.Room)[1].ID.String(), last(t, r).Relation("event_id"))
}

// TestKilledInFlightAndChangedSince: the row that was in flight does not look
// like one of the dead process any more.
func TestKilledInFlightAndChangedSince(t *testing.T) {
	r := killedInFlight(t, event.EventMessage, 10*time.Millisecond, post("in flight"))
	r.HS.Finish()
	r.HS.Restart() // knows no transaction ids
	r.Start()
	m := r.Tenant.Messages(portaltest.Channel)[1]
	r.Tenant.Change(portaltest.Channel, m.ID, portaltest.AddReaction(portaltest.Dave, "👍"))
	r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetText("changed"))
	r.Quiet()
	require.Equal(t, []string{"before", "changed"}, r.Texts())
	require.Len(t, r.HS.Reactions(r.Room, last(t, r).ID), 1)
}

// TestKilledWhileAReactionIsInFlight: the homeserver refuses the second one,
// and the bridge knows the first by its event, so that it can take it away.
func TestKilledWhileAReactionIsInFlight(t *testing.T) {
	r := killedInFlight(t, event.EventReaction, 10*time.Millisecond, func(r *portaltest.Rig) {
		r.Tenant.Change(portaltest.Channel, r.Tenant.Messages(portaltest.Channel)[0].ID, portaltest.AddReaction(portaltest.Dave, "👍"))
	})
	looks := 0
	tune := r.Tune
	r.Tune = func(in *portal.IngestOptions, out *portal.SenderOptions) {
		tune(in, out)
		in.Look = func(ctx context.Context, room id.RoomID) error {
			err := r.Look(ctx, room)
			if looks++; looks == 1 { // it is made just after the look
				r.HS.Finish()
				r.HS.Restart()
			}
			return err
		}
	}
	r.Start()
	r.Quiet()
	target := r.HS.Messages(r.Room)[0].ID
	require.Len(t, r.HS.Reactions(r.Room, target), 1)
	require.Equal(t, 1, r.Counts.Get(portal.MetricDelivered, "reaction was there"))
	r.Tenant.Change(portaltest.Channel, r.Tenant.Messages(portaltest.Channel)[0].ID, portaltest.DropReaction(portaltest.Dave, "👍"))
	r.Quiet()
	require.Empty(t, r.HS.Reactions(r.Room, target))
}

// TestDoubledIsHealed: the homeserver takes longer than anybody waits. The
// event that the bridge knows stays, whichever the homeserver tells of first.
func TestDoubledIsHealed(t *testing.T) {
	for name, order := range map[string][]int{"known first": {0, 1}, "known last": {1, 0}} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			r := killedInFlight(t, event.EventMessage, time.Millisecond, post("twice"))
			r.Start()
			r.Quiet()
			known := last(t, r)
			r.HS.Finish()
			all := r.HS.Messages(r.Room)[1:]
			require.Len(t, all, 2, "the same message twice")
			for _, i := range order {
				require.NoError(t, r.Echo(ctx, all[i]))
			}
			// Told last, the other one may look as if Teams had taken it back.
			r.Eventually(func() bool {
				return r.Counts.Get(portal.MetricIngestDoubt, "doubled")+r.Counts.Get(portal.MetricIngestDoubt, "taken back") == 1
			})
			require.Equal(t, []string{"before", "twice"}, r.Texts())
			require.Equal(t, known.ID, last(t, r).ID)
			r.Eventually(func() bool {
				left, err := r.DB.Echoes.Doubled(ctx, 10)
				return err == nil && len(left) == 0
			})
			echo, err := r.DB.Echoes.Get(ctx, known.Content[portal.SourceField].(string))
			require.NoError(t, err)
			require.Equal(t, known.ID.String(), echo.EventID)

			// Who answered the one that is gone answered the message.
			for _, e := range all {
				r.Reply(portaltest.AliceMXID, e.ID, "answer")
				r.Quiet()
				msgs := r.Tenant.Messages(portaltest.Channel)
				require.Equal(t, msgs[1].ID, msgs[len(msgs)-1].ReplyToID)
			}

			// The homeserver tells again, and the bridge starts again.
			before := r.HS.Requests()
			require.NoError(t, r.Echo(ctx, all...))
			r.Restart()
			r.Eventually(func() bool {
				left, err := r.DB.Echoes.Doubled(ctx, 10)
				return err == nil && len(left) == 0
			})
			require.Equal(t, before, r.HS.Requests(), "nothing more to redact")
		})
	}
}

// TestReplyToADoubleNobodyTold: the homeserver has not told the bridge of the
// second event yet when somebody answers it; what the event itself says counts.
func TestReplyToADoubleNobodyTold(t *testing.T) {
	r := killedInFlight(t, event.EventMessage, time.Millisecond, post("twice"))
	r.Start()
	r.Quiet()
	r.HS.Finish()
	all := r.HS.Messages(r.Room)[1:]
	require.Len(t, all, 2)
	for _, e := range all {
		r.Reply(portaltest.AliceMXID, e.ID, "answer")
		r.Quiet()
		msgs := r.Tenant.Messages(portaltest.Channel)
		require.Equal(t, msgs[1].ID, msgs[len(msgs)-1].ReplyToID)
	}
}

// TestDoubledSurvivesACrash: what was reported to a bridge that died is healed
// by the next one.
func TestDoubledSurvivesACrash(t *testing.T) {
	ctx := context.Background()
	r := killedInFlight(t, event.EventMessage, time.Millisecond, post("twice"))
	r.Start()
	r.Quiet()
	r.HS.Finish()
	r.HS.SetFaults(func(id.UserID, event.Type, map[string]any) error { return portaltest.Down() }, nil)
	require.NoError(t, r.Echo(ctx, r.HS.Messages(r.Room)...))
	r.Stop()
	r.HS.SetFaults(nil, nil)
	r.Start()
	r.Eventually(func() bool { return r.Counts.Get(portal.MetricIngestDoubt, "doubled") == 1 })
	require.Equal(t, []string{"before", "twice"}, r.Texts())
}

// TestCutConnectionWithoutARestart: the lane itself waits and looks before it
// sends again, and others are not held up.
func TestCutConnectionWithoutARestart(t *testing.T) {
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(in *portal.IngestOptions, _ *portal.SenderOptions) { in.DoubtRest = time.Second }
	})
	r.HS.CutWhile(cutting(event.EventMessage))
	r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "cut")
	r.Eventually(func() bool { return r.HS.InFlight() == 1 })
	r.HS.CutWhile(nil)
	r.HS.Finish()
	r.HS.Restart()
	r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "behind")
	r.Quiet()
	require.Equal(t, []string{"cut", "behind"}, r.Texts())
	require.Equal(t, 1, r.Counts.Get(portal.MetricIngestDoubt, "looked"))
	require.Equal(t, 1, r.Counts.Get(portal.MetricIngestDoubt, "found"))

	looked := r.Counts.Get(portal.MetricIngestDoubt, "looked")
	r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "later")
	r.Quiet()
	require.Equal(t, looked, r.Counts.Get(portal.MetricIngestDoubt, "looked"), "the doubt is over")
}

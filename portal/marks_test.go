package portal_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
)

const hourglass = "@teamsbot:example.org ⏳\ufe0f"

// marking makes a rig that marks what waits, before it is started.
func marking(t *testing.T) *portaltest.Rig {
	r := portaltest.New(t)
	r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) { out.Reaction = "⏳" }
	return r
}

func marksOf(r *portaltest.Rig, evt id.EventID) []string { return r.HS.Reactions(r.Room, evt) }

// allMarks counts the marks in the room.
func allMarks(r *portaltest.Rig) int { return len(markEvents(r)) }

func TestQueuedMessageIsMarkedUntilItIsDelivered(t *testing.T) {
	r := marking(t)
	r.Start()
	over := outage(r)
	a, b := r.Say(portaltest.AliceMXID, "a"), r.Say(portaltest.AliceMXID, "b")
	taken := r.Say(portaltest.BobMXID, "taken back")
	edit := r.Edit(portaltest.AliceMXID, a, "a, edited")
	r.Eventually(func() bool { return allMarks(r) == 3 })
	require.Equal(t, []string{hourglass}, marksOf(r, a))
	require.Equal(t, []string{hourglass}, marksOf(r, b))
	require.Empty(t, marksOf(r, edit))
	// The lane sends the status when it looks the next time, the marks have a lane
	// of their own.
	r.Eventually(func() bool { return lastStatus(r, b) == event.MessageStatusPending }, "and by its status")
	r.Redact(portaltest.BobMXID, taken)
	r.Eventually(func() bool { return allMarks(r) == 2 }, "what is taken back waits no more")
	over()
	r.Quiet()
	r.Eventually(func() bool { return allMarks(r) == 0 })
	require.Len(t, r.TeamsTexts(), 2)
	for _, m := range r.Tenant.Messages(portaltest.Channel) {
		require.Empty(t, m.Reactions, "Teams sees nothing of it")
	}

	before := r.HS.Requests()
	r.Say(portaltest.AliceMXID, "at once")
	r.Quiet()
	require.Equal(t, before+1, r.HS.Requests(), "what goes at once costs nothing")
}

func TestParkedMessageLosesItsMark(t *testing.T) {
	r := marking(t)
	r.Start()
	over := outage(r)
	bad := r.Say(portaltest.AliceMXID, "bad")
	r.Eventually(func() bool { return allMarks(r) == 1 })
	over()
	refuseAlice(r)
	r.Quiet()
	r.Eventually(func() bool { return allMarks(r) == 0 })

	// Sent again it is marked again, although the first mark's event is known.
	over = outage(r)
	requeue(t, r, bad)
	r.Eventually(func() bool { return len(marksOf(r, bad)) == 1 })
	over()
	r.Quiet()
	r.Eventually(func() bool { return allMarks(r) == 0 })
}

// Only the newest messages of a long queue are marked.
func TestMarksAreBounded(t *testing.T) {
	r := marking(t)
	r.Start()
	over := outage(r)
	var events []id.EventID
	for i := range 30 {
		events = append(events, r.Say(portaltest.AliceMXID, fmt.Sprint("m", i)))
	}
	r.Eventually(func() bool { return len(marksOf(r, events[29])) == 1 && allMarks(r) == 20 })
	require.Empty(t, marksOf(r, events[9]))
	require.Len(t, marksOf(r, events[10]), 1)
	more := r.Say(portaltest.AliceMXID, "one more")
	r.Eventually(func() bool { return len(marksOf(r, more)) == 1 && allMarks(r) == 20 })
	require.Empty(t, marksOf(r, events[10]))
	over()
	r.Quiet()
	r.Eventually(func() bool { return allMarks(r) == 0 })
}

// Wherever the bridge dies, no mark stays for ever: also where the answer to it
// was lost with the process.
func TestCrashWhileMarking(t *testing.T) {
	total := 0
	scene := func(r *portaltest.Rig) func() {
		over := outage(r)
		r.Say(portaltest.AliceMXID, "m")
		return over
	}
	{
		r := marking(t)
		r.Start()
		r.CountFromHere()
		over := scene(r)
		r.Eventually(func() bool { return allMarks(r) == 1 })
		over()
		r.Quiet()
		r.Eventually(func() bool { return allMarks(r) == 0 })
		total = r.Statements()
		r.Stop()
	}
	stride := 2
	if testing.Short() {
		stride = 11
	}
	for at := 1; at < total; at += stride {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			r := marking(t)
			r.Fast = true
			r.Start()
			r.Stop()
			r.CrashAfter(at)
			r.Start()
			r.CountFromHere()
			over := scene(r)
			began := time.Now()
			r.Eventually(func() bool { return r.Crashed() || allMarks(r) == 1 && time.Since(began) > 100*time.Millisecond })
			over()
			r.Eventually(func() bool { return r.Crashed() || !r.Crashing() && r.Sender.Busy() == 0 })
			r.Recover()
			r.Quiet()
			r.Eventually(func() bool { return allMarks(r) == 0 })
			require.Equal(t, []string{"m"}, r.TeamsTexts())
		})
	}
}

// A homeserver that does not answer holds up neither the queue nor, for ever,
// the marks.
func TestMarksWaitForTheHomeserver(t *testing.T) {
	r := marking(t)
	r.Start()
	over := outage(r)
	m := r.Say(portaltest.AliceMXID, "m")
	r.Eventually(func() bool { return allMarks(r) == 1 })
	var down atomic.Bool
	down.Store(true)
	r.HS.SetFaults(func(user id.UserID, _ event.Type, _ map[string]any) error {
		if down.Load() && user == portaltest.BotID {
			return portaltest.Down()
		}
		return nil
	}, nil)
	over()
	r.Eventually(func() bool { return lastStatus(r, m) == event.MessageStatusSuccess })
	require.Equal(t, 1, allMarks(r))
	down.Store(false)
	r.Eventually(func() bool { return allMarks(r) == 0 })
}

// A homeserver, or what stands in front of it, that refuses the end of a mark may
// be wrong: the mark is no promise to the room that its message still waits.
func TestMarkGoesAfterItsEndWasRefused(t *testing.T) {
	r := marking(t)
	r.Start()
	over := outage(r)
	m := r.Say(portaltest.AliceMXID, "m")
	r.Eventually(func() bool { return allMarks(r) == 1 })
	var refused atomic.Int32
	r.HS.SetFaults(func(user id.UserID, kind event.Type, _ map[string]any) error {
		if user == portaltest.BotID && kind.Type == event.EventRedaction.Type && refused.Add(1) <= 2 {
			return portaltest.Refused(403, "M_FORBIDDEN")
		}
		return nil
	}, nil)
	over()
	r.Eventually(func() bool { return lastStatus(r, m) == event.MessageStatusSuccess })
	r.Eventually(func() bool { return allMarks(r) == 0 })
	require.Greater(t, refused.Load(), int32(2))
}

// A reaction that is turned off leaves none behind.
func TestMarksGoWhenTheyAreTurnedOff(t *testing.T) {
	r := marking(t)
	r.Start()
	over := outage(r)
	r.Say(portaltest.AliceMXID, "m")
	r.Eventually(func() bool { return allMarks(r) == 1 })
	r.Stop()
	r.Tune = nil
	r.Start()
	r.Eventually(func() bool { return allMarks(r) == 0 })
	over()
	r.Quiet()
}

// A homeserver may carry a cut request out later: then there are two marks, of
// which the row knows one, or none any more. None stays.
func TestDoubledMarkIsTakenAway(t *testing.T) {
	for name, both := range map[string]func(t *testing.T, r *portaltest.Rig, over func(), first, second portaltest.Event){
		"while it is queued, known first": func(t *testing.T, r *portaltest.Rig, over func(), first, second portaltest.Event) {
			require.NoError(t, r.Echo(context.Background(), first, second))
			r.Eventually(func() bool { return allMarks(r) == 1 })
			over()
		},
		"while it is queued, known last": func(t *testing.T, r *portaltest.Rig, over func(), first, second portaltest.Event) {
			require.NoError(t, r.Echo(context.Background(), second, first))
			r.Eventually(func() bool { return allMarks(r) == 1 })
			over()
		},
		"after it was delivered": func(t *testing.T, r *portaltest.Rig, over func(), first, second portaltest.Event) {
			over()
			r.Eventually(func() bool { return allMarks(r) == 1 })
			require.NoError(t, r.Echo(context.Background(), second, first))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := marking(t)
			r.HS.SameReactions = true
			r.Start()
			over := outage(r)
			passes := cutOne(r, cutting(event.EventReaction)) // it is soon tried again
			m := r.Say(portaltest.AliceMXID, "m")
			r.Eventually(func() bool { return r.HS.InFlight() == 1 })
			passes()
			r.HS.Restart() // it forgets its transaction ids
			r.Eventually(func() bool { return len(marksOf(r, m)) == 1 })
			first := markEvents(r)[0]
			r.HS.Finish()
			marks := markEvents(r)
			require.Len(t, marks, 2)
			second := marks[0]
			if second.ID == first.ID {
				second = marks[1]
			}
			both(t, r, over, first, second)
			r.Quiet()
			r.Eventually(func() bool { return allMarks(r) == 0 })
		})
	}
}

// markEvents are the marks in the room.
func markEvents(r *portaltest.Rig) (out []portaltest.Event) {
	for _, e := range r.HS.Events(r.Room) {
		if e.Type == event.EventReaction && e.Sender == portaltest.BotID && !e.Redacted {
			out = append(out, e)
		}
	}
	return out
}

// What a paused queue holds is shown as queued, and goes when it is let go.
func TestHeldQueueShowsItsMessages(t *testing.T) {
	r := portaltest.New(t)
	var held atomic.Bool
	held.Store(true)
	r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) {
		out.Reaction, out.Held = "⏳", func(string) bool { return held.Load() }
	}
	r.Start()
	m := r.Say(portaltest.AliceMXID, "m")
	r.Eventually(func() bool { return len(marksOf(r, m)) == 1 && lastStatus(r, m) == event.MessageStatusPending })
	require.Empty(t, r.TeamsTexts())
	held.Store(false)
	require.NoError(t, r.Sender.WakeAll(context.Background()))
	r.Quiet()
	require.Equal(t, []string{"m"}, r.TeamsTexts())
	r.Eventually(func() bool { return allMarks(r) == 0 })
}

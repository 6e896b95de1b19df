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

// botSays returns the notices of the bot with a text in them.
func botSays(r *portaltest.Rig, text string) []string {
	var out []string
	for _, e := range r.HS.Messages(r.Room) {
		if e.Sender == portaltest.BotID && strings.Contains(e.Text(), text) {
			out = append(out, e.Text())
		}
	}
	return out
}

// With policy none, what is said in an outage stays in Matrix: each author sees
// it by the status, the room is told once when it is over.
func TestPolicyNoneKeepsAnOutageInMatrix(t *testing.T) {
	r := portaltest.New(t)
	var on atomic.Bool
	r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) {
		out.Policy = func(string) (string, time.Duration) { return portal.PolicyNone, 0 }
		var first atomic.Int64
		out.Outage = func(context.Context, string) bool { return on.Load() }
		out.Kept = func(_ context.Context, row *database.OutboxRow) (bool, error) {
			if on.Load() {
				first.CompareAndSwap(0, row.ID)
			}
			return first.Load() != 0 && row.ID >= first.Load() && on.Load(), nil
		}
	}
	r.Start()
	before := r.Say(portaltest.AliceMXID, "before")
	r.Quiet()
	over := outage(r)
	on.Store(true)
	var kept []id.EventID
	for range 3 {
		kept = append(kept, r.Say(portaltest.BobMXID, "meanwhile"))
	}
	edit := r.Edit(portaltest.BobMXID, kept[1], "meanwhile, edited")
	r.React(portaltest.AliceMXID, kept[1], "🎉")
	corrected := r.Edit(portaltest.AliceMXID, before, "before, corrected")
	for _, evt := range kept {
		r.Eventually(func() bool { return lastStatus(r, evt) == event.MessageStatusFail })
	}
	require.Empty(t, botSays(r, "stay"), "it is not over yet")
	r.Restart()
	over()
	on.Store(false)
	r.Quiet()
	require.Equal(t, []string{"⚠️ 3 messages that were written here while Microsoft Teams was unavailable stay in Matrix and do not go to Teams."}, botSays(r, "stay"))
	for _, evt := range append(kept, edit) {
		require.Empty(t, answers(r, evt), "nobody is told by one notice per message")
	}
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, corrected))
	require.Equal(t, []string{"before, corrected"}, r.TeamsTexts(), "what Teams has is corrected there")
	row, err := r.DB.Outbox.ByEvent(context.Background(), kept[0].String())
	require.NoError(t, err)
	require.Equal(t, portal.ReasonKept, row.Reason)
	require.Empty(t, row.Payload)

	// Later changes of it concern Matrix only.
	late := r.Edit(portaltest.BobMXID, kept[0], "late")
	r.React(portaltest.AliceMXID, kept[0], "👍")
	r.Quiet()
	require.NotEqual(t, event.MessageStatusFail, lastStatus(r, late))
	after := r.Say(portaltest.AliceMXID, "after")
	r.Quiet()
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, after))
	require.Equal(t, []string{"before, corrected", "after"}, r.TeamsTexts())
	require.Len(t, botSays(r, "stay"), 1)
}

// A message that was taken and only waited for its turn when the process ended is
// one that waits: in an outage it stays where the policy says so.
func TestPolicyHoldsForWhatACrashInterrupted(t *testing.T) {
	ctx := context.Background()
	r := portaltest.New(t)
	var none atomic.Bool
	r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) {
		out.Held = func(string) bool { return !none.Load() }
		out.Policy = func(string) (string, time.Duration) { return portal.PolicyNone, 0 }
		out.Kept = func(context.Context, *database.OutboxRow) (bool, error) { return none.Load(), nil }
	}
	r.Start()
	evt := r.Say(portaltest.BobMXID, "meanwhile")
	r.Eventually(func() bool { return lastStatus(r, evt) == event.MessageStatusPending })
	row, err := r.DB.Outbox.ByEvent(ctx, evt.String())
	require.NoError(t, err)
	taken, err := r.DB.Outbox.MarkSending(ctx, row)
	require.NoError(t, err)
	require.True(t, taken)
	r.Stop()
	none.Store(true)
	r.Start()
	r.Quiet()
	require.Equal(t, event.MessageStatusFail, lastStatus(r, evt))
	require.Empty(t, r.TeamsTexts())
}

// Where the notice of the outage's end tells the room, no other one does.
func TestKeptMessagesAreToldOnce(t *testing.T) {
	r := portaltest.New(t)
	var on atomic.Bool
	on.Store(true)
	var first atomic.Int64
	r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) {
		out.Policy = func(string) (string, time.Duration) { return portal.PolicyNone, 0 }
		out.Kept = func(context.Context, *database.OutboxRow) (bool, error) { return on.Load(), nil }
		out.Outage = func(context.Context, string) bool { return on.Load() }
		out.ToldAtEnd = func(_ context.Context, row *database.OutboxRow) (bool, error) {
			first.CompareAndSwap(0, row.ID)
			return row.ID == first.Load(), nil // and the others are not in that notice
		}
	}
	r.Start()
	var kept []id.EventID
	for range 3 {
		kept = append(kept, r.Say(portaltest.BobMXID, "meanwhile"))
	}
	for _, evt := range kept {
		r.Eventually(func() bool { return lastStatus(r, evt) == event.MessageStatusFail })
	}
	on.Store(false)
	r.Sender.Tell()
	r.Quiet()
	require.Equal(t, []string{"⚠️ 2 messages that were written here while Microsoft Teams was unavailable stay in Matrix and do not go to Teams."}, botSays(r, "stay"))
}

// What waited longer than the limit does not go any more, what is younger does.
func TestTooOldMessagesStayInMatrix(t *testing.T) {
	r := portaltest.New(t)
	var ahead atomic.Int64
	r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) {
		out.Policy = func(string) (string, time.Duration) { return portal.PolicyFull, time.Hour }
		out.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		out.LateAfter = 24 * time.Hour
		// Nothing is tried before it is too old: a row that may be on its way
		// when the bridge stops is looked for and sent, whatever its age.
		out.Held = func(string) bool { return ahead.Load() == 0 }
	}
	r.Start()
	old, older := r.Say(portaltest.AliceMXID, "old"), r.Say(portaltest.BobMXID, "old, too")
	edit := r.Edit(portaltest.AliceMXID, old, "edited")
	r.Eventually(func() bool { return lastStatus(r, older) == event.MessageStatusPending })
	ahead.Store(int64(2 * time.Hour))
	r.Restart()
	r.Quiet()
	for _, evt := range []id.EventID{old, older} {
		require.Equal(t, event.MessageStatusFail, lastStatus(r, evt))
		require.Empty(t, answers(r, evt))
	}
	require.NotEqual(t, event.MessageStatusFail, lastStatus(r, edit))
	require.Len(t, botSays(r, "2 messages"), 1)
	require.Empty(t, r.TeamsTexts())
}

// What was in doubt is settled first: where Teams has it, it is delivered, and
// where it has not, it stays in Matrix like what was never tried.
func TestDoubtIsSettledBeforeAMessageStays(t *testing.T) {
	for name, lost := range map[string]portaltest.Fault{
		"taken": {Lose: portaltest.ErrAmbiguous}, "not taken": {Refuse: portaltest.ErrAmbiguous},
	} {
		t.Run(name, func(t *testing.T) {
			var none atomic.Bool
			r := started(t, func(r *portaltest.Rig) {
				r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) {
					out.Policy = func(string) (string, time.Duration) { return portal.PolicyNone, 0 }
					out.Kept = func(context.Context, *database.OutboxRow) (bool, error) { return none.Load(), nil }
					out.DoubtWindow = 200 * time.Millisecond
				}
			})
			r.Tenant.SetChanged(nil)
			r.Tenant.SetRead(func(string) error { return portaltest.ErrUnavailable })
			r.Tenant.SetFault(onPosts(func(int) portaltest.Fault { return lost }))
			evt := r.Say(portaltest.BobMXID, "doubtful")
			r.Eventually(func() bool {
				parts, err := r.DB.Sent.InDoubt(t.Context(), "")
				return err == nil && len(parts) == 1 && !parts[0].DoubtAt.IsZero()
			})
			r.Stop() // and the next process does not know either
			none.Store(true)
			r.Tenant.SetRead(nil)
			r.Tenant.SetFault(nil)
			r.Start()
			r.Quiet()
			if name == "taken" {
				require.Equal(t, []string{"bob: doubtful"}, r.TeamsTexts())
				require.Equal(t, event.MessageStatusSuccess, lastStatus(r, evt))
				return
			}
			require.Empty(t, r.TeamsTexts())
			require.Equal(t, event.MessageStatusFail, lastStatus(r, evt))
		})
	}
}

// A message does not age while somebody holds its queue. What was let go the
// moment before is not taken for what it was when it was read.
func TestHeldMessagesDoNotAge(t *testing.T) {
	r := portaltest.New(t)
	var ahead atomic.Int64
	var free atomic.Bool
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) {
		out.Policy = func(string) (string, time.Duration) { return portal.PolicyFull, time.Hour }
		out.Now, out.LateAfter = now, 24*time.Hour
		out.Held = func(string) bool {
			if !free.Load() {
				return true
			}
			// Whoever lets go tells the rows first.
			_, err := r.DB.Holds.Clear(context.Background(), "", database.HoldPause, now())
			return err != nil
		}
	}
	r.Start()
	require.NoError(t, r.DB.Holds.Set(t.Context(), database.Hold{Kind: database.HoldPause}))
	held := r.Say(portaltest.AliceMXID, "held")
	r.Eventually(func() bool { return lastStatus(r, held) == event.MessageStatusPending })
	ahead.Store(int64(2 * time.Hour))
	free.Store(true)
	require.NoError(t, r.Sender.WakeAll(t.Context()))
	r.Quiet()
	require.Equal(t, []string{"held"}, r.TeamsTexts())
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, held))
}

// A digest has nothing in it that waited for too long.
func TestNoDigestOfWhatIsTooOld(t *testing.T) {
	var free atomic.Bool
	var stale atomic.Pointer[string]
	r := started(t, func(r *portaltest.Rig) {
		r.Fast = true
		tune := digestTune(1, free.Load)
		r.Tune = func(in *portal.IngestOptions, out *portal.SenderOptions) {
			tune(in, out)
			out.Policy = func(string) (string, time.Duration) { return portal.PolicyNone, 0 }
			out.Kept = func(_ context.Context, row *database.OutboxRow) (bool, error) {
				is := stale.Load()
				return is != nil && row.EventID == *is, nil
			}
		}
	})
	r.Say(portaltest.AliceMXID, "one")
	old := r.Say(portaltest.BobMXID, "old")
	r.Say(portaltest.AliceMXID, "two")
	is := old.String()
	stale.Store(&is)
	r.Eventually(func() bool {
		n, err := r.DB.Journal.Count(context.Background())
		return err == nil && n == 0
	})
	free.Store(true)
	require.NoError(t, r.Sender.Kick(t.Context()))
	r.Quiet()
	all := strings.Join(r.TeamsTexts(), "\n")
	require.Contains(t, all, "one")
	require.Contains(t, all, "two")
	require.NotContains(t, all, "old")
	require.Equal(t, event.MessageStatusFail, lastStatus(r, old))
}

// While nobody knows whether Teams can be written, a message that may have to stay
// waits, and what is behind it.
func TestUndecidedMessagesWait(t *testing.T) {
	for _, stays := range []bool{true, false} {
		t.Run(fmt.Sprint("stays ", stays), func(t *testing.T) {
			var known atomic.Bool
			var asked atomic.Int64
			r := started(t, func(r *portaltest.Rig) {
				r.Fast = true
				r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) {
					out.RetryMin = 20 * time.Millisecond
					out.Policy = func(string) (string, time.Duration) { return portal.PolicyNone, 0 }
					out.Kept = func(context.Context, *database.OutboxRow) (bool, error) {
						asked.Add(1)
						if !known.Load() {
							return false, portal.ErrUndecided
						}
						return stays, nil
					}
				}
			})
			evt := r.Say(portaltest.BobMXID, "when?")
			r.Eventually(func() bool { return asked.Load() > 3 })
			require.Empty(t, r.TeamsTexts())
			row, err := r.DB.Outbox.ByEvent(t.Context(), evt.String())
			require.NoError(t, err)
			require.Equal(t, database.StateQueued, row.State)
			require.Zero(t, row.Attempts, "it waits, it does not fail")
			known.Store(true)
			r.Quiet()
			if stays {
				require.Empty(t, r.TeamsTexts())
				require.Equal(t, event.MessageStatusFail, lastStatus(r, evt))
			} else {
				require.Equal(t, []string{"bob: when?"}, r.TeamsTexts())
			}
		})
	}
}

// What an administrator wants to be sent again goes, however old it is.
func TestRetriedMessagesAreNotTooOld(t *testing.T) {
	r := portaltest.New(t)
	var ahead atomic.Int64
	r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) {
		out.Policy = func(string) (string, time.Duration) { return portal.PolicyFull, time.Hour }
		out.Now, out.LateAfter = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }, 24*time.Hour
	}
	r.Start()
	r.Tenant.SetFault(onPosts(func(int) portaltest.Fault { return portaltest.Fault{Refuse: portaltest.ErrPermission} }))
	var events []id.EventID
	for _, text := range []string{"wanted", "left alone"} {
		events = append(events, r.Say(portaltest.BobMXID, text))
	}
	parked := func(evt id.EventID) *database.OutboxRow {
		row, err := r.DB.Outbox.ByEvent(t.Context(), evt.String())
		require.NoError(t, err)
		if row == nil || row.State != database.StateParked {
			return nil
		}
		return row
	}
	r.Eventually(func() bool { return parked(events[0]) != nil && parked(events[1]) != nil })
	ahead.Store(int64(2 * time.Hour))
	r.Tenant.SetFault(nil)
	for i, since := range []time.Time{time.Now().Add(2 * time.Hour), {}} {
		ok, err := portal.BringBack(t.Context(), r.DB, parked(events[i]), since)
		require.NoError(t, err)
		require.True(t, ok)
	}
	require.NoError(t, r.Sender.WakeAll(t.Context()))
	r.Quiet()
	require.Equal(t, []string{"bob: wanted"}, r.TeamsTexts())
	require.Equal(t, event.MessageStatusFail, lastStatus(r, events[1]), "what came back by itself is as old as it is")
}

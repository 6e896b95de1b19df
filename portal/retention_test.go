package portal_test

import (
	"context"
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

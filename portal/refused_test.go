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

// refusing is a rig in which Graph refuses all writes while refused is set, and
// the bridge knows that when since is set.
func refusing(t *testing.T, patience time.Duration) (r *portaltest.Rig, refused *atomic.Bool, since *atomic.Int64) {
	r, refused, since = portaltest.New(t), &atomic.Bool{}, &atomic.Int64{}
	r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) {
		out.RefusalPatience = patience
		out.Revoked = func() time.Time {
			if at := since.Load(); at != 0 {
				return time.UnixMilli(at)
			}
			return time.Time{}
		}
	}
	r.Start()
	r.Tenant.SetFault(func(string, string) (f portaltest.Fault) {
		if refused.Load() {
			f.Refuse = portaltest.ErrPermission
		}
		return f
	})
	return r, refused, since
}

// A permission that is taken away and given back loses nothing: what is said,
// edited and reacted meanwhile waits, and goes in order.
//
// Proves M3 and M5.
func TestRevokedPermissionIsWaitedFor(t *testing.T) {
	r, refused, since := refusing(t, time.Hour)
	before := r.Say(portaltest.AliceMXID, "before")
	r.Quiet()
	refused.Store(true)
	since.Store(time.Now().UnixMilli())
	edit := r.Edit(portaltest.AliceMXID, before, "before, corrected")
	r.Eventually(func() bool { return lastStatus(r, edit) == event.MessageStatusPending })
	first := r.Say(portaltest.AliceMXID, "one")
	second := r.Reply(portaltest.BobMXID, first, "two")
	reaction := r.React(portaltest.BobMXID, before, "🎉")
	for range 3 { // tries in vain
		r.Sender.Wake(r.Portal())
		require.NoError(t, r.Sender.Kick(context.Background()))
	}
	r.Restart()
	refused.Store(false)
	since.Store(0)
	require.NoError(t, r.Sender.Kick(context.Background()))
	r.Quiet()
	for _, evt := range []string{before.String(), first.String(), second.String(), edit.String(), reaction.String()} {
		row, err := r.DB.Outbox.ByEvent(context.Background(), evt)
		require.NoError(t, err)
		require.Equal(t, database.StateDone, row.State)
	}
	require.Equal(t, []string{"before, corrected", "one", "bob: two"}, r.TeamsTexts())
	for _, st := range append(r.HS.Statuses(edit), r.HS.Statuses(reaction)...) {
		require.NotEqual(t, event.MessageStatusFail, st.Status, "nothing is parked meanwhile")
	}
	require.Empty(t, answers(r, first), "nobody is told that it failed")
}

// What was parked before it was known that a permission was taken away comes
// back, in front of what was said since.
func TestRefusedBeforeTheRevocationWasKnown(t *testing.T) {
	r, refused, since := refusing(t, time.Millisecond)
	before := r.Say(portaltest.AliceMXID, "before")
	r.Quiet()
	began := time.Now()
	refused.Store(true)
	poison := r.Edit(portaltest.AliceMXID, before, "edited")
	first := r.Say(portaltest.AliceMXID, "one")
	r.Eventually(func() bool { return lastStatus(r, first) == event.MessageStatusFail })
	r.Eventually(func() bool { return lastStatus(r, poison) == event.MessageStatusFail })
	since.Store(began.UnixMilli())
	second := r.Say(portaltest.BobMXID, "two")
	r.Eventually(func() bool {
		row, err := r.DB.Outbox.ByEvent(context.Background(), first.String())
		return err == nil && row.State != database.StateParked
	})
	refused.Store(false)
	since.Store(0)
	r.Quiet()
	require.Equal(t, []string{"edited", "one", "bob: two"}, r.TeamsTexts())
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, first))
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, second))
}

// A conversation that nobody may write in waits once, and not again for each
// message.
func TestOneConversationThatRefuses(t *testing.T) {
	r, refused, _ := refusing(t, 200*time.Millisecond)
	refused.Store(true)
	first := r.Say(portaltest.AliceMXID, "one")
	r.Eventually(func() bool { return lastStatus(r, first) == event.MessageStatusFail })
	parked := time.Now()
	for range 5 {
		evt := r.Say(portaltest.AliceMXID, "another")
		r.Eventually(func() bool { return lastStatus(r, evt) == event.MessageStatusFail })
	}
	require.Less(t, time.Since(parked), 5*200*time.Millisecond)
	require.Len(t, answers(r, first), 1)
	refused.Store(false)
	fine := r.Say(portaltest.AliceMXID, "fine")
	r.Quiet()
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, fine))
}

// However many were parked before it was known come back, also where the
// permission was away for a moment only, and what was parked long ago stays.
func TestAllThatWasRefusedComesBack(t *testing.T) {
	r, refused, since := refusing(t, time.Millisecond)
	refused.Store(true)
	old := r.Say(portaltest.AliceMXID, "long ago")
	r.Eventually(func() bool { return lastStatus(r, old) == event.MessageStatusFail })
	time.Sleep(5 * time.Millisecond) // times are stored in milliseconds
	began := time.Now()
	var texts []string
	var last string
	for i := range 60 {
		texts = append(texts, fmt.Sprintf("message %d", i))
		last = r.Say(portaltest.AliceMXID, texts[i]).String()
	}
	state := func() string {
		row, err := r.DB.Outbox.ByEvent(context.Background(), last)
		if err != nil || row == nil {
			return ""
		}
		return row.State
	}
	r.Eventually(func() bool { return state() == database.StateParked })
	since.Store(began.UnixMilli())
	require.NoError(t, r.Sender.Kick(context.Background()))
	r.Say(portaltest.AliceMXID, "nudge")
	r.Eventually(func() bool { return state() != database.StateParked })
	refused.Store(false)
	since.Store(0)
	r.Quiet()
	var there []string
	for _, text := range r.TeamsTexts() {
		there = append(there, strings.TrimPrefix(text, "alice: ")) // the relay may have been asked next
	}
	require.Equal(t, append(texts, "nudge"), there)
}

// A 403 shortly after the permission came back is still one of that: a token may
// be from before.
func TestRefusedShortlyAfterTheRevocation(t *testing.T) {
	r, refused, since := refusing(t, time.Millisecond)
	refused.Store(true)
	since.Store(time.Now().UnixMilli())
	first := r.Say(portaltest.AliceMXID, "one")
	waits := func() bool {
		row, err := r.DB.Outbox.ByEvent(context.Background(), first.String())
		return err == nil && row != nil && row.Attempts > 1
	}
	r.Eventually(waits)
	since.Store(0)
	second := r.Say(portaltest.BobMXID, "two")
	r.Eventually(func() bool { return lastStatus(r, second) == event.MessageStatusPending })
	require.NoError(t, r.Sender.Kick(context.Background()))
	refused.Store(false)
	r.Quiet()
	for _, evt := range []id.EventID{first, second} {
		for _, st := range r.HS.Statuses(evt) {
			require.NotEqual(t, event.MessageStatusFail, st.Status)
		}
	}
	require.Len(t, r.TeamsTexts(), 2)
	require.Contains(t, r.TeamsTexts()[0], "one")
}

package portal_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// patient returns a rig whose conversations wait so long for a change that can't
// read what it replaces.
func patient(t *testing.T, patience *atomic.Int64) *portaltest.Rig {
	t.Helper()
	return started(t, func(r *portaltest.Rig) {
		r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) {
			out.ReadPatience = time.Duration(patience.Load())
		}
	})
}

// failsToRead makes every read of a single message fail for a while.
func failsToRead(r *portaltest.Rig) {
	r.Tenant.SetRead(func(op string) error {
		if op == "message" {
			return portaltest.ErrUnavailable
		}
		return nil
	})
}

func waitsFor(r *portaltest.Rig, eventID string, attempts int) {
	r.Eventually(func() bool {
		row, err := r.DB.Outbox.ByEvent(context.Background(), eventID)
		return err == nil && row != nil && row.State == database.StateQueued && row.Attempts >= attempts
	})
}

// TestConversationGoesOnWhileAnEditWaits: Teams can be written and not read, and
// somebody has put a picture and a file into a message that nobody here was told of.
// Its edits wait until they can be seen, however often its author edits it. What else
// is said and done goes on, in its order, also with another edit that waits, after
// a restart, and where the process dies while it tries.
//
// Proves M4, M5.
func TestConversationGoesOnWhileAnEditWaits(t *testing.T) {
	var patience atomic.Int64
	patience.Store(int64(300 * time.Millisecond))
	r := patient(t, &patience)
	e := r.Say(portaltest.AliceMXID, "first")
	r.Quiet()
	other := r.Say(portaltest.AliceMXID, "other")
	r.Quiet()
	change := addable(r)
	r.Tenant.Set(portaltest.Channel, stands(r).ID, func(m *teams.Message) { change(m); m.Edited = m.Created.Add(time.Millisecond) })

	failsToRead(r)
	began := time.Now()
	second := r.Edit(portaltest.AliceMXID, e, "second")
	waitsFor(r, second.String(), 1)
	r.Say(portaltest.AliceMXID, "news 1")
	r.Say(portaltest.AliceMXID, "news 2")
	third := r.Edit(portaltest.AliceMXID, e, "third")
	fourth := r.Edit(portaltest.AliceMXID, other, "other, edited")
	reaction := r.React(portaltest.AliceMXID, e, "👍")
	said := r.Say(portaltest.AliceMXID, "news 3")
	r.Eventually(func() bool { return len(r.TeamsTexts()) == 5 })
	require.GreaterOrEqual(t, time.Since(began), 300*time.Millisecond, "what comes soon is waited for")
	require.Less(t, time.Since(began), 4*time.Second)
	r.Eventually(func() bool {
		return lastStatus(r, said) == event.MessageStatusSuccess && lastStatus(r, reaction) == event.MessageStatusSuccess
	})

	patience.Store(int64(time.Hour))
	r.Restart()
	waitsFor(r, second.String(), 3)
	r.Say(portaltest.AliceMXID, "news 4")
	r.Eventually(func() bool { return len(r.TeamsTexts()) == 6 })
	fifth := r.Edit(portaltest.AliceMXID, other, "other, edited again")
	r.Say(portaltest.AliceMXID, "news 5")
	r.Eventually(func() bool { return len(r.TeamsTexts()) == 7 })
	r.CrashIn(2)
	r.Eventually(r.Crashed)
	r.Recover()
	r.Say(portaltest.AliceMXID, "news 6")
	r.Eventually(func() bool { return len(r.TeamsTexts()) == 8 })
	texts := r.TeamsTexts()
	require.Equal(t, "other", texts[1])
	require.Equal(t, []string{"news 1", "news 2", "news 3", "news 4", "news 5", "news 6"}, texts[2:])
	require.NotContains(t, stands(r).Body, "third")

	r.Tenant.SetRead(nil)
	r.Quiet()
	require.Contains(t, stands(r).Body, "third")
	hasAdded(t, r, 0)
	require.Equal(t, "other, edited again", r.TeamsTexts()[1])
	for _, edit := range []string{second.String(), third.String(), fourth.String(), fifth.String()} {
		row, err := r.DB.Outbox.ByEvent(t.Context(), edit)
		require.NoError(t, err)
		require.Equal(t, database.StateDone, row.State)
	}
}

// TestReadingComesBackBeforeAnEditStepsAside: nothing passes an edit that waits for
// a short time only.
//
// Proves M5.
func TestReadingComesBackBeforeAnEditStepsAside(t *testing.T) {
	var patience atomic.Int64
	patience.Store(int64(time.Minute))
	r := patient(t, &patience)
	e := r.Say(portaltest.AliceMXID, "first")
	r.Quiet()
	failsToRead(r)
	edit := r.Edit(portaltest.AliceMXID, e, "second")
	r.Say(portaltest.AliceMXID, "news")
	waitsFor(r, edit.String(), 3)
	require.Equal(t, []string{"first"}, r.TeamsTexts())
	r.Restart()
	waitsFor(r, edit.String(), 5)
	require.Equal(t, []string{"first"}, r.TeamsTexts())
	r.Tenant.SetRead(nil)
	r.Quiet()
	require.Equal(t, []string{"second", "news"}, r.TeamsTexts())
}

// TestDeletionPassesAnEditThatWaits: a message that is deleted while its edit waits
// for reading is deleted, and its edit has nothing to do any more.
//
// Proves M5.
func TestDeletionPassesAnEditThatWaits(t *testing.T) {
	var patience atomic.Int64
	patience.Store(int64(20 * time.Millisecond))
	r := patient(t, &patience)
	e := r.Say(portaltest.AliceMXID, "first")
	r.Quiet()
	failsToRead(r)
	edit := r.Edit(portaltest.AliceMXID, e, "second")
	waitsFor(r, edit.String(), 1)
	r.Redact(portaltest.AliceMXID, e)
	r.Quiet()
	require.Empty(t, r.TeamsTexts())
	row, err := r.DB.Outbox.ByEvent(t.Context(), edit.String())
	require.NoError(t, err)
	require.Equal(t, database.StateCancelled, row.State)
}

// TestWhatWasWrittenInTeamsWaitsAside: the text of a message with pictures that was
// written in Teams is edited in Matrix, and one of its pictures redacted, while it
// can't be read. Others pass.
//
// Proves M5.
func TestWhatWasWrittenInTeamsWaitsAside(t *testing.T) {
	var patience atomic.Int64
	patience.Store(int64(20 * time.Millisecond))
	r := patient(t, &patience)
	illustrated(r)
	events := r.HS.Messages(r.Room)
	require.Greater(t, len(events), 2)
	failsToRead(r)
	r.Edit(portaltest.AliceMXID, events[0].ID, "second")
	out := r.Redact(portaltest.AliceMXID, events[1].ID)
	r.Say(portaltest.AliceMXID, "news")
	r.Eventually(func() bool { return len(r.TeamsTexts()) == 2 })
	waitsFor(r, out.String(), 1)
	require.NotContains(t, stands(r).Body, "second")
	require.Contains(t, stands(r).Body, pictureTag(0))
	r.Tenant.SetRead(nil)
	r.Quiet()
	require.Contains(t, stands(r).Body, "second")
	require.NotContains(t, stands(r).Body, pictureTag(0))
	require.Contains(t, stands(r).Body, pictureTag(1))
}

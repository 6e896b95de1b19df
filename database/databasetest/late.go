package databasetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
)

func testLate(t *testing.T, ctx context.Context, e *env) {
	edit := row("$edit", "c:1")
	edit.Kind, edit.TargetEventID, edit.Payload = database.KindEdit, "$m", []byte("newest")
	enqueue(t, ctx, e, edit)
	ok, err := e.db.Outbox.Repeat(ctx, "$edit")
	require.NoError(t, err)
	require.False(t, ok, "it is not done")
	require.NoError(t, e.db.Outbox.FinishKeeping(ctx, edit.ID))
	left, err := e.db.Outbox.Next(ctx, "c:1")
	require.NoError(t, err)
	require.Nil(t, left)

	w := database.LateWrite{Portal: "c:1", Target: "$m", What: "edit:x", At: e.clock.Now()}
	require.NoError(t, e.db.Late.Add(ctx, w))
	require.NoError(t, e.db.Late.SetNewest(ctx, w, "$edit"))
	e.clock.Advance(time.Minute)
	w.At = e.clock.Now()
	require.NoError(t, e.db.Late.Add(ctx, w), "tried again")
	w.Newest = "$edit"
	all, err := e.other.Late.All(ctx)
	require.NoError(t, err)
	require.Equal(t, []database.LateWrite{w}, all)

	ok, err = e.db.Outbox.Repeat(ctx, "$edit")
	require.NoError(t, err)
	require.True(t, ok)
	again, err := e.other.Outbox.Next(ctx, "c:1")
	require.NoError(t, err)
	require.Equal(t, "newest", string(again.Payload))
	require.Equal(t, database.StateQueued, again.State)
	require.NoError(t, e.db.Outbox.FinishKeeping(ctx, edit.ID))

	newer := row("$newer", "c:1")
	newer.Kind, newer.TargetEventID, newer.Payload = edit.Kind, edit.TargetEventID, []byte("newer")
	enqueue(t, ctx, e, newer)
	repeat := func() {
		require.NoError(t, e.db.Outbox.Apart(ctx, func(ctx context.Context) error {
			ok, err = e.db.Outbox.Repeat(ctx, "$edit")
			return err
		}))
	}
	repeat()
	require.True(t, ok, "what waits comes behind it")
	require.NoError(t, e.db.Outbox.FinishKeeping(ctx, edit.ID))
	taken, err := e.db.Outbox.MarkSending(ctx, newer)
	require.NoError(t, err)
	require.True(t, taken)
	repeat()
	require.False(t, ok, "it would come behind what is on its way")
	require.NoError(t, e.db.Outbox.Finish(ctx, newer.ID, database.StateDone, ""))
	repeat()
	require.False(t, ok, "it would put back what a newer one has replaced")

	n, err := e.db.Late.Purge(ctx, w.At)
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = e.db.Late.Purge(ctx, w.At.Add(time.Millisecond))
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	done, err := e.db.Outbox.ByEvent(ctx, "$edit")
	require.NoError(t, err)
	require.Empty(t, done.Payload)
	require.Equal(t, database.StateDone, done.State)
	ok, err = e.db.Outbox.Repeat(ctx, "$edit")
	require.NoError(t, err)
	require.False(t, ok, "it was not kept")

	other := row("$other", "c:1")
	other.Payload = []byte("kept")
	enqueue(t, ctx, e, other)
	require.NoError(t, e.db.Outbox.DropPayload(ctx, "$other"))
	require.NoError(t, e.db.Outbox.FinishKeeping(ctx, other.ID))
	ok, err = e.db.Outbox.Repeat(ctx, "$other")
	require.NoError(t, err)
	require.True(t, ok, "only what is done is forgotten")
	require.NoError(t, e.db.Outbox.FinishKeeping(ctx, other.ID))
	require.NoError(t, e.db.Outbox.DropPayload(ctx, "$other"))
	ok, err = e.db.Outbox.Repeat(ctx, "$other")
	require.NoError(t, err)
	require.False(t, ok)
}

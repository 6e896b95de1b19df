package databasetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
)

// testOutboxAside: rows that step aside let others pass from one time on, and keep
// the order of a message's edits.
func testOutboxAside(t *testing.T, ctx context.Context, e *env) {
	edit := func(eventID, target string) *database.OutboxRow {
		r := row(eventID, "c:1")
		r.Kind, r.TargetEventID = database.KindEdit, target
		return r
	}
	first, second, other, news := edit("$first", "$a"), edit("$second", "$a"), edit("$other", "$b"), row("$news", "c:1")
	elsewhere := row("$elsewhere", "c:2")
	enqueue(t, ctx, e, first, second, other, news, elsewhere)
	isNext := func(want string) {
		t.Helper()
		next, err := e.other.Outbox.Next(ctx, "c:1")
		require.NoError(t, err)
		require.NotNil(t, next)
		require.Equal(t, want, next.EventID)
	}
	isAside := func(want string) {
		t.Helper()
		next, err := e.other.Outbox.NextAside(ctx, "c:1")
		require.NoError(t, err)
		if want == "" {
			require.Nil(t, next)
			return
		}
		require.NotNil(t, next)
		require.Equal(t, want, next.EventID)
	}
	now := e.clock.Now()
	at, err := e.db.Outbox.StepAside(ctx, first, now.Add(2*time.Minute))
	require.NoError(t, err)
	require.Equal(t, now.Add(2*time.Minute), at)
	at, err = e.db.Outbox.StepAside(ctx, first, now.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, now.Add(2*time.Minute), at, "the first time counts")
	isNext("$first")
	isAside("")

	e.clock.Advance(2 * time.Minute)
	isNext("$other")
	isAside("$first")
	at, err = e.db.Outbox.StepAside(ctx, other, e.clock.Now().Add(2*time.Minute))
	require.NoError(t, err)
	require.Equal(t, now.Add(2*time.Minute), at, "a conversation is held up once")
	isNext("$news")
	require.NoError(t, e.db.Outbox.Retry(ctx, first.ID, e.clock.Now().Add(time.Second), "unavailable"))
	isAside("$other")
	require.NoError(t, e.db.Outbox.RestAside(ctx, "c:1", e.clock.Now().Add(time.Minute)))
	got, err := e.db.Outbox.NextAside(ctx, "c:1")
	require.NoError(t, err)
	require.Equal(t, e.clock.Now().Add(time.Minute), got.NextAt)
	untouched, err := e.db.Outbox.ByEvent(ctx, "$news")
	require.NoError(t, err)
	require.True(t, untouched.NextAt.IsZero())

	// The newer edit goes when the older one is through, and keeps its place then.
	require.NoError(t, e.db.Outbox.Finish(ctx, first.ID, database.StateDone, ""))
	isNext("$second")
	isAside("$other")
	require.NoError(t, e.db.Outbox.Finish(ctx, second.ID, database.StateDone, ""))
	isNext("$news")
	require.NoError(t, e.db.Outbox.Finish(ctx, other.ID, database.StateDone, ""))
	isAside("")
	at, err = e.db.Outbox.StepAside(ctx, elsewhere, e.clock.Now().Add(time.Second))
	require.NoError(t, err)
	require.Equal(t, e.clock.Now().Add(time.Second), at)
}

package databasetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
)

func testOutboxShown(t *testing.T, ctx context.Context, e *env) {
	a, b, c, other, edit := row("$a", "c:1"), row("$b", "c:1"), row("$c", "c:1"), row("$other", "c:2"), row("$edit", "c:1")
	edit.Kind, edit.TargetEventID = database.KindEdit, "$a"
	a.Payload = []byte("long")
	enqueue(t, ctx, e, a, b, c, other, edit)
	unshown := func(after int64, limit int) (events []string) {
		rows, err := e.other.Outbox.Unshown(ctx, "c:1", after, limit)
		require.NoError(t, err)
		for _, r := range rows {
			require.Empty(t, r.Payload)
			events = append(events, r.EventID)
		}
		return events
	}
	require.Equal(t, []string{"$a", "$b", "$c"}, unshown(0, 10))
	require.Equal(t, []string{"$a", "$b"}, unshown(0, 2))
	require.Equal(t, []string{"$c"}, unshown(b.ID, 10))
	require.NoError(t, e.db.Outbox.Shown(ctx, nil))
	require.NoError(t, e.db.Outbox.Shown(ctx, []int64{a.ID, b.ID}))
	require.Equal(t, []string{"$c"}, unshown(0, 10))

	// What ends is to be told of, shown before or not, and what comes back is shown again.
	require.NoError(t, e.db.Outbox.Park(ctx, a.ID, "too large", "it is too large for Teams"))
	require.NoError(t, e.db.Outbox.Shown(ctx, []int64{a.ID}))
	untold, err := e.other.Outbox.Untold(ctx, 0, 10)
	require.NoError(t, err)
	require.Len(t, untold, 1)
	ok, err := e.db.Outbox.Requeue(ctx, a.ID, time.Time{})
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, []string{"$a", "$c"}, unshown(0, 10))
}

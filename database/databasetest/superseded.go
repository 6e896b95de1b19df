package databasetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
)

// testSuperseded: of two edits the one counts that was made later, whichever came
// first.
func testSuperseded(t *testing.T, ctx context.Context, e *env) {
	edit := func(eventID, target, root, sender string, at time.Time) *database.OutboxRow {
		r := row(eventID, "c:late")
		r.Kind, r.TargetEventID, r.RootEventID, r.SenderMXID, r.EventAt = database.KindEdit, target, root, sender, at
		enqueue(t, ctx, e, r)
		return r
	}
	is := func(want bool, r *database.OutboxRow, why string) {
		t.Helper()
		got, err := e.db.Outbox.Superseded(ctx, r)
		require.NoError(t, err)
		require.Equal(t, want, got, why)
	}
	now := e.clock.Now()
	first := edit("$b", "$m", "", "@a:x", now)
	late := edit("$late", "$m", "", "@a:x", now.Add(-time.Second))
	is(false, first, "it is the newest")
	is(true, late, "made before what came before it")
	is(true, edit("$a", "$m", "", "@a:x", now), "of one time the greater id counts")
	is(false, edit("$c", "$m", "", "@a:x", now), "of one time the greater id counts")
	is(false, edit("$other", "$n", "", "@a:x", now.Add(-time.Second)), "of another message")
	is(false, edit("$tally", "$m", "$poll", "@a:x", now.Add(-time.Second)), "a poll's votes as they are")
	is(false, edit("$theirs", "$m", "", "@b:x", now.Add(-time.Second)), "nobody edits what is somebody else's")
	later := edit("$later", "$o", "", "@a:x", now)
	ok, err := e.db.Outbox.Cancel(ctx, later.ID, "taken back")
	require.NoError(t, err)
	require.True(t, ok)
	is(false, edit("$earlier", "$o", "", "@a:x", now.Add(-time.Second)), "the other one was taken back")
	require.NoError(t, e.db.Outbox.Finish(ctx, first.ID, database.StateDone, ""))
	is(true, late, "also when it is done")
}

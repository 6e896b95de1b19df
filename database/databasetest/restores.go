package databasetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
)

// testRestores: what is to be known after a database was restored, told any number
// of times.
func testRestores(t *testing.T, ctx context.Context, e *env) {
	db := e.db
	at := func(minutes int) time.Time {
		return time.UnixMilli(1_700_000_000_000).UTC().Add(time.Duration(minutes) * time.Minute)
	}
	open, err := db.Restores.Open(ctx)
	require.NoError(t, err)
	require.Nil(t, open)
	for _, r := range []database.Restore{{Since: at(5)}, {Since: at(3)}, {Since: at(3), Until: at(9)}} {
		require.NoError(t, db.Restores.Begin(ctx, r))
	}
	open, err = db.Restores.Open(ctx)
	require.NoError(t, err)
	require.Equal(t, at(3), open.Since, "the oldest")
	require.Equal(t, at(9), open.Until)
	require.True(t, open.Done.IsZero())
	require.NoError(t, db.Restores.Finish(ctx))
	open, err = db.Restores.Open(ctx)
	require.NoError(t, err)
	require.Nil(t, open)
	is, err := db.Restores.Any(ctx)
	require.NoError(t, err)
	require.True(t, is)

	doubts := func(want bool) {
		t.Helper()
		has, err := db.Restores.Doubts(ctx, "p")
		require.NoError(t, err)
		require.Equal(t, want, has)
	}
	require.NoError(t, db.Restores.Note(ctx, database.Restored{EventID: "$doubt", Portal: "p", State: database.RestoredDoubt}))
	doubts(false) // nothing is queued that could be judged
	_, err = db.Outbox.Enqueue(ctx, &database.OutboxRow{EventID: "$doubt", Portal: "p", Kind: database.KindMessage})
	require.NoError(t, err)
	doubts(true)
	require.NoError(t, db.Restores.Judged(ctx, "$doubt"))
	doubts(false)

	said := database.Restored{EventID: "$said", Portal: "p", State: database.RestoredDelivered, AccountID: "a"}
	require.NoError(t, db.Restores.Note(ctx, database.Restored{EventID: "$said", Portal: "p", State: database.RestoredDoubt}))
	require.NoError(t, db.Restores.Note(ctx, said))
	require.NoError(t, db.Restores.Note(ctx, database.Restored{EventID: "$said", Portal: "p", State: database.RestoredDoubt}))
	require.NoError(t, db.Restores.Judged(ctx, "$said"))
	known, err := db.Restores.Of(ctx, "$said")
	require.NoError(t, err)
	require.Equal(t, &said, known, "that it was delivered is the last word")

	// A part that is known is one of ours; what the database knows already stays.
	part := database.SentPart{EventID: "$said", Portal: "p", TeamID: "t", ChannelID: "c", RemoteID: "1", AccountID: "a", StartedAt: at(4)}
	begun := part
	begun.EventID, begun.RemoteID, begun.Fingerprint = "$begun", "", "print"
	require.NoError(t, db.Sent.Begin(ctx, begun))
	begun.RemoteID = "2"
	for range 2 {
		require.NoError(t, db.Sent.Known(ctx, part))
		require.NoError(t, db.Sent.Known(ctx, begun))
	}
	stranger := part
	stranger.EventID = "$stranger"
	require.NoError(t, db.Sent.Known(ctx, stranger))
	own, err := db.Sent.ByRemote(ctx, "p", "1")
	require.NoError(t, err)
	require.Equal(t, "$said", own.EventID)
	require.Equal(t, at(4), own.StartedAt)
	own, err = db.Sent.ByRemote(ctx, "p", "2")
	require.NoError(t, err)
	require.Equal(t, []string{"$begun", "print", database.StateSent}, []string{own.EventID, own.Fingerprint, own.State})
	part.Fingerprint, part.ContentHash = "said", "content"
	require.NoError(t, db.Sent.Describe(ctx, part))
	part.Fingerprint = "something else"
	require.NoError(t, db.Sent.Describe(ctx, part))
	own, err = db.Sent.ByRemote(ctx, "p", "1")
	require.NoError(t, err)
	require.Equal(t, []string{"said", "content"}, []string{own.Fingerprint, own.ContentHash})

	e.clock.Advance(time.Hour)
	require.NoError(t, db.Restores.Purge(ctx, e.clock.Now()))
	is, err = db.Restores.Any(ctx)
	require.NoError(t, err)
	require.False(t, is)
	known, err = db.Restores.Of(ctx, "$said")
	require.NoError(t, err)
	require.Nil(t, known)
}

package databasetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
)

func testUploads(t *testing.T, ctx context.Context, e *env) {
	u, err := e.db.Uploads.Get(ctx, "$a", "mxc://x/1")
	require.NoError(t, err)
	require.Nil(t, u)

	const secret = `{"session":"https://contoso.sharepoint.com/secret"}`
	begun := database.Upload{EventID: "$a", URI: "mxc://x/1", Portal: "c:1", Session: []byte("older"), StartedAt: e.clock.Now()}
	require.NoError(t, e.db.Uploads.Begin(ctx, begun))
	begun.Session = []byte(secret)
	require.NoError(t, e.db.Uploads.Begin(ctx, begun), "begun anew")
	u, err = e.other.Uploads.Get(ctx, "$a", "mxc://x/1")
	require.NoError(t, err)
	require.Equal(t, secret, string(u.Session))
	require.True(t, u.DoneAt.IsZero())
	var raw []byte
	require.NoError(t, e.db.QueryRow(ctx, `SELECT session FROM teams_upload WHERE event_id = $1`, "$a").Scan(&raw))
	require.NotContains(t, string(raw), "sharepoint", "the address is a secret")
	taken, err := e.db.Uploads.IsTaken(ctx, "")
	require.NoError(t, err)
	require.False(t, taken)

	done := database.Upload{EventID: "$a", URI: "mxc://x/1", Portal: "c:1", ItemID: "item", Attachment: []byte("{}")}
	require.NoError(t, e.db.Uploads.Finish(ctx, done))
	u, err = e.other.Uploads.Get(ctx, "$a", "mxc://x/1")
	require.NoError(t, err)
	require.Empty(t, u.Session)
	require.Equal(t, "item", u.ItemID)
	require.Equal(t, "{}", string(u.Attachment))
	require.False(t, u.DoneAt.IsZero())
	taken, err = e.other.Uploads.IsTaken(ctx, "item")
	require.NoError(t, err)
	require.True(t, taken)
	u, err = e.db.Uploads.Get(ctx, "$a", "mxc://x/2")
	require.NoError(t, err)
	require.Nil(t, u, "another file of the same event")

	testUploadsGivenUp(t, ctx, e)

	begun.URI = "mxc://x/2"
	require.NoError(t, e.db.Uploads.Begin(ctx, begun))
	n, err := e.db.Uploads.Purge(ctx, e.clock.Now().Add(time.Hour))
	require.NoError(t, err)
	require.EqualValues(t, 1, n, "what is there stays")
}

func testUploadsGivenUp(t *testing.T, ctx context.Context, e *env) {
	givenUp := func() (out []string) {
		all, err := e.other.Uploads.GivenUp(ctx, 10)
		require.NoError(t, err)
		for _, u := range all {
			out = append(out, u.EventID+" "+string(u.Session))
		}
		return out
	}
	rows := map[string]*database.OutboxRow{}
	for _, event := range []string{"$waits", "$parked", "$failed", "$edited"} {
		e.clock.Advance(time.Second)
		rows[event] = &database.OutboxRow{EventID: event, Portal: "c:up", Kind: database.KindMessage, Payload: []byte("{}")}
		inserted, err := e.db.Outbox.Enqueue(ctx, rows[event])
		require.NoError(t, err)
		require.True(t, inserted)
		require.NoError(t, e.db.Uploads.Begin(ctx, database.Upload{EventID: event, URI: "mxc://x/1", Portal: "c:up", Session: []byte("of " + event)}))
	}
	require.Empty(t, givenUp())
	require.NoError(t, e.db.Outbox.Park(ctx, rows["$parked"].ID, "why", ""))
	require.NoError(t, e.db.Outbox.Fail(ctx, rows["$failed"].ID, "why", ""))
	require.NoError(t, e.db.Outbox.Finish(ctx, rows["$edited"].ID, database.StateDone, ""))
	edit := &database.OutboxRow{EventID: "$edit", TargetEventID: "$edited", Portal: "c:up", Kind: database.KindEdit, Payload: []byte("{}")}
	_, err := e.db.Outbox.Enqueue(ctx, edit)
	require.NoError(t, err)
	require.Equal(t, []string{"$failed of $failed"}, givenUp(), "what is parked may be sent again, and an edit may bring the file")
	require.NoError(t, e.db.Outbox.Finish(ctx, edit.ID, database.StateDone, ""))
	require.Equal(t, []string{"$failed of $failed", "$edited of $edited"}, givenUp())

	all, err := e.db.Uploads.GivenUp(ctx, 1)
	require.NoError(t, err)
	require.Len(t, all, 1)
	e.clock.Advance(time.Second)
	require.NoError(t, e.db.Uploads.Begin(ctx, database.Upload{EventID: "$failed", URI: "mxc://x/1", Portal: "c:up", Session: []byte("anew")}))
	require.NoError(t, e.db.Uploads.Forget(ctx, all[0]))
	require.Equal(t, []string{"$edited of $edited", "$failed anew"}, givenUp())
	all, err = e.db.Uploads.GivenUp(ctx, 10)
	require.NoError(t, err)
	for _, u := range all {
		require.NoError(t, e.db.Uploads.Forget(ctx, u))
	}
	require.Empty(t, givenUp())
	for _, event := range []string{"$waits", "$parked"} {
		require.NoError(t, e.db.Uploads.Finish(ctx, database.Upload{EventID: event, URI: "mxc://x/1", Portal: "c:up", ItemID: "item of " + event}))
	}
	require.NoError(t, e.db.Outbox.Finish(ctx, rows["$waits"].ID, database.StateDone, ""))
	require.Empty(t, givenUp(), "what is there was not given up")
}

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

	begun.URI = "mxc://x/2"
	require.NoError(t, e.db.Uploads.Begin(ctx, begun))
	n, err := e.db.Uploads.Purge(ctx, e.clock.Now().Add(time.Hour))
	require.NoError(t, err)
	require.EqualValues(t, 1, n, "what is there stays")
}

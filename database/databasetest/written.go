package databasetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
)

// testWritten: which conversations were written in, and which lately.
func testWritten(t *testing.T, ctx context.Context, e *env) {
	for _, ch := range []string{"1", "2", "3"} {
		require.NoError(t, e.db.Conversations.Upsert(ctx, database.Conversation{
			Portal: "c:t/" + ch, Kind: database.ConversationChannel, TeamID: "t", ChannelID: ch, State: database.ConversationWanted,
		}))
	}
	write := func(event, channel string) {
		r := row(event, "c:t/"+channel)
		enqueue(t, ctx, e, r)
		require.NoError(t, e.db.Sent.Begin(ctx, database.SentPart{EventID: event, Portal: r.Portal, TeamID: "t", ChannelID: channel}))
		require.NoError(t, e.db.Sent.Confirm(ctx, event, 0, "17"+event, ""))
		require.NoError(t, e.db.Outbox.Finish(ctx, r.ID, database.StateDone, ""))
	}
	write("$a", "1")
	e.clock.Advance(time.Hour)
	write("$b", "2")
	require.NoError(t, e.db.Sent.Begin(ctx, database.SentPart{EventID: "$c", Portal: "c:t/3", TeamID: "t", ChannelID: "3"}))
	got, err := e.db.Sent.Written(ctx, e.clock.Now().Add(-time.Minute))
	require.NoError(t, err)
	require.ElementsMatch(t, []database.Written{{ChannelID: "1"}, {ChannelID: "2", LastAt: e.clock.Now()}}, got)
}

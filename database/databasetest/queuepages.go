package databasetest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
)

func testQueuePages(t *testing.T, ctx context.Context, e *env) {
	parked, first, sending, sent, other := row("$parked", "c:1"), row("$first", "c:1"), row("$sending", "c:1"), row("$sent", "c:1"), row("$other", "c:2")
	enqueue(t, ctx, e, parked, first, sending, sent, other)
	require.NoError(t, e.db.Outbox.Park(ctx, parked.ID, "too large", "it is too large for Teams"))
	_, err := e.db.Outbox.MarkSending(ctx, sending)
	require.NoError(t, err)
	require.NoError(t, e.db.Outbox.MarkSent(ctx, sent.ID))
	page := func(parked bool, after int64, limit int) (events []string) {
		rows, err := e.other.Outbox.Waiting(ctx, "c:1", parked, after, limit)
		require.NoError(t, err)
		for _, r := range rows {
			require.Empty(t, r.Payload)
			events = append(events, r.EventID)
		}
		return events
	}
	require.Equal(t, []string{"$parked"}, page(true, 0, 10))
	require.Empty(t, page(true, parked.ID, 10))
	require.Equal(t, []string{"$first"}, page(false, 0, 1))
	require.Equal(t, []string{"$sending"}, page(false, first.ID, 10))

	n, err := e.db.Outbox.DropAll(ctx, nil, "dropped", "")
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = e.db.Outbox.DropAll(ctx, []int64{parked.ID, first.ID, sending.ID, sent.ID}, "dropped", "an administrator dropped it")
	require.NoError(t, err)
	require.EqualValues(t, 2, n, "of the others Teams may have a part")

	for _, m := range []database.InboxRow{{Portal: "c:1", MessageID: "1"}, {Portal: "c:1", MessageID: "2"}, {Portal: "c:2", MessageID: "1"}} {
		m.Version, m.Payload, m.CreatedAt = 1, []byte("{}"), e.clock.Now()
		_, err = e.db.Inbox.Accept(ctx, []database.InboxRow{m})
		require.NoError(t, err)
		require.NoError(t, e.db.Inbox.Park(ctx, m.Portal, m.MessageID, 1, "refused"))
	}
	counts, err := e.other.Inbox.ParkedCounts(ctx)
	require.NoError(t, err)
	require.Equal(t, []database.ParkedCount{{Portal: "c:1", N: 2}, {Portal: "c:2", N: 1}}, counts)
	rows, err := e.other.Inbox.ParkedIn(ctx, "c:1", 1)
	require.NoError(t, err)
	require.Len(t, rows, 1)
	rows, err = e.other.Inbox.ParkedAs(ctx, "1")
	require.NoError(t, err)
	require.Len(t, rows, 2)
	n, err = e.db.Inbox.DropParkedIn(ctx, "c:1", "dropped")
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
	counts, err = e.other.Inbox.ParkedCounts(ctx)
	require.NoError(t, err)
	require.Equal(t, []database.ParkedCount{{Portal: "c:2", N: 1}}, counts)
}

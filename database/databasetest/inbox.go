package databasetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
)

func message(portal, id string, version int64, created time.Time) database.InboxRow {
	return database.InboxRow{
		Portal: portal, MessageID: id, Version: version, CreatedAt: created, Source: "webhook",
		Payload: fmt.Appendf(nil, "%s v%d", id, version),
	}
}

func accept(t *testing.T, ctx context.Context, e *env, want int, rows ...database.InboxRow) {
	t.Helper()
	n, err := e.db.Inbox.Accept(ctx, rows)
	require.NoError(t, err)
	require.Equal(t, want, n)
}

func dueIDs(t *testing.T, ctx context.Context, e *env, portal string) (ids []string) {
	t.Helper()
	rows, err := e.other.Inbox.Due(ctx, portal, e.clock.Now(), 100)
	require.NoError(t, err)
	for _, r := range rows {
		ids = append(ids, fmt.Sprintf("%s@%d", r.MessageID, r.Version))
	}
	return ids
}

func testInboxVersions(t *testing.T, ctx context.Context, e *env) {
	at := e.clock.Now()
	accept(t, ctx, e, 0)
	accept(t, ctx, e, 1, message("c:1", "m", 5, at))
	accept(t, ctx, e, 0, message("c:1", "m", 5, at), message("c:1", "m", 4, at))
	got, err := e.db.Inbox.Get(ctx, "c:1", "m")
	require.NoError(t, err)
	require.Equal(t, &database.InboxRow{
		Portal: "c:1", MessageID: "m", Version: 5, CreatedAt: at, Payload: []byte("m v5"), State: database.StatePending,
		ReceivedAt: at, Source: "webhook",
	}, got)

	require.NoError(t, e.db.Inbox.Delivered(ctx, "c:1", "m", 5))
	got, err = e.db.Inbox.Get(ctx, "c:1", "m")
	require.NoError(t, err)
	require.Equal(t, database.StateDone, got.State)
	require.EqualValues(t, 5, got.Delivered)
	require.Empty(t, got.Payload)
	accept(t, ctx, e, 0, message("c:1", "m", 5, at))
	accept(t, ctx, e, 0, message("c:1", "m", 4, at))
	require.Empty(t, dueIDs(t, ctx, e, "c:1"), "an old version that comes late is nothing")
	// The same message several times in one batch, swapped.
	accept(t, ctx, e, 2, message("c:1", "m", 6, at), message("c:1", "m", 8, at), message("c:1", "m", 7, at))
	require.Equal(t, []string{"m@8"}, dueIDs(t, ctx, e, "c:1"))
	got, err = e.db.Inbox.Get(ctx, "c:1", "m")
	require.NoError(t, err)
	require.EqualValues(t, 5, got.Delivered)
	require.Equal(t, "m v8", string(got.Payload))
	_, err = e.db.Inbox.Accept(ctx, []database.InboxRow{{Portal: "c:1"}})
	require.Error(t, err)
	last, err := e.db.Inbox.LastDelivered(ctx, "c:1")
	require.NoError(t, err)
	require.Equal(t, "m", last.MessageID)
	last, err = e.db.Inbox.LastDelivered(ctx, "c:2")
	require.NoError(t, err)
	require.Nil(t, last)
}

func testInboxNewerWhileDelivering(t *testing.T, ctx context.Context, e *env) {
	at := e.clock.Now()
	accept(t, ctx, e, 1, message("c:1", "m", 1, at))
	accept(t, ctx, e, 1, message("c:1", "m", 2, at))
	require.NoError(t, e.db.Inbox.Delivered(ctx, "c:1", "m", 1))
	require.Equal(t, []string{"m@2"}, dueIDs(t, ctx, e, "c:1"))
	got, err := e.db.Inbox.Get(ctx, "c:1", "m")
	require.NoError(t, err)
	require.EqualValues(t, 1, got.Delivered)
	require.NotEmpty(t, got.Payload)
	// What the delivery of the old version says does not touch the new one.
	require.NoError(t, e.db.Inbox.Retry(ctx, "c:1", "m", 1, at.Add(time.Hour), "late"))
	require.NoError(t, e.db.Inbox.Park(ctx, "c:1", "m", 1, "late"))
	require.Equal(t, []string{"m@2"}, dueIDs(t, ctx, e, "c:1"))
	require.NoError(t, e.db.Inbox.Delivered(ctx, "c:1", "m", 2))
	require.NoError(t, e.db.Inbox.Delivered(ctx, "c:1", "m", 1), "late and out of order")
	got, err = e.db.Inbox.Get(ctx, "c:1", "m")
	require.NoError(t, err)
	require.EqualValues(t, 2, got.Delivered)
	require.Equal(t, database.StateDone, got.State)
	require.NoError(t, e.db.Inbox.Delivered(ctx, "c:1", "unknown", 2))
}

func testInboxOrder(t *testing.T, ctx context.Context, e *env) {
	at := e.clock.Now()
	var rows []database.InboxRow
	for i := range 20 {
		rows = append(rows, message("c:1", fmt.Sprintf("m%02d", i), 1, at.Add(time.Duration(i/2)*time.Second)))
	}
	const seed = 7
	rand.New(rand.NewPCG(seed, seed)).Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	accept(t, ctx, e, 20, rows...)
	ids := dueIDs(t, ctx, e, "c:1")
	require.Len(t, ids, 20)
	require.IsIncreasing(t, ids, "seed %d", seed)
	first, err := e.db.Inbox.Due(ctx, "c:1", at, 3)
	require.NoError(t, err)
	require.Len(t, first, 3)

	reply := message("c:1", "reply", 1, at)
	reply.RootID = "root"
	accept(t, ctx, e, 1, reply)
	for _, want := range []bool{true, false} {
		got, err := e.db.Inbox.PendingReplies(ctx, "c:1", "root")
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.NoError(t, e.db.Inbox.Delivered(ctx, "c:1", "reply", 1))
	}
}

func testInboxRetryAndPark(t *testing.T, ctx context.Context, e *env) {
	at := e.clock.Now()
	accept(t, ctx, e, 3, message("c:1", "a", 1, at), message("c:1", "b", 1, at.Add(1)), message("c:2", "c", 1, at))
	require.NoError(t, e.db.Inbox.Retry(ctx, "c:1", "a", 1, at.Add(time.Minute), "homeserver is down"))
	require.Empty(t, dueIDs(t, ctx, e, "c:1"), "nothing overtakes a message that waits")
	require.Equal(t, []string{"c@1"}, dueIDs(t, ctx, e, "c:2"), "another conversation is not held up")
	portals, err := e.db.Inbox.PortalsDue(ctx, e.clock.Now())
	require.NoError(t, err)
	require.Equal(t, []string{"c:2"}, portals)
	heads, err := e.db.Inbox.Heads(ctx)
	require.NoError(t, err)
	require.Equal(t, []database.Head{{Portal: "c:1", NextAt: at.Add(time.Minute)}, {Portal: "c:2"}}, heads)
	e.clock.Advance(time.Minute)
	require.Equal(t, []string{"a@1", "b@1"}, dueIDs(t, ctx, e, "c:1"))

	require.NoError(t, e.db.Inbox.Park(ctx, "c:1", "a", 1, "cannot be shown"))
	require.Equal(t, []string{"b@1"}, dueIDs(t, ctx, e, "c:1"), "a parked message lets the others pass")
	parked, err := e.db.Inbox.ParkedIn(ctx, "c:1", 10)
	require.NoError(t, err)
	require.Len(t, parked, 1)
	require.Equal(t, "cannot be shown", parked[0].Reason)
	require.Equal(t, 1, parked[0].Attempts)
	require.Equal(t, "a v1", string(parked[0].Payload))
	st, err := e.db.Inbox.Stats(ctx)
	require.NoError(t, err)
	require.Equal(t, map[string]int{"pending": 2, "parked": 1}, st.ByState)
	require.Equal(t, at, st.Oldest)

	accept(t, ctx, e, 1, message("c:1", "a", 2, at))
	require.Equal(t, []string{"a@2", "b@1"}, dueIDs(t, ctx, e, "c:1"), "a newer version is tried again")
	require.NoError(t, e.db.Inbox.Park(ctx, "c:1", "a", 2, "again"))
	n, err := e.db.Inbox.Unpark(ctx, "c:1")
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	require.Equal(t, []string{"a@2", "b@1"}, dueIDs(t, ctx, e, "c:1"))

	require.NoError(t, e.db.Inbox.Delivered(ctx, "c:1", "a", 2))
	e.clock.Advance(time.Hour)
	purged, err := e.db.Inbox.Purge(ctx, e.clock.Now())
	require.NoError(t, err)
	require.EqualValues(t, 1, purged)
	require.Equal(t, []string{"b@1"}, dueIDs(t, ctx, e, "c:1"))
}

// testInboxRace has several sources accept the same messages in all versions
// while a lane delivers what is due. In the end the newest version of each was delivered.
func testInboxRace(t *testing.T, ctx context.Context, e *env) {
	const messages, versions = 8, 5
	at := e.clock.Now()
	var sources, lane sync.WaitGroup
	for source := range 3 {
		random := rand.New(rand.NewPCG(uint64(source), 1))
		sources.Go(func() {
			for _, i := range random.Perm(messages * versions) {
				r := message("c:1", fmt.Sprintf("m%d", i%messages), int64(i/messages+1), at)
				if _, err := e.db.Inbox.Accept(ctx, []database.InboxRow{r, r}); err != nil {
					t.Errorf("accept: %v", err)
				}
			}
		})
	}
	newest := map[string]int64{}
	deliver := func() int {
		rows, err := e.other.Inbox.Due(ctx, "c:1", at, 3)
		if err != nil {
			t.Errorf("due: %v", err)
		}
		for _, r := range rows {
			if r.Version <= newest[r.MessageID] {
				t.Errorf("%s: version %d was due after %d", r.MessageID, r.Version, newest[r.MessageID])
			}
			newest[r.MessageID] = r.Version
			if err := e.other.Inbox.Delivered(ctx, "c:1", r.MessageID, r.Version); err != nil {
				t.Errorf("delivered: %v", err)
			}
		}
		return len(rows)
	}
	stop := make(chan struct{})
	lane.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				deliver()
			}
		}
	})
	sources.Wait()
	close(stop)
	lane.Wait()
	for deliver() > 0 {
	}
	require.Len(t, newest, messages)
	for id, version := range newest {
		require.EqualValues(t, versions, version, id)
	}
}

func testInboxRedeliver(t *testing.T, ctx context.Context, e *env) {
	at := e.clock.Now()
	accept(t, ctx, e, 2, message("c:1", "a", 5, at), message("c:1", "b", 5, at.Add(time.Second)))
	for _, id := range []string{"a", "b"} {
		require.NoError(t, e.db.Inbox.Delivered(ctx, "c:1", id, 5))
	}
	require.Empty(t, dueIDs(t, ctx, e, "c:1"))
	// The same version, an older one, one that the ledger does not know.
	n, err := e.db.Inbox.Redeliver(ctx, []database.InboxRow{message("c:1", "a", 5, at), message("c:1", "b", 4, at), message("c:1", "c", 1, at.Add(2*time.Second))})
	require.NoError(t, err)
	require.Equal(t, 2, n, "what is newer has its own way")
	require.Equal(t, []string{"a@5", "c@1"}, dueIDs(t, ctx, e, "c:1"))
	rows, err := e.other.Inbox.ByMessages(ctx, "c:1", []string{"a", "b", "nowhere"})
	require.NoError(t, err)
	require.Len(t, rows, 2)
	for _, row := range rows {
		if row.MessageID == "a" {
			require.Equal(t, 1, row.Attempts, "what an earlier delivery has left is looked for")
			require.Zero(t, row.Delivered)
			require.Equal(t, "a v5", string(row.Payload))
		}
	}
	require.NoError(t, e.db.Inbox.Delivered(ctx, "c:1", "a", 5))
	require.Equal(t, []string{"c@1"}, dueIDs(t, ctx, e, "c:1"), "it can be delivered once more")
}

func testLookups(t *testing.T, ctx context.Context, e *env) {
	var events, remotes []string
	for i := range 250 { // more than one statement takes
		event, remote := fmt.Sprintf("$%d", i), fmt.Sprint(i)
		events, remotes = append(events, event), append(remotes, remote)
		_, err := e.db.Outbox.Enqueue(ctx, &database.OutboxRow{EventID: event, Portal: "c:1", Kind: database.KindMessage})
		require.NoError(t, err)
		require.NoError(t, e.db.Sent.Begin(ctx, database.SentPart{EventID: event, Portal: "c:1"}))
		require.NoError(t, e.db.Sent.Confirm(ctx, event, 0, remote, ""))
	}
	out, err := e.other.Outbox.ByEvents(ctx, append(events, "$nowhere"))
	require.NoError(t, err)
	require.Len(t, out, 250)
	parts, err := e.other.Sent.ByEvents(ctx, events)
	require.NoError(t, err)
	require.Len(t, parts, 250)
	parts, err = e.other.Sent.ByRemotes(ctx, "c:1", remotes)
	require.NoError(t, err)
	require.Len(t, parts, 250)
	parts, err = e.other.Sent.ByRemotes(ctx, "c:2", remotes)
	require.NoError(t, err)
	require.Empty(t, parts)
	none, err := e.other.Outbox.ByEvents(ctx, nil)
	require.NoError(t, err)
	require.Empty(t, none)
	require.NoError(t, e.db.Journal.Append(ctx, []database.JournalEntry{{EventID: "$j", RoomID: "!r", Type: "m.room.message", Raw: []byte("{}")}}))
	open, err := e.other.Journal.Open(ctx, []string{"$j", "$0"})
	require.NoError(t, err)
	require.Equal(t, []string{"$j"}, open)

	// What is not finished is nobody's to forget.
	require.NoError(t, e.db.Outbox.Forget(ctx, "$0"))
	row, err := e.db.Outbox.ByEvent(ctx, "$0")
	require.NoError(t, err)
	require.NotNil(t, row)
	require.NoError(t, e.db.Outbox.Finish(ctx, row.ID, database.StateDone, ""))
	require.NoError(t, e.db.Outbox.Forget(ctx, "$0"))
	row, err = e.db.Outbox.ByEvent(ctx, "$0")
	require.NoError(t, err)
	require.Nil(t, row)
}

package databasetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
)

func testUpgradeTwice(t *testing.T, ctx context.Context, e *env) {
	require.NoError(t, e.db.Upgrade(ctx))
	require.NoError(t, e.db.Journal.Append(ctx, []database.JournalEntry{{EventID: "$a", Raw: []byte("{}")}}))
	require.NoError(t, e.other.Upgrade(ctx))
	n, err := e.other.Journal.Count(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

func testTransaction(t *testing.T, ctx context.Context, e *env) {
	boom := errors.New("boom")
	require.NoError(t, e.db.Journal.Append(ctx, []database.JournalEntry{{EventID: "$a", Raw: []byte("{}")}}))
	err := e.db.DoTxn(ctx, nil, func(ctx context.Context) error {
		_, err := e.db.Outbox.Enqueue(ctx, row("$a", "c:1"))
		require.NoError(t, err)
		require.NoError(t, e.db.Journal.Done(ctx, "$a"))
		return boom
	})
	require.ErrorIs(t, err, boom)
	r, err := e.db.Outbox.ByEvent(ctx, "$a")
	require.NoError(t, err)
	require.Nil(t, r, "the outbox row is part of the transaction")
	n, err := e.db.Journal.Count(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, n, "the journal row is part of the transaction")
	require.PanicsWithValue(t, "oops", func() {
		_ = e.db.DoTxn(ctx, nil, func(ctx context.Context) error {
			_ = e.db.Journal.Done(ctx, "$a")
			panic("oops")
		})
	})
	n, err = e.other.Journal.Count(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, n, "a panic rolls back")
	// A statement that finds a conflict must not poison the transaction.
	require.NoError(t, e.db.DoTxn(ctx, nil, func(ctx context.Context) error {
		for range 2 {
			if _, err := e.db.Outbox.Enqueue(ctx, row("$a", "c:1")); err != nil {
				return err
			}
		}
		return e.db.Journal.Done(ctx, "$a")
	}))
	r, err = e.db.Outbox.ByEvent(ctx, "$a")
	require.NoError(t, err)
	require.NotNil(t, r)
}

func testJournal(t *testing.T, ctx context.Context, e *env) {
	entries := []database.JournalEntry{
		{EventID: "$a", RoomID: "!r", Type: "m.room.message", Raw: []byte(`{"a":1}`)},
		{EventID: "$b", RoomID: "!r", Type: "m.reaction", Raw: []byte("\x00\xff binary survives")},
	}
	empty, err := e.db.Journal.LastSeq(ctx)
	require.NoError(t, err)
	require.Zero(t, empty)
	require.NoError(t, e.db.Journal.Append(ctx, nil))
	require.NoError(t, e.db.Journal.Append(ctx, entries))
	require.NoError(t, e.db.Journal.Append(ctx, append(entries, database.JournalEntry{EventID: "$c"})), "a redelivery with more in it")
	got, err := e.other.Journal.Pending(ctx, 0, 10)
	require.NoError(t, err)
	require.Len(t, got, 3)
	require.Equal(t, []string{"$a", "$b", "$c"}, []string{got[0].EventID, got[1].EventID, got[2].EventID})
	require.Equal(t, entries[1].Raw, got[1].Raw)
	require.Equal(t, "!r", got[1].RoomID)
	require.Equal(t, "m.reaction", got[1].Type)
	require.Equal(t, e.clock.Now(), got[1].ReceivedAt)

	one, err := e.other.Journal.Get(ctx, "$b")
	require.NoError(t, err)
	require.Equal(t, &got[1], one)
	one, err = e.db.Journal.Get(ctx, "$none")
	require.NoError(t, err)
	require.Nil(t, one)
	last, err := e.db.Journal.LastSeq(ctx)
	require.NoError(t, err)
	require.Equal(t, got[2].Seq, last)

	rest, err := e.db.Journal.Pending(ctx, got[0].Seq, 1)
	require.NoError(t, err)
	require.Equal(t, []database.JournalEntry{got[1]}, rest)

	require.NoError(t, e.db.Journal.Tried(ctx, "$b"))
	require.NoError(t, e.db.Journal.Done(ctx, "$c"))
	require.NoError(t, e.db.Journal.Done(ctx, "$c"), "closing twice is harmless")
	require.NoError(t, e.db.Journal.Done(ctx, "$unknown"))
	require.NoError(t, e.db.Journal.Append(ctx, []database.JournalEntry{{EventID: "$d"}}))
	rest, err = e.db.Journal.Pending(ctx, got[0].Seq, 10)
	require.NoError(t, err)
	require.Len(t, rest, 2)
	require.Equal(t, 1, rest[0].Attempts)
	require.Greater(t, rest[1].Seq, got[2].Seq, "a sequence number is never used twice")
}

func testJournalOutbox(t *testing.T, ctx context.Context, e *env) {
	_, err := e.db.Outbox.Enqueue(ctx, row("$a", "c:1"))
	require.NoError(t, err)
	require.NoError(t, e.db.Journal.Append(ctx, []database.JournalEntry{{EventID: "$a"}, {EventID: "$b"}}))
	got, err := e.db.Journal.Pending(ctx, 0, 10)
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, "$b", got[0].EventID)
}

func testJournalMany(t *testing.T, ctx context.Context, e *env) {
	var entries []database.JournalEntry
	for i := range 250 {
		entries = append(entries, database.JournalEntry{EventID: fmt.Sprintf("$%03d", i), Raw: []byte("{}")})
	}
	_, err := e.db.Outbox.Enqueue(ctx, row("$120", "c:1"))
	require.NoError(t, err)
	require.NoError(t, e.db.Journal.Append(ctx, entries[:130]))
	require.NoError(t, e.db.Journal.Append(ctx, append(entries, entries...)), "twice in one transaction")
	got, err := e.db.Journal.Pending(ctx, 0, 1000)
	require.NoError(t, err)
	require.Len(t, got, 249)
	for i := range got[1:] {
		require.Less(t, got[i].EventID, got[i+1].EventID, "in the order of the transaction")
	}
}

func row(eventID, portal string) *database.OutboxRow {
	return &database.OutboxRow{EventID: eventID, Portal: portal, Kind: database.KindMessage, Payload: []byte(`{"body":"hello"}`)}
}

func enqueue(t *testing.T, ctx context.Context, e *env, rows ...*database.OutboxRow) {
	t.Helper()
	for _, r := range rows {
		inserted, err := e.db.Outbox.Enqueue(ctx, r)
		require.NoError(t, err)
		require.True(t, inserted)
		require.NotZero(t, r.ID)
	}
}

func testOutbox(t *testing.T, ctx context.Context, e *env) {
	want := database.OutboxRow{
		EventID: "$a", Portal: "c:1", RoomID: "!r", Kind: database.KindEdit, TargetEventID: "$t", RootEventID: "$root",
		SenderMXID: "@a:b", SenderUserID: "aad", SenderName: "A", Payload: []byte(`{}`), EventAt: e.clock.Now().Add(-time.Hour),
	}
	first := want
	enqueue(t, ctx, e, &first)
	again := want
	again.Payload = []byte("other")
	inserted, err := e.db.Outbox.Enqueue(ctx, &again)
	require.NoError(t, err)
	require.False(t, inserted)

	want.ID, want.CreatedAt, want.State = first.ID, e.clock.Now(), database.StateQueued
	for name, get := range map[string]func() (*database.OutboxRow, error){
		"ByEvent": func() (*database.OutboxRow, error) { return e.other.Outbox.ByEvent(ctx, "$a") },
		"ByID":    func() (*database.OutboxRow, error) { return e.other.Outbox.ByID(ctx, first.ID) },
		"Next":    func() (*database.OutboxRow, error) { return e.other.Outbox.Next(ctx, "c:1") },
		"ByTarget": func() (*database.OutboxRow, error) {
			rows, err := e.other.Outbox.ByTarget(ctx, "$t")
			require.Len(t, rows, 1)
			return rows[0], err
		},
		"Queue": func() (*database.OutboxRow, error) {
			rows, err := e.other.Outbox.Queue(ctx, "c:1", 5)
			require.Len(t, rows, 1)
			return rows[0], err
		},
	} {
		got, err := get()
		require.NoError(t, err, name)
		require.Equal(t, &want, got, name)
	}
	for _, bad := range []*database.OutboxRow{{}, {EventID: "$x", Portal: "p"}, {EventID: "$x", Kind: "message"}, {Portal: "p", Kind: "message"}} {
		_, err := e.db.Outbox.Enqueue(ctx, bad)
		require.Error(t, err)
	}
	missing, err := e.db.Outbox.ByEvent(ctx, "$none")
	require.NoError(t, err)
	require.Nil(t, missing)
}

func testOutboxOrder(t *testing.T, ctx context.Context, e *env) {
	a, b, c := row("$a", "c:1"), row("$b", "c:2"), row("$c", "c:1")
	enqueue(t, ctx, e, a, b, c)
	active, err := e.db.Outbox.ActivePortals(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"c:1", "c:2"}, active)

	ok, err := e.db.Outbox.MarkSending(ctx, a)
	require.NoError(t, err)
	require.True(t, ok)
	require.NoError(t, e.db.Outbox.Retry(ctx, a.ID, e.clock.Now().Add(time.Hour), "unavailable"))
	next, err := e.db.Outbox.Next(ctx, "c:1")
	require.NoError(t, err)
	require.Equal(t, "$a", next.EventID, "nothing overtakes a row that waits")
	require.Equal(t, e.clock.Now().Add(time.Hour), next.NextAt)
	require.Equal(t, 1, next.Attempts)
	require.Equal(t, "unavailable", next.Reason)

	n, err := e.db.Outbox.RetryNow(ctx, "c:2")
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = e.db.Outbox.RetryNow(ctx, "")
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	require.NoError(t, e.db.Outbox.Retry(ctx, a.ID, e.clock.Now().Add(time.Hour), database.ReasonAnnounced))
	n, err = e.db.Outbox.RetryNow(ctx, "")
	require.NoError(t, err)
	require.Zero(t, n, "nothing is sent before Teams has said that it may be")
	require.NoError(t, e.db.Outbox.Announced(ctx, "$a", e.clock.Now().Add(time.Minute)))
	require.NoError(t, e.db.Outbox.Announced(ctx, "$c", e.clock.Now().Add(time.Minute)))
	require.NoError(t, e.db.Outbox.Announced(ctx, "$none", e.clock.Now().Add(time.Minute)))
	n, err = e.db.Outbox.RetryNow(ctx, "")
	require.NoError(t, err)
	require.Zero(t, n)
	next, err = e.db.Outbox.Next(ctx, "c:1")
	require.NoError(t, err)
	require.Equal(t, e.clock.Now().Add(time.Hour), next.NextAt, "the longer pause counts")
	next, err = e.db.Outbox.ByEvent(ctx, "$c")
	require.NoError(t, err)
	require.Equal(t, e.clock.Now().Add(time.Minute), next.NextAt)
	require.Equal(t, database.ReasonAnnounced, next.Reason)

	require.NoError(t, e.db.Outbox.MarkSent(ctx, a.ID))
	next, err = e.db.Outbox.Next(ctx, "c:1")
	require.NoError(t, err)
	require.Equal(t, "$c", next.EventID, "what Teams has does not hold up the next")
	unacked, err := e.db.Outbox.Unacked(ctx)
	require.NoError(t, err)
	require.Len(t, unacked, 1)
	require.Equal(t, "$a", unacked[0].EventID)
	require.NotEmpty(t, unacked[0].Payload)

	require.NoError(t, e.db.Outbox.Fail(ctx, c.ID, "too large", ""))
	active, err = e.db.Outbox.ActivePortals(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"c:2"}, active)
	next, err = e.db.Outbox.Next(ctx, "c:1")
	require.NoError(t, err)
	require.Nil(t, next)

	st, err := e.db.Outbox.Stats(ctx)
	require.NoError(t, err)
	require.Equal(t, map[string]int{"queued": 1, "sent": 1, "failed": 1}, st.ByState)
	require.Equal(t, e.clock.Now(), st.Oldest)
	st, err = e.db.Outbox.PortalStats(ctx, "c:2")
	require.NoError(t, err)
	require.Equal(t, map[string]int{"queued": 1}, st.ByState)
}

func testOutboxCoalescing(t *testing.T, ctx context.Context, e *env) {
	r := row("$a", "c:1")
	enqueue(t, ctx, e, r)
	ok, err := e.db.Outbox.ReplacePayload(ctx, r.ID, []byte("edited"))
	require.NoError(t, err)
	require.True(t, ok)
	got, err := e.db.Outbox.ByID(ctx, r.ID)
	require.NoError(t, err)
	require.Equal(t, "edited", string(got.Payload))

	edit := row("$edit", "c:1")
	edit.Kind, edit.State = database.KindEdit, database.StateDone
	enqueue(t, ctx, e, edit)
	got, err = e.db.Outbox.ByEvent(ctx, "$edit")
	require.NoError(t, err)
	require.Empty(t, got.Payload)
	require.Equal(t, e.clock.Now(), got.DoneAt)
	next, err := e.db.Outbox.Next(ctx, "c:1")
	require.NoError(t, err)
	require.Equal(t, "$a", next.EventID)

	// Once a part may be in Teams, the row cannot be changed any more, even
	// when it is queued again because a later part failed.
	ok, err = e.db.Outbox.MarkSending(ctx, r)
	require.NoError(t, err)
	require.True(t, ok)
	require.NoError(t, e.db.Sent.Begin(ctx, database.SentPart{EventID: "$a", Portal: "c:1"}))
	require.NoError(t, e.db.Outbox.Retry(ctx, r.ID, time.Time{}, "cut"))
	for name, change := range map[string]func() (bool, error){
		"replace": func() (bool, error) { return e.db.Outbox.ReplacePayload(ctx, r.ID, []byte("late")) },
		"cancel":  func() (bool, error) { return e.db.Outbox.Cancel(ctx, r.ID, "redacted") },
	} {
		ok, err := change()
		require.NoError(t, err, name)
		require.False(t, ok, name)
	}
	require.NoError(t, e.db.Sent.Abort(ctx, "$a", 0))
	ok, err = e.db.Outbox.Cancel(ctx, r.ID, "redacted")
	require.NoError(t, err)
	require.True(t, ok)
	got, err = e.db.Outbox.ByID(ctx, r.ID)
	require.NoError(t, err)
	require.Equal(t, database.StateCancelled, got.State)
	require.Empty(t, got.Payload)
}

func testOutboxRace(t *testing.T, ctx context.Context, e *env) {
	for i := range 20 {
		r := row(fmt.Sprintf("$%d", i), "c:1")
		enqueue(t, ctx, e, r)
		var wins atomic.Int32
		var wg sync.WaitGroup
		for _, try := range []func() (bool, error){
			func() (bool, error) { return e.db.Outbox.MarkSending(ctx, r) },
			func() (bool, error) { return e.other.Outbox.Cancel(ctx, r.ID, "redacted") },
		} {
			wg.Go(func() {
				if ok, err := try(); err != nil {
					t.Errorf("race: %v", err)
				} else if ok {
					wins.Add(1)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, wins.Load(), "a row is sent or cancelled, never both")
	}
}

func testOutboxStates(t *testing.T, ctx context.Context, e *env) {
	r := row("$a", "c:1")
	enqueue(t, ctx, e, r)
	require.Error(t, e.db.Outbox.Finish(ctx, r.ID, database.StateQueued, ""))
	ok, err := e.db.Outbox.MarkSending(ctx, r)
	require.NoError(t, err)
	require.True(t, ok)
	ok, err = e.other.Outbox.MarkSending(ctx, r)
	require.NoError(t, err)
	require.False(t, ok, "two workers never take the same row")
	require.NoError(t, e.db.Outbox.MarkSent(ctx, r.ID))
	require.NoError(t, e.db.Outbox.Retry(ctx, r.ID, time.Time{}, "late failure"))
	got, err := e.db.Outbox.ByID(ctx, r.ID)
	require.NoError(t, err)
	require.Equal(t, database.StateSent, got.State, "what was sent is never queued again")
	require.NoError(t, e.db.Outbox.Finish(ctx, r.ID, database.StateDone, ""))
	require.NoError(t, e.db.Outbox.Fail(ctx, r.ID, "late", ""))
	require.NoError(t, e.db.Outbox.MarkSent(ctx, r.ID))
	got, err = e.db.Outbox.ByID(ctx, r.ID)
	require.NoError(t, err)
	require.Equal(t, database.StateDone, got.State, "a finished row stays finished")
	require.Empty(t, got.Reason)
	require.Empty(t, got.Payload)

	enqueue(t, ctx, e, row("$open", "c:1"))
	e.clock.Advance(time.Hour)
	n, err := e.db.Outbox.Purge(ctx, e.clock.Now())
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	open, err := e.db.Outbox.ByEvent(ctx, "$open")
	require.NoError(t, err)
	require.NotNil(t, open)
}

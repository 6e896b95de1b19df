package databasetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
)

func testOutboxDropping(t *testing.T, ctx context.Context, e *env) {
	queued, begun, sending, parked := row("$queued", "c:1"), row("$begun", "c:1"), row("$sending", "c:1"), row("$parked", "c:2")
	edit := row("$edit", "c:2")
	edit.Kind, edit.TargetEventID = database.KindEdit, "$parked"
	enqueue(t, ctx, e, queued, begun, sending, parked, edit)
	require.NoError(t, e.db.Sent.Begin(ctx, database.SentPart{EventID: "$begun", Portal: "c:1", State: database.StateSending, StartedAt: e.clock.Now()}))
	_, err := e.db.Outbox.MarkSending(ctx, sending)
	require.NoError(t, err)
	for _, r := range []*database.OutboxRow{parked, edit} {
		require.NoError(t, e.db.Outbox.Park(ctx, r.ID, "too large", "it is too large for Teams"))
	}
	backlogs, err := e.other.Outbox.Backlogs(ctx)
	require.NoError(t, err)
	now := e.clock.Now().UnixMilli()
	require.Equal(t, []database.Backlog{
		{Portal: "c:1", Waiting: 3, Oldest: now}, {Portal: "c:2", Parked: 2, LastParked: now},
	}, backlogs)

	for r, want := range map[*database.OutboxRow]bool{queued: true, begun: false, sending: false, parked: true} {
		ok, err := e.db.Outbox.Drop(ctx, r.ID, "dropped", "an administrator dropped it")
		require.NoError(t, err)
		require.Equal(t, want, ok, r.EventID)
		ok, err = e.db.Outbox.Drop(ctx, r.ID, "dropped", "an administrator dropped it")
		require.NoError(t, err)
		require.False(t, ok, "once")
	}
	_, err = e.db.Outbox.MarkSending(ctx, begun)
	require.NoError(t, err)
	n, err := e.db.Outbox.RequeueUnbegun(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 1, n, "of the other one a part was begun")
	got, err := e.other.Outbox.ByEvent(ctx, sending.EventID)
	require.NoError(t, err)
	require.Equal(t, database.StateQueued, got.State)

	untold, err := e.other.Outbox.Untold(ctx, 0, 10)
	require.NoError(t, err)
	require.Len(t, untold, 3)
	untold, err = e.other.Outbox.Untold(ctx, queued.ID, 10)
	require.NoError(t, err)
	require.Len(t, untold, 2)

	waiting, err := e.other.Outbox.ParkedFor(ctx, "too large", time.Time{}, 0, 10)
	require.NoError(t, err)
	require.Len(t, waiting, 1)
	require.Equal(t, edit.ID, waiting[0].ID)
	for _, none := range []struct {
		reason string
		since  time.Time
		after  int64
	}{{"another reason", time.Time{}, 0}, {"too large", time.Time{}, edit.ID}, {"too large", e.clock.Now().Add(time.Second), 0}} {
		waiting, err = e.other.Outbox.ParkedFor(ctx, none.reason, none.since, none.after, 10)
		require.NoError(t, err)
		require.Empty(t, waiting)
	}
	newer, err := e.other.Outbox.HasNewerEdit(ctx, &database.OutboxRow{ID: edit.ID - 1, TargetEventID: edit.TargetEventID})
	require.NoError(t, err)
	require.False(t, newer, "it is parked")

	n, err = e.db.Outbox.RequeueFollowers(ctx, "$parked")
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	next, err := e.other.Outbox.Next(ctx, "c:2")
	require.NoError(t, err)
	require.Equal(t, "$edit", next.EventID)
	ok, err := e.db.Outbox.MarkSending(ctx, edit)
	require.NoError(t, err)
	require.True(t, ok)
	newer, err = e.other.Outbox.HasNewerEdit(ctx, &database.OutboxRow{ID: edit.ID - 1, TargetEventID: edit.TargetEventID})
	require.NoError(t, err)
	require.True(t, newer)

	require.NoError(t, e.db.Outbox.Park(ctx, edit.ID, "too large", "it is too large for Teams"))
	require.NoError(t, e.db.Outbox.Told(ctx, edit.ID, "too large", e.clock.Now()))
	e.clock.Advance(time.Hour)
	purged, err := e.db.Outbox.Purge(ctx, e.clock.Now())
	require.NoError(t, err)
	require.Zero(t, purged, "neither what is parked goes, nor what nobody was told of")
	require.NoError(t, e.db.Outbox.Told(ctx, queued.ID, "dropped", untold[0].DoneAt))
	purged, err = e.db.Outbox.Purge(ctx, e.clock.Now())
	require.NoError(t, err)
	require.EqualValues(t, 1, purged)
}

func testOutboxMarks(t *testing.T, ctx context.Context, e *env) {
	a, b, c := row("$a", "c:1"), row("$b", "c:1"), row("$c", "c:1")
	reaction := row("$r", "c:1")
	reaction.Kind = database.KindReaction
	enqueue(t, ctx, e, a, b, c, reaction)
	newest, err := e.other.Outbox.Newest(ctx, "c:1", 2)
	require.NoError(t, err)
	require.Len(t, newest, 2)
	require.Equal(t, []string{"$c", "$b"}, []string{newest[0].EventID, newest[1].EventID})

	for _, r := range []*database.OutboxRow{a, b} {
		ok, err := e.db.Outbox.SetMark(ctx, r.ID, "?1")
		require.NoError(t, err)
		require.True(t, ok)
	}
	require.NoError(t, e.db.Outbox.ReplaceMark(ctx, a.ID, "?1", "$mark"))
	require.NoError(t, e.db.Outbox.ReplaceMark(ctx, b.ID, "?0", "$other"))
	require.NoError(t, e.db.Outbox.Finish(ctx, a.ID, database.StateDone, ""))
	marked, err := e.other.Outbox.Marked(ctx, "c:1")
	require.NoError(t, err)
	require.Len(t, marked, 2, "also of what is done")
	require.Equal(t, []string{"$mark", "?1"}, []string{marked[0].Mark, marked[1].Mark})
	portals, err := e.other.Outbox.MarkedPortals(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"c:1"}, portals)
	e.clock.Advance(time.Hour)
	purged, err := e.db.Outbox.Purge(ctx, e.clock.Now())
	require.NoError(t, err)
	require.Zero(t, purged, "a mark is not forgotten while the room shows it")

	ok, err := e.db.Outbox.SetMark(ctx, a.ID, "?2")
	require.NoError(t, err)
	require.False(t, ok, "what is done is not marked")
	require.NoError(t, e.db.Outbox.MarkSent(ctx, c.ID))
	ok, err = e.db.Outbox.SetMark(ctx, c.ID, "?2")
	require.NoError(t, err)
	require.False(t, ok)
}

func testInboxDropping(t *testing.T, ctx context.Context, e *env) {
	for _, messageID := range []string{"1", "2"} {
		_, err := e.db.Inbox.Accept(ctx, []database.InboxRow{{Portal: "c:1", MessageID: messageID, Version: 1, Payload: []byte("{}"), CreatedAt: e.clock.Now()}})
		require.NoError(t, err)
		require.NoError(t, e.db.Inbox.Park(ctx, "c:1", messageID, 1, "refused"))
	}
	ok, err := e.db.Inbox.DropParked(ctx, "c:1", "1", "dropped")
	require.NoError(t, err)
	require.True(t, ok)
	ok, err = e.db.Inbox.UnparkOne(ctx, "c:1", "1")
	require.NoError(t, err)
	require.False(t, ok, "what was dropped is not parked any more")
	ok, err = e.db.Inbox.UnparkOne(ctx, "c:1", "2")
	require.NoError(t, err)
	require.True(t, ok)
	ok, err = e.db.Inbox.DropParked(ctx, "c:1", "2", "dropped")
	require.NoError(t, err)
	require.False(t, ok)
	n, err := e.db.Inbox.Accept(ctx, []database.InboxRow{{Portal: "c:1", MessageID: "1", Version: 1, Payload: []byte("{}")}})
	require.NoError(t, err)
	require.Zero(t, n, "reading it again does not bring it back")
	n, err = e.db.Inbox.Accept(ctx, []database.InboxRow{{Portal: "c:1", MessageID: "1", Version: 2, Payload: []byte("{}")}})
	require.NoError(t, err)
	require.Equal(t, 1, n, "a newer version is news")
}

// An edit that is put back goes before a newer one that is not taken yet, and not
// at all where that is on its way.
func testOutboxOvertaken(t *testing.T, ctx context.Context, e *env) {
	var edits []*database.OutboxRow
	for _, name := range []string{"$first", "$second", "$third"} {
		edit := row(name, "c:1")
		edit.Kind, edit.TargetEventID = database.KindEdit, "$message"
		edits = append(edits, edit)
	}
	enqueue(t, ctx, e, edits...)
	first, second, third := edits[0], edits[1], edits[2]
	require.NoError(t, e.db.Outbox.Park(ctx, first.ID, "refused", "Teams refused it"))
	next, err := e.db.Outbox.Next(ctx, "c:1")
	require.NoError(t, err)
	require.Equal(t, second.EventID, next.EventID, "the lane has it in hand")

	back, err := e.db.Outbox.Requeue(ctx, first.ID, time.Time{})
	require.NoError(t, err)
	require.True(t, back)
	ok, err := e.db.Outbox.MarkSending(ctx, second)
	require.NoError(t, err)
	require.False(t, ok, "the lane has to look again")
	ok, err = e.db.Outbox.MarkSending(ctx, first)
	require.NoError(t, err)
	require.True(t, ok)

	require.NoError(t, e.db.Outbox.Park(ctx, first.ID, "refused", "Teams refused it"))
	ok, err = e.db.Outbox.MarkSending(ctx, second)
	require.NoError(t, err)
	require.True(t, ok)
	for _, state := range []string{database.StateSending, database.StateDone} {
		back, err = e.db.Outbox.Requeue(ctx, first.ID, time.Time{})
		require.NoError(t, err)
		require.False(t, back, state)
		n, err := e.db.Outbox.RequeueFollowers(ctx, "$message")
		require.NoError(t, err)
		require.Zero(t, n, state)
		require.NoError(t, e.db.Outbox.Finish(ctx, second.ID, database.StateDone, ""))
	}
	require.NoError(t, e.db.Outbox.Park(ctx, third.ID, "refused", "Teams refused it"))
	n, err := e.db.Outbox.RequeueFollowers(ctx, "$message")
	require.NoError(t, err)
	require.EqualValues(t, 1, n, "the newest one")
}

package databasetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
)

func testOutboxParking(t *testing.T, ctx context.Context, e *env) {
	a, b := row("$a", "c:1/x"), row("$b", "c:1/x")
	for _, r := range []*database.OutboxRow{a, b} {
		_, err := e.db.Outbox.Enqueue(ctx, r)
		require.NoError(t, err)
	}
	require.NoError(t, e.db.Outbox.Park(ctx, a.ID, "too large", "it is too large for Teams"))
	next, err := e.other.Outbox.Next(ctx, "c:1/x")
	require.NoError(t, err)
	require.Equal(t, "$b", next.EventID, "nothing waits for a parked row")
	parked, err := e.other.Outbox.ByID(ctx, a.ID)
	require.NoError(t, err)
	require.Equal(t, a.Payload, parked.Payload, "it can be sent again")
	require.Equal(t, "it is too large for Teams", parked.Detail)
	untold, err := e.other.Outbox.Untold(ctx, 0, 10)
	require.NoError(t, err)
	require.Len(t, untold, 1)
	for _, other := range []struct {
		reason string
		doneAt time.Time
	}{{"too old", parked.DoneAt}, {"too large", parked.DoneAt.Add(-time.Second)}} {
		require.NoError(t, e.db.Outbox.Told(ctx, a.ID, other.reason, other.doneAt))
		untold, err = e.db.Outbox.Untold(ctx, 0, 10)
		require.NoError(t, err)
		require.Len(t, untold, 1, "that was told of another end")
	}
	require.NoError(t, e.db.Outbox.Told(ctx, a.ID, "too large", parked.DoneAt))
	untold, err = e.db.Outbox.Untold(ctx, 0, 10)
	require.NoError(t, err)
	require.Empty(t, untold)
	stats, err := e.db.Outbox.Stats(ctx)
	require.NoError(t, err)
	require.Equal(t, map[string]int{database.StateParked: 1, database.StateQueued: 1}, stats.ByState)

	ok, err := e.db.Outbox.Requeue(ctx, a.ID, time.Time{})
	require.NoError(t, err)
	require.True(t, ok)
	next, err = e.other.Outbox.Next(ctx, "c:1/x")
	require.NoError(t, err)
	require.Equal(t, "$a", next.EventID, "at its old place")
	ok, err = e.db.Outbox.Requeue(ctx, a.ID, time.Time{})
	require.NoError(t, err)
	require.False(t, ok)

	require.NoError(t, e.db.Outbox.Fail(ctx, a.ID, "dropped", "an administrator dropped it"))
	require.NoError(t, e.db.Outbox.Fail(ctx, b.ID, "policy", ""))
	untold, err = e.db.Outbox.Untold(ctx, 0, 10)
	require.NoError(t, err)
	require.Len(t, untold, 1, "without a detail nobody is told")
	require.Equal(t, "$a", untold[0].EventID)
	require.Empty(t, untold[0].Payload)
	last, err := e.db.Outbox.LastID(ctx)
	require.NoError(t, err)
	require.Equal(t, b.ID, last)
	stats, err = e.db.Outbox.RangeStats(ctx, "", a.ID, 0)
	require.NoError(t, err)
	require.Equal(t, map[string]int{database.StateFailed: 2}, stats.ByState)
	stats, err = e.db.Outbox.RangeStats(ctx, "c:1/x", b.ID, b.ID)
	require.NoError(t, err)
	require.Equal(t, map[string]int{database.StateFailed: 1}, stats.ByState)
	portals, err := e.db.Outbox.RangePortals(ctx, a.ID, 0)
	require.NoError(t, err)
	require.Equal(t, []string{"c:1/x"}, portals)
}

func testHolds(t *testing.T, ctx context.Context, e *env) {
	h := database.Hold{Scope: "t:team", Kind: database.HoldDrill, Reason: "rehearsal", By: "@op:x", Began: e.clock.Now(), Until: e.clock.Now().Add(time.Hour)}
	require.NoError(t, e.db.Holds.Set(ctx, h))
	require.NoError(t, e.db.Holds.Set(ctx, database.Hold{Kind: database.HoldPause, Began: e.clock.Now()}))
	h.Reason = "longer rehearsal"
	require.NoError(t, e.db.Holds.Set(ctx, h))
	all, err := e.other.Holds.All(ctx)
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Contains(t, all, h)
	ok, err := e.db.Holds.Clear(ctx, "t:team", database.HoldDrill, e.clock.Now())
	require.NoError(t, err)
	require.True(t, ok)
	ok, err = e.db.Holds.Clear(ctx, "t:team", database.HoldDrill, e.clock.Now())
	require.NoError(t, err)
	require.False(t, ok)

	require.True(t, h.Covers("c:team/19:x"))
	require.False(t, h.Covers("c:team2/19:x"))
	require.True(t, database.Hold{}.Covers("c:any/19:x"))
	require.True(t, database.Hold{Scope: "c:team/19:x"}.Covers("c:team/19:x"))
	require.False(t, database.Hold{Scope: "c:team/19:x"}.Covers("c:team/19:xy"))
}

// Letting a queue go tells what waits in it, and nothing else.
func testHeldUntil(t *testing.T, ctx context.Context, e *env) {
	enqueue(t, ctx, e, row("$a", "c:team/a"), row("$b", "c:team/b"), row("$c", "c:team2/a"), row("$sent", "c:team/a"))
	sent, err := e.db.Outbox.ByEvent(ctx, "$sent")
	require.NoError(t, err)
	require.NoError(t, e.db.Outbox.MarkSent(ctx, sent.ID))
	heldUntil := func(event string) time.Time {
		r, err := e.other.Outbox.ByEvent(ctx, event)
		require.NoError(t, err)
		return r.HeldUntil
	}
	clearAt := func(scope, kind string, at time.Time) {
		require.NoError(t, e.db.Holds.Set(ctx, database.Hold{Scope: scope, Kind: kind}))
		ok, err := e.db.Holds.Clear(ctx, scope, kind, at)
		require.NoError(t, err)
		require.True(t, ok)
	}
	at := e.clock.Now().Add(time.Hour)
	clearAt("", database.HoldOutage, at)
	require.Zero(t, heldUntil("$a"), "an outage is what an age limit is for")
	clearAt("c:team/a", database.HoldPause, at)
	require.Equal(t, at, heldUntil("$a"))
	require.Zero(t, heldUntil("$b"))
	require.Zero(t, heldUntil("$sent"))
	clearAt("t:team", database.HoldDrill, at.Add(-time.Minute))
	require.Equal(t, at, heldUntil("$a"), "the later one counts")
	require.Equal(t, at.Add(-time.Minute), heldUntil("$b"))
	require.Zero(t, heldUntil("$c"))
	clearAt("", database.HoldPause, at)
	require.Equal(t, at, heldUntil("$c"))
	ok, err := e.db.Holds.Clear(ctx, "", database.HoldPause, at.Add(time.Hour))
	require.NoError(t, err)
	require.False(t, ok)
	require.Equal(t, at, heldUntil("$c"), "there was no such hold")
}

func testOutageSpans(t *testing.T, ctx context.Context, e *env) {
	o := &database.Outage{Kind: database.OutageDetected, Scope: "t:1", Began: e.clock.Now()}
	require.NoError(t, e.db.Outages.Begin(ctx, o))
	began := e.clock.Now()
	spans := func() []database.OutageSpan {
		all, err := e.other.Outages.Spans(ctx, database.SpanWrite, 10)
		require.NoError(t, err)
		return all
	}
	require.NoError(t, e.db.Outages.Block(ctx, o.ID, database.SpanWrite, began))
	require.NoError(t, e.db.Outages.Block(ctx, o.ID, database.SpanWrite, began.Add(time.Minute)))
	require.Equal(t, []database.OutageSpan{{OutageID: o.ID, Scope: "t:1", From: began}}, spans(), "it goes on")
	over := began.Add(time.Hour)
	require.NoError(t, e.db.Outages.Unblock(ctx, o.ID, database.SpanWrite, over))
	require.NoError(t, e.db.Outages.Unblock(ctx, o.ID, database.SpanWrite, over.Add(time.Hour)))
	first := database.OutageSpan{OutageID: o.ID, Scope: "t:1", From: began, To: over}
	require.Equal(t, []database.OutageSpan{first}, spans(), "it was over")
	require.NoError(t, e.db.Outages.Block(ctx, o.ID, database.SpanWrite, began))
	require.Equal(t, []database.OutageSpan{{OutageID: o.ID, Scope: "t:1", From: over}, first}, spans(), "what was over stays over")

	require.NoError(t, e.db.Outages.Block(ctx, o.ID, database.SpanRead, began))
	require.Len(t, spans(), 2, "reading is another matter")

	said := func(event, came time.Duration) *database.OutboxRow {
		return &database.OutboxRow{Portal: "c:1/a", EventAt: began.Add(event), CreatedAt: began.Add(came)}
	}
	require.True(t, first.Has(said(0, time.Second)))
	require.True(t, first.Has(said(2*time.Hour, time.Second)), "a wrong clock")
	require.False(t, first.Has(said(-time.Second, time.Second)), "before")
	require.False(t, first.Has(said(time.Minute, time.Hour)), "came when it was over")
	require.False(t, first.Has(&database.OutboxRow{Portal: "c:2/a", EventAt: began, CreatedAt: began}))

	o.Drained = over
	require.NoError(t, e.db.Outages.Update(ctx, o))
	require.NoError(t, e.db.Outages.Purge(ctx, over.Add(time.Second)))
	require.Empty(t, spans())
}

func testLateRooms(t *testing.T, ctx context.Context, e *env) {
	o := &database.Outage{Kind: database.OutageDetected, Began: e.clock.Now()}
	require.NoError(t, e.db.Outages.Begin(ctx, o))
	began := e.clock.Now()
	require.NoError(t, e.db.Outages.Block(ctx, o.ID, database.SpanRead, began))
	at := func(minutes int) time.Time { return began.Add(time.Duration(minutes) * time.Minute) }
	arrive := func(portal, id string, written, received time.Time) {
		accept(t, ctx, e, 1, database.InboxRow{Portal: portal, MessageID: id, RootID: id, Version: 1, CreatedAt: written, ReceivedAt: received, Source: "export"})
		require.NoError(t, e.db.Inbox.Delivered(ctx, portal, id, 1))
	}
	arrive("c:1", "before", at(-5), at(20))
	arrive("c:1", "just-before", at(0).Add(-30*time.Second), at(20))
	arrive("c:1", "within", at(5), at(20))
	arrive("c:1", "told", at(5), at(5))
	arrive("c:2", "after", at(11), at(20))
	arrive("c:2", "soon", at(10).Add(-time.Second), at(10).Add(time.Second))
	accept(t, ctx, e, 1, database.InboxRow{Portal: "c:3", MessageID: "pending", Version: 1, CreatedAt: at(5), ReceivedAt: at(20)})
	arrive("c:4", "own", at(5), at(20))
	part := database.SentPart{EventID: "$own", Portal: "c:4", State: database.StateSending, StartedAt: at(5)}
	require.NoError(t, e.db.Sent.Begin(ctx, part))
	require.NoError(t, e.db.Sent.Confirm(ctx, "$own", 0, "own", ""))
	// What came in time is not late because it was edited or reacted to later.
	arrive("c:5", "changed", at(5), at(5))
	changed := database.InboxRow{Portal: "c:5", MessageID: "changed", Version: 2, CreatedAt: at(5), ReceivedAt: at(20)}
	accept(t, ctx, e, 1, changed)
	late := func() []database.LateRoom {
		all, err := e.other.Inbox.LateRooms(ctx, o.ID, time.Minute, time.Minute)
		require.NoError(t, err)
		return all
	}
	require.Empty(t, late(), "it goes on")
	require.NoError(t, e.db.Outages.Unblock(ctx, o.ID, database.SpanRead, at(10)))
	require.Equal(t, []database.LateRoom{{Portal: "c:1", Count: 2}, {Portal: "c:3", Count: 1, Pending: 1}}, late())

	require.NoError(t, e.db.Inbox.Delivered(ctx, "c:5", "changed", 2))
	// What came late has come, even if a change of it has not yet.
	accept(t, ctx, e, 1, database.InboxRow{Portal: "c:1", MessageID: "within", Version: 2, CreatedAt: at(5), ReceivedAt: at(20).Add(time.Second)})
	require.Equal(t, []database.LateRoom{{Portal: "c:1", Count: 2}, {Portal: "c:3", Count: 1, Pending: 1}}, late())

	// It goes on again: what was told is not told again.
	require.NoError(t, e.db.Outages.TellRoom(ctx, database.OutageRoom{OutageID: o.ID, Portal: "c:1", EndedTold: at(21)}))
	require.NoError(t, e.db.Outages.Resume(ctx, o))
	require.Equal(t, []database.LateRoom{{Portal: "c:3", Count: 1, Pending: 1}}, late())
	require.NoError(t, e.db.Outages.Block(ctx, o.ID, database.SpanRead, at(22)))
	require.NoError(t, e.db.Outages.Unblock(ctx, o.ID, database.SpanRead, at(30)))
	arrive("c:1", "again", at(25), at(31))
	accept(t, ctx, e, 1, database.InboxRow{Portal: "c:1", MessageID: "just-before", Version: 3, CreatedAt: at(0).Add(-30 * time.Second), ReceivedAt: at(31)})
	require.Equal(t, []database.LateRoom{{Portal: "c:1", Count: 1}, {Portal: "c:3", Count: 1, Pending: 1}}, late())
}

func testOutages(t *testing.T, ctx context.Context, e *env) {
	o := &database.Outage{Kind: database.OutageDetected, Cause: "teams-down", Detail: "Teams does not answer", Began: e.clock.Now(), FirstRow: 7}
	require.NoError(t, e.db.Outages.Begin(ctx, o))
	require.NotZero(t, o.ID)
	open, err := e.other.Outages.Open(ctx)
	require.NoError(t, err)
	require.Equal(t, []*database.Outage{o}, open)
	room := database.OutageRoom{OutageID: o.ID, Portal: "c:1/x", BeganTold: e.clock.Now()}
	require.NoError(t, e.db.Outages.TellRoom(ctx, room))
	room.EndedTold = e.clock.Now().Add(time.Minute)
	require.NoError(t, e.db.Outages.TellRoom(ctx, room))
	rooms, err := e.other.Outages.Rooms(ctx, o.ID)
	require.NoError(t, err)
	require.Equal(t, []database.OutageRoom{room}, rooms)
	o.Kind, o.By, o.FirstRow, o.Resumed = database.OutageDeclared, "@op:x", 6, e.clock.Now().Add(time.Minute)
	require.NoError(t, e.db.Outages.Resume(ctx, o))
	rooms, err = e.other.Outages.Rooms(ctx, o.ID)
	require.NoError(t, err)
	require.Equal(t, []database.OutageRoom{{OutageID: o.ID, Portal: "c:1/x", GapTold: room.EndedTold}}, rooms, "it is to be told again")
	room.EndedTold, room.GapTold = time.Time{}, room.EndedTold
	require.NoError(t, e.db.Outages.TellRoom(ctx, room))
	require.NoError(t, e.db.Outages.Resume(ctx, o))
	rooms, err = e.other.Outages.Rooms(ctx, o.ID)
	require.NoError(t, err)
	require.Equal(t, []database.OutageRoom{room}, rooms, "whoever knows of the beginning alone is not told again")
	e.clock.Advance(time.Hour)
	o.Ended, o.LastRow, o.Cause = e.clock.Now(), 12, "sign-in-down"
	require.NoError(t, e.db.Outages.Update(ctx, o))
	open, err = e.other.Outages.Open(ctx)
	require.NoError(t, err)
	require.Equal(t, []*database.Outage{o}, open, "open until its queue is empty")
	o.Drained, o.Report = e.clock.Now(), "5 messages"
	require.NoError(t, e.db.Outages.Update(ctx, o))
	open, err = e.other.Outages.Open(ctx)
	require.NoError(t, err)
	require.Empty(t, open)
	recent, err := e.other.Outages.Recent(ctx, 5)
	require.NoError(t, err)
	require.Equal(t, []*database.Outage{o}, recent)
	require.NoError(t, e.db.Outages.Purge(ctx, e.clock.Now().Add(time.Second)))
	recent, err = e.db.Outages.Recent(ctx, 5)
	require.NoError(t, err)
	require.Empty(t, recent)
	rooms, err = e.db.Outages.Rooms(ctx, o.ID)
	require.NoError(t, err)
	require.Empty(t, rooms)
}

func testOutboxRange(t *testing.T, ctx context.Context, e *env) {
	since := e.clock.Now()
	add := func(event, portal, kind string) int64 {
		r := row(event, portal)
		r.Kind, r.CreatedAt = kind, e.clock.Now()
		_, err := e.db.Outbox.Enqueue(ctx, r)
		require.NoError(t, err)
		return r.ID
	}
	before := add("$0", "c:1/x", database.KindMessage)
	e.clock.Advance(time.Minute)
	a, b := add("$a", "c:1/x", database.KindMessage), add("$b", "c:1/x", database.KindReaction)
	c := add("$c", "c:1/y", database.KindMessage)
	strings := func(got []string, err error) []string {
		t.Helper()
		require.NoError(t, err)
		return got
	}
	require.Equal(t, []string{"c:1/x", "c:1/y"}, strings(e.other.Outbox.RangeOpen(ctx, a, c)))
	require.Equal(t, []string{"c:1/x"}, strings(e.other.Outbox.RangeOpen(ctx, a, b)))
	require.Equal(t, []string{"c:1/x", "c:1/y"}, strings(e.other.Outbox.WaitingPortals(ctx, a, e.clock.Now())))
	require.Empty(t, strings(e.other.Outbox.WaitingPortals(ctx, a, e.clock.Now().Add(-time.Second))))
	require.Equal(t, []string{"c:1/x"}, strings(e.other.Outbox.WaitingPortals(ctx, before, e.clock.Now().Add(-time.Second))))
	for from, want := range map[time.Time]int64{since: before, since.Add(time.Second): a, e.clock.Now().Add(time.Second): 0} {
		oldest, err := e.other.Outbox.OldestSince(ctx, from)
		require.NoError(t, err)
		require.Equal(t, want, oldest)
	}
	e.clock.Advance(time.Minute)
	require.NoError(t, e.db.Outbox.MarkSent(ctx, c))
	require.Equal(t, []string{"c:1/x"}, strings(e.other.Outbox.WaitingPortals(ctx, a, e.clock.Now())), "Teams has it")
	require.Equal(t, []string{"c:1/x", "c:1/y"}, strings(e.other.Outbox.RangeOpen(ctx, a, 0)), "the room does not show it")
	require.NoError(t, e.db.Outbox.Finish(ctx, a, database.StateDone, ""))
	require.NoError(t, e.db.Outbox.Park(ctx, b, "not an emoji", "it is none"))
	counts, err := e.other.Outbox.RangeCounts(ctx, "", a, c)
	require.NoError(t, err)
	require.Equal(t, []database.RangeCount{
		{Portal: "c:1/x", Kind: database.KindMessage, State: database.StateDone, Count: 1, LastDone: e.clock.Now()},
		{Portal: "c:1/x", Kind: database.KindReaction, State: database.StateParked, Reason: "not an emoji", Count: 1, LastDone: e.clock.Now()},
		{Portal: "c:1/y", Kind: database.KindMessage, State: database.StateSent, Count: 1},
	}, counts)
	counts, err = e.other.Outbox.RangeCounts(ctx, "c:1/y", before, 0)
	require.NoError(t, err)
	require.Len(t, counts, 1)
}

func testInboxGap(t *testing.T, ctx context.Context, e *env) {
	began := e.clock.Now()
	write := func(id string, at time.Time) database.InboxRow {
		return database.InboxRow{Portal: "c:1/x", MessageID: id, RootID: id, Version: 1, CreatedAt: at, ReceivedAt: at, Source: "webhook"}
	}
	ended := began.Add(time.Hour)
	_, err := e.db.Inbox.Accept(ctx, []database.InboxRow{write("before", began.Add(-time.Second)), write("in", began.Add(time.Minute)),
		write("seen", began.Add(time.Minute)), write("own", began.Add(2*time.Minute)), write("after", ended.Add(time.Second))})
	require.NoError(t, err)
	require.NoError(t, e.db.Inbox.Delivered(ctx, "c:1/x", "seen", 1))
	part := database.SentPart{EventID: "$e", Portal: "c:1/x", TeamID: "1", ChannelID: "x", AccountID: "a"}
	require.NoError(t, e.db.Sent.Begin(ctx, part))
	require.NoError(t, e.db.Sent.Confirm(ctx, "$e", 0, "own", ""))
	pending, err := e.other.Inbox.PendingUntil(ctx, "c:1/x", ended)
	require.NoError(t, err)
	require.Equal(t, 3, pending)
	e.clock.Advance(time.Hour)
	for _, id := range []string{"before", "in", "own", "after"} {
		require.NoError(t, e.db.Inbox.Delivered(ctx, "c:1/x", id, 1))
	}
	seen := write("seen", began.Add(time.Minute))
	seen.Version = 2
	accept(t, ctx, e, 1, seen)
	require.NoError(t, e.db.Inbox.Delivered(ctx, "c:1/x", "seen", 2))
	late, err := e.other.Inbox.Late(ctx, "c:1/x", began, ended, ended)
	require.NoError(t, err)
	require.Equal(t, 1, late, "what was edited since was there before")
}

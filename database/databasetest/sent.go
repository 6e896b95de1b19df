package databasetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
)

func testSent(t *testing.T, ctx context.Context, e *env) {
	part := database.SentPart{
		EventID: "$a", Part: 1, Portal: "c:1", TeamID: "t", ChannelID: "c", RootID: "", AccountID: "acc", Fingerprint: "f", Attachment: "guid", ContentHash: "look.bytes",
	}
	require.NoError(t, e.db.Sent.Begin(ctx, part))
	require.ErrorIs(t, e.other.Sent.Begin(ctx, part), database.ErrInDoubt)
	doubt, err := e.other.Sent.InDoubt(ctx, "c:1")
	require.NoError(t, err)
	want := part
	want.State, want.StartedAt = database.StateSending, e.clock.Now()
	require.Equal(t, []database.SentPart{want}, doubt)
	doubt, err = e.db.Sent.InDoubt(ctx, "c:2")
	require.NoError(t, err)
	require.Empty(t, doubt)
	began := e.clock.Now()
	require.NoError(t, e.db.Sent.Doubt(ctx, "$a", 1, began))
	require.NoError(t, e.other.Sent.Doubt(ctx, "$a", 1, began.Add(time.Hour)))
	doubt, err = e.db.Sent.InDoubt(ctx, "c:1")
	require.NoError(t, err)
	require.Equal(t, began, doubt[0].DoubtAt, "the first time counts")
	none, err := e.db.Sent.ByRemote(ctx, "c:1", "")
	require.NoError(t, err)
	require.Nil(t, none, "a part in doubt is no message")

	require.NoError(t, e.db.Sent.Abort(ctx, "$a", 1))
	require.NoError(t, e.db.Sent.Begin(ctx, part))
	e.clock.Advance(time.Second)
	require.NoError(t, e.db.Sent.Confirm(ctx, "$a", 1, "123", "100"))
	require.NoError(t, e.db.Sent.Confirm(ctx, "$a", 1, "123", "100"), "the answer and the echo both confirm")
	require.ErrorIs(t, e.db.Sent.Confirm(ctx, "$a", 1, "124", "100"), database.ErrClaimed)
	require.ErrorIs(t, e.db.Sent.Begin(ctx, part), database.ErrAlreadySent)
	require.NoError(t, e.db.Sent.Abort(ctx, "$a", 1), "a confirmed part is not aborted")
	got, err := e.db.Sent.ByRemote(ctx, "c:1", "123")
	require.NoError(t, err)
	want.State, want.RemoteID, want.RootID, want.SentAt = database.StateSent, "123", "100", e.clock.Now()
	require.Equal(t, &want, got)
	other, err := e.db.Sent.ByRemote(ctx, "c:2", "123")
	require.NoError(t, err)
	require.Nil(t, other, "message ids are per channel")

	// Two equal messages in doubt never become the same Teams message.
	twin := part
	twin.EventID, twin.Part = "$b", 0
	require.NoError(t, e.db.Sent.Begin(ctx, twin))
	require.ErrorIs(t, e.db.Sent.Confirm(ctx, "$b", 0, "123", ""), database.ErrClaimed)
	require.NoError(t, e.db.Sent.Confirm(ctx, "$b", 0, "125", ""))
	inOther := part
	inOther.EventID, inOther.Portal = "$c", "c:2"
	require.NoError(t, e.db.Sent.Begin(ctx, inOther))
	require.NoError(t, e.db.Sent.Confirm(ctx, "$c", 1, "123", ""))

	require.NoError(t, e.db.Sent.SetDeleted(ctx, "$a", 1, true))
	got, err = e.db.Sent.ByRemote(ctx, "c:1", "123")
	require.NoError(t, err)
	require.Equal(t, database.PartDeleted, got.State)
	require.NoError(t, e.db.Sent.Confirm(ctx, "$a", 1, "123", "100"))
	require.NoError(t, e.db.Sent.SetDeleted(ctx, "$a", 1, false))
	parts, err := e.db.Sent.ByEvent(ctx, "$a")
	require.NoError(t, err)
	require.Equal(t, []database.SentPart{want}, parts)
	require.ErrorIs(t, e.db.Sent.Confirm(ctx, "$unknown", 0, "1", ""), database.ErrClaimed)
}

// testSentUnfinished: somebody finds out about a part while its message, its digest
// or a change of its message is under way.
func testSentUnfinished(t *testing.T, ctx context.Context, e *env) {
	part := database.SentPart{EventID: "$a", Part: 1, Portal: "c:1"}
	is := func(want bool) {
		t.Helper()
		got, err := e.db.Sent.IsUnfinished(ctx, part)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	is(false)
	message := row("$a", "c:1")
	enqueue(t, ctx, e, message)
	is(true)
	require.NoError(t, e.db.Outbox.Finish(ctx, message.ID, database.StateDone, ""))
	is(false)
	for _, kind := range []string{database.KindEdit, database.KindDelete, database.KindReaction} {
		change := row("$"+kind, "c:1")
		change.Kind, change.TargetEventID = kind, "$a"
		enqueue(t, ctx, e, change)
		is(kind != database.KindReaction)
		require.NoError(t, e.db.Outbox.Finish(ctx, change.ID, database.StateDone, ""))
		is(false)
	}
}

func testSentReactions(t *testing.T, ctx context.Context, e *env) {
	a := database.SentReaction{EventID: "$a", Portal: "c:1", TargetID: "1", Emoji: "👍", AccountID: "relay", SenderMXID: "@a:b"}
	b, c := a, a
	b.EventID, b.SenderMXID = "$b", "@b:b"
	c.EventID, c.Emoji = "$c", "❤️"
	for _, r := range []database.SentReaction{a, b, c, a} {
		require.NoError(t, e.db.SentReactions.Add(ctx, r))
	}
	n, err := e.db.SentReactions.CountOthers(ctx, a)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	got, err := e.db.SentReactions.ByEvent(ctx, "$a")
	require.NoError(t, err)
	a.SentAt = e.clock.Now()
	require.Equal(t, &a, got)
	all, err := e.db.SentReactions.ByTarget(ctx, "c:1", "1")
	require.NoError(t, err)
	require.Len(t, all, 3)
	require.NoError(t, e.db.SentReactions.Remove(ctx, "$b"))
	require.NoError(t, e.db.SentReactions.Remove(ctx, "$b"))
	n, err = e.db.SentReactions.CountOthers(ctx, a)
	require.NoError(t, err)
	require.Zero(t, n)
	none, err := e.db.SentReactions.ByEvent(ctx, "$b")
	require.NoError(t, err)
	require.Nil(t, none)
}

package databasetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
)

func testDigests(t *testing.T, ctx context.Context, e *env) {
	for _, id := range []string{"$a", "$b", "$c"} {
		enqueue(t, ctx, e, row(id, "c:1"))
	}
	n, err := e.db.Outbox.CountQueued(ctx, "c:1")
	require.NoError(t, err)
	require.Equal(t, 3, n)
	d := database.Digest{ID: "~digest:1", Portal: "c:1", Head: "<p>head</p>", Notice: "told", Created: e.clock.Now()}
	taken, err := e.db.Digests.Take(ctx, d.ID, "c:1", database.KindMessage, 2)
	require.NoError(t, err)
	require.Len(t, taken, 2)
	require.Equal(t, []string{"$a", "$b"}, []string{taken[0].EventID, taken[1].EventID})
	require.Equal(t, d.ID, taken[0].Digest)
	entries := []database.DigestEntry{
		{EventID: "$a", DigestID: d.ID, Position: 0, Part: 1, HTML: "<p>a</p>"},
		{EventID: "$b", DigestID: d.ID, Position: 1, Part: 2, HTML: "<p>b</p>", Reactions: "[]"},
	}
	for i := range 150 {
		entries = append(entries, database.DigestEntry{EventID: fmt.Sprintf("$m%d", i), DigestID: d.ID, Position: 2 + i, Part: 3})
	}
	require.NoError(t, e.db.DoTxn(ctx, nil, func(ctx context.Context) error { return e.db.Digests.Plan(ctx, d, entries) }))
	open, err := e.other.Digests.Open(ctx)
	require.NoError(t, err)
	require.Equal(t, []database.Digest{d}, open)
	all, err := e.other.Digests.Entries(ctx, d.ID, -1)
	require.NoError(t, err)
	require.Equal(t, entries, all)
	one, err := e.db.Digests.Entries(ctx, d.ID, 1)
	require.NoError(t, err)
	require.Equal(t, entries[:1], one)

	// What a digest says stays as it is.
	a, err := e.db.Outbox.ByEvent(ctx, "$a")
	require.NoError(t, err)
	ok, err := e.db.Outbox.ReplacePayload(ctx, a.ID, []byte("{}"))
	require.NoError(t, err)
	require.False(t, ok)
	ok, err = e.db.Outbox.Cancel(ctx, a.ID, "deleted")
	require.NoError(t, err)
	require.False(t, ok)
	more, err := e.db.Digests.Take(ctx, "~digest:2", "c:1", database.KindMessage, 10)
	require.NoError(t, err)
	require.Len(t, more, 1)
	require.Equal(t, "$c", more[0].EventID, "nothing is in two digests")
	require.NoError(t, e.db.Digests.Leave(ctx, more[0].ID))
	ok, err = e.db.Outbox.Cancel(ctx, more[0].ID, "deleted")
	require.NoError(t, err)
	require.True(t, ok)

	changed := entries[1]
	changed.HTML, changed.Deleted, changed.Reactions = "", true, "x"
	require.NoError(t, e.db.Digests.Change(ctx, changed))
	got, err := e.other.Digests.ByEvent(ctx, "$b")
	require.NoError(t, err)
	require.Equal(t, &changed, got)

	require.NoError(t, e.db.Sent.Begin(ctx, database.SentPart{EventID: d.ID, Part: 1, Portal: "c:1"}))
	require.NoError(t, e.db.Digests.Dissolve(ctx, d.ID, -1))
	all, err = e.other.Digests.Entries(ctx, d.ID, -1)
	require.NoError(t, err)
	require.Len(t, all, 1, "what may be in Teams stays in the digest")
	b, err := e.db.Outbox.ByEvent(ctx, "$b")
	require.NoError(t, err)
	require.Empty(t, b.Digest)
	a, err = e.db.Outbox.ByEvent(ctx, "$a")
	require.NoError(t, err)
	require.Equal(t, d.ID, a.Digest)

	sent, err := e.db.Digests.MarkSent(ctx, d.ID, 1)
	require.NoError(t, err)
	require.Len(t, sent, 1)
	require.Equal(t, database.StateSent, sent[0].State)
	require.NoError(t, e.db.Outbox.Finish(ctx, sent[0].ID, database.StateDone, ""))
	sent, err = e.db.Digests.MarkSent(ctx, d.ID, 1)
	require.NoError(t, err)
	require.Empty(t, sent, "that is no news any more")

	require.NoError(t, e.db.Digests.SetNotice(ctx, d.ID, "$notice"))
	require.NoError(t, e.db.Digests.FinishIfSent(ctx, d.ID))
	back, err := e.other.Digests.Get(ctx, d.ID)
	require.NoError(t, err)
	require.Equal(t, "$notice", back.NoticeEvent)
	require.Equal(t, e.clock.Now(), back.Done)
	require.NoError(t, e.db.Digests.Purge(ctx, e.clock.Now().Add(time.Second)))
	back, err = e.other.Digests.Get(ctx, d.ID)
	require.NoError(t, err)
	require.Nil(t, back)
	all, err = e.other.Digests.Entries(ctx, d.ID, -1)
	require.NoError(t, err)
	require.Empty(t, all)
}

func testDigestWrites(t *testing.T, ctx context.Context, e *env) {
	const digest = "~digest:1"
	note := func(part int, print string) {
		require.NoError(t, e.db.Digests.NoteWrite(ctx, database.DigestWrite{DigestID: digest, Part: part, Print: print, Content: "c", TriedAt: e.clock.Now()}))
		e.clock.Advance(time.Minute)
	}
	prints := func(part int) (out []string) {
		all, err := e.other.Digests.Writes(ctx, digest, part)
		require.NoError(t, err)
		for _, w := range all {
			out = append(out, w.Print)
		}
		return out
	}
	note(1, "a")
	note(2, "x")
	note(1, "b")
	note(1, "a")
	require.Equal(t, []string{"a", "b"}, prints(1), "what is sent again is the newest")
	require.NoError(t, e.db.Digests.PurgeWrites(ctx, e.clock.Now()))
	require.Equal(t, []string{"a"}, prints(1))
	require.Equal(t, []string{"x"}, prints(2), "the newest of a post stays")

	require.NoError(t, e.db.Sent.Begin(ctx, database.SentPart{EventID: digest, Part: 1, Portal: "c:1"}))
	none, err := e.db.Digests.OvertakenPortals(ctx)
	require.NoError(t, err)
	require.Empty(t, none)
	require.NoError(t, e.db.Digests.Overtake(ctx, digest, 1))
	portals, err := e.other.Digests.OvertakenPortals(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"c:1"}, portals)
	posts, err := e.other.Digests.Overtaken(ctx, "c:1")
	require.NoError(t, err)
	require.Len(t, posts, 1)
	require.Equal(t, digest, posts[0].EventID)
	require.Equal(t, 1, posts[0].Part)
	require.NoError(t, e.db.Digests.Overtake(ctx, digest, 1))
	require.NoError(t, e.db.Digests.Rewritten(ctx, posts[0]))
	posts, err = e.other.Digests.Overtaken(ctx, "c:1")
	require.NoError(t, err)
	require.Len(t, posts, 1, "it was seen once more meanwhile")
	require.NoError(t, e.db.Digests.Rewritten(ctx, posts[0]))
	posts, err = e.other.Digests.Overtaken(ctx, "c:1")
	require.NoError(t, err)
	require.Empty(t, posts)

	d := database.Digest{ID: digest, Portal: "c:1", Created: e.clock.Now()}
	require.NoError(t, e.db.Digests.Plan(ctx, d, nil))
	require.NoError(t, e.db.Digests.FinishIfSent(ctx, digest))
	require.NoError(t, e.db.Digests.Purge(ctx, e.clock.Now().Add(time.Second)))
	require.Empty(t, prints(1))
}

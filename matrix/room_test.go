package matrix

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/id"
)

func TestRoomIsReadPageByPage(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	prove := newProver(asToken)
	forged := mirrored(prove, "$forged", "k2")
	forged["content"].(map[string]any)[ProofField] = "guess"
	copied := mirrored(prove, "$copied", "k1", map[string]any{"sender": "@alice:example.com"})
	redacted := evt("$redacted", "", map[string]any{"content": map[string]any{}, "unsigned": map[string]any{"redacted_because": map[string]any{
		"event_id": "$why", "sender": "@mod:example.com", "type": redactionType, "content": map[string]any{}}}})
	pruned := evt("$pruned", "", map[string]any{"content": map[string]any{}})
	redaction := evt("$why", "", map[string]any{"type": redactionType, "sender": "@mod:example.com", "redacts": "$redacted", "content": map[string]any{}})
	state := evt("$state", "", map[string]any{"type": "m.room.topic", "state_key": "", "content": map[string]any{}})
	hs.feed.add(mirrored(prove, "$ours", "k1"), forged, copied, redacted, pruned, redaction, state)
	for i := range roomPage {
		hs.feed.add(evt(fmt.Sprintf("$talk%d", i), "x"))
	}
	seen := map[id.EventID]RoomEvent{}
	from, pages := "", 0
	for {
		events, next, err := b.conn.RoomPage(ctx, portalRoom, from)
		require.NoError(t, err)
		for _, e := range events {
			require.NotContains(t, seen, e.ID)
			seen[e.ID] = e
		}
		pages++
		if from = next; from == "" {
			break
		}
	}
	require.Equal(t, 2, pages)
	require.Len(t, seen, roomPage+7)
	require.True(t, seen["$ours"].Own)
	require.Equal(t, "k1", seen["$ours"].Source)
	require.True(t, seen["$forged"].Own, "a ghost's")
	require.Empty(t, seen["$forged"].Source, "without proof it mirrors nothing")
	require.False(t, seen["$copied"].Own)
	require.Empty(t, seen["$copied"].Source)
	require.Equal(t, id.EventID("$redacted"), seen["$why"].Redacts)
	require.True(t, seen["$state"].State)
	require.False(t, seen["$state"].Redacted)
	require.True(t, seen["$pruned"].Redacted)
	require.Equal(t, id.UserID("@mod:example.com"), seen["$redacted"].RedactedBy)
	require.Equal(t, id.EventID("$why"), seen["$redacted"].Redaction)
	require.False(t, seen["$redacted"].RedactedOwn)

	one, err := b.conn.RoomEvent(ctx, portalRoom, "$ours")
	require.NoError(t, err)
	require.Equal(t, "k1", one.Source)
	one, err = b.conn.RoomEvent(ctx, portalRoom, "$nowhere")
	require.NoError(t, err)
	require.Nil(t, one)
	hs.feed.change(func(f *fakeFeed) { f.msgs = http.StatusBadGateway })
	_, _, err = b.conn.RoomPage(ctx, portalRoom, "")
	require.Error(t, err)
}

func TestRequeue(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	hs.feed.add(evt("$lost", "said while nobody listened"), mirrored(newProver(asToken), "$ours", "k1"))
	select {
	case <-b.conn.journal.gate:
	case <-ctx.Done():
	}
	require.NoError(t, b.conn.Requeue(ctx, portalRoom, "$lost"))
	b.eventually("it is queued", func() bool { return fmt.Sprint(b.queue()) == "[$lost]" })
	b.eventually("the outbox owns it", func() bool { return b.journalCount() == 0 })
	require.ErrorIs(t, b.conn.Requeue(ctx, portalRoom, "$lost"), errNotTaken, "the outbox has it")
	require.ErrorIs(t, b.conn.Requeue(ctx, portalRoom, "$ours"), errNotTaken)
	require.Error(t, b.conn.Requeue(ctx, portalRoom, "$nowhere"))
	require.Equal(t, []string{"$lost"}, b.queue())
}

package matrix

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

func mirrored(prove *prover, eventID, key string, fields ...map[string]any) map[string]any {
	all := append([]map[string]any{{"sender": "@teams_1:example.com", "content": map[string]any{
		"msgtype": "m.text", "body": "x", SourceField: key, ProofField: prove.proof(portalRoom, key),
	}}}, fields...)
	return evt(eventID, "", all...)
}

func TestLookForSends(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	prove := newProver(asToken)
	forged := mirrored(prove, "$forged", "k1")
	forged["content"].(map[string]any)[ProofField] = "guess"
	hs.feed.add(
		mirrored(prove, "$long ago", "k0"), mirrored(prove, "$sent", "k1"), forged,
		mirrored(prove, "$alice", "k1", map[string]any{"sender": "@alice:example.com"}), // copied by somebody
	)
	for i := range 2 * lookPage { // people go on talking
		hs.feed.add(evt(fmt.Sprintf("$talk%d", i), "x"))
	}
	require.NoError(t, b.conn.LookForSends(ctx, portalRoom))
	for key, want := range map[string]string{"k0": "$long ago", "k1": "$sent"} {
		got, err := b.db.Echoes.Get(ctx, key)
		require.NoError(t, err)
		require.NotNil(t, got, key)
		require.Equal(t, want, got.EventID)
	}
	_, pages := hs.feed.counts()
	require.Equal(t, 3, pages, "back to our own newest, and no further")
	require.Empty(t, b.doubled)
	require.Zero(t, b.journalCount(), "what people wrote is not taken twice")

	// A dead bridge's request comes through late: the older event counts, and
	// the other one is kept for whoever heals.
	puppet := func(at int64) map[string]any {
		out := mirrored(prove, fmt.Sprintf("$puppet%d", at), "k2", map[string]any{"sender": "@alice:example.com", "origin_server_ts": at})
		out["content"].(map[string]any)["fi.mau.double_puppet_source"] = "teamsbridge"
		out["content"].(map[string]any)["fi.mau.double_puppet_ts"] = 1
		return out
	}
	hs.feed.add(mirrored(prove, "$late", "k1"), puppet(1), puppet(2))
	require.NoError(t, b.conn.LookForSends(ctx, portalRoom))
	require.NoError(t, b.conn.LookForSends(ctx, portalRoom))
	doubled, err := b.db.Echoes.Doubled(ctx, 10)
	require.NoError(t, err)
	require.Len(t, doubled, 1)
	require.Equal(t, "$late", doubled[0].EventID)
	b.mu.Lock()
	require.NotEmpty(t, b.doubled)
	b.mu.Unlock()
	got, err := b.db.Echoes.Get(ctx, "k2")
	require.NoError(t, err)
	require.Equal(t, "$puppet1", got.EventID, "a copy with a wrong time is a person's")

	hs.feed.change(func(f *fakeFeed) { f.msgs = http.StatusBadGateway })
	require.Error(t, b.conn.LookForSends(ctx, portalRoom))
}

// What the bridge sends from somebody's own account bears the time that it gave
// to the event, so that a second one is known from a copy that its owner sends.
func TestDoubleOfAPuppetIsKnown(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	prove := newProver(asToken)
	puppet := func(eventID string, at int64) map[string]any {
		out := mirrored(prove, eventID, "k1", map[string]any{"sender": "@alice:example.com", "origin_server_ts": at})
		out["content"].(map[string]any)["fi.mau.double_puppet_source"] = "teamsbridge"
		out["content"].(map[string]any)[TimeField] = 1000
		return out
	}
	code, _ := hs.push(ctx, hsToken, "1", txnBody(t, puppet("$one", 1000), puppet("$copy", 2000)))
	require.Equal(t, 200, code)
	doubled, err := b.db.Echoes.Doubled(ctx, 10)
	require.NoError(t, err)
	require.Empty(t, doubled)
	code, _ = hs.push(ctx, hsToken, "2", txnBody(t, puppet("$two", 1000)))
	require.Equal(t, 200, code)
	doubled, err = b.db.Echoes.Doubled(ctx, 10)
	require.NoError(t, err)
	require.Len(t, doubled, 1)
	require.Equal(t, "$two", doubled[0].EventID)

	sent := *b.main.Matrix.AS.Client("@alice:example.com")
	_, err = sent.SendMessageEvent(WithKey(ctx, "k2"), portalRoom, event.EventMessage, textContent("x").Parsed, mautrix.ReqSendEvent{Timestamp: 1234})
	require.NoError(t, err)
	events := hs.events("m.room.message")
	require.EqualValues(t, 1234, events[len(events)-1].Content[TimeField])
}

// TestLookAfterACutConnection: the homeserver goes on with a send whose
// connection was cut, and the room shows it before any transaction does.
func TestLookAfterACutConnection(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	release, arrived := make(chan struct{}), make(chan struct{})
	hs.slow(func() { close(arrived); <-release })
	short, cancel := context.WithCancel(WithKey(ctx, "k1"))
	failed := make(chan error, 1)
	go func() {
		_, err := b.main.Matrix.GhostIntent("1").SendMessage(short, portalRoom, event.EventMessage, textContent("hello"), nil)
		failed <- err
	}()
	<-arrived
	cancel() // the bridge dies
	require.Error(t, <-failed)
	require.NoError(t, b.conn.LookForSends(ctx, portalRoom))
	got, err := b.db.Echoes.Get(ctx, "k1")
	require.NoError(t, err)
	require.Nil(t, got, "not made yet")

	close(release)
	require.Eventually(t, func() bool { return len(hs.events("m.room.message")) == 1 }, patience, time.Millisecond)
	sent := hs.events("m.room.message")[0]
	hs.feed.add(evt(sent.EventID, "", map[string]any{"sender": sent.User, "content": sent.Content}))
	require.NoError(t, b.conn.LookForSends(ctx, id.RoomID(portalRoom)))
	got, err = b.db.Echoes.Get(ctx, "k1")
	require.NoError(t, err)
	require.NotNil(t, got)
	require.Equal(t, sent.EventID, got.EventID)
}

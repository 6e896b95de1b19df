package matrix

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	return raw
}

func textContent(body string) *event.Content {
	return &event.Content{Parsed: &event.MessageEventContent{MsgType: event.MsgText, Body: body}}
}

// send goes the whole way of the framework: ghost intent, mautrix client, HTTP.
func send(t *testing.T, ctx context.Context, b *bridge, ghost, body string) id.EventID {
	t.Helper()
	intent := b.main.Matrix.GhostIntent(networkid.UserID(ghost))
	resp, err := intent.SendMessage(ctx, portalRoom, event.EventMessage, textContent(body), &bridgev2.MatrixSendExtra{Timestamp: time.UnixMilli(1_700_000_000_000)})
	require.NoError(t, err)
	return resp.EventID
}

func TestSendIsIdempotent(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})

	first := send(t, WithKey(ctx, "k1"), b, "1", "hello")
	require.Equal(t, first, send(t, WithKey(ctx, "k1"), b, "1", "hello"), "the same source change, after a crash")
	require.NotEqual(t, first, send(t, WithKey(ctx, "k2"), b, "1", "hello"), "another source change")
	require.NotEqual(t, first, send(t, WithKey(ctx, "k1"), b, "2", "hello"), "two ghosts never collide, though the homeserver would let them")
	require.NotEqual(t, send(t, ctx, b, "1", "x"), send(t, ctx, b, "1", "x"), "without a key nothing changes")

	parts := func() (ids []id.EventID) {
		ctx := WithKey(ctx, "parts")
		for range 3 {
			ids = append(ids, send(t, ctx, b, "1", "part"))
		}
		return ids
	}
	once, twice := parts(), parts()
	require.Equal(t, once, twice)
	require.NotEqual(t, once[0], once[1])
	require.NotEqual(t, once[1], once[2])

	for _, evt := range hs.events("m.room.message") {
		require.NotEmpty(t, evt.User)
		if source, ok := evt.Content[SourceField].(string); ok {
			require.True(t, newProver(asToken).check(portalRoom, source, evt.Content[ProofField].(string)))
			require.Len(t, evt.Txn, 28)
		}
	}
}

// TestSendIsConfirmedByItsEcho: the homeserver's own word counts, whatever
// became of the answer.
func TestSendIsConfirmedByItsEcho(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	eventID := send(t, WithKey(ctx, "k1"), b, "1", "hello")
	sent := hs.events("m.room.message")[0]
	echo := evt(sent.EventID, "", map[string]any{"sender": sent.User, "content": sent.Content})
	code, text := hs.push(ctx, hsToken, "1", txnBody(t, echo))
	require.Equal(t, 200, code, text)
	got, err := b.db.Echoes.Get(ctx, "k1")
	require.NoError(t, err)
	require.NotNil(t, got)
	require.Equal(t, string(eventID), got.EventID)
	require.Equal(t, portalRoom, got.RoomID)
}

// TestRetryWithinTheClient: mautrix repeats a request after a 502; the repeated
// one must not become the next part.
func TestRetryWithinTheClient(t *testing.T) {
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	cli := *b.main.Matrix.AS.Client("@teams_1:example.com")
	cli.DefaultHTTPRetries, cli.DefaultHTTPBackoff = 2, time.Millisecond
	hs.mu.Lock()
	hs.fail = 2
	hs.mu.Unlock()
	ctx := WithKey(context.Background(), "k1")
	resp, err := cli.SendMessageEvent(ctx, portalRoom, event.EventMessage, textContent("hello"))
	require.NoError(t, err)
	require.Equal(t, id.EventID("$sent0"), resp.EventID)
	require.Len(t, hs.events("m.room.message"), 1)
}

func TestRedactionIsIdempotent(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	bot := b.main.Matrix.Bot
	for range 2 {
		keyed := WithKey(ctx, "k1")
		for _, target := range []id.EventID{"$a", "$b"} {
			_, err := bot.RedactEvent(keyed, portalRoom, target, mautrix.ReqRedact{Reason: "deleted in Teams"})
			require.NoError(t, err)
		}
	}
	redactions := hs.events("redact")
	require.Len(t, redactions, 2)
	require.NotContains(t, redactions[0].Content, SourceField)
}

func TestReactionCarriesItsSource(t *testing.T) {
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	content := &event.Content{Parsed: &event.ReactionEventContent{RelatesTo: event.RelatesTo{Type: event.RelAnnotation, EventID: "$a", Key: "👍"}}}
	_, err := b.main.Matrix.GhostIntent("1").SendMessage(WithKey(context.Background(), "k1"), portalRoom, event.EventReaction, content, nil)
	require.NoError(t, err)
	got := hs.events("m.reaction")
	require.Len(t, got, 1)
	require.Equal(t, "k1", got[0].Content[SourceField])
	require.Contains(t, got[0].Content, "m.relates_to")
}

// TestTransactionIDs pins the derivation: a change would double what was in
// flight during an upgrade.
func TestTransactionIDs(t *testing.T) {
	k := keyFrom(WithKey(context.Background(), "team/channel/1@2"))
	path := "/_matrix/client/v3/rooms/%21r/send/m.room.message/"
	require.Equal(t, "tb"+"", k.transactionID("@a:b", path, "x")[:2])
	first := keyFrom(WithKey(context.Background(), "k")).transactionID("@a:b", path, "x")
	require.Len(t, first, 28)
	require.Regexp(t, "^tb[a-z2-7]{26}$", first)
	for name, other := range map[string]string{
		"key":    keyFrom(WithKey(context.Background(), "k2")).transactionID("@a:b", path, "x"),
		"sender": keyFrom(WithKey(context.Background(), "k")).transactionID("@b:b", path, "x"),
		"path":   keyFrom(WithKey(context.Background(), "k")).transactionID("@a:b", path+"2", "x"),
	} {
		require.NotEqual(t, first, other, name)
	}
	require.Equal(t, first, keyFrom(WithKey(context.Background(), "k")).transactionID("@a:b", path, "another client id"))
	require.Equal(t, "", KeyFrom(context.Background()))
	require.Equal(t, "k", KeyFrom(WithKey(context.Background(), "k")))
}

// TestContract names what this package takes from mautrix beyond its interfaces.
func TestContract(t *testing.T) {
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	require.Same(t, b.conn, b.main.Bridge.Matrix, "the bridge uses the wrapper")
	_, ok := b.main.Bridge.Matrix.(bridgev2.MatrixConnectorWithArbitraryRoomState)
	require.True(t, ok, "optional interfaces are still there")
	_, ok = b.main.Bridge.Matrix.(bridgev2.MatrixConnectorWithPostRoomBridgeHandling)
	require.True(t, ok, "optional interfaces are still there")
	rt, ok := b.main.Matrix.AS.HTTPClient.Transport.(*roundTripper)
	require.True(t, ok)
	timed, ok := rt.next.(*deadlines)
	require.True(t, ok)
	require.Zero(t, b.main.Matrix.AS.HTTPClient.Timeout, "a file may take longer")
	require.Equal(t, defaultMaxConns, timed.next.(*http.Transport).MaxConnsPerHost)
	require.Same(t, b.main.Matrix.AS.HTTPClient, b.main.Matrix.AS.Client("@teams_1:example.com").Client, "ghosts use the appservice's client")
	require.Same(t, b.main.Matrix.AS.HTTPClient, b.main.Matrix.Bot.Client.Client, "the bot too")
}

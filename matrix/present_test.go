package matrix

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	mxconn "maunium.net/go/mautrix/bridgev2/matrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// asMessages presents votes as messages.
func asMessages(raw json.RawMessage) json.RawMessage {
	if !strings.Contains(gjson.GetBytes(raw, "type").Str, ".poll.") {
		return raw
	}
	return json.RawMessage(`{"type":"m.room.message","event_id":"` + gjson.GetBytes(raw, "event_id").Str + `","room_id":"` + portalRoom +
		`","sender":"@alice:example.com","origin_server_ts":1700000000000,"content":{"msgtype":"m.text","body":"a vote"}}`)
}

// What the framework does not know is handed to it as something that it knows,
// also after a crash and when it is tried again; the journal keeps what came.
func TestPresent(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	path := filepath.Join(t.TempDir(), "db")
	stuck := &network{block: make(chan struct{})}
	b := startBridge(t, hs, bridgeOptions{path: path, network: stuck, present: asMessages})
	var want []string
	for i, kind := range []string{"m.poll.response", "org.matrix.msc3381.poll.response", "m.poll.end", "org.matrix.msc3381.poll.end", "m.poll.start"} {
		name := fmt.Sprintf("$v%d", i)
		want = append(want, name)
		code, text := hs.push(ctx, hsToken, name, txnBody(t, evt(name, "", map[string]any{"type": kind, "content": map[string]any{"m.selections": []string{"x"}}})))
		require.Equal(t, 200, code, text)
	}
	kept, err := b.db.Journal.Pending(ctx, 0, 10)
	require.NoError(t, err)
	require.Len(t, kept, 5, "durable before the homeserver gets its 200")
	require.Equal(t, "m.poll.response", kept[0].Type)
	require.Equal(t, "m.poll.response", gjson.GetBytes(kept[0].Raw, "type").Str)
	require.Equal(t, "x", gjson.GetBytes(kept[0].Raw, `content.m\.selections.0`).Str)
	b.stop()

	b = startBridge(t, hs, bridgeOptions{path: path, present: asMessages, network: &network{refuse: map[id.EventID]int{"$new": 1}}})
	b.eventually("what was replayed is handled", func() bool { return fmt.Sprint(b.queue()) == fmt.Sprint(want) })
	code, text := hs.push(ctx, hsToken, "new", txnBody(t, evt("$new", "", map[string]any{"type": "m.poll.response"})))
	require.Equal(t, 200, code, text)
	b.eventually("it was put off", func() bool { return len(b.statusList()) > 0 })
	b.clock.Advance(retryDelay)
	b.eventually("it was tried again", func() bool { return fmt.Sprint(b.queue()) == fmt.Sprint(append(want, "$new")) })
	b.eventually("the journal is empty", func() bool { return b.journalCount() == 0 })
}

// decrypter answers with an event as if it had been encrypted.
type decrypter struct {
	mxconn.Crypto
	raw string
}

func (d *decrypter) Decrypt(context.Context, *event.Event) (*event.Event, error) {
	var evt event.Event
	if err := json.Unmarshal([]byte(d.raw), &evt); err != nil {
		return nil, err
	}
	evt.Mautrix.WasEncrypted = true
	return &evt, nil
}

func TestPresentWhatWasEncrypted(t *testing.T) {
	for _, kind := range []string{"m.poll.response", "org.matrix.msc3381.poll.response", "m.room.message"} {
		c := &presentingCrypto{Crypto: &decrypter{raw: `{"type":"` + kind + `","event_id":"$e","content":{"msgtype":"m.text","body":"own"}}`}, present: asMessages}
		got, err := c.Decrypt(context.Background(), nil)
		require.NoError(t, err)
		require.Equal(t, event.EventMessage, got.Type)
		require.True(t, got.Mautrix.WasEncrypted)
		if kind == "m.room.message" {
			require.Equal(t, "own", got.Content.Raw["body"], "left alone")
			continue
		}
		require.Equal(t, "a vote", got.Content.AsMessage().Body)
		require.Equal(t, "a vote", got.Content.Raw["body"])
	}
	c := &presentingCrypto{Crypto: &decrypter{raw: "?"}, present: asMessages}
	_, err := c.Decrypt(context.Background(), nil)
	require.Error(t, err)
}

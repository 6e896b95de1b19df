package matrix

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/id"
)

func TestEdits(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	edit := func(eventID, of string, at int64) map[string]any {
		return evt(eventID, "", map[string]any{"origin_server_ts": at, "content": map[string]any{
			"m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": of}, "m.new_content": map[string]any{"body": "x"}}})
	}
	hs.feed.add(evt("$said", "x"), edit("$late", "$said", 2000), edit("$other", "$elsewhere", 5000), edit("$early", "$said", 1000),
		evt("$redacted", "", map[string]any{"content": map[string]any{}}), edit("$also", "$said", 2000))
	found, err := b.conn.Edits(ctx, portalRoom, "$said")
	require.NoError(t, err)
	require.Equal(t, []id.EventID{"$late", "$also", "$early"}, found, "by their times, and then by their ids")
	found, err = b.conn.Edits(ctx, portalRoom, "$nothing")
	require.NoError(t, err)
	require.Empty(t, found)
	hs.feed.change(func(f *fakeFeed) { f.msgs = http.StatusBadGateway })
	_, err = b.conn.Edits(ctx, portalRoom, "$said")
	require.Error(t, err, "not knowing is not knowing of none")
}

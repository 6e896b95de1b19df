package stack

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

func TestMergeEvents(t *testing.T) {
	list := func(ids ...string) (out []*event.Event) {
		for _, s := range ids {
			out = append(out, &event.Event{ID: id.EventID(s)})
		}
		return out
	}
	for _, tc := range []struct{ first, second, want []string }{
		{[]string{"a", "b", "d"}, []string{"a", "b", "c", "d"}, []string{"a", "b", "c", "d"}},
		{[]string{"b", "c"}, []string{"a", "b"}, []string{"a", "b", "c"}},
		{[]string{"a", "c", "e"}, []string{"a", "b", "c", "d", "e", "f"}, []string{"a", "b", "c", "d", "e", "f"}},
		{[]string{"a", "b"}, nil, []string{"a", "b"}},
		{nil, []string{"a", "b"}, []string{"a", "b"}},
	} {
		var got []string
		for _, evt := range mergeEvents(list(tc.first...), list(tc.second...)) {
			got = append(got, evt.ID.String())
		}
		require.Equal(t, tc.want, got)
	}
}

// A homeserver that loses an event wherever two pages meet must not make a long
// room look as if something were missing. With pages of 100 and of 61 both
// readings lose the 6,262nd.
func TestTimelineOfALongRoom(t *testing.T) {
	const events = 7000
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, _ := strconv.Atoi(r.URL.Query().Get("from"))
		limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
		if err != nil {
			http.Error(w, "no limit", http.StatusBadRequest)
			return
		}
		page := map[string]any{}
		var chunk []any
		for at := from; at < min(from+limit, events); at++ {
			chunk = append(chunk, map[string]any{
				"event_id": fmt.Sprintf("$%d", events-1-at), "type": "m.room.message", "sender": "@a:b", "origin_server_ts": 1,
				"content": map[string]any{"msgtype": "m.text", "body": "hello"},
			})
		}
		page["chunk"] = chunk
		if from+limit < events {
			page["end"] = strconv.Itoa(from + limit + 1) // and one is lost
		}
		_ = json.NewEncoder(w).Encode(page)
	}))
	defer server.Close()
	cli, err := mautrix.NewClient(server.URL, "@a:b", "token")
	require.NoError(t, err)
	got, err := Timeline(t.Context(), cli, "!room:b")
	require.NoError(t, err)
	require.Equal(t, events, len(got))
	for i, entry := range got {
		require.Equal(t, id.EventID(fmt.Sprintf("$%d", i)), entry.EventID)
	}
}

package matrix

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/tidwall/gjson"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// editPage is how many edits of an event are asked for.
const editPage = 20

// Edits returns the newest edits of an event that were not redacted, the newest
// first as their times say: by these, clients show one of them. Whose they are, and
// whether they are edits of that kind of event, is for the caller to see.
func (c *Connector) Edits(ctx context.Context, roomID id.RoomID, eventID id.EventID) ([]id.EventID, error) {
	var found struct {
		Chunk []json.RawMessage `json:"chunk"`
	}
	path := mautrix.ClientURLPath{"v1", "rooms", string(roomID), "relations", string(eventID), "m.replace"}
	query := map[string]string{"dir": "b", "limit": fmt.Sprint(editPage)}
	if err := (&feedClient{client: c.Bot.Client}).get(ctx, answerTimeout, path, query, &found); err != nil {
		return nil, fmt.Errorf("read edits: %w", err)
	}
	type edit struct {
		id id.EventID
		at int64
	}
	var edits []edit
	for _, raw := range found.Chunk {
		evt := gjson.ParseBytes(raw)
		relation := evt.Get(`content.m\.relates_to`)
		if relation.Get("rel_type").Str == "m.replace" && relation.Get("event_id").Str == string(eventID) {
			edits = append(edits, edit{id.EventID(evt.Get("event_id").Str), evt.Get("origin_server_ts").Int()})
		}
	}
	slices.SortFunc(edits, func(a, b edit) int { return cmp.Or(cmp.Compare(b.at, a.at), cmp.Compare(b.id, a.id)) })
	out := make([]id.EventID, len(edits))
	for i, e := range edits {
		out[i] = e.id
	}
	return out, nil
}

package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/tidwall/gjson"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// RoomKept is how much of a room's past its homeserver keeps.
type RoomKept struct {
	// Lifetime is how long what is said is kept, 0 where nothing says so. What is
	// older is not shown any more, whether it is purged already or not.
	Lifetime time.Duration
	// Purged says that the room's beginning is gone. First are the first events of
	// what is left that are no state, the oldest first.
	Purged bool
	First  []RoomEvent
}

// retentionType is the state event of a room's retention (MSC1763).
const retentionType = "m.room.retention"

// purgedPages is how many pages of state are read at the beginning of what is left
// of a room until nothing else is expected.
const purgedPages = 40

// RoomKept asks the homeserver how much of a room's past it keeps: by the
// retention that it or the room has configured, and by where the room begins.
func (c *Connector) RoomKept(ctx context.Context, roomID id.RoomID) (kept RoomKept, err error) {
	client := &feedClient{client: c.Bot.Client}
	if kept.Lifetime, err = client.lifetime(ctx, roomID); err != nil {
		return kept, err
	}
	from := ""
	for page := range purgedPages {
		found, err := client.beginning(ctx, string(roomID), from, roomPage)
		if err != nil {
			return kept, fmt.Errorf("read the room's beginning: %w", err)
		}
		if page == 0 && slices.ContainsFunc(found.Chunk, isCreation) {
			return kept, nil
		}
		// Synapse goes on behind what is too old to be shown.
		kept.Purged = kept.Purged || len(found.Chunk) > 0 || found.End != ""
		for _, raw := range found.Chunk {
			if gjson.GetBytes(raw, "state_key").Exists() {
				continue
			}
			e, err := c.roomEvent(ctx, raw, roomID)
			if err != nil {
				return kept, err
			}
			kept.First = append(kept.First, e)
		}
		if len(kept.First) > 0 || found.End == "" || found.End == from {
			break
		}
		from = found.End
	}
	return kept, nil
}

func isCreation(raw json.RawMessage) bool { return gjson.GetBytes(raw, "type").Str == "m.room.create" }

// lifetime returns how long a room's messages are kept by what the homeserver and
// the room say, the shorter of them; 0 where neither says anything.
func (c *feedClient) lifetime(ctx context.Context, roomID id.RoomID) (time.Duration, error) {
	var room, server json.RawMessage
	err := c.get(ctx, answerTimeout, mautrix.ClientURLPath{"v3", "rooms", string(roomID), "state", retentionType, ""}, nil, &room)
	if err != nil && !(statusOf(err) == http.StatusNotFound && errors.Is(err, mautrix.MNotFound)) {
		return 0, fmt.Errorf("read the room's retention: %w", err)
	}
	path := mautrix.ClientURLPath{"unstable", "org.matrix.msc1763", "retention", "configuration"}
	if err = c.get(ctx, answerTimeout, path, nil, &server); err != nil && !refused(err) {
		return 0, fmt.Errorf("read the homeserver's retention: %w", err)
	}
	config := gjson.ParseBytes(server)
	policies := config.Get("policies").Map()
	kept := lifetimeOf(gjson.ParseBytes(room))
	if kept == 0 {
		kept = lifetimeOf(policies["*"])
	}
	kept = shorter(kept, lifetimeOf(policies[string(roomID)]))
	if kept > 0 {
		kept = shorter(kept, milliseconds(config.Get("limits.max_lifetime.max")))
	}
	return kept, nil
}

// lifetimeOf returns how long a policy keeps messages, 0 where it does not say.
func lifetimeOf(policy gjson.Result) time.Duration { return milliseconds(policy.Get("max_lifetime")) }

// milliseconds reads a length of time; what is none, or longer than a life, is 0.
func milliseconds(value gjson.Result) time.Duration {
	const life = 100 * 365 * 24 * time.Hour
	if value.Type != gjson.Number || value.Num < 1 || value.Num > float64(life.Milliseconds()) {
		return 0
	}
	return time.Duration(value.Num) * time.Millisecond
}

// shorter returns the shorter of two lengths of time of which 0 is none.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return a + b
	}
	return min(a, b)
}

// beginning reads a room forwards from a position, "" from its beginning.
func (c *feedClient) beginning(ctx context.Context, roomID, from string, limit int) (out page, err error) {
	query := map[string]string{"dir": "f", "limit": strconv.Itoa(limit)}
	if from != "" {
		query["from"] = from
	}
	err = c.get(ctx, answerTimeout, mautrix.ClientURLPath{"v3", "rooms", roomID, "messages"}, query, &out)
	return out, err
}

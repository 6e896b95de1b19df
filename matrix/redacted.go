package matrix

import (
	"context"
	"encoding/json"
	"time"

	"github.com/tidwall/gjson"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

// RedactedBefore is an event that was redacted before the homeserver told of it.
const RedactedBefore = "redacted before it came"

// isRedacted reports whether nothing is left of what somebody said: Synapse
// reads events when it sends them, so what was redacted while the bridge was
// away comes without its content. The redaction comes as well, behind it. Room
// versions and homeservers differ in how they mark such events; all of them
// leave an empty content.
func isRedacted(evt gjson.Result) bool {
	if !isSaid(evt) {
		return false
	}
	content := evt.Get("content")
	return content.IsObject() && len(content.Map()) == 0 ||
		evt.Get("unsigned.redacted_because").Exists() || evt.Get("unsigned.redacted_by").Exists()
}

// isSaid reports whether an event can be redacted and would be handled.
func isSaid(evt gjson.Result) bool {
	return journalled(evt.Get("type").Str) && !evt.Get("state_key").Exists() && evt.Get("type").Str != redactionType
}

// goneEcho says that an event came redacted: a redaction of it, which comes too,
// waits for nothing and has nothing to bring.
func goneEcho(evt gjson.Result, roomID string, now time.Time) database.Echo {
	return database.Echo{SourceKey: goneKey(evt.Get("event_id").Str), RoomID: roomID, At: now}
}

func goneKey(eventID string) string { return "came redacted: " + eventID }

// cameRedacted reports whether the homeserver told of an event when nothing was
// left of it.
func (j *journal) cameRedacted(ctx context.Context, eventID string) (bool, error) {
	echo, err := j.db.Echoes.Get(ctx, goneKey(eventID))
	return echo != nil, err
}

// dropRedacted takes redacted events out of a transaction and returns its body:
// the framework would take them for messages without a text, and tell their
// authors that these can't go to Teams.
func (j *journal) dropRedacted(txn *transaction, body []byte) ([]byte, error) {
	var left []json.RawMessage
	for _, raw := range txn.Events {
		if evt := gjson.ParseBytes(raw); isRedacted(evt) {
			j.count(RedactedBefore)
			txn.gone = append(txn.gone, goneEcho(evt, evt.Get("room_id").Str, j.now()))
			continue
		}
		left = append(left, raw)
	}
	return txn.keep(left, body)
}

// dropGone takes out of a transaction what was seen redacted in its room before it
// was told: Dendrite tells late what it has read before. Its redaction has been let
// go by then, so nothing would take back what became of it.
func (j *journal) dropGone(ctx context.Context, txn *transaction, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	var left []json.RawMessage
	for _, raw := range txn.Events {
		evt := gjson.ParseBytes(raw)
		if isSaid(evt) && !j.isOwn(id.UserID(evt.Get("sender").Str)) {
			if gone, err := j.cameRedacted(ctx, evt.Get("event_id").Str); err != nil {
				return nil, err
			} else if gone {
				j.count(RedactedBefore)
				continue
			}
		}
		left = append(left, raw)
	}
	return txn.keep(left, body)
}

// keep leaves those events in a transaction and returns its body.
func (txn *transaction) keep(left []json.RawMessage, body []byte) ([]byte, error) {
	if len(left) == len(txn.Events) {
		return body, nil
	}
	if left == nil {
		left = []json.RawMessage{}
	}
	txn.Events = left
	return withEvents(body, left)
}

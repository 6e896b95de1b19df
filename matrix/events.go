package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"
	"maunium.net/go/mautrix/appservice"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

// transaction is what the homeserver sends, as far as the journal needs it.
type transaction struct {
	Events []json.RawMessage `json:"events"`
	// gone are events that were redacted before they came.
	gone []database.Echo
	// entries are those of the events that were journalled.
	entries []database.JournalEntry
}

var errNotObject = errors.New("event is not an object")

// parseTransaction refuses what the framework would refuse, before anything is stored.
func parseTransaction(body []byte) (*transaction, error) {
	var txn transaction
	if err := json.Unmarshal(body, &txn); err != nil {
		return nil, fmt.Errorf("transaction: %w", err)
	}
	for _, raw := range txn.Events {
		if !gjson.ParseBytes(raw).IsObject() {
			return nil, errNotObject
		}
	}
	return &txn, nil
}

// withEvents returns the transaction with other events in it.
func withEvents(body []byte, events []json.RawMessage) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, fmt.Errorf("transaction: %w", err)
	}
	list, err := json.Marshal(events)
	if err != nil {
		return nil, fmt.Errorf("transaction: %w", err)
	}
	fields["events"] = list
	if body, err = json.Marshal(fields); err != nil {
		return nil, fmt.Errorf("transaction: %w", err)
	}
	return body, nil
}

// journalledTypes are the types of events that people say something with.
var journalledTypes = []string{
	"m.room.message", "m.sticker", "m.reaction", redactionType, "m.room.encrypted",
	"org.matrix.msc3381.poll.start", "m.poll.start",
	"org.matrix.msc3381.poll.response", "m.poll.response",
	"org.matrix.msc3381.poll.end", "m.poll.end",
}

// pollStartTypes are those of them that others can be about like a message.
var pollStartTypes = []string{"org.matrix.msc3381.poll.start", "m.poll.start"}

func journalled(eventType string) bool { return slices.Contains(journalledTypes, eventType) }

// sorted is a transaction's events by what the journal does with them.
type sorted struct {
	entries []database.JournalEntry
	echoes  []database.Echo
	// puppetEchoes are echoes of people's own accounts that do not bear their
	// time. A copy of such an event proves nothing about duplicates: people can
	// send it.
	puppetEchoes []database.Echo
	// newest is when the newest event of somebody else was sent, 0 where there
	// is none. What the bridge sends carries the time it had in Teams.
	newest int64
}

// sort decides for each event: one that we sent confirms a send and is never
// journalled, because the framework ignores it; one that says something in a
// mirrored room is journalled; the rest is none of the journal's business.
func (j *journal) sort(ctx context.Context, txn *transaction, now time.Time) (out sorted) {
	isPortal := map[string]bool{}
	for _, raw := range txn.Events {
		evt := gjson.ParseBytes(raw)
		eventID, roomID, eventType := evt.Get("event_id").Str, evt.Get("room_id").Str, evt.Get("type").Str
		if echo, kind := j.echoOf(evt, roomID, now); kind != notEcho {
			if kind == sureEcho {
				out.echoes = append(out.echoes, echo)
			} else if kind == puppetEcho {
				out.puppetEchoes = append(out.puppetEchoes, echo)
			}
			continue
		}
		out.newest = max(out.newest, evt.Get("origin_server_ts").Int())
		if eventID == "" || !journalled(eventType) || evt.Get("state_key").Exists() || j.isCommand(evt) {
			continue
		}
		portal, known := isPortal[roomID]
		if !known {
			portal = j.isPortal(ctx, id.RoomID(roomID))
			isPortal[roomID] = portal
		}
		if portal {
			out.entries = append(out.entries, database.JournalEntry{
				EventID: eventID, RoomID: roomID, Type: eventType, Raw: raw, ReceivedAt: now,
			})
		}
	}
	return out
}

// echoKind is what an event says about our sends.
type echoKind int

const (
	notEcho    echoKind = iota // somebody else's event
	ownEvent                   // ours, but it does not mirror a source change
	puppetEcho                 // confirms a send, and proves no duplicate
	sureEcho                   // nobody but the bridge can have sent it
)

// echoOf reads an event as an echo.
func (j *journal) echoOf(evt gjson.Result, roomID string, now time.Time) (database.Echo, echoKind) {
	own := j.isOwn(id.UserID(evt.Get("sender").Str))
	if !own && !j.isPuppeted(evt) {
		return database.Echo{}, notEcho
	}
	echo := database.Echo{SourceKey: contentField(evt, SourceField).Str, EventID: evt.Get("event_id").Str, RoomID: roomID, At: now}
	switch {
	case echo.SourceKey == "" || echo.EventID == "" || !j.prover.check(roomID, echo.SourceKey, contentField(evt, ProofField).Str):
		return database.Echo{}, ownEvent
	case own || contentField(evt, appservice.DoublePuppetTSKey).Type == gjson.Number:
		// The mark bears the event's time, which people can't choose.
		return echo, sureEcho
	}
	if at := contentField(evt, TimeField); at.Type == gjson.Number && at.Int() == evt.Get("origin_server_ts").Int() {
		return echo, sureEcho
	}
	return echo, puppetEcho
}

// isPuppeted reports whether the framework will ignore the event as one that
// the bridge sent from somebody's own account.
func (j *journal) isPuppeted(evt gjson.Result) bool {
	value := contentField(evt, appservice.DoublePuppetKey)
	if value.Type != gjson.String || value.Str != j.puppetValue() {
		return false
	}
	at := contentField(evt, appservice.DoublePuppetTSKey)
	return at.Type != gjson.Number || at.Int() == evt.Get("origin_server_ts").Int()
}

// isCommand reports whether the event is an order to the bot, which is not to
// be given again after a crash.
func (j *journal) isCommand(evt gjson.Result) bool {
	prefix := j.commandPrefix()
	return prefix != "" && evt.Get("type").Str == "m.room.message" && strings.HasPrefix(evt.Get("content.body").Str, prefix)
}

// contentField reads a top-level field of the content whose name has dots.
func contentField(evt gjson.Result, name string) gjson.Result {
	return evt.Get("content." + strings.ReplaceAll(name, ".", `\.`))
}

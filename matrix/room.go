package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/tidwall/gjson"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

// roomPage is how many events of a room are read at once.
const roomPage = 250

// RoomEvent is an event as the homeserver tells it to the bot.
type RoomEvent struct {
	ID     id.EventID
	Sender id.UserID
	Type   string
	At     time.Time
	// State says that it is a state event.
	State bool
	// Own says that the bridge sent it: its bot, a ghost, or somebody's account
	// that it speaks for. Source is the change that it mirrors, where it proves
	// that the bridge wrote that.
	Own     bool
	Source  string
	Content json.RawMessage
	// Redacts is what a redaction redacts.
	Redacts id.EventID
	// Redacted says that the event was redacted; by whom and with which event,
	// where the homeserver tells.
	Redacted    bool
	RedactedBy  id.UserID
	RedactedOwn bool
	Redaction   id.EventID
}

// errOtherRoom says that the homeserver answered with another event.
var errOtherRoom = errors.New("the homeserver answered with another event")

// RoomPage reads a room's events backwards from a position, "" from its end,
// and returns them, the newest first, with the position of the next page; that
// is "" at the room's beginning.
func (c *Connector) RoomPage(ctx context.Context, roomID id.RoomID, from string) (events []RoomEvent, next string, err error) {
	found, err := (&feedClient{client: c.Bot.Client}).messages(ctx, string(roomID), from, roomPage)
	if err != nil {
		return nil, "", fmt.Errorf("read room: %w", err)
	}
	for _, raw := range found.Chunk {
		e, err := c.roomEvent(ctx, raw, roomID)
		if err != nil {
			return nil, "", err
		}
		events = append(events, e)
	}
	if len(found.Chunk) == 0 && found.End == from {
		return nil, "", nil
	}
	return events, found.End, nil
}

// RoomEvent reads one event, nil where the homeserver does not have it.
func (c *Connector) RoomEvent(ctx context.Context, roomID id.RoomID, eventID id.EventID) (*RoomEvent, error) {
	raw, err := c.rawEvent(ctx, roomID, eventID)
	if err != nil || raw == nil {
		return nil, err
	}
	e, err := c.roomEvent(ctx, raw, roomID)
	return &e, err
}

func (c *Connector) rawEvent(ctx context.Context, roomID id.RoomID, eventID id.EventID) (raw json.RawMessage, err error) {
	path := mautrix.ClientURLPath{"v3", "rooms", string(roomID), "event", string(eventID)}
	err = (&feedClient{client: c.Bot.Client}).get(ctx, answerTimeout, path, nil, &raw)
	if statusOf(err) == http.StatusNotFound && errors.Is(err, mautrix.MNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read event: %w", err)
	}
	if gjson.GetBytes(raw, "event_id").Str != string(eventID) {
		return nil, errOtherRoom
	}
	return raw, nil
}

func (c *Connector) roomEvent(ctx context.Context, raw json.RawMessage, roomID id.RoomID) (RoomEvent, error) {
	evt := gjson.ParseBytes(raw)
	out := RoomEvent{
		ID: id.EventID(evt.Get("event_id").Str), Sender: id.UserID(evt.Get("sender").Str), Type: evt.Get("type").Str,
		At: time.UnixMilli(evt.Get("origin_server_ts").Int()), State: evt.Get("state_key").Exists(),
		Content: json.RawMessage(evt.Get("content").Raw),
	}
	echo, kind := c.journal.echoOf(evt, string(roomID), time.Time{})
	out.Own, out.Source = kind != notEcho, echo.SourceKey
	var err error
	if out.Type == redactionType {
		out.Redacts = id.EventID(redactionTarget(evt))
		out.Own, err = c.isOwnRedaction(ctx, roomID, out.Redacts, out.Own)
	} else if because := evt.Get("unsigned.redacted_because"); because.IsObject() {
		out.Redacted, out.RedactedBy, out.Redaction = true, id.UserID(because.Get("sender").Str), id.EventID(because.Get("event_id").Str)
		_, kind := c.journal.echoOf(because, string(roomID), time.Time{})
		out.RedactedOwn, err = c.isOwnRedaction(ctx, roomID, out.ID, kind != notEcho)
	} else if !out.State && evt.Get("content").IsObject() && len(evt.Get("content").Map()) == 0 {
		// Some homeservers leave out what redacted an event.
		out.Redacted = true
		out.Redaction = id.EventID(evt.Get("unsigned.redacted_by").Str)
		out.RedactedOwn, err = c.isOwnRedaction(ctx, roomID, out.ID, false)
	}
	return out, err
}

// isOwnRedaction reports whether the bridge redacted an event. Where redactions
// bear no mark, it has remembered those that it made.
func (c *Connector) isOwnRedaction(ctx context.Context, roomID id.RoomID, target id.EventID, own bool) (bool, error) {
	if own || c.feed == nil {
		return own, nil
	}
	return c.feed.own.has(ctx, string(roomID), string(target))
}

// Errors of Requeue.
var (
	errNotTaken  = errors.New("the event says nothing that the bridge takes, or the outbox has it")
	errReplaying = errors.New("events of the last run come first")
)

// Requeue journals an event that the homeserver has and hands it to the
// framework, as if it had just come. What the outbox has is not taken again.
func (c *Connector) Requeue(ctx context.Context, roomID id.RoomID, eventID id.EventID) error {
	select {
	case <-c.journal.gate:
	default:
		return errReplaying
	}
	raw, err := c.rawEvent(ctx, roomID, eventID)
	if err != nil {
		return err
	} else if raw == nil {
		return fmt.Errorf("requeue: %w", mautrix.MNotFound)
	}
	if raw, err = withRoom(raw, string(roomID)); err != nil {
		return err
	}
	entries := c.journal.sort(ctx, &transaction{Events: []json.RawMessage{raw}}, c.opts.Now()).entries
	if err = c.db.Journal.Append(ctx, entries); err != nil {
		return err
	}
	kept := make([]database.JournalEntry, 0, 1)
	for _, entry := range entries {
		if stored, err := c.db.Journal.Get(ctx, entry.EventID); err != nil {
			return err
		} else if stored != nil {
			kept = append(kept, *stored)
		}
	}
	if len(kept) == 0 {
		return errNotTaken
	}
	return c.journal.hand(ctx, kept)
}

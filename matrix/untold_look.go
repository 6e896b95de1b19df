package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/tidwall/gjson"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

const (
	// untoldLimit is how many events of a room an answer has, untoldPages how
	// many pages of gapPage events are read where there were more.
	untoldLimit = 200
	untoldPages = 40
	// positionMargin is how much two clocks may differ.
	positionMargin = 2 * time.Minute
)

// Untold is an event that people sent and the homeserver did not tell of.
const Untold = "not told by the homeserver"

// look reads what the rooms have had since a position and takes what nobody told.
func (u *untold) look(ctx context.Context, from mark) error {
	u.mu.Lock()
	until := u.now().Add(-underWay - u.usual())
	u.mu.Unlock()
	rooms, err := u.client.since(ctx, from.token, untoldLimit)
	if errors.Is(err, mautrix.ErrResponseTooLong) {
		rooms, err = u.client.since(ctx, from.token, 1) // and the rest room by room
	}
	if refused(err) {
		u.log.Warn().Err(err).Msg("The homeserver refused the position from which it is looked for what it did not tell, beginning anew")
		return u.take(ctx, "")
	} else if err != nil {
		return fmt.Errorf("ask for what was not told: %w", err)
	}
	for roomID, room := range rooms {
		if !u.j.isPortal(ctx, id.RoomID(roomID)) {
			continue
		}
		events := room.Timeline.Events
		if room.Timeline.Limited {
			before, err := u.before(ctx, roomID, room.Timeline.PrevBatch, from.at, gapPage)
			if err != nil {
				return err
			}
			again, err := u.before(ctx, roomID, "", from.at, seamShift)
			if err != nil {
				return err
			}
			events = mergeReadings(append(before, events...), again)
		}
		if err := u.compare(ctx, roomID, events, until); err != nil {
			return err
		}
	}
	return nil
}

// before reads a room backwards, the first page of a size of its own, to the time
// of a position: what is older may be from before the room was mirrored. It returns
// people's events in the room's order.
func (u *untold) before(ctx context.Context, roomID, from string, at time.Time, page int) (out []json.RawMessage, err error) {
	begin := at.Add(-positionMargin).UnixMilli()
	for range untoldPages {
		found, err := u.client.messages(ctx, roomID, from, page)
		if statusOf(err) == http.StatusForbidden {
			u.log.Error().Err(err).Str("room_id", roomID).Msg("The bot may not read a room, it can't be seen what the homeserver did not tell")
			break
		} else if err != nil {
			return nil, fmt.Errorf("read back what was not told: %w", err)
		}
		passed := false
		for _, raw := range found.Chunk {
			evt := gjson.ParseBytes(raw)
			if u.j.isOwn(id.UserID(evt.Get("sender").Str)) || u.j.isPuppeted(evt) {
				continue // its time is the one that it has in Teams
			}
			if passed = evt.Get("origin_server_ts").Int() < begin; !passed {
				out = append(out, raw)
			}
		}
		if found.End == "" || found.End == from || passed {
			break
		}
		from, page = found.End, gapPage
	}
	slices.Reverse(out)
	return out, nil
}

// compare takes those of a room's events that nobody told of, in order.
func (u *untold) compare(ctx context.Context, roomID string, events []json.RawMessage, until time.Time) error {
	var txn transaction
	for _, raw := range events {
		evt := gjson.ParseBytes(raw)
		if missing, err := u.isMissing(ctx, evt, until); err != nil {
			return err
		} else if !missing {
			continue
		}
		// The answers leave the content out.
		whole, err := u.client.event(ctx, roomID, evt.Get("event_id").Str)
		if statusOf(err) == http.StatusNotFound || statusOf(err) == http.StatusForbidden {
			continue
		} else if err != nil {
			return fmt.Errorf("read an event that was not told: %w", err)
		}
		if whole, err = withRoom(whole, roomID); err != nil {
			continue
		}
		if wanted, err := u.isWanted(ctx, roomID, gjson.ParseBytes(whole)); err != nil {
			return err
		} else if wanted {
			txn.Events = append(txn.Events, whole)
		}
	}
	entries := u.j.sort(ctx, &txn, u.now()).entries
	if len(entries) == 0 {
		return nil
	}
	if err := u.db.Journal.Append(ctx, entries); err != nil {
		return err
	}
	u.mu.Lock()
	for _, entry := range entries {
		u.newer.tell(entry.EventID)
	}
	u.mu.Unlock()
	for _, entry := range entries {
		u.j.count(Untold)
		u.log.Warn().Str("event_id", entry.EventID).Str("room_id", entry.RoomID).Str("event_type", entry.Type).
			Msg("The homeserver did not tell of an event, took it from the room")
	}
	return u.j.hand(ctx, entries)
}

// isWanted reports whether there is anything to be done about an event. A
// redaction of what the bridge does not have, and an edit of what was redacted
// since, leave no trace when they are told, and change nothing.
func (u *untold) isWanted(ctx context.Context, roomID string, evt gjson.Result) (bool, error) {
	switch target := editTarget(evt); {
	case isRedacted(evt):
		return false, u.noteGone(ctx, evt)
	case target != "":
		whole, err := u.client.event(ctx, roomID, target)
		if statusOf(err) == http.StatusNotFound || statusOf(err) == http.StatusForbidden {
			return true, nil // that is no proof: the bridge may know it
		} else if err != nil {
			return false, fmt.Errorf("read what an edit that was not told is about: %w", err)
		}
		return !isRedacted(gjson.ParseBytes(whole)), nil
	case evt.Get("type").Str != redactionType:
		return true, nil
	}
	return u.j.isKnown(ctx, redactionTarget(evt))
}

// noteGone notes that an event is redacted, unless it was told meanwhile.
func (u *untold) noteGone(ctx context.Context, evt gjson.Result) error {
	u.j.goneMu.Lock()
	defer u.j.goneMu.Unlock()
	eventID := evt.Get("event_id").Str
	if waiting, err := u.db.Journal.Get(ctx, eventID); err != nil || waiting != nil {
		return err
	}
	if known, err := u.j.isKnown(ctx, eventID); err != nil || known {
		return err
	}
	_, err := u.db.Echoes.Record(ctx, []database.Echo{goneEcho(evt, evt.Get("room_id").Str, u.now())})
	return err
}

// isMissing reports whether an event should have been told and is not known.
func (u *untold) isMissing(ctx context.Context, evt gjson.Result, until time.Time) (bool, error) {
	eventID, eventType := evt.Get("event_id").Str, evt.Get("type").Str
	switch {
	case eventID == "" || !journalled(eventType) || evt.Get("state_key").Exists() || u.j.isOwn(id.UserID(evt.Get("sender").Str)):
		return false, nil
	case eventType == redactionType && u.followed():
		return false, nil
	case evt.Get("origin_server_ts").Int() > until.UnixMilli() || u.isTold(eventID):
		return false, nil
	}
	if waiting, err := u.db.Journal.Get(ctx, eventID); err != nil || waiting != nil {
		return false, err
	}
	known, err := u.j.isKnown(ctx, eventID)
	return !known, err
}

// positionFilter leaves nothing at all: what is wanted is where the stream is.
// Not every homeserver knows the filter of rooms.
const positionFilter = `{"presence":{"types":[],"not_types":["*"]},"account_data":{"types":[],"not_types":["*"]},"room":{"rooms":[],` +
	`"timeline":{"types":[],"not_types":["*"],"limit":1},"state":{"types":[],"not_types":["*"]},` +
	`"ephemeral":{"types":[],"not_types":["*"]},"account_data":{"types":[],"not_types":["*"]}}}`

// position returns where the stream of events is.
func (c *feedClient) position(ctx context.Context, from string) (string, error) {
	query := map[string]string{"filter": positionFilter, "set_presence": "offline", "timeout": "0"}
	timeout := firstTimeout
	if from != "" {
		query["since"], timeout = from, answerTimeout
	}
	var answer syncAnswer
	if err := c.get(ctx, timeout, mautrix.ClientURLPath{"v3", "sync"}, query, &answer); err != nil {
		return "", err
	} else if answer.NextBatch == "" {
		return "", errNoToken
	}
	return answer.NextBatch, nil
}

// since returns what rooms have had since a position, without the content.
func (c *feedClient) since(ctx context.Context, from string, limit int) (map[string]syncRoom, error) {
	nothing := map[string]any{"types": []string{}, "not_types": []string{"*"}}
	filter, _ := json.Marshal(map[string]any{ // maps of strings and numbers
		"event_fields": []string{"event_id", "type", "sender", "origin_server_ts", "state_key"},
		"presence":     nothing, "account_data": nothing,
		"room": map[string]any{
			"timeline": map[string]any{"types": journalledTypes, "limit": limit},
			"state":    nothing, "ephemeral": nothing, "account_data": nothing,
		},
	})
	var answer syncAnswer
	query := map[string]string{"filter": string(filter), "set_presence": "offline", "timeout": "0", "since": from}
	if err := c.get(ctx, firstTimeout, mautrix.ClientURLPath{"v3", "sync"}, query, &answer); err != nil {
		return nil, err
	}
	return answer.Rooms.Join, nil
}

// event returns one event.
func (c *feedClient) event(ctx context.Context, roomID, eventID string) (json.RawMessage, error) {
	var raw json.RawMessage
	err := c.get(ctx, answerTimeout, mautrix.ClientURLPath{"v3", "rooms", roomID, "event", eventID}, nil, &raw)
	return raw, err
}

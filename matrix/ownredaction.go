package matrix

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/tidwall/gjson"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

// ownRedactions remembers what the bridge redacts from people's own accounts.
// Dendrite keeps nothing of a redaction but its target and reason, so the mark
// that double puppets leave in other events is not there. The rule instead:
// what the bridge redacts is gone in Teams, so a redaction of the same event,
// by whomever, has nothing to bring there. It is remembered before the request,
// because the feed may be faster than the answer.
type ownRedactions struct {
	db    *database.Database
	isOwn func(id.UserID) bool
	now   func() time.Time
	// active is set where redactions come by the feed.
	active atomic.Bool
}

func ownRedactionKey(roomID, target string) string { return "redaction of " + target + " in " + roomID }

// begin remembers a redaction, unless its sender is known as the bridge's
// anyway; undo forgets one that did not happen.
func (o *ownRedactions) begin(ctx context.Context, roomID, target, sender string) (undo func(), err error) {
	if !o.active.Load() || o.isOwn(id.UserID(sender)) {
		return func() {}, nil
	}
	key := ownRedactionKey(roomID, target)
	before, err := o.db.Echoes.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("remember redaction: %w", err)
	} else if before != nil {
		return func() {}, nil
	}
	if _, err := o.db.Echoes.Record(ctx, []database.Echo{{SourceKey: key, RoomID: roomID, At: o.now()}}); err != nil {
		return nil, fmt.Errorf("remember redaction: %w", err)
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		// Left behind it says that the event is gone in Teams, which is true.
		_ = o.db.Echoes.Forget(ctx, key)
	}, nil
}

// has reports whether the bridge redacted the event.
func (o *ownRedactions) has(ctx context.Context, roomID, target string) (bool, error) {
	echo, err := o.db.Echoes.Get(ctx, ownRedactionKey(roomID, target))
	return echo != nil, err
}

// redactionOf returns the event that a request redacts, "" where it does not.
// Newer servers take a redaction as an event like others.
func redactionOf(req *http.Request, kind, eventOrType string) (string, error) {
	name, err := url.PathUnescape(eventOrType)
	if err != nil {
		return "", fmt.Errorf("redaction's path: %w", err)
	}
	if kind == "redact" {
		return name, nil
	} else if name != redactionType || req.GetBody == nil {
		return "", nil
	}
	body, err := req.GetBody()
	if err != nil {
		return "", fmt.Errorf("read redaction: %w", err)
	}
	defer func() { _ = body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(body, maxEventBody))
	if err != nil {
		return "", fmt.Errorf("read redaction: %w", err)
	}
	return gjson.GetBytes(raw, "redacts").Str, nil
}

// withRoom adds the room to an event of /sync, which leaves it out.
func withRoom(raw json.RawMessage, roomID string) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, fmt.Errorf("event: %w", err)
	}
	room, err := json.Marshal(roomID)
	if err != nil {
		return nil, fmt.Errorf("event: %w", err)
	}
	fields["room_id"] = room
	out, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("event: %w", err)
	}
	return out, nil
}

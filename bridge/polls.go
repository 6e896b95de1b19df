package bridge

import (
	"context"
	"encoding/json"
	"time"

	"github.com/tidwall/gjson"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal/msgconv"
)

// presentTimeout bounds the look-ups of one event.
const presentTimeout = 10 * time.Second

// present returns an event as the framework is to see it
// (matrix.Options.Present): what it does not know of polls comes as marked
// messages, and so does the redaction of a vote. Outside mirrored rooms, a
// management room say, polls stay what they are.
func (r *runtime) present(raw json.RawMessage) json.RawMessage {
	ctx, cancel := context.WithTimeout(r.log.WithContext(context.Background()), presentTimeout)
	defer cancel()
	eventType := gjson.GetBytes(raw, "type").Str
	if eventType == event.EventRedaction.Type {
		return r.presentRedaction(ctx, raw)
	}
	if msgconv.IsPoll(eventType) {
		p, err := r.c.br.GetPortalByMXID(ctx, id.RoomID(gjson.GetBytes(raw, "room_id").Str))
		if err == nil && p == nil {
			return raw
		}
	}
	return msgconv.PresentPoll(r.c.texts, raw)
}

// presentRedaction tells the redaction of a vote from others. While the vote is
// in the journal it is on its way to be counted, in front of the redaction;
// what takes it out of there counts it.
func (r *runtime) presentRedaction(ctx context.Context, raw json.RawMessage) json.RawMessage {
	target := gjson.GetBytes(raw, "redacts").Str
	if target == "" {
		target = gjson.GetBytes(raw, "content.redacts").Str
	}
	if target == "" {
		return raw
	}
	entry, err := r.db.Journal.Get(ctx, target)
	isVote := err == nil && entry != nil && msgconv.IsPollVote(entry.Type)
	if err == nil && entry == nil {
		vote, voteErr := r.db.Polls.GetVote(ctx, target)
		isVote, err = vote != nil, voteErr
	}
	if err != nil {
		// The framework takes it for the redaction of something that it does not know.
		r.log.Error().Err(err).Str("event_id", gjson.GetBytes(raw, "event_id").Str).Msg("Could not see whether a vote was redacted")
	}
	if !isVote {
		return raw
	}
	return msgconv.RetractedVote(raw, target)
}

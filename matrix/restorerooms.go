package matrix

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/tidwall/gjson"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// bridgeStateTypes are the types of the state that says of a room what it mirrors.
var bridgeStateTypes = []string{"m.bridge", "uk.half-shot.bridge"}

// adopt finds the rooms that the bridge before has made and the database does not
// know, and tells what they mirror. It returns whether there were any.
func (r *restorer) adopt(ctx context.Context, known []id.RoomID) (found bool, err error) {
	isKnown := make(map[id.RoomID]bool, len(known))
	for _, room := range known {
		isKnown[room] = true
	}
	var joined struct {
		Rooms []id.RoomID `json:"joined_rooms"`
	}
	if err = r.client.get(ctx, firstTimeout, mautrix.ClientURLPath{"v3", "joined_rooms"}, nil, &joined); err != nil {
		return false, fmt.Errorf("list the bot's rooms: %w", err)
	}
	for _, room := range joined.Rooms {
		if isKnown[room] {
			continue
		}
		conversation, err := r.mirrors(ctx, room)
		if err != nil {
			return false, fmt.Errorf("see what room %s mirrors: %w", room, err)
		} else if conversation == "" {
			continue
		}
		taken, err := r.made(ctx, room, conversation)
		if err != nil {
			return false, err
		}
		found = found || taken
	}
	return found, nil
}

// mirrors returns which conversation a room mirrors, "" for none. Only the bot's own
// word counts, in a room that the bot has made: anybody can invite it into another
// one that says the same.
func (r *restorer) mirrors(ctx context.Context, room id.RoomID) (conversation string, err error) {
	var state []json.RawMessage
	err = r.client.get(ctx, answerTimeout, mautrix.ClientURLPath{"v3", "rooms", string(room), "state"}, nil, &state)
	if statusOf(err) == http.StatusForbidden || refused(err) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	bot, isOwn := r.j.bot(), false
	for _, raw := range state {
		evt := gjson.ParseBytes(raw)
		if id.UserID(evt.Get("sender").Str) != bot {
			continue
		}
		switch evt.Get("type").Str {
		case "m.room.create":
			isOwn = true
		case bridgeStateTypes[0], bridgeStateTypes[1]:
			if id.UserID(evt.Get("content.bridgebot").Str) == bot {
				conversation = evt.Get("content.channel.id").Str
			}
		}
	}
	if !isOwn {
		return "", nil
	}
	return conversation, nil
}

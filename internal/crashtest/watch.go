package crashtest

import (
	"context"
	"regexp"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

var tokenPattern = regexp.MustCompile(`[tm]q\d{6,}`)

// watchMatrix notes what arrives in the rooms, as somebody who is in all of them.
func (r *run) watchMatrix(ctx context.Context) error {
	cli := r.people[0].cli
	filter, err := cli.CreateFilter(ctx, &mautrix.Filter{Room: &mautrix.RoomFilter{
		Timeline:  &mautrix.FilterPart{Limit: 500, Types: []event.Type{event.EventMessage, event.EventRedaction}},
		State:     &mautrix.FilterPart{Limit: 1, Types: []event.Type{event.EventMessage}},
		Ephemeral: &mautrix.FilterPart{NotTypes: []event.Type{event.EphemeralEventReceipt, event.EphemeralEventTyping}},
	}})
	if err != nil {
		return err
	}
	since := ""
	for ctx.Err() == nil {
		resp, err := cli.SyncRequest(ctx, 2000, since, filter.FilterID, false, event.PresenceOffline)
		if err != nil {
			// The homeserver is being restarted.
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		since = resp.NextBatch
		for _, room := range resp.Rooms.Join {
			for _, evt := range room.Timeline.Events {
				r.noteEvent(evt)
			}
		}
	}
	return nil
}

func (r *run) noteEvent(evt *event.Event) {
	if evt.Type.Type == event.EventRedaction.Type {
		target, _ := evt.Content.Raw["redacts"].(string)
		if evt.Redacts != "" {
			target = evt.Redacts.String()
		}
		r.book.gone(id.EventID(target))
		return
	}
	r.mu.Lock()
	if _, known := r.order[evt.ID]; !known {
		r.order[evt.ID] = len(r.order)
	}
	r.mu.Unlock()
	if evt.Type.Type != event.EventMessage.Type || evt.Content.ParseRaw(event.EventMessage) != nil {
		return
	}
	content := evt.Content.AsMessage()
	if content.RelatesTo.GetReplaceID() != "" {
		return
	}
	if token := tokenPattern.FindString(content.Body); token != "" {
		r.book.seen(token, inMatrix, evt.ID, "")
	}
}

// watchTeams notes what arrives in the channels.
func (r *run) watchTeams(ctx context.Context) error {
	known := map[string]bool{}
	for {
		for _, at := range r.places {
			for _, m := range at.channel.Messages() {
				r.noteMessage(known, at, m.ID, m.Content)
				for _, reply := range m.Replies {
					r.noteMessage(known, at, reply.ID, reply.Content)
				}
			}
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return nil
		}
	}
}

func (r *run) noteMessage(known map[string]bool, at *place, messageID, content string) {
	key := at.channel.ID + "/" + messageID
	if known[key] {
		return
	}
	known[key] = true
	if token := tokenPattern.FindString(content); token != "" {
		r.book.seen(token, inTeams, "", messageID)
	}
}

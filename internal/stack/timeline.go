package stack

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// Entry is one message of a room as a reader sees it: edits applied, reactions
// gathered.
type Entry struct {
	EventID id.EventID
	Sender  id.UserID
	// At is the event's timestamp, which the bridge sets to the original one.
	At      time.Time
	MsgType event.MessageType
	Body    string
	HTML    string
	URL     id.ContentURIString
	// Thread is the root's event id, empty outside threads.
	Thread   id.EventID
	Mentions *event.Mentions
	Edited   bool
	Redacted bool
	// Reactions maps a key to who reacted with it.
	Reactions map[string][]id.UserID
	// Raw is the newest content as the homeserver has it.
	Raw map[string]any
}

// Dendrite (0.15.2) gives pages of at most 100 events, and loses or repeats
// events of the same depth where two pages meet. So a room is read twice, the
// second time half a page further on. Pages of two sizes would do for short rooms
// only: in long ones they meet in the same places now and then.
const timelinePage = 100

// Timeline reads a whole room as the given user, oldest first. State events
// and reactions are no entries of their own; redacted messages are.
func Timeline(ctx context.Context, cli *mautrix.Client, room id.RoomID) ([]Entry, error) {
	events, err := readRoom(ctx, cli, room, timelinePage)
	if err != nil {
		return nil, err
	}
	again, err := readRoom(ctx, cli, room, timelinePage/2)
	if err != nil {
		return nil, err
	}
	return assemble(mergeEvents(events, again)), nil
}

// readRoom reads a room, the first page of a size of its own, and returns its
// events, oldest first.
func readRoom(ctx context.Context, cli *mautrix.Client, room id.RoomID, page int) ([]*event.Event, error) {
	var events []*event.Event
	seen := map[id.EventID]bool{}
	from := ""
	for ; ; page = timelinePage {
		resp, err := cli.Messages(ctx, room, from, "", mautrix.DirectionBackward, nil, page)
		if err != nil {
			return nil, fmt.Errorf("read the timeline of %s: %w", room, err)
		}
		for _, evt := range resp.Chunk {
			if !seen[evt.ID] {
				seen[evt.ID] = true
				events = append(events, evt)
			}
		}
		if resp.End == "" || resp.End == from || len(resp.Chunk) == 0 {
			break
		}
		from = resp.End
	}
	slices.Reverse(events)
	return events, nil
}

// mergeEvents puts what only the second list has into the first: behind the
// event that it follows there, and in front of the one that follows it. Where
// that can't be both, because the lists differ about events of one depth, the
// latter counts: the first list lost what stood at the end of an older page.
func mergeEvents(events, again []*event.Event) []*event.Event {
	at := func(eventID id.EventID) int {
		return slices.IndexFunc(events, func(evt *event.Event) bool { return evt.ID == eventID })
	}
	known := map[id.EventID]bool{}
	for _, evt := range events {
		known[evt.ID] = true
	}
	for i, evt := range again {
		if known[evt.ID] {
			continue
		}
		place := 0
		if i > 0 {
			place = at(again[i-1].ID) + 1
		}
		for _, next := range again[i+1:] {
			if known[next.ID] {
				place = min(place, at(next.ID))
				break
			}
		}
		events = slices.Insert(events, place, evt)
		known[evt.ID] = true
	}
	return events
}

// takenBack returns what its own sender has redacted, whatever the event looks like:
// a Dendrite that was restarted stores some events that it had accepted behind their
// redactions, and shows them as they were.
func takenBack(events []*event.Event) map[id.EventID]bool {
	by := map[id.EventID]id.UserID{}
	for _, evt := range events {
		if evt.Type != event.EventRedaction {
			continue
		}
		target := evt.Redacts
		if target == "" {
			inContent, _ := evt.Content.Raw["redacts"].(string)
			target = id.EventID(inContent)
		}
		by[target] = evt.Sender
	}
	out := map[id.EventID]bool{}
	for _, evt := range events {
		out[evt.ID] = by[evt.ID] == evt.Sender
	}
	return out
}

// assemble applies edits, reactions and redactions to the messages they belong to.
func assemble(events []*event.Event) []Entry {
	var entries []Entry
	gone := takenBack(events)
	index := map[id.EventID]int{}
	for _, evt := range events {
		if evt.StateKey != nil || (evt.Type != event.EventMessage && evt.Type != event.EventSticker) {
			continue
		}
		entry := Entry{EventID: evt.ID, Sender: evt.Sender, At: time.UnixMilli(evt.Timestamp), Reactions: map[string][]id.UserID{}, Raw: evt.Content.Raw}
		_ = evt.Content.ParseRaw(evt.Type)
		content := evt.Content.AsMessage()
		if evt.Unsigned.RedactedBecause != nil || len(evt.Content.Raw) == 0 || gone[evt.ID] {
			entry.Redacted = true
		} else if target := content.RelatesTo.GetReplaceID(); target != "" {
			if i, ok := index[target]; ok && content.NewContent != nil && entries[i].Sender == evt.Sender && !entries[i].Redacted {
				entries[i].fill(content.NewContent)
				entries[i].Edited = true
				if fresh, ok := evt.Content.Raw["m.new_content"].(map[string]any); ok {
					entries[i].Raw = withSource(fresh, evt.Content.Raw)
				}
			}
			continue
		} else {
			entry.fill(content)
			entry.Thread = content.RelatesTo.GetThreadParent()
		}
		index[evt.ID] = len(entries)
		entries = append(entries, entry)
	}
	for _, evt := range events {
		if evt.Type != event.EventReaction || evt.Unsigned.RedactedBecause != nil || gone[evt.ID] {
			continue
		}
		_ = evt.Content.ParseRaw(evt.Type)
		relation := evt.Content.AsReaction().RelatesTo
		if i, ok := index[relation.EventID]; ok && relation.Key != "" {
			entries[i].Reactions[relation.Key] = append(entries[i].Reactions[relation.Key], evt.Sender)
		}
	}
	return entries
}

// withSource is an edit's new content with the source that its event names; the
// bridge names it outside of the new content.
func withSource(fresh, outer map[string]any) map[string]any {
	source, named := outer[sourceField]
	if _, has := fresh[sourceField]; has || !named {
		return fresh
	}
	out := maps.Clone(fresh)
	out[sourceField] = source
	return out
}

func (e *Entry) fill(content *event.MessageEventContent) {
	e.MsgType, e.Body, e.HTML, e.URL, e.Mentions = content.MsgType, content.Body, content.FormattedBody, content.URL, content.Mentions
	if content.Format != event.FormatHTML {
		e.HTML = ""
	}
}

// sourceField is where the bridge names the source of an event.
const sourceField = "org.teamsbridge.source"

// SourceMessage returns the id of the Teams message that the bridge made the
// entry from, empty for what was said in Matrix. The bridge writes it into the
// content as team/channel/message/version/part.
func SourceMessage(e Entry) string {
	message, _ := sourceOf(e)
	return message
}

// sourceOf returns which part of which Teams message an entry shows. The part's
// name has what was done in front: new, edit, or again after a deletion.
func sourceOf(e Entry) (message, part string) {
	key, _ := e.Raw[sourceField].(string)
	fields := strings.Split(key, "/")
	if len(fields) < 5 {
		return "", ""
	}
	_, part, _ = strings.Cut(fields[len(fields)-1], ":")
	part, _, _ = strings.Cut(part, "@") // when it was added
	return fields[len(fields)-3], part
}

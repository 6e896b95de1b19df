package portaltest

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
)

// Text is the content of a message.
func Text(text string) map[string]any { return map[string]any{"msgtype": "m.text", "body": text} }

// InThread is the content of a message in a thread.
func InThread(root id.EventID, content map[string]any) map[string]any {
	content["m.relates_to"] = map[string]any{
		"rel_type": "m.thread", "event_id": root.String(), "is_falling_back": true, "m.in_reply_to": map[string]any{"event_id": root.String()},
	}
	return content
}

// NewText is the content of an edit.
func NewText(target id.EventID, text string) map[string]any {
	return map[string]any{
		"msgtype": "m.text", "body": "* " + text, "m.new_content": Text(text),
		"m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": target.String()},
	}
}

// Reaction is the content of a reaction.
func Reaction(target id.EventID, emoji string) map[string]any {
	return map[string]any{"m.relates_to": map[string]any{"rel_type": "m.annotation", "event_id": target.String(), "key": emoji}}
}

// Redaction is the content of a redaction.
func Redaction(target id.EventID) map[string]any { return map[string]any{"redacts": target.String()} }

// Say writes a message as a Matrix user and returns its event.
func (r *Rig) Say(user id.UserID, text string) id.EventID {
	return r.Send(user, event.EventMessage, Text(text))
}

// Reply writes into a thread.
func (r *Rig) Reply(user id.UserID, root id.EventID, text string) id.EventID {
	return r.Send(user, event.EventMessage, InThread(root, Text(text)))
}

// Edit edits a message.
func (r *Rig) Edit(user id.UserID, target id.EventID, text string) id.EventID {
	return r.Send(user, event.EventMessage, NewText(target, text))
}

// React reacts.
func (r *Rig) React(user id.UserID, target id.EventID, emoji string) id.EventID {
	return r.Send(user, event.EventReaction, Reaction(target, emoji))
}

// Redact redacts.
func (r *Rig) Redact(user id.UserID, target id.EventID) id.EventID {
	return r.Send(user, event.EventRedaction, Redaction(target))
}

// Send sends an event as a Matrix user: the homeserver stores it, the journal
// keeps it, the bridge is handed it.
func (r *Rig) Send(user id.UserID, kind event.Type, content map[string]any) id.EventID {
	r.t.Helper()
	return r.SendIn(r.Room, user, kind, content)
}

// SendIn is Send in a room of the caller's choice.
func (r *Rig) SendIn(room id.RoomID, user id.UserID, kind event.Type, content map[string]any) id.EventID {
	r.t.Helper()
	eventID := r.writeIn(room, user, kind, content)
	r.dispatch(context.Background(), r.HS.Event(eventID))
	return eventID
}

// Write is Send without handing the event over: a bridge that stops before it
// gets round to it.
func (r *Rig) Write(user id.UserID, kind event.Type, content map[string]any) id.EventID {
	r.t.Helper()
	return r.writeIn(r.Room, user, kind, content)
}

func (r *Rig) writeIn(room id.RoomID, user id.UserID, kind event.Type, content map[string]any) id.EventID {
	r.t.Helper()
	eventID, err := r.HS.Put(room, user, kind, "", time.Now(), content)
	require.NoError(r.t, err)
	require.NoError(r.t, r.journal(context.Background(), r.HS.Event(eventID)))
	return eventID
}

func (r *Rig) journal(ctx context.Context, e Event) error {
	raw, err := json.Marshal(e.Content)
	require.NoError(r.t, err)
	return r.DB.Journal.Append(ctx, []database.JournalEntry{{EventID: e.ID.String(), RoomID: e.Room.String(), Type: e.Type.Type, Raw: raw}})
}

// Deliver does what package matrix does with an event in a transaction: into
// the journal, and on to the framework. An error means that the homeserver gets
// no 200 and sends it again.
func (r *Rig) Deliver(ctx context.Context, e Event) error {
	if err := r.journal(ctx, e); err != nil {
		return err
	}
	if r.Crashing() {
		return errCrashed
	}
	r.dispatch(ctx, e)
	return nil
}

func (r *Rig) dispatch(ctx context.Context, e Event) {
	raw, err := json.Marshal(map[string]any{"type": e.Type.Type, "content": e.Content})
	require.NoError(r.t, err)
	// As matrix.Options.Present does.
	shown := msgconv.PresentPoll(r.Says, raw)
	if target := r.HS.Event(id.EventID(fmt.Sprint(e.Content["redacts"]))); e.Type == event.EventRedaction && msgconv.IsPollVote(target.Type.Type) {
		shown = msgconv.RetractedVote(raw, target.ID.String())
	}
	evt := &event.Event{ID: e.ID, RoomID: e.Room, Sender: e.Sender, Timestamp: e.At.UnixMilli()}
	var fields struct {
		Type    string         `json:"type"`
		Content *event.Content `json:"content"`
	}
	fields.Content = &evt.Content
	require.NoError(r.t, json.Unmarshal(shown, &fields))
	evt.Type = event.Type{Type: fields.Type, Class: event.MessageEventType}
	require.NoError(r.t, evt.Content.ParseRaw(evt.Type))
	if e.Type == event.EventRedaction {
		evt.Redacts = id.EventID(fmt.Sprint(e.Content["redacts"]))
	}
	r.Bridge.QueueMatrixEvent(r.Log.WithContext(ctx), evt)
}

// replay delivers what the homeserver may not know to be taken, and hands over
// what the journal then holds.
func (r *Rig) replay(ctx context.Context) {
	if !r.OwnTransactions {
		for _, ch := range r.channels() {
			r.redeliver(ctx, r.rooms[ch])
		}
	}
	const some = 1000
	for after := int64(0); ; {
		entries, err := r.DB.Journal.Pending(ctx, after, some)
		require.NoError(r.t, err)
		for _, entry := range entries {
			r.dispatch(ctx, r.HS.Event(id.EventID(entry.EventID)))
			after = entry.Seq
		}
		if len(entries) < some {
			return
		}
	}
}

func (r *Rig) redeliver(ctx context.Context, room id.RoomID) {
	for _, e := range r.HS.Events(room) {
		if !e.Bridge && !isOwn(&e) && !r.HS.finished(e.ID) {
			require.NoError(r.t, r.journal(ctx, e))
		}
	}
}

// Redeliver hands an event over once more, as a homeserver does when an answer
// got lost.
func (r *Rig) Redeliver(eventID id.EventID) {
	r.t.Helper()
	e := r.HS.Event(eventID)
	require.NoError(r.t, r.journal(context.Background(), e))
	r.dispatch(context.Background(), e)
}

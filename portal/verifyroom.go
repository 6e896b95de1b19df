package portal

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"go.mau.fi/util/variationselector"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal/msgconv"
)

// RoomEvent is an event as the homeserver tells it.
type RoomEvent struct {
	ID     id.EventID
	Sender id.UserID
	Type   string
	At     time.Time
	// State says that it is a state event.
	State bool
	// Own says that the bridge sent it: its bot, a ghost, or a person's account
	// that it speaks for. Source is then the change that it mirrors, if any.
	Own     bool
	Source  string
	Content json.RawMessage
	// Redacts is what a redaction redacts.
	Redacts id.EventID
	// Redacted says that the event was redacted; RedactedBy and Redaction by whom
	// and with which event, where the homeserver tells.
	Redacted    bool
	RedactedBy  id.UserID
	RedactedOwn bool
	Redaction   id.EventID
}

// RoomPage is a page of a room's events, the newest first; an empty Next means
// that it ends at the room's beginning.
type RoomPage struct {
	Events []RoomEvent
	Next   string
}

// RoomKept is how much of a room's past its homeserver keeps.
type RoomKept struct {
	// Lifetime is how long what is said is kept, 0 where nothing says so.
	Lifetime time.Duration
	// Purged says that the room's beginning is gone. First are the first events of
	// what is left that are no state, the oldest first.
	Purged bool
	First  []RoomEvent
}

// RoomReader reads rooms as the bridge's bot (matrix.Connector).
type RoomReader interface {
	// RoomPage reads backwards from a position, "" from the room's end.
	RoomPage(ctx context.Context, roomID id.RoomID, from string) (RoomPage, error)
	// RoomEvent reads one event, nil where the homeserver does not have it.
	RoomEvent(ctx context.Context, roomID id.RoomID, eventID id.EventID) (*RoomEvent, error)
	// RoomKept tells how far back the homeserver keeps a room.
	RoomKept(ctx context.Context, roomID id.RoomID) (RoomKept, error)
}

// ErrTooMuch says that a comparison would not fit into memory.
var ErrTooMuch = errors.New("too many messages to compare at once; choose a later time")

// room collects a room's events, read backwards.
type room struct {
	v         *Verifier
	events    []matrixSide
	reactions []reactionEvent
	edits     map[id.EventID]roomEdit
	removed   map[string]removal
}

func newRoom(v *Verifier) *room {
	return &room{v: v, edits: map[id.EventID]roomEdit{}, removed: map[string]removal{}}
}

type roomEdit struct {
	by     id.UserID
	own    bool
	event  id.EventID
	at     time.Time
	hashes []string
	print  string
	media  string
}

func (r *room) add(e RoomEvent) {
	if e.State {
		return
	}
	if e.Redacted {
		r.remove(e.ID, removal{Sender: e.Sender.String(), By: e.RedactedBy.String(), Redaction: e.Redaction.String(), Own: e.RedactedOwn})
	}
	switch e.Type {
	case event.EventRedaction.Type:
		r.remove(e.Redacts, removal{By: e.Sender.String(), Redaction: e.ID.String(), At: e.At, Own: e.Own})
	case event.EventReaction.Type:
		r.addReaction(e)
	case event.EventMessage.Type, event.EventSticker.Type, event.EventEncrypted.Type:
		r.addMessage(e)
	default:
		if msgconv.IsPollStart(e.Type) {
			r.addMessage(e)
		}
	}
}

// remove joins what an event and its redaction tell of each other.
func (r *room) remove(target id.EventID, how removal) {
	have := r.removed[target.String()]
	if how.At.IsZero() {
		how.At = have.At
	}
	r.removed[target.String()] = removal{
		Sender: cmp.Or(have.Sender, how.Sender), By: cmp.Or(have.By, how.By), Redaction: cmp.Or(have.Redaction, how.Redaction),
		At: how.At, Own: have.Own || how.Own,
	}
}

func (r *room) addReaction(e RoomEvent) {
	var content event.ReactionEventContent
	if json.Unmarshal(e.Content, &content) != nil || e.Redacted || content.RelatesTo.EventID == "" {
		return // a redacted one shows nothing; rows tell what it was
	}
	key := content.RelatesTo.Key
	if strings.HasPrefix(key, "mxc://") && e.Own {
		var named map[string]any
		if json.Unmarshal(e.Content, &named) == nil {
			if name, ok := named[ShortcodeField].(string); ok {
				key = name
			}
		}
	}
	r.reactions = append(r.reactions, reactionEvent{
		ID: e.ID.String(), Sender: e.Sender.String(), Target: content.RelatesTo.EventID.String(), At: e.At, Own: e.Own,
		Emoji: networkid.EmojiID(variationselector.Remove(key)), Person: r.v.person(e.Sender),
	})
}

// person returns who an account is in Teams, empty for strangers.
func (v *Verifier) person(user id.UserID) string {
	if ghost, ok := v.o.Bridge.Matrix.ParseGhostMXID(user); ok {
		return string(ghost)
	}
	userID, _, _ := v.o.Directory.Person(user)
	return userID
}

func (r *room) addMessage(e RoomEvent) {
	var content event.MessageEventContent
	readable := json.Unmarshal(e.Content, &content) == nil && e.Type != event.EventEncrypted.Type && content.MsgType != "" ||
		e.Type == event.EventSticker.Type
	if target := content.RelatesTo.GetReplaceID(); target != "" {
		if _, newer := r.edits[target]; newer || e.Redacted {
			return
		}
		edit := roomEdit{by: e.Sender, own: e.Own, event: e.ID, at: e.At}
		if shown := content.NewContent; shown != nil && readable {
			edit.hashes, edit.print, edit.media = shownHashes(shown), ownPrint(shown, r.v.o.Directory), string(shown.URL)
		}
		r.edits[target] = edit
		return
	}
	side := matrixSide{
		ID: e.ID.String(), Sender: e.Sender.String(), At: e.At, Own: e.Own, Source: e.Source, Thread: string(content.RelatesTo.GetThreadParent()),
		Redacted: e.Redacted, Unwanted: !r.v.wantedEvent(&content, e),
	}
	if !e.Own {
		side.Person = r.v.person(e.Sender)
	}
	if readable && !e.Redacted {
		if e.Own {
			side.Hashes, side.Media = shownHashes(&content), string(content.URL)
		} else {
			side.Print = ownPrint(&content, r.v.o.Directory)
		}
	}
	r.events = append(r.events, side)
}

// finish puts events into the room's order and joins them with what was done
// to them.
func (r *room) finish() {
	slices.Reverse(r.events)
	slices.Reverse(r.reactions)
	for i := range r.events {
		e := &r.events[i]
		e.Pos = i + 1
		edit, ok := r.edits[id.EventID(e.ID)]
		switch {
		case !ok || edit.by.String() != e.Sender:
		case edit.own:
			e.Hashes, e.Media = edit.hashes, edit.media
		default:
			e.Hashes, e.Media, e.Edit, e.EditAt = nil, "", edit.event.String(), edit.at
			e.Print = edit.print
		}
	}
}

// shownHashes returns what a row may say that shows a content: as it was
// rendered, before it was put into its place in the room.
func shownHashes(c *event.MessageEventContent) []string {
	shown := *c
	shown.RelatesTo, shown.NewContent = nil, nil
	hashes := []string{contentPartHash(&shown)}
	if m := shown.Mentions; m != nil && len(m.UserIDs) == 0 && !m.Room {
		shown.Mentions = nil
		hashes = append(hashes, contentPartHash(&shown))
	}
	return hashes
}

// ownPrint returns the fingerprint of what a message becomes where its author's
// own account posts it at once; empty where that can't be told.
func ownPrint(c *event.MessageEventContent, people msgconv.People) string {
	if c.MsgType != event.MsgText && c.MsgType != event.MsgEmote {
		return ""
	}
	drafts, err := msgconv.ToTeams(c, msgconv.TeamsEnv{People: people})
	if err != nil || len(drafts) != 1 {
		return ""
	}
	return fingerprint(drafts[0].HTML)
}

// wantedEvent reports whether an event is one that the bridge brings to Teams.
func (v *Verifier) wantedEvent(c *event.MessageEventContent, e RoomEvent) bool {
	prefix := v.o.Bridge.Config.CommandPrefix
	switch {
	case e.Own, c.MsgType == event.MsgNotice && !v.o.Bridge.Config.BridgeNotices:
		return false
	case prefix != "" && strings.HasPrefix(c.Body, prefix):
		return false
	}
	return v.o.Bridge.Config.Permissions.Get(e.Sender).SendEvents
}

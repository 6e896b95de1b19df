package portaltest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"maunium.net/go/mautrix/bridgev2"
)

// ServerName is the name of the homeserver.
const ServerName = "example.org"

// BotID is the bridge's own user.
const BotID = id.UserID("@teamsbot:" + ServerName)

// ModeratorMXID may redact anybody's events.
const ModeratorMXID = id.UserID("@moderator:" + ServerName)

const ghostPrefix = "@teams_"

// Event is an event as the homeserver stores it.
type Event struct {
	ID       id.EventID
	Room     id.RoomID
	Type     event.Type
	Sender   id.UserID
	At       time.Time
	Content  map[string]any
	Redacted bool
	Key      string
	// Bridge is set where the bridge sent it.
	Bridge bool
	// Rings says that it mentions the room, by somebody whose power level lets
	// Matrix's push rules notify everybody.
	Rings bool
}

// Text returns the body of a message.
func (e Event) Text() string {
	s, _ := e.Content["body"].(string)
	return s
}

// Relation returns one field of the event's m.relates_to.
func (e Event) Relation(field string) string {
	rel, _ := e.Content["m.relates_to"].(map[string]any)
	s, _ := rel[field].(string)
	return s
}

// Status is a message status that the bridge sent.
type Status struct {
	Event   id.EventID
	Status  event.MessageStatus
	Message string
	Notice  bool
	// Err is what was behind it.
	Err error
}

// Homeserver is a homeserver in memory. It outlives the bridges that use it.
type Homeserver struct {
	mu       sync.Mutex
	events   map[id.RoomID][]*Event
	byID     map[id.EventID]*Event
	txns     map[string]id.EventID
	statuses map[id.EventID][]Status
	media    map[id.ContentURIString][]byte
	puppets  map[id.UserID]bool
	seq      int
	requests int
	pages    int
	purged   map[id.RoomID]bool
	lifetime time.Duration // of events, 0 for ever
	told     time.Duration // what is told of that
	hidden   id.EventID
	levels   map[id.RoomID]*event.PowerLevelsEventContent
	// refusals is how many changes of levels are answered with levelsRefused.
	refusals      int
	levelsRefused error
	// readsRefused is what whoever asks for an event gets.
	readsRefused error

	// Before is asked before a send is accepted, After when it has been; an
	// error of After is an answer that got lost.
	Before, After func(user id.UserID, kind event.Type, content map[string]any) error
	// cut says of which sends the connection is cut while the homeserver works on
	// them: it stores the event at Finish, whatever comes in between.
	// Where hang is set the sender is not told, and waits until it dies.
	cut      func(kind event.Type, content map[string]any) bool
	hang     bool
	inFlight []func()
	// sends decides how a send of the bridge fares.
	sends func(s Send) SendFault

	// SameReactions lets somebody react with the same emoji again, as Dendrite
	// does. It is set before anything is sent.
	SameReactions bool

	// Encrypted gives out files as those of an encrypted room are.
	Encrypted bool
	// OnEvent is told about events by the bridge's users, as a transaction would.
	OnEvent func(e Event)
}

// NewHomeserver makes a homeserver.
func NewHomeserver() *Homeserver {
	return &Homeserver{
		events: map[id.RoomID][]*Event{}, byID: map[id.EventID]*Event{}, txns: map[string]id.EventID{},
		media: map[id.ContentURIString][]byte{}, puppets: map[id.UserID]bool{}, statuses: map[id.EventID][]Status{},
		levels: map[id.RoomID]*event.PowerLevelsEventContent{}, purged: map[id.RoomID]bool{},
	}
}

// AllowPuppet lets the bridge speak as a real user.
func (h *Homeserver) AllowPuppet(user id.UserID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.puppets[user] = true
}

// SetFaults sets Before and After while bridges run.
func (h *Homeserver) SetFaults(before, after func(user id.UserID, kind event.Type, content map[string]any) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Before, h.After = before, after
}

// RefuseReads makes the homeserver answer with an error who asks for an event, nil
// for none.
func (h *Homeserver) RefuseReads(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readsRefused = err
}

func (h *Homeserver) readRefused() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.readsRefused
}

// Down is an error as of a homeserver that does not answer.
func Down() error {
	return mautrix.HTTPError{Message: "connection refused", WrappedError: errors.New("connection refused")}
}

// Refused is an error as of a homeserver that refuses a request.
func Refused(status int, code string) error {
	return mautrix.HTTPError{
		Response:  &http.Response{StatusCode: status, Request: &http.Request{}},
		RespError: &mautrix.RespError{ErrCode: code, Err: code, StatusCode: status},
	}
}

// Put stores an event of a user, the way the client API does. The same
// transaction key of the same user answers with the same event.
func (h *Homeserver) Put(room id.RoomID, user id.UserID, kind event.Type, key string, at time.Time, content map[string]any) (id.EventID, error) {
	return h.put(nil, Send{Room: room, User: user, Type: kind, Key: key, Content: content}, at)
}

func (h *Homeserver) put(dead *atomic.Bool, s Send, at time.Time) (id.EventID, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if dead != nil && dead.Load() {
		return "", Down()
	}
	h.requests++
	if h.Before != nil {
		if err := h.Before(s.User, s.Type, s.Content); err != nil {
			return "", err
		}
	}
	if before, ok := h.txns[s.txn()]; ok && s.Key != "" {
		return before, nil
	}
	if h.cut != nil && h.cut(s.Type, s.Content) {
		h.inFlight = append(h.inFlight, func() { _, _ = h.store(s, at) })
		if h.hang {
			return "", errHang
		}
		return "", Down()
	}
	return h.store(s, at)
}

func (h *Homeserver) store(s Send, at time.Time) (id.EventID, error) {
	room, user, kind, content := s.Room, s.User, s.Type, s.Content
	h.seq++
	if at.IsZero() {
		at = time.Now()
	}
	e := &Event{
		ID: id.EventID(fmt.Sprintf("$e%d", h.seq)), Room: room, Type: kind, Sender: user, At: at, Content: content,
		Key: s.Key, Bridge: s.bridge, Rings: h.rings(room, user, content),
	}
	if kind == event.EventRedaction {
		target := h.byID[id.EventID(fmt.Sprint(content["redacts"]))]
		if target == nil {
			return "", Refused(404, "M_NOT_FOUND")
		}
		if target.Sender != user && user != BotID && user != ModeratorMXID {
			return "", Refused(403, "M_FORBIDDEN")
		}
		target.Redacted = true
	}
	if parent := h.byID[id.EventID(e.Relation("event_id"))]; e.Relation("rel_type") == "m.thread" && parent != nil && parent.Relation("rel_type") != "" {
		return "", Refused(400, "M_UNKNOWN") // no threads under an event that has a relation
	}
	if kind == event.EventReaction && !h.SameReactions {
		for _, other := range h.events[room] {
			if other.Type == kind && !other.Redacted && other.Sender == user &&
				other.Relation("event_id") == e.Relation("event_id") && other.Relation("key") == e.Relation("key") {
				return "", Refused(400, "M_DUPLICATE_ANNOTATION")
			}
		}
	}
	h.events[room] = append(h.events[room], e)
	h.byID[e.ID] = e
	if s.Key != "" {
		h.txns[s.txn()] = e.ID
	}
	if h.OnEvent != nil {
		h.OnEvent(*e)
	}
	if h.After != nil {
		if err := h.After(user, kind, content); err != nil {
			return "", err
		}
	}
	return e.ID, nil
}

var errHang = errors.New("no answer yet")

// CutWhile cuts the connection of sends that match, which stay in flight; nil
// lets all others through again.
func (h *Homeserver) CutWhile(match func(kind event.Type, content map[string]any) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cut, h.hang = match, false
}

// HangWhile keeps senders waiting until they die; what they sent stays in flight.
func (h *Homeserver) HangWhile(match func(kind event.Type, content map[string]any) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cut, h.hang = match, true
}

// InFlight returns how many sends nobody waits for any more.
func (h *Homeserver) InFlight() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.inFlight)
}

// Finish stores the events of the sends in flight. Like real homeservers it
// knows their transaction ids only from then on.
func (h *Homeserver) Finish() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, store := range h.inFlight {
		store()
	}
	h.inFlight = nil
}

// Restart forgets the transaction ids, as real homeservers do.
func (h *Homeserver) Restart() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.txns = map[string]id.EventID{}
}

// Events returns a room's events in order.
func (h *Homeserver) Events(room id.RoomID) []Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]Event, 0, len(h.events[room]))
	for _, e := range h.events[room] {
		out = append(out, *e)
	}
	return out
}

// SetHidden makes an event answer that it is not there.
func (h *Homeserver) SetHidden(eventID id.EventID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hidden = eventID
}

func (h *Homeserver) isHidden(eventID id.EventID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.hidden == eventID
}

// Event returns one event.
func (h *Homeserver) Event(eventID id.EventID) Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.byID[eventID]; e != nil {
		return *e
	}
	return Event{}
}

// Messages returns a room's messages that are not redacted, as a client shows
// them: with their last edit, without edits of their own. Which edit is the last
// one their time says, as Matrix has it, and not when they came.
func (h *Homeserver) Messages(room id.RoomID) []Event {
	var out []Event
	at := map[id.EventID]int{}
	newest := map[id.EventID]Event{}
	for _, e := range h.Events(room) {
		if e.Type != event.EventMessage && e.Type != event.EventSticker {
			continue
		}
		if e.Relation("rel_type") == "m.replace" {
			i, ok := at[id.EventID(e.Relation("event_id"))]
			if ok && !e.Redacted && out[i].Sender == e.Sender && !e.At.Before(newest[out[i].ID].At) {
				newest[out[i].ID] = e
				if content, ok := e.Content["m.new_content"].(map[string]any); ok {
					out[i].Content = merge(content, out[i].Content["m.relates_to"])
				}
			}
			continue
		}
		if !e.Redacted {
			at[e.ID] = len(out)
			out = append(out, e)
		}
	}
	return out
}

// Edits returns the edits of an event, the newest first.
func (h *Homeserver) Edits(_ context.Context, room id.RoomID, target id.EventID) ([]id.EventID, error) {
	var found []Event
	for _, e := range h.Events(room) {
		if e.Relation("rel_type") == "m.replace" && e.Relation("event_id") == target.String() && !e.Redacted {
			found = append(found, e)
		}
	}
	slices.SortStableFunc(found, func(a, b Event) int { return b.At.Compare(a.At) })
	out := make([]id.EventID, len(found))
	for i, e := range found {
		out[i] = e.ID
	}
	return out, nil
}

func merge(content map[string]any, relation any) map[string]any {
	out := map[string]any{}
	for k, v := range content {
		out[k] = v
	}
	if relation != nil {
		out["m.relates_to"] = relation
	}
	return out
}

// Reactions returns the reactions on an event that are not redacted, as
// "sender key".
func (h *Homeserver) Reactions(room id.RoomID, target id.EventID) []string {
	var out []string
	for _, e := range h.Events(room) {
		if e.Type == event.EventReaction && !e.Redacted && e.Relation("event_id") == target.String() {
			out = append(out, e.Sender.String()+" "+e.Relation("key"))
		}
	}
	return out
}

// Statuses returns the statuses of an event in order.
func (h *Homeserver) Statuses(eventID id.EventID) []Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.statuses[eventID])
}

// finished reports whether the bridge has given an event a final status.
func (h *Homeserver) finished(eventID id.EventID) bool {
	for _, s := range h.Statuses(eventID) {
		if s.Status != event.MessageStatusPending {
			return true
		}
	}
	return false
}

// Requests returns how many events were sent so far.
func (h *Homeserver) Requests() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.requests
}

func (h *Homeserver) addStatus(st *bridgev2.MessageStatus, info *bridgev2.MessageStatusEventInfo) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.statuses[info.SourceEventID] = append(h.statuses[info.SourceEventID],
		Status{Event: info.SourceEventID, Status: st.Status, Message: st.Message, Notice: st.SendNotice, Err: st.InternalError})
}

func ghostMXID(userID string) id.UserID {
	return id.UserID(ghostPrefix + strings.ToLower(userID) + ":" + ServerName)
}

// plain turns a content into what goes over the wire.
func plain(content *event.Content) map[string]any {
	raw, err := json.Marshal(content)
	if err != nil {
		panic(err)
	}
	out := map[string]any{}
	if err = json.Unmarshal(raw, &out); err != nil {
		panic(err)
	}
	return out
}

type keyType struct{}

// WithKey puts a transaction key into a context, as matrix.WithKey does.
func WithKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, keyType{}, key)
}

func keyOf(ctx context.Context) string {
	key, _ := ctx.Value(keyType{}).(string)
	return key
}

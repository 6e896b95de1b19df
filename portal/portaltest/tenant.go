package portaltest

import (
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"teamsbridge/teams"
)

// Tenant is a tenant in memory: channels with messages, readers and writers. It
// outlives the bridges that use it.
type Tenant struct {
	mu       sync.Mutex
	messages map[string][]*teams.Message // by channel
	clock    time.Time
	skew     time.Duration
	requests int
	writes   int

	// fault decides about a write, read about a read.
	fault func(w Write) Fault
	read  func(r Read) error
	// lag is how long a new message is not seen by whoever asks for it.
	lag func(m teams.Message) time.Duration
	// writeLag is how long a new message is not known to whoever names it.
	writeLag func(m teams.Message) time.Duration
	limits   *limits
	// stale is how long a message is read as it was before its last change, which
	// before holds by its id.
	stale  time.Duration
	before map[string]teams.Message
	// pageSize is how many messages a page has; 0 means all.
	pageSize int
	// refused is a text that no post may have.
	refused string
	// changed is told about every change, as a notification would.
	changed func(m teams.Message)
	images  map[string][]byte
	// hosted counts the pictures that came with what the bridge wrote.
	hosted int
	// ImageType is what images say they are, a PNG where it is empty; set it
	// before a start.
	ImageType string
	// files are SharePoint's, by name; fileCount is how many there ever were.
	files     map[string]*File
	fileCount int
	// sessions are uploads that are not complete.
	sessions map[string][]byte
}

// NewTenant makes a tenant.
func NewTenant() *Tenant {
	return &Tenant{messages: map[string][]*teams.Message{}, clock: time.Now(), images: map[string][]byte{}, before: map[string]teams.Message{}, files: map[string]*File{}, sessions: map[string][]byte{}}
}

// Errors as Graph gives them.
var (
	ErrThrottled   = &teams.Error{Op: "test", Kind: teams.KindThrottled, Status: 429}
	ErrUnavailable = &teams.Error{Op: "test", Kind: teams.KindUnavailable}
	ErrAmbiguous   = &teams.Error{Op: "test", Kind: teams.KindUnavailable, Ambiguous: true}
	ErrExpired     = &teams.Error{Op: "test", Kind: teams.KindSignInExpired, Status: 401}
	ErrPermission  = &teams.Error{Op: "test", Kind: teams.KindPermission, Status: 403}
	ErrBadRequest  = &teams.Error{Op: "test", Kind: teams.KindBadRequest, Status: 400}
	ErrNotFound    = &teams.Error{Op: "test", Kind: teams.KindNotFound, Status: 404}
	// ErrHangs makes a request for an image last until its context ends.
	ErrHangs = &teams.Error{Op: "test", Kind: teams.KindUnavailable, Hint: "hangs"}
)

// SetChanged sets who is told about changes.
func (t *Tenant) SetChanged(f func(m teams.Message)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changed = f
}

// SetSkew makes the tenant's clock differ from the bridge's; call it before
// anything is written.
func (t *Tenant) SetSkew(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clock, t.skew = t.clock.Add(d-t.skew), d
}

// AddImage makes an image that can be fetched.
func (t *Tenant) AddImage(url string, data []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.images[url] = data
}

// tick returns a time that no message has yet.
func (t *Tenant) tick() time.Time {
	now := time.Now().Add(t.skew).Truncate(time.Millisecond)
	if !now.After(t.clock) {
		now = t.clock.Add(time.Millisecond)
	}
	t.clock = now
	return now
}

// Post writes as a person in Teams.
func (t *Tenant) Post(ch teams.ChannelRef, rootID, userID, html string) teams.Message {
	return t.PostMentioning(ch, rootID, userID, html)
}

// PostMentioning writes as a person who mentions somebody, or everybody.
func (t *Tenant) PostMentioning(ch teams.ChannelRef, rootID, userID, html string, mentions ...teams.Mention) teams.Message {
	t.mu.Lock()
	m := t.post(ch, rootID, userID, html)
	if len(mentions) > 0 {
		t.find(ch, m.ID).Mentions, m.Mentions = mentions, mentions
	}
	t.mu.Unlock()
	t.tell(m)
	return m
}

func (t *Tenant) post(ch teams.ChannelRef, rootID, userID, html string) teams.Message {
	at := t.tick()
	m := &teams.Message{
		Channel: ch, ID: strconv.FormatInt(at.UnixMilli(), 10), ReplyToID: rootID, ETag: at.UnixMilli(), Type: teams.TypeMessage,
		Created: at, Modified: at, Importance: "normal", BodyType: teams.BodyHTML, Body: html,
		From: teams.Identity{ID: userID, DisplayName: "Teams " + userID, Kind: "user", UserType: "aadUser"},
	}
	t.messages[ch.ChannelID] = append(t.messages[ch.ChannelID], m)
	return clone(m)
}

func (t *Tenant) tell(m teams.Message) {
	t.mu.Lock()
	changed := t.changed
	t.mu.Unlock()
	if changed != nil {
		changed(m)
	}
}

// PostThen writes as a person in Teams, at a time in the past.
func (t *Tenant) PostThen(ch teams.ChannelRef, userID, html string, at time.Time) teams.Message {
	t.mu.Lock()
	m := t.post(ch, "", userID, html)
	stored, id := t.find(ch, m.ID), strconv.FormatInt(at.UnixMilli(), 10)
	stored.ID, stored.Created, stored.Modified, stored.ETag = id, at, at, at.UnixMilli()
	m = clone(stored)
	t.mu.Unlock()
	t.tell(m)
	return m
}

// Change changes a message as a person in Teams and tells about it.
func (t *Tenant) Change(ch teams.ChannelRef, messageID string, f func(m *teams.Message, at time.Time)) teams.Message {
	t.mu.Lock()
	m := t.change(ch, messageID, f)
	t.mu.Unlock()
	t.tell(m)
	return m
}

func (t *Tenant) change(ch teams.ChannelRef, messageID string, f func(m *teams.Message, at time.Time)) teams.Message {
	m := t.find(ch, messageID)
	at := t.tick()
	t.before[m.ID] = clone(m)
	f(m, at)
	m.Modified, m.ETag = at, at.UnixMilli()
	return clone(m)
}

// SetText edits.
func SetText(html string) func(m *teams.Message, at time.Time) {
	return func(m *teams.Message, at time.Time) { m.Body, m.Edited = html, at }
}

// SetDeleted deletes.
func SetDeleted() func(m *teams.Message, at time.Time) {
	return func(m *teams.Message, at time.Time) { m.Deleted, m.Body = at, "" }
}

// SetUndeleted takes a deletion back.
func SetUndeleted(html string) func(m *teams.Message, at time.Time) {
	return func(m *teams.Message, _ time.Time) { m.Deleted, m.Body = time.Time{}, html }
}

// AddReaction reacts.
func AddReaction(userID, emoji string) func(m *teams.Message, at time.Time) {
	return func(m *teams.Message, at time.Time) {
		if hasReaction(m, userID, emoji) {
			return
		}
		m.Reactions = append(m.Reactions, teams.Reaction{Type: emoji, Created: at, User: teams.Identity{ID: userID, Kind: "user"}})
	}
}

// AddCustomReaction reacts with an emoji of the organisation's own.
func AddCustomReaction(userID, name, url string) func(m *teams.Message, at time.Time) {
	return func(m *teams.Message, at time.Time) {
		m.Reactions = append(m.Reactions, teams.Reaction{
			Type: "custom", DisplayName: name, ContentURL: url, Created: at, User: teams.Identity{ID: userID, Kind: "user"},
		})
	}
}

// DropReaction takes a reaction back.
func DropReaction(userID, emoji string) func(m *teams.Message, at time.Time) {
	return func(m *teams.Message, _ time.Time) {
		m.Reactions = slices.DeleteFunc(m.Reactions, func(r teams.Reaction) bool { return r.User.ID == userID && r.Type == emoji })
	}
}

func hasReaction(m *teams.Message, userID, emoji string) bool {
	return slices.ContainsFunc(m.Reactions, func(r teams.Reaction) bool { return r.User.ID == userID && r.Type == emoji })
}

// Remove makes a message vanish altogether.
func (t *Tenant) Remove(ch teams.ChannelRef, messageID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.messages[ch.ChannelID] = slices.DeleteFunc(t.messages[ch.ChannelID], func(m *teams.Message) bool { return m.ID == messageID })
}

func (t *Tenant) find(ch teams.ChannelRef, messageID string) *teams.Message {
	for _, m := range t.messages[ch.ChannelID] {
		if m.ID == messageID {
			return m
		}
	}
	return nil
}

func clone(m *teams.Message) teams.Message {
	out := *m
	out.Reactions = slices.Clone(m.Reactions)
	return out
}

// Messages returns a channel's messages in the order in which they were posted.
func (t *Tenant) Messages(ch teams.ChannelRef) []teams.Message {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []teams.Message
	for _, m := range t.messages[ch.ChannelID] {
		out = append(out, clone(m))
	}
	return out
}

// Requests returns how many requests were made so far, and how many of them
// were writes.
func (t *Tenant) Requests() (all, writes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.requests, t.writes
}

// Reader returns the tenant's reader; dead, where it is set and true, cuts it off.
func (t *Tenant) Reader(dead *atomic.Bool) teams.Reader { return &reader{t: t, dead: dead} }

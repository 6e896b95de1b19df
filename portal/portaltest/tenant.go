package portaltest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"teamsbridge/teams"
)

// Fault is what happens to a write.
type Fault struct {
	// Refuse is answered without the write being made, Lose after it was made.
	Refuse, Lose error
	// Hold delays the answer, after the write was made, until it is closed.
	Hold chan struct{}
}

// Tenant is a tenant in memory: channels with messages, readers and writers. It
// outlives the bridges that use it.
type Tenant struct {
	mu       sync.Mutex
	messages map[string][]*teams.Message // by channel
	clock    time.Time
	requests int
	writes   int

	// Fault decides about a write; op is post, edit, delete, react, unreact.
	fault func(op, account string) Fault
	// read decides about a read; op is message, list, replies, export, image.
	read func(op string) error
	// pageSize is how many messages a page has; 0 means all.
	pageSize int
	// changed is told about every change, as a notification would.
	changed func(m teams.Message)
	images  map[string][]byte
	// refused is a text that no post may have.
	refused string
}

// NewTenant makes a tenant.
func NewTenant() *Tenant {
	return &Tenant{messages: map[string][]*teams.Message{}, clock: time.Now(), images: map[string][]byte{}}
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
)

// SetFault sets what happens to writes; nil means that all goes well.
func (t *Tenant) SetFault(f func(op, account string) Fault) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fault = f
}

// SetRefuseText makes posts that say something be refused for good.
func (t *Tenant) SetRefuseText(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refused = text
}

// SetRead sets what happens to reads; nil means that all goes well.
func (t *Tenant) SetRead(f func(op string) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.read = f
}

// SetPageSize sets how many messages a page of a list has; 0 means all.
func (t *Tenant) SetPageSize(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pageSize = n
}

// SetChanged sets who is told about changes.
func (t *Tenant) SetChanged(f func(m teams.Message)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changed = f
}

// AddImage makes an image that can be fetched.
func (t *Tenant) AddImage(url string, data []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.images[url] = data
}

// tick returns a time that no message has yet.
func (t *Tenant) tick() time.Time {
	now := time.Now().Truncate(time.Millisecond)
	if !now.After(t.clock) {
		now = t.clock.Add(time.Millisecond)
	}
	t.clock = now
	return now
}

// Post writes as a person in Teams.
func (t *Tenant) Post(ch teams.ChannelRef, rootID, userID, html string) teams.Message {
	t.mu.Lock()
	m := t.post(ch, rootID, userID, html)
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

// reader implements the calls that package portal makes; the others are not
// there, and calling one panics.
type reader struct {
	teams.Reader
	t    *Tenant
	dead *atomic.Bool
}

func (r *reader) begin(op string) error {
	if r.dead != nil && r.dead.Load() {
		return ErrUnavailable
	}
	r.t.mu.Lock()
	r.t.requests++
	read := r.t.read
	r.t.mu.Unlock()
	if read != nil {
		return read(op)
	}
	return nil
}

func (r *reader) Message(_ context.Context, ref teams.MessageRef) (teams.Message, error) {
	if err := r.begin("message"); err != nil {
		return teams.Message{}, err
	}
	r.t.mu.Lock()
	defer r.t.mu.Unlock()
	if m := r.t.find(ref.ChannelRef, ref.ID); m != nil {
		return clone(m), nil
	}
	return teams.Message{}, ErrNotFound
}

// List lists posts, the newest first.
func (r *reader) List(_ context.Context, ch teams.ChannelRef, link string) (teams.Page, error) {
	if err := r.begin("list"); err != nil {
		return teams.Page{}, err
	}
	var posts []teams.Message
	for _, m := range slices.Backward(r.t.Messages(ch)) {
		if m.ReplyToID == "" {
			posts = append(posts, m)
		}
	}
	page := r.page(posts, link)
	var withReplies []teams.Message
	for _, post := range page.Messages {
		withReplies = append(withReplies, post)
		for _, m := range r.t.Messages(ch) {
			if m.ReplyToID == post.ID {
				withReplies = append(withReplies, m)
			}
		}
	}
	page.Messages = withReplies
	return page, nil
}

// Replies lists replies. Graph does not promise their order; here the oldest
// come first, which is the harder one.
func (r *reader) Replies(_ context.Context, root teams.MessageRef, link string) (teams.Page, error) {
	if err := r.begin("replies"); err != nil {
		return teams.Page{}, err
	}
	var replies []teams.Message
	for _, m := range r.t.Messages(root.ChannelRef) {
		if m.ReplyToID == root.ID {
			replies = append(replies, m)
		}
	}
	return r.page(replies, link), nil
}

// ExportTeam lists what changed in all channels of a team after a time.
func (r *reader) ExportTeam(_ context.Context, teamID string, since time.Time, link string) (teams.Page, error) {
	if err := r.begin("export"); err != nil {
		return teams.Page{}, err
	}
	var changed []teams.Message
	for _, ch := range r.t.channels(teamID) {
		for _, m := range r.t.Messages(ch) {
			if m.Modified.After(since) {
				changed = append(changed, m)
			}
		}
	}
	return r.page(changed, link), nil
}

// page cuts a list; a link names the last message of the page before.
func (r *reader) page(all []teams.Message, link string) teams.Page {
	r.t.mu.Lock()
	size := r.t.pageSize
	r.t.mu.Unlock()
	if link != "" {
		all = all[1+slices.IndexFunc(all, func(m teams.Message) bool { return m.ID == link }):]
	}
	if size == 0 || len(all) <= size {
		return teams.Page{Messages: all}
	}
	return teams.Page{Messages: all[:size], NextLink: all[size-1].ID}
}

// channels returns the channels of a team in which there are messages.
func (t *Tenant) channels(teamID string) []teams.ChannelRef {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []teams.ChannelRef
	for _, id := range slices.Sorted(maps.Keys(t.messages)) {
		if msgs := t.messages[id]; len(msgs) > 0 && msgs[0].Channel.TeamID == teamID {
			out = append(out, msgs[0].Channel)
		}
	}
	return out
}

func (r *reader) HostedContent(_ context.Context, url string) (io.ReadCloser, string, error) {
	if err := r.begin("image"); err != nil {
		return nil, "", err
	}
	r.t.mu.Lock()
	defer r.t.mu.Unlock()
	data, ok := r.t.images[url]
	if !ok {
		return nil, "", ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(data)), "image/png", nil
}

// Writer returns the writer of an account; dead, where it is set and true, cuts
// it off.
func (t *Tenant) Writer(userID string, dead *atomic.Bool) teams.Writer {
	return &writer{t: t, user: userID, dead: dead}
}

type writer struct {
	t    *Tenant
	user string
	dead *atomic.Bool
}

func (w *writer) Account() teams.Account { return teams.Account{UserID: w.user, DisplayName: w.user} }

// do makes a write with the fault that is set for it.
func (w *writer) do(ctx context.Context, op string, f func() (teams.Message, error)) (teams.Message, error) {
	w.t.mu.Lock()
	if w.dead != nil && w.dead.Load() {
		w.t.mu.Unlock()
		return teams.Message{}, ErrAmbiguous
	}
	w.t.requests++
	w.t.writes++
	var fault Fault
	if w.t.fault != nil {
		fault = w.t.fault(op, w.user)
	}
	if fault.Refuse != nil {
		w.t.mu.Unlock()
		return teams.Message{}, fault.Refuse
	}
	m, err := f()
	w.t.mu.Unlock()
	if err != nil {
		return m, err
	}
	w.t.tell(m)
	if fault.Hold != nil {
		select {
		case <-fault.Hold:
		case <-ctx.Done():
			return teams.Message{}, ctx.Err()
		}
	}
	if fault.Lose != nil {
		return teams.Message{}, fault.Lose
	}
	return m, nil
}

func (w *writer) Post(ctx context.Context, ch teams.ChannelRef, rootID string, d teams.Draft) (teams.Message, error) {
	return w.do(ctx, "post", func() (teams.Message, error) {
		if w.t.refused != "" && strings.Contains(d.HTML, w.t.refused) {
			return teams.Message{}, ErrBadRequest
		}
		if rootID != "" {
			root := w.t.find(ch, rootID)
			if root == nil || !root.Deleted.IsZero() {
				return teams.Message{}, ErrNotFound
			} else if root.ReplyToID != "" {
				return teams.Message{}, errors.New("test: reply to a reply")
			}
		}
		// Teams wraps what it is given.
		return w.t.post(ch, rootID, w.user, "<div><div>\n"+d.HTML+"</div></div>"), nil
	})
}

func (w *writer) onMessage(ctx context.Context, op string, ref teams.MessageRef, author bool, f func(m *teams.Message, at time.Time)) error {
	_, err := w.do(ctx, op, func() (teams.Message, error) {
		m := w.t.find(ref.ChannelRef, ref.ID)
		switch {
		case m == nil || m.ReplyToID != ref.RootID:
			return teams.Message{}, ErrNotFound
		case author && m.From.ID != w.user:
			return teams.Message{}, ErrPermission
		}
		return w.t.change(ref.ChannelRef, ref.ID, f), nil
	})
	return err
}

func (w *writer) Edit(ctx context.Context, ref teams.MessageRef, d teams.Draft) error {
	return w.onMessage(ctx, "edit", ref, true, SetText("<div><div>\n"+d.HTML+"</div></div>"))
}

func (w *writer) Delete(ctx context.Context, ref teams.MessageRef) error {
	return w.onMessage(ctx, "delete", ref, true, SetDeleted())
}

func (w *writer) Undelete(ctx context.Context, ref teams.MessageRef) error {
	return w.onMessage(ctx, "undelete", ref, true, SetUndeleted("<p></p>"))
}

func (w *writer) React(ctx context.Context, ref teams.MessageRef, emoji string) error {
	return w.onMessage(ctx, "react", ref, false, AddReaction(w.user, emoji))
}

func (w *writer) Unreact(ctx context.Context, ref teams.MessageRef, emoji string) error {
	return w.onMessage(ctx, "unreact", ref, false, DropReaction(w.user, emoji))
}

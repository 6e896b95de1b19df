package teamstest

import (
	"slices"
	"strconv"
	"time"
)

// Message is a post or a reply in a channel. It never leaves the channel:
// deleting marks it.
type Message struct {
	// ID is the message's id: the time of its creation in milliseconds,
	// unique within its channel only.
	ID string
	// RootID is the id of the post that a reply belongs to, empty for a post.
	RootID string

	t       *Tenant
	ch      *Channel
	root    *Message
	created time.Time
	author  *User
	bot     string
	botID   string
	event   *event
	replies []*Message // of a post, oldest first
	// versions are the states of the message, the newest last. Each is
	// immutable. More than one is kept only while a change is not visible to
	// every reader yet.
	versions []*version
}

// version is one state of a message.
type version struct {
	seq         uint64 // position in the tenant's order of changes
	visibleAt   time.Time
	modified    time.Time
	edited      time.Time
	deleted     time.Time
	subject     string
	importance  string
	contentType string
	content     string
	attachments []attachment
	mentions    []mention
	reactions   []reaction
	history     []historyItem
	hosted      []*hostedContent
	violation   any
}

type attachment struct {
	id, contentType, contentURL, content, name, thumbnailURL, teamsAppID *string
}

// mention is one person, channel or team that a message addresses.
type mention struct {
	id       int
	text     string
	user     *User
	convID   string
	convName string
	convKind string // channel or team
}

type reaction struct {
	kind       string
	name       string
	contentURL string
	at         time.Time
	user       *User
}

type historyItem struct {
	at       time.Time
	action   string
	reaction reaction
}

// hostedContent is a picture that Teams keeps with a message.
type hostedContent struct {
	id          string
	contentType string
	data        []byte
}

// latest is the newest state, whoever may see it already.
func (m *Message) latest() *version { return m.versions[len(m.versions)-1] }

// view is the state that a reader sees at now, nil while there is none.
func (m *Message) view(now time.Time) *version {
	for _, v := range slices.Backward(m.versions) {
		if !v.visibleAt.After(now) {
			return v
		}
	}
	return nil
}

// chain is the post that the message belongs to.
func (m *Message) chain() *Message {
	if m.root != nil {
		return m.root
	}
	return m
}

// draft is a message about to be created or edited, checked already.
type draft struct {
	subject, importance  string
	contentType, content string
	attachments          []attachment
	mentions             []mention
	hosted               []*hostedContent
}

// createMessage adds a message. The tenant's lock is held. A zero at means
// now. The id is the time of creation, moved on by a millisecond as long as
// the channel has that id already.
func (c *Channel) createMessage(root *Message, at time.Time, fill func(m *Message) draft) *Message {
	t := c.t
	if at.IsZero() {
		at = t.clock.Now()
	}
	at = at.UTC().Truncate(time.Millisecond)
	for c.messages[msID(at)] != nil {
		at = at.Add(time.Millisecond)
	}
	m := &Message{ID: msID(at), t: t, ch: c, root: root, created: at}
	if root != nil {
		m.RootID = root.ID
	}
	d := fill(m)
	t.seq++
	m.versions = []*version{{
		seq: t.seq, visibleAt: t.clock.Now().Add(t.lag), modified: at,
		subject: d.subject, importance: d.importance, contentType: d.contentType, content: d.content,
		attachments: d.attachments, mentions: d.mentions, hosted: d.hosted,
	}}
	c.messages[m.ID] = m
	if root == nil {
		c.roots = insertByTime(c.roots, m)
	} else {
		root.replies = insertByTime(root.replies, m)
	}
	m.emit(changeMessageCreated)
	return m
}

// insertByTime keeps a list ordered by creation. History may be added late.
func insertByTime(list []*Message, m *Message) []*Message {
	i := len(list)
	for i > 0 && list[i-1].created.After(m.created) {
		i--
	}
	return slices.Insert(list, i, m)
}

// update commits a new state of the message. The tenant's lock is held. The
// time of modification always grows, so that etags never repeat.
func (m *Message) update(kind changeKind, at time.Time, alter func(v *version)) {
	t, old := m.t, m.latest()
	if at.IsZero() {
		at = t.clock.Now()
	}
	at = at.UTC().Truncate(time.Millisecond)
	if !at.After(old.modified) {
		at = old.modified.Add(time.Millisecond)
	}
	next := *old
	t.seq++
	next.seq, next.modified = t.seq, at
	next.visibleAt = t.clock.Now().Add(t.lag)
	next.reactions = slices.Clone(old.reactions)
	next.history = slices.Clone(old.history)
	alter(&next)
	// States that every reader is past are of no use any more.
	now := t.clock.Now()
	keep := m.versions
	for len(keep) > 1 && !keep[1].visibleAt.After(now) {
		keep = keep[1:]
	}
	m.versions = append(slices.Clone(keep), &next)
	m.emit(kind)
}

// edit replaces what the author wrote. Reactions stay.
func (m *Message) edit(d draft, at time.Time) {
	m.update(changeMessageUpdated, at, func(v *version) {
		v.edited = v.modified
		v.subject, v.importance = d.subject, d.importance
		v.contentType, v.content = d.contentType, d.content
		v.attachments, v.mentions, v.hosted = d.attachments, d.mentions, d.hosted
	})
}

// softDelete hides the message's content. It is kept for undoSoftDelete.
func (m *Message) softDelete() bool {
	if !m.latest().deleted.IsZero() {
		return false
	}
	m.update(changeMessageDeleted, time.Time{}, func(v *version) { v.deleted = v.modified })
	return true
}

// undoSoftDelete brings the content back. That this is notified as an update
// is not documented.
func (m *Message) undoSoftDelete() bool {
	if m.latest().deleted.IsZero() {
		return false
	}
	m.update(changeMessageUpdated, time.Time{}, func(v *version) { v.deleted = time.Time{} })
	return true
}

// react adds a person's reaction, at r.at if that is set. A person may hold several different ones at
// a time, which is not documented but is harder for a bridge.
func (m *Message) react(u *User, r reaction) bool {
	if m.hasReaction(u, r.kind, r.name) {
		return false
	}
	m.update(changeMessageUpdated, r.at, func(v *version) {
		r.at, r.user = v.modified, u
		v.reactions = append(v.reactions, r)
		v.history = append(v.history, historyItem{at: v.modified, action: "reactionAdded", reaction: r})
	})
	return true
}

// unreact removes a person's reaction. Graph has been seen to notify one
// removal twice, so the tenant always does.
func (m *Message) unreact(u *User, kind, name string) bool {
	if !m.hasReaction(u, kind, name) {
		return false
	}
	m.update(changeMessageUpdated, time.Time{}, func(v *version) {
		i := slices.IndexFunc(v.reactions, func(r reaction) bool { return r.user == u && r.kind == kind && r.name == name })
		gone := v.reactions[i]
		v.reactions = slices.Delete(v.reactions, i, i+1)
		v.history = append(v.history, historyItem{at: v.modified, action: "reactionRemoved", reaction: gone})
	})
	m.emit(changeMessageUpdated)
	return true
}

func (m *Message) hasReaction(u *User, kind, name string) bool {
	return slices.ContainsFunc(m.latest().reactions, func(r reaction) bool { return r.user == u && r.kind == kind && r.name == name })
}

// emit queues the change for onChange. The tenant's lock is held.
func (m *Message) emit(kind changeKind) {
	m.t.emit(change{
		Kind: kind, At: m.latest().modified,
		TeamID: m.ch.team.ID, ChannelID: m.ch.ID, RootID: m.RootID, MessageID: m.ID,
		Resource: m.resource(),
		object:   m.wire(m.latest(), wireOptions{notification: true}),
	})
}

// emit queues a change. The tenant's lock is held; unlock delivers it.
func (t *Tenant) emit(c change) {
	if c.At.IsZero() {
		c.At = t.clock.Now()
	}
	t.pending = append(t.pending, c)
}

// unlock releases the lock of a writer and delivers what it changed, in commit
// order, whoever committed it. When it returns, the writer's own changes have
// been delivered.
func (t *Tenant) unlock() {
	t.mu.Unlock()
	t.delivering.Lock()
	defer t.delivering.Unlock()
	for {
		t.mu.Lock()
		batch := t.pending
		t.pending = nil
		t.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, c := range batch {
			t.seams.onChange(c)
		}
	}
}

// chainSeq is the newest change that a reader sees in a post and its replies,
// and whether there is one that readers do not see yet, and its position.
func (m *Message) chainSeq(now time.Time) (seen, hidden uint64) {
	look := func(m *Message) {
		for _, v := range m.versions {
			if v.visibleAt.After(now) {
				if hidden == 0 || v.seq < hidden {
					hidden = v.seq
				}
			} else {
				seen = max(seen, v.seq)
			}
		}
	}
	look(m)
	for _, r := range m.replies {
		look(r)
	}
	return seen, hidden
}

// msID is a time as ids and etags show it.
func msID(at time.Time) string { return strconv.FormatInt(at.UnixMilli(), 10) }

package teamstest

import "time"

// MessageState is a message as it is now, whatever readers of Graph see yet. A
// deleted message shows what it said before.
type MessageState struct {
	ID, RootID string
	// ETag is the time of the last change in milliseconds.
	ETag int64
	// Created, Modified, Edited and Deleted are zero when not set.
	Created, Modified, Edited, Deleted time.Time
	// From is the author, nil for system messages and bots.
	From *User
	// Bot is the name of the application that wrote it.
	Bot string
	// Event is the kind of a system message, such as membersAdded.
	Event       string
	Subject     string
	Importance  string
	ContentType string
	Content     string
	Attachments []Attachment
	Mentions    []MentionState
	Reactions   []ReactionState
	Images      []Image
	// Replies are a post's replies, oldest first.
	Replies []MessageState
}

// MentionState is one mention of a message.
type MentionState struct {
	ID   int
	Text string
	// UserID is set for people, else Kind and ConversationID.
	UserID, Kind, ConversationID string
}

// ReactionState is one person's reaction.
type ReactionState struct {
	// Kind is the emoji, an old word, or custom. Name is what Teams shows.
	Kind, Name string
	User       *User
	At         time.Time
}

// Messages returns everything in the channel: posts, oldest first, with their
// replies, deleted ones and system messages too.
func (c *Channel) Messages() []MessageState {
	return locked(c.t, func() []MessageState {
		list := make([]MessageState, 0, len(c.roots))
		for _, m := range c.roots {
			list = append(list, m.state())
		}
		return list
	})
}

// State returns the message as it is now.
func (m *Message) State() MessageState { return locked(m.t, m.state) }

func (m *Message) state() MessageState {
	v := m.latest()
	s := MessageState{
		ID: m.ID, RootID: m.RootID, ETag: v.modified.UnixMilli(),
		Created: m.created, Modified: v.modified, Edited: v.edited, Deleted: v.deleted,
		From: m.author, Bot: m.bot, Subject: v.subject, Importance: v.importance,
		ContentType: v.contentType, Content: v.content,
	}
	if m.event != nil {
		s.Event = m.event.kind
	}
	for _, a := range v.attachments {
		s.Attachments = append(s.Attachments, Attachment{
			deref(a.id), deref(a.contentType), deref(a.contentURL), deref(a.content), deref(a.name), deref(a.thumbnailURL), deref(a.teamsAppID),
		})
	}
	for _, mn := range v.mentions {
		ms := MentionState{ID: mn.id, Text: mn.text, Kind: mn.convKind, ConversationID: mn.convID}
		if mn.user != nil {
			ms.UserID = mn.user.ID
		}
		s.Mentions = append(s.Mentions, ms)
	}
	for _, r := range v.reactions {
		s.Reactions = append(s.Reactions, ReactionState{r.kind, r.name, r.user, r.at})
	}
	for _, h := range v.hosted {
		s.Images = append(s.Images, Image{h.id, h.contentType, h.data})
	}
	for _, reply := range m.replies {
		s.Replies = append(s.Replies, reply.state())
	}
	return s
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

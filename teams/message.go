package teams

import (
	"encoding/json"
	"strconv"
	"time"
)

// ChannelRef names a channel. Channel ids are unique on their own, but every
// Graph path wants the team too.
type ChannelRef struct {
	TeamID    string `json:"team"`
	ChannelID string `json:"channel"`
}

// String returns "team/channel", the form used in logs and keys.
func (r ChannelRef) String() string { return r.TeamID + "/" + r.ChannelID }

// MessageRef names a message. Message ids are unique within a channel only.
type MessageRef struct {
	ChannelRef
	// RootID is the id of the post that a reply belongs to, empty for a post.
	RootID string
	ID     string
}

// Created returns when the message was written: its id is that time in
// milliseconds. It is zero for an id of another form.
func (r MessageRef) Created() time.Time { return timeOfID(r.ID) }

func timeOfID(id string) time.Time {
	if ms, err := strconv.ParseInt(id, 10, 64); err == nil && ms > 0 && ms < maxMilli {
		return time.UnixMilli(ms).UTC()
	}
	return time.Time{}
}

// BodyType tells how Body of a Message is to be read.
type BodyType string

// The body types of Graph's itemBody.
const (
	BodyText BodyType = "text"
	BodyHTML BodyType = "html"
)

// The message types of Graph's chatMessage that the bridge tells apart.
const (
	TypeMessage = "message"
	TypeSystem  = "systemEventMessage"
)

// Identity is who did something. A zero Identity means that Graph did not say.
type Identity struct {
	ID          string `json:"id,omitempty"`
	DisplayName string `json:"name,omitempty"`
	// Kind is "user", "application" or "device".
	Kind string `json:"kind,omitempty"`
	// UserType is teamworkUserIdentity's userIdentityType, such as "aadUser".
	UserType string `json:"user_type,omitempty"`
	TenantID string `json:"tenant,omitempty"`
}

// IsUser reports whether the identity is a person known by id.
func (i Identity) IsUser() bool { return i.Kind == "user" && i.ID != "" }

// Mention is one <at id="ID"> of a body. Exactly one of the pointers is set
// where Graph says who is mentioned.
type Mention struct {
	ID           int                  `json:"id"`
	Text         string               `json:"text,omitempty"`
	User         *Identity            `json:"user,omitempty"`
	Application  *Identity            `json:"application,omitempty"`
	Conversation *ConversationMention `json:"conversation,omitempty"`
	Tag          *TagMention          `json:"tag,omitempty"`
}

// ConversationMention mentions everybody in a team, channel or chat.
type ConversationMention struct {
	ID          string `json:"id"`
	DisplayName string `json:"name,omitempty"`
	// Type is "team", "channel" or "chat".
	Type string `json:"type,omitempty"`
}

// TagMention mentions the people behind a tag of a team.
type TagMention struct {
	ID          string `json:"id"`
	DisplayName string `json:"name,omitempty"`
}

// Attachment is Graph's chatMessageAttachment: a file reference, a card, a
// quoted message. Content is a JSON document as a string for most types.
type Attachment struct {
	ID           string `json:"id,omitempty"`
	ContentType  string `json:"content_type,omitempty"`
	ContentURL   string `json:"content_url,omitempty"`
	Content      string `json:"content,omitempty"`
	Name         string `json:"name,omitempty"`
	ThumbnailURL string `json:"thumbnail_url,omitempty"`
	TeamsAppID   string `json:"teams_app_id,omitempty"`
}

// Reaction is one person's one reaction.
type Reaction struct {
	// Type is a unicode emoji, a legacy word (like, angry, sad, laugh, heart,
	// surprised) or "custom".
	Type        string    `json:"type"`
	DisplayName string    `json:"name,omitempty"`
	ContentURL  string    `json:"content_url,omitempty"`
	Created     time.Time `json:"created,omitzero"`
	User        Identity  `json:"user,omitzero"`
}

// EventDetail is what a system message reports.
type EventDetail struct {
	// Type is the OData type without "#microsoft.graph." in front and
	// "EventMessageDetail" behind, such as "membersAdded".
	Type      string          `json:"type"`
	Initiator *Identity       `json:"initiator,omitempty"`
	Raw       json.RawMessage `json:"raw,omitempty"`
}

// Message is a channel message as Graph shows it (resource chatMessage). Zero
// times mean "not set". The JSON tags are the ledger's own stored form, not
// Graph's; DecodeMessage reads Graph's.
type Message struct {
	Channel   ChannelRef `json:"ch"`
	ID        string     `json:"id"`
	ReplyToID string     `json:"reply_to,omitempty"`
	// ETag is the version in Unix milliseconds; the numeric maximum wins.
	ETag     int64     `json:"etag"`
	Type     string    `json:"type"`
	Created  time.Time `json:"created,omitzero"`
	Modified time.Time `json:"modified,omitzero"`
	// Edited is set by a text edit only, not by reactions.
	Edited      time.Time    `json:"edited,omitzero"`
	Deleted     time.Time    `json:"deleted,omitzero"`
	Subject     string       `json:"subject,omitempty"`
	Summary     string       `json:"summary,omitempty"`
	Importance  string       `json:"importance,omitempty"`
	WebURL      string       `json:"web_url,omitempty"`
	From        Identity     `json:"from,omitzero"`
	BodyType    BodyType     `json:"body_type,omitempty"`
	Body        string       `json:"body,omitempty"`
	Attachments []Attachment `json:"attachments,omitempty"`
	Mentions    []Mention    `json:"mentions,omitempty"`
	Reactions   []Reaction   `json:"reactions,omitempty"`
	Event       *EventDetail `json:"event,omitempty"`
}

// Ref returns the name of the message.
func (m Message) Ref() MessageRef {
	return MessageRef{ChannelRef: m.Channel, RootID: m.ReplyToID, ID: m.ID}
}

// Page is one page of a list of messages.
type Page struct {
	// Messages holds posts and, right after each post, the replies that came
	// expanded with it.
	Messages []Message
	// NextLink and DeltaLink are opaque and to be used verbatim; at most one is set.
	NextLink  string
	DeltaLink string
	// MoreReplies names the posts of which not all replies fitted the page.
	MoreReplies []MoreReplies
	// Malformed counts the items that had no usable id.
	Malformed int
}

// MoreReplies is where a post's further replies are.
type MoreReplies struct {
	Root MessageRef
	Link string
}

// InlineImage is a picture inside a draft; the draft's HTML names it as
// src="../hostedContents/<ID>/$value".
type InlineImage struct {
	ID          string
	ContentType string
	Data        []byte
}

// Draft is a message to be sent to Teams. Graph takes at most about 28 KB of
// text, markup and mentions together and 4 MB for the whole request.
type Draft struct {
	HTML        string
	Subject     string
	Importance  string
	Mentions    []Mention
	Images      []InlineImage
	Attachments []Attachment
}

package teamstest

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The wire structs name every property, so that null is written where Graph
// writes it. Order is Graph's.

type wireMessage struct {
	Context          string            `json:"@odata.context,omitempty"`
	ODataType        string            `json:"@odata.type,omitempty"`
	ID               string            `json:"id"`
	ReplyToID        *string           `json:"replyToId"`
	ETag             string            `json:"etag"`
	MessageType      string            `json:"messageType"`
	Created          string            `json:"createdDateTime"`
	Modified         string            `json:"lastModifiedDateTime"`
	Edited           *string           `json:"lastEditedDateTime"`
	Deleted          *string           `json:"deletedDateTime"`
	Subject          *string           `json:"subject"`
	Summary          *string           `json:"summary"`
	ChatID           *string           `json:"chatId"`
	Importance       string            `json:"importance"`
	Locale           string            `json:"locale"`
	WebURL           string            `json:"webUrl"`
	PolicyViolation  any               `json:"policyViolation"`
	EventDetail      any               `json:"eventDetail"`
	From             *wireIdentitySet  `json:"from"`
	Body             wireBody          `json:"body"`
	ChannelIdentity  wireChannelRef    `json:"channelIdentity"`
	Attachments      []wireAttachment  `json:"attachments"`
	Mentions         []wireMention     `json:"mentions"`
	Reactions        []wireReaction    `json:"reactions"`
	MessageHistory   []wireHistoryItem `json:"messageHistory"`
	RepliesContext   string            `json:"replies@odata.context,omitempty"`
	RepliesCount     *int              `json:"replies@odata.count,omitempty"`
	RepliesNextLink  string            `json:"replies@odata.nextLink,omitempty"`
	Replies          *[]wireMessage    `json:"replies,omitempty"`
	HostedContents   *[]any            `json:"hostedContents,omitempty"`
	unknownIfUnasked bool
}

type wireBody struct {
	ContentType string `json:"contentType"`
	Content     string `json:"content"`
}

type wireChannelRef struct {
	TeamID    string `json:"teamId"`
	ChannelID string `json:"channelId"`
}

type wireIdentitySet struct {
	Application *wireIdentity `json:"application"`
	Device      *wireIdentity `json:"device"`
	User        *wireIdentity `json:"user"`
}

type wireIdentity struct {
	ODataType       string  `json:"@odata.type,omitempty"`
	ID              string  `json:"id"`
	DisplayName     *string `json:"displayName"`
	UserType        string  `json:"userIdentityType,omitempty"`
	ApplicationType string  `json:"applicationIdentityType,omitempty"`
	TenantID        string  `json:"tenantId,omitempty"`
}

type wireAttachment struct {
	ID           *string `json:"id"`
	ContentType  *string `json:"contentType"`
	ContentURL   *string `json:"contentUrl"`
	Content      *string `json:"content"`
	Name         *string `json:"name"`
	ThumbnailURL *string `json:"thumbnailUrl"`
	TeamsAppID   *string `json:"teamsAppId"`
}

type wireMention struct {
	ID        int           `json:"id"`
	Text      string        `json:"mentionText"`
	Mentioned wireMentioned `json:"mentioned"`
}

type wireMentioned struct {
	Application  *wireIdentity     `json:"application"`
	Device       *wireIdentity     `json:"device"`
	Conversation *wireConversation `json:"conversation"`
	Tag          *wireIdentity     `json:"tag"`
	User         *wireIdentity     `json:"user"`
}

type wireConversation struct {
	ID          string  `json:"id"`
	DisplayName *string `json:"displayName"`
	Kind        string  `json:"conversationIdentityType"`
}

type wireReaction struct {
	Type        string          `json:"reactionType"`
	DisplayName *string         `json:"displayName"`
	ContentURL  *string         `json:"reactionContentUrl"`
	Created     string          `json:"createdDateTime"`
	User        wireIdentitySet `json:"user"`
}

type wireHistoryItem struct {
	Modified string       `json:"modifiedDateTime"`
	Actions  string       `json:"actions"`
	Reaction wireReaction `json:"reaction"`
}

const (
	typeUserIdentity = "#microsoft.graph.teamworkUserIdentity"
	typeChatMessage  = "#microsoft.graph.chatMessage"
)

// wireOptions are the differences between the places where a message shows.
type wireOptions struct {
	context string
	// posted is the answer to a POST: identities without type and tenant.
	posted bool
	// typed adds @odata.type to the message, as delta pages have it.
	typed bool
	// notification adds the empty collections of a rich notification.
	notification bool
	// unknownMembers is the client's Prefer: include-unknown-enum-members.
	unknownMembers bool
}

// wire renders one state of a message. The tenant's lock is held.
func (m *Message) wire(v *version, o wireOptions) wireMessage {
	w := wireMessage{
		Context: o.context, ID: m.ID, ETag: msID(v.modified),
		MessageType: "message", Created: graphTime(m.created), Modified: graphTime(v.modified),
		Edited: graphTimePtr(v.edited), Deleted: graphTimePtr(v.deleted),
		Subject: nullIfEmpty(v.subject), Importance: v.importance, Locale: "en-us", WebURL: m.webURL(),
		PolicyViolation: v.violation, From: m.from(o),
		Body:            wireBody{v.contentType, v.content},
		ChannelIdentity: wireChannelRef{m.ch.team.ID, m.ch.ID},
		Attachments:     []wireAttachment{}, Mentions: []wireMention{},
		Reactions: []wireReaction{}, MessageHistory: []wireHistoryItem{},
	}
	if m.root != nil {
		w.ReplyToID = &m.RootID
	}
	if o.typed {
		w.ODataType = typeChatMessage
	}
	if o.notification {
		w.Replies, w.HostedContents = &[]wireMessage{}, &[]any{}
	}
	if m.event != nil {
		w.MessageType = "systemEventMessage"
		w.EventDetail = m.event.wire(m.t)
		w.unknownIfUnasked = true
	}
	for _, r := range v.reactions {
		w.Reactions = append(w.Reactions, r.wire(o))
	}
	for _, h := range v.history {
		w.MessageHistory = append(w.MessageHistory, wireHistoryItem{graphTime(h.at), h.action, h.reaction.wire(o)})
	}
	if !v.deleted.IsZero() {
		// Which fields a deleted message keeps is not documented. The sender
		// stays, what was said goes.
		w.Body = wireBody{"html", ""}
		w.Subject = nil
		w.Reactions, w.MessageHistory = []wireReaction{}, []wireHistoryItem{}
		return w.forReader(o)
	}
	for _, a := range v.attachments {
		w.Attachments = append(w.Attachments, wireAttachment{a.id, a.contentType, a.contentURL, a.content, a.name, a.thumbnailURL, a.teamsAppID})
	}
	for _, mn := range v.mentions {
		w.Mentions = append(w.Mentions, mn.wire(m.t, o))
	}
	return w.forReader(o)
}

// forReader hides the enum values that a reader did not ask for. Notifications
// keep them until the subscription that gets them is known.
func (w wireMessage) forReader(o wireOptions) wireMessage {
	if !o.notification && !o.unknownMembers && w.unknownIfUnasked {
		w.MessageType = "unknownFutureValue"
	}
	return w
}

func (m *Message) from(o wireOptions) *wireIdentitySet {
	switch {
	case m.author != nil:
		return &wireIdentitySet{User: m.author.identity(o, true)}
	case m.bot != "":
		return &wireIdentitySet{Application: &wireIdentity{
			ODataType: "#microsoft.graph.teamworkApplicationIdentity", ID: m.botID, DisplayName: &m.bot, ApplicationType: "bot",
		}}
	default:
		return nil
	}
}

// identity renders a person. Graph leaves the name out in some places.
func (u *User) identity(o wireOptions, named bool) *wireIdentity {
	w := &wireIdentity{ODataType: typeUserIdentity, ID: u.ID, UserType: "aadUser", TenantID: u.t.TenantID}
	if o.posted {
		w.ODataType, w.TenantID = "", ""
	}
	if named {
		name := u.displayName
		w.DisplayName = &name
	}
	return w
}

func (r reaction) wire(o wireOptions) wireReaction {
	user := r.user.identity(o, false)
	user.TenantID = ""
	return wireReaction{
		Type: r.kind, DisplayName: nullIfEmpty(r.name), ContentURL: nullIfEmpty(r.contentURL),
		Created: graphTime(r.at), User: wireIdentitySet{User: user},
	}
}

func (mn mention) wire(_ *Tenant, o wireOptions) wireMention {
	w := wireMention{ID: mn.id, Text: mn.text}
	if mn.user != nil {
		w.Mentioned.User = mn.user.identity(o, true)
		return w
	}
	w.Mentioned.Conversation = &wireConversation{mn.convID, nullIfEmpty(mn.convName), mn.convKind}
	return w
}

// resource is the message as notifications name it.
func (m *Message) resource() string {
	base := "teams('" + m.ch.team.ID + "')/channels('" + m.ch.ID + "')/messages('"
	if m.root != nil {
		return base + m.RootID + "')/replies('" + m.ID + "')"
	}
	return base + m.ID + "')"
}

// graphPath is the message's path below /v1.0, ids raw.
func (m *Message) graphPath() string {
	base := "/teams/" + m.ch.team.ID + "/channels/" + m.ch.ID + "/messages/"
	if m.root != nil {
		return base + m.RootID + "/replies/" + m.ID
	}
	return base + m.ID
}

func (m *Message) webURL() string {
	return "https://teams.microsoft.com/l/message/" + url.QueryEscape(m.ch.ID) + "/" + m.ID +
		"?groupId=" + m.ch.team.ID + "&tenantId=" + m.t.TenantID +
		"&createdTime=" + m.ID + "&parentMessageId=" + m.chain().ID
}

// context is the @odata.context of something below a channel.
func (c *Channel) context(rest string) string {
	return c.t.GraphURL() + "/$metadata#teams('" + c.team.ID + "')/channels('" + url.QueryEscape(c.ID) + "')/" + rest
}

// hostedURL is where a picture of the message can be read.
func (m *Message) hostedURL(id string) string {
	return m.t.GraphURL() + m.graphPath() + "/hostedContents/" + id + "/$value"
}

// newHosted keeps a picture under an id as Graph's look: an encoded note of
// where the picture really is.
func (t *Tenant) newHosted(contentType string, data []byte) *hostedContent {
	id := "id=x_0-" + t.ids.hex(16) + ",type=1,url=https://eu-api.asm.skype.com/v1/objects/0-weu-d1-" + t.ids.hex(16) + "/views/imgo"
	return &hostedContent{id: base64.StdEncoding.EncodeToString([]byte(id)), contentType: contentType, data: data}
}

// graphTime writes a time as Graph does: UTC, milliseconds, zeros at the end
// of the fraction dropped.
func graphTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999Z") }

func graphTimePtr(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := graphTime(t)
	return &s
}

func nullIfEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// prefersUnknown reports whether a request carries the preference that makes
// Graph name enum values that it added later, instead of unknownFutureValue.
func prefersUnknown(h http.Header) bool {
	for _, line := range h.Values("Prefer") {
		for part := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(part), "include-unknown-enum-members") {
				return true
			}
		}
	}
	return false
}

// encodeForNotification renders a changed object for a rich notification.
func encodeForNotification(object any, unknownMembers bool) []byte {
	switch o := object.(type) {
	case nil:
		return nil
	case wireMessage:
		return mustJSON(o.forReader(wireOptions{unknownMembers: unknownMembers}))
	case wireChannel:
		return mustJSON(o.forReader(unknownMembers))
	default:
		return mustJSON(o)
	}
}

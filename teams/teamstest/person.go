package teamstest

import (
	"fmt"
	"html"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Msg is what a person writes in Teams. It is taken as Teams' own client would
// have sent it: nothing is rewritten, except the addresses of pictures.
type Msg struct {
	// HTML is the body. Text is one without markup; HTML wins.
	HTML, Text string
	Subject    string
	// Importance is normal, high or urgent, "" for normal.
	Importance string
	// Mentions are what <at id="0">, <at id="1">, … in HTML stand for, in
	// order.
	Mentions []Mention
	// Images are shown by <img src="../hostedContents/NAME/$value"> in HTML, or
	// named by that address in the source of a <customemoji>, or in an attachment's
	// Content: the image of a card, the code of a code snippet. Those that nothing
	// shows are put at HTML's end.
	Images []Image
	// Attachments are shown by <attachment id="ID"></attachment> in HTML.
	// Those that HTML does not show are put at its end.
	Attachments []Attachment
	// At is when it was written, zero for now.
	At time.Time
	// Bot writes in the name of an application of that name. The user given
	// beside the Msg is then ignored and may be nil.
	Bot string
}

// Mention is a person, channel or team that a message addresses. One of the
// pointers is set.
type Mention struct {
	User    *User
	Channel *Channel
	Team    *Team
	// Text is what the message shows, "" for the name.
	Text string
}

// Image is a picture in a message.
type Image struct {
	Name        string
	ContentType string
	Data        []byte
}

// Attachment is a file reference or a card. Empty fields are null on the wire.
type Attachment struct {
	ID, ContentType, ContentURL, Content, Name, ThumbnailURL, TeamsAppID string
}

// Post writes a post. It does not look at who may: people in the tests know
// what they do.
func (c *Channel) Post(u *User, msg Msg) *Message { return c.write(nil, u, msg) }

// Reply answers a post. A reply may be given instead; the answer goes to its
// post.
func (c *Channel) Reply(to *Message, u *User, msg Msg) *Message { return c.write(to.chain(), u, msg) }

// Reply answers the message's post.
func (m *Message) Reply(u *User, msg Msg) *Message { return m.ch.Reply(m, u, msg) }

func (c *Channel) write(root *Message, u *User, msg Msg) *Message {
	c.t.mu.Lock()
	defer c.t.unlock()
	return c.createMessage(root, msg.At, func(m *Message) draft {
		if m.author = u; msg.Bot != "" {
			m.author, m.bot, m.botID = nil, msg.Bot, uuid.NewSHA1(uuid.NameSpaceURL, []byte(msg.Bot)).String()
		}
		return m.compose(msg)
	})
}

// Edit replaces what the message says, as its author.
func (m *Message) Edit(msg Msg) {
	m.t.mu.Lock()
	defer m.t.unlock()
	m.edit(m.compose(msg), msg.At)
}

// Delete deletes the message. Deleting it again does nothing.
func (m *Message) Delete() {
	m.t.mu.Lock()
	defer m.t.unlock()
	m.softDelete()
}

// Undelete brings a deleted message back.
func (m *Message) Undelete() {
	m.t.mu.Lock()
	defer m.t.unlock()
	m.undoSoftDelete()
}

// React adds a person's reaction: an emoji, or one of the old words such as
// like and heart.
func (m *Message) React(u *User, emoji string) {
	m.t.mu.Lock()
	defer m.t.unlock()
	m.react(u, reaction{kind: emoji, name: reactionName(emoji)})
}

// ReactCustom adds a reaction with an emoji of the organisation's own.
func (m *Message) ReactCustom(u *User, name string, picture Image) {
	m.t.mu.Lock()
	defer m.t.unlock()
	h := m.t.newHosted(picture.ContentType, picture.Data)
	if m.react(u, reaction{kind: "custom", name: name, contentURL: m.hostedURL(h.id)}) {
		v := m.latest()
		v.hosted = append(v.hosted[:len(v.hosted):len(v.hosted)], h)
	}
}

// Unreact removes a person's reaction. For a custom one, emoji is its name.
func (m *Message) Unreact(u *User, emoji string) {
	m.t.mu.Lock()
	defer m.t.unlock()
	if !m.unreact(u, emoji, reactionName(emoji)) {
		m.unreact(u, "custom", emoji)
	}
}

// Channel is the channel that the message is in.
func (m *Message) Channel() *Channel { return m.ch }

// Message returns the channel's message with that id, nil if there is none. It
// finds what others posted through Graph.
func (c *Channel) Message(id string) *Message {
	return locked(c.t, func() *Message { return c.messages[id] })
}

// compose turns what a person wrote into a draft. The tenant's lock is held.
func (m *Message) compose(msg Msg) draft {
	d := draft{subject: msg.Subject, importance: orDefault(msg.Importance, "normal"), contentType: "html", content: msg.HTML}
	if msg.HTML == "" {
		d.content = msg.Text
		if len(msg.Mentions)+len(msg.Images)+len(msg.Attachments) == 0 {
			d.contentType = "text"
			return d
		}
		d.content = "<p>" + html.EscapeString(msg.Text) + "</p>"
	}
	for i, mn := range msg.Mentions {
		d.mentions = append(d.mentions, mn.resolve(i))
		if !strings.Contains(d.content, `<at id="`+strconv.Itoa(i)+`">`) {
			panic(fmt.Sprintf("teamstest: mention %d has no <at> in the message's HTML", i))
		}
	}
	hosted := map[string]*hostedContent{}
	for _, image := range msg.Images {
		ref := "../hostedContents/" + image.Name + "/$value"
		if !strings.Contains(d.content, ref) && !msg.attached(ref) {
			d.content += `<p><img src="` + ref + `" alt="` + html.EscapeString(image.Name) + `" style="vertical-align:bottom"></p>`
		}
		h := m.t.newHosted(image.ContentType, image.Data)
		hosted[image.Name] = h
		d.content = strings.ReplaceAll(d.content, `source="`+ref+`"`, `source="`+m.hostedURL(h.id)+`"`)
		d.hosted = append(d.hosted, h)
	}
	d.content = m.absoluteImages(d.content, d.contentType, hosted)
	for _, a := range msg.Attachments {
		if !strings.Contains(d.content, `<attachment id="`+a.ID+`">`) {
			d.content += `<attachment id="` + a.ID + `"></attachment>`
		}
		d.attachments = append(d.attachments, attachment{
			nullIfEmpty(a.ID), nullIfEmpty(a.ContentType), nullIfEmpty(a.ContentURL), nullIfEmpty(m.absoluteContent(a.Content, hosted)),
			nullIfEmpty(a.Name), nullIfEmpty(a.ThumbnailURL), nullIfEmpty(a.TeamsAppID),
		})
	}
	return d
}

// attached reports whether an attachment names a hosted content.
func (m Msg) attached(ref string) bool {
	return slices.ContainsFunc(m.Attachments, func(a Attachment) bool { return strings.Contains(a.Content, ref) })
}

// absoluteContent gives the hosted contents that an attachment names their
// addresses.
func (m *Message) absoluteContent(content string, hosted map[string]*hostedContent) string {
	for name, h := range hosted {
		content = strings.ReplaceAll(content, "../hostedContents/"+name+"/$value", m.hostedURL(h.id))
	}
	return content
}

func (mn Mention) resolve(id int) mention {
	switch {
	case mn.User != nil:
		return mention{id: id, text: orDefault(mn.Text, mn.User.displayName), user: mn.User}
	case mn.Channel != nil:
		return mention{id: id, text: orDefault(mn.Text, mn.Channel.displayName), convID: mn.Channel.ID, convName: mn.Channel.displayName, convKind: "channel"}
	case mn.Team != nil:
		return mention{id: id, text: orDefault(mn.Text, mn.Team.displayName), convID: mn.Team.ID, convName: mn.Team.displayName, convKind: "team"}
	default:
		panic("teamstest: a mention names nobody")
	}
}

package msgconv

import (
	"net/url"
	"strings"
	"time"

	"teamsbridge/teams"
	"teamsbridge/texts"
)

// maxPreview is the most characters of a quote or card title that are shown.
const maxPreview = 300

// maxQuotes is how many quoted messages of one message are shown in full; Graph
// allows ten. A forwarded message brings HTML of its own.
const maxQuotes = 10

// attachment shows what is attached: a file as a link, a quoted message as a
// quote, a card with what is in it, anything else as a line that says what it is.
func (t *toMatrix) attachment(a *teams.Attachment) {
	if t.apart != nil {
		message := t.out
		t.out = newBuilder(forMatrix)
		t.attached(a)
		t.apart(t.out.finish())
		t.out = message
		return
	}
	t.attached(a)
}

func (t *toMatrix) attached(a *teams.Attachment) {
	name := cleanName(a.Name)
	kind := cardKind(a.ContentType)
	if t.cardOf(a, kind) {
		return
	}
	content, _ := parseJSON(a.Content)
	switch kind {
	case "reference": // a part of its own
	case "messageReference":
		t.quote(t.env.Texts.Say(texts.Quoted), t.quoted(content))
	case "forwardedMessageReference":
		t.quote(t.env.Texts.Say(texts.Forwarded), t.forwarded(content))
	case "codesnippet":
		t.snippet(a)
	case "adaptive", "hero", "thumbnail", "list", "receipt", "signin", "oauth":
		t.card(t.env.Texts.Say(texts.Card), firstOf(name, content.name("title")))
	case "announcement":
		t.card(t.env.Texts.Say(texts.Announcement), name)
	case "fluidembedcard":
		t.linked(t.env.Texts.Say(texts.LoopComponent), name, content.str("componentUrl"))
	case "audio":
		t.card(t.env.Texts.Say(texts.AudioCard), name)
	case "video", "animation":
		t.card(t.env.Texts.Say(texts.VideoCard), name)
	case "o365connector":
		t.card(t.env.Texts.Say(texts.AppMessage), name)
	case "meetingReference":
		t.linked(t.env.Texts.Say(texts.Meeting), firstOf(name, content.name("subject"), content.name("title")), firstOf(content.str("meetingJoinUrl"), a.ContentURL))
	case "tabReference":
		t.linked(t.env.Texts.Say(texts.Tab), name, a.ContentURL)
	case "":
		t.placeholder(t.env.Texts.Say(texts.Attachment), name, a.ContentURL)
	default:
		t.linked(t.env.Texts.Say(texts.OtherAttachment, "kind", cleanName(a.ContentType)), firstOf(name, content.name("title"), content.name("name"), content.name("summary")), a.ContentURL)
	}
}

// card shows a line about something that only Teams can show.
func (t *toMatrix) card(what, title string) {
	if title != "" {
		what += textColon(t.env.Texts) + title
	}
	t.placeholder(what, "", "")
}

// linked shows a line about something that has an address of its own.
func (t *toMatrix) linked(what, name, link string) {
	_, ok := cleanHref(link, false)
	switch {
	case name != "":
		what += t.env.Texts.Say(texts.Colon)
	case ok:
		what, name = what+" –", t.env.Texts.Say(texts.Open)
	}
	t.placeholder(what, name, link)
}

// placeholder adds a paragraph that says what was here, with a link to the
// thing itself or else to the message in Teams.
func (t *toMatrix) placeholder(what, name, link string) {
	t.out.open("p")
	t.out.text(what)
	href, ok := cleanHref(link, false)
	if name != "" {
		t.out.text(" ")
		if ok {
			t.out.element("a", name, attr{"href", href})
		} else {
			t.out.text(name)
		}
	}
	if teamsLink, linked := cleanHref(t.m.WebURL, false); linked && (name == "" || !ok) {
		t.out.text(" – ")
		t.out.element("a", t.env.Texts.Say(texts.OpenInTeams), attr{"href", teamsLink})
	}
	t.out.close("p")
}

// quotation is a message that another one repeats.
type quotation struct {
	sender jsonValue
	text   string
	isHTML bool
	// link is where it stands in Teams, sent when it was written, as Graph
	// tells it; either may be empty.
	link, sent string
}

func (t *toMatrix) quoted(content jsonValue) quotation {
	return quotation{
		sender: content.get("messageSender"), text: content.str("messagePreview"), link: t.messageLink(t.m.Channel.ChannelID, content.str("messageId")),
	}
}

func (t *toMatrix) forwarded(content jsonValue) quotation {
	return quotation{
		sender: content.get("originalMessageSender"), text: content.str("originalMessageContent"), isHTML: true, sent: content.str("originalSentDateTime"),
		link: t.messageLink(content.str("originalConversationId"), content.str("originalMessageId")),
	}
}

// messageLink makes the address of another message out of this one's. Of a chat
// it is told by its context, of a channel by the team, which is known for this
// very channel only.
func (t *toMatrix) messageLink(conversation, message string) string {
	u, err := url.Parse(t.m.WebURL)
	if err != nil || u.Host == "" || conversation == "" || !isDigits(message) {
		return ""
	}
	query := url.Values{}
	switch old := u.Query(); {
	case conversation == t.m.Channel.ChannelID:
		for _, key := range []string{"tenantId", "groupId"} {
			if v := old.Get(key); v != "" {
				query.Set(key, v)
			}
		}
	case strings.HasSuffix(conversation, "@thread.tacv2"), strings.HasSuffix(conversation, "@thread.skype"):
	default:
		query.Set("context", `{"contextType":"chat"}`)
	}
	link := url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/l/message/" + conversation + "/" + message, RawQuery: query.Encode()}
	link.RawPath = "/l/message/" + url.PathEscape(conversation) + "/" + message
	return link.String()
}

func isDigits(s string) bool {
	return s != "" && len(s) <= 20 && strings.Trim(s, "0123456789") == ""
}

// quote shows a quoted or forwarded message with its author.
func (t *toMatrix) quote(what string, q quotation) {
	t.quotes++
	u := q.sender.get("user")
	if !u.isObject() {
		u = q.sender.get("application")
	}
	author := nameOf(u.str("id"), u.str("displayName"), t.env)
	if author == t.env.Texts.Say(texts.Somebody) {
		author = what
	} else if q.isHTML {
		author = t.env.Texts.Say(texts.ForwardedFrom, "author", author)
	}
	t.out.open("blockquote")
	t.out.open("p")
	t.out.element("strong", author)
	if at, err := time.Parse(time.RFC3339, q.sent); err == nil {
		t.out.text(", " + t.env.Texts.Time(at))
	}
	if href, ok := cleanHref(q.link, false); ok {
		t.out.text(" – ")
		t.out.element("a", t.env.Texts.Say(texts.OpenInTeams), attr{"href", href})
	}
	t.out.close("p")
	switch {
	case t.quotes > maxQuotes:
		t.out.element("em", t.env.Texts.Say(texts.QuoteCut))
	case q.isHTML:
		t.kids(t.quotable(parse(q.text, fromTeams)))
	default:
		t.out.text(collapse(cleanLong(q.text)))
	}
	t.out.close("blockquote")
}

// quotable takes out of a quoted message what belongs to its own message:
// attachments and mentions, whose ids mean something else here. An attachment
// that is not of this message, too, is named.
func (t *toMatrix) quotable(n *node) *node {
	for _, k := range n.kids {
		switch k.tag {
		case "at":
			k.tag, k.attrs, k.kids, k.text = "", nil, nil, textContent(k)
		case "attachment":
			if t.attachments[k.attr("id")] == nil {
				k.tag, k.attrs, k.kids, k.text = "", nil, nil, firstOf(textContent(k), "["+t.env.Texts.Say(texts.Attachment)+"]")
			} else {
				k.tag, k.attrs, k.kids, k.text = "", nil, nil, textContent(k)
			}
		}
		t.quotable(k)
	}
	return n
}

// cleanPreview makes one short clean line of text from a card.
func cleanPreview(s string) string {
	if len(s) > 8*maxPreview {
		s = s[:8*maxPreview]
	}
	return cleanName(s)
}

// cleanLong keeps a quote's preview whole as long as it is reasonable.
func cleanLong(s string) string {
	return string(appendClean(nil, s))
}

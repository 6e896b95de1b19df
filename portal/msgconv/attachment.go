package msgconv

import (
	"strings"

	"github.com/tidwall/gjson"

	"teamsbridge/teams"
)

// maxPreview is the most characters of a quote or card title that are shown.
const maxPreview = 300

// maxQuotes is how many quoted messages of one message are shown in full; Graph
// allows ten. A forwarded message brings HTML of its own.
const maxQuotes = 10

// attachment shows what is attached: a file as a link, a quoted message as a
// quote, anything else as a line that says what it is.
func (t *toMatrix) attachment(a *teams.Attachment) {
	content := gjson.Result{}
	if gjson.Valid(a.Content) {
		content = gjson.Parse(a.Content)
	}
	name := cleanName(a.Name)
	switch kind := strings.TrimPrefix(a.ContentType, "application/vnd.microsoft.card."); kind {
	case "reference":
		t.placeholder(textFileMark, firstOf(name, textFileNoName), a.ContentURL)
	case "messageReference":
		t.quote(textQuoted, content.Get("messageSender"), content.Get("messagePreview").String(), false)
	case "forwardedMessageReference":
		t.quote(textForwarded, content.Get("originalMessageSender"), content.Get("originalMessageContent").String(), true)
	case "adaptive":
		t.card(textCard, firstOf(cardTitle(content), name))
	case "hero", "thumbnail", "list", "receipt":
		t.card(textCard, firstOf(cleanPreview(content.Get("title").String()), cleanPreview(content.Get("subtitle").String()), name))
	case "announcement":
		t.card(textAnnouncement, firstOf(cleanPreview(content.Get("title").String()), name))
	case "codesnippet":
		t.card(textCodeSnippet, firstOf(name, cleanPreview(content.Get("language").String())))
	case "fluidEmbedCard":
		t.card(textLoop, name)
	case "audio":
		t.card(textAudioCard, firstOf(cleanPreview(content.Get("title").String()), name))
	case "video", "animation":
		t.card(textVideoCard, firstOf(cleanPreview(content.Get("title").String()), name))
	case "application/vnd.microsoft.teams.card.o365connector":
		t.card(textConnector, firstOf(cleanPreview(content.Get("title").String()), cleanPreview(content.Get("summary").String()), cleanPreview(content.Get("text").String()), name))
	case "meetingReference":
		t.card(textMeeting, firstOf(cleanPreview(content.Get("meetingJoinUrl").String()), name))
	case "":
		t.placeholder(textAttachment, name, a.ContentURL)
	default:
		t.placeholder(textOther(cleanName(kind)), name, a.ContentURL)
	}
}

// card shows a line about something that only Teams can show.
func (t *toMatrix) card(what, title string) {
	if title != "" {
		what += ": " + title
	}
	t.placeholder(what, "", "")
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
		t.out.element("a", textOpenInTeams, attr{"href", teamsLink})
	}
	t.out.close("p")
}

// quote shows a quoted or forwarded message with its author.
func (t *toMatrix) quote(what string, sender gjson.Result, text string, isHTML bool) {
	t.quotes++
	u := sender.Get("user")
	if !u.IsObject() {
		u = sender.Get("application")
	}
	author := nameOf(u.Get("id").String(), u.Get("displayName").String(), t.env.People)
	if author == textSomebody {
		author = what
	}
	t.out.open("blockquote")
	t.out.open("p")
	t.out.element("strong", author)
	t.out.close("p")
	switch {
	case t.quotes > maxQuotes:
	case isHTML:
		t.kids(quotable(parse(text, fromTeams)))
	default:
		t.out.text(collapse(cleanLong(text)))
	}
	t.out.close("blockquote")
}

// quotable takes out of a quoted message what belongs to its own message:
// pictures, attachments and mentions, whose ids mean something else here.
func quotable(n *node) *node {
	for _, k := range n.kids {
		switch k.tag {
		case "at", "attachment":
			k.tag, k.attrs, k.kids, k.text = "", nil, nil, textContent(k)
		case "img":
			k.tag, k.text, k.attrs = "", textImage(cleanName(k.attr("alt")), 1), nil
		}
		quotable(k)
	}
	return n
}

// cardTitle finds the first words of an adaptive card.
func cardTitle(card gjson.Result) string {
	if title := cleanPreview(firstOf(card.Get("fallbackText").String(), card.Get("speak").String())); title != "" {
		return title
	}
	return firstText(card.Get("body"), 0)
}

func firstText(v gjson.Result, depth int) string {
	if depth > 8 {
		return ""
	}
	found := ""
	v.ForEach(func(_, item gjson.Result) bool {
		if !item.IsObject() {
			return true
		}
		switch item.Get("type").String() {
		case "TextBlock":
			found = cleanPreview(item.Get("text").String())
		case "RichTextBlock":
			found = cleanPreview(item.Get("inlines.0.text").String())
		default:
			for _, key := range []string{"items", "columns"} {
				if found == "" {
					found = firstText(item.Get(key), depth+1)
				}
			}
		}
		return found == ""
	})
	return found
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

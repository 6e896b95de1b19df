package demopage

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"maunium.net/go/mautrix/format"

	"teamsbridge/teams/teamstest"
)

// maxPages bounds how many pages of posts are read; the newest come first.
const maxPages = 6

// graphMessage is what the page shows of a chatMessage.
type graphMessage struct {
	ID         string     `json:"id"`
	ReplyToID  string     `json:"replyToId"`
	Created    time.Time  `json:"createdDateTime"`
	Edited     *time.Time `json:"lastEditedDateTime"`
	Deleted    *time.Time `json:"deletedDateTime"`
	Subject    string     `json:"subject"`
	Importance string     `json:"importance"`
	From       *struct {
		User        *graphIdentity `json:"user"`
		Application *graphIdentity `json:"application"`
	} `json:"from"`
	Body struct {
		ContentType string `json:"contentType"`
		Content     string `json:"content"`
	} `json:"body"`
	EventDetail map[string]any    `json:"eventDetail"`
	Attachments []graphAttachment `json:"attachments"`
	Reactions   []struct {
		Type        string  `json:"reactionType"`
		DisplayName string  `json:"displayName"`
		ContentURL  *string `json:"reactionContentUrl"`
		User        struct {
			User graphIdentity `json:"user"`
		} `json:"user"`
	} `json:"reactions"`
	Replies []graphMessage `json:"replies"`
}

type graphIdentity struct {
	ID          string `json:"id"`
	DisplayName string `json:"displayName"`
}

type graphAttachment struct {
	ID          string `json:"id"`
	ContentType string `json:"contentType"`
	ContentURL  string `json:"contentUrl"`
	Content     string `json:"content"`
	Name        string `json:"name"`
}

// readTeams reads a channel as a member's client does, oldest first, replies
// behind their post.
func (p *Page) readTeams(ctx context.Context, ch *teamstest.Channel) ([]message, error) {
	reader := p.teamsReader(ch)
	if reader == nil {
		return nil, fmt.Errorf("nobody is in %s", ch.DisplayName())
	}
	var posts []graphMessage
	next := channelPath(ch) + "/messages?$top=50&$expand=replies"
	for range maxPages {
		var page struct {
			Value []graphMessage `json:"value"`
			Next  string         `json:"@odata.nextLink"`
		}
		if err := p.graph.call(ctx, reader, http.MethodGet, next, nil, &page); err != nil {
			return nil, err
		}
		posts = append(posts, page.Value...)
		if next = page.Next; next == "" {
			break
		}
	}
	byTime := func(a, b graphMessage) int { return a.Created.Compare(b.Created) }
	slices.SortStableFunc(posts, byTime)
	messages := make([]message, 0, len(posts))
	files := ch.Files()
	for _, post := range posts {
		messages = append(messages, p.fromGraph(ch, files, post))
		slices.SortStableFunc(post.Replies, byTime)
		for _, reply := range post.Replies {
			messages = append(messages, p.fromGraph(ch, files, reply))
		}
	}
	return messages, nil
}

// teamsReader is whose eyes the page has in a channel.
func (p *Page) teamsReader(ch *teamstest.Channel) *teamstest.User {
	for _, u := range ch.Members() {
		if !p.isRelay(u) {
			return u
		}
	}
	return nil
}

func (p *Page) isRelay(u *teamstest.User) bool { return p.opts.Relay != nil && u.ID == p.opts.Relay.ID }

func (p *Page) fromGraph(ch *teamstest.Channel, files []*teamstest.File, m graphMessage) message {
	out := message{
		ID: m.ID, Thread: m.ReplyToID, At: m.Created.UnixMilli(), Edited: m.Edited != nil, Deleted: m.Deleted != nil,
		Subject: m.Subject,
	}
	if m.Importance != "normal" {
		out.Importance = m.Importance
	}
	switch {
	case m.From == nil:
		out.System = true
	case m.From.User != nil:
		out.Author = person{ID: m.From.User.ID, Name: m.From.User.DisplayName, Bridge: p.opts.Relay != nil && m.From.User.ID == p.opts.Relay.ID}
	case m.From.Application != nil:
		out.Author = person{ID: m.From.Application.ID, Name: m.From.Application.DisplayName}
	}
	switch {
	case m.EventDetail != nil:
		out.System, out.Text = true, p.eventText(m.EventDetail)
		return out
	case m.Deleted != nil:
		return out
	case m.Body.ContentType == "text":
		out.Text, out.Source = m.Body.Content, m.Body.Content
	default:
		out.HTML = cleaned(m.Body.Content)
		out.Source = strings.TrimSpace(format.HTMLToMarkdown(m.Body.Content))
	}
	for _, a := range m.Attachments {
		out.attach(ch, files, a)
	}
	for _, r := range m.Reactions {
		who := person{ID: r.User.User.ID}
		if u := p.opts.Stack.Tenant.User(who.ID); u != nil {
			who.Name = u.DisplayName()
		}
		key, label := r.Type, emojiOf(r.Type)
		if r.Type == "custom" {
			key, label = r.DisplayName, ":"+r.DisplayName+":"
		}
		out.react(key, label, who)
	}
	return out
}

// react adds somebody's reaction.
func (m *message) react(key, label string, who person) {
	i := slices.IndexFunc(m.Reactions, func(r reaction) bool { return r.Key == key })
	if i < 0 {
		m.Reactions = append(m.Reactions, reaction{Key: key, Label: label})
		i = len(m.Reactions) - 1
	}
	m.Reactions[i].People = append(m.Reactions[i].People, who)
}

// emojiOf is how the words that came before emoji are shown.
func emojiOf(kind string) string {
	switch kind {
	case "like":
		return "👍"
	case "heart":
		return "❤️"
	case "laugh":
		return "😆"
	case "surprised":
		return "😮"
	case "sad":
		return "🙁"
	case "angry":
		return "😡"
	}
	return kind
}

// attach adds an attachment: a file, a message that is referred to, or a card,
// of which the page shows the words.
func (m *message) attach(ch *teamstest.Channel, files []*teamstest.File, a graphAttachment) {
	switch {
	case a.ContentType == "reference":
		f := file{Name: a.Name, Kind: "file"}
		for _, there := range files {
			if strings.EqualFold(there.GUID, a.ID) {
				f.Size = there.Content.Size()
				f.URL = "/media/file?channel=" + url.QueryEscape(ch.ID) + "&name=" + url.QueryEscape(there.Name)
				if imageType(there.Name) != "" {
					f.Kind = "image"
				}
			}
		}
		m.Files = append(m.Files, f)
	case strings.HasSuffix(strings.ToLower(a.ContentType), "messagereference"):
		m.Quote = quoteOf(a.Content)
	default:
		kind := a.ContentType[strings.LastIndexAny(a.ContentType, "./")+1:]
		m.Files = append(m.Files, file{Name: cmpOr(a.Name, wordsOf(a.Content)), Kind: spaced(kind)})
	}
}

// eventText puts a system event into words.
func (p *Page) eventText(detail map[string]any) string {
	kind, _ := detail["@odata.type"].(string)
	kind = strings.TrimSuffix(strings.TrimPrefix(kind, "#microsoft.graph."), "EventMessageDetail")
	text := strings.Replace(spaced(kind), "deleted", "removed", 1) // as Teams puts it
	var names []string
	members, _ := detail["members"].([]any)
	for _, entry := range members {
		member, _ := entry.(map[string]any)
		id, _ := member["id"].(string)
		if u := p.opts.Stack.Tenant.User(id); u != nil {
			names = append(names, u.DisplayName())
		}
	}
	for _, key := range []string{"channelDisplayName", "teamDisplayName", "callDuration"} {
		if value, _ := detail[key].(string); value != "" {
			names = append(names, value)
		}
	}
	if len(names) > 6 {
		names = append(names[:5], fmt.Sprintf("%d more", len(names)-5))
	}
	if len(names) > 0 {
		text += ": " + strings.Join(names, ", ")
	}
	return text
}

// spaced turns membersAdded into "Members added".
func spaced(camel string) string {
	var b strings.Builder
	for i, r := range camel {
		switch {
		case i == 0:
			b.WriteRune(unicode.ToUpper(r))
		case unicode.IsUpper(r):
			b.WriteByte(' ')
			b.WriteRune(unicode.ToLower(r))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// paragraph is plain text as HTML.
func paragraph(text string) string {
	return "<p>" + strings.ReplaceAll(html.EscapeString(text), "\n", "<br>") + "</p>"
}

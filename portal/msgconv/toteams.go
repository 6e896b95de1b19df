package msgconv

import (
	"encoding/json"
	"strconv"
	"strings"

	"maunium.net/go/mautrix/event"

	"teamsbridge/teams"
	"teamsbridge/texts"
)

// ToTeams converts a Matrix message to drafts for Teams, each within
// MaxDraftSize. Without an error there is at least one; more than one are
// marked (1/2), (2/2) and are to be sent in that order. Of an edit, the new
// content is converted.
func ToTeams(c *event.MessageEventContent, env TeamsEnv) ([]teams.Draft, error) {
	if c == nil {
		return nil, ErrNothingToSend
	}
	c = current(c)
	if c.MsgType == event.MsgVerificationRequest {
		return nil, ErrNothingToSend
	}
	c, env.Author = profiled(c, env.Author)
	t := newToTeams(c, env)
	root := t.convert()
	if root == nil {
		return nil, ErrNothingToSend
	}
	limit := MaxDraftSize - attachmentSize(env.File)
	h := header{x: env.Texts, author: env.Author, emote: c.MsgType == event.MsgEmote}
	parts := []*node{root}
	one := h.tree(1, 1)
	whole := teamsPrice(MaxDraftSize)
	measured := 0
	for _, k := range root.kids {
		measured += whole.measure(k)
	}
	if measured+headerSize(one) > limit {
		parts = nil
		for _, part := range split(root, teamsPrice(limit-headerSize(h.tree(999, 999)))) {
			if hasContent(part) || hasImage(part) {
				parts = append(parts, part)
			}
		}
	}
	drafts := make([]teams.Draft, len(parts))
	for i, part := range parts {
		h.put(part, i+1, len(parts))
		drafts[i] = draft(part, t.image)
	}
	t.attach(drafts)
	return drafts, nil
}

// current returns what an event says now, with the relation of the event.
func current(c *event.MessageEventContent) *event.MessageEventContent {
	if c.NewContent == nil {
		return c
	}
	edited := *c.NewContent
	if edited.MsgType == "" {
		edited.MsgType = c.MsgType
	}
	return &edited
}

// draft writes a tree out. Mentions are numbered anew in each draft, and only
// those are listed that are in the text.
func draft(root *node, image *teams.InlineImage) teams.Draft {
	var d teams.Draft
	walk(root, func(n *node) bool {
		if n.mention != nil && n.mention.teams != nil {
			m := *n.mention.teams
			m.ID = len(d.Mentions)
			n.attrs = []attr{{"id", strconv.Itoa(m.ID)}}
			d.Mentions = append(d.Mentions, m)
		}
		if n.tag == "img" && image != nil {
			d.Images = append(d.Images, *image)
		}
		return true
	})
	d.HTML = lockTeams(root)
	return d
}

// DraftSize returns the bytes that count for Graph's limit: the HTML, and the
// mentions and attachments as JSON.
func DraftSize(d teams.Draft) int {
	size := len(d.HTML)
	for i := range d.Mentions {
		size += mentionSize(&d.Mentions[i])
	}
	for i := range d.Attachments {
		size += attachmentSize(&d.Attachments[i]) - len(attachmentMark(d.Attachments[i].ID))
	}
	return size
}

// wireMention is Graph's chatMessageMention, here only to be measured.
type wireMention struct {
	ID        int    `json:"id"`
	Text      string `json:"mentionText"`
	Mentioned struct {
		User         *wireUser         `json:"user,omitempty"`
		Conversation *wireConversation `json:"conversation,omitempty"`
	} `json:"mentioned"`
}

type wireUser struct {
	Type        string `json:"@odata.type"`
	ID          string `json:"id"`
	DisplayName string `json:"displayName"`
	UserType    string `json:"userIdentityType"`
}

type wireConversation struct {
	Type             string `json:"@odata.type"`
	ID               string `json:"id"`
	DisplayName      string `json:"displayName"`
	ConversationType string `json:"conversationIdentityType"`
	ConversationOdt  string `json:"conversationIdentityType@odata.type"`
}

func mentionSize(m *teams.Mention) int {
	w := wireMention{ID: 1000, Text: m.Text}
	if m.User != nil {
		w.Mentioned.User = &wireUser{"#microsoft.graph.teamworkUserIdentity", m.User.ID, m.User.DisplayName, "aadUser"}
	}
	if m.Conversation != nil {
		w.Mentioned.Conversation = &wireConversation{"#microsoft.graph.teamworkConversationIdentity", m.Conversation.ID, m.Conversation.DisplayName,
			m.Conversation.Type, "#Microsoft.Graph.teamworkConversationIdentityType"}
	}
	raw, err := json.Marshal(w)
	if err != nil {
		return 0
	}
	return len(raw) + 1
}

func teamsPrice(limit int) price {
	return price{limit: limit, text: escapedSize, tag: func(n *node) int {
		size := tagSize(n)
		if n.mention != nil {
			size += n.mention.size
		}
		return size
	}}
}

func hasImage(root *node) bool {
	found := false
	walk(root, func(n *node) bool {
		found = found || n.tag == "img"
		return !found
	})
	return found
}

// header is what stands in front of each draft: author, time and part.
type header struct {
	x      texts.Texts
	author *Author
	emote  bool
}

// tree returns the header's nodes, none where there is nothing to say.
func (h header) tree(n, of int) []*node {
	name, late := "", ""
	if h.author != nil {
		name = cleanName(h.author.Name)
		if h.author.Late {
			late = textLate(h.x, h.author.At)
		}
	}
	var out []*node
	text := ""
	if h.emote {
		out = append(out, &node{text: textEmote})
	}
	if name != "" {
		out = append(out, &node{tag: "b", kids: []*node{{text: name}}})
		text = " "
	}
	if late != "" {
		text += late + " "
	}
	if of > 1 {
		text += textPart(n, of) + " "
	}
	if name != "" && !h.emote {
		text = strings.TrimSuffix(text, " ") + ": "
	}
	if text != "" {
		out = append(out, &node{text: text})
	}
	return out
}

func headerSize(nodes []*node) int {
	size := len("<p></p>")
	p := teamsPrice(0)
	for _, n := range nodes {
		size += p.measure(n)
	}
	return size
}

// put writes the header in front of a part: into its first paragraph, or into
// one of its own where the part begins with something else.
func (h header) put(root *node, n, of int) {
	head := h.tree(n, of)
	if len(head) == 0 {
		return
	}
	into := root
	if len(root.kids) > 0 && root.kids[0].block {
		switch first := root.kids[0]; first.tag {
		case "p", "div":
			if !first.blocks {
				into = first
				break
			}
			fallthrough
		default:
			root.kids = append([]*node{{tag: "p", block: true, kids: head}}, root.kids...)
			return
		}
	}
	into.kids = append(head, into.kids...)
}

package msgconv

import (
	"encoding/json"
	"strconv"
	"strings"

	"maunium.net/go/mautrix/event"

	"teamsbridge/teams"
)

// ToMatrix converts a Teams message, without its reactions, to Matrix. A
// message that is not deleted has at least one part.
func ToMatrix(m teams.Message, env MatrixEnv) Rendered {
	if !m.Deleted.IsZero() {
		return Rendered{Deleted: true}
	}
	if isSystem(m) {
		return Rendered{Parts: []Part{systemNotice(m, env)}}
	}
	t := newToMatrix(m, env)
	root := t.convert()
	parts := textParts(root)
	parts = append(append(parts, t.codes...), t.images...)
	parts = append(parts, t.files()...)
	return Rendered{Parts: parts}
}

// isSystem reports whether a message tells of an event. Graph hides the type
// of such messages from those who do not ask for new enumeration members, so
// the empty body that they have counts, too.
func isSystem(m teams.Message) bool {
	return m.Event != nil || m.Type == teams.TypeSystem || m.From.ID == "" && strings.TrimSpace(m.Body) == "<systemEventMessage/>"
}

// textParts turns the tree of a message into as many text events as it needs.
func textParts(root *node) []Part {
	if !hasContent(root) {
		return nil
	}
	const whole, half = MaxContentSize - 3000, (MaxContentSize - 3000) / 2
	size := 0
	for _, k := range root.kids {
		size += matrixPrice(whole).measure(k)
	}
	var contents []*event.MessageEventContent
	// Half of the size is the limit as long as an edit would repeat the text.
	if size <= half || size <= whole && len(plain(root)) > bodyRepeated {
		contents = []*event.MessageEventContent{textContentOf(root)}
	}
	for _, limit := range []int{whole, half, half / 2, half / 4} {
		if contents != nil && allFit(contents) {
			break
		}
		if limit >= size {
			continue
		}
		contents = contents[:0]
		for _, part := range split(root, matrixPrice(limit)) {
			if hasContent(part) {
				contents = append(contents, textContentOf(part))
			}
		}
	}
	parts := make([]Part, len(contents))
	for i, c := range contents {
		parts[i] = Part{Type: event.EventMessage, Content: c}
		if i > 0 {
			parts[i].ID = "text:" + strconv.Itoa(i)
		}
	}
	return parts
}

func hasContent(root *node) bool {
	found := false
	walk(root, func(n *node) bool {
		found = found || n.tag == "hr" || n.tag == "img" && n.attr("alt") != "" || n.tag == "table" || n.tag == "" && !isBlank(n.text)
		return !found
	})
	return found
}

// textContentOf makes the event content of a tree: plain where plain says all.
func textContentOf(root *node) *event.MessageEventContent {
	c := &event.MessageEventContent{MsgType: event.MsgText, Body: plain(root), Mentions: &event.Mentions{}}
	formatted := false
	walk(root, func(n *node) bool {
		if n.mention != nil {
			c.Mentions.Add(n.mention.mxid)
			c.Mentions.Room = c.Mentions.Room || n.mention.room
		}
		switch n.tag {
		case "", "br", "p", "div":
		default:
			formatted = formatted || n != root
		}
		return true
	})
	if formatted {
		c.Format = event.FormatHTML
		c.FormattedBody = lockMatrix(root)
	}
	return c
}

func allFit(contents []*event.MessageEventContent) bool {
	for _, c := range contents {
		if ContentSize(c) > MaxContentSize {
			return false
		}
	}
	return true
}

// ContentSize returns the bytes that a content takes as JSON, as it is or as
// an edit, whichever is more. An edit repeats body and formatted body for old
// clients, up to a body of 10,000 bytes; from there on it only hints at it.
func ContentSize(c *event.MessageEventContent) int {
	text := len(c.Body) + len(c.FormattedBody)
	if bound := 2 * (6*text + editOverhead); bound < MaxContentSize && c.Info == nil && c.File == nil && c.Mentions != nil && len(c.Mentions.UserIDs) == 0 {
		return bound
	}
	raw, err := json.Marshal(c)
	if err != nil {
		return MaxContentSize + 1
	}
	if len(c.Body) > bodyRepeated {
		return len(raw) + editOverhead
	}
	return 2*len(raw) + editOverhead
}

// bodyRepeated is the longest body that an edit repeats.
const bodyRepeated = 10_000 - len("* ")

// editOverhead is what an edit takes beside the two contents.
const editOverhead = 600

// matrixPrice counts what body and formatted_body take together as JSON.
func matrixPrice(limit int) price {
	return price{
		limit: limit,
		text:  matrixTextSize,
		tag: func(n *node) int {
			// Both tags, their four angle brackets escaped, and a mark, indent
			// or line end in the plain body.
			size := 2*len(n.tag) + 25 + 8
			for _, a := range n.attrs {
				size += len(a.key) + 6 + matrixTextSize(a.val)
			}
			if n.mention != nil {
				size += len(n.mention.mxid) + 4
			}
			return size
		},
	}
}

func matrixTextSize(s string) int {
	size := 2 * len(s)
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '<', '>', '&', '"':
			size += 16
		case '\\', '\n', '\t':
			size += 2
		case 0xe2: // U+2028 and U+2029 are escaped in JSON
			size += 6
		}
	}
	return size
}

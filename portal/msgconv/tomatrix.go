package msgconv

import (
	"encoding/json"
	"html"
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
	parts = append(parts, t.images...)
	return Rendered{Parts: parts}
}

func isSystem(m teams.Message) bool { return m.Event != nil || m.Type == teams.TypeSystem }

// textParts turns the tree of a message into as many text events as it needs.
func textParts(root *node) []Part {
	if !hasContent(root) {
		return nil
	}
	contents := []*event.MessageEventContent{textContentOf(root)}
	// A smaller limit is tried where markup or edits make the content larger
	// than its price.
	for _, limit := range []int{MaxContentSize - 3000, MaxContentSize/2 - 3000, MaxContentSize / 4, MaxContentSize / 8} {
		if allFit(contents) {
			break
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
		found = found || n.tag == "hr" || n.tag == "table" || n.tag == "" && !isBlank(n.text)
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
// an edit of itself, whichever is more.
func ContentSize(c *event.MessageEventContent) int {
	raw, err := json.Marshal(c)
	if err != nil {
		return 0
	}
	edit := *c
	edit.SetEdit("$0123456789012345678901234567890123456789012")
	rawEdit, err := json.Marshal(&edit)
	if err != nil {
		return len(raw)
	}
	return max(len(raw), len(rawEdit))
}

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

// plainToHTML makes HTML of a body of type text.
func plainToHTML(s string) string {
	return strings.ReplaceAll(html.EscapeString(string(appendClean(nil, s))), "\n", "<br>")
}

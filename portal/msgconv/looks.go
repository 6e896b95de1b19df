package msgconv

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"html"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"teamsbridge/teams"
)

// ContentHash returns a hash of all that a draft gives to Teams, in two halves:
// how it looks, which can be recognised in what Teams lists (LooksLike), and the
// very bytes, pictures included.
func ContentHash(d teams.Draft) string {
	l := looks{mentions: d.Mentions}
	l.read(d.HTML)
	l.attached(d.Attachments)
	h := sha256.New()
	pictures := make([]string, len(d.Images))
	for i, image := range d.Images {
		sum := sha256.Sum256(image.Data)
		pictures[i] = image.ID + " " + image.ContentType + " " + hex.EncodeToString(sum[:])
	}
	for _, v := range []any{d.HTML, d.Subject, d.Importance, d.Mentions, pictures, d.Attachments} {
		raw, err := json.Marshal(v)
		if err != nil { // strings and structs of strings always can be
			return ""
		}
		h.Write(append(raw, 0))
	}
	return l.sum() + "." + hex.EncodeToString(h.Sum(nil)[:12])
}

// LooksLike reports whether a message as Teams lists it looks like what the draft
// with a content hash gave it: text and lines, formats, addresses of links, who is
// mentioned, the number of images, what is attached. Which pictures they are can't
// be seen.
func LooksLike(m teams.Message, contentHash string) bool {
	look, _, ok := strings.Cut(contentHash, ".")
	if !ok {
		return false
	}
	l := looks{mentions: m.Mentions}
	if m.BodyType == teams.BodyText {
		l.read(html.EscapeString(m.Body))
	} else {
		l.read(m.Body)
	}
	l.attached(m.Attachments)
	return l.sum() == look
}

// looks gathers what can be seen of a message, however Teams writes it: each run
// of text with how it looks, so that it does not matter how elements nest.
type looks struct {
	mentions []teams.Mention
	out      []byte
	// style is that of the text which was written last, gap what is between it
	// and the next one.
	style string
	gap   byte
}

func (l *looks) read(body string) {
	for _, n := range parse(body, fromTeams).kids {
		l.node(n, nil)
	}
}

func (l *looks) sum() string {
	sum := sha256.Sum256(l.out)
	return hex.EncodeToString(sum[:12])
}

func (l *looks) attached(all []teams.Attachment) {
	ids := make([]string, len(all))
	for i, a := range all {
		ids[i] = strings.ToLower(a.ID)
	}
	slices.Sort(ids)
	for _, id := range ids {
		l.out = append(append(l.out, 4), id...)
	}
}

func (l *looks) node(n *node, style []string) {
	switch n.tag {
	case "":
		l.text(n.text, style)
		return
	case "emoji", "customemoji":
		l.text(firstOf(n.attr("alt"), n.attr("title"), textContent(n)), style)
		return
	case "br":
		l.gap = '\n'
		return
	case "img", "hr":
		l.write(n.tag, append(style, n.tag))
		return
	case "attachment":
		return
	}
	if look := l.lookOf(n); look != "" && !slices.Contains(style, look) {
		style = append(style[:len(style):len(style)], look)
	}
	if n.block {
		l.gap = '\n'
	}
	for _, k := range n.kids {
		l.node(k, style)
	}
	if n.block {
		l.gap = '\n'
	}
}

// lookOf says how an element makes its text look, "" where it does not.
func (l *looks) lookOf(n *node) string {
	switch n.tag {
	case "b":
		return "strong"
	case "i":
		return "em"
	case "strong", "em", "u", "del", "sub", "sup", "code", "h1", "h2", "h3", "ul", "ol", "blockquote", "td", "th":
		return n.tag
	case "h4", "h5", "h6":
		return "h3"
	case "pre":
		return "codeblock"
	case "codeblock":
		return strings.TrimSuffix("codeblock "+strings.ToLower(n.attr("class")), " ")
	case "a":
		href, ok := cleanHref(n.attr("href"), false)
		if !ok {
			href = n.attr("href")
		}
		return "a " + href
	case "at":
		return "at " + l.mentioned(n.attr("id"))
	}
	return ""
}

// mentioned says who a mention is of. Teams numbers mentions as it likes.
func (l *looks) mentioned(number string) string {
	for i := range l.mentions {
		m := &l.mentions[i]
		switch {
		case strconv.Itoa(m.ID) != number:
		case m.User != nil:
			return m.User.ID
		case m.Application != nil:
			return m.Application.ID
		case m.Conversation != nil:
			return m.Conversation.ID
		case m.Tag != nil:
			return m.Tag.ID
		}
	}
	return ""
}

func (l *looks) text(s string, style []string) {
	for s != "" {
		at := strings.IndexFunc(s, unicode.IsSpace)
		word := s
		if at >= 0 {
			word = s[:at]
		}
		if visible := appendVisible(nil, word); len(visible) > 0 {
			l.write(string(visible), style)
		}
		if at < 0 {
			return
		}
		if l.gap == 0 {
			l.gap = ' '
		}
		s = strings.TrimLeftFunc(s[at:], unicode.IsSpace)
	}
}

// write adds something visible behind the gap before it.
func (l *looks) write(s string, style []string) {
	if l.gap != 0 && len(l.out) > 0 {
		l.out = append(l.out, l.gap)
	}
	l.gap = 0
	sorted := slices.Clone(style)
	slices.Sort(sorted)
	if look := strings.Join(sorted, "\x03"); look != l.style {
		l.style = look
		l.out = append(append(append(l.out, 1), look...), 2)
	}
	l.out = append(l.out, s...)
}

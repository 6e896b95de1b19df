package msgconv

import (
	"bytes"
	"html"
	"slices"
	"strings"

	nethtml "golang.org/x/net/html"

	"teamsbridge/teams"
	"teamsbridge/texts"
)

// A message of Teams is several events in Matrix: its text, and each picture, file
// and code snippet that Teams keeps. When one of them changes there, the body that
// goes back to Teams is made of the one that is there, as it stands: what the
// bridge does not understand stays in it.

// Found says whether a part of a message was found where it could be taken out.
type Found int

const (
	// FoundNot means that the message does not have it any more.
	FoundNot Found = iota
	// FoundInside means that it belongs to something else, such as a card.
	FoundInside
	// FoundIt means that it was taken out.
	FoundIt
)

// WithoutPart returns what a message says without the picture, file or snippet
// of an address (Part.Source).
func WithoutPart(m teams.Message, source string) (teams.Draft, Found) {
	body := bodyOf(m)
	for _, p := range pieces(body) {
		if p.image && p.id == source {
			return draftOf(m, body[:p.from]+body[p.to:], m.Attachments), FoundIt
		}
	}
	at := slices.IndexFunc(m.Attachments, func(a teams.Attachment) bool { return sourceOf(&a, m.Channel) == source })
	if at < 0 || source == "" {
		if slices.ContainsFunc(Images(m), func(ref ImageRef) bool { return ref.URL == source }) {
			return teams.Draft{}, FoundInside
		}
		return teams.Draft{}, FoundNot
	}
	id := m.Attachments[at].ID
	for _, p := range pieces(body) {
		if !p.image && id != "" && strings.EqualFold(p.id, id) {
			body = body[:p.from] + body[p.to:]
			break
		}
	}
	return draftOf(m, body, slices.Delete(slices.Clone(m.Attachments), at, at+1)), FoundIt
}

// WithoutText returns what a message says with nothing but its parts beside the
// text: hosted pictures, files and snippets.
func WithoutText(m teams.Message) teams.Draft {
	var parts []teams.Attachment
	for i := range m.Attachments {
		if sourceOf(&m.Attachments[i], m.Channel) != "" {
			parts = append(parts, m.Attachments[i])
		}
	}
	d := draftOf(m, "", parts)
	d.Mentions = nil
	for _, image := range hostedImages(m) {
		d.HTML += image.html
	}
	d.HTML += marks(d.HTML, parts)
	return d
}

// WithText returns what a message says with another text: its hosted pictures and
// what is attached stay. A picture stands where the text says so, as it does in
// Matrix, else behind it.
func WithText(m teams.Message, d teams.Draft, x texts.Texts) teams.Draft {
	for _, image := range hostedImages(m) {
		place := &node{text: textImage(x, image.ref.Alt, image.number+1)}
		written := d.HTML
		for _, holder := range []*node{{tag: "em", kids: []*node{place}}, place} {
			if written == d.HTML {
				d.HTML = strings.Replace(d.HTML, lock(teamsPolicy, teamsTags, &node{kids: []*node{holder}}), image.html, 1)
			}
		}
		if written == d.HTML {
			d.HTML += image.html
		}
	}
	kept := make([]teams.Attachment, 0, len(m.Attachments)+len(d.Attachments))
	var quotes []teams.Attachment
	for _, a := range m.Attachments {
		if a.ID == "" || slices.ContainsFunc(d.Attachments, func(b teams.Attachment) bool { return b.ID == a.ID }) {
			continue
		}
		kept = append(kept, a)
		if isQuote(&a) {
			quotes = append(quotes, a)
		}
	}
	d.HTML = marks(d.HTML, quotes) + d.HTML
	d.HTML += marks(d.HTML, kept)
	d.Attachments = append(kept, d.Attachments...)
	return d
}

func isQuote(a *teams.Attachment) bool {
	kind := cardKind(a.ContentType)
	return kind == "messageReference" || kind == "forwardedMessageReference"
}

// sourceOf returns the address of an attachment that is a part of its own, empty
// for what the text shows.
func sourceOf(a *teams.Attachment, ch teams.ChannelRef) string {
	if isFile(a) {
		return a.ContentURL
	}
	if ref, ok := snippetRef(a, ch); ok {
		return ref.URL
	}
	return ""
}

func bodyOf(m teams.Message) string {
	if m.BodyType == teams.BodyText {
		return strings.ReplaceAll(html.EscapeString(m.Body), "\n", "<br>")
	}
	return m.Body
}

// draftOf is a message with another body. Its attachments are listed, also where
// there are none: what is not said would stay.
func draftOf(m teams.Message, body string, attachments []teams.Attachment) teams.Draft {
	return teams.Draft{HTML: body, Mentions: m.Mentions, Attachments: append([]teams.Attachment{}, attachments...)}
}

// marks refers to the attachments that a body does not refer to.
func marks(body string, all []teams.Attachment) string {
	out := ""
	have := pieces(body)
	for _, a := range all {
		if a.ID != "" && !slices.ContainsFunc(have, func(p piece) bool { return !p.image && strings.EqualFold(p.id, a.ID) }) {
			out += attachmentMark(a.ID)
		}
	}
	return out
}

// hostedImage is a picture of a body that Teams keeps.
type hostedImage struct {
	ref    ImageRef
	number int
	html   string
}

func hostedImages(m teams.Message) []hostedImage {
	if m.BodyType == teams.BodyText {
		return nil
	}
	refs := bodyImages(parse(m.Body, fromTeams))
	var out []hostedImage
	number := 0
	for _, p := range pieces(m.Body) {
		if !p.image {
			continue
		}
		if number < len(refs) {
			if ref := imageRef(refs[number], m); !ref.Foreign && ref.URL == p.id {
				out = append(out, hostedImage{ref, number, m.Body[p.from:p.to]})
			}
		}
		number++
	}
	return out
}

// piece is where in a body a picture, or the place of an attachment, stands.
type piece struct {
	from, to int
	image    bool
	// id is the address of a picture, or the attachment's id.
	id string
}

func pieces(body string) []piece {
	var out []piece
	z := nethtml.NewTokenizer(strings.NewReader(body))
	at, open := 0, -1
	for {
		kind := z.Next()
		from := at
		at += len(z.Raw())
		if kind == nethtml.ErrorToken {
			return out
		}
		blank := kind == nethtml.TextToken && len(bytes.TrimSpace(z.Raw())) == 0
		name, more := []byte(nil), false
		if kind != nethtml.TextToken {
			name, more = z.TagName()
		}
		switch {
		case blank && open >= 0:
			continue
		case kind == nethtml.EndTagToken && string(name) == "attachment" && open >= 0:
			out[open].to = at
		case kind == nethtml.StartTagToken || kind == nethtml.SelfClosingTagToken:
			key := map[string]string{"img": "src", "attachment": "id"}[string(name)]
			if id := attrOf(z, key, more); id != "" {
				out = append(out, piece{from: from, to: at, image: key == "src", id: id})
				if key == "id" && kind == nethtml.StartTagToken {
					open = len(out) - 1
					continue
				}
			}
		}
		open = -1
	}
}

func attrOf(z *nethtml.Tokenizer, want string, more bool) string {
	for want != "" && more {
		var key, val []byte
		if key, val, more = z.TagAttr(); string(key) == want {
			return strings.TrimSpace(string(val))
		}
	}
	return ""
}

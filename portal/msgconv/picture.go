package msgconv

import (
	"strconv"

	"maunium.net/go/mautrix/event"

	"teamsbridge/texts"
)

// image carries over a picture: a hosted one becomes a part of its own, a
// foreign one stays a link. One of a quoted message or a card is hosted where it
// is listed with those of cards.
func (t *toMatrix) image(n *node) {
	number, known := t.numbers[n]
	delete(t.numbers, n)
	ref := imageRef(n, t.m)
	if !known {
		number, known = t.cardImages[ref.URL]
	}
	switch {
	case ref.URL == "":
		t.out.text(ref.Alt)
	case ref.Foreign || !known:
		t.foreign(ref, number)
	default:
		t.hosted(ref, number)
	}
}

// hosted makes a part of a picture, once, and leaves a mark where it stood. The
// mark goes where nothing follows it, but not as the only thing in a link.
func (t *toMatrix) hosted(ref ImageRef, number int) {
	if !t.pictured[number] {
		t.pictured[number] = true
		t.images = append(t.images, t.picture(ref, number))
	}
	holder := t.out.element("em", textImage(t.env.Texts, ref.Alt, number+1))
	if holder != nil && (t.anchor == nil || !isBlank(textContent(t.anchor))) {
		t.holders = append(t.holders, holder)
	}
}

// foreign links to a picture. Within a link, which leads somewhere else, its name
// stands for it, and its own link waits for the end of that one.
func (t *toMatrix) foreign(ref ImageRef, number int) {
	href, ok := cleanHref(ref.URL, false)
	switch alt := textForeignImage(t.env.Texts, ref.Alt); {
	case !ok:
		t.out.text(textImage(t.env.Texts, ref.Alt, number+1))
	case t.anchor == nil:
		t.out.element("a", alt, attr{"href", href})
	default:
		t.out.text(alt)
		if around, _ := cleanHref(t.anchor.attr("href"), true); around != href {
			t.beside = append(t.beside, href)
		}
	}
}

// picture is the part of one hosted image.
func (t *toMatrix) picture(ref ImageRef, index int) Part {
	part := Part{ID: "img:" + strconv.Itoa(index), Source: ref.URL, Type: event.EventMessage}
	media, ok := t.env.Media[ref.URL]
	if !ok || media.Problem != "" || media.URI == "" && media.File == nil {
		t2 := &toMatrix{m: t.m, env: MatrixEnv{Texts: t.env.Texts}, out: newBuilder(forMatrix)}
		t2.placeholder(t.env.Texts.Say(texts.ImageProblem, "alt", ref.Alt, "problem", firstOf(cleanName(media.Problem), t.env.Texts.Say(texts.NotCopied))), "", "")
		root := t2.out.finish()
		tidy(root)
		part.Content = textContentOf(root)
		part.Content.MsgType = event.MsgNotice
		return part
	}
	name := cleanName(media.Name)
	if name == "" {
		name = textImageName(index+1, extension(media.MimeType))
	}
	c := &event.MessageEventContent{
		MsgType: event.MsgImage, Body: name, URL: media.URI, File: media.File, Mentions: &event.Mentions{},
		Info: &event.FileInfo{
			MimeType: media.MimeType, Size: media.Size,
			Width: firstInt(media.Width, ref.Width), Height: firstInt(media.Height, ref.Height),
		},
	}
	if media.File != nil {
		c.URL = ""
	}
	if ref.Alt != "" && ref.Alt != name {
		c.FileName, c.Body = name, ref.Alt
	}
	part.Content = c
	return part
}

// dropHolders takes away the texts for images that nothing follows: their
// pictures come right behind the text anyway.
func (t *toMatrix) dropHolders(root *node) {
	if len(t.holders) == 0 {
		return
	}
	holder := make(map[*node]bool, len(t.holders))
	for _, n := range t.holders {
		holder[n] = true
	}
	last := -1
	order := []*node{}
	walk(root, func(n *node) bool {
		if holder[n] {
			order = append(order, n)
			return false
		}
		if n.tag == "" && !isBlank(n.text) || n.tag == "hr" {
			last = len(order)
		}
		return true
	})
	for i, n := range order {
		if i >= last {
			n.tag, n.kids, n.text = "", nil, ""
		}
	}
}

func firstInt(a, b int) int {
	if a > 0 {
		return a
	}
	return b
}

func extension(mime string) string {
	switch mime {
	case "image/png":
		return ".png"
	case "image/jpeg":
		return ".jpg"
	case "image/gif":
		return ".gif"
	case "image/webp":
		return ".webp"
	}
	return ""
}

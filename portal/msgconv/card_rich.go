package msgconv

import (
	"regexp"
	"strings"

	"teamsbridge/texts"
)

// formatted adds a text that may be HTML, as the older cards have it, or else
// Markdown, or both.
func (w *cardWriter) formatted(s, tag string) {
	if lines := lineBreak.ReplaceAllString(s, "\n"); !strings.Contains(lines, "<") {
		s = lines
	}
	if !strings.Contains(s, "<") {
		w.lines(s, tag)
		return
	}
	tree := w.t.quotable(parse(s, fromTeams))
	if w.dialect == markdownInHTML {
		w.mixed(tree, tag)
		return
	}
	size := len(textContent(tree))
	if size > w.t.budget.text {
		w.cut = true
		w.line("p", func() { w.put(textContent(tree)) })
		return
	}
	w.t.budget.text -= size
	w.shown = w.shown || hasContent(tree) || hasImage(tree)
	if w.cell > 0 || !tree.blocks {
		w.line(tag, func() { w.t.kids(tree) })
		return
	}
	w.t.kids(tree)
}

// lineBreak is the one element that people put into Markdown.
var lineBreak = regexp.MustCompile(`(?i) *<br ?/?> *`)

// heading adds title, subtitle and text.
func (w *cardWriter) heading(title, subtitle, text string) {
	if title = cleanLine(title); title != "" {
		w.line("h4", func() { w.put(title) })
	}
	if subtitle = cleanLine(subtitle); subtitle != "" {
		w.line("p", func() { w.styled("strong", subtitle) })
	}
	w.formatted(text, "p")
}

// rich shows the cards of the Bot Framework: hero, thumbnail, sign-in, audio,
// video and animation.
func (w *cardWriter) rich(card jsonValue) {
	w.heading(card.str("title"), card.str("subtitle"), card.str("text"))
	for _, i := range append(card.list("images"), card.list("image")...) {
		if w.enter() {
			w.richImage(i)
			w.leave()
		}
	}
	for _, m := range card.list("media") {
		if w.enter() {
			w.line("p", func() {
				w.put(textMedia + " ")
				w.link(firstOf(m.name("profile"), card.name("title")), m.str("url"))
			})
			w.leave()
		}
	}
	w.buttons(append(card.list("buttons"), card.list("tap")...))
}

func (w *cardWriter) richImage(v jsonValue) {
	address := firstOf(v.str("url"), v.text())
	if !w.hosted(address, v.name("alt")) {
		w.image(jsonValue{map[string]any{"url": address, "altText": v.str("alt")}})
	}
	w.buttons(v.list("tap"))
}

// buttons shows the actions of the Bot Framework's cards.
func (w *cardWriter) buttons(list []jsonValue) {
	var links []jsonValue
	for _, b := range list {
		if !w.enter() {
			break
		}
		switch b.kind() {
		case "openurl", "openapp", "showimage", "downloadfile", "playaudio", "playvideo":
			links = append(links, b)
		default:
			if b.isObject() {
				w.onlyTeams(firstOf(b.name("title"), b.name("text"), b.name("displayText"), w.t.env.Texts.Say(texts.CardButton)))
			}
		}
		w.leave()
	}
	w.links(links, "title", "value")
}

// receipt shows a bill.
func (w *cardWriter) receipt(card jsonValue) {
	w.heading(card.str("title"), "", "")
	w.facts(card.list("facts"), "key", "value")
	if items := card.list("items"); len(items) > 0 {
		w.t.out.open("table")
		for _, i := range items {
			if !w.enter() {
				break
			}
			w.t.out.open("tr")
			w.inCell("td", func() { w.heading(i.str("title"), i.str("subtitle"), i.str("text")) })
			w.inCell("td", func() { w.put(i.name("quantity")) })
			w.inCell("td", func() { w.put(i.name("price")) })
			w.t.out.close("tr")
			w.leave()
		}
		w.t.out.close("table")
	}
	for _, sum := range []struct{ key, label string }{{"tax", w.t.env.Texts.Say(texts.CardTax)}, {"vat", w.t.env.Texts.Say(texts.CardVAT)}, {"total", w.t.env.Texts.Say(texts.CardTotal)}} {
		if s := card.name(sum.key); s != "" {
			w.line("p", func() {
				w.styled("strong", sum.label+":")
				w.put(" " + s)
			})
		}
	}
	w.buttons(append(card.list("buttons"), card.list("tap")...))
}

// listCard shows Teams' list card: things with title and subtitle, in sections.
func (w *cardWriter) listCard(card jsonValue) {
	w.heading(card.str("title"), "", "")
	out := w.t.out
	open := false
	for _, i := range card.list("items") {
		if !w.enter() {
			break
		}
		section := i.kind() == "section"
		if open == section {
			if open = !section; open {
				out.open("ul")
			} else {
				out.close("ul")
			}
		}
		if section {
			w.line("p", func() { w.styled("strong", i.name("title")) })
		} else {
			out.open("li")
			w.listItem(i)
			out.close("li")
		}
		w.leave()
	}
	if open {
		out.close("ul")
	}
	w.buttons(card.list("buttons"))
}

func (w *cardWriter) listItem(i jsonValue) {
	title, tap := firstOf(i.name("title"), cleanPreview(i.text())), i.get("tap")
	switch address := i.str("id"); {
	case tap.kind() == "openurl":
		w.link(title, tap.str("value"))
	case i.kind() == "file" && strings.HasPrefix(address, "https://"):
		w.link(title, address)
	default:
		w.put(title)
	}
	if s := i.name("subtitle"); s != "" {
		w.put(" – " + s)
	}
}

// announcement shows the head of an announcement; its text is the message's.
func (w *cardWriter) announcement(card jsonValue) {
	if title := firstOf(cleanLine(card.str("title")), cleanLine(card.str("text"))); title != "" {
		w.line("h3", func() { w.put("📢 " + title) })
	}
	if s := cleanLine(card.str("subtitle")); s != "" {
		w.line("p", func() { w.styled("strong", s) })
	}
}

package msgconv

import (
	"strings"

	"teamsbridge/texts"
)

// actions shows the buttons of a card: links as links, cards that unfold as
// what unfolds. The others do something in Teams and are named.
func (w *cardWriter) actions(list []jsonValue) {
	var links, cards []jsonValue
	for _, a := range list {
		if !w.enter() {
			break
		}
		switch strings.ToLower(a.str("type")) {
		case "action.openurl":
			links = append(links, a)
		case "action.showcard":
			cards = append(cards, a)
		case "action.togglevisibility":
			// What it shows is there already.
		default:
			if a.isObject() {
				w.onlyTeams(firstOf(a.name("title"), a.name("text"), w.t.env.Texts.Say(texts.CardButton)))
			}
		}
		w.leave()
	}
	w.links(links, "title", "url")
	for _, c := range cards {
		w.folded(firstOf(c.name("title"), w.t.env.Texts.Say(texts.CardMore)), func() { w.element(c.get("card")) })
	}
}

// links shows links in one line.
func (w *cardWriter) links(list []jsonValue, title, address string) {
	if len(list) == 0 {
		return
	}
	w.line("p", func() {
		for i, a := range list {
			if i > 0 {
				w.put(" · ")
			}
			w.link(a.name(title), a.str(address))
		}
	})
}

// tap shows what a touch on an element does, if that is more than a look.
func (w *cardWriter) tap(a jsonValue) {
	if a.isObject() {
		w.actions([]jsonValue{a})
	}
}

// image shows an image: one that Teams keeps as an image, others as a link,
// because the bridge fetches nothing from where a card says.
func (w *cardWriter) image(v jsonValue) {
	address, alt := v.str("url"), v.name("altText")
	if w.hosted(address, alt) {
		w.tap(v.get("selectAction"))
		return
	}
	text := textCardImage(w.t.env.Texts, alt)
	if _, ok := cleanHref(address, false); !ok {
		address = "" // data and the like have nothing to say
	}
	w.line("p", func() { w.link(text, address) })
	w.tap(v.get("selectAction"))
}

// hosted shows an image that is a hosted content of the channel.
func (w *cardWriter) hosted(address, alt string) bool {
	number, ok := w.t.cardImages[strings.TrimSpace(address)]
	if !ok {
		return false
	}
	w.shown = true
	w.line("p", func() { w.t.hosted(ImageRef{URL: strings.TrimSpace(address), Alt: alt}, number) })
	return true
}

// media shows a film or a sound as links to where it is.
func (w *cardWriter) media(v jsonValue) {
	title := firstOf(v.name("altText"), v.name("title"))
	w.line("p", func() {
		w.put(textMedia)
		for i, s := range append(v.list("sources"), v.list("captionSources")...) {
			if i >= maxNamed {
				w.cut = true
				break
			}
			w.put(" ")
			w.link(firstOf(title, s.name("label"), s.name("mimeType")), s.str("url"))
		}
	})
}

// input names a field to fill in, with what is in it and what may be chosen.
func (w *cardWriter) input(v jsonValue) {
	w.asks, w.shown = true, true
	label, choices := firstOf(v.name("label"), v.name("title"), v.name("placeholder")), v.list("choices")
	if len(choices) == 0 {
		label = firstOf(label, v.name("id"), v.name("type"))
	}
	w.line("p", func() {
		w.put(textField)
		w.put(label)
		switch {
		case len(choices) > 0:
			chosen := "," + v.str("value") + ","
			for i, c := range choices {
				if !w.enter() {
					return
				}
				if i > 0 {
					w.put(" / ")
				} else if label != "" {
					w.put(": ")
				}
				w.put(firstOf(c.name("title"), c.name("value"), cleanPreview(c.text())))
				if strings.Contains(chosen, ","+c.str("value")+",") && c.str("value") != "" {
					w.put(" ✓")
				}
				w.leave()
			}
		case v.kind() == "input.toggle":
			if v.str("value") != "" && v.str("value") == firstOf(v.str("valueOn"), "true") {
				w.put(" ✓")
			}
		case v.str("value") != "":
			w.put(": " + cleanLine(v.str("value")))
		}
	})
}

package msgconv

import (
	"strings"

	"teamsbridge/texts"
)

// connector shows a card of an Office 365 connector, as incoming webhooks make
// them.
func (w *cardWriter) connector(card jsonValue) {
	w.dialect = markdownInHTML
	w.heading(card.str("title"), "", card.str("text"))
	for _, s := range card.list("sections") {
		if w.enter() {
			w.section(s)
			w.leave()
		}
	}
	w.potential(card.list("potentialAction"))
	if !w.shown {
		w.formatted(card.str("summary"), "p")
	}
}

// section shows one part of such a card.
func (w *cardWriter) section(s jsonValue) {
	if !s.isObject() {
		w.formatted(s.text(), "p")
		return
	}
	if s.is("markdown", false) {
		w.dialect = onlyHTML
		defer func() { w.dialect = markdownInHTML }()
	}
	if title := s.str("title"); title != "" {
		w.line("p", func() { w.titled("strong", cleanLine(title)) })
	}
	if title := s.str("activityTitle"); title != "" {
		w.line("p", func() {
			w.t.out.open("strong")
			w.bare(title)
			w.t.out.close("strong")
			if sub := s.str("activitySubtitle"); sub != "" {
				w.put(" – ")
				w.bare(sub)
			}
		})
	} else {
		w.formatted(s.str("activitySubtitle"), "p")
	}
	w.formatted(s.str("activityText"), "p")
	w.facts(s.list("facts"), "name", "value")
	w.formatted(s.str("text"), "p")
	for _, i := range append(s.list("heroImage"), s.list("images")...) {
		if w.enter() {
			address := firstOf(i.str("image"), i.text())
			w.image(jsonValue{map[string]any{"url": address, "altText": i.str("title")}})
			w.leave()
		}
	}
	w.potential(s.list("potentialAction"))
}

// bare adds a text without paragraphs of its own.
func (w *cardWriter) bare(s string) {
	begun := w.begun
	w.begun = false
	w.cell++
	w.formatted(s, "p")
	w.cell--
	w.begun = begun
}

// potential shows the actions of such a card.
func (w *cardWriter) potential(list []jsonValue) {
	var links []jsonValue
	for _, a := range list {
		if !w.enter() {
			break
		}
		name := a.name("name")
		switch strings.ToLower(a.str("@type")) {
		case "openuri":
			for _, target := range a.list("targets") {
				if os := strings.ToLower(target.str("os")); os == "" || os == "default" || len(a.list("targets")) == 1 {
					links = append(links, jsonValue{map[string]any{"name": name, "url": target.str("uri")}})
					break
				}
			}
		case "viewaction":
			if targets := a.list("target"); len(targets) > 0 {
				links = append(links, jsonValue{map[string]any{"name": name, "url": targets[0].text()}})
			}
		default:
			if a.isObject() {
				w.asks = w.asks || len(a.list("inputs")) > 0
				w.onlyTeams(firstOf(name, w.t.env.Texts.Say(texts.CardButton)))
			}
		}
		w.leave()
	}
	w.links(links, "name", "url")
}

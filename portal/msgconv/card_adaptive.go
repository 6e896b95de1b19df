package msgconv

import (
	"strings"

	"teamsbridge/texts"
)

// adaptive shows an Adaptive Card.
func (w *cardWriter) adaptive(card jsonValue) {
	w.mentionsOf(card)
	w.content(card)
	if !w.shown {
		if s := firstOf(card.str("fallbackText"), card.str("speak")); s != "" {
			w.markdown(s, "p", "")
		}
	}
}

// content shows what an AdaptiveCard element, also one in another, has in it.
func (w *cardWriter) content(card jsonValue) {
	w.items(card.list("body"))
	w.actions(card.list("actions"))
	w.tap(card.get("selectAction"))
}

// items shows elements below each other. Sets of columns that follow each other
// and are alike, as people make tables of, become a table.
func (w *cardWriter) items(list []jsonValue) {
	for i := 0; i < len(list); {
		rows := 0
		if w.cell == 0 {
			for i+rows < len(list) && isRow(list[i+rows]) && len(list[i+rows].list("columns")) == len(list[i].list("columns")) {
				rows++
			}
		}
		if rows == 0 {
			w.element(list[i])
			i++
			continue
		}
		w.rows(list[i:i+rows], "columns", func(int) string { return "td" })
		i += rows
	}
}

// maxColumns is how many columns a set of columns may have to become a row.
const maxColumns = 6

// isRow reports whether an element is a set of columns that a table can show:
// at least two with something in them, and only texts and images.
func isRow(v jsonValue) bool {
	if v.kind() != "columnset" || v.is("isVisible", false) {
		return false
	}
	columns := v.list("columns")
	if len(columns) < 2 || len(columns) > maxColumns {
		return false
	}
	filled := 0
	for _, c := range columns {
		items := c.list("items")
		if !isSilent(c) {
			filled++
		}
		if c.is("isVisible", false) {
			return false
		}
		for _, item := range items {
			switch item.kind() {
			case "textblock", "richtextblock", "image", "badge", "icon":
				if item.is("isVisible", false) {
					return false
				}
			default:
				return false
			}
		}
	}
	return filled > 1
}

// isSilent reports whether a column or cell shows nothing here: it is empty, or
// has only icons, which are pictures of Teams' own.
func isSilent(cell jsonValue) bool {
	if cell.get("selectAction").isObject() {
		return false
	}
	for _, item := range cell.list("items") {
		if item.kind() != "icon" || item.get("selectAction").isObject() {
			return false
		}
	}
	return true
}

// rows shows rows of cells as a table, without the columns in which no row shows
// anything. tag names the element of a row's cells.
func (w *cardWriter) rows(list []jsonValue, key string, tag func(row int) string) {
	var shown []bool
	for _, r := range list {
		for i, c := range r.list(key) {
			if i >= len(shown) {
				shown = append(shown, false)
			}
			shown[i] = shown[i] || !isSilent(c)
		}
	}
	w.t.out.open("table")
	for n, r := range list {
		var cells []jsonValue
		for i, c := range r.list(key) {
			if shown[i] {
				cells = append(cells, c)
			}
		}
		w.row(cells, tag(n))
	}
	w.t.out.close("table")
}

// row shows columns, or the cells of a table's row.
func (w *cardWriter) row(cells []jsonValue, tag string) {
	if !w.enter() {
		return
	}
	defer w.leave()
	w.t.out.open("tr")
	for _, c := range cells {
		w.inCell(tag, func() {
			w.items(c.list("items"))
			w.tap(c.get("selectAction"))
		})
	}
	w.t.out.close("tr")
}

// element shows one element with all that is in it.
func (w *cardWriter) element(v jsonValue) {
	if !w.enter() {
		return
	}
	defer w.leave()
	if s, ok := v.v.(string); ok {
		w.markdown(s, "p", "")
		return
	}
	if !v.isObject() {
		return
	}
	if !v.is("isVisible", false) || w.cell > 0 {
		w.visible(v)
		return
	}
	// It is there to be unfolded with a button.
	w.folded(w.t.env.Texts.Say(texts.CardMore), func() { w.visible(v) })
}

// folded shows what a reader has to unfold.
func (w *cardWriter) folded(title string, inside func()) {
	out := w.t.out
	out.open("details")
	out.element("summary", title)
	inside()
	out.close("details")
}

// visible shows an element of any kind.
func (w *cardWriter) visible(v jsonValue) {
	switch kind := v.kind(); kind {
	case "textblock":
		w.textBlock(v)
	case "richtextblock":
		w.richText(v)
	case "factset":
		w.facts(v.list("facts"), "title", "value")
	case "image":
		w.image(v)
	case "imageset":
		for _, i := range v.list("images") {
			w.element(i)
		}
	case "media":
		w.media(v)
	case "container", "column", "tablecell", "carouselpage", "tabpage":
		w.items(v.list("items"))
		w.tap(v.get("selectAction"))
	case "columnset":
		w.items(v.list("columns"))
		w.tap(v.get("selectAction"))
	case "carousel":
		w.items(v.list("pages"))
	case "table":
		w.table(v)
	case "actionset":
		w.actions(v.list("actions"))
	case "adaptivecard":
		w.content(v)
	case "codeblock":
		w.codeBlock(v.str("codeSnippet"), v.str("language"))
	case "badge", "icon", "rating", "progressbar", "progressring", "compoundbutton":
		w.small(kind, v)
	default:
		switch {
		case strings.HasPrefix(kind, "input."):
			w.input(v)
		case strings.HasPrefix(kind, "chart."):
			w.line("p", func() { w.put(w.t.env.Texts.Say(texts.CardChart, "title", v.name("title"))) })
			w.onlyTeams(v.str("type"))
		case kind == "" && v.has("items"): // a column need not say that it is one
			w.items(v.list("items"))
			w.tap(v.get("selectAction"))
		default:
			w.unknown(v)
		}
	}
}

// textBlock shows a text with its weight and size.
func (w *cardWriter) textBlock(v jsonValue) {
	tag, wrap := "p", ""
	size := strings.ToLower(v.str("size"))
	switch {
	case size == "extralarge":
		tag = "h3"
	case size == "large", strings.EqualFold(v.str("style"), "heading"):
		tag = "h4"
	case strings.EqualFold(v.str("weight"), "bolder"):
		wrap = "strong"
	}
	if strings.EqualFold(v.str("fontType"), "monospace") {
		wrap = "code"
	}
	w.markdown(v.str("text"), tag, wrap)
}

// richText shows runs of text, each with a look of its own.
func (w *cardWriter) richText(v jsonValue) {
	w.line("p", func() {
		for _, run := range v.list("inlines") {
			if w.enter() {
				w.run(run)
				w.leave()
			}
		}
	})
}

func (w *cardWriter) run(v jsonValue) {
	if s, ok := v.v.(string); ok {
		w.put(w.times(s))
		return
	}
	text := w.times(v.str("text"))
	if text == "" {
		text = cleanName(firstOf(v.str("altText"), v.str("title"), v.str("name")))
	}
	var tags []string
	for _, style := range []struct {
		on  bool
		tag string
	}{
		{strings.EqualFold(v.str("weight"), "bolder"), "strong"}, {v.is("italic", true), "em"}, {v.is("underline", true), "u"},
		{v.is("strikethrough", true), "del"}, {strings.EqualFold(v.str("fontType"), "monospace"), "code"},
	} {
		if style.on {
			tags = append(tags, style.tag)
		}
	}
	for _, tag := range tags {
		w.t.out.open(tag)
	}
	if action := v.get("selectAction"); strings.EqualFold(action.str("type"), "action.openurl") {
		w.link(text, action.str("url"))
	} else {
		w.put(text)
		if action.isObject() {
			w.onlyTeams(firstOf(action.name("title"), cleanName(text)))
		}
	}
	for i := len(tags) - 1; i >= 0; i-- {
		w.t.out.close(tags[i])
	}
}

// facts shows names and values, a line each.
func (w *cardWriter) facts(list []jsonValue, name, value string) {
	if len(list) == 0 {
		return
	}
	w.line("p", func() {
		first := true
		for _, f := range list {
			if !w.enter() {
				return
			}
			if !first {
				w.t.out.open("br")
			}
			first = false
			w.cell++
			if title := strings.TrimSuffix(strings.TrimSpace(f.str(name)), ":"); title != "" {
				w.titled("strong", w.times(title)+":")
				w.put(" ")
			}
			begun := w.begun
			w.begun = false
			w.value(firstOf(f.str(value), f.text()))
			w.begun = begun
			w.cell--
			w.leave()
		}
	})
}

// table shows a table with its first row as heads, unless it has none.
func (w *cardWriter) table(v jsonValue) {
	rows := v.list("rows")
	if w.cell > 0 {
		for _, r := range rows {
			for _, c := range r.list("cells") {
				w.element(c)
			}
		}
		return
	}
	w.rows(rows, "cells", func(row int) string {
		if row == 0 && !v.is("firstRowAsHeaders", false) && !v.is("firstRowAsHeader", false) {
			return "th"
		}
		return "td"
	})
}

// codeBlock shows code as it is.
func (w *cardWriter) codeBlock(text, language string) {
	text = strings.Trim(string(appendClean(nil, text)), "\n")
	if text == "" {
		return
	}
	if w.cell > 0 {
		w.line("p", func() { w.styled("code", text) })
		return
	}
	out := w.t.out
	out.open("pre")
	if isLanguage(language) {
		out.open("code", attr{"class", "language-" + strings.ToLower(language)})
	} else {
		out.open("code")
	}
	w.put(text)
	out.close("code")
	out.close("pre")
}

// small shows elements that are a word or a number with a look.
func (w *cardWriter) small(kind string, v jsonValue) {
	text := firstOf(v.name("text"), v.name("title"), v.name("label"))
	switch kind {
	case "badge":
		w.line("p", func() { w.styled("strong", text) })
	case "rating":
		w.line("p", func() {
			w.put(w.t.env.Texts.Say(texts.CardRating, "value", firstOf(v.name("value"), "0"), "most", firstOf(v.name("max"), "5")))
		})
	case "progressbar":
		if v.has("value") {
			w.line("p", func() {
				w.put(w.t.env.Texts.Say(texts.CardProgress, "value", v.name("value"), "most", firstOf(v.name("max"), "100")))
			})
		}
	case "icon":
		w.tap(v.get("selectAction"))
	default:
		w.line("p", func() { w.styled("strong", text) })
		w.markdown(v.str("description"), "p", "")
		w.tap(v.get("selectAction"))
	}
}

// unknown shows an element that is not known here: what its author wants to be
// shown instead, else whatever in it can be shown, and its name.
func (w *cardWriter) unknown(v jsonValue) {
	if f := v.get("fallback"); f.isObject() {
		w.element(f)
		return
	} else if strings.EqualFold(f.text(), "drop") {
		return
	}
	for _, key := range []string{"title", "label", "text", "altText", "value"} {
		if s := v.str(key); s != "" {
			w.markdown(s, "p", "")
		}
	}
	for _, key := range []string{"body", "items", "columns", "rows", "cells", "pages", "images", "inlines"} {
		w.items(v.list(key))
	}
	w.facts(v.list("facts"), "title", "value")
	w.actions(v.list("actions"))
	w.onlyTeams(firstOf(v.name("type"), w.t.env.Texts.Say(texts.CardElement)))
}

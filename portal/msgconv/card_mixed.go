package msgconv

import (
	"html"
	"strings"
)

// lines adds a text without any HTML in it but entities.
func (w *cardWriter) lines(s, tag string) {
	if w.dialect != markdownOrHTML {
		s = html.UnescapeString(s)
	}
	if w.dialect != onlyHTML {
		w.markdown(s, tag, "")
		return
	}
	if s = strings.Trim(lineEnds.Replace(s), "\n"); isBlank(s) {
		return
	}
	w.line(tag, func() {
		for i, line := range strings.Split(s, "\n") {
			if i > 0 {
				w.t.out.open("br")
			}
			w.put(line)
		}
	})
}

// titled adds a short text in an element.
func (w *cardWriter) titled(tag, s string) {
	if w.dialect == onlyHTML {
		w.styled(tag, s)
		return
	}
	w.wrapped(tag, s)
}

// value adds what a fact says.
func (w *cardWriter) value(s string) {
	if w.dialect == markdownOrHTML {
		w.markdown(s, "p", "")
		return
	}
	w.formatted(s, "p")
}

// mixed adds HTML in whose text is Markdown: what is bold, struck out or a link
// within one run of text, lists of lines, and an empty line between paragraphs.
func (w *cardWriter) mixed(tree *node, tag string) {
	w.shown = w.shown || hasImage(tree)
	w.t.words = w.words
	defer func() { w.t.words = nil }()
	if w.cell > 0 || !tree.blocks {
		w.line(tag, func() { w.t.kids(tree) })
		return
	}
	w.t.kids(tree)
}

// words adds a run of text within HTML, line by line. Beside blocks the ends of
// its first and last line say nothing.
func (w *cardWriter) words(s string, blocks bool) {
	ends, said := 0, false
	gap := func(mark bool) {
		switch {
		case ends == 0:
		case ends > 1 && (said || !blocks):
			w.t.out.open("br")
			w.t.out.open("br")
		case mark && said:
			w.t.out.open("br")
		default:
			w.t.out.text(" ")
		}
		ends, said = 0, true
	}
	for i, line := range strings.Split(w.times(lineEnds.Replace(s)), "\n") {
		if i > 0 {
			ends++
		}
		if line == "" {
			continue
		}
		kind, start, text := listLine(line)
		gap(kind != "")
		switch kind {
		case "ul":
			w.inline("• " + text)
		case "ol":
			w.inline(start + ". " + text)
		default:
			w.inline(collapse(line))
		}
		said = true
	}
	said = said && !blocks
	gap(false)
}

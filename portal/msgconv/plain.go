package msgconv

import (
	"strconv"
	"strings"
)

// maxIndent is how many quotes and lists add to the indentation of plain text;
// without a bound deep nesting would make the text grow with every line.
const maxIndent = 8

// plain writes the tree as plain text that reads well: paragraphs apart, lists
// with their marks, quotes with ">", tables row by row.
func plain(root *node) string {
	w := &plainWriter{}
	w.kids(root)
	return strings.TrimRight(w.b.String(), " \n")
}

// plainWriter puts text on lines. Line ends wait until something follows.
type plainWriter struct {
	b strings.Builder
	// prefix stands before every line; last is the one before the line now written.
	prefix, last string
	indent       int
	// breaks is the number of line ends due before the next text.
	breaks int
	// space says that a space is due before the next text of the line.
	space bool
	// fresh says that nothing stands on the line but its prefix and mark.
	fresh bool
	// cell is above 0 in a table cell, where all is one line.
	cell int
	pre  int
	// mark is the list mark that the next line starts with.
	mark string
}

func (w *plainWriter) kids(n *node) {
	for _, k := range n.kids {
		w.node(k)
	}
}

func (w *plainWriter) node(n *node) {
	switch n.tag {
	case "":
		w.text(n.text)
	case "br":
		w.newline()
	case "img":
		w.write(n.attr("alt"))
	case "hr":
		w.around(2, func() { w.write("———") })
	case "p", "h1", "h2", "h3", "h4", "h5", "h6", "caption":
		w.around(2, func() { w.kids(n) })
	case "blockquote":
		w.around(2, func() { w.indented("> ", func() { w.kids(n) }) })
	case "pre":
		w.code(n)
	case "ul", "ol":
		w.list(n)
	case "table":
		w.around(2, func() { w.kids(n) })
	case "tr":
		w.around(1, func() { w.row(n) })
	case "a":
		w.link(n)
	case "code":
		if w.pre > 0 {
			w.kids(n)
			return
		}
		w.write("`")
		w.kids(n)
		w.glue("`")
	default:
		if n.block {
			w.around(1, func() { w.kids(n) })
			return
		}
		w.kids(n)
	}
}

func (w *plainWriter) around(breaks int, inside func()) {
	w.need(breaks)
	inside()
	w.need(breaks)
}

// need asks for line ends before what comes next; the greatest demand wins.
func (w *plainWriter) need(breaks int) {
	if w.cell > 0 {
		w.space = true
		return
	}
	if w.b.Len() == 0 || w.fresh {
		return
	}
	w.breaks = max(w.breaks, breaks)
}

// newline asks for one more line end, at most for one empty line.
func (w *plainWriter) newline() {
	if w.cell > 0 {
		w.space = true
		return
	}
	if w.b.Len() > 0 {
		w.breaks = min(w.breaks+1, 2+w.pre*64)
	}
}

func (w *plainWriter) indented(prefix string, inside func()) {
	if w.indent >= maxIndent || w.cell > 0 {
		inside()
		return
	}
	outer := w.prefix
	w.prefix += prefix
	w.indent++
	inside()
	w.prefix = outer
	w.indent--
}

// write puts s on the line, after the line ends and the space that are due.
func (w *plainWriter) write(s string) {
	if w.b.Len() == 0 {
		w.b.WriteString(w.prefix)
		w.last = w.prefix
		w.space = false
	}
	if w.breaks > 0 {
		between := strings.TrimRight(shorter(w.last, w.prefix), " ")
		for ; w.breaks > 1; w.breaks-- {
			w.b.WriteByte('\n')
			w.b.WriteString(between)
		}
		w.breaks = 0
		w.b.WriteByte('\n')
		w.b.WriteString(w.prefix)
		w.last = w.prefix
		w.space = false
	}
	if w.mark != "" {
		if w.cell > 0 && w.space {
			w.b.WriteByte(' ')
		}
		w.b.WriteString(w.mark)
		w.mark = ""
		w.space = false
	}
	if w.space && !w.fresh {
		w.b.WriteByte(' ')
	}
	w.space, w.fresh = false, false
	w.b.WriteString(s)
}

// glue puts s right behind what was written last.
func (w *plainWriter) glue(s string) {
	space := w.space
	w.space = false
	w.write(s)
	w.space = space
}

// shorter returns the shorter of two prefixes of nested indentation.
func shorter(a, b string) string {
	if len(a) < len(b) {
		return a
	}
	return b
}

// text adds text of a paragraph: runs of white space are one space, and none
// at the ends of a line.
func (w *plainWriter) text(s string) {
	if w.pre > 0 {
		w.lines(s)
		return
	}
	for s != "" {
		i := strings.IndexAny(s, " \t\n")
		if i < 0 {
			w.write(s)
			return
		}
		if i > 0 {
			w.write(s[:i])
		}
		s = s[i+1:]
		w.space = w.space || (w.b.Len() > 0 && w.breaks == 0)
	}
}

// lines adds text of which every character counts.
func (w *plainWriter) lines(s string) {
	for {
		line, rest, more := strings.Cut(s, "\n")
		if line != "" {
			w.write(line)
		}
		if !more {
			return
		}
		w.newline()
		s = rest
	}
}

func (w *plainWriter) code(n *node) {
	if w.cell > 0 {
		w.need(1)
		w.kids(n)
		w.need(1)
		return
	}
	lang := ""
	if len(n.kids) == 1 && n.kids[0].tag == "code" {
		lang = strings.TrimPrefix(n.kids[0].attr("class"), "language-")
	}
	w.need(1)
	w.write("```" + lang)
	w.breaks = 1
	w.pre++
	w.kids(n)
	w.pre--
	w.breaks = 1
	w.write("```")
	w.need(1)
}

func (w *plainWriter) list(n *node) {
	breaks := 2
	if w.indent > 0 {
		breaks = 1
	}
	w.need(breaks)
	number := 1
	if start, err := strconv.Atoi(n.attr("start")); err == nil {
		number = start
	}
	for _, k := range n.kids {
		if k.tag != "li" {
			w.node(k)
			continue
		}
		mark := "• "
		if n.tag == "ol" {
			mark = strconv.Itoa(number) + ". "
			number++
		}
		w.need(1)
		w.mark = mark
		w.write("")
		w.fresh = true
		w.indented("  ", func() { w.kids(k) })
		w.fresh = false
		w.need(1)
	}
	w.need(breaks)
}

func (w *plainWriter) row(n *node) {
	first := true
	for _, k := range n.kids {
		if k.tag != "td" && k.tag != "th" {
			continue
		}
		if !first {
			w.space = true
			w.write("|")
			w.space = true
		}
		first = false
		w.cell++
		w.kids(k)
		w.cell--
	}
}

func (w *plainWriter) link(n *node) {
	w.kids(n)
	href := n.attr("href")
	if n.mention != nil || sameLink(textContent(n), href) {
		return
	}
	w.space = true
	w.write("(" + href + ")")
}

// sameLink reports whether a link's text already says where it goes.
func sameLink(text, href string) bool {
	text = strings.TrimSpace(text)
	return text == href || "mailto:"+text == href || "https://"+text == href || "http://"+text == href ||
		strings.TrimSuffix(href, "/") == strings.TrimSuffix(text, "/")
}

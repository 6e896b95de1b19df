package msgconv

import "unicode/utf8"

// maxDepth is how deep elements may nest. What is deeper is flattened: its tags
// go, its text stays.
const maxDepth = 100

// maxReopen is how many formatting elements are taken up again where a block or
// a crossing end tag interrupted them. It bounds how much longer than its
// source hostile HTML can become.
const maxReopen = 6

// builder makes a tree in which elements nest as HTML readers expect, whatever
// it is told to open and close. Its trees have a canonical form: writing one
// out and reading it with the same profile gives the same tree.
type builder struct {
	p     *profile
	root  *node
	stack []frame
	// skipped counts the start tags of a name that were not opened, so that
	// their end tags do not close another element.
	skipped map[string]int
	buf     []byte
	slab    []node
}

// node returns a new node. They are made in numbers, for a message has many.
func (b *builder) node(n node) *node {
	if len(b.slab) == 0 {
		b.slab = make([]node, slabSize)
	}
	out := &b.slab[0]
	b.slab = b.slab[1:]
	*out = n
	return out
}

const slabSize = 16

type frame struct {
	n *node
	// src is the tag as it was called when it was opened; end tags go by it.
	src  string
	info tagInfo
}

func newBuilder(p *profile) *builder {
	root := &node{block: true}
	return &builder{p: p, root: root, stack: append(make([]frame, 0, 16), frame{n: root, info: tagInfo{kind: block}}), skipped: map[string]int{}}
}

// finish closes what is open and returns the tree.
func (b *builder) finish() *node {
	b.popTo(0)
	b.flush()
	return b.root
}

// open starts an element and returns it, or nil where it is left out. A void
// element is complete at once.
func (b *builder) open(src string, attrs ...attr) *node {
	info, ok := b.p.tags[src]
	if !ok {
		return nil
	}
	switch src {
	case "li":
		if !b.openItem() {
			info.name = "div"
		}
	case "tr", "td", "th", "thead", "tbody", "tfoot", "caption":
		if !b.openTablePart(src, &info) {
			b.skipped[src]++
			return nil
		}
	default:
		b.ensureCell()
	}
	if info.name == "a" && !b.closeLink() {
		b.skipped[src]++
		return nil
	}
	if info.kind.has(format) && info.name != "a" && b.isOpen(info.name) && len(attrs) == 0 {
		b.skipped[src]++
		return nil
	}
	var again []frame
	if info.kind.has(block) {
		again = b.closeParagraph()
	}
	if len(b.stack) > maxDepth {
		if !info.kind.has(void) {
			b.skipped[src]++
		} else {
			b.append(b.node(node{tag: info.name, attrs: attrs, content: info.kind.has(visible)}))
		}
		b.reopen(again)
		return nil
	}
	n := b.node(node{tag: info.name, attrs: attrs, block: info.kind.has(block), content: info.kind.has(visible)})
	b.append(n)
	if info.kind.has(void) {
		b.reopen(again)
		return n
	}
	b.stack = append(b.stack, frame{n: n, src: src, info: info})
	if info.kind.has(flow) {
		b.reopen(again)
	}
	return n
}

// close ends the innermost element that was opened by that name, if any.
func (b *builder) close(src string) {
	if b.skipped[src] > 0 {
		b.skipped[src]--
		return
	}
	tablePart := isTablePart(src) || src == "table"
	for i := len(b.stack) - 1; i > 0; i-- {
		f := b.stack[i]
		if f.src == src {
			var again []frame
			if f.info.kind.has(format) {
				again = b.formatsAbove(i)
			}
			b.popTo(i)
			b.reopen(again)
			return
		}
		if !tablePart && (f.n.tag == "td" || f.n.tag == "th" || f.n.tag == "caption") {
			return
		}
	}
}

// text adds text. Characters that no message may carry are left out.
func (b *builder) text(s string) { addText(b, s) }

func addText[T string | []byte](b *builder, s T) {
	if len(s) == 0 {
		return
	}
	if inTable(b.top().n.tag) {
		if isBlank(s) {
			return
		}
		b.ensureCell()
	}
	b.buf = appendClean(b.buf, s)
}

// element adds an element that holds text only.
func (b *builder) element(tag, text string, attrs ...attr) *node {
	n := b.open(tag, attrs...)
	b.text(text)
	b.close(tag)
	return n
}

func (b *builder) top() *frame { return &b.stack[len(b.stack)-1] }

func (b *builder) append(n *node) {
	b.flush()
	parent := b.top().n
	parent.kids = append(parent.kids, n)
	if n.block {
		parent.blocks = true
	}
	if n.content {
		parent.content = true
	}
}

// flush turns the text gathered so far into a node.
func (b *builder) flush() {
	if len(b.buf) == 0 {
		return
	}
	n := b.node(node{text: string(b.buf), content: !isBlank(b.buf)})
	b.buf = b.buf[:0]
	parent := b.top().n
	parent.kids = append(parent.kids, n)
	parent.content = parent.content || n.content
}

// popTo closes everything from stack[i] on; the root stays.
func (b *builder) popTo(i int) {
	i = max(i, 1)
	b.flush()
	for len(b.stack) > i {
		f := b.stack[len(b.stack)-1]
		b.stack = b.stack[:len(b.stack)-1]
		parent := b.top().n
		if f.info.kind.has(format) {
			delete(b.skipped, f.src)
			if len(f.n.kids) == 0 {
				parent.kids = parent.kids[:len(parent.kids)-1]
				continue
			}
		}
		parent.content = parent.content || f.n.content
		parent.blocks = parent.blocks || f.n.block || f.n.blocks
	}
}

// formatsAbove returns the formatting elements open inside stack[i].
func (b *builder) formatsAbove(i int) []frame {
	var out []frame
	for _, f := range b.stack[i+1:] {
		if f.info.kind.has(format) && f.n.mention == nil && len(out) < maxReopen {
			out = append(out, f)
		}
	}
	return out
}

func (b *builder) reopen(frames []frame) {
	for _, f := range frames {
		if len(b.stack) > maxDepth || b.isOpen(f.n.tag) {
			continue
		}
		n := &node{tag: f.n.tag, attrs: f.n.attrs}
		b.append(n)
		b.stack = append(b.stack, frame{n: n, src: f.src, info: f.info})
	}
}

// closeParagraph ends a paragraph that is still open where a block starts.
func (b *builder) closeParagraph() []frame {
	for i := len(b.stack) - 1; i > 0 && (!b.stack[i].n.block || b.stack[i].n.tag == "p"); i-- {
		if b.stack[i].n.tag == "p" {
			again := b.formatsAbove(i)
			b.popTo(i)
			return again
		}
	}
	return nil
}

// closeLink makes room for a link, and reports false where there is none: in a
// link that a block separates from here.
func (b *builder) closeLink() bool {
	inline := true
	for i := len(b.stack) - 1; i > 0; i-- {
		if b.stack[i].n.block {
			inline = false
		}
		if b.stack[i].n.tag == "a" {
			if !inline {
				return false
			}
			again := b.formatsAbove(i)
			b.popTo(i)
			b.reopen(again)
			return true
		}
	}
	return true
}

// openItem ends the list item before, and reports whether there is a list.
func (b *builder) openItem() bool {
	b.ensureCell()
	for i := len(b.stack) - 1; i > 0; i-- {
		switch b.stack[i].n.tag {
		case "ul", "ol":
			return true
		case "td", "th", "caption", "blockquote", "details", "summary", "pre", "codeblock":
			return false
		}
		if b.stack[i].src == "li" {
			listed := b.stack[i].n.tag == "li"
			b.popTo(i)
			return listed
		}
	}
	return false
}

// openTablePart closes rows and cells that are still open, opens a row for a
// cell that has none, and reports false for a part without a table. Cells and
// captions without a table become paragraphs.
func (b *builder) openTablePart(src string, info *tagInfo) bool {
	for i := len(b.stack) - 1; i > 0; i-- {
		switch b.stack[i].n.tag {
		case "tr":
			if src == "td" || src == "th" {
				b.popTo(i + 1)
				return true
			}
		case "thead", "tbody", "tfoot":
			switch src {
			case "tr":
				b.popTo(i + 1)
				return true
			case "td", "th":
				b.popTo(i + 1)
				return b.open("tr") != nil
			}
		case "table":
			b.popTo(i + 1)
			if src == "td" || src == "th" {
				return b.open("tr") != nil
			}
			return true
		}
	}
	if src == "td" || src == "th" || src == "caption" {
		info.name = "div"
		return true
	}
	return false
}

// ensureCell opens a row and a cell where a table's own level would otherwise
// get content.
func (b *builder) ensureCell() {
	if !inTable(b.top().n.tag) {
		return
	}
	if b.top().n.tag != "tr" && b.open("tr") == nil {
		return
	}
	b.open("td")
}

func (b *builder) isOpen(tag string) bool {
	for i := len(b.stack) - 1; i > 0; i-- {
		if b.stack[i].n.tag == tag {
			return true
		}
	}
	return false
}

func inTable(tag string) bool {
	switch tag {
	case "table", "thead", "tbody", "tfoot", "tr":
		return true
	}
	return false
}

func isTablePart(tag string) bool {
	switch tag {
	case "tr", "td", "th", "thead", "tbody", "tfoot", "caption":
		return true
	}
	return false
}

// isBlank reports whether there is nothing to see in s: white space and
// no-break spaces only.
func isBlank[T string | []byte](s T) bool {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ' ', '\t', '\n', '\r', '\f':
		case 0xc2:
			if i+1 >= len(s) || s[i+1] != 0xa0 {
				return false
			}
			i++
		default:
			return false
		}
	}
	return true
}

// appendClean appends s without control characters, with "\n" for every kind
// of line end and U+FFFD for what is not UTF-8.
func appendClean[T string | []byte](dst []byte, s T) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c >= 0x20 && c < 0x7f, c == '\n', c == '\t':
			dst = append(dst, c)
			i++
		case c == '\r':
			if i+1 >= len(s) || s[i+1] != '\n' {
				dst = append(dst, '\n')
			}
			i++
		case c < utf8.RuneSelf:
			i++
		default:
			end := min(i+utf8.UTFMax, len(s))
			r, n := utf8.DecodeRuneInString(string(s[i:end]))
			if r < 0x80 || r > 0x9f {
				dst = utf8.AppendRune(dst, r)
			}
			i += n
		}
	}
	return dst
}

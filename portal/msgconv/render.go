package msgconv

import "strings"

// render writes the tree below root as HTML.
func render(root *node) string {
	var b strings.Builder
	for _, k := range root.kids {
		renderNode(&b, k)
	}
	return b.String()
}

func renderNode(b *strings.Builder, n *node) {
	if n.tag == "" {
		escape(b, n.text)
		return
	}
	b.WriteByte('<')
	b.WriteString(n.tag)
	for _, a := range n.attrs {
		b.WriteByte(' ')
		b.WriteString(a.key)
		b.WriteString(`="`)
		escape(b, a.val)
		b.WriteByte('"')
	}
	b.WriteByte('>')
	if isVoid(n.tag) {
		return
	}
	for _, k := range n.kids {
		renderNode(b, k)
	}
	b.WriteString("</")
	b.WriteString(n.tag)
	b.WriteByte('>')
}

func isVoid(tag string) bool { return tag == "br" || tag == "hr" || tag == "img" }

// escape writes text as the sanitiser would, so that it finds nothing to change.
func escape(b *strings.Builder, s string) {
	last := 0
	for i := 0; i < len(s); i++ {
		esc := entity(s[i])
		if esc == "" {
			continue
		}
		b.WriteString(s[last:i])
		b.WriteString(esc)
		last = i + 1
	}
	b.WriteString(s[last:])
}

func entity(c byte) string {
	switch c {
	case '&':
		return "&amp;"
	case '<':
		return "&lt;"
	case '>':
		return "&gt;"
	case '"':
		return "&#34;"
	case '\'':
		return "&#39;"
	}
	return ""
}

// tagSize is what an element's own tags take as HTML.
func tagSize(n *node) int {
	size := len(n.tag) + 2
	if !isVoid(n.tag) {
		size += len(n.tag) + 3
	}
	for _, a := range n.attrs {
		size += len(a.key) + 4 + escapedSize(a.val)
	}
	return size
}

func escapedSize(s string) int {
	size := len(s)
	for i := 0; i < len(s); i++ {
		if esc := entity(s[i]); esc != "" && s[i] != '\'' {
			size += len(esc) - 1
		}
	}
	return size
}

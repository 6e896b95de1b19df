package msgconv

// node is an element of a message's tree, or a run of text (tag "").
type node struct {
	tag   string
	text  string
	attrs []attr
	kids  []*node
	// block tells a paragraph-like element from one that flows in a line.
	block bool
	// blocks says that there is a block somewhere inside.
	blocks bool
	// content says that there is something to see inside.
	content bool
	// mention is who an element mentions; such an element is never divided.
	mention *mention
	// size is what the splitter has to pay for the node; only it sets and reads it.
	size int
}

type attr struct{ key, val string }

func (n *node) attr(key string) string {
	for _, a := range n.attrs {
		if a.key == key {
			return a.val
		}
	}
	return ""
}

// textContent returns all text below n, as it stands.
func textContent(n *node) string {
	var b []byte
	walk(n, func(k *node) bool {
		b = append(b, k.text...)
		return true
	})
	return string(b)
}

// walk visits n and all below it in document order; visit returns false to
// leave out what is below.
func walk(n *node, visit func(*node) bool) {
	if !visit(n) {
		return
	}
	for _, k := range n.kids {
		walk(k, visit)
	}
}

// tidy removes what shows nothing from the end of a conversion: empty
// paragraphs, and the paragraph around a message that has only one.
func tidy(root *node) {
	dropEmpty(root)
	for len(root.kids) == 1 && (root.kids[0].tag == "p" || root.kids[0].tag == "div") {
		root.kids = root.kids[0].kids
	}
}

// dropEmpty removes paragraphs and the like that show nothing, and reports
// whether anything is left to see in n.
func dropEmpty(n *node) bool {
	seen := false
	kept := n.kids[:0]
	for _, k := range n.kids {
		visible := k.tag == "" && !isBlank(k.text) || k.tag == "img" || k.tag == "hr" || k.tag == "td" || k.tag == "th"
		visible = dropEmpty(k) || visible
		seen = seen || visible
		switch {
		case visible, k.tag == "" && k.text != "":
			kept = append(kept, k)
		case k.tag == "", isWrapper(k.tag), isFormat(k.tag) && len(k.kids) == 0:
		default:
			kept = append(kept, k)
		}
	}
	n.kids = kept
	return seen
}

// isFormat reports whether an element only changes how its text looks.
func isFormat(tag string) bool {
	switch tag {
	case "a", "b", "strong", "i", "em", "u", "s", "del", "sub", "sup", "code", "span":
		return true
	}
	return false
}

// isWrapper reports whether an element shows nothing when there is no text in it.
func isWrapper(tag string) bool {
	switch tag {
	case "p", "div", "blockquote", "ul", "ol", "pre", "h1", "h2", "h3", "h4", "h5", "h6", "codeblock", "details":
		return true
	}
	return false
}

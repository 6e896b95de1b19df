package demopage

import (
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// cleaned is a message's HTML without what could act or load, so that the
// browser has nothing to complain about when it parses it. The page's own list
// (web/sanitise.js) decides what is shown, and does not rely on this one.
func cleaned(source string) string {
	nodes, err := html.ParseFragment(strings.NewReader(source), &html.Node{Type: html.ElementNode, Data: "body", DataAtom: atom.Body})
	if err != nil {
		return html.EscapeString(source)
	}
	var b strings.Builder
	for _, n := range nodes {
		if clean(n) {
			_ = html.Render(&b, n)
		}
	}
	return b.String()
}

// clean takes out of a node what must not be in it, and reports whether the
// node may stay.
func clean(n *html.Node) bool {
	switch n.Type {
	case html.TextNode:
		return true
	case html.ElementNode:
	default:
		return false
	}
	switch n.Data {
	case "script", "style", "iframe", "object", "embed", "svg", "math", "template", "noscript", "textarea", "title", "mx-reply":
		return false
	}
	n.Attr = slices.DeleteFunc(n.Attr, func(a html.Attribute) bool { return !harmless(a.Key) })
	for c := n.FirstChild; c != nil; {
		next := c.NextSibling
		if !clean(c) {
			n.RemoveChild(c)
		}
		c = next
	}
	return true
}

// harmless are the attributes that the page looks at.
func harmless(attribute string) bool {
	switch attribute {
	case "href", "src", "alt", "title", "id", "colspan", "rowspan", "start", "data-mx-spoiler", "data-mx-emoticon":
		return true
	}
	return false
}

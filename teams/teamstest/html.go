package teamstest

import (
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// This file does to HTML what Teams does when it takes a message in: elements
// it does not know lose their tags, attributes it does not know are dropped
// (data-* and class among them), and text that stands free is put into a
// paragraph. Microsoft documents which elements come back, not the rewriting.
// The exact form, a paragraph around free text and line feeds between blocks,
// follows what has been seen of real messages.

// keptAttributes lists the elements that survive, with their attributes.
func keptAttributes(tag string) (attributes []string, kept bool) {
	switch tag {
	case "p", "div", "span", "table", "thead", "tbody", "tr", "ul", "li", "blockquote":
		return []string{"style"}, true
	case "td", "th":
		return []string{"style", "colspan", "rowspan"}, true
	case "ol":
		return []string{"style", "start"}, true
	case "br", "hr", "strong", "b", "em", "i", "u", "s", "h1", "h2", "h3", "pre", "code":
		return nil, true
	case "a":
		return []string{"href", "title", "target", "rel"}, true
	case "img":
		return []string{"src", "alt", "width", "height", "style", "itemid"}, true
	case "at", "attachment":
		return []string{"id"}, true
	case "emoji":
		return []string{"id", "alt", "title"}, true
	case "customemoji":
		return []string{"id", "alt", "source"}, true
	case "codeblock":
		return []string{"class"}, true
	default:
		return nil, false
	}
}

func isBlock(tag string) bool {
	switch tag {
	case "p", "div", "table", "ul", "ol", "blockquote", "hr", "h1", "h2", "h3", "pre", "codeblock", "attachment", "systemeventmessage":
		return true
	default:
		return false
	}
}

func isVoid(tag string) bool { return tag == "br" || tag == "hr" || tag == "img" }

// parseFragment reads HTML as the inside of a body.
func parseFragment(source string) ([]*html.Node, error) {
	return html.ParseFragment(strings.NewReader(source), &html.Node{Type: html.ElementNode, Data: "body", DataAtom: atom.Body})
}

// found is what a message's HTML refers to.
type found struct {
	mentions    map[string]string // id of <at> to its text, decoded
	attachments []string
	images      []string // src of every img
}

// rewriteHTML returns HTML as Teams keeps it, and what it refers to. image
// maps the source of a picture to another.
func rewriteHTML(source string, image func(src string) string) (string, found, error) {
	refs := found{mentions: map[string]string{}}
	nodes, err := parseFragment(source)
	if err != nil {
		return "", refs, err
	}
	var top []*html.Node
	for _, n := range nodes {
		top = append(top, clean(n, &refs, image)...)
	}
	var blocks []string
	var run strings.Builder
	flush := func() {
		if strings.TrimSpace(run.String()) != "" {
			blocks = append(blocks, "<p>"+strings.TrimSpace(run.String())+"</p>")
		}
		run.Reset()
	}
	for _, n := range top {
		if n.Type == html.ElementNode && isBlock(n.Data) {
			flush()
			var b strings.Builder
			write(&b, n)
			blocks = append(blocks, b.String())
			continue
		}
		write(&run, n)
	}
	flush()
	out := strings.Join(blocks, "\n")
	// The paragraph around it may be what makes it too deep to be read again.
	_, err = parseFragment(out)
	return out, refs, err
}

// clean returns what is left of a node: itself, or its children, or nothing.
func clean(n *html.Node, refs *found, image func(string) string) []*html.Node {
	if n.Type == html.TextNode {
		return []*html.Node{{Type: html.TextNode, Data: n.Data}}
	}
	if n.Type != html.ElementNode || n.Data == "script" || n.Data == "style" || n.Data == "title" {
		return nil
	}
	var children []*html.Node
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		children = append(children, clean(c, refs, image)...)
	}
	attributes, kept := keptAttributes(n.Data)
	if !kept {
		return children
	}
	out := &html.Node{Type: html.ElementNode, Data: n.Data}
	for _, a := range n.Attr {
		if !slices.Contains(attributes, a.Key) || a.Key == "href" && !safeLink(a.Val) {
			continue
		}
		if a.Key == "src" {
			refs.images = append(refs.images, a.Val)
			a.Val = image(a.Val)
		}
		if a.Key == "id" && n.Data == "attachment" {
			refs.attachments = append(refs.attachments, a.Val)
		}
		if a.Key == "id" && n.Data == "at" {
			refs.mentions[a.Val] = textOf(n)
		}
		out.Attr = append(out.Attr, html.Attribute{Key: a.Key, Val: a.Val})
	}
	for _, c := range children {
		out.AppendChild(c)
	}
	return []*html.Node{out}
}

func safeLink(href string) bool {
	scheme, _, ok := strings.Cut(href, ":")
	return ok && slices.Contains([]string{"http", "https", "mailto", "tel"}, strings.ToLower(strings.TrimSpace(scheme)))
}

func textOf(n *html.Node) string {
	if n.Type == html.TextNode {
		return n.Data
	}
	var b strings.Builder
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		b.WriteString(textOf(c))
	}
	return b.String()
}

// write renders a node the way Teams' bodies look: no-break spaces as
// entities, void elements without a slash.
func write(b *strings.Builder, n *html.Node) {
	if n.Type == html.TextNode {
		b.WriteString(escapeText(n.Data))
		return
	}
	b.WriteByte('<')
	b.WriteString(n.Data)
	for _, a := range n.Attr {
		b.WriteString(" " + a.Key + `="` + strings.ReplaceAll(escapeText(a.Val), `"`, "&quot;") + `"`)
	}
	b.WriteByte('>')
	if isVoid(n.Data) {
		return
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		write(b, c)
	}
	b.WriteString("</" + n.Data + ">")
}

func escapeText(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\u00a0", "&nbsp;").Replace(s)
}

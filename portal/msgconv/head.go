package msgconv

import (
	"slices"
	"strings"
	"time"

	"teamsbridge/texts"
)

// Head is what the post of a message from Matrix has in front of its text, beside
// its author.
type Head struct {
	// Answers are the links to what the message answers: a quote that begins with
	// one of them is the bridge's.
	Answers []string
	// Written is when the message was written, in the zone in which its post says
	// so where it was late.
	Written time.Time
}

// drop takes the head out of the body of a post.
func (h *Head) drop(body *node, x texts.Texts) {
	if parent, i := firstQuote(body); parent != nil && h.isAnswer(parent.kids[i]) {
		parent.kids = slices.Delete(parent.kids, i, i+1)
	}
	if h.Written.IsZero() {
		return
	}
	first := true
	walk(body, func(n *node) bool {
		if first && !isBlank(n.text) {
			first = false
			if rest, late := strings.CutPrefix(strings.TrimLeft(n.text, " \n\t\u00a0"), textLate(x, h.Written)); late {
				n.text = strings.TrimLeft(rest, " \n\t\u00a0")
				n.content = n.text != ""
			}
		}
		return first
	})
}

// firstQuote returns where the first quote of a tree stands, nil where there is none.
func firstQuote(root *node) (parent *node, i int) {
	walk(root, func(n *node) bool {
		if parent == nil {
			if at := slices.IndexFunc(n.kids, func(k *node) bool { return k.tag == "blockquote" }); at >= 0 {
				parent, i = n, at
			}
		}
		return parent == nil
	})
	return parent, i
}

// isAnswer reports whether a quote begins with the link to what is answered.
func (h *Head) isAnswer(quote *node) bool {
	answer, done := false, false
	walk(quote, func(n *node) bool {
		if done || n.tag == "" && isBlank(n.text) {
			return false
		}
		if done = n.tag == "a" || n.tag == ""; n.tag == "a" {
			href, ok := cleanHref(n.attr("href"), false)
			answer = ok && slices.ContainsFunc(h.Answers, func(link string) bool {
				known, ok := cleanHref(link, false)
				return ok && known == href
			})
		}
		return !done
	})
	return answer
}

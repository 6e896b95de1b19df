package msgconv

import (
	"strings"

	"golang.org/x/net/html"
)

// maxAttrs is how many attributes of an element are looked at.
const maxAttrs = 40

// parse reads HTML in the given dialect. There is no invalid HTML: what the
// dialect does not know loses its tags and keeps its text.
func parse(src string, p *profile) *node {
	b := newBuilder(p)
	z := html.NewTokenizer(strings.NewReader(src))
	dropping := ""
	dropped := 0
	for {
		switch token := z.Next(); token {
		case html.ErrorToken:
			return b.finish()
		case html.TextToken:
			if dropping == "" {
				addText(b, z.Text())
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			raw, more := z.TagName()
			info, ok := p.tags[string(raw)]
			switch {
			case !ok:
			case dropping != "":
				if dropping == info.src && token == html.StartTagToken {
					dropped++
				}
			case info.kind.has(drop):
				if token == html.StartTagToken {
					dropping, dropped = info.src, 1
				}
			default:
				name := info.src
				attrs := readAttrs(z, p, info.name, more)
				if need := p.need[info.name]; need != "" && !hasAttr(attrs, need) && (need != anyAttr || len(attrs) == 0) {
					if !info.kind.has(void) {
						b.skipped[name]++
					}
					continue
				}
				b.open(name, attrs...)
				if token == html.SelfClosingTagToken && info.kind.has(custom) {
					b.close(name)
				}
			}
		case html.EndTagToken:
			raw, _ := z.TagName()
			if dropping == "" {
				if info, ok := p.tags[string(raw)]; ok {
					b.close(info.src)
				}
			} else if dropping == string(raw) {
				if dropped--; dropped == 0 {
					dropping = ""
				}
			}
		}
	}
}

func readAttrs(z *html.Tokenizer, p *profile, tag string, more bool) []attr {
	var out []attr
	for i := 0; more && i < maxAttrs; i++ {
		var key, val []byte
		key, val, more = z.TagAttr()
		kept, ok := p.attr(tag, string(key), string(val))
		if ok && !hasAttr(out, string(key)) {
			out = append(out, attr{string(key), kept})
		}
	}
	return out
}

func hasAttr(attrs []attr, key string) bool {
	for _, a := range attrs {
		if a.key == key {
			return true
		}
	}
	return false
}

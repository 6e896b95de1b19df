package texts

import (
	"errors"
	"strings"
)

// template is a text with places, in pieces.
type template []piece

// piece is plain text, a place with its name, or, with inside, what is left out
// where a place in it is empty.
type piece struct {
	text, name string
	inside     template
}

// parse reads "Hello {name}<, {greeting}>".
func parse(s string) (template, error) {
	var out template
	for s != "" {
		at := strings.IndexAny(s, "{}<>")
		if at < 0 {
			return append(out, piece{text: s}), nil
		}
		if at > 0 {
			out = append(out, piece{text: s[:at]})
		}
		switch s[at] {
		case '{':
			end := strings.IndexByte(s, '}')
			if end < at+2 {
				return nil, errors.New("a { without its }")
			}
			out = append(out, piece{name: s[at+1 : end]})
			s = s[end+1:]
		case '<':
			end := strings.IndexByte(s, '>')
			if end < at {
				return nil, errors.New("a < without its >")
			}
			inside, err := parse(s[at+1 : end])
			if err != nil {
				return nil, err
			} else if len(inside.places()) == 0 {
				return nil, errors.New("nothing between < and > could be missing")
			}
			out = append(out, piece{inside: inside})
			s = s[end+1:]
		default:
			return nil, errors.New("a } or > without what opens it")
		}
	}
	return out, nil
}

// fill puts what is given as pairs of name and value into the places.
func (t template) fill(pairs []string) string {
	if len(t) == 1 && t[0].name == "" && t[0].inside == nil {
		return t[0].text
	}
	var b strings.Builder
	t.write(&b, pairs)
	return b.String()
}

func (t template) write(b *strings.Builder, pairs []string) {
	for _, p := range t {
		switch {
		case p.inside != nil:
			if p.inside.complete(pairs) {
				p.inside.write(b, pairs)
			}
		case p.name != "":
			b.WriteString(value(pairs, p.name))
		default:
			b.WriteString(p.text)
		}
	}
}

func (t template) complete(pairs []string) bool {
	for _, p := range t {
		if p.name != "" && value(pairs, p.name) == "" {
			return false
		}
	}
	return true
}

// places lists the names of all places, in order.
func (t template) places() []string {
	var out []string
	for _, p := range t {
		if p.name != "" {
			out = append(out, p.name)
		}
		out = append(out, p.inside.places()...)
	}
	return out
}

// String returns what stands in the catalogue.
func (t template) String() string {
	var b strings.Builder
	for _, p := range t {
		switch {
		case p.inside != nil:
			b.WriteString("<" + p.inside.String() + ">")
		case p.name != "":
			b.WriteString("{" + p.name + "}")
		default:
			b.WriteString(p.text)
		}
	}
	return b.String()
}

func value(pairs []string, name string) string {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] == name {
			return pairs[i+1]
		}
	}
	return ""
}

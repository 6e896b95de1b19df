package texts

import (
	"regexp"
	"strconv"
	"strings"
)

// Phrases are texts that are known by what they say in English: names of states,
// reasons and problems. Logs, metrics and the database have them in English,
// whatever the language is that people are told of them in.
type Phrases struct {
	exact    map[string]Key
	patterns []pattern
}

// pattern finds a phrase with places.
type pattern struct {
	key  Key
	says template
	find *regexp.Regexp
}

// NewPhrases makes phrases of keys.
func NewPhrases(keys ...Key) *Phrases {
	p := &Phrases{exact: make(map[string]Key, len(keys))}
	for _, key := range keys {
		f := load()[English].says[key]
		for _, form := range []template{f.other, f.one} {
			if len(form.places()) > 0 {
				p.patterns = append(p.patterns, pattern{key, form, form.pattern()})
			} else {
				p.exact[form.String()] = key
			}
		}
	}
	return p
}

// pattern is what fits what the template says.
func (t template) pattern() *regexp.Regexp {
	var b strings.Builder
	for _, piece := range t {
		if piece.name != "" {
			b.WriteString("(.+)")
		} else {
			b.WriteString(regexp.QuoteMeta(piece.text))
		}
	}
	return regexp.MustCompile("(?s)^" + b.String() + "$")
}

// Retell says in the language of t what was said in English. Of what is joined by
// colons, as errors are, each piece is retold. What is no phrase stays as it is.
func (p *Phrases) Retell(t Texts, english string) string {
	if t.catalogue().language == English {
		return english
	}
	if said, ok := p.whole(t, english); ok {
		return said
	}
	pieces := strings.Split(english, ": ")
	var out []string
	for len(pieces) > 0 {
		said, n := pieces[0], 1
		for k := len(pieces); k > 0; k-- {
			if whole, ok := p.whole(t, strings.Join(pieces[:k], ": ")); ok {
				said, n = whole, k
				break
			}
		}
		out, pieces = append(out, said), pieces[n:]
	}
	return strings.Join(out, t.Say(Colon)+" ")
}

// values returns what stands in the places. A value does not contain the text
// that ends it, or it would be more than that.
func (p *pattern) values(english string) (pairs []string) {
	found := p.find.FindStringSubmatch(english)
	if found == nil {
		return nil
	}
	for i, piece := range p.says {
		if piece.name == "" {
			continue
		}
		value := found[1+len(pairs)/2]
		if i+1 < len(p.says) && strings.Contains(value, p.says[i+1].text) {
			return nil
		}
		pairs = append(pairs, piece.name, value)
	}
	return pairs
}

// whole retells what is one phrase, and what stands in its places.
func (p *Phrases) whole(t Texts, english string) (string, bool) {
	if key, ok := p.exact[english]; ok {
		return t.Say(key), true
	}
	for _, pattern := range p.patterns {
		pairs := pattern.values(english)
		if pairs == nil {
			continue
		}
		for i := 1; i < len(pairs); i += 2 {
			pairs[i] = p.Retell(t, pairs[i])
		}
		if n, err := strconv.Atoi(value(pairs, "n")); err == nil {
			return t.Count(pattern.key, n, pairs...), true
		}
		return t.Say(pattern.key, pairs...), true
	}
	return "", false
}

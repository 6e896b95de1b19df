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
	key    Key
	find   *regexp.Regexp
	places []string
}

// NewPhrases makes phrases of keys.
func NewPhrases(keys ...Key) *Phrases {
	p := &Phrases{exact: make(map[string]Key, len(keys))}
	for _, key := range keys {
		f := load()[English].says[key]
		for _, form := range []template{f.other, f.one} {
			if places := form.places(); len(places) > 0 {
				p.patterns = append(p.patterns, pattern{key, form.pattern(), places})
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

// whole retells what is one phrase, and what stands in its places.
func (p *Phrases) whole(t Texts, english string) (string, bool) {
	if key, ok := p.exact[english]; ok {
		return t.Say(key), true
	}
	for _, pattern := range p.patterns {
		values := pattern.find.FindStringSubmatch(english)
		if values == nil {
			continue
		}
		var pairs []string
		for i, name := range pattern.places {
			pairs = append(pairs, name, p.Retell(t, values[i+1]))
		}
		if n, err := strconv.Atoi(value(pairs, "n")); err == nil {
			return t.Count(pattern.key, n, pairs...), true
		}
		return t.Say(pattern.key, pairs...), true
	}
	return "", false
}

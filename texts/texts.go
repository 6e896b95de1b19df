package texts

import (
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed catalogue/*.json
var files embed.FS

// English is the language of the zero Texts, and the one that is complete by
// definition.
const English = "en"

// Key names a text.
type Key string

// Texts says things in one language, with times of one zone. The zero value
// speaks English and tells times in UTC.
type Texts struct {
	c    *catalogue
	zone *time.Location
}

// For returns the texts in a language: one of Languages, or "" for English. A
// nil zone is UTC.
func For(language string, zone *time.Location) (Texts, error) {
	if language == "" {
		language = English
	}
	c, ok := load()[language]
	if !ok {
		return Texts{}, fmt.Errorf("no texts in the language %q: there are %s", language, strings.Join(Languages(), ", "))
	}
	return Texts{c: c, zone: zone}, nil
}

// Languages lists the languages that there are.
func Languages() []string { return slices.Sorted(maps.Keys(load())) }

// Language is the language that is spoken, as HTML names it.
func (t Texts) Language() string { return t.catalogue().language }

// Say returns a text. What follows are the names of its places and what to put
// there, in pairs.
func (t Texts) Say(key Key, pairs ...string) string { return t.catalogue().says[key].other.fill(pairs) }

// Count returns the text for a number, which takes the place {n}.
func (t Texts) Count(key Key, n int, pairs ...string) string {
	c := t.catalogue()
	pairs = append(pairs[:len(pairs):len(pairs)], "n", strconv.Itoa(n))
	if c.isOne(n) {
		return c.says[key].one.fill(pairs)
	}
	return c.says[key].other.fill(pairs)
}

// Zone is the zone in which times are told.
func (t Texts) Zone() *time.Location {
	if t.zone == nil {
		return time.UTC
	}
	return t.zone
}

// Time is a point in time, the same in every language.
func (t Texts) Time(at time.Time) string {
	at = at.In(t.Zone())
	return at.Format("2006-01-02 15:04 ") + ZoneOf(at)
}

// Second is a point in time with its second.
func (t Texts) Second(at time.Time) string {
	at = at.In(t.Zone())
	return at.Format("2006-01-02 15:04:05 ") + ZoneOf(at)
}

// Hour is a time of a day.
func (t Texts) Hour(at time.Time) string {
	at = at.In(t.Zone())
	return at.Format("15:04 ") + ZoneOf(at)
}

// ZoneOf names the zone of a time: UTC, or how far it is from it.
func ZoneOf(at time.Time) string {
	if zone := at.Format("-07:00"); zone != "+00:00" {
		return zone
	}
	return "UTC"
}

func (t Texts) catalogue() *catalogue {
	if t.c == nil {
		return load()[English]
	}
	return t.c
}

// catalogue is what one language says.
type catalogue struct {
	language string
	says     map[Key]forms
}

// isOne reports whether a number takes the form for one.
func (c *catalogue) isOne(n int) bool { return n == 1 || n == 0 && c.language == "fr" }

// forms are what a key says of one and of any other number. Texts without a
// number have the same for both.
type forms struct{ one, other template }

// load reads the catalogues, once.
var load = sync.OnceValue(func() map[string]*catalogue {
	entries, err := files.ReadDir("catalogue")
	if err != nil {
		panic(fmt.Sprintf("read the embedded catalogues: %v", err))
	}
	all := make(map[string]*catalogue, len(entries))
	for _, e := range entries {
		says, err := read(path.Join("catalogue", e.Name()))
		if err != nil {
			panic(fmt.Sprintf("read the embedded catalogue %s: %v", e.Name(), err))
		}
		language := strings.TrimSuffix(e.Name(), ".json")
		all[language] = &catalogue{language, says}
	}
	return all
})

func read(name string) (map[Key]forms, error) {
	data, err := files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var raw map[Key]json.RawMessage
	if err = json.Unmarshal(data, &raw); err != nil {
		return nil, err
	}
	c := make(map[Key]forms, len(raw))
	for key, value := range raw {
		var one, other string
		if json.Unmarshal(value, &other) == nil {
			one = other
		} else {
			var both struct{ One, Other string }
			if err := json.Unmarshal(value, &both); err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			one, other = both.One, both.Other
		}
		var f forms
		if f.one, err = parse(one); err == nil {
			f.other, err = parse(other)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		c[key] = f
	}
	return c, nil
}

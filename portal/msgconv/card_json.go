package msgconv

import (
	"encoding/json"
	"sort"
	"strings"
)

// maxCardJSON is the largest attachment content that is read. Graph's limit for
// a whole message is about 28 KB, with its cards.
const maxCardJSON = 256 << 10

// jsonValue is a value out of somebody else's JSON. Asking it for what it is
// not gives an empty answer, so that cards of wrong types need no care.
type jsonValue struct{ v any }

// parseJSON reads a document. ok is false for what is none or is too large.
func parseJSON(s string) (doc jsonValue, ok bool) {
	if len(s) > maxCardJSON {
		return jsonValue{}, false
	}
	dec := json.NewDecoder(strings.NewReader(s))
	dec.UseNumber()
	if dec.Decode(&doc.v) != nil {
		return jsonValue{}, false
	}
	return doc, true
}

func (j jsonValue) isObject() bool {
	_, ok := j.v.(map[string]any)
	return ok
}

// get returns a property of an object.
func (j jsonValue) get(key string) jsonValue {
	m, _ := j.v.(map[string]any)
	return jsonValue{m[key]}
}

// has reports whether an object has a property that is not null.
func (j jsonValue) has(key string) bool { return j.get(key).v != nil }

// text returns a value as text: strings, numbers and truths as they stand.
func (j jsonValue) text() string {
	switch v := j.v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		if v {
			return "true"
		}
		return "false"
	}
	return ""
}

// str returns a property as text.
func (j jsonValue) str(key string) string { return j.get(key).text() }

// name returns a property as one clean line of a bounded length.
func (j jsonValue) name(key string) string { return cleanPreview(j.str(key)) }

// is reports whether a property is that truth; a missing one is neither.
func (j jsonValue) is(key string, want bool) bool {
	switch v := j.get(key).v.(type) {
	case bool:
		return v == want
	case string:
		return strings.EqualFold(v, jsonValue{want}.text())
	}
	return false
}

// kind returns the value of "type" in lower case.
func (j jsonValue) kind() string { return strings.ToLower(j.str("type")) }

// list returns the members of an array. What stands alone where a list
// belongs is a list of one.
func (j jsonValue) list(key string) []jsonValue {
	v := j.get(key).v
	switch a := v.(type) {
	case nil:
		return nil
	case []any:
		out := make([]jsonValue, len(a))
		for i := range a {
			out[i] = jsonValue{a[i]}
		}
		return out
	}
	return []jsonValue{{v}}
}

// each visits all objects of a document in an order that depends on nothing
// but the document; visit returns false to stop.
func (j jsonValue) each(visit func(jsonValue) bool) bool {
	switch v := j.v.(type) {
	case []any:
		for _, k := range v {
			if !(jsonValue{k}).each(visit) {
				return false
			}
		}
	case map[string]any:
		if !visit(j) {
			return false
		}
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		for _, k := range keys {
			switch v[k].(type) {
			case []any, map[string]any:
				if !(jsonValue{v[k]}).each(visit) {
					return false
				}
			}
		}
	}
	return true
}

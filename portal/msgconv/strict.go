package msgconv

import (
	"strings"
	"unicode/utf8"
)

// allowed is what an element may have. need says that it has to have something.
type allowed struct {
	need  bool
	attrs map[string]func(val string) bool
}

// plainTags are elements without attributes.
func plainTags(names ...string) map[string]allowed {
	tags := make(map[string]allowed, len(names)+8)
	for _, name := range names {
		tags[name] = allowed{}
	}
	return tags
}

// The same lists as in the policies, once more, for what is written as the
// renderer writes it. They are values that nothing changes after start-up.
var (
	matrixTags = strictMatrix()
	teamsTags  = strictTeams()
)

func strictMatrix() map[string]allowed {
	tags := plainTags("p", "div", "br", "b", "strong", "i", "em", "u", "del", "sub", "sup", "h1", "h2", "h3", "h4", "h5", "h6",
		"ul", "li", "blockquote", "pre", "hr", "table", "thead", "tbody", "tr", "td", "th", "caption", "details", "summary")
	text := func(string) bool { return true }
	tags["a"] = allowed{true, map[string]func(string) bool{"href": func(v string) bool { return isLink(v, true) }}}
	tags["code"] = allowed{false, map[string]func(string) bool{"class": isLanguageClass}}
	tags["span"] = allowed{true, map[string]func(string) bool{"data-mx-spoiler": text, "data-mx-color": isColour, "data-mx-bg-color": isColour}}
	tags["ol"] = allowed{false, map[string]func(string) bool{"start": isNumber}}
	tags["img"] = allowed{true, map[string]func(string) bool{"src": isMXC, "alt": text, "title": text, "data-mx-emoticon": text, "height": isNumber}}
	return tags
}

func strictTeams() map[string]allowed {
	tags := plainTags("p", "div", "br", "b", "strong", "i", "em", "u", "s", "sub", "sup", "code", "h1", "h2", "h3",
		"ul", "li", "blockquote", "pre", "hr", "table", "tbody", "tr", "td", "th", "caption")
	tags["a"] = allowed{true, map[string]func(string) bool{"href": func(v string) bool { return isLink(v, false) }}}
	tags["span"] = allowed{true, map[string]func(string) bool{"style": isStyle}}
	tags["at"] = allowed{true, map[string]func(string) bool{"id": isNumber}}
	tags["codeblock"] = allowed{true, map[string]func(string) bool{"class": func(v string) bool { return v == "" || isLanguage(v) }}}
	tags["ol"] = allowed{false, map[string]func(string) bool{"start": isNumber}}
	tags["img"] = allowed{true, map[string]func(string) bool{
		"src": isHostedSource, "alt": func(string) bool { return true }, "width": isNumber, "height": isNumber}}
	return tags
}

func isNumber(s string) bool { return isDigits(s) }

// isLink reports whether an address, which cleanHref has looked at, is of a kind
// that a link may have.
func isLink(s string, matrix bool) bool {
	if strings.ContainsAny(s, " \t\n") {
		return false
	}
	for _, scheme := range [...]string{"https://", "http://"} {
		if host, web := strings.CutPrefix(s, scheme); web {
			return host != "" && !strings.ContainsAny(host[:1], "/?#:@")
		}
	}
	return strings.HasPrefix(s, "mailto:") || matrix && strings.HasPrefix(s, "matrix:")
}

// strict reports whether HTML is of the one form that the renderer writes, with
// nothing in it but what is allowed. A general sanitiser would give it back as
// it is, and takes several times as long to do so.
func strict(html string, tags map[string]allowed) bool {
	if !utf8.ValidString(html) {
		return false
	}
	for i := 0; i < len(html); {
		size := 1
		switch c := html[i]; {
		case c == '<':
			size = strictTag(html[i:], tags)
		case c == '&':
			size = strictEntity(html[i:])
		case c == '>', c == '"', c == '\'', c < 0x20 && c != '\n' && c != '\t', c == 0x7f:
			size = 0
		}
		if size == 0 {
			return false
		}
		i += size
	}
	return true
}

// strictEntity returns the length of the entity that s begins with, 0 for one
// that the renderer does not write.
func strictEntity(s string) int {
	for _, e := range [...]string{"&amp;", "&lt;", "&gt;", "&#34;", "&#39;"} {
		if strings.HasPrefix(s, e) {
			return len(e)
		}
	}
	return 0
}

// strictTag returns the length of the tag that s begins with, 0 for one that is
// not allowed or not as the renderer writes it.
func strictTag(s string, tags map[string]allowed) int {
	i := 1
	end := i < len(s) && s[i] == '/'
	if end {
		i++
	}
	from := i
	for i < len(s) && (s[i] >= 'a' && s[i] <= 'z' || s[i] >= '0' && s[i] <= '9') {
		i++
	}
	tag, ok := tags[s[from:i]]
	if !ok || end && isVoid(s[from:i]) {
		return 0
	}
	attrs := 0
	for !end && i < len(s) && s[i] == ' ' {
		size := strictAttr(s[i:], tag)
		if size == 0 {
			return 0
		}
		attrs++
		i += size
	}
	if i >= len(s) || s[i] != '>' || tag.need && attrs == 0 && !end {
		return 0
	}
	return i + 1
}

// strictAttr returns the length of the attribute that s begins with, and the
// space before it.
func strictAttr(s string, tag allowed) int {
	key, rest, ok := strings.Cut(s[1:], `="`)
	if !ok || len(key) > 20 {
		return 0
	}
	may := tag.attrs[key]
	size := strings.IndexByte(rest, '"')
	if may == nil || size < 0 {
		return 0
	}
	val := rest[:size]
	for i := 0; i < len(val); {
		n := 1
		switch c := val[i]; {
		case c == '&':
			n = strictEntity(val[i:])
		case c == '<', c == '>', c == '\'', c < 0x20 && c != '\n' && c != '\t', c == 0x7f:
			n = 0
		}
		if n == 0 {
			return 0
		}
		i += n
	}
	if strings.IndexByte(val, '&') >= 0 {
		val = entities.Replace(val)
	}
	if !may(val) {
		return 0
	}
	return 1 + len(key) + 2 + size + 1
}

var entities = strings.NewReplacer("&amp;", "&", "&lt;", "<", "&gt;", ">", "&#34;", `"`, "&#39;", "'")

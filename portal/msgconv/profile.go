package msgconv

import (
	"net/url"
	"strconv"
	"strings"
)

// kind says how an element behaves in the builder.
type kind uint8

const (
	block   kind = 1 << iota // starts a line of its own and ends an open paragraph
	flow                     // a block in which interrupted formatting goes on
	format                   // dropped when empty, taken up again when interrupted
	void                     // has no content and no end tag
	visible                  // shows something without any text in it
	drop                     // goes with all its content
	custom                   // a tag of Teams' own, for which <x/> is a whole element
)

func (k kind) has(bit kind) bool { return k&bit != 0 }

type tagInfo struct {
	name string
	kind kind
}

// profile is one dialect of HTML: the elements it has, by the names under
// which they are read, and the attributes that an element keeps.
type profile struct {
	tags map[string]tagInfo
	// attr returns the value to keep of an attribute, or false.
	attr func(tag, key, val string) (string, bool)
	// need names the attribute without which an element is left out.
	need map[string]string
}

// maxHref is the longest link that is kept as a link.
const maxHref = 4000

// maxAttr is the longest other attribute that is kept.
const maxAttr = 1000

func common() map[string]tagInfo {
	tags := map[string]tagInfo{
		"p": {"p", block | flow}, "div": {"div", block | flow}, "br": {"br", void},
		"b": {"b", format}, "strong": {"strong", format}, "i": {"i", format}, "em": {"em", format}, "u": {"u", format},
		"sub": {"sub", format}, "sup": {"sup", format}, "code": {"code", format}, "a": {"a", format},
		"ins": {"u", format}, "tt": {"code", format}, "kbd": {"code", format}, "samp": {"code", format},
		"h1": {"h1", block | flow}, "h2": {"h2", block | flow}, "h3": {"h3", block | flow},
		"h4": {"h4", block | flow}, "h5": {"h5", block | flow}, "h6": {"h6", block | flow},
		"ul": {"ul", block}, "ol": {"ol", block}, "li": {"li", block | flow}, "menu": {"ul", block}, "dir": {"ul", block},
		"blockquote": {"blockquote", block | flow}, "pre": {"pre", block}, "hr": {"hr", block | void | visible},
		"table": {"table", block}, "thead": {"thead", block}, "tbody": {"tbody", block}, "tfoot": {"tbody", block},
		"tr": {"tr", block}, "td": {"td", block | flow | visible}, "th": {"th", block | flow | visible}, "caption": {"caption", block | flow},
		"script": {"", drop}, "style": {"", drop},
	}
	for _, tag := range []string{"section", "article", "header", "footer", "main", "nav", "aside", "address", "center",
		"form", "fieldset", "figure", "figcaption", "dl", "dt", "dd", "summary", "details"} {
		tags[tag] = tagInfo{"div", block | flow}
	}
	for _, tag := range []string{"del", "s", "strike"} {
		tags[tag] = tagInfo{"del", format}
	}
	return tags
}

// The profiles are values that nothing changes after start-up.
var (
	fromTeams  = teamsSource()
	fromMatrix = matrixSource()
	forMatrix  = matrixTarget()
	forTeams   = teamsTarget()
)

// teamsSource is what Graph returns as body.content.
func teamsSource() *profile {
	tags := common()
	tags["at"] = tagInfo{"at", custom}
	tags["attachment"] = tagInfo{"attachment", custom | visible}
	tags["emoji"] = tagInfo{"emoji", custom | visible}
	tags["customemoji"] = tagInfo{"customemoji", custom | visible}
	tags["systemeventmessage"] = tagInfo{"systemeventmessage", custom}
	tags["codeblock"] = tagInfo{"codeblock", block | custom}
	tags["img"] = tagInfo{"img", void | visible}
	return &profile{tags: tags, attr: func(tag, key, val string) (string, bool) {
		switch tag + " " + key {
		case "a href", "at id", "attachment id", "emoji id", "emoji alt", "emoji title", "customemoji alt", "customemoji title",
			"codeblock class", "img src", "img alt", "img width", "img height", "img title", "img itemid":
			return val, true
		case "ol start":
			return cleanStart(val)
		}
		return "", false
	}}
}

// matrixSource is what Matrix clients send as formatted_body.
func matrixSource() *profile {
	tags := common()
	tags["span"] = tagInfo{"span", 0}
	tags["img"] = tagInfo{"img", void | visible}
	tags["details"] = tagInfo{"details", block | flow}
	tags["summary"] = tagInfo{"summary", block | flow}
	tags["mx-reply"] = tagInfo{"", drop}
	return &profile{tags: tags, attr: func(tag, key, val string) (string, bool) {
		switch tag + " " + key {
		case "a href", "code class", "span data-mx-spoiler", "img alt", "img title", "img data-mx-emoticon":
			return val, true
		case "ol start":
			return cleanStart(val)
		}
		return "", false
	}}
}

// matrixTarget is what we put into formatted_body: the elements that the
// Matrix specification suggests, less those that Teams has nothing for.
func matrixTarget() *profile {
	tags := common()
	tags["span"] = tagInfo{"span", format}
	tags["details"] = tagInfo{"details", block | flow | visible}
	tags["summary"] = tagInfo{"summary", block | flow}
	tags["mx-reply"] = tagInfo{"", drop}
	return &profile{tags: tags, need: map[string]string{"a": "href", "span": "data-mx-spoiler"}, attr: func(tag, key, val string) (string, bool) {
		switch tag + " " + key {
		case "a href":
			return cleanHref(val, true)
		case "code class":
			return val, isLanguageClass(val)
		case "span data-mx-spoiler":
			return string(appendClean(nil, val)), len(val) <= maxAttr
		case "ol start":
			return cleanStart(val)
		}
		return "", false
	}}
}

// teamsTarget is the part of HTML that Teams shows, and its own elements.
func teamsTarget() *profile {
	tags := common()
	for _, tag := range []string{"del", "s", "strike"} {
		tags[tag] = tagInfo{"s", format}
	}
	for _, tag := range []string{"h4", "h5", "h6"} {
		tags[tag] = tagInfo{"h3", block | flow}
	}
	tags["thead"] = tagInfo{"tbody", block}
	tags["caption"] = tagInfo{"caption", block | flow}
	tags["at"] = tagInfo{"at", custom}
	tags["codeblock"] = tagInfo{"codeblock", block}
	tags["img"] = tagInfo{"img", void | visible}
	tags["mx-reply"] = tagInfo{"", drop}
	return &profile{tags: tags, need: map[string]string{"a": "href", "at": "id", "img": "src", "codeblock": "class"}, attr: func(tag, key, val string) (string, bool) {
		switch tag + " " + key {
		case "a href":
			return cleanHref(val, false)
		case "at id":
			_, err := strconv.ParseUint(val, 10, 31)
			return val, err == nil && (val == "0" || val[0] != '0' && val[0] != '+')
		case "codeblock class":
			return val, val == "" || isLanguage(val)
		case "img src":
			return val, isHostedSource(val)
		case "img alt":
			return string(appendClean(nil, val)), len(val) <= maxAttr
		case "img width", "img height":
			_, err := strconv.ParseUint(val, 10, 31)
			return val, err == nil && val[0] != '+'
		case "ol start":
			return cleanStart(val)
		}
		return "", false
	}}
}

// cleanHref returns a link in the one form that survives another cleaning, or
// false for what must not be a link: other schemes than http, https, mailto
// and, for Matrix, matrix; no host; longer than maxHref.
func cleanHref(raw string, matrix bool) (string, bool) {
	raw = strings.TrimSpace(raw)
	if raw == "" || len(raw) > maxHref || strings.ContainsAny(raw, " \t\r\n") {
		return "", false
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "", false
	}
	switch u.Scheme {
	case "http", "https":
		if u.Host == "" {
			return "", false
		}
	case "mailto":
	case "matrix":
		if !matrix {
			return "", false
		}
	default:
		return "", false
	}
	href := u.String()
	if len(href) > maxHref || strings.ContainsAny(href, " \t\r\n") || string(appendClean(nil, href)) != href {
		return "", false
	}
	if again, err := url.Parse(href); err != nil || again.String() != href {
		return "", false
	}
	return href, true
}

// lostHref returns what to say about a link that cannot be one: its address,
// unless the text says it already or nobody should follow it.
func lostHref(raw, text string) string {
	raw = strings.TrimSpace(raw)
	scheme, _, _ := strings.Cut(strings.ToLower(string(appendClean(nil, raw))), ":")
	switch strings.Join(strings.Fields(scheme), "") {
	case "javascript", "vbscript", "data", "blob", "about":
		return ""
	}
	if raw == "" || raw[0] == '#' || sameLink(text, raw) {
		return ""
	}
	if len(raw) > maxHref {
		return " " + textLinkTooLong
	}
	return " (" + cleanLine(raw) + ")"
}

func cleanStart(val string) (string, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(val), 10, 31)
	if err != nil || n < 0 || n == 1 {
		return "", false
	}
	return strconv.FormatInt(n, 10), true
}

func isLanguageClass(class string) bool {
	lang, ok := strings.CutPrefix(class, "language-")
	return ok && isLanguage(lang)
}

// isLanguage reports whether s looks like the name of a programming language.
func isLanguage(s string) bool {
	if s == "" || len(s) > 32 {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("+#._-", c) >= 0) {
			return false
		}
	}
	return true
}

// isHostedSource reports whether src names a picture that goes with the draft.
func isHostedSource(src string) bool {
	rest, ok := strings.CutPrefix(src, "../hostedContents/")
	if !ok {
		return false
	}
	name, ok := strings.CutSuffix(rest, "/$value")
	return ok && isLanguage(name) && !strings.ContainsAny(name, "#+.")
}

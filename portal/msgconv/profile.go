package msgconv

import (
	"net/url"
	"strconv"
	"strings"

	"teamsbridge/texts"
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
	// name is the element's name in the tree, "" where it does not get there.
	name string
	kind kind
	// src is the name as it was read.
	src string
}

// profile is one dialect of HTML: the elements it has, by the names under
// which they are read, and the attributes that an element keeps.
type profile struct {
	tags map[string]tagInfo
	// attr returns the value to keep of an attribute, or false.
	attr func(tag, key, val string) (string, bool)
	// need names the attribute without which an element is left out, or anyAttr.
	need map[string]string
}

// anyAttr stands for any of an element's attributes.
const anyAttr = "*"

func newProfile(tags map[string]tagInfo, need map[string]string, attr func(tag, key, val string) (string, bool)) *profile {
	for src, info := range tags {
		info.src = src
		tags[src] = info
	}
	return &profile{tags: tags, need: need, attr: attr}
}

// maxHref is the longest link that is kept as a link.
const maxHref = 4000

// maxAttr is the longest other attribute that is kept.
const maxAttr = 1000

func common() map[string]tagInfo {
	tags := map[string]tagInfo{
		"p": {name: "p", kind: block | flow}, "div": {name: "div", kind: block | flow}, "br": {name: "br", kind: void},
		"b": {name: "b", kind: format}, "strong": {name: "strong", kind: format}, "i": {name: "i", kind: format}, "em": {name: "em", kind: format}, "u": {name: "u", kind: format},
		"sub": {name: "sub", kind: format}, "sup": {name: "sup", kind: format}, "code": {name: "code", kind: format}, "a": {name: "a", kind: format},
		"ins": {name: "u", kind: format}, "tt": {name: "code", kind: format}, "kbd": {name: "code", kind: format}, "samp": {name: "code", kind: format},
		"h1": {name: "h1", kind: block | flow}, "h2": {name: "h2", kind: block | flow}, "h3": {name: "h3", kind: block | flow},
		"h4": {name: "h4", kind: block | flow}, "h5": {name: "h5", kind: block | flow}, "h6": {name: "h6", kind: block | flow},
		"ul": {name: "ul", kind: block}, "ol": {name: "ol", kind: block}, "li": {name: "li", kind: block | flow}, "menu": {name: "ul", kind: block}, "dir": {name: "ul", kind: block},
		"blockquote": {name: "blockquote", kind: block | flow}, "pre": {name: "pre", kind: block}, "hr": {name: "hr", kind: block | void | visible},
		"table": {name: "table", kind: block}, "thead": {name: "thead", kind: block}, "tbody": {name: "tbody", kind: block}, "tfoot": {name: "tbody", kind: block},
		"tr": {name: "tr", kind: block}, "td": {name: "td", kind: block | flow | visible}, "th": {name: "th", kind: block | flow | visible}, "caption": {name: "caption", kind: block | flow},
		"script": {name: "", kind: drop}, "style": {name: "", kind: drop},
	}
	for _, tag := range []string{"section", "article", "header", "footer", "main", "nav", "aside", "address", "center",
		"form", "fieldset", "figure", "figcaption", "dl", "dt", "dd", "summary", "details"} {
		tags[tag] = tagInfo{name: "div", kind: block | flow}
	}
	for _, tag := range []string{"del", "s", "strike"} {
		tags[tag] = tagInfo{name: "del", kind: format}
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
	tags["at"] = tagInfo{name: "at", kind: custom}
	tags["attachment"] = tagInfo{name: "attachment", kind: custom | visible}
	tags["emoji"] = tagInfo{name: "emoji", kind: custom | visible}
	tags["customemoji"] = tagInfo{name: "customemoji", kind: custom | visible}
	tags["systemeventmessage"] = tagInfo{name: "systemeventmessage", kind: custom}
	tags["codeblock"] = tagInfo{name: "codeblock", kind: block | custom}
	tags["img"] = tagInfo{name: "img", kind: void | visible}
	tags["span"] = tagInfo{name: "span", kind: format}
	return newProfile(tags, map[string]string{"span": "style"}, func(tag, key, val string) (string, bool) {
		switch tag + " " + key {
		case "span style":
			style := coloursOfStyle(val).style()
			return style, style != ""
		case "a href", "at id", "attachment id", "emoji id", "emoji alt", "emoji title", "customemoji alt", "customemoji title", "customemoji source",
			"codeblock class", "img src", "img alt", "img width", "img height", "img title", "img itemid":
			return val, true
		case "ol start":
			return cleanStart(val)
		}
		return "", false
	})
}

// matrixSource is what Matrix clients send as formatted_body.
func matrixSource() *profile {
	tags := common()
	tags["span"] = tagInfo{name: "span"}
	tags["font"] = tagInfo{name: "span"}
	tags["img"] = tagInfo{name: "img", kind: void | visible}
	tags["input"] = tagInfo{name: "input", kind: void | visible}
	tags["details"] = tagInfo{name: "details", kind: block | flow}
	tags["summary"] = tagInfo{name: "summary", kind: block | flow}
	tags["mx-reply"] = tagInfo{name: "", kind: drop}
	return newProfile(tags, nil, func(tag, key, val string) (string, bool) {
		switch tag + " " + key {
		case "a href", "code class", "span data-mx-spoiler", "span data-mx-color", "span data-mx-bg-color", "span color", "span data-mx-maths", "div data-mx-maths", "img src", "img alt", "img title", "img data-mx-emoticon",
			"input type", "input checked":
			return val, true
		case "ol start":
			return cleanStart(val)
		}
		return "", false
	})
}

// matrixTarget is what we put into formatted_body: the elements that the
// Matrix specification suggests, less those that Teams has nothing for.
func matrixTarget() *profile {
	tags := common()
	tags["span"] = tagInfo{name: "span", kind: format}
	tags["img"] = tagInfo{name: "img", kind: void | visible}
	tags["details"] = tagInfo{name: "details", kind: block | flow | visible}
	tags["summary"] = tagInfo{name: "summary", kind: block | flow}
	tags["mx-reply"] = tagInfo{name: "", kind: drop}
	return newProfile(tags, map[string]string{"a": "href", "span": anyAttr, "img": "src"}, func(tag, key, val string) (string, bool) {
		switch tag + " " + key {
		case "a href":
			return cleanHref(val, true)
		case "code class":
			return val, isLanguageClass(val)
		case "span data-mx-spoiler", "img alt", "img title":
			return string(appendClean(nil, val)), len(val) <= maxAttr
		case "span data-mx-color", "span data-mx-bg-color":
			return val, isColour(val)
		case "img data-mx-emoticon":
			return "", true
		case "img src":
			return val, isMXC(val)
		case "img height":
			return val, val == emoticonHeight
		case "ol start":
			return cleanStart(val)
		}
		return "", false
	})
}

// teamsTarget is the part of HTML that Teams shows, and its own elements.
func teamsTarget() *profile {
	tags := common()
	for _, tag := range []string{"del", "s", "strike"} {
		tags[tag] = tagInfo{name: "s", kind: format}
	}
	for _, tag := range []string{"h4", "h5", "h6"} {
		tags[tag] = tagInfo{name: "h3", kind: block | flow}
	}
	tags["thead"] = tagInfo{name: "tbody", kind: block}
	tags["caption"] = tagInfo{name: "caption", kind: block | flow}
	tags["at"] = tagInfo{name: "at", kind: custom}
	tags["codeblock"] = tagInfo{name: "codeblock", kind: block}
	tags["span"] = tagInfo{name: "span", kind: format}
	tags["img"] = tagInfo{name: "img", kind: void | visible}
	tags["mx-reply"] = tagInfo{name: "", kind: drop}
	return newProfile(tags, map[string]string{"a": "href", "at": "id", "img": "src", "codeblock": "class", "span": "style"}, func(tag, key, val string) (string, bool) {
		switch tag + " " + key {
		case "a href":
			return cleanHref(val, false)
		case "at id":
			_, err := strconv.ParseUint(val, 10, 31)
			return val, err == nil && (val == "0" || val[0] != '0' && val[0] != '+')
		case "span style":
			return val, isStyle(val)
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
	})
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
		if u.Hostname() == "" {
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
	return href, isLink(href, matrix)
}

// lostHref returns what to say about a link that cannot be one: its address,
// unless the text says it already or nobody should follow it.
func lostHref(x texts.Texts, raw, text string) string {
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
		return " " + x.Say(texts.LinkTooLong)
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

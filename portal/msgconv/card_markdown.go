package msgconv

import (
	"regexp"
	"strings"
	"time"
)

var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// markdown adds text in the part of Markdown that cards have: bold, italic,
// struck out, code, links and lists. first is the element of its paragraphs;
// wrap, if any, is an inline element around each line.
func (w *cardWriter) markdown(s, first, wrap string) {
	s = w.times(lineEnds.Replace(s))
	out := w.t.out
	list := "" // the list, or paragraph, that is open
	done := func() {
		if list != "" && w.cell == 0 {
			out.close(list)
		}
		list = ""
	}
	for line := range strings.SplitSeq(s, "\n") {
		if isBlank(line) {
			done()
			continue
		}
		kind, start, text := listLine(line)
		if w.cell > 0 {
			mark := ""
			switch kind {
			case "ul":
				mark = "• "
			case "ol":
				mark = start + ". "
			}
			w.line(first, func() { w.wrapped(wrap, mark+text) })
			continue
		}
		switch {
		case kind == "" && list == first:
			out.open("br")
		case kind == "":
			done()
			out.open(first)
			list = first
		case kind != list:
			done()
			if n, ok := cleanStart(start); ok && kind == "ol" {
				out.open(kind, attr{"start", n})
			} else {
				out.open(kind)
			}
			list = kind
		}
		if kind != "" {
			out.open("li")
		}
		w.wrapped(wrap, text)
		if kind != "" {
			out.close("li")
		}
	}
	done()
}

func (w *cardWriter) wrapped(tag, s string) {
	if tag == "" {
		w.inline(s)
		return
	}
	w.t.out.open(tag)
	w.inline(s)
	w.t.out.close(tag)
}

// listLine tells an item of a list from other lines.
func listLine(line string) (kind, start, text string) {
	s := strings.TrimLeft(line, " \t")
	if len(s) > 2 && strings.IndexByte("-*+", s[0]) >= 0 && s[1] == ' ' {
		return "ul", "", strings.TrimSpace(s[2:])
	}
	digits := 0
	for digits < len(s) && digits < 9 && s[digits] >= '0' && s[digits] <= '9' {
		digits++
	}
	if digits > 0 && len(s) > digits+2 && s[digits] == '.' && s[digits+1] == ' ' {
		return "ol", s[:digits], strings.TrimSpace(s[digits+2:])
	}
	return "", "", strings.TrimSpace(line)
}

// token is a piece of a line: text, or a mark that may begin or end an element.
type token struct {
	text string
	tag  string
	// opens and closes say what a mark may do; pair is the token that it
	// belongs to, or -1, and then it is text.
	opens, closes bool
	pair          int
	// raw is the address behind the end of a link, and href what it is as the
	// address of one, or empty.
	raw, href string
}

// inline adds one line of Markdown.
func (w *cardWriter) inline(s string) {
	tokens := w.tokens(s)
	w.open = pairUp(tokens, w.open[:0])
	out := w.t.out
	for i := range tokens {
		switch t := &tokens[i]; {
		case t.tag == "at":
			w.mention(t.text)
		case t.tag == "" || t.pair < 0:
			w.put(t.text)
		case t.pair > i && t.tag == "a":
			if href := tokens[t.pair].href; href != "" {
				out.open("a", attr{"href", href})
			}
		case t.pair > i:
			out.open(t.tag)
		case t.tag == "a":
			if t.href != "" {
				out.close("a")
			} else {
				w.put(lostHref(w.t.env.Texts, t.raw, ""))
			}
		default:
			out.close(t.tag)
		}
	}
}

// tokens takes a line of Markdown apart.
func (w *cardWriter) tokens(s string) []token {
	out := w.pieces[:0]
	plain := func(text string) {
		if text != "" {
			out = append(out, token{text: text})
		}
	}
	from := 0
	for i := 0; i < len(s); {
		mark := token{pair: -1}
		size := 1
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && strings.IndexByte("\\`*_{}[]()#+-.!~>|<", s[i+1]) >= 0:
			plain(s[from:i])
			plain(s[i+1 : i+2])
			i += 2
			from = i
			continue
		case c == '<' && atTag(s[i:]) > 0:
			mark.tag, size = "at", atTag(s[i:])
		case strings.HasPrefix(s[i:], "**") || strings.HasPrefix(s[i:], "__"):
			mark.tag, size = "strong", 2
		case strings.HasPrefix(s[i:], "~~"):
			mark.tag, size = "del", 2
		case c == '*' || c == '_':
			mark.tag = "em"
		case c == '[':
			mark.tag, mark.opens = "a", true
		case c == ']' && i+1 < len(s) && s[i+1] == '(':
			href, n := linkTarget(s[i+2:])
			if n == 0 {
				i++
				continue
			}
			mark.tag, mark.closes, mark.raw, size = "a", true, href, n+2
			mark.href, _ = cleanHref(href, true)
		default:
			i++
			continue
		}
		mark.text = s[i : i+size]
		if mark.tag != "a" && mark.tag != "at" {
			mark.opens, mark.closes = flanks(s, i, size)
		}
		plain(s[from:i])
		out = append(out, mark)
		i += size
		from = i
	}
	plain(s[from:])
	w.pieces = out
	return out
}

// flanks says whether the mark at s[i:i+size] may open and close: at the
// beginning and at the end of words. An underscore inside a word does neither.
func flanks(s string, i, size int) (opens, closes bool) {
	before, after := byte(' '), byte(' ')
	if i > 0 {
		before = s[i-1]
	}
	if i+size < len(s) {
		after = s[i+size]
	}
	opens, closes = after != ' ' && after != '\t', before != ' ' && before != '\t'
	if s[i] == '_' {
		opens, closes = opens && !isWordByte(before), closes && !isWordByte(after)
	}
	return opens, closes
}

func isWordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// maxTarget is the most that is looked through for the end of a link.
const maxTarget = 2100

// linkTarget reads the address of a link and its closing parenthesis, and
// returns the address and how long both are, 0 for none.
func linkTarget(s string) (href string, size int) {
	depth := 0
	for i := 0; i < len(s) && i < maxTarget; i++ {
		switch s[i] {
		case '(':
			depth++
		case ' ', '\t', '[', '<':
			// A title may follow the address; it is not shown.
			if s[i] == ' ' && strings.HasPrefix(s[i:], ` "`) {
				if end := strings.Index(s[i:min(len(s), i+maxTarget)], `")`); end > 0 {
					return s[:i], i + end + 2
				}
			}
			return "", 0
		case ')':
			if depth == 0 {
				return s[:i], i + 1
			}
			depth--
		}
	}
	return "", 0
}

// pairUp finds the beginning for each mark that ends something. A pair that
// would cross one found before is none.
// open holds the marks that wait for their end.
func pairUp(tokens []token, open []int) []int {
	// last is how many of each element wait.
	var last [4]int
	for i := range tokens {
		t := &tokens[i]
		if t.tag == "" || t.tag == "at" {
			continue
		}
		if t.closes && last[element(t.tag)] > 0 {
			for len(open) > 0 {
				j := open[len(open)-1]
				open = open[:len(open)-1]
				last[element(tokens[j].tag)]--
				if tokens[j].tag == t.tag {
					if tokens[j].tag == "a" || j+1 < i && tokens[j].text == t.text {
						tokens[j].pair, t.pair = i, j
					}
					break
				}
			}
			if t.pair >= 0 {
				continue
			}
		}
		if t.opens {
			open = append(open, i)
			last[element(t.tag)]++
		}
	}
	return open
}

// element numbers the elements that Markdown makes.
func element(tag string) int {
	switch tag {
	case "strong":
		return 0
	case "em":
		return 1
	case "del":
		return 2
	}
	return 3
}

// cardTime is how a card asks a client to show a time in its own zone.
var cardTime = regexp.MustCompile(`\{\{(DATE|TIME)\(([0-9TZ:+.-]{1,40})(?:, ?(?:COMPACT|SHORT|LONG))?\)\}\}`)

// times writes out the times that Teams would show in its reader's zone.
func (w *cardWriter) times(s string) string {
	if !strings.Contains(s, "{{") {
		return s
	}
	return cardTime.ReplaceAllStringFunc(s, func(found string) string {
		m := cardTime.FindStringSubmatch(found)
		at, err := time.Parse(time.RFC3339, m[2])
		if err != nil {
			return found
		}
		return textCardTime(at, m[1] == "DATE")
	})
}

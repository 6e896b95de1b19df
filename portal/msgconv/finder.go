package msgconv

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"teamsbridge/teams"
)

// maxFound is for how many mentioned people a text is searched.
const maxFound = 20

// finder looks for one thing in running text, where it must stand as a word of
// its own.
type finder struct {
	needle string
	add    func(t *toTeams)
	// next is where the needle stands next, from the position searched last.
	next int
}

// finders returns what to look for: those whom the event mentions and who are
// named in the text without a link, and @room where the sender may say it.
func (t *toTeams) finders() []finder {
	if t.c.Mentions == nil {
		return nil
	}
	var out []finder
	if t.c.Mentions.Room && t.env.RoomMention != nil {
		name := firstOf(cleanName(t.env.RoomMention.ChannelName), textRoom)
		m := &teams.Mention{Text: name, Conversation: &teams.ConversationMention{
			ID: t.env.RoomMention.ChannelID, DisplayName: name, Type: "channel"}}
		out = append(out, finder{needle: textRoom, add: func(t *toTeams) { t.at(m) }})
	}
	for i, mxid := range t.c.Mentions.UserIDs {
		if i >= maxFound || t.env.People == nil {
			break
		}
		_, name, ok := t.env.People.Person(mxid)
		if !ok {
			continue
		}
		add := func(t *toTeams) { t.mention(mxid) }
		out = append(out, finder{needle: string(mxid), add: add})
		if name = cleanName(name); utf8.RuneCountInString(name) >= 2 {
			out = append(out, finder{needle: "@" + name, add: add}, finder{needle: name, add: add})
		}
	}
	return out
}

// words adds running text: mentions become mentions, addresses links.
func (t *toTeams) words(s string) {
	finds := t.finds
	for i := range finds {
		finds[i].next = index(s, finds[i].needle, 0)
	}
	pos, url := 0, nextURL(s, 0)
	for {
		best := -1
		for i := range finds {
			if n := finds[i].next; n >= 0 && (best < 0 || n < finds[best].next) {
				best = i
			}
		}
		switch {
		case url.start >= 0 && (best < 0 || url.start <= finds[best].next):
			t.out.text(s[pos:url.start])
			if href, ok := cleanHref(s[url.start:url.end], false); ok {
				t.out.element("a", s[url.start:url.end], attr{"href", href})
			} else {
				t.out.text(s[url.start:url.end])
			}
			pos = url.end
		case best >= 0:
			t.out.text(s[pos:finds[best].next])
			pos = finds[best].next + len(finds[best].needle)
			finds[best].add(t)
		default:
			t.out.text(s[pos:])
			return
		}
		for i := range finds {
			if n := finds[i].next; n >= 0 && n < pos {
				finds[i].next = index(s, finds[i].needle, pos)
			}
		}
		if url.start >= 0 && url.start < pos {
			url = nextURL(s, pos)
		}
	}
}

// index returns where needle stands as a word of its own at or after from.
func index(s, needle string, from int) int {
	for from <= len(s) {
		i := strings.Index(s[from:], needle)
		if i < 0 {
			return -1
		}
		start, end := from+i, from+i+len(needle)
		before, _ := utf8.DecodeLastRuneInString(s[:start])
		after, _ := utf8.DecodeRuneInString(s[end:])
		if (start == 0 || !isWord(before)) && (end == len(s) || !isWord(after)) {
			return start
		}
		from = end
	}
	return -1
}

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || r == '@' }

type span struct{ start, end int }

// nextURL finds the next web address in running text.
func nextURL(s string, from int) span {
	for from < len(s) {
		i := strings.Index(s[from:], "http")
		if i < 0 {
			break
		}
		start := from + i
		rest := s[start+len("http"):]
		rest = strings.TrimPrefix(rest, "s")
		before, _ := utf8.DecodeLastRuneInString(s[:start])
		if !strings.HasPrefix(rest, "://") || start > 0 && isWord(before) {
			from = start + len("http")
			continue
		}
		end := start
		for end < len(s) && end-start < maxHref {
			r, n := utf8.DecodeRuneInString(s[end:])
			if unicode.IsSpace(r) || r == '<' || r == '>' || r == '"' || isBidiControl(r) {
				break
			}
			end += n
		}
		end = trimURL(s, start, end)
		return span{start, end}
	}
	return span{-1, -1}
}

// trimURL leaves out the punctuation behind an address; a closing bracket
// stays if it was opened inside.
func trimURL(s string, start, end int) int {
	round := strings.Count(s[start:end], "(") - strings.Count(s[start:end], ")")
	square := strings.Count(s[start:end], "[") - strings.Count(s[start:end], "]")
	for end > start {
		switch s[end-1] {
		case '.', ',', ';', ':', '!', '?', '\'', '*', '_':
		case ')':
			if round >= 0 {
				return end
			}
			round++
		case ']':
			if square >= 0 {
				return end
			}
			square++
		default:
			return end
		}
		end--
	}
	return end
}

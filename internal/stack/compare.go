package stack

import (
	"fmt"
	"html"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/teams/teamstest"
)

// Said is one message reduced to what both sides must agree on.
type Said struct {
	// Key is the text without markup, spaces and punctuation, and how many
	// pictures there are.
	Key string
	// Author is the name that the message is under, where Teams knows it.
	Author string
	// Root is the Key of the thread's root, empty for a post.
	Root string
	// Reactions counts reactions by emoji.
	Reactions map[string]int
	At        time.Time
}

// Agreement is the outcome of a comparison.
type Agreement struct {
	Messages, Replies, Reactions int
	// Differences are sentences for people; none means that both sides agree.
	Differences []string
}

// Compare holds a channel against its room, message by message: nothing
// missing on either side, nothing twice, threads and reactions alike, and the
// messages of each author in the same order.
func Compare(channel []teamstest.MessageState, room []Entry, isBot func(id.UserID) bool) Agreement {
	inTeams, inMatrix := fromTeams(channel), fromMatrix(room, isBot)
	a := Agreement{Messages: len(inTeams)}
	for _, s := range inTeams {
		if s.Root != "" {
			a.Replies++
		}
		for _, n := range s.Reactions {
			a.Reactions += n
		}
	}
	a.countDifferences(inTeams, inMatrix)
	a.orderDifferences(inTeams, inMatrix)
	return a
}

func (a *Agreement) say(format string, args ...any) {
	a.Differences = append(a.Differences, fmt.Sprintf(format, args...))
}

// identity is what makes two messages the same one.
func (s Said) identity() string { return s.Root + "\x00" + s.Key }

func (a *Agreement) countDifferences(inTeams, inMatrix []Said) {
	group := func(list []Said) map[string][]Said {
		m := map[string][]Said{}
		for _, s := range list {
			m[s.identity()] = append(m[s.identity()], s)
		}
		return m
	}
	left, right := group(inTeams), group(inMatrix)
	for _, s := range unique(inTeams) {
		switch l, r := len(left[s.identity()]), len(right[s.identity()]); {
		case r == 0:
			a.say("only in Teams: %s", describe(s))
		case l != r:
			a.say("%d times in Teams and %d times in Matrix: %s", l, r, describe(s))
		default:
			if x, y := reactionList(left[s.identity()]), reactionList(right[s.identity()]); x != y {
				a.say("reactions are %s in Teams and %s in Matrix: %s", x, y, describe(s))
			}
		}
	}
	for _, s := range unique(inMatrix) {
		if len(left[s.identity()]) == 0 {
			a.say("only in Matrix: %s", describe(s))
		}
	}
}

// orderDifferences compares the order within each conversation (the posts, and
// each thread) of the messages that one author wrote. Messages of different
// authors on different sides may cross on the way; nobody can say which was first.
func (a *Agreement) orderDifferences(inTeams, inMatrix []Said) {
	lanes := func(list []Said, authorOf map[string]string) map[string][]string {
		m := map[string][]string{}
		for _, s := range list {
			lane := s.Root + "\x00" + authorOf[s.identity()]
			m[lane] = append(m[lane], s.Key)
		}
		return m
	}
	authors := map[string]string{}
	for _, s := range inTeams {
		authors[s.identity()] = s.Author
	}
	left, right := lanes(inTeams, authors), lanes(inMatrix, authors)
	for lane, keys := range left {
		if other := right[lane]; len(other) == len(keys) && !slices.Equal(other, keys) {
			_, author, _ := strings.Cut(lane, "\x00")
			a.say("what %s said is in another order in Matrix", author)
		}
	}
}

func unique(list []Said) []Said {
	seen := map[string]bool{}
	var out []Said
	for _, s := range list {
		if !seen[s.identity()] {
			seen[s.identity()] = true
			out = append(out, s)
		}
	}
	return out
}

func describe(s Said) string {
	text := s.Key
	if r := []rune(text); len(r) > 60 {
		text = string(r[:60]) + "…"
	}
	if s.Root != "" {
		return fmt.Sprintf("%q (a reply, %s)", text, s.At.Format(time.TimeOnly))
	}
	return fmt.Sprintf("%q (%s)", text, s.At.Format(time.TimeOnly))
}

func reactionList(list []Said) string {
	sum := map[string]int{}
	for _, s := range list {
		for key, n := range s.Reactions {
			sum[key] += n
		}
	}
	var out []string
	for key, n := range sum {
		out = append(out, fmt.Sprintf("%s×%d", key, n))
	}
	slices.Sort(out)
	return "[" + strings.Join(out, " ") + "]"
}

// deletedRoot is the Root of replies whose root is deleted.
const deletedRoot = "(deleted)"

// placeholder is the bridge's text in place of a root that was never seen.
const placeholder = "thismessagewasdeletedinteams"

func fromTeams(channel []teamstest.MessageState) []Said {
	var out []Said
	add := func(m teamstest.MessageState, root string) string {
		key := teamsKey(m)
		if !m.Deleted.IsZero() {
			return deletedRoot
		}
		if m.Event != "" {
			return key
		}
		s := Said{Key: key, Root: root, At: m.Created, Reactions: map[string]int{}}
		switch {
		case m.From != nil:
			s.Author = m.From.DisplayName()
		case m.Bot != "":
			s.Author = m.Bot
		}
		if name, _, ok := relayed(m.Content); ok {
			s.Author = name
		}
		for _, r := range m.Reactions {
			s.Reactions[emojiKey(r.Kind, r.Name)]++
		}
		out = append(out, s)
		return key
	}
	for _, m := range channel {
		root := add(m, "")
		for _, r := range m.Replies {
			add(r, root)
		}
	}
	return out
}

func fromMatrix(room []Entry, isBot func(id.UserID) bool) []Said {
	type place struct {
		sender id.UserID
		at     int64
		thread id.EventID
	}
	var out []Said
	keyOf := map[id.EventID]string{}
	last := map[place]int{}
	for _, e := range room {
		// A thread whose root was deleted hangs on the redacted event, or on a
		// placeholder where the root was deleted before it was ever seen.
		if e.Redacted || letters(e.Body) == placeholder {
			keyOf[e.EventID] = deletedRoot
			continue
		}
		if e.MsgType == event.MsgNotice && isBot(e.Sender) {
			continue
		}
		at := place{e.Sender, e.At.UnixMilli(), e.Thread}
		picture := e.MsgType == event.MsgImage
		// The parts of one Teams message share sender, time and thread.
		if i, ok := last[at]; ok && picture && fromTheBridge(e) {
			out[i].Key += "▣"
			continue
		}
		key := letters(e.Body)
		if picture {
			key = "▣"
			if caption, ok := e.Raw["filename"].(string); ok && caption != e.Body {
				key = letters(e.Body) + "▣"
			}
		}
		s := Said{Key: key, Root: keyOf[e.Thread], At: e.At, Reactions: map[string]int{}}
		for k, who := range e.Reactions {
			s.Reactions[emojiKey(k, "")] += len(who)
		}
		last[at] = len(out)
		keyOf[e.EventID] = key
		out = append(out, s)
	}
	return out
}

func fromTheBridge(e Entry) bool {
	_, ok := e.Raw["org.teamsbridge.source"]
	return ok
}

var (
	anyTag      = regexp.MustCompile(`(?s)<[^>]*>`)
	emojiTag    = regexp.MustCompile(`<emoji[^>]*\balt="([^"]*)"[^>]*>`)
	relayPrefix = regexp.MustCompile(`(?s)^\s*(?:<(?:p|div)[^>]*>\s*)*<(?:b|strong)>([^<]+)</(?:b|strong)>:\s*`)
)

// relayed splits the author's name off a message that went through a relay account.
func relayed(content string) (name, rest string, ok bool) {
	at := relayPrefix.FindStringSubmatchIndex(content)
	if at == nil {
		return "", content, false
	}
	return html.UnescapeString(content[at[2]:at[3]]), content[at[1]:], true
}

func teamsKey(m teamstest.MessageState) string {
	_, content, _ := relayed(m.Content)
	if m.ContentType == "html" {
		content = html.UnescapeString(anyTag.ReplaceAllString(emojiTag.ReplaceAllString(content, "$1"), " "))
	}
	return letters(m.Subject+" "+content) + strings.Repeat("▣", len(m.Images))
}

// letters keeps what survives every change of markup.
func letters(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, text)
}

// emojiKey makes Teams' old words and variation selectors comparable.
func emojiKey(kind, name string) string {
	words := map[string]string{"like": "👍", "angry": "😠", "sad": "😢", "laugh": "😆", "heart": "❤", "surprised": "😮"}
	if e, ok := words[kind]; ok {
		return e
	}
	if kind == "custom" {
		return letters(name)
	}
	if k := strings.Trim(kind, ":"); k != kind {
		return letters(k)
	}
	return strings.ReplaceAll(kind, "\ufe0f", "")
}

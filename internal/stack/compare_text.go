package stack

import (
	"html"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"teamsbridge/teams/teamstest"
)

const (
	// deletedRoot is the root of replies whose root is deleted.
	deletedRoot = "(deleted)"
	// placeholder is the bridge's text in place of a root that was never seen.
	placeholder = "thismessagewasdeletedinteams"
	// pictureMark stands for a picture in a key.
	pictureMark = "▣"
)

var (
	anyTag      = regexp.MustCompile(`(?s)<[^>]*>`)
	emojiTag    = regexp.MustCompile(`<emoji[^>]*\balt="([^"]*)"[^>]*>`)
	atTag       = regexp.MustCompile(`(?s)<at\b[^>]*\bid="(\d+)"[^>]*>.*?</at>`)
	lateNote    = regexp.MustCompile(`(?s)^\s*(?:<(?:p|div)[^>]*>\s*)*\(written \d{4}-\d\d-\d\d \d\d:\d\d [^)]*\)`)
	relayPrefix = regexp.MustCompile(`(?s)^\s*(?:<(?:p|div)[^>]*>\s*)*<(?:b|strong)>([^<]+)</(?:b|strong)>(?: \([^)]*\))?:\s*`)
)

// fromTeams gathers a channel's messages that are not deleted and not system messages.
func fromTeams(channel []teamstest.MessageState) []*said {
	var out []*said
	add := func(m teamstest.MessageState) {
		if !m.Deleted.IsZero() || m.Event != "" {
			return
		}
		s := &said{id: m.ID, root: m.RootID, at: m.Created, reactions: map[string]int{}, author: m.Bot}
		s.key, s.words = teamsText(m)
		if m.From != nil {
			s.author = m.From.DisplayName()
		}
		if name, _, ok := relayed(m.Content); ok {
			s.author = name
		}
		for _, r := range m.Reactions {
			s.reactions[emojiKey(r.Kind, r.Name)]++
		}
		out = append(out, s)
	}
	for _, m := range channel {
		add(m)
		for _, r := range m.Replies {
			add(r)
		}
	}
	return out
}

// relayed splits the author's name off a message that went through a relay account.
func relayed(content string) (name, rest string, ok bool) {
	at := relayPrefix.FindStringSubmatchIndex(content)
	if at == nil {
		return "", content, false
	}
	return html.UnescapeString(content[at[2]:at[3]]), content[at[1]:], true
}

// teamsText returns a message's key and the words that must come through. What
// Matrix says in its own words does not count: mentions of everybody.
func teamsText(m teamstest.MessageState) (key string, words []string) {
	_, content, _ := relayed(m.Content)
	content = lateNote.ReplaceAllString(content, "")
	if m.ContentType == "html" {
		everybody := map[string]bool{}
		for _, mention := range m.Mentions {
			everybody[strconv.Itoa(mention.ID)] = mention.UserID == ""
		}
		content = atTag.ReplaceAllStringFunc(content, func(tag string) string {
			if everybody[atTag.FindStringSubmatch(tag)[1]] {
				return " "
			}
			return tag
		})
		content = html.UnescapeString(anyTag.ReplaceAllString(emojiTag.ReplaceAllString(content, "$1"), " "))
	}
	text := m.Subject + " " + content
	for _, w := range strings.Fields(text) {
		if w = letters(w); w != "" {
			words = append(words, w)
		}
	}
	return letters(text) + strings.Repeat(pictureMark, len(m.Images)), words
}

// TeamsText is what a message in Teams says, reduced to what survives the way
// between both sides: without markup, spaces, punctuation, the name in front of
// what went through a relay account, and the note that it is late.
func TeamsText(m teamstest.MessageState) string {
	key, _ := teamsText(m)
	return strings.ReplaceAll(key, pictureMark, "")
}

// Letters reduces a text in the same way.
func Letters(text string) string { return letters(text) }

// ReactionKey makes the emoji of both sides comparable.
func ReactionKey(emoji string) string { return emojiKey(emoji, "") }

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

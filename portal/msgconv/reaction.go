package msgconv

import (
	"errors"
	"strings"

	"go.mau.fi/util/emojirunes"
	"go.mau.fi/util/variationselector"

	"teamsbridge/teams"
	"teamsbridge/texts"
)

// ErrNotEmoji is returned for a reaction that is text and not an emoji.
var ErrNotEmoji = errors.New(texts.Texts{}.Say(texts.ReactionNotEmoji))

// ErrCustomEmoji is returned for a reaction that is a picture of the sender's own.
var ErrCustomEmoji = errors.New(texts.Texts{}.Say(texts.ReactionCustom))

// EmojiFromTeams returns the reaction key for Matrix: an emoji in the form
// that Matrix clients use (with variation selectors), or ":name:" for an
// organisation's custom emoji. It is empty for a reaction that says nothing.
func EmojiFromTeams(r teams.Reaction) string {
	if word, ok := legacyReaction(r.Type); ok {
		return word
	}
	if IsCustomReaction(r) {
		name := cleanName(strings.Trim(r.DisplayName, ": "))
		if name == "" {
			return ""
		}
		return ":" + name + ":"
	}
	key := cleanName(r.Type)
	if !isOneEmoji(key) {
		return key
	}
	return variationselector.FullyQualify(key)
}

// IsCustomReaction reports whether a reaction is an organisation's own emoji.
func IsCustomReaction(r teams.Reaction) bool { return r.Type == "custom" }

// EmojiToTeams returns what to send to setReaction for a Matrix reaction key,
// or ErrNotEmoji or ErrCustomEmoji.
func EmojiToTeams(key string) (string, error) {
	key = strings.TrimSpace(key)
	switch {
	case strings.HasPrefix(key, "mxc://"), len(key) > 2 && strings.HasPrefix(key, ":") && strings.HasSuffix(key, ":"):
		return "", ErrCustomEmoji
	case len(key) > maxEmoji || !isOneEmoji(key):
		return "", ErrNotEmoji
	}
	return variationselector.FullyQualify(key), nil
}

// SameEmoji reports whether two reaction keys of either side mean the same
// emoji; variation selectors and Teams' old words make no difference.
func SameEmoji(a, b string) bool { return plainEmoji(a) == plainEmoji(b) }

// maxEmoji is the most bytes that one emoji takes; the longest sequences, flags
// of regions and families, stay below 40.
const maxEmoji = 64

// isOneEmoji reports whether s is a single emoji, of however many runes.
func isOneEmoji(s string) bool {
	if !emojirunes.IsOnlyEmojis(s) {
		return false
	}
	count, flags, joined := 0, 0, false
	for _, r := range s {
		switch {
		case r == '\u200d':
			joined = true
			continue
		case r == '\ufe0f', r == '\u20e3', r >= 0x1f3fb && r <= 0x1f3ff && count > 0, r >= 0xe0020 && r <= 0xe007f:
		case r >= 0x1f1e6 && r <= 0x1f1ff:
			flags++
		case !joined:
			count++
		}
		joined = false
	}
	return count == 1 && flags == 0 || count == 0 && flags == 2
}

func plainEmoji(key string) string {
	if word, ok := legacyReaction(key); ok {
		key = word
	}
	return variationselector.Remove(strings.TrimSpace(key))
}

// legacyReaction knows the six words that Teams used before it took any emoji.
func legacyReaction(word string) (string, bool) {
	switch word {
	case "like":
		return "👍", true
	case "heart":
		return "❤️", true
	case "laugh":
		return "😆", true
	case "surprised":
		return "😮", true
	case "sad":
		return "😢", true
	case "angry":
		return "😠", true
	}
	return "", false
}

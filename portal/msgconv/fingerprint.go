package msgconv

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"unicode"
	"unicode/utf8"

	"teamsbridge/teams"
)

// Fingerprint returns a short hash of what a Teams message says: its text
// without any white space, and the number of its images. It is the same for
// the HTML that is posted and for what Teams makes of it and lists later:
// other tags and attributes, wrapping in <div> or <p>, entities and no-break
// spaces, emoji as elements, mentions in several pieces, rewritten addresses of
// images. It is a means to find one's own message, not proof of equality.
func Fingerprint(body string) string {
	text, images := seenIn(body)
	text = append(text, 0)
	text = strconv.AppendInt(text, int64(images), 10)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// seen returns what can be seen of an HTML text, apart from spaces.
func seen(body string) string {
	text, _ := seenIn(body)
	return string(text)
}

func seenIn(body string) (text []byte, images int) {
	walk(parse(body, fromTeams), func(n *node) bool {
		switch n.tag {
		case "":
			text = appendVisible(text, n.text)
		case "emoji", "customemoji":
			text = appendVisible(text, firstOf(n.attr("alt"), n.attr("title"), textContent(n)))
			return false
		case "img":
			images++
		}
		return true
	})
	return text, images
}

// FingerprintOf returns the fingerprint of a message as Teams lists it, whose
// body need not be HTML.
func FingerprintOf(m teams.Message) string { return Fingerprint(bodyOf(m)) }

// appendVisible appends what of s can be seen, apart from spaces.
func appendVisible(dst []byte, s string) []byte {
	for _, r := range s {
		switch {
		case unicode.IsSpace(r), unicode.Is(unicode.Cf, r), r >= 0xfe00 && r <= 0xfe0f, unicode.IsControl(r):
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst
}

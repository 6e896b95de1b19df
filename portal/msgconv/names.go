package msgconv

import (
	"strings"
	"unicode"
)

// maxName is the most characters of a name that are shown.
const maxName = 200

// cleanName makes somebody else's name fit to stand in a line of ours: one
// line, no control characters, nothing that turns the direction of what
// follows, not endless.
func cleanName(name string) string { return oneLine(name, maxName) }

// cleanLine does the same to a text that is shown whole.
func cleanLine(s string) string { return oneLine(s, len(s)) }

func oneLine(name string, most int) string {
	var b strings.Builder
	space, runes := false, 0
	for _, r := range name {
		switch {
		case unicode.IsSpace(r):
			space = true
			continue
		case unicode.IsControl(r), isBidiControl(r):
			continue
		}
		if runes >= most {
			b.WriteString("…")
			break
		}
		if space && b.Len() > 0 {
			b.WriteByte(' ')
		}
		space = false
		b.WriteRune(r)
		runes++
	}
	return b.String()
}

// isBidiControl reports whether r changes the direction of the text after it.
func isBidiControl(r rune) bool {
	switch {
	case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x200e, r == 0x200f, r == 0x061c:
		return true
	}
	return false
}

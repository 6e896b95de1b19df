package msgconv

import (
	"strings"
	"unicode"

	"teamsbridge/teams"
)

// leastPiece is how many pairs of letters say for certain what they are a piece of:
// a short answer is in many a long text.
const leastPiece = 4000

// Likeness returns how alike what a message of Teams says and what was posted
// are, from 0 for nothing in common to 1. Of a post that may be only a piece of
// what was said, a part counts: how much of the message is in it.
func Likeness(m teams.Message, posted string, piece bool) float64 {
	have, said := pairs(seen(bodyOf(m))), pairs(seen(posted))
	haveN, saidN, common := 0, 0, 0
	for _, n := range said {
		saidN += n
	}
	for pair, n := range have {
		haveN += n
		common += min(n, said[pair])
	}
	if piece && haveN >= min(saidN, leastPiece)/2 {
		saidN = haveN
	}
	if haveN+saidN == 0 {
		return 0
	}
	return 2 * float64(common) / float64(haveN+saidN)
}

// pairs counts the pairs of neighbours in a text, with its ends.
func pairs(text string) map[[2]rune]int {
	out := map[[2]rune]int{}
	if text == "" {
		return out
	}
	before := ' '
	for _, r := range strings.ToLower(text) + " " {
		if r == before && unicode.IsSpace(r) {
			continue
		}
		out[[2]rune{before, r}]++
		before = r
	}
	return out
}

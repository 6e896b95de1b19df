package msgconv

import "strings"

// Nothing that Microsoft documents has <sub> or <sup> in messages, and what is
// not known there loses its tags: "x²" would read "x2". So they become the
// characters that there are for them.

// maxShifted is the longest text that is written above or below its line.
const maxShifted = 60

var (
	raised  = shifts("0123456789+-−=()abcdefghijklmnoprstuvwxyzTM", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᵀᴹ")
	lowered = shifts("0123456789+-−=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")
)

func shifts(from, to string) map[rune]rune {
	into, m := []rune(to), map[rune]rune{}
	for i, r := range []rune(from) {
		m[r] = into[i]
	}
	return m
}

// shifted carries over what stands above or below its line: in characters of
// that kind, where there is one for each, else as plain text.
func (t *toTeams) shifted(n *node) {
	chars := raised
	if n.tag == "sub" {
		chars = lowered
	}
	text := textContent(n)
	var b strings.Builder
	plain := len(text) > maxShifted || len(n.kids) != 1 || n.kids[0].tag != ""
	for _, r := range text {
		to, ok := chars[r]
		plain = plain || !ok
		b.WriteRune(to)
	}
	if plain {
		t.kids(n)
		return
	}
	t.out.text(b.String())
}

package msgconv

import (
	"slices"
	"strings"

	"teamsbridge/teams"
)

// Teams keeps a message's subject and what is attached to it beside its body; in
// Matrix they stand in the text. When the text comes back with them, they are taken
// out of it, or Teams would have them once more with each edit.

// Quoted says what the text of a message shows that Teams keeps beside its body:
// its subject, and what is attached to it, such as quoted messages and cards.
func Quoted(m teams.Message, env MatrixEnv) *Kept {
	t := newToMatrix(teams.Message{Subject: m.Subject, Importance: m.Importance, Channel: m.Channel, WebURL: m.WebURL}, env)
	t.heading()
	k := &Kept{heading: seenText(t.out.finish())}
	t = newToMatrix(m, env)
	t.apart = func(root *node) {
		if tidy(root); hasContent(root) {
			inner := root
			if len(root.kids) == 1 && root.kids[0].tag == "blockquote" {
				inner = root.kids[0]
			}
			k.pieces = append(k.pieces, keptPiece{
				html:  formOf(unitsOf(comesBack(root, env)), unitsOf(comesBack(inner, env))),
				plain: formOf(linesOf(plain(root)), linesOf(plain(inner))),
			})
		}
	}
	t.convert()
	if k.heading == "" && len(k.pieces) == 0 {
		return nil
	}
	return k
}

// Kept is what a text that comes back from Matrix is not to say once more.
type Kept struct {
	heading string
	pieces  []keptPiece
}

// keptPiece is what can be seen of one attachment, as HTML and as plain text.
type keptPiece struct{ html, plain keptForm }

// keptForm is something as one quote, and as the lines that it has outside of one:
// whether a card is set off as a quote depends on what is beside it.
type keptForm struct {
	whole unit
	lines []unit
}

// unit is a line of a text, or a whole quote.
type unit struct {
	quote bool
	// text is what can be seen of it, and first of its first line.
	text, first string
	words       []string
	// from and to are where it stands.
	from, to int
}

// comesBack is what a tree for Matrix becomes on its way back to Teams.
func comesBack(root *node, env MatrixEnv) *node {
	c := textContentOf(root)
	t := newToTeams(c, TeamsEnv{People: env.People, Texts: env.Texts})
	t.text(c)
	back := t.out.finish()
	dropEmpty(back)
	return back
}

// formOf makes a form of its units, and of those inside of its quote.
func formOf(all, inner []unit) keptForm {
	if len(all) == 1 {
		return keptForm{all[0], inner}
	}
	s := keptForm{lines: inner}
	for _, u := range all {
		s.whole.text += u.text
		s.whole.first = firstOf(s.whole.first, u.first)
		s.whole.words = append(s.whole.words, u.words...)
	}
	return s
}

// unitsOf returns the lines and quotes of a tree's first level.
func unitsOf(root *node) (out []unit) {
	var u unit
	end := func(to int) {
		if u.to = to; u.text != "" {
			u.first = firstOf(u.first, u.text)
			out = append(out, u)
		}
		u = unit{from: to}
	}
	for i, n := range root.kids {
		switch {
		case n.block:
			end(i)
			u.quote = n.tag == "blockquote"
			u.add(n)
			if inner := unitsOf(n); u.quote && len(inner) > 0 {
				u.first = inner[0].first
			}
			end(i + 1)
		case n.tag == "br":
			end(i)
			u.from = i + 1
		default:
			u.add(n)
		}
	}
	end(len(root.kids))
	return out
}

func (u *unit) add(n *node) {
	u.text += seenText(n)
	walk(n, func(k *node) bool {
		u.words = append(u.words, strings.Fields(k.text)...)
		return true
	})
}

// linesOf returns the lines and quotes of plain text.
func linesOf(body string) (out []unit) {
	at := -1
	for line := range strings.Lines(body) {
		at++
		quoted := strings.HasPrefix(line, ">")
		line = strings.TrimLeft(line, "> ")
		seen := string(appendVisible(nil, line))
		if last := len(out) - 1; quoted && last >= 0 && out[last].quote && out[last].to == at {
			out[last].text += seen
			out[last].first = firstOf(out[last].first, seen)
			out[last].words = append(out[last].words, strings.Fields(line)...)
			out[last].to = at + 1
		} else if quoted || seen != "" {
			out = append(out, unit{quoted, seen, seen, strings.Fields(line), at, at + 1})
		}
	}
	return out
}

// drop takes what is kept out of a tree for Teams: the heading where it is the
// first line, and what is attached. It reports whether there was any of it.
func (k *Kept) drop(root *node) bool {
	had := len(root.kids)
	for _, u := range slices.Backward(k.find(unitsOf(root), func(p keptPiece) keptForm { return p.html })) {
		to := u.to
		if to < len(root.kids) && root.kids[to].tag == "br" && !u.quote {
			to++
		}
		root.kids = slices.Delete(root.kids, u.from, to)
	}
	if k.heading != "" {
		dropFirstLine(root, k.heading)
	}
	return len(root.kids) < had
}

// dropLines takes what is attached out of plain text.
func (k *Kept) dropLines(body string) string {
	lines := strings.SplitAfter(body, "\n")
	for _, u := range slices.Backward(k.find(linesOf(body), func(p keptPiece) keptForm { return p.plain })) {
		lines = slices.Delete(lines, u.from, u.to)
	}
	return strings.Join(lines, "")
}

// find returns those of a text's units that show what is kept, in their order.
// Somebody may have written into them, so that what is nearly the same counts too.
func (k *Kept) find(units []unit, of func(keptPiece) keptForm) (found []unit) {
	left := make([]keptForm, len(k.pieces))
	for i, p := range k.pieces {
		left[i] = of(p)
	}
	gone := make([]bool, len(units))
	for _, same := range []func(u, whole unit) bool{
		func(u, whole unit) bool { return u.text == whole.text },
		func(u, whole unit) bool { return whole.first != "" && u.first == whole.first },
		alike,
	} {
		for i, u := range units {
			if !u.quote || gone[i] {
				continue
			}
			if at := slices.IndexFunc(left, func(s keptForm) bool { return same(u, s.whole) }); at >= 0 {
				gone[i], left = true, slices.Delete(left, at, at+1)
			}
		}
	}
	for _, s := range left {
		for _, i := range s.among(units, gone) {
			gone[i] = true
		}
	}
	for i, u := range units {
		if gone[i] {
			found = append(found, u)
		}
	}
	return found
}

// among returns which units are the lines, in their order: none unless most of the
// lines are there as they were.
func (s keptForm) among(units []unit, gone []bool) (at []int) {
	next := 0
	take := func(from int, same func(u unit) bool) bool {
		for i := from; i < len(units); i++ {
			if !gone[i] && !units[i].quote && !slices.Contains(at, i) && same(units[i]) {
				at, next = append(at, i), i+1
				return true
			}
		}
		return false
	}
	var changed []unit
	for _, line := range s.lines {
		if !take(next, func(u unit) bool { return u.text == line.text }) {
			changed = append(changed, line)
		}
	}
	if 2*len(at) <= len(s.lines) {
		return nil
	}
	for _, line := range changed {
		take(0, func(u unit) bool { return alike(u, line) })
	}
	return at
}

// alike reports whether two texts have more than half of their words in common.
func alike(a, b unit) bool {
	count := make(map[string]int, len(a.words))
	for _, w := range a.words {
		count[w]++
	}
	common := 0
	for _, w := range b.words {
		if count[w] > 0 {
			count[w]--
			common++
		}
	}
	return 2*common > len(a.words) && 2*common > len(b.words)
}

// dropFirstLine takes the first line away where it says a text.
func dropFirstLine(root *node, text string) {
	said, end := "", 0
	for end < len(root.kids) {
		n := root.kids[end]
		if n.tag == "br" || n.block && said != "" {
			break
		}
		said += seenText(n)
		end++
		if n.block && said != "" {
			break
		}
	}
	if said != text {
		return
	}
	for end < len(root.kids) && (root.kids[end].tag == "br" || root.kids[end].tag == "" && isBlank(root.kids[end].text)) {
		end++
	}
	root.kids = root.kids[end:]
}

// seenText is what can be seen of a text below n, without spaces.
func seenText(n *node) string { return string(appendVisible(nil, textContent(n))) }

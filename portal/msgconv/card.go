package msgconv

import (
	"strings"

	"teamsbridge/teams"
	"teamsbridge/texts"
)

// What of a message's cards is shown; the rest is named, with a link.
const (
	// maxCardElements is how many elements the cards of a message may have.
	maxCardElements = 2000
	// maxCardText is how many bytes of text they may have.
	maxCardText = 100_000
	// maxCardDepth is how deep their elements may nest.
	maxCardDepth = 24
	// maxNamed is how many things are named that only Teams can do.
	maxNamed = 12
)

// cardBudget is what the cards of one message may still show.
type cardBudget struct{ elements, text int }

func newCardBudget() cardBudget { return cardBudget{elements: maxCardElements, text: maxCardText} }

// cardWriter carries one card over. What it has to leave out it remembers, so
// that a reader is told.
type cardWriter struct {
	t     *toMatrix
	depth int
	// cell is above 0 where all is one line: in a cell, or a fact.
	cell int
	// begun says that there is something on the line of a cell.
	begun bool
	// shown says that there is something to see of the card.
	shown bool
	// cut says that there is more than was shown.
	cut bool
	// asks says that the card has fields to fill in.
	asks bool
	// only names the buttons that work in Teams alone.
	only []string
	// pieces and open are the tokens of the line under way, kept for the next.
	pieces []token
	open   []int
	// dialect is how the card writes its texts.
	dialect dialect
	// people are those that the card mentions, by the text that does it.
	people map[string]jsonValue
}

// dialect is a way in which a card writes its texts.
type dialect uint8

const (
	// markdownOrHTML is either, as the cards of the Bot Framework have it.
	markdownOrHTML dialect = iota
	// markdownInHTML is both at once, as connectors have it.
	markdownInHTML
	// onlyHTML is what a connector's section has whose Markdown is off.
	onlyHTML
)

// cardOf shows the card in an attachment, or reports that there is nothing in
// it to show.
func (t *toMatrix) cardOf(a *teams.Attachment, kind string) bool {
	show := cardKinds[kind]
	if show == nil {
		return false
	}
	card, ok := parseJSON(a.Content)
	if !ok || !card.isObject() {
		return false
	}
	w := &cardWriter{t: t}
	quote := !t.alone
	if quote {
		t.out.open("blockquote")
	}
	show(w, card)
	if w.shown {
		w.rest()
	}
	if quote {
		t.out.close("blockquote")
	}
	return w.shown
}

// cardKinds are the kinds of cards whose content is known, by their content
// type without what all have in common.
var cardKinds map[string]func(*cardWriter, jsonValue)

func init() {
	cardKinds = map[string]func(*cardWriter, jsonValue){
		"adaptive": (*cardWriter).adaptive, "hero": (*cardWriter).rich, "thumbnail": (*cardWriter).rich, "receipt": (*cardWriter).receipt,
		"signin": (*cardWriter).rich, "oauth": (*cardWriter).rich, "audio": (*cardWriter).rich, "video": (*cardWriter).rich, "animation": (*cardWriter).rich,
		"list": (*cardWriter).listCard, "o365connector": (*cardWriter).connector, "announcement": (*cardWriter).announcement,
	}
}

// cardKind returns the short name of a card's content type in lower case, and
// any other content type as it is.
func cardKind(contentType string) string {
	for _, prefix := range []string{"application/vnd.microsoft.card.", "application/vnd.microsoft.teams.card."} {
		if len(contentType) > len(prefix) && strings.EqualFold(contentType[:len(prefix)], prefix) {
			return strings.ToLower(contentType[len(prefix):])
		}
	}
	return contentType
}

// rest says in one line what of the card only Teams can show or do.
func (w *cardWriter) rest() {
	line := textCardRest(w.t.env.Texts, w.only, w.asks, w.cut)
	if line == "" {
		return
	}
	out := w.t.out
	out.open("p")
	out.element("em", line)
	if href, ok := cleanHref(w.t.m.WebURL, false); ok {
		out.text(" – ")
		out.element("a", w.t.env.Texts.Say(texts.OpenInTeams), attr{"href", href})
	}
	out.close("p")
}

// enter counts an element and goes a level deeper, or reports that there is no
// room for it. Each call that returns true is ended by leave.
func (w *cardWriter) enter() bool {
	if w.t.budget.elements <= 0 || w.depth >= maxCardDepth {
		w.cut = true
		return false
	}
	w.t.budget.elements--
	w.depth++
	return true
}

func (w *cardWriter) leave() { w.depth-- }

// line adds what inside writes as a paragraph, or another block, of its own.
// In a cell there are no blocks, but line ends.
func (w *cardWriter) line(tag string, inside func()) {
	if w.cell == 0 {
		w.t.out.open(tag)
		inside()
		w.t.out.close(tag)
		return
	}
	if w.begun {
		w.t.out.open("br")
	}
	w.begun = true
	bold := tag[0] == 'h'
	if bold {
		w.t.out.open("strong")
	}
	inside()
	if bold {
		w.t.out.close("strong")
	}
}

// inCell writes what belongs into one cell of a table.
func (w *cardWriter) inCell(tag string, inside func()) {
	out := w.t.out
	out.open(tag)
	begun := w.begun
	w.begun = false
	w.cell++
	inside()
	w.cell--
	w.begun = begun
	out.close(tag)
}

// put adds text as it is, as long as there is room.
func (w *cardWriter) put(s string) {
	if len(s) > w.t.budget.text {
		cut := w.t.budget.text
		for cut > 0 && s[cut]&0xc0 == 0x80 {
			cut--
		}
		s = s[:cut] + "…"
		w.cut = true
		w.t.budget.text = 0
		if cut == 0 {
			return
		}
	} else {
		w.t.budget.text -= len(s)
	}
	if !isBlank(s) {
		w.shown = true
	}
	w.t.out.text(s)
}

// styled adds text in an inline element.
func (w *cardWriter) styled(tag, s string) {
	w.t.out.open(tag)
	w.put(s)
	w.t.out.close(tag)
}

// link adds a link, or its text and address where it cannot be one.
func (w *cardWriter) link(text, address string) {
	if href, ok := cleanHref(address, false); ok {
		w.t.out.open("a", attr{"href", href})
		w.put(firstOf(text, href))
		w.t.out.close("a")
		return
	}
	w.put(text)
	w.put(lostHref(w.t.env.Texts, address, text))
}

// onlyTeams remembers a button that works in Teams alone.
func (w *cardWriter) onlyTeams(name string) {
	if len(w.only) >= maxNamed {
		w.cut = true
		return
	}
	w.only = append(w.only, name)
	w.shown = true
}

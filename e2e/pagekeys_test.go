package e2e

import (
	"fmt"
	"strconv"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// focusProblem is an expression for what is wrong with how the focus shows, ""
// for nothing: it must be outlined, in the window, and not covered.
const focusProblem = `(e => {
	if (e === document.body) return 'nothing has the focus';
	const seen = e.closest('.attach') ?? e, style = getComputedStyle(seen), r = seen.getBoundingClientRect();
	const what = e.outerHTML.slice(0, 120) + ': ';
	if (style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2) return what + 'no outline';
	const within = e.closest('.messages')?.getBoundingClientRect() ?? {left: 0, top: 0, right: innerWidth, bottom: innerHeight};
	const left = Math.max(r.left, within.left), right = Math.min(r.right, within.right), top = Math.max(r.top, within.top), bottom = Math.min(r.bottom, within.bottom);
	if (left >= right || top >= bottom) return what + 'out of sight';
	const there = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
	return seen.contains(there) ? '' : what + 'covered by ' + (there?.outerHTML ?? 'nothing').slice(0, 120);
})(document.activeElement)`

// key presses keys where the focus is.
func (b *browser) key(keys string, modifiers ...chromedp.Modifier) {
	b.t.Helper()
	b.do(fmt.Sprintf("press %q", keys), chromedp.KeyEvent(keys, chromedp.KeyModifiers(modifiers...)))
}

// tab goes on with the Tab key, back with Shift, until the focus is at what the
// selector matches. On the way it must be seen everywhere.
func (b *browser) tab(selector string, modifiers ...chromedp.Modifier) {
	b.t.Helper()
	passedEnd := false
	for range 60 {
		b.key(kb.Tab, modifiers...)
		// Behind the page's end the focus is with the browser's own bars, once.
		if !passedEnd && value[bool](b, "document.activeElement === document.body") {
			passedEnd = true
			continue
		}
		if problem := value[string](b, focusProblem); problem != "" {
			b.fail("the focus on the way to "+selector, fmt.Errorf("%s", problem))
		}
		if value[bool](b, "document.activeElement.matches("+strconv.Quote(selector)+")") {
			return
		}
	}
	b.fail("go to "+selector, fmt.Errorf("60 times Tab do not lead there"))
}

// at waits until the focus is at something about which the expression over e
// says yes.
func (b *browser) at(what, expression string) {
	b.t.Helper()
	b.until("the focus is at "+what, "(e => "+expression+")(document.activeElement)")
	require.Empty(b.t, value[string](b, focusProblem), what)
}

// byKeyboard does with keys alone what people do in the page.
func (p *pageTest) byKeyboard() {
	p.t.Log("by keyboard alone")
	b, teams, matrix := p.b, p.teams, p.matrix
	b.do("open the page anew", chromedp.Navigate(p.page.URL()))
	b.until("it is filled, with a channel that is not mirrored", fmt.Sprintf("document.querySelector(%q)", teams.in(".message")))
	b.until("which is said", fmt.Sprintf("document.querySelector(%q).textContent.includes('no room')", matrix.in(`[data-part="trouble"]`)))

	p.t.Log("… to a channel")
	b.tab("[data-skip=teams]")
	b.tab("#signin summary")
	b.key(kb.Enter)
	b.until("how to sign in is shown", "document.querySelector('#password').checkVisibility()")
	b.key(kb.Escape)
	b.at("what was opened", "e.matches('summary') && !e.parentNode.open")
	b.tab(fmt.Sprintf("[data-channel=%q]", p.general.ID))
	b.key(kb.Enter)
	b.at("the channel that is open", "e.matches('[data-channel][aria-current]') && e.dataset.channel === "+strconv.Quote(p.general.ID))
	b.until("the room too", fmt.Sprintf("document.querySelector(%q)", matrix.in(".message")))

	p.t.Log("… who speaks, a formatted post")
	b.tab(string(teams.in(`[data-part="as"]`)))
	b.key(p.ada.DisplayName())
	b.tab(string(teams.in("textarea")))
	b.tab(string(teams.in(`[data-format="bold"]`)))
	b.key(kb.ArrowRight)
	b.at("the next button", "e.dataset.format === 'italic'")
	b.key(kb.Enter)
	b.at("the text", "e.matches('textarea')")
	b.key("no mouse")
	b.key(kb.Enter)
	matrix.shows("no mouse", "m.querySelector('em')")
	b.until("it is read out", "document.querySelector('#live').textContent.includes('no mouse')")

	p.t.Log("… an answer, left and begun again")
	message := string(teams.in(".message"))
	teams.shows("no mouse", "true")
	b.tab(message, chromedp.ModifierShift)
	b.key(kb.End)
	b.at("the newest message", "e.matches('.message') && e.textContent.includes('no mouse')")
	b.tab("[data-do=reply]")
	b.key(kb.Enter)
	b.at("the text", "e.matches('textarea')")
	b.key("so it")
	b.key(kb.Escape)
	b.at("the message", "e.matches('.message') && e.textContent.includes('no mouse')")
	b.tab("[data-do=reply]")
	b.key(kb.Enter)
	b.key(" goes on")
	b.key(kb.Enter)
	for _, s := range []side{matrix, teams} {
		s.shows("so it goes on", "m.classList.contains('reply')")
	}

	p.t.Log("… a reaction, taken back")
	b.tab(message, chromedp.ModifierShift)
	b.key(kb.End)
	b.at("the answer", "e.textContent.includes('so it goes on')")
	b.tab("[data-do=picker]")
	b.key(kb.Enter)
	b.at("the first reaction", "e.matches('.picker button')")
	b.key(kb.ArrowLeft)
	b.at("the last reaction", "e.matches('.picker button:last-child')")
	b.key(kb.Enter)
	matrix.shows("so it goes on", "m.querySelector('.chip')?.textContent.includes('✅')")
	b.at("the answer", "e.textContent.includes('so it goes on')")
	teams.shows("so it goes on", "m.querySelector('.chip')")
	b.tab(".chip[aria-pressed=true]")
	b.key(kb.Enter)
	matrix.shows("so it goes on", "!m.querySelector('.chip')")
	b.at("the answer", "e.closest('.message').textContent.includes('so it goes on')")

	p.t.Log("… an edit, which leaves a draft alone")
	b.tab(string(teams.in("textarea")))
	b.key("half a thought")
	b.tab(message, chromedp.ModifierShift)
	b.tab("[data-do=edit]")
	b.key(kb.Enter)
	b.at("the old text", "e.value === 'so it goes on'")
	b.key("a", chromedp.ModifierCtrl)
	b.key("and so on")
	b.key(kb.Enter)
	for _, s := range []side{matrix, teams} {
		s.shows("and so on", "m.querySelector('.edited')")
	}
	b.until("the draft is there", fmt.Sprintf("document.querySelector(%q).value === 'half a thought'", teams.in("textarea")))

	p.t.Log("… a message of Matrix, deleted")
	b.tab(string(matrix.in("textarea")))
	b.key("a slip of the finger")
	b.key(kb.Enter)
	for _, s := range []side{teams, matrix} {
		s.shows("a slip of the finger", "true")
	}
	b.tab(string(matrix.in(".message")), chromedp.ModifierShift)
	b.key(kb.End)
	b.at("it", "e.textContent.includes('a slip of the finger')")
	b.tab("[data-do=delete]")
	b.key(kb.Enter)
	teams.lacks("a slip of the finger")
	matrix.lacks("a slip of the finger")
	b.at("a message", "e.matches('.message')")

	p.t.Log("… past everything")
	b.tab("[data-skip=matrix]")
	b.key(kb.Enter)
	b.at("the messages of Matrix", fmt.Sprintf("e.matches(%q)", matrix.in(".message")))
	b.shot("keyboard")
}

// named sees that whatever takes the focus has a name for screen readers.
func (p *pageTest) named() {
	p.t.Log("everything has a name")
	tree, err := chromedp.Call(p.b.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	require.NoError(p.t, err)
	seen := map[string]int{}
	for _, node := range tree.Nodes {
		if node.Ignored || node.Role == nil || !focusable(node) {
			continue
		}
		role := string(node.Role.Value)
		seen[role]++
		// A message is read out by what stands in it.
		if role == `"RootWebArea"` || role == `"listitem"` {
			continue
		}
		require.NotNil(p.t, node.Name, role)
		require.NotContains(p.t, []string{"", `""`}, string(node.Name.Value), "a %s without a name: %+v", role, node)
	}
	require.Greater(p.t, seen[`"button"`], 10, "%v", seen)
	require.Equal(p.t, 2, seen[`"textbox"`]-1, "the texts and the subject: %v", seen)
}

func focusable(node *accessibility.Node) bool {
	for _, property := range node.Properties {
		if property.Name == "focusable" && property.Value != nil && string(property.Value.Value) == "true" {
			return true
		}
	}
	return false
}

// faint is an expression for the texts that stand out too little from what is
// behind them, by the measure of the Web Content Accessibility Guidelines.
const faint = `(() => {
	const pen = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
	const paint = (colours) => { pen.clearRect(0, 0, 1, 1); for (const c of colours) { pen.fillStyle = c; pen.fillRect(0, 0, 1, 1); } return pen.getImageData(0, 0, 1, 1).data; };
	const light = (d) => { const [r, g, b] = [...d].slice(0, 3).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const out = new Set(), walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let node; (node = walk.nextNode());) {
		const e = node.parentElement;
		if (!node.data.trim() || !e.checkVisibility({visibilityProperty: true, opacityProperty: true}) || e.closest('.hidden, .skip, :disabled, .spoiler, script')) continue;
		const behind = [];
		for (let up = e; up; up = up.parentElement) behind.unshift(getComputedStyle(up).backgroundColor);
		const [a, b] = [light(paint(['white', ...behind])), light(paint(['white', ...behind, getComputedStyle(e).color]))];
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < 4.5) out.add(e.tagName + '.' + e.className + ' ' + node.data.trim().slice(0, 30) + ' ' + ratio.toFixed(2));
	}
	return [...out];
})()`

// legible sees that all texts can be read, by day and by night.
func (p *pageTest) legible() {
	p.t.Log("everything can be read")
	for _, scheme := range []string{"dark", "light"} {
		p.b.scheme(scheme)
		require.Empty(p.t, value[[]string](p.b, faint), scheme)
	}
}

package msgconv

import (
	"slices"
	"strings"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/teams"
	"teamsbridge/texts"
)

// maxReply is how many characters of the message that is answered are shown.
const maxReply = 300

// toTeams carries one Matrix message over into a tree for Teams.
type toTeams struct {
	c     *event.MessageEventContent
	env   TeamsEnv
	out   *builder
	image *teams.InlineImage
	finds []finder
	// listed are the people that the event says it mentions; nil where it
	// says nothing, as old clients do, and every pill mentions.
	listed map[id.UserID]bool
	// kept says that the text has lost what Teams keeps.
	kept bool
}

func newToTeams(c *event.MessageEventContent, env TeamsEnv) *toTeams {
	t := &toTeams{c: c, env: env, out: newBuilder(forTeams)}
	if c.Mentions != nil {
		t.listed = make(map[id.UserID]bool, len(c.Mentions.UserIDs))
		for _, mxid := range c.Mentions.UserIDs {
			t.listed[mxid] = true
		}
	}
	t.finds = t.finders()
	return t
}

// convert returns the tree of the message, or nil if there is nothing in it.
func (t *toTeams) convert() *node {
	t.reply()
	quoted := len(t.out.root.kids)
	if !t.media() {
		t.text(t.c)
	}
	root := t.out.finish()
	dropEmpty(root)
	t.mentionAnswered(root, quoted)
	had := t.kept
	if t.env.Kept != nil {
		had = t.env.Kept.drop(root) || had
	}
	said := &node{kids: root.kids[min(quoted, len(root.kids)):]}
	if !hasContent(said) && !hasImage(said) && !t.showsFile() && !had {
		return nil
	}
	if quoted == 0 {
		tidy(root)
	}
	return root
}

// reply shows the message that is answered as a quote.
func (t *toTeams) reply() {
	r := t.env.Reply
	if r == nil {
		return
	}
	t.out.open("blockquote")
	name := firstOf(cleanName(r.Name), t.env.Texts.Say(texts.Somebody))
	if href, ok := cleanHref(r.Link, false); ok {
		t.out.open("a", attr{"href", href})
		t.out.element("b", name)
		t.out.close("a")
	} else {
		t.out.element("b", name)
	}
	text := strings.TrimSpace(r.Text)
	if cut := runeLimit(text, maxReply); cut < len(text) {
		text = text[:cut] + "…"
	}
	if text != "" {
		for line := range strings.Lines(text) {
			t.out.open("br")
			t.out.text(keepSpaces(strings.TrimRight(line, "\r\n")))
		}
	}
	t.out.close("blockquote")
}

func runeLimit(s string, most int) int {
	n := 0
	for i := range s {
		if n == most {
			return i
		}
		n++
	}
	return len(s)
}

// text carries over a text message or a caption.
func (t *toTeams) text(c *event.MessageEventContent) {
	if c.Format == event.FormatHTML && c.FormattedBody != "" {
		tree := parse(c.FormattedBody, fromMatrix)
		if hasContent(tree) || showsImage(tree) {
			t.kids(tree)
			return
		}
	}
	body := stripFallback(c)
	if t.env.Kept != nil {
		left := t.env.Kept.dropLines(body)
		t.kept, body = left != body, left
	}
	t.plain(body)
}

// showsImage reports whether there are images with names, or formulas, which
// show something without any text.
func showsImage(root *node) bool {
	found := false
	walk(root, func(n *node) bool {
		found = found || n.tag == "img" && firstOf(n.attr("alt"), n.attr("title")) != "" || !isBlank(n.attr("data-mx-maths"))
		return !found
	})
	return found
}

// stripFallback returns the body without the lines that old clients quote the
// answered message in.
func stripFallback(c *event.MessageEventContent) string {
	body := c.Body
	if c.RelatesTo.GetReplyTo() == "" || !strings.HasPrefix(body, "> <@") && !strings.HasPrefix(body, "> * <@") {
		return body
	}
	for strings.HasPrefix(body, ">") {
		_, rest, ok := strings.Cut(body, "\n")
		if !ok {
			return c.Body
		}
		body = rest
	}
	return strings.TrimPrefix(body, "\n")
}

// plain carries over plain text with its line ends.
func (t *toTeams) plain(s string) {
	s = strings.Trim(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(s), "\n")
	if isBlank(s) {
		return
	}
	t.lines(s)
}

func (t *toTeams) lines(s string) {
	for {
		line, rest, more := strings.Cut(s, "\n")
		t.words(keepSpaces(line))
		if !more {
			return
		}
		t.out.open("br")
		s = rest
	}
}

// keepSpaces turns the spaces that HTML would swallow into no-break spaces.
func keepSpaces(s string) string {
	if !strings.Contains(s, "  ") && !strings.HasPrefix(s, " ") && !strings.ContainsRune(s, '\t') {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\t':
			b.WriteString("\u00a0\u00a0\u00a0\u00a0")
		case s[i] == ' ' && (i == 0 || i+1 < len(s) && s[i+1] == ' '):
			b.WriteString("\u00a0")
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func (t *toTeams) kids(n *node) {
	for _, k := range n.kids {
		t.node(k, n)
	}
}

func (t *toTeams) node(n, parent *node) {
	switch n.tag {
	case "":
		switch {
		case n.content && t.out.isOpen("code"):
			t.out.text(collapse(n.text))
		case n.content && t.out.isOpen("a"):
			t.out.text(collapseLines(n.text))
		case n.content:
			t.words(collapseLines(n.text))
		case !parent.blocks:
			t.out.text(" ")
		}
	case "br":
		t.out.open("br")
	case "pre":
		t.code(n)
	case "a":
		t.link(n)
	case "input":
		t.checkbox(n)
	case "span":
		if t.maths(n) {
			return
		}
		if hasAttr(n.attrs, "data-mx-spoiler") {
			t.out.text(textSpoiler(t.env.Texts, cleanName(n.attr("data-mx-spoiler"))))
		}
		t.coloured(n)
	case "sub", "sup":
		t.shifted(n)
	case "img":
		t.picture(n)
	case "summary":
		t.out.open("p")
		t.out.open("strong")
		t.kids(n)
		t.out.close("strong")
		t.out.close("p")
	case "details":
		t.kids(n)
	case "table", "thead", "tbody", "caption", "th":
		t.table(n)
	case "p", "div":
		if t.maths(n) {
			return
		}
		if n.content {
			t.out.open(n.tag)
			t.kids(n)
			t.out.close(n.tag)
		}
	default:
		t.out.open(n.tag, n.attrs...)
		t.kids(n)
		if !isVoid(n.tag) {
			t.out.close(n.tag)
		}
	}
}

// table carries over what Teams has in another form in its tables.
func (t *toTeams) table(n *node) {
	switch n.tag {
	case "table":
		// One body, whatever the table was divided into.
		t.out.open("table")
		t.out.open("tbody")
		t.kids(n)
		t.out.close("table")
	case "th":
		t.out.open("td")
		t.out.open("strong")
		t.kids(n)
		t.out.close("strong")
		t.out.close("td")
	default:
		t.kids(n)
	}
}

// collapseLines makes a space of line ends and tabs. No-break spaces stay.
func collapseLines(s string) string {
	if !strings.ContainsAny(s, "\n\t") {
		return s
	}
	return strings.NewReplacer("\n", " ", "\t", " ").Replace(s)
}

// code carries over a block of code as Teams' own element.
func (t *toTeams) code(n *node) {
	text := strings.Trim(codeText(n), "\n")
	if text == "" {
		return
	}
	language := ""
	if len(n.kids) > 0 && n.kids[0].tag == "code" {
		language, _ = strings.CutPrefix(n.kids[0].attr("class"), "language-")
	}
	if !isLanguage(language) {
		language = ""
	}
	t.out.open("codeblock", attr{"class", language})
	t.out.open("code")
	for {
		line, rest, more := strings.Cut(text, "\n")
		t.out.text(keepSpaces(line))
		if !more {
			break
		}
		t.out.open("br")
		text = rest
	}
	t.out.close("code")
	t.out.close("codeblock")
}

// link carries over a link; one to a person is a mention or a plain name.
func (t *toTeams) link(n *node) {
	href := n.attr("href")
	if mxid := pillOf(href); mxid != "" {
		text := strings.TrimSpace(collapseLines(textContent(n)))
		if t.listed != nil && !t.listed[mxid] || !t.mention(mxid) {
			t.out.text(firstOf(text, string(mxid)))
		}
		return
	}
	kept, ok := cleanHref(href, false)
	if !ok {
		t.kids(n)
		if !strings.HasPrefix(href, "matrix:") {
			t.out.text(lostHref(t.env.Texts, href, textContent(n)))
		}
		return
	}
	t.out.open("a", attr{"href", kept})
	t.kids(n)
	t.out.close("a")
}

// pillOf returns the user that a link names, if it does.
func pillOf(href string) id.UserID {
	if !strings.HasPrefix(href, "matrix:") && !strings.Contains(href, "matrix.to/#/") {
		return ""
	}
	uri, err := id.ParseMatrixURIOrMatrixToURL(href)
	if err != nil || uri == nil {
		return ""
	}
	return uri.UserID()
}

// mention adds a mention of a Matrix user, and reports whether Teams knows them.
func (t *toTeams) mention(mxid id.UserID) bool {
	if t.env.People == nil {
		return false
	}
	userID, name, ok := t.env.People.Person(mxid)
	name = cleanName(name)
	if !ok || userID == "" || name == "" {
		return false
	}
	t.at(&teams.Mention{Text: name, User: &teams.Identity{ID: userID, DisplayName: name, Kind: "user"}})
	return true
}

func (t *toTeams) at(m *teams.Mention) {
	if n := t.out.open("at", attr{"id", "0"}); n != nil {
		n.mention = &mention{teams: m, size: mentionSize(m) + 4}
	}
	t.out.text(m.Text)
	t.out.close("at")
}

// mentionAnswered puts a mention of whoever is answered in front of an answer,
// where the event says that it mentions them and its text does not.
func (t *toTeams) mentionAnswered(root *node, quoted int) {
	r := t.env.Reply
	if r == nil || !t.listed[r.Author] || t.env.People == nil || len(root.kids) <= quoted {
		return
	}
	userID, name, ok := t.env.People.Person(r.Author)
	name = cleanName(name)
	if !ok || userID == "" || name == "" {
		return
	}
	mentioned := false
	walk(root, func(n *node) bool {
		mentioned = mentioned || n.mention != nil && n.mention.teams != nil && n.mention.teams.User != nil && n.mention.teams.User.ID == userID
		return !mentioned
	})
	if mentioned {
		return
	}
	m := &teams.Mention{Text: name, User: &teams.Identity{ID: userID, DisplayName: name, Kind: "user"}}
	at := []*node{
		{tag: "at", attrs: []attr{{"id", "0"}}, content: true, kids: []*node{{text: name, content: true}}, mention: &mention{teams: m, size: mentionSize(m) + 4}},
		{text: " "},
	}
	switch first := root.kids[quoted]; {
	case (first.tag == "p" || first.tag == "div") && !first.blocks:
		first.kids = append(at, first.kids...)
	case first.block:
		root.kids = slices.Insert(root.kids, quoted, &node{tag: "p", block: true, content: true, kids: at[:1]})
	default:
		root.kids = slices.Insert(root.kids, quoted, at...)
	}
}

// picture shows what an image inside a text stands for: custom emoji mostly. The
// name of any other leads to the message in Matrix, where it can be seen.
func (t *toTeams) picture(n *node) {
	alt := cleanName(firstOf(n.attr("alt"), n.attr("title")))
	if hasAttr(n.attrs, "data-mx-emoticon") || strings.HasPrefix(alt, ":") {
		t.out.text(alt)
		return
	}
	text := "[" + t.env.Texts.Say(texts.Image) + "]"
	// Matrix allows no other addresses: nobody in the room sees such a picture.
	seen := isMXC(n.attr("src"))
	switch {
	case alt != "":
		text = textImage(t.env.Texts, alt, 1)
	case !seen:
		return
	}
	if href, ok := cleanHref(t.env.Link, false); ok && seen && !t.out.isOpen("a") && !t.out.isOpen("code") {
		t.out.element("a", text, attr{"href", href})
	} else {
		t.out.text(text)
	}
}

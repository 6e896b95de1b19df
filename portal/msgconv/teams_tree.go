package msgconv

import (
	"strconv"
	"strings"

	"maunium.net/go/mautrix/id"

	"teamsbridge/teams"
	"teamsbridge/texts"
)

// toMatrix carries one Teams message over into a Matrix tree.
type toMatrix struct {
	m           teams.Message
	env         MatrixEnv
	out         *builder
	mentions    map[int]*teams.Mention
	attachments map[string]*teams.Attachment
	shown       map[string]bool
	images      []Part
	// holders are the texts that stand where an image was. Those with nothing
	// behind them are taken away at the end.
	holders []*node
	// numbers holds the images of the body that are still to be shown, with
	// their places; they are the same as in what Images returns.
	numbers map[*node]int
	quotes  int
	// codes are the parts of the code snippets, and snippets how many there are.
	codes    []Part
	snippets int
	// alone says that the message is one attachment and nothing else.
	alone  bool
	budget cardBudget
	// cardImages are the places of the images in cards and forwarded messages, by
	// address, and pictured those that are shown.
	cardImages map[string]int
	pictured   map[int]bool
	// anchor is the link of the body that is under way, beside the addresses of
	// the foreign images in it.
	anchor *node
	beside []string
	// words, if not nil, adds the text of elements.
	words func(s string, blocks bool)
	// apart, if not nil, gets what each attachment shows instead of the text.
	apart func(root *node)
}

func newToMatrix(m teams.Message, env MatrixEnv) *toMatrix {
	if env.ChannelID == "" {
		env.ChannelID = m.Channel.ChannelID
	}
	t := &toMatrix{
		m: m, env: env, out: newBuilder(forMatrix), shown: map[string]bool{}, budget: newCardBudget(),
		mentions: make(map[int]*teams.Mention, len(m.Mentions)), attachments: make(map[string]*teams.Attachment, len(m.Attachments)),
	}
	for i := range m.Mentions {
		t.mentions[m.Mentions[i].ID] = &m.Mentions[i]
	}
	for i := range m.Attachments {
		if id := m.Attachments[i].ID; id != "" {
			t.attachments[id] = &m.Attachments[i]
		}
	}
	return t
}

// convert returns the tree of the message's text and gathers its images.
func (t *toMatrix) convert() *node {
	t.heading()
	tree := &node{}
	if t.m.BodyType == teams.BodyText {
		t.plain(t.m.Body)
	} else {
		tree = parse(t.m.Body, fromTeams)
	}
	inBody := bodyImages(tree)
	if t.env.Head != nil {
		t.env.Head.drop(tree, t.env.Texts)
	}
	t.alone = len(t.m.Attachments) == 1 && !hasContent(tree) && len(inBody) == 0
	inCards := attachedImages(t.m)
	t.cardImages, t.pictured = make(map[string]int, len(inCards)), map[int]bool{}
	for i, ref := range inCards {
		t.cardImages[ref.URL] = len(inBody) + i
	}
	t.numbers = make(map[*node]int, len(inBody))
	for i, n := range inBody {
		t.numbers[n] = i
	}
	t.kids(tree)
	for _, n := range inBody {
		// Where images cannot stand, as in code, they come behind.
		if _, left := t.numbers[n]; left {
			t.image(n)
		}
	}
	for i := range t.m.Attachments {
		if a := &t.m.Attachments[i]; !t.shown[a.ID] || a.ID == "" {
			t.attachment(a)
		}
	}
	for i, ref := range inCards {
		// What a card or a quote has somewhere that is not shown comes at the end.
		if n := len(inBody) + i; !t.pictured[n] {
			t.images = append(t.images, t.picture(ref, n))
		}
	}
	root := t.out.finish()
	t.dropHolders(root)
	if !hasContent(root) && len(t.images) == 0 && len(t.codes) == 0 && len(Files(t.m)) == 0 {
		t.out = newBuilder(forMatrix)
		t.placeholder(t.env.Texts.Say(texts.EmptyBody), "", "")
		root = t.out.finish()
	}
	tidy(root)
	return root
}

// heading shows subject and importance as a bold first line.
func (t *toMatrix) heading() {
	line := cleanName(t.m.Subject)
	mark := ""
	switch t.m.Importance {
	case "high":
		mark = t.env.Texts.Say(texts.Important)
	case "urgent":
		mark = t.env.Texts.Say(texts.Urgent)
	}
	switch {
	case mark != "" && line != "":
		line = mark + textColon(t.env.Texts) + line
	case mark != "":
		line = mark
	}
	if line != "" {
		t.out.open("p")
		t.out.element("strong", line)
		t.out.close("p")
	}
}

// plain carries over a body that is not HTML, with its lines and spaces.
func (t *toMatrix) plain(s string) {
	s = strings.Trim(string(appendClean(nil, s)), "\n")
	for s != "" {
		line, rest, more := strings.Cut(s, "\n")
		t.out.text(keepSpaces(line))
		if more {
			t.out.open("br")
		}
		s = rest
	}
}

func (t *toMatrix) kids(n *node) {
	for i := 0; i < len(n.kids); i++ {
		k := n.kids[i]
		if k.tag == "at" {
			i = t.at(n.kids, i)
			continue
		}
		t.node(k, n)
	}
}

func (t *toMatrix) node(n, parent *node) {
	switch n.tag {
	case "":
		switch {
		case !n.content && parent.blocks:
		case t.words != nil && !t.out.isOpen("code"):
			t.words(n.text, parent.blocks)
		default:
			t.out.text(collapse(n.text))
		}
	case "br":
		t.out.open("br")
	case "p", "div":
		t.paragraph(n)
	case "emoji":
		t.out.text(firstOf(n.attr("alt"), n.attr("title"), textContent(n)))
	case "customemoji":
		t.emoticon(n)
	case "attachment":
		if a := t.attachments[n.attr("id")]; a != nil && !t.shown[a.ID] {
			t.shown[a.ID] = true
			t.attachment(a)
		}
		t.kids(n)
	case "codeblock":
		t.code(n, n.attr("class"))
	case "pre":
		t.code(n, "")
	case "img":
		t.image(n)
	case "systemeventmessage":
		t.kids(n)
	case "a":
		t.link(n)
	case "span":
		t.coloured(n)
	default:
		t.out.open(n.tag, n.attrs...)
		t.kids(n)
		if !isVoid(n.tag) {
			t.out.close(n.tag)
		}
	}
}

// link carries over a link, or its text and address where it cannot be one.
func (t *toMatrix) link(n *node) {
	raw := n.attr("href")
	if href, ok := cleanHref(raw, true); ok {
		t.out.open("a", attr{"href", href})
		t.anchor = n
		t.kids(n)
		t.anchor = nil
		t.out.close("a")
		for _, href := range t.beside {
			t.out.text(" ")
			t.out.element("a", t.env.Texts.Say(texts.Image), attr{"href", href})
		}
		t.beside = nil
		return
	}
	t.kids(n)
	t.out.text(lostHref(t.env.Texts, raw, textContent(n)))
}

// paragraph carries over a <p> or <div>. Empty ones are Teams' way to keep
// paragraphs apart, and one around other blocks says nothing.
func (t *toMatrix) paragraph(n *node) {
	switch {
	case !n.content:
	case n.blocks:
		t.kids(n)
	default:
		t.out.open(n.tag)
		t.kids(n)
		t.out.close(n.tag)
	}
}

// code carries over a block of code: one text with line ends in it.
func (t *toMatrix) code(n *node, language string) {
	if text := strings.Trim(codeText(n), "\n"); text != "" {
		t.codeText(text, language)
	}
}

func (t *toMatrix) codeText(text, language string) {
	t.out.open("pre")
	if isLanguage(language) {
		t.out.element("code", text, attr{"class", "language-" + strings.ToLower(language)})
	} else {
		t.out.element("code", text)
	}
	t.out.close("pre")
}

func codeText(n *node) string {
	var b strings.Builder
	var visit func(*node)
	visit = func(k *node) {
		switch {
		case k.tag == "":
			b.WriteString(strings.ReplaceAll(k.text, "\u00a0", " "))
		case k.tag == "br":
			b.WriteByte('\n')
		}
		for _, kk := range k.kids {
			visit(kk)
		}
		if k.tag == "p" || k.tag == "div" || k.tag == "li" {
			b.WriteByte('\n')
		}
	}
	visit(n)
	return b.String()
}

// collapse makes one space of every run of white space and of the no-break
// spaces that Teams writes instead of spaces.
func collapse(s string) string {
	if !strings.ContainsAny(s, "\n\t\u00a0") && !strings.Contains(s, "  ") {
		return s
	}
	b := make([]byte, 0, len(s))
	space := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == ' ', s[i] == '\n', s[i] == '\t':
			space = true
			continue
		case s[i] == 0xc2 && i+1 < len(s) && s[i+1] == 0xa0:
			space = true
			i++
			continue
		}
		if space {
			b = append(b, ' ')
			space = false
		}
		b = append(b, s[i])
	}
	if space {
		b = append(b, ' ')
	}
	return string(b)
}

// at carries over the mention at kids[i], joined with those behind it that are
// further words of the same name, and returns the index of the last one.
func (t *toMatrix) at(kids []*node, i int) int {
	n := kids[i]
	text := cleanLine(textContent(n))
	m := t.lookup(n)
	if m == nil || m.User == nil || m.User.ID == "" {
		t.other(m, text)
		return i
	}
	mxid, name, ok := id.UserID(""), "", false
	if t.env.People != nil {
		mxid, name, ok = t.env.People.Mention(m.User.ID)
	}
	full := cleanName(firstOf(m.User.DisplayName, name))
	last := i
	for j := i + 1; j < len(kids); j++ {
		if kids[j].tag == "" && isBlank(kids[j].text) {
			continue
		}
		next := t.lookup(kids[j])
		if next == nil || next.User == nil || next.User.ID != m.User.ID {
			break
		}
		word := cleanLine(textContent(kids[j]))
		joined := text + " " + word
		if full == "" && word == text || full != "" && !strings.HasPrefix(full, joined) {
			break
		}
		text, last = joined, j
	}
	if text == "" {
		text = firstOf(full, t.env.Texts.Say(texts.Somebody))
	}
	if !ok || mxid == "" {
		t.out.text(text)
		return last
	}
	pill := t.out.open("a", attr{"href", mxid.URI().MatrixToURL()})
	if pill != nil {
		pill.mention = &mention{mxid: mxid}
	}
	t.out.text(text)
	t.out.close("a")
	return last
}

func (t *toMatrix) lookup(n *node) *teams.Mention {
	if n.tag != "at" {
		return nil
	}
	num, err := strconv.Atoi(n.attr("id"))
	if err != nil {
		return nil
	}
	return t.mentions[num]
}

// other carries over a mention of something that is not a person. Only this
// very channel, or its team, is everybody in the room.
func (t *toMatrix) other(m *teams.Mention, text string) {
	if m != nil && m.Conversation != nil {
		c := m.Conversation
		if c.Type == "channel" && c.ID == t.env.ChannelID || c.Type == "team" && c.ID == t.m.Channel.TeamID {
			t.out.append(&node{text: textRoom, content: true, mention: &mention{room: true}})
			return
		}
	}
	t.out.text(text)
}

func firstOf(s ...string) string {
	for _, v := range s {
		if v != "" {
			return v
		}
	}
	return ""
}

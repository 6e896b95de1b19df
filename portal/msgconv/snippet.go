package msgconv

import (
	"strconv"
	"strings"

	"maunium.net/go/mautrix/event"

	"teamsbridge/teams"
	"teamsbridge/texts"
)

// SnippetRef is a code snippet of a Teams message, whose code is a hosted
// content of the channel.
type SnippetRef struct {
	URL      string
	Language string
	// Name is the title that its author gave it, or empty.
	Name string
}

// Snippet is the code of a SnippetRef as the caller has read it, or the reason
// why it could not.
type Snippet struct {
	Text string
	// Problem says in a few words why there is no code; empty means there is.
	Problem string
}

// MaxSnippet is the most bytes of a code snippet that are looked at. Of what is
// longer the beginning is shown.
const MaxSnippet = 64 << 10

// maxSnippets is how many code snippets of a message are shown.
const maxSnippets = 20

// Snippets lists the code snippets of a message that are to be read before
// ToMatrix. The one at index 2 becomes the part "code:2".
func Snippets(m teams.Message) []SnippetRef {
	if !m.Deleted.IsZero() || isSystem(m) {
		return nil
	}
	var out []SnippetRef
	for i := range m.Attachments {
		if ref, ok := snippetRef(&m.Attachments[i], m.Channel); ok && len(out) < maxSnippets {
			out = append(out, ref)
		}
	}
	return out
}

// snippetRef reads a code snippet's card. ok is false where its code is not in
// the message's own channel: then it must not be fetched.
func snippetRef(a *teams.Attachment, ch teams.ChannelRef) (ref SnippetRef, ok bool) {
	if cardKind(a.ContentType) != "codesnippet" {
		return SnippetRef{}, false
	}
	card, _ := parseJSON(a.Content)
	ref = SnippetRef{
		URL: strings.TrimSpace(card.str("codeSnippetUrl")), Language: card.name("language"), Name: firstOf(cleanName(a.Name), card.name("name"), card.name("title")),
	}
	return ref, isHosted(ref.URL, ch)
}

// snippet shows a code snippet as a part of its own, and says in the text where
// it was.
func (t *toMatrix) snippet(a *teams.Attachment) {
	ref, ok := snippetRef(a, t.m.Channel)
	switch {
	case !ok && ref.URL == "" && t.hasLoop():
		// What Teams puts beside a Loop component, for old clients.
		return
	case !ok, t.snippets >= maxSnippets:
		t.card(t.env.Texts.Say(texts.CodeSnippet), firstOf(ref.Name, ref.Language))
		return
	}
	number := t.snippets
	t.snippets++
	t.codes = append(t.codes, Part{ID: "code:" + strconv.Itoa(number), Source: ref.URL, Type: event.EventMessage, Content: t.snippetContent(ref)})
	t.out.open("p")
	if holder := t.out.element("em", textSnippet(t.env.Texts, firstOf(ref.Name, ref.Language), number+1)); holder != nil {
		t.holders = append(t.holders, holder)
	}
	t.out.close("p")
}

// snippetContent makes the event of one snippet, with as much of its code as one event
// can take.
func (t *toMatrix) snippetContent(ref SnippetRef) *event.MessageEventContent {
	s, ok := t.env.Snippets[ref.URL]
	if !ok && s.Problem == "" {
		s.Problem = t.env.Texts.Say(texts.NotCopied)
	}
	text := strings.Trim(string(appendClean(nil, s.Text)), "\n")
	if s.Problem != "" || isBlank(text) {
		c := textContentOf(t.saying(func() {
			t.placeholder(textSnippetProblem(t.env.Texts, firstOf(ref.Name, ref.Language), s.Problem), "", "")
		}))
		c.MsgType = event.MsgNotice
		return c
	}
	for most := MaxContentSize; ; most = most * 3 / 4 {
		shown, rest := cutLine(text, most)
		c := textContentOf(t.saying(func() {
			if ref.Name != "" {
				t.out.open("p")
				t.out.element("strong", ref.Name)
				t.out.close("p")
			}
			t.codeText(shown, ref.Language)
			if rest || len(s.Text) >= MaxSnippet {
				t.placeholder(t.env.Texts.Say(texts.CodeCut), "", "")
			}
		}))
		if ContentSize(c) <= MaxContentSize || most < 100 {
			return c
		}
	}
}

// saying returns the tree of what say writes, apart from the message.
func (t *toMatrix) saying(say func()) *node {
	message := t.out
	t.out = newBuilder(forMatrix)
	say()
	root := t.out.finish()
	t.out = message
	tidy(root)
	return root
}

// cutLine returns the beginning of a text, up to the end of a line where there
// is one, and whether something is left.
func cutLine(s string, most int) (shown string, rest bool) {
	if len(s) <= most {
		return s, false
	}
	cut := most
	for cut > 0 && s[cut]&0xc0 == 0x80 {
		cut--
	}
	if line := strings.LastIndexByte(s[:cut], '\n'); line > 0 {
		cut = line
	}
	return s[:cut], true
}

// hasLoop reports whether the message has a Loop component.
func (t *toMatrix) hasLoop() bool {
	for i := range t.m.Attachments {
		if cardKind(t.m.Attachments[i].ContentType) == "fluidembedcard" {
			return true
		}
	}
	return false
}

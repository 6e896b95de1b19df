package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// fromTeamsCase is one kind of content, posted in Teams with a token of its
// own and looked at in the room.
type fromTeamsCase struct {
	name string
	msg  func(o *office) teamstest.Msg
	// html and body must all occur in the Matrix message, in order.
	html, body []string
	// not must not occur in the Matrix HTML.
	not   []string
	check func(o *office, e stack.Entry) error
}

var fromTeamsCases = []fromTeamsCase{
	{name: "plain", msg: text("<p>Just words</p>"), body: []string{"Just words"}},
	{name: "text body", msg: func(*office) teamstest.Msg { return teamstest.Msg{Text: "1 < 2 & <b>not bold</b>"} }, body: []string{"1 < 2 & <b>not bold</b>"}},
	{name: "formatting", msg: text("<p><strong>bold</strong> <em>slanted</em> <s>gone</s> <u>under</u> <code>x := 1</code></p>"),
		html: []string{"<strong>bold</strong>", "<em>slanted</em>", "gone</", "<u>under</u>", "<code>x := 1</code>"}},
	{name: "link", msg: text(`<p>See <a href="https://example.com/a?b=1&amp;c=2" title="t">the page</a></p>`), html: []string{`href="https://example.com/a?b=1&amp;c=2"`, "the page</a>"}},
	{name: "code block", msg: text(`<p>Code:</p><codeblock class="Go"><code>func main() {<br>&nbsp;&nbsp;println("hi")<br>}</code></codeblock>`),
		html: []string{"<pre><code", "func main() {\n", "println(", "}", "</code></pre>"}},
	{name: "quote", msg: text("<blockquote><p>As was said</p></blockquote><p>Yes</p>"), html: []string{"<blockquote>", "As was said", "</blockquote>", "Yes"}},
	{name: "lists", msg: text("<ul><li>one<ol><li>nested</li></ol></li><li>two</li></ul>"), html: []string{"<ul>", "<li>one", "<ol>", "<li>nested</li>", "</ol>", "<li>two</li>", "</ul>"}},
	{name: "table", msg: text("<table><tbody><tr><td>a1</td><td>b1</td></tr><tr><td>a2</td><td>b2</td></tr></tbody></table>"),
		html: []string{"<table>", "<td>a1</td>", "<td>b1</td>", "<td>a2</td>", "<td>b2</td>", "</table>"}},
	{name: "heading", msg: text("<h2>Plan</h2><p>first</p>"), html: []string{"<h2>Plan</h2>", "first"}},
	{name: "mention of a person", msg: func(o *office) teamstest.Msg {
		return teamstest.Msg{HTML: `<p>Hello <at id="0">Ben Okri</at></p>`, Mentions: []teamstest.Mention{{User: o.ben}}}
	}, check: func(o *office, e stack.Entry) error {
		id := o.UserID(stack.Localpart(o.ben))
		if e.Mentions == nil || len(e.Mentions.UserIDs) != 1 || e.Mentions.UserIDs[0] != id || !strings.Contains(e.HTML, "https://matrix.to/#/"+id.String()) {
			return fmt.Errorf("mentions are %+v in %s", e.Mentions, e.HTML)
		}
		return nil
	}},
	{name: "mention split into words", msg: func(o *office) teamstest.Msg {
		return teamstest.Msg{HTML: `<p><at id="0">Ben</at>&nbsp;<at id="1">Okri</at> look</p>`, Mentions: []teamstest.Mention{{User: o.ben, Text: "Ben"}, {User: o.ben, Text: "Okri"}}}
	}, check: func(o *office, e stack.Entry) error {
		if n := strings.Count(e.HTML, "matrix.to"); n != 1 {
			return fmt.Errorf("%d pills in %s", n, e.HTML)
		}
		return nil
	}},
	{name: "mention of the channel", msg: func(o *office) teamstest.Msg {
		return teamstest.Msg{HTML: `<p><at id="0">General</at> please read</p>`, Mentions: []teamstest.Mention{{Channel: o.general}}}
	}, check: roomMention},
	{name: "mention of the team", msg: func(o *office) teamstest.Msg {
		return teamstest.Msg{HTML: `<p><at id="0">Engineering</at> please read</p>`, Mentions: []teamstest.Mention{{Team: o.team}}}
	}, check: roomMention},
	{name: "emoji", msg: text(`<p>Well <emoji id="1f440_eyes" alt="👀" title="Eyes"></emoji> 🎉</p>`), body: []string{"Well 👀 🎉"}},
	{name: "custom emoji", msg: func(*office) teamstest.Msg {
		return teamstest.Msg{HTML: `<p>Go <customemoji id="c1" alt="rocket" source="../hostedContents/rocket/$value"></customemoji> and <customemoji id="c1" alt="rocket" source="../hostedContents/rocket/$value"></customemoji></p>`,
			Images: []teamstest.Image{{Name: "rocket", ContentType: "image/png", Data: picture(8)}}}
	}, body: []string{"Go :rocket: and :rocket:"}, html: []string{`<img data-mx-emoticon="" src="mxc://`, `alt=":rocket:"`, `<img data-mx-emoticon="" src="mxc://`},
		check: func(o *office, e stack.Entry) error {
			_, rest, _ := strings.Cut(e.HTML, `src="`)
			src, _, _ := strings.Cut(rest, `"`)
			return showsPicture(o, src, picture(8))
		}},
	{name: "subject and importance", msg: func(*office) teamstest.Msg {
		return teamstest.Msg{HTML: "<p>The building is closed</p>", Subject: "Snow day", Importance: "urgent"}
	}, body: []string{"Snow day", "The building is closed"}, check: func(_ *office, e stack.Entry) error {
		if !strings.Contains(strings.ToLower(e.Body), "urgent") && !strings.ContainsAny(e.Body, "❗‼🔴") {
			return errors.New("the urgency is not visible: " + e.Body)
		}
		return nil
	}},
	{name: "script", msg: text(`<p>safe<script>alert(1)</script><img src="x" onerror="alert(2)"><a href="javascript:alert(3)">click</a></p>`),
		body: []string{"safe"}, not: []string{"<script", "onerror", "javascript:"}},
	{name: "deep nesting", msg: text(strings.Repeat("<div>", 3000) + "deep inside" + strings.Repeat("</div>", 3000)), body: []string{"deep inside"}},
	{name: "adaptive card", msg: func(*office) teamstest.Msg {
		return teamstest.Msg{HTML: `<attachment id="74d20c7f34aa4a7fb74e2b30004247c5"></attachment>`, Attachments: []teamstest.Attachment{{
			ID: "74d20c7f34aa4a7fb74e2b30004247c5", ContentType: "application/vnd.microsoft.card.adaptive", Content: `{"type":"AdaptiveCard","body":[]}`}}}
	}, check: func(_ *office, e stack.Entry) error {
		if !strings.Contains(strings.ToLower(e.Body), "card") || !strings.Contains(e.HTML+e.Body, "https://teams.microsoft.com/l/message/") {
			return errors.New("no named placeholder with a link: " + e.Body)
		}
		return nil
	}},
	{name: "adaptive card with content", msg: card("application/vnd.microsoft.card.adaptive", `{"type":"AdaptiveCard","body":[
		{"type":"TextBlock","text":"Build **42**","size":"Large"},
		{"type":"FactSet","facts":[{"title":"Branch","value":"main"}]},
		{"type":"Table","rows":[{"cells":[{"items":[{"type":"TextBlock","text":"Host"}]}]},{"cells":[{"items":[{"type":"TextBlock","text":"web-1"}]}]}]},
		{"type":"Image","url":"https://example.com/chart.png","altText":"Chart"},
		{"type":"Input.Text","label":"Comment"}],
		"actions":[{"type":"Action.OpenUrl","title":"Log","url":"https://example.com/log"},{"type":"Action.Submit","title":"Retry"}]}`),
		html: []string{"<h4>Build <strong>42</strong></h4>", "<strong>Branch:</strong> main", "<th>Host</th>", "<td>web-1</td>", `<a href="https://example.com/chart.png">`, "Chart", "Comment", `<a href="https://example.com/log">Log</a>`, "[Retry]", "https://teams.microsoft.com/l/message/"}},
	{name: "hero card", msg: card("application/vnd.microsoft.card.hero", `{"title":"Seattle","subtitle":"Rain","text":"It <b>rains</b>","buttons":[{"type":"openUrl","title":"More","value":"https://example.com/s"}]}`),
		html: []string{"<h4>Seattle</h4>", "Rain", "It <b>rains</b>", `<a href="https://example.com/s">More</a>`}},
	{name: "list card", msg: card("application/vnd.microsoft.teams.card.list", `{"title":"Files","items":[{"type":"resultItem","title":"One","subtitle":"first"}]}`),
		html: []string{"<h4>Files</h4>", "<li>One – first</li>"}},
	{name: "connector card", msg: card("application/vnd.microsoft.teams.card.o365connector", `{"title":"Jenkins","sections":[{"facts":[{"name":"State","value":"red"}]}],"potentialAction":[{"@type":"OpenUri","name":"View","targets":[{"os":"default","uri":"https://example.com/v"}]}]}`),
		html: []string{"<h4>Jenkins</h4>", "<strong>State:</strong> red", `<a href="https://example.com/v">View</a>`}},
	{name: "announcement", msg: card("application/vnd.microsoft.card.announcement", `{"title":"Summer party"}`), html: []string{"<h3>", "Summer party", "</h3>"}},
	{name: "Loop component", msg: card("application/vnd.microsoft.card.fluidEmbedCard", `{"componentUrl":"https://contoso.example/:fl:/x","sourceType":"Compose"}`),
		html: []string{"Loop component", `<a href="https://contoso.example/:fl:/x">`}},
	{name: "unknown card", msg: card("application/vnd.contoso.card.hologram", `{}`), body: []string{"hologram", "https://teams.microsoft.com/l/message/"}},
	{name: "hostile card", msg: card("application/vnd.microsoft.card.adaptive", `{"body":[{"type":"TextBlock","text":"<script>alert(1)</script> [x](javascript:alert(1))"}`+strings.Repeat(`,{"type":"Container","items":[{"type":"Container"}]}`, 300)+`]}`),
		body: []string{"<script>alert(1)</script>"}, not: []string{"<script", `"javascript`}},
	{name: "quoted message", msg: card("messageReference", `{"messageId":"1728422677844","messagePreview":"as was said","messageSender":{"user":{"id":"x","displayName":"Jo Doe"}}}`),
		html: []string{"<blockquote>", "Jo Doe", "https://teams.microsoft.com/l/message/", "1728422677844", "as was said", "</blockquote>"}},
	{name: "forwarded message", msg: card("forwardedMessageReference", `{"originalMessageId":"1727810802267","originalMessageContent":"<p>so <b>be</b> it</p>","originalConversationId":"19:x@unq.gbl.spaces","originalSentDateTime":"2024-10-01T19:26:42.267+00:00","originalMessageSender":{"user":{"displayName":"Jo Doe"}}}`),
		html: []string{"<blockquote>", "Forwarded from Jo Doe", "2024-10-01 19:26 UTC", "so <b>be</b> it", "</blockquote>"}},
	{name: "code snippet", msg: func(*office) teamstest.Msg {
		return teamstest.Msg{HTML: `<attachment id="s1"></attachment>`, Images: []teamstest.Image{{Name: "code", ContentType: "text/plain", Data: []byte("func main() {\n\tprintln(1 < 2)\n}\n")}},
			Attachments: []teamstest.Attachment{{ID: "s1", ContentType: "application/vnd.microsoft.card.codesnippet", Content: `{"language":"Go","codeSnippetUrl":"../hostedContents/code/$value"}`}}}
	}, html: []string{`<pre><code class="language-go">func main() {`, "println(1 &lt; 2)", "}</code></pre>"}},
}

// showsPicture checks that somebody in the room can see a picture.
func showsPicture(o *office, src string, want []byte) error {
	uri, err := id.ParseContentURI(src)
	if err != nil {
		return fmt.Errorf("%q: %w", src, err)
	}
	got, err := o.as(stack.Localpart(o.ben)).DownloadBytes(o.ctx, uri)
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("%d bytes that are not the picture", len(got))
	}
	return err
}

// card is a message that is nothing but an attachment.
func card(contentType, content string) func(*office) teamstest.Msg {
	return func(*office) teamstest.Msg {
		return teamstest.Msg{HTML: `<attachment id="c1"></attachment>`, Attachments: []teamstest.Attachment{{ID: "c1", ContentType: contentType, Content: content}}}
	}
}

func text(html string) func(*office) teamstest.Msg {
	return func(*office) teamstest.Msg { return teamstest.Msg{HTML: html} }
}

func roomMention(_ *office, e stack.Entry) error {
	if e.Mentions == nil || !e.Mentions.Room {
		return fmt.Errorf("not an @room mention: %+v %s", e.Mentions, e.HTML)
	}
	return nil
}

// Every kind of content of this side, all posted at once into one channel.
func TestContentFromTeams(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{})
	o.run()
	ben := o.as(stack.Localpart(o.ben))
	room := o.room(ben, o.general)

	var posted []*teamstest.Message
	for _, c := range fromTeamsCases {
		posted = append(posted, o.general.Post(o.ada, c.msg(o)))
	}
	byID := func(ctx context.Context, m *teamstest.Message) (stack.Entry, error) {
		list, err := o.entries(ctx, ben, room, func(e stack.Entry) bool { return stack.SourceMessage(e) == m.ID })
		if err != nil {
			return stack.Entry{}, err
		}
		if len(list) != 1 {
			return stack.Entry{}, fmt.Errorf("%d messages", len(list))
		}
		return list[0], nil
	}
	for i, c := range fromTeamsCases {
		t.Run(c.name, func(t *testing.T) {
			require.NoError(t, stack.Eventually(o.ctx, testLimit, func(ctx context.Context) error {
				e, err := byID(ctx, posted[i])
				if err != nil {
					return err
				}
				if err := inOrder(e.HTML, c.html); err != nil {
					return err
				}
				if err := inOrder(e.Body, c.body); err != nil {
					return err
				}
				for _, bad := range c.not {
					if strings.Contains(e.HTML, bad) {
						return fmt.Errorf("%q is in %s", bad, e.HTML)
					}
				}
				if state := posted[i].State(); e.At.UnixMilli() != state.Created.UnixMilli() {
					return fmt.Errorf("the timestamp is %s and not %s", e.At, state.Created)
				}
				if c.check != nil {
					return c.check(o, e)
				}
				return nil
			}))
		})
	}
	t.Run("in order", func(t *testing.T) {
		list, err := o.entries(o.ctx, ben, room, func(e stack.Entry) bool { return stack.SourceMessage(e) != "" && e.MsgType == event.MsgText })
		require.NoError(t, err)
		var got, want []string
		for _, e := range list {
			got = append(got, stack.SourceMessage(e))
		}
		for _, m := range posted {
			want = append(want, m.ID)
		}
		require.Equal(t, want, got)
	})
}

func inOrder(text string, parts []string) error {
	rest := text
	for _, p := range parts {
		_, after, ok := strings.Cut(rest, p)
		if !ok {
			return fmt.Errorf("%q is not (in this place) in %q", p, text)
		}
		rest = after
	}
	return nil
}

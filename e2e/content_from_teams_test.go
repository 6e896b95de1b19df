package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
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
	// events is how many events the message becomes, 0 for one; check and what
	// must occur are about the first.
	events int
}

// fromTeamsCases is every kind that docs/content.md has and that one channel can
// show; the tables there name these cases.
var fromTeamsCases = slices.Concat(bodyCases, cardCases)

var bodyCases = []fromTeamsCase{
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
	{name: "heading and rule", msg: text("<h2>Plan</h2><hr><p>first</p>"), html: []string{"<h2>Plan</h2>", "<hr>", "first"}},
	{name: "paragraphs", msg: text("<p>one</p><p>&nbsp;</p><p>two</p>"), body: []string{"one\n\ntwo"}},
	{name: "colours and fonts", msg: text(`<p>so <span style="color:red; font-family:Arial"><font face="x" color="red">red</font></span></p>`), body: []string{"so red"}, html: []string{`<span data-mx-color="#ff0000">red</span>`}, not: []string{"font", "style"}},
	{name: "right to left", msg: text(`<p dir="rtl">شكرا 日本</p>`), body: []string{"شكرا 日本"}},
	{name: "long text", msg: text("<p>" + strings.Repeat("A rather long line of words. ", 1500) + "</p>"), body: []string{"A rather long line"}, events: 2},
	{name: "nothing", msg: text(""), body: []string{"without visible content", "https://teams.microsoft.com/l/message/"}},
	{name: "mention of a person", msg: func(o *office) teamstest.Msg {
		return teamstest.Msg{HTML: `<p>Hello <at id="0">Ben Okri</at></p>`, Mentions: []teamstest.Mention{{User: o.ben}}}
	}, check: mentionsBen},
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
	{name: "mention of somebody without an account", msg: func(o *office) teamstest.Msg {
		stranger := o.Tenant.AddUser(teamstest.UserSpec{DisplayName: "Sam Stranger"})
		return teamstest.Msg{HTML: `<p>Ask <at id="0">Sam Stranger</at></p>`, Mentions: []teamstest.Mention{{User: stranger}}}
	}, body: []string{"Ask Sam Stranger"}, check: noMention},
	{name: "mention of another channel", msg: func(o *office) teamstest.Msg {
		other := o.team.AddChannel(teamstest.ChannelSpec{DisplayName: "Sales"})
		return teamstest.Msg{HTML: `<p>See <at id="0">Sales</at></p>`, Mentions: []teamstest.Mention{{Channel: other}}}
	}, body: []string{"See Sales"}, check: noMention},
	{name: "typed @room", msg: text("<p>@room is only typed</p>"), body: []string{"room is only typed"}, check: noMention},
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
	{name: "GIF", msg: func(*office) teamstest.Msg {
		return teamstest.Msg{HTML: `<p><img src="../hostedContents/dance/$value" alt="Happy dance (GIF Image)"></p>`, Images: []teamstest.Image{{Name: "dance", ContentType: "image/gif", Data: animation}}}
	}, body: []string{"Happy dance"}, check: func(o *office, e stack.Entry) error {
		if info, _ := e.Raw["info"].(map[string]any); e.MsgType != event.MsgImage || info["mimetype"] != "image/gif" {
			return fmt.Errorf("no GIF but %s %v", e.MsgType, info)
		}
		return showsPicture(o, string(e.URL), animation)
	}},
	{name: "GIF of another host", msg: text(`<p>so: <img src="https://media.giphy.com/media/x/giphy.gif" alt="Cat (GIF Image)"></p>`), html: []string{"so: ", `<a href="https://media.giphy.com/media/x/giphy.gif">Cat (GIF Image)</a>`}},
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
	{name: "quoted message", msg: card("messageReference", `{"messageId":"1728422677844","messagePreview":"as was said","messageSender":{"user":{"id":"x","displayName":"Jo Doe"}}}`),
		html: []string{"<blockquote>", "Jo Doe", "https://teams.microsoft.com/l/message/", "1728422677844", "as was said", "</blockquote>"}},
	{name: "forwarded message", msg: card("forwardedMessageReference", `{"originalMessageId":"1727810802267","originalMessageContent":"<p>so <b>be</b> it</p>","originalConversationId":"19:x@unq.gbl.spaces","originalSentDateTime":"2024-10-01T19:26:42.267+00:00","originalMessageSender":{"user":{"displayName":"Jo Doe"}}}`),
		html: []string{"<blockquote>", "Forwarded from Jo Doe", "2024-10-01 19:26 UTC", "so <b>be</b> it", "</blockquote>"}},
	{name: "code snippet", msg: func(*office) teamstest.Msg {
		return teamstest.Msg{HTML: `<attachment id="s1"></attachment>`, Images: []teamstest.Image{{Name: "code", ContentType: "text/plain", Data: []byte("func main() {\n\tprintln(1 < 2)\n}\n")}},
			Attachments: []teamstest.Attachment{{ID: "s1", ContentType: "application/vnd.microsoft.card.codesnippet", Content: `{"language":"Go","codeSnippetUrl":"../hostedContents/code/$value"}`}}}
	}, html: []string{`<pre><code class="language-go">func main() {`, "println(1 &lt; 2)", "}</code></pre>"}},
}

// animation is a whole GIF of one point.
var animation = []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;")

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

func text(html string) func(*office) teamstest.Msg {
	return func(*office) teamstest.Msg { return teamstest.Msg{HTML: html} }
}

func noMention(_ *office, e stack.Entry) error {
	if e.Mentions != nil && (e.Mentions.Room || len(e.Mentions.UserIDs) > 0) {
		return fmt.Errorf("it mentions %+v: %s", e.Mentions, e.HTML)
	}
	return nil
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
	byID := func(ctx context.Context, m *teamstest.Message, events int) (stack.Entry, error) {
		list, err := o.entries(ctx, ben, room, func(e stack.Entry) bool { return stack.SourceMessage(e) == m.ID })
		if err != nil {
			return stack.Entry{}, err
		}
		if len(list) != max(1, events) {
			return stack.Entry{}, fmt.Errorf("%d events", len(list))
		}
		return list[0], nil
	}
	for i, c := range fromTeamsCases {
		t.Run(c.name, func(t *testing.T) {
			require.NoError(t, stack.Eventually(o.ctx, testLimit, func(ctx context.Context) error {
				e, err := byID(ctx, posted[i], c.events)
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
		list, err := o.entries(o.ctx, ben, room, func(e stack.Entry) bool { return stack.SourceMessage(e) != "" && !o.isBot(e.Sender) })
		require.NoError(t, err)
		var got, want []string
		for _, e := range list {
			got = append(got, stack.SourceMessage(e))
		}
		for _, m := range posted {
			want = append(want, m.ID)
		}
		require.Equal(t, want, slices.Compact(got))
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

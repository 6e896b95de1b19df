package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/format"
	"maunium.net/go/mautrix/id"

	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// fromMatrixCase is one kind of content, sent in the room and looked at in Teams.
type fromMatrixCase struct {
	name    string
	content func(o *office) *event.MessageEventContent
	// html must occur in the Teams message, in order; not must not.
	html, not []string
	check     func(o *office, m teamstest.MessageState) error
}

func markup(html string) func(*office) *event.MessageEventContent {
	return func(*office) *event.MessageEventContent {
		return &event.MessageEventContent{MsgType: event.MsgText, Body: format.HTMLToText(html), Format: event.FormatHTML, FormattedBody: html}
	}
}

func plain(body string) func(*office) *event.MessageEventContent {
	return func(*office) *event.MessageEventContent {
		return &event.MessageEventContent{MsgType: event.MsgText, Body: body}
	}
}

var fromMatrixCases = []fromMatrixCase{
	{name: "plain", content: plain("Just words"), html: []string{"Just words"}},
	{name: "plain with angle brackets and lines", content: plain("1 < 2 & <b>not bold</b>\nsecond line"), html: []string{"1 &lt; 2 &amp; &lt;b&gt;not bold&lt;/b&gt;", "<br", "second line"}},
	{name: "formatting", content: markup("<strong>bold</strong> <em>slanted</em> <del>gone</del> <u>under</u> <code>x := 1</code> H<sub>2</sub>O x<sup>2</sup>"),
		html: []string{"bold</", "slanted</", "gone</", "under</", "<code>x := 1</code>", "H₂O x²"}},
	{name: "link", content: markup(`See <a href="https://example.com/a?b=1&amp;c=2">the page</a>`), html: []string{`href="https://example.com/a?b=1&amp;c=2"`, "the page</a>"}},
	{name: "code block", content: markup("<pre><code class=\"language-go\">func main() {\n  println(1)\n}</code></pre>"), html: []string{"func main() {", "println(1)", "}"}},
	{name: "quote", content: markup("<blockquote><p>As was said</p></blockquote><p>Yes</p>"), html: []string{"<blockquote>", "As was said", "</blockquote>", "Yes"}},
	{name: "lists", content: markup("<ul><li>one<ol><li>nested</li></ol></li><li>two</li></ul>"), html: []string{"<ul>", "<li>one", "<ol>", "<li>nested</li>", "<li>two</li>"}},
	{name: "table", content: markup("<table><thead><tr><th>h</th></tr></thead><tbody><tr><td>a1</td></tr></tbody></table>"), html: []string{"<table", "h</", "a1</td>", "</table>"}},
	{name: "mention of a person", content: func(o *office) *event.MessageEventContent {
		cleo := o.UserID(stack.Localpart(o.cleo))
		return &event.MessageEventContent{MsgType: event.MsgText, Body: "Cleo: hello", Format: event.FormatHTML,
			FormattedBody: fmt.Sprintf(`<a href="%s">Cleo</a>: hello`, cleo.URI().MatrixToURL()), Mentions: &event.Mentions{UserIDs: []id.UserID{cleo}}}
	}, check: func(o *office, m teamstest.MessageState) error {
		if len(m.Mentions) != 1 || m.Mentions[0].UserID != o.cleo.ID || !strings.Contains(m.Content, "<at id=") {
			return fmt.Errorf("mentions are %+v in %s", m.Mentions, m.Content)
		}
		return nil
	}},
	{name: "@room", content: func(*office) *event.MessageEventContent {
		return &event.MessageEventContent{MsgType: event.MsgText, Body: "@room please read", Mentions: &event.Mentions{Room: true}}
	}, html: []string{"please read"}, check: func(o *office, m teamstest.MessageState) error {
		// Ada has the power level for it, Ben has not.
		switch may := m.From.ID == o.ada.ID; {
		case may && (len(m.Mentions) != 1 || m.Mentions[0].ConversationID != o.general.ID || !strings.Contains(m.Content, ">General</at>")),
			!may && (len(m.Mentions) != 0 || !strings.Contains(m.Content, "@room please read")):
			return fmt.Errorf("mentions are %+v in %s", m.Mentions, m.Content)
		}
		return nil
	}},
	{name: "@room that is only typed", content: plain("@room is only typed"), html: []string{"@room is only typed"}, check: mentionsNobody},
	{name: "pill that the event does not list", content: func(o *office) *event.MessageEventContent {
		return &event.MessageEventContent{MsgType: event.MsgText, Body: "Cleo was here", Format: event.FormatHTML, Mentions: &event.Mentions{},
			FormattedBody: fmt.Sprintf(`<a href="%s">Cleo</a> was here`, o.UserID(stack.Localpart(o.cleo)).URI().MatrixToURL())}
	}, html: []string{"Cleo was here"}, check: mentionsNobody},
	{name: "mention of a stranger", content: func(*office) *event.MessageEventContent {
		return &event.MessageEventContent{MsgType: event.MsgText, Body: "Stranger: hi", Format: event.FormatHTML, Mentions: &event.Mentions{UserIDs: []id.UserID{"@stranger:elsewhere.example"}},
			FormattedBody: `<a href="https://matrix.to/#/@stranger:elsewhere.example">Stranger</a>: hi`}
	}, html: []string{"Stranger: hi"}, check: mentionsNobody},
	{name: "headings and rule", content: markup("<h2>Plan</h2><hr><p>first</p>"), html: []string{"<h2>Plan</h2>", "<hr>", "first"}},
	{name: "definition list", content: markup("<dl><dt>Term</dt><dd>Meaning</dd></dl>"), html: []string{"Term</div>", "<div>Meaning</div>"}, not: []string{"<dl", "<dt"}},
	{name: "colours", content: markup(`<font color="#ff0000">red</font> <span data-mx-color="#00ff00" data-mx-bg-color="#000">green</span>`), html: []string{`<span style="color:#ff0000">red</span>`, `<span style="color:#00ff00">green</span>`}, not: []string{"data-mx", "#000\""}},
	{name: "right to left", content: markup("<p>שלום <strong>עולם</strong></p><p>日本語</p>"), html: []string{"שלום <strong>עולם</strong>", "日本語"}},
	{name: "image in the text", content: markup(`see <img src="mxc://example.org/x" alt="the plan">`), html: []string{"see <a href=", ">[image: the plan]</a>"}, not: []string{"<img"}},
	{name: "custom emoji", content: markup(`hi <img data-mx-emoticon src="mxc://example.org/x" alt=":rocket:" height="32">`), html: []string{"hi :rocket:"}, not: []string{"<img"}},
	{name: "notice", content: func(*office) *event.MessageEventContent {
		return &event.MessageEventContent{MsgType: event.MsgNotice, Body: "Build done"}
	}, html: []string{"Build done"}},
	{name: "unknown kind", content: func(*office) *event.MessageEventContent {
		return &event.MessageEventContent{MsgType: "org.example.new", Body: "Text of it"}
	}, html: []string{"Text of it"}},
	{name: "emote", content: func(*office) *event.MessageEventContent {
		return &event.MessageEventContent{MsgType: event.MsgEmote, Body: "waves"}
	}, html: []string{"waves"}},
	{name: "script", content: markup(`safe<script>alert(1)</script><img src="https://evil.example/x.png" onerror="alert(2)"><a href="javascript:alert(3)">click</a>`),
		html: []string{"safe"}, not: []string{"<script", "onerror", "javascript:"}},
	{name: "file that is not there", content: func(o *office) *event.MessageEventContent {
		return &event.MessageEventContent{MsgType: event.MsgFile, Body: "report.pdf", URL: id.ContentURIString("mxc://" + o.Homeserver.ServerName() + "/abc"), Info: &event.FileInfo{MimeType: "application/pdf", Size: 2 << 20}}
	}, html: []string{"report.pdf"}, check: func(_ *office, m teamstest.MessageState) error {
		if !strings.Contains(m.Content, "https://matrix.to/") {
			return errors.New("no link to the message: " + m.Content)
		}
		return nil
	}},
	{name: "task list", content: markup(`<ul><li><input type="checkbox" disabled checked>done</li><li><input type="checkbox" disabled>to do</li></ul>`), html: []string{"☑", "done", "☐", "to do"}, not: []string{"<input"}},
	{name: "formula", content: markup(`so <span data-mx-maths="x^2"></span>`), html: []string{"so", "<code>x^2</code>"}},
	{name: "spoiler and details", content: markup(`<span data-mx-spoiler="end">the butler</span><details><summary>Log</summary>lines</details>`), html: []string{"[spoiler: end]", "the butler", "Log", "lines"}},
	{name: "location", content: func(*office) *event.MessageEventContent {
		return &event.MessageEventContent{MsgType: event.MsgLocation, Body: "Town hall", GeoURI: "geo:52.52,13.405"}
	}, html: []string{"Town hall", "https://www.openstreetmap.org/?mlat=52.52"}},
	{name: "profile of one message", content: func(*office) *event.MessageEventContent {
		return &event.MessageEventContent{MsgType: event.MsgText, Body: "Kim: over here",
			BeeperPerMessageProfile: &event.BeeperPerMessageProfile{ID: "kim", Displayname: "Kim", HasFallback: true}}
	}, html: []string{"Kim", "over here"}, not: []string{"Kim: over", "Kim</b>: Kim"}},
}

func mentionsNobody(_ *office, m teamstest.MessageState) error {
	if len(m.Mentions) != 0 || strings.Contains(m.Content, "<at") {
		return fmt.Errorf("mentions are %+v in %s", m.Mentions, m.Content)
	}
	return nil
}

// signIn signs a person in with the bot by device code, as the bot tells.
func (o *office) signIn(u *teamstest.User, command string) {
	o.t.Helper()
	cli := o.as(stack.Localpart(u))
	if strings.HasPrefix(command, "relay") {
		cli = o.Admin
	}
	o.signInAt(o.bot(cli), u, command)
}

// signInAt is signIn in a chat with the bot that is there already.
func (o *office) signInAt(bot *manage, u *teamstest.User, command string) {
	o.t.Helper()
	bot.send(command)
	o.within(2*time.Minute, "a device code", func(ctx context.Context) error {
		for _, p := range o.Tenant.PendingDevices() {
			return o.Tenant.ApproveDevice(p.UserCode, u)
		}
		return errors.New("no device sign-in is pending; the bot said: " + bot.last(ctx))
	})
	bot.waitFor("signed in", "logged in", u.UPN()+"** is now in the relay pool")
}

// runRelayed starts the bridge with the staff registered, an account in the
// relay pool, and some people signed in as themselves.
func (o *office) runRelayed(own ...*teamstest.User) (relay *teamstest.User) {
	o.t.Helper()
	relay = o.Tenant.AddUser(teamstest.UserSpec{DisplayName: "Matrix Relay"})
	o.team.AddMember(o.ada, relay)
	require.NoError(o.t, o.RegisterStaff(o.ctx))
	o.run()
	o.signIn(relay, "relay login")
	for _, u := range own {
		o.signIn(u, "login")
	}
	return relay
}

// Every kind of content of this side, sent by one person with a sign-in of her
// own and by one through the relay.
func TestContentFromMatrix(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{Settings: map[string]any{"bridge": map[string]any{"bridge_notices": true}}})
	relay := o.runRelayed(o.ada)
	ada := o.as(stack.Localpart(o.ada))
	notifiers := o.room(ada, o.general)
	bot := o.application("registration.yaml", o.UserID("teamsbot"))
	var levels event.PowerLevelsEventContent
	require.NoError(t, bot.StateEvent(o.ctx, notifiers, event.StatePowerLevels, "", &levels))
	if levels.GetUserLevel(ada.UserID) < levels.Notifications.Room() {
		levels.SetUserLevel(ada.UserID, levels.Notifications.Room())
		_, err := bot.SendStateEvent(o.ctx, notifiers, event.StatePowerLevels, "", &levels)
		require.NoError(t, err)
	}

	for _, sender := range []*teamstest.User{o.ada, o.ben} {
		own := sender == o.ada
		t.Run(map[bool]string{true: "own sign-in", false: "relay"}[own], func(t *testing.T) {
			cli := o.as(stack.Localpart(sender))
			room := o.room(cli, o.general)
			before := len(o.general.Messages())
			for _, c := range fromMatrixCases {
				_, err := cli.SendMessageEvent(o.ctx, room, event.EventMessage, c.content(o))
				require.NoError(t, err)
			}
			var got []teamstest.MessageState
			require.NoError(t, stack.Eventually(o.ctx, testLimit, func(context.Context) error {
				if got = o.general.Messages()[before:]; len(got) != len(fromMatrixCases) {
					return fmt.Errorf("%d of %d messages arrived", len(got), len(fromMatrixCases))
				}
				return nil
			}))
			for i, c := range fromMatrixCases {
				t.Run(c.name, func(t *testing.T) {
					m := got[i]
					require.NoError(t, inOrder(m.Content, c.html))
					for _, bad := range c.not {
						require.NotContains(t, m.Content, bad)
					}
					if own {
						require.Equal(t, o.ada.ID, m.From.ID)
						require.NotContains(t, m.Content, "Ada Lovelace")
					} else {
						require.Equal(t, relay.ID, m.From.ID)
						require.Contains(t, m.Content, "Ben Okri")
					}
					if c.check != nil {
						require.NoError(t, c.check(o, m))
					}
				})
			}
		})
	}
	t.Run("no echo", func(t *testing.T) {
		// A marker from the other side comes behind every echo there could be.
		o.general.Post(o.cleo, teamstest.Msg{HTML: "<p>the end</p>"})
		ben := o.as(stack.Localpart(o.ben))
		room := o.room(ben, o.general)
		o.find(ben, room, "the end", nil)
		list, err := o.entries(o.ctx, ben, room, func(e stack.Entry) bool { return !o.isBot(e.Sender) })
		require.NoError(t, err)
		require.Len(t, list, 2*len(fromMatrixCases)+1)
	})
}

// agree waits until the channel and its room say the same.
func (o *office) agree(channels ...*teamstest.Channel) {
	o.t.Helper()
	o.agreeBut(func(string) bool { return false }, channels...)
}

// agreeAfterAKill does so after the bridge was killed under the homeserver's
// hands: Synapse sends a transaction that was cut by that seconds later, behind
// newer ones, so that the order of those is not ours to keep.
func (o *office) agreeAfterAKill(channels ...*teamstest.Channel) {
	o.t.Helper()
	o.agreeBut(func(difference string) bool {
		return stackIsSynapse() && strings.HasPrefix(difference, "out of order in the room") && strings.Contains(difference, "frommatrix")
	}, channels...)
}

func (o *office) agreeBut(excused func(difference string) bool, channels ...*teamstest.Channel) {
	o.t.Helper()
	for _, ch := range channels {
		cli := o.as(stack.Localpart(o.ada))
		room := o.room(cli, ch)
		o.within(2*testLimit, "agreement about "+ch.DisplayName(), func(ctx context.Context) error {
			entries, err := stack.Timeline(ctx, cli, room)
			if err != nil {
				return err
			}
			a := stack.Compare(ch.Messages(), entries, o.isBot)
			if differences := slices.DeleteFunc(a.Differences, excused); len(differences) > 0 {
				return errors.New(strings.Join(differences, "\n"))
			}
			return nil
		})
	}
}

func (o *office) isBot(user id.UserID) bool { return user == o.UserID("teamsbot") }

// manage is a person's direct chat with the bot.
type manage struct {
	e    *env
	cli  *mautrix.Client
	room id.RoomID
}

// bot returns a person's direct chat with the bot. There is one for each,
// because only the first is the management room, where no prefix is needed.
func (e *env) bot(cli *mautrix.Client) *manage {
	e.t.Helper()
	if m := e.chats[cli.UserID]; m != nil {
		return m
	}
	botID := e.UserID("teamsbot")
	created, err := cli.CreateRoom(e.ctx, &mautrix.ReqCreateRoom{Preset: "trusted_private_chat", IsDirect: true, Invite: []id.UserID{botID}})
	require.NoError(e.t, err)
	m := &manage{e: e, cli: cli, room: created.RoomID}
	e.chats[cli.UserID] = m
	e.until("the bot in its room", func(ctx context.Context) error {
		members, err := cli.JoinedMembers(ctx, m.room)
		if err != nil {
			return err
		}
		if _, ok := members.Joined[botID]; !ok {
			return errors.New("the bot has not joined")
		}
		return nil
	})
	return m
}

func (m *manage) send(text string) {
	m.e.t.Helper()
	_, err := m.cli.SendText(m.e.ctx, m.room, text)
	require.NoError(m.e.t, err)
}

// last is everything that the bot said in the room, newest last.
func (m *manage) last(ctx context.Context) string {
	entries, err := stack.Timeline(ctx, m.cli, m.room)
	if err != nil {
		return err.Error()
	}
	var said []string
	for _, e := range entries {
		if e.Sender != m.cli.UserID && !e.Redacted {
			said = append(said, e.Body)
		}
	}
	return strings.Join(said, "\n---\n")
}

// waitFor waits until the bot has said one of the words and returns all it said.
func (m *manage) waitFor(words ...string) string {
	m.e.t.Helper()
	var said string
	m.e.until("the bot's answer", func(ctx context.Context) error {
		said = m.last(ctx)
		for _, w := range words {
			if strings.Contains(strings.ToLower(said), strings.ToLower(w)) {
				return nil
			}
		}
		return fmt.Errorf("it said: %s", said)
	})
	return said
}

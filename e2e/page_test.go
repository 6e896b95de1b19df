package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"

	"teamsbridge/internal/demopage"
	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// pageTest is the demo's organisation with its page in a browser.
type pageTest struct {
	*office
	b             *browser
	page          *demopage.Page
	teams, matrix side
}

// newPage starts what cmd/demo starts, and opens the page at the channel
// General of the team Engineering.
func newPage(t *testing.T) *pageTest {
	t.Helper()
	program := chromium(t)
	settings, metrics, err := demopage.BridgeSettings()
	require.NoError(t, err)
	// One team is enough, and there sooner than three.
	settings["network"].(map[string]any)["teams"] = map[string]any{"include": []string{"Engineering"}}
	o := &office{env: start(t, stack.Options{Settings: settings})}
	org := o.Tenant.SeedDemo()
	o.team, o.general = org.Engineering, org.Engineering.General()
	members := o.general.Members()
	o.ada, o.ben, o.cleo = members[0], members[1], members[2]
	relay := o.Tenant.AddUser(teamstest.UserSpec{DisplayName: "Matrix Relay"})
	o.team.AddMember(o.ada, relay)
	require.NoError(t, o.RegisterStaff(o.ctx))
	require.NoError(t, o.NameStaff(o.ctx))
	o.run()
	o.room(o.as(stack.Localpart(o.ada)), o.general)
	o.signIn(relay, "relay login")
	o.signIn(o.ada, "login")
	page, err := demopage.Start(demopage.Options{Stack: o.Stack, Relay: relay, SignedIn: []*teamstest.User{o.ada}, Metrics: metrics})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, page.Close()) })

	p := &pageTest{office: o, page: page, b: openBrowser(t, program)}
	p.teams, p.matrix = side{p.b, "teams"}, side{p.b, "matrix"}
	channel := fmt.Sprintf(`//nav//section[h2="Engineering"]//button[@data-channel=%q]`, o.general.ID)
	p.b.do("open the page", chromedp.Navigate(page.URL()), chromedp.Click(channel))
	for _, s := range []side{p.teams, p.matrix} {
		s.shows("day of the deploy", "m.classList.contains('reply')")
		s.shows("CREATE INDEX", "m.querySelector('pre code')")
	}
	// A picture stands in Teams' message, and is an event of its own in Matrix.
	p.teams.shows("Query times after", "m.querySelector('img')?.naturalWidth > 0")
	p.matrix.shows("bar chart", "m.querySelector('img')?.naturalWidth > 0")
	return p
}

// The page of cmd/demo in a real browser: each thing that it offers is done on
// one side and seen on the other.
func TestPage(t *testing.T) {
	began := time.Now()
	p := newPage(t)
	t.Logf("ready after %s", time.Since(began).Round(time.Second))
	defer func() { t.Logf("done after %s", time.Since(began).Round(time.Second)) }()
	ada, ben := p.ada.DisplayName(), p.ben.DisplayName()
	b, teams, matrix := p.b, p.teams, p.matrix

	p.edits()
	t.Log("posts, both ways, with subject and formatting")
	b.do("write a subject", chromedp.SendKeys(teams.in(`[data-part="subject"]`), "Release party"),
		chromedp.SendKeys(teams.in("textarea"), "We meet "), chromedp.Click(teams.in(`[data-format="bold"]`)), chromedp.KeyEvent("at five"), chromedp.Click(teams.in(".send")))
	matrix.shows("Release party", fmt.Sprintf("m.querySelector('strong, b') && m.querySelector('.who').textContent === %q && m.innerHTML.includes('at five</strong>')", ada))
	matrix.as(ben)
	matrix.say("Who brings the *music*? See [the list](https://contoso.example/list)")
	teams.shows("Who brings the", fmt.Sprintf("m.querySelector('em, i') && m.querySelector('a').href === 'https://contoso.example/list' && m.textContent.includes(%q) && m.textContent.includes('bridge')", ben))

	t.Log("threads, both ways")
	matrix.as(ada)
	matrix.press("Release party", `[@data-do="reply"]`)
	matrix.say("I will be there")
	teams.shows("I will be there", fmt.Sprintf("m.classList.contains('reply') && m.querySelector('.who').textContent === %q", ada))
	teams.as(ben)
	teams.press("Who brings the", `[@data-do="reply"]`)
	teams.say("The usual suspects")
	matrix.shows("The usual suspects", fmt.Sprintf("m.classList.contains('reply') && m.querySelector('.who').textContent === %q", ben))

	p.reactions()
	p.files()
	b.until("nobody is told of trouble", "document.querySelector('#said').textContent === ''")
	p.quietShot("desktop")
	b.scheme("dark")
	b.shot("desktop-dark")
	b.scheme("light")
	p.outage()
	p.sanitised()
	p.membership()
	p.byKeyboard()
	p.named()
	p.legible()
	require.Empty(t, b.said(), "the page's console")
}

// quietShot takes a picture when nothing is under way any more.
func (p *pageTest) quietShot(name string) {
	p.t.Helper()
	p.b.until("nothing waits", "document.querySelector('#waiting').textContent === '0' && document.getAnimations().length === 0")
	p.b.shot(name)
}

func (p *pageTest) reactions() {
	p.t.Log("reactions, both ways, and back")
	chip := func(emoji, pressed string) string {
		return fmt.Sprintf("[...m.querySelectorAll('.chip')].some(c => c.textContent.includes(%q) && c.getAttribute('aria-pressed') === %q)", emoji, pressed)
	}
	p.teams.press("Release party", `[@data-do="picker"]`)
	p.teams.press("Release party", `[@data-key="🎉"]`)
	p.matrix.shows("Release party", chip("🎉", "false"))
	p.matrix.press("Who brings the", `[@data-do="picker"]`)
	p.matrix.press("Who brings the", `[@data-key="👀"]`)
	p.teams.shows("Who brings the", chip("👀", "false"))
	p.matrix.press("Who brings the", `[@data-do="unreact"]`)
	p.teams.shows("Who brings the", "!m.querySelector('.chip')")
}

func (p *pageTest) edits() {
	p.t.Log("edits and deletions, both ways")
	for i, s := range []side{p.teams, p.matrix} {
		other := []side{p.matrix, p.teams}[i]
		s.as(p.ada.DisplayName())
		first, second := fmt.Sprintf("draft %d", i), fmt.Sprintf("final %d", i)
		s.say(first)
		other.shows(first, "true")
		s.press(first, `[@data-do="edit"]`)
		p.b.until("the text is there to be changed", fmt.Sprintf("document.querySelector(%q).value === %q", s.in("textarea"), first))
		value[bool](p.b, fmt.Sprintf("(document.querySelector(%q).select(), true)", s.in("textarea")))
		p.b.do("empty it", chromedp.KeyEvent("\b"))
		s.say(second)
		other.shows(second, "m.querySelector('.edited')")
		s.press(second, `[@data-do="delete"]`)
		other.lacks(second)
	}
}

func (p *pageTest) files() {
	p.t.Log("files, both ways")
	dir := p.t.TempDir()
	picture, notes := filepath.Join(dir, "latency.png"), filepath.Join(dir, "notes.txt")
	require.NoError(p.t, os.WriteFile(picture, teamstest.PNG(teamstest.Chart([]int{9, 7, 8, 5, 4, 3}, 240, 120)), 0o600))
	require.NoError(p.t, os.WriteFile(notes, []byte("what we agreed on\n"), 0o600))
	p.b.do("choose a picture", chromedp.SetUploadFiles(p.teams.in(`[data-part="file"]`), []string{picture}))
	p.teams.say("Before and after")
	p.matrix.shows("latency.png", "m.querySelector('img').naturalWidth === 240")
	p.b.do("choose a file", chromedp.SetUploadFiles(p.matrix.in(`[data-part="file"]`), []string{notes}))
	p.matrix.say("The minutes")
	p.teams.shows("notes.txt", "m.querySelector('.files a')")
	got := value[string](p.b, fmt.Sprintf("fetch(%s.querySelector('.files a').href).then(r => r.text())", p.teams.find("notes.txt")))
	require.Equal(p.t, "what we agreed on\n", got)
}

// sanitised sends what must not come through: the page shows the text of it.
func (p *pageTest) sanitised() {
	p.t.Log("nothing of a message acts in the page")
	cli := p.as(stack.Localpart(p.ben))
	const attack = `harmless <b onmouseover="window.harm=1" style="position:fixed">words</b><script>window.harm=2</script>` +
		`<img src="x" onerror="window.harm=3"><a href="javascript:window.harm=4">link</a><iframe src="/"></iframe>` +
		`<svg onload="window.harm=5"></svg><form action="/"><button>go</button></form>`
	_, err := cli.SendMessageEvent(p.ctx, p.room(cli, p.general), event.EventMessage, &event.MessageEventContent{
		MsgType: event.MsgText, Body: "harmless words", Format: event.FormatHTML, FormattedBody: attack,
	})
	require.NoError(p.t, err)
	for _, s := range []side{p.matrix, p.teams} {
		s.shows("harmless", "!m.querySelector('script, iframe, svg, form, .body img, .body a, .body button, .body [style], [onmouseover]')")
	}
	require.False(p.t, value[bool](p.b, "'harm' in window"))
}

// membership takes somebody out of the team and back in, as an owner does.
func (p *pageTest) membership() {
	p.t.Log("who is in the channel is in the room")
	b, name := p.b, "Elias Grönroos"
	listed := func(s side) string {
		return fmt.Sprintf("[...document.querySelectorAll(%q)].some(m => m.textContent.startsWith(%q))", s.in(`[data-part="members"] li`), name)
	}
	b.until("they are in the room", listed(p.matrix))
	b.do("open the list", chromedp.Click(p.teams.in(".members summary")), chromedp.Click(fmt.Sprintf(`//button[@aria-label="Remove %s"]`, name)))
	b.until("they have left the channel", "!"+listed(p.teams))
	b.until("they have left the room", "!"+listed(p.matrix))
	b.do("add them again", chromedp.SendKeys(p.teams.in(`[data-part="add"] select`), name), chromedp.Click(p.teams.in(`[data-part="add"] button`)))
	b.until("they are in the room again", listed(p.matrix))
	b.shot("members")
	b.do("look how to sign in", chromedp.Click(chromedp.CSS("#signin summary")))
	b.until("a client could", fmt.Sprintf("document.querySelector('#signin').textContent.includes(%q)", p.Homeserver.URL()))
	b.shot("signin")
}

func (p *pageTest) outage() {
	p.t.Log("an outage: what is said in Matrix waits, and is seen to")
	b := p.b
	sent := value[int](b, "Number(document.querySelector('#sent').textContent)")
	p.matrix.as(p.ben.DisplayName())
	b.do("turn to the switch by Tab", chromedp.Click(chromedp.CSS(".bar h1")))
	b.tab("#outage")
	b.key(" ")
	b.until("the switch is on", "document.querySelector('#outage').getAttribute('aria-checked') === 'true'")
	b.until("Teams does not answer", fmt.Sprintf("document.querySelector(%q).textContent.includes('503')", p.teams.in(`[data-part="trouble"]`)))
	b.until("nobody can write there", fmt.Sprintf("document.querySelector(%q).disabled", p.teams.in("textarea")))
	lines := []string{"Teams is down, let us go on here", "The hotline knows", "I call the data centre", "They have a power failure"}
	for i, line := range lines {
		if i == 1 {
			p.matrix.as(p.ada.DisplayName())
		}
		p.matrix.say(line)
		p.matrix.shows(line, "true")
	}
	b.until("all of it waits", fmt.Sprintf("Number(document.querySelector('#waiting').textContent) >= %d", len(lines)))
	b.until("the bridge noticed", "document.querySelector('#graph-state').textContent === 'Teams unreachable'")
	p.teams.lacks(lines[0])
	b.shot("desktop-outage")
	b.size(390, 844)
	b.until("one side at a time", fmt.Sprintf("!document.querySelector(%q).checkVisibility()", p.matrix.in(".messages")))
	b.shot("phone-teams-outage")
	b.do("turn to Matrix", chromedp.Tap(chromedp.CSS(`[data-show="matrix"]`)))
	b.until("the other side", fmt.Sprintf("document.querySelector(%q).checkVisibility() && !document.querySelector(%q).checkVisibility()", p.matrix.in(".messages"), p.teams.in(".messages")))
	b.do("touch a message", chromedp.Tap(fmt.Sprintf(`//section[@data-side="matrix"]//li[contains(., %q)]//*[@class="head"]`, lines[3])))
	p.matrix.shows(lines[3], "m.querySelector('.actions').checkVisibility({visibilityProperty: true})")
	b.until("it can be seen whole", fmt.Sprintf("(m => m.querySelector('.actions').getBoundingClientRect().bottom <= m.closest('.messages').getBoundingClientRect().bottom)(%s)", p.matrix.find(lines[3])))
	b.until("a touch does nothing else", fmt.Sprintf("!document.querySelector(%q).checkVisibility()", p.matrix.in(`[data-part="about"]`)))
	b.shot("phone-matrix-outage")
	b.size(1280, 800)
	b.do("switch Teams on", chromedp.Click(chromedp.CSS("#outage")))
	p.teams.shows(lines[3], "true")
	b.until("all of it has gone", "document.querySelector('#waiting').textContent === '0' && document.querySelector('#graph-state').textContent === 'Teams reachable'")
	b.until("it was counted", fmt.Sprintf("Number(document.querySelector('#sent').textContent) >= %d", sent+len(lines)))
	order := value[[]string](b, fmt.Sprintf("[...document.querySelectorAll(%q)].map(m => m.querySelector('.body')?.textContent ?? '')", p.teams.in(".message")))
	next := 0
	for _, text := range order {
		if next < len(lines) && strings.Contains(text, lines[next]) {
			next++
		}
	}
	require.Equal(p.t, len(lines), next, "in order: %q", order)
	p.matrix.shows(lines[3], "!m.textContent.includes('⏳')")
	b.shot("desktop-after")
	b.size(390, 844)
	b.shot("phone-matrix")
	b.do("turn to Teams", chromedp.Tap(chromedp.CSS(`[data-show="teams"]`)))
	b.until("the other side", fmt.Sprintf("document.querySelector(%q).checkVisibility()", p.teams.in(".messages")))
	b.shot("phone-teams")
	b.size(1280, 800)
}

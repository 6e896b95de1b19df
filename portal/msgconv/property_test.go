package msgconv

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"

	"teamsbridge/teams"
)

// randomHTML makes formatted text of about the given size.
func randomHTML(r *rand.Rand, size int) string {
	var b strings.Builder
	var block func(depth int)
	words := func() {
		for range 1 + r.IntN(12) {
			switch r.IntN(12) {
			case 0:
				b.WriteString("<b>bold</b> ")
			case 1:
				b.WriteString("<i>a &amp; b</i>, ")
			case 2:
				b.WriteString(`<a href="https://example.org/?q=1&amp;r=2">link</a> `)
			case 3:
				b.WriteString(strings.Repeat("Wörter", 1+r.IntN(30)) + " ")
			case 4:
				b.WriteString("👩‍👩‍👧‍👦. ")
			case 5:
				b.WriteString("<br>")
			case 6:
				b.WriteString(`<a href="https://matrix.to/#/@bob:example.org">Bob</a> `)
			default:
				fmt.Fprintf(&b, "word%d ", r.IntN(1000))
			}
		}
	}
	block = func(depth int) {
		kind := r.IntN(8)
		if depth > 4 {
			kind = 0
		}
		switch kind {
		case 1:
			b.WriteString("<ul>")
			for range 1 + r.IntN(5) {
				b.WriteString("<li>")
				block(depth + 1)
				b.WriteString("</li>")
			}
			b.WriteString("</ul>")
		case 2:
			b.WriteString("<ol>")
			for range 1 + r.IntN(5) {
				b.WriteString("<li>")
				words()
				b.WriteString("</li>")
			}
			b.WriteString("</ol>")
		case 3:
			b.WriteString("<blockquote>")
			block(depth + 1)
			b.WriteString("</blockquote>")
		case 4:
			b.WriteString("<table>")
			for range 1 + r.IntN(20) {
				b.WriteString("<tr><td>")
				words()
				b.WriteString("</td><td>")
				block(depth + 2)
				b.WriteString("</td></tr>")
			}
			b.WriteString("</table>")
		case 5:
			b.WriteString(`<pre><code class="language-go">`)
			for i := range 1 + r.IntN(40) {
				fmt.Fprintf(&b, "line %d &lt;\n", i)
			}
			b.WriteString("</code></pre>")
		default:
			b.WriteString("<p>")
			words()
			b.WriteString("</p>")
		}
	}
	for b.Len() < size {
		block(0)
	}
	return b.String()
}

func TestSplitKeepsAllText(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		src := randomHTML(r, 200+r.IntN(20_000))
		root := parse(src, forTeams)
		p := teamsPrice(300 + r.IntN(8_000))
		var text strings.Builder
		for _, part := range split(root, p) {
			html := lockTeams(part)
			require.LessOrEqual(t, len(html), p.limit, "seed %d", seed)
			require.Equal(t, html, SanitizeTeams(html), "seed %d", seed)
			text.WriteString(textContent(part))
		}
		require.Equal(t, textContent(parse(src, forTeams)), text.String(), "seed %d", seed)
	}
}

// TestSplitPartsAreFull shows that parts are no smaller than they have to be.
func TestSplitPartsAreFull(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		src := randomHTML(rand.New(rand.NewPCG(seed, 2)), 60_000)
		p := teamsPrice(10_000)
		root := parse(src, forTeams)
		whole := 0
		for _, k := range root.kids {
			whole += p.measure(k)
		}
		require.LessOrEqual(t, len(split(root, p)), 3*whole/p.limit+2, "seed %d", seed)
	}
}

func TestSplitSmallestPartsStillProgress(t *testing.T) {
	t.Parallel()
	root := parse("<blockquote><b>"+strings.Repeat("é👍", 50)+"</b></blockquote>", forTeams)
	var text strings.Builder
	for _, part := range split(root, teamsPrice(1)) {
		text.WriteString(textContent(part))
	}
	require.Equal(t, strings.Repeat("é👍", 50), text.String())
}

// TestLongMessages holds the limits and the text for whole conversions.
func TestLongMessages(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		src := randomHTML(rand.New(rand.NewPCG(seed, 3)), 60_000)
		checkToTeams(t, "body", src, "Ana")
		checkToMatrix(t, src, "Subject", false)
		c := &event.MessageEventContent{MsgType: event.MsgText, Format: event.FormatHTML, FormattedBody: src}
		drafts, err := ToTeams(c, TeamsEnv{People: staff{}, Author: &Author{Name: "Ana", Late: true, At: time.Unix(0, 0).UTC()}})
		require.NoError(t, err)
		require.Greater(t, len(drafts), 1)
		for i, d := range drafts {
			checkDraft(t, d)
			require.Contains(t, d.HTML[:200], "<b>Ana</b>")
			require.Contains(t, d.HTML[:200], fmt.Sprintf("(%d/%d)", i+1, len(drafts)))
		}
	}
}

// TestRoundTrip sends formatted text to the other side and back.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, html := range []string{
		"one <strong>two</strong> <em>three</em> <u>four</u> <del>five</del> <code>six</code>",
		"<p>a</p><p>b<br>c</p>",
		"<h1>a</h1><h2>b</h2><h3>c</h3><p>d</p>",
		`<ul><li>a<ol start="3"><li>b</li></ol></li><li>c</li></ul>`,
		"<blockquote>a<blockquote>b</blockquote></blockquote>c",
		`<pre><code class="language-go">a {` + "\n    b &lt; c\n\n}" + `</code></pre>`,
		"<pre><code>plain</code></pre>",
		`<a href="https://example.org/?a=1&amp;b=2">x</a> <a href="mailto:a@example.org">y</a>`,
		`<a href="https://matrix.to/#/@bob:example.org">Bob Stone</a>, hello <a href="https://matrix.to/#/@ana:example.org">Ana de la Cruz</a>`,
		"<table><tbody><tr><td>a</td><td>b</td></tr></tbody></table>",
		"<p>a</p><hr><p>b</p>",
		`<span data-mx-color="#ff0000">red</span> <span data-mx-color="#000000" data-mx-bg-color="#ffff00">on yellow</span>`,
		"<b>x</b>² y₁ &lt;b&gt; &#34;q&#34; 'a' 👩‍👩‍👧‍👦",
	} {
		c := &event.MessageEventContent{MsgType: event.MsgText, Format: event.FormatHTML, FormattedBody: html}
		drafts, err := ToTeams(c, TeamsEnv{People: staff{}})
		require.NoError(t, err)
		require.Len(t, drafts, 1)
		m := teams.Message{ID: "1", BodyType: teams.BodyHTML, Body: drafts[0].HTML, Mentions: drafts[0].Mentions}
		r := ToMatrix(m, MatrixEnv{People: staff{}})
		require.Len(t, r.Parts, 1)
		got := r.Parts[0].Content
		if got.FormattedBody == "" {
			require.Equal(t, strings.ReplaceAll(strings.TrimSuffix(strings.ReplaceAll(strings.ReplaceAll(html, "<p>", ""), "</p>", "\n\n"), "\n\n"), "<br>", "\n"), got.Body)
			continue
		}
		require.Equal(t, html, got.FormattedBody)
		again, err := ToTeams(got, TeamsEnv{People: staff{}})
		require.NoError(t, err)
		require.Equal(t, drafts, again)
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	posted := `<p><b>Ana</b>: See <at id="0">Bob Stone</at>, it's &lt;done&gt; 👍</p><img src="../hostedContents/1/$value" alt="x">`
	for _, listed := range []string{
		posted,
		rewritten(posted),
		`<div><div>Ana: See <at id="0">Bob</at>&nbsp;<at id="1">Stone</at>, it&#39;s &lt;done&gt; <emoji id="yes" alt="👍" title="Like"></emoji></div><img src="https://graph.microsoft.com/v1.0/x" width="10" height="10" style="a" itemid="b"></div>`,
	} {
		require.Equal(t, Fingerprint(posted), Fingerprint(listed))
	}
	for _, other := range []string{
		"", `<p><b>Ana</b>: See <at id="0">Bob Stone</at>, it's &lt;done&gt; 👍</p>`,
		strings.ReplaceAll(posted, "done", "Done"), strings.ReplaceAll(posted, "Bob", "Rob"), posted + "!",
	} {
		require.NotEqual(t, Fingerprint(posted), Fingerprint(other))
	}
	require.Equal(t, Fingerprint(""), Fingerprint("<div></div>"))
	require.Equal(t, Fingerprint("a &lt;b&gt; &amp; c"), FingerprintOf(teams.Message{BodyType: teams.BodyText, Body: "a <b> & c"}))
	require.Equal(t, Fingerprint("<p>a</p>"), FingerprintOf(teams.Message{BodyType: teams.BodyHTML, Body: "a"}))
}

func TestImages(t *testing.T) {
	t.Parallel()
	const base = "https://graph.microsoft.com/v1.0/teams/T/channels/19%3Ac%40thread.tacv2/messages/1"
	m := teams.Message{Channel: teams.ChannelRef{TeamID: "t", ChannelID: "19:c@thread.tacv2"}, BodyType: teams.BodyHTML}
	for src, foreign := range map[string]bool{
		base + "/hostedContents/aWQ9/$value":                                                                                      false,
		base + "/replies/2/hostedContents/aWQ9/$value":                                                                            false,
		strings.Replace(base, "19%3Ac%40", "19:c@", 1) + "/hostedContents/aWQ9/$value":                                            false,
		strings.Replace(base, "https", "http", 1) + "/hostedContents/aWQ9/$value":                                                 false,
		base + "/hostedContents/aWQ9":                                                                                             true,
		base + "/hostedContents/aWQ9/$value?x=1":                                                                                  true,
		base + "/hostedContents/../../../x/$value":                                                                                true,
		base + "/hostedContents/%2e%2e/$value":                                                                                    true,
		base + "/hostedContents/a%2fb/$value":                                                                                     true,
		strings.Replace(base, "19%3Ac", "19%3Aother", 1) + "/hostedContents/aWQ9/$value":                                          true,
		strings.Replace(base, "teams/T", "teams/other", 1) + "/hostedContents/aWQ9/$value":                                        true,
		"https://graph.microsoft.com/v1.0/chats/19%3Ac%40thread.v2/messages/1/hostedContents/a/$value":                            true,
		"https://user@graph.microsoft.com" + strings.TrimPrefix(base, "https://graph.microsoft.com") + "/hostedContents/a/$value": true,
		"../hostedContents/1/$value":                                                                                              true,
		"https://evil.example/x.png":                                                                                              true,
		"file:///etc/passwd":                                                                                                      true,
		"\x00":                                                                                                                    true,
	} {
		m.Body = `<p><img src="` + src + `" alt="A picture" width="10px" height="x"></p>`
		images := Images(m)
		require.Len(t, images, 1, src)
		require.Equal(t, ImageRef{URL: images[0].URL, Alt: "A picture", Width: 10, Foreign: foreign}, images[0], src)
	}
	m.BodyType = teams.BodyText
	require.Empty(t, Images(m))
}

// cpuTime is the time that this process has computed, whatever else the
// machine does.
func cpuTime(t testing.TB) time.Duration {
	var use syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &use))
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// TestTimeIsLinear converts hostile input of two sizes; what takes quadratic
// time would take a hundred times as long for ten times the input.
func TestTimeIsLinear(t *testing.T) {
	if testing.Short() {
		t.Skip("measures time")
	}
	for _, unit := range []string{"<b>", "<b><i>", "<p><b>", "<table><tr><td>", "<ul><li>x", "</p>", "<a href=https://a.b>x", "a<zz>", "<at id=0>A</at> ",
		"<!--", "<![CDATA[", "&", "&#", "<", "</", "http://", "https://a.b ", "Bob Stone ", "@room ", "x<br>", "\n> ", "<td>", "<li>", "<div>x</div>", "<p>x<b>", "<h1>x", "\u00a0 ", "(((", "http://a.b)))", "http://a.b" + strings.Repeat(")", 3900) + " "} {
		took := func(n int) time.Duration {
			src := strings.Repeat(unit, n/len(unit))
			best := time.Hour
			for range 3 {
				start := cpuTime(t)
				c := &event.MessageEventContent{Body: src, Format: event.FormatHTML, FormattedBody: src, MsgType: event.MsgText,
					Mentions: &event.Mentions{UserIDs: userIDs(), Room: true}}
				_, _ = ToTeams(c, TeamsEnv{People: staff{}, RoomMention: &RoomMention{ChannelID: "c", ChannelName: "c"}})
				c.FormattedBody = ""
				_, _ = ToTeams(c, TeamsEnv{People: staff{}})
				ToMatrix(teams.Message{BodyType: teams.BodyHTML, Body: src}, MatrixEnv{People: staff{}})
				Fingerprint(src)
				best = min(best, cpuTime(t)-start)
			}
			return best
		}
		small, large := took(10_000), took(100_000)
		require.Less(t, large, 40*small+20*time.Millisecond, "%q: %v for 10 kB, %v for 100 kB", unit, small, large)
	}
}

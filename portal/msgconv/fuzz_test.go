package msgconv

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/microcosm-cc/bluemonday"
	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"

	"teamsbridge/teams"
)

func FuzzSanitize(f *testing.F) {
	for _, s := range hostile() {
		f.Add(s)
	}
	f.Fuzz(checkSanitise)
}

// checkSanitise: what the sanitisers return they return unchanged.
func checkSanitise(t *testing.T, src string) {
	for _, clean := range []func(string) string{SanitizeMatrix, SanitizeTeams} {
		once := clean(src)
		require.Equal(t, once, clean(once))
	}
	checkStrict(t, src)
}

// checkStrict: what passes the quick look is what the sanitiser leaves as it is,
// whether the renderer wrote it or not, and what the renderer writes passes.
func checkStrict(t *testing.T, src string) {
	for _, side := range []struct {
		profile *profile
		tags    map[string]allowed
		policy  *bluemonday.Policy
	}{{forMatrix, matrixTags, matrixPolicy}, {forTeams, teamsTags, teamsPolicy}} {
		written := render(parse(src, side.profile))
		require.True(t, strict(written, side.tags), written)
		require.Equal(t, side.policy.Sanitize(written), written)
		if strict(src, side.tags) {
			clean := side.policy.Sanitize(src)
			require.Equal(t, textContent(parse(clean, side.profile)), textContent(parse(src, side.profile)))
			require.True(t, strict(clean, side.tags), clean)
		}
	}
}

func FuzzToMatrix(f *testing.F) {
	for _, s := range hostile() {
		f.Add(s, "Subject", false)
	}
	f.Add("plain <b>", "", true)
	const hosted = `<img src="https://graph.microsoft.com/v1.0/teams/team-1/channels/19:chan/messages/1/hostedContents/a/$value">`
	f.Add("<p>"+hosted+`<img src="https://a.b/c"> x <pre>`+hosted+"</pre><emoji alt=x>"+hosted, "", false)
	f.Fuzz(checkToMatrix)
}

// checkToMatrix: a Teams message becomes valid events within the limits, with
// all of its text in order.
func checkToMatrix(t *testing.T, body, subject string, plainText bool) {
	m := teams.Message{
		Channel: teams.ChannelRef{TeamID: "team-1", ChannelID: "19:chan"}, ID: "1", Body: body, BodyType: teams.BodyHTML, Subject: subject,
		Mentions:    []teams.Mention{{ID: 0, Text: "A", User: &teams.Identity{ID: "u-ana"}}, {ID: 1, Text: "B", User: &teams.Identity{ID: "u-bob"}}},
		Attachments: []teams.Attachment{{ID: "x", ContentType: "messageReference", Content: body}, {ID: "y", ContentType: body, Content: `{"title":"t"}`}},
	}
	want := sourceText(parse(body, fromTeams))
	if plainText {
		m.BodyType = teams.BodyText
		want = string(appendClean(nil, body))
	}
	r := ToMatrix(m, MatrixEnv{People: staff{}})
	checkRendered(t, r)
	requireText(t, want, renderedText(r))
	var wantIDs, gotIDs []string
	for i, ref := range Images(m) {
		if !ref.Foreign {
			require.Contains(t, ref.URL, "/teams/team-1/channels/19:chan/messages/")
			wantIDs = append(wantIDs, fmt.Sprintf("img:%d", i))
		}
	}
	for _, p := range r.Parts {
		if strings.HasPrefix(p.ID, "img:") {
			gotIDs = append(gotIDs, p.ID)
		}
	}
	require.ElementsMatch(t, wantIDs, gotIDs)
}

func FuzzToTeams(f *testing.F) {
	for _, s := range hostile() {
		f.Add(s, s, "Ana")
	}
	f.Fuzz(checkToTeams)
}

// aFile is a file that was uploaded, with a name as long as names get.
func aFile() *teams.Attachment {
	return &teams.Attachment{
		ID: "153fa47d-18c9-4179-be08-9879815a9f90", ContentType: "reference", Name: strings.Repeat("n", 180),
		ContentURL: "https://contoso.sharepoint.com/sites/T/Shared%20Documents/" + strings.Repeat("n", 540),
	}
}

// checkToTeams: a Matrix message becomes valid drafts within the limits, with
// all of its text in order.
func checkToTeams(t *testing.T, body, html, name string) {
	c := &event.MessageEventContent{MsgType: event.MsgText, Body: body, Mentions: &event.Mentions{UserIDs: userIDs(), Room: true}}
	for _, env := range []TeamsEnv{
		{}, {Author: &Author{Name: name}}, {File: aFile(), FileProblem: name}, {People: staff{}, RoomMention: &RoomMention{ChannelID: "c", ChannelName: name}, Reply: &Quote{Name: name, Text: body, Link: body}},
	} {
		for _, formatted := range []string{"", html} {
			c.Format, c.FormattedBody = event.FormatHTML, formatted
			drafts, err := ToTeams(c, env)
			if err != nil {
				require.ErrorIs(t, err, ErrNothingToSend)
				continue
			}
			require.NotEmpty(t, drafts)
			var got strings.Builder
			for _, d := range drafts {
				checkDraft(t, d)
				got.WriteString(textContent(parse(d.HTML, forTeams)))
			}
			if env.People != nil {
				continue
			}
			want := body
			if tree := parse(formatted, fromMatrix); hasContent(tree) {
				want = textContent(tree)
			} else if showsImage(tree) {
				continue
			}
			requireText(t, string(appendClean(nil, want)), got.String())
		}
	}
	media := &event.MessageEventContent{MsgType: event.MsgImage, Body: body, FileName: name, Format: event.FormatHTML, FormattedBody: html, GeoURI: body}
	for _, kind := range []event.MessageType{event.MsgImage, event.MsgFile, event.MsgLocation, "", event.MessageType(name)} {
		media.MsgType = kind
		drafts, err := ToTeams(media, TeamsEnv{Image: &teams.InlineImage{Data: []byte{1}}, Link: body})
		require.True(t, err == nil || len(drafts) == 0)
		for _, d := range drafts {
			checkDraft(t, d)
		}
	}
}

func FuzzFingerprint(f *testing.F) {
	for _, s := range hostile() {
		f.Add(s)
	}
	f.Fuzz(checkFingerprint)
}

// checkFingerprint: what Teams does to HTML does not change its fingerprint.
func checkFingerprint(t *testing.T, src string) {
	posted := SanitizeTeams(src)
	require.Equal(t, Fingerprint(posted), Fingerprint(rewritten(posted)))
	require.NotEqual(t, Fingerprint(posted), Fingerprint(posted+"x"))
	require.NotEqual(t, Fingerprint(posted), Fingerprint(posted+`<img src="../hostedContents/1/$value">`))
	hash := ContentHash(teams.Draft{HTML: posted})
	require.True(t, LooksLike(teams.Message{BodyType: teams.BodyHTML, Body: posted}, hash))
}

// rewritten does to HTML what Teams is known to do between POST and GET.
func rewritten(html string) string {
	html = strings.NewReplacer(
		"\u00a0", "&nbsp;", "<br>", "<br/>", "'", "&#39;", "&#34;", `"`, "<strong>", "<b>", "</strong>", "</b>",
		"<p>", `<div style="margin:0">`, "</p>", "</div>", "<u>", "", "</u>", "",
		"../hostedContents/", "https://graph.microsoft.com/v1.0/teams/t/channels/c/messages/1/hostedContents/aWQ9",
		"<ul>", "\n<ul>\n", "<td>", `<td style="x">`,
	).Replace(html)
	return "<div>\n<div>" + html + "</div>\n</div>"
}

// sourceText is the text that a reader of a Teams message sees.
func sourceText(root *node) string {
	var b strings.Builder
	walk(root, func(n *node) bool {
		b.WriteString(n.text)
		return n.tag != "emoji" && n.tag != "customemoji"
	})
	return b.String()
}

func renderedText(r Rendered) string {
	var b strings.Builder
	for _, p := range r.Parts {
		if p.Content.FormattedBody != "" {
			b.WriteString(textContent(parse(p.Content.FormattedBody, forMatrix)))
		} else {
			b.WriteString(p.Content.Body)
		}
	}
	return b.String()
}

// requireText checks that want stands in got, in order, white space and the
// bridge's own additions apart.
func requireText(t testing.TB, want, got string) {
	rest := appendVisible(nil, unshifted.Replace(got))
	i := 0
	text := appendVisible(nil, unshifted.Replace(want))
	for _, c := range rest {
		if i < len(text) && text[i] == c {
			i++
		}
	}
	require.Equal(t, len(text), i, "lost at %.40q", text[min(i, len(text)):])
}

// unshifted undoes what shifted does.
var unshifted = func() *strings.Replacer {
	var pairs []string
	for _, chars := range []map[rune]rune{raised, lowered} {
		for from, to := range chars {
			if from != '−' { // the other minus is as good
				pairs = append(pairs, string(to), string(from))
			}
		}
	}
	return strings.NewReplacer(append(pairs, "−", "-")...)
}()

// TestHuge holds the fuzz targets' claims for inputs that are large, too.
func TestHuge(t *testing.T) {
	t.Parallel()
	for _, src := range huge() {
		checkSanitise(t, src)
		checkToMatrix(t, src, "", false)
		checkToMatrix(t, src, src, true)
		checkToTeams(t, src, src, src)
		checkFingerprint(t, src)
	}
}

func FuzzRounds(f *testing.F) {
	for _, s := range hostile() {
		f.Add(s, "at nine?", `{"type":"AdaptiveCard","body":[{"type":"TextBlock","text":"Menu"}]}`)
	}
	f.Add("<attachment id=\"q\"></attachment><p>yes</p>", "a\n> b", `{"body":[{"type":"TextBlock","text":"a"},{"type":"TextBlock","text":"a"}],"type":"AdaptiveCard"}`)
	f.Fuzz(checkRounds)
}

// checkRounds: the text of a message goes to Matrix and comes back, over and over,
// and nobody changes it. What is attached is there once all the time, and neither
// side grows.
func checkRounds(t *testing.T, body, quoted, card string) {
	quote, err := json.Marshal(map[string]any{"messageId": "1", "messagePreview": quoted, "messageSender": map[string]any{"user": map[string]any{"id": "u-bob"}}})
	require.NoError(t, err)
	first := teams.Message{
		Channel: teams.ChannelRef{TeamID: "team-1", ChannelID: "19:chan"}, ID: "1", Body: body, BodyType: teams.BodyHTML, From: teams.Identity{ID: "u-ana", Kind: "user"},
		Attachments: []teams.Attachment{
			{ID: "q", ContentType: "messageReference", Content: string(quote)}, {ID: "c", ContentType: "application/vnd.microsoft.card.adaptive", Content: card},
		},
	}
	for client, edit := range clients {
		m, told, shown := first, "", ""
		for n := range 4 {
			next, said, ok := roundTrip(t, m, MatrixEnv{People: staff{}}, edit, "", "")
			if !ok {
				break
			}
			require.Len(t, next.Attachments, 2)
			now := string(appendVisible(nil, renderedText(ToMatrix(next, MatrixEnv{People: staff{}}))))
			if n > 1 {
				require.Equal(t, told, said, client)
				require.Equal(t, shown, now, client)
			}
			m, told, shown = next, said, now
		}
	}
}

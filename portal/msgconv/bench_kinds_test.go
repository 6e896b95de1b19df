package msgconv

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"maunium.net/go/mautrix/event"

	"teamsbridge/teams"
	"teamsbridge/texts"
)

// filled repeats a piece, in which %d counts, up to 10 kB.
func filled(piece, between string) string {
	var b strings.Builder
	for i := 0; b.Len()+len(piece) < 10_000; i++ {
		if i > 0 {
			b.WriteString(between)
		}
		b.WriteString(strings.ReplaceAll(piece, "%d", fmt.Sprint(i)))
	}
	return b.String()
}

// BenchmarkKindsToMatrix converts one message of 10 kB of each kind that Teams
// has, where BenchmarkGoldenToMatrix repeats small ones, and tells which take too
// long.
func BenchmarkKindsToMatrix(b *testing.B) {
	var slow []string
	card := func(kind, content string) teams.Message {
		return teams.Message{ID: "1", BodyType: teams.BodyHTML, Channel: teams.ChannelRef{TeamID: "team-1", ChannelID: "19:chan"}, WebURL: "https://teams.microsoft.com/l/message/c/1",
			Attachments: []teams.Attachment{{ID: "c", ContentType: kind, Content: content}}}
	}
	const adaptive = "application/vnd.microsoft.card.adaptive"
	body := func(html string) teams.Message {
		return teams.Message{ID: "1", BodyType: teams.BodyHTML, Body: html,
			Mentions: []teams.Mention{{ID: 0, Text: "Ana", User: &teams.Identity{ID: "u-ana", DisplayName: "Ana"}}}}
	}
	quote, err := json.Marshal(map[string]any{"originalMessageContent": ordinaryHTML(9_900)})
	if err != nil {
		b.Fatal(err)
	}
	preview, err := json.Marshal(map[string]any{"messageId": "1", "messagePreview": filled("as was said %d, ", ""), "messageSender": map[string]any{"user": map[string]any{"id": "x", "displayName": "Jo"}}})
	if err != nil {
		b.Fatal(err)
	}
	var files []teams.Attachment
	for i := range 10_000 / 150 {
		files = append(files, teams.Attachment{ID: fmt.Sprint("f", i), ContentType: "reference", Name: fmt.Sprintf("report %d.docx", i), ContentURL: fmt.Sprintf("https://contoso.sharepoint.com/sites/T/Shared%%20Documents/report%%20%d.docx", i)})
	}
	for _, k := range []struct {
		name string
		m    teams.Message
	}{
		{"text", teams.Message{ID: "1", Body: filled("line %d < 10 & https://example.org/%d\n", "")}},
		{"code", body("<codeblock class=\"Go\"><code>" + filled("x[%d] := 1<br>", "") + "</code></codeblock>")},
		{"lists", body("<ul>" + filled("<li>a %d<ol><li>b</li></ol></li>", "") + "</ul>")},
		{"links", body(filled(`<a href="https://example.org/%d?a=b&amp;c=d">page %d</a> `, ""))},
		{"emoji", body(filled(`<emoji id="e%d" alt="👀" title="Eyes"></emoji> `, ""))},
		{"custom emoji", body(filled(`<customemoji id="c%d" alt="rocket" source="https://graph.microsoft.com/v1.0/x/$value"></customemoji> `, ""))},
		{"images", body(filled(`<p>see <img src="https://example.org/%d.png" alt="picture %d"></p>`, ""))},
		{"files", teams.Message{ID: "1", BodyType: teams.BodyHTML, Attachments: files}},
		{"quote", card("messageReference", string(preview))},
		{"hero", card("application/vnd.microsoft.card.hero", `{"title":"T","text":"`+filled("some <b>text</b> %d<br>", "")+`","buttons":[{"type":"openUrl","title":"More","value":"https://example.org"}]}`)},
		{"receipt", card("application/vnd.microsoft.card.receipt", `{"items":[`+filled(`{"title":"Item %d","price":"$ 1","quantity":"2"}`, ",")+"]}")},
		{"card fields", card(adaptive, `{"body":[{"type":"Input.ChoiceSet","id":"c","choices":[`+filled(`{"title":"Choice %d","value":"%d"}`, ",")+"]}]}")},
		{"card unknown", card(adaptive, `{"body":[`+filled(`{"type":"Hologram","items":[{"type":"TextBlock","text":"actor %d"}]}`, ",")+"]}")},
		{"html", body(ordinaryHTML(10_000))},
		{"table", body("<table>" + filled("<tr><td>a%d</td><td>b &amp; c</td></tr>", "") + "</table>")},
		{"mentions", body(filled(`<at id="0">Ana</at> and `, ""))},
		{"card texts", card(adaptive, `{"body":[`+filled(`{"type":"TextBlock","text":"**Build** %d of [main](https://example.org/%d) is _red_","wrap":true}`, ",")+"]}")},
		{"card markdown", card(adaptive, `{"body":[{"type":"TextBlock","text":"`+filled(`- **a** _b_ [c](https://example.org/%d)\n`, "")+`"}]}`)},
		{"card facts", card(adaptive, `{"body":[{"type":"FactSet","facts":[`+filled(`{"title":"Name %d","value":"value"}`, ",")+"]}]}")},
		{"card table", card(adaptive, `{"body":[{"type":"Table","rows":[`+filled(`{"cells":[{"items":[{"type":"TextBlock","text":"Host %d"}]},{"items":[{"type":"TextBlock","text":"up"}]}]}`, ",")+"]}]}")},
		{"card columns", card(adaptive, `{"body":[`+filled(`{"type":"ColumnSet","columns":[{"items":[{"type":"TextBlock","text":"Host %d"}]},{"items":[{"type":"TextBlock","text":"up"}]}]}`, ",")+"]}")},
		{"card actions", card(adaptive, `{"actions":[`+filled(`{"type":"Action.OpenUrl","title":"Open %d","url":"https://example.org/%d"}`, ",")+"]}")},
		{"connector", card("application/vnd.microsoft.teams.card.o365connector", `{"sections":[`+filled(`{"activityTitle":"Task %d","facts":[{"name":"a","value":"b"}],"text":"some **text**"}`, ",")+"]}")},
		{"list", card("application/vnd.microsoft.teams.card.list", `{"items":[`+filled(`{"type":"resultItem","title":"Item %d","subtitle":"sub"}`, ",")+"]}")},
		{"forwarded", card("forwardedMessageReference", string(quote))},
		{"system", teams.Message{Type: teams.TypeSystem, Event: &teams.EventDetail{Type: "callEnded", Raw: json.RawMessage(`{"callParticipants":[` + filled(`{"participant":{"user":{"id":"u%d"}}}`, ",") + "]}")}}},
	} {
		b.Run(strings.ReplaceAll(k.name, " ", "_"), func(b *testing.B) {
			env := MatrixEnv{People: staff{}}
			timed(b, teamsSize(k.m), &slow, func() { ToMatrix(k.m, env) })
		})
	}
	b.Run("snippet", func(b *testing.B) {
		const url = cardChannel + "a/$value"
		m := card("application/vnd.microsoft.card.codesnippet", `{"language":"go","codeSnippetUrl":"`+url+`"}`)
		env := MatrixEnv{Snippets: map[string]Snippet{url: {Text: filled("line %d <tag> \"q\"\n", "")}}}
		timed(b, len(env.Snippets[url].Text), &slow, func() { ToMatrix(m, env) })
	})
	reportSlow(b, slow)
}

// BenchmarkKindsToTeams does the same for what Matrix has.
func BenchmarkKindsToTeams(b *testing.B) {
	var slow []string
	for _, k := range []struct{ name, body, html string }{
		{"plain", filled("a line of text %d with https://example.org/%d in it\n", ""), ""},
		{"html", "", ordinaryHTML(10_000)},
		{"mentions", "", filled(`<a href="https://matrix.to/#/@ana:example.org">Ana</a>, `, "")},
		{"names", filled("Bob Stone and Ana de la Cruz, ", ""), ""},
		{"table", "", "<table>" + filled("<tr><td>a%d</td><td>b</td></tr>", "") + "</table>"},
		{"lists", "", "<ul>" + filled("<li>a %d<ol><li>b</li></ol></li>", "") + "</ul>"},
		{"quotes", "", filled("<blockquote><p>said %d</p></blockquote><p>yes</p>", "")},
		{"links", "", filled(`<a href="https://example.org/%d?a=b&amp;c=d">page %d</a> `, "")},
		{"spoilers", "", filled(`<span data-mx-spoiler="why">butler %d</span> `, "")},
		{"details", "", filled("<details><summary>Log %d</summary>lines</details>", "")},
		{"custom emoji", "", filled(`<img data-mx-emoticon src="mxc://example.org/x" alt=":rocket:"> `, "")},
		{"colours", "", filled(`<font color="#ff0000">red %d</font> `, "")},
		{"tasks", "", "<ul>" + filled(`<li><input type="checkbox" checked>task %d</li>`, "") + "</ul>"},
		{"formulas", "", filled(`<span data-mx-maths="x^%d"></span> `, "")},
		{"code", "", `<pre><code class="language-go">` + filled("x[%d] := 1\n", "") + "</code></pre>"},
	} {
		b.Run(strings.ReplaceAll(k.name, " ", "_"), func(b *testing.B) {
			c := &event.MessageEventContent{MsgType: event.MsgText, Body: k.body, Mentions: &event.Mentions{UserIDs: userIDs()}}
			if k.html != "" {
				c.Format, c.FormattedBody = event.FormatHTML, k.html
			}
			env := TeamsEnv{People: staff{}, Author: &Author{Name: "Ana"}}
			timed(b, max(len(k.body), len(k.html)), &slow, func() {
				if _, err := ToTeams(c, env); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
	for _, k := range []struct {
		name string
		c    event.MessageEventContent
		env  TeamsEnv
	}{
		{"emote", event.MessageEventContent{MsgType: event.MsgEmote, Body: filled("waves %d times, ", "")}, TeamsEnv{}},
		{"caption", event.MessageEventContent{MsgType: event.MsgImage, Body: filled("a line of caption %d\n", ""), FileName: "a.png"}, TeamsEnv{Link: "https://matrix.to/#/!r:example.org/$e"}},
		{"file", event.MessageEventContent{MsgType: event.MsgFile, Body: filled("a line of caption %d\n", ""), FileName: "a.bin"}, TeamsEnv{File: &teams.Attachment{ID: "f", Name: "a.bin"}}},
		{"location", event.MessageEventContent{MsgType: event.MsgLocation, Body: filled("hall %d, ", ""), GeoURI: "geo:52.5,13.4"}, TeamsEnv{}},
		{"profile", event.MessageEventContent{MsgType: event.MsgText, Body: filled("Kim says %d, ", ""), BeeperPerMessageProfile: &event.BeeperPerMessageProfile{ID: "kim", Displayname: "Kim"}}, TeamsEnv{}},
		{"answer", event.MessageEventContent{MsgType: event.MsgText, Body: "yes"}, TeamsEnv{Reply: &Quote{Name: "Bob", Text: filled("a line %d\n", ""), Link: "https://matrix.to/#/!r:example.org/$e"}}},
	} {
		b.Run(k.name, func(b *testing.B) {
			k.env.People, k.env.Author = staff{}, &Author{Name: "Ana", Late: true, At: time.UnixMilli(1e12)}
			timed(b, len(k.c.Body), &slow, func() {
				if _, err := ToTeams(&k.c, k.env); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
	b.Run("poll", func(b *testing.B) {
		poll := []byte(`{"type":"m.poll.start","content":{"m.poll":{"question":{"m.text":[{"body":"` + strings.Repeat("Which? ", 400) +
			`"}]},"answers":[{"m.id":"a","m.text":[{"body":"` + strings.Repeat("This ", 700) + `"}]},{"m.id":"b","m.text":[{"body":"` + strings.Repeat("That ", 700) + `"}]}]}}}`)
		timed(b, len(poll), &slow, func() {
			var evt struct{ Content event.MessageEventContent }
			if err := json.Unmarshal(PresentPoll(texts.Texts{}, poll), &evt); err != nil {
				b.Fatal(err)
			}
			if _, err := ToTeams(&evt.Content, TeamsEnv{People: staff{}}); err != nil {
				b.Fatal(err)
			}
		})
	})
	reportSlow(b, slow)
}

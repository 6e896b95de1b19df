package msgconv

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"maunium.net/go/mautrix/event"

	"teamsbridge/teams"
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

// computing runs a conversion again and again, and reports the shortest time as
// well, which is the one that nothing else on the machine has disturbed.
func computing(b *testing.B, convert func()) {
	b.ReportAllocs()
	best := time.Hour
	for b.Loop() {
		start := time.Now()
		convert()
		best = min(best, time.Since(start))
	}
	b.ReportMetric(float64(best.Nanoseconds())/1000, "best-µs/op")
}

// BenchmarkKindsToMatrix converts 10 kB of each kind that Teams has.
func BenchmarkKindsToMatrix(b *testing.B) {
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
	for _, k := range []struct {
		name string
		m    teams.Message
	}{
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
			computing(b, func() { ToMatrix(k.m, env) })
		})
	}
	b.Run("snippet", func(b *testing.B) {
		const url = cardChannel + "a/$value"
		m := card("application/vnd.microsoft.card.codesnippet", `{"language":"go","codeSnippetUrl":"`+url+`"}`)
		env := MatrixEnv{Snippets: map[string]Snippet{url: {Text: filled("line %d <tag> \"q\"\n", "")}}}
		computing(b, func() { ToMatrix(m, env) })
	})
}

// BenchmarkKindsToTeams converts 10 kB of each kind that Matrix has.
func BenchmarkKindsToTeams(b *testing.B) {
	for _, k := range []struct{ name, body, html string }{
		{"plain", filled("a line of text %d with https://example.org/%d in it\n", ""), ""},
		{"html", "", ordinaryHTML(10_000)},
		{"mentions", "", filled(`<a href="https://matrix.to/#/@ana:example.org">Ana</a>, `, "")},
		{"names", filled("Bob Stone and Ana de la Cruz, ", ""), ""},
		{"table", "", "<table>" + filled("<tr><td>a%d</td><td>b</td></tr>", "") + "</table>"},
		{"tasks", "", "<ul>" + filled(`<li><input type="checkbox" checked>task %d</li>`, "") + "</ul>"},
		{"formulas", "", filled(`<span data-mx-maths="x^%d"></span> `, "")},
		{"code", "", `<pre><code class="language-go">` + filled("x[%d] := 1\n", "") + "</code></pre>"},
	} {
		b.Run(k.name, func(b *testing.B) {
			c := &event.MessageEventContent{MsgType: event.MsgText, Body: k.body, Mentions: &event.Mentions{UserIDs: userIDs()}}
			if k.html != "" {
				c.Format, c.FormattedBody = event.FormatHTML, k.html
			}
			env := TeamsEnv{People: staff{}, Author: &Author{Name: "Ana"}}
			computing(b, func() {
				if _, err := ToTeams(c, env); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

package e2e

import (
	"errors"
	"fmt"
	"strings"

	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

const (
	adaptiveCard = "application/vnd.microsoft.card.adaptive"
	inTeams      = "https://teams.microsoft.com/l/message/"
)

// card is a message that is nothing but an attachment.
func card(contentType, content string) func(*office) teamstest.Msg {
	return func(*office) teamstest.Msg {
		return teamstest.Msg{HTML: `<attachment id="c1"></attachment>`, Attachments: []teamstest.Attachment{{ID: "c1", ContentType: contentType, Content: content}}}
	}
}

// body is an adaptive card with some elements.
func body(elements string) func(*office) teamstest.Msg {
	return card(adaptiveCard, `{"type":"AdaptiveCard","version":"1.5","body":[`+elements+`]}`)
}

// cardCases are the messages that are an attachment of some kind.
var cardCases = []fromTeamsCase{
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
	{name: "adaptive card with times", msg: body(`{"type":"TextBlock","text":"At {{TIME(2017-02-14T06:08:00Z)}} on {{DATE(2017-02-14T06:08:00Z, SHORT)}}"}`), body: []string{"At 06:08 UTC on 2017-02-14"}},
	{name: "adaptive card with columns", msg: body(`{"type":"ColumnSet","columns":[{"type":"Column","items":[{"type":"TextBlock","text":"Ana"}]},{"type":"Column","items":[{"type":"TextBlock","text":"7.5"}]}]}`),
		html: []string{"<table><tr><td>Ana</td><td>7.5</td></tr></table>"}},
	{name: "adaptive card with containers", msg: body(`{"type":"Container","items":[{"type":"TextBlock","text":"inside"}]},{"type":"Container","isVisible":false,"items":[{"type":"TextBlock","text":"the details"}]},
		{"type":"Carousel","pages":[{"type":"CarouselPage","items":[{"type":"TextBlock","text":"page 1"}]}]}`), html: []string{"<p>inside</p>", "<details>", "the details", "</details>", "page 1"}},
	{name: "adaptive card with a mention", msg: func(o *office) teamstest.Msg {
		return card(adaptiveCard, `{"type":"AdaptiveCard","body":[{"type":"TextBlock","text":"Hi <at>Ben</at>"}],"msteams":{"entities":[{"type":"mention","text":"<at>Ben</at>","mentioned":{"id":"`+o.ben.ID+`","name":"Ben"}}]}}`)(o)
	}, check: mentionsBen},
	{name: "adaptive card with a mention by sign-in name", msg: func(o *office) teamstest.Msg {
		return card(adaptiveCard, `{"type":"AdaptiveCard","body":[{"type":"TextBlock","text":"Hi <at>Ben</at>"}],"msteams":{"entities":[{"type":"mention","text":"<at>Ben</at>","mentioned":{"id":"`+o.ben.UPN()+`","name":"Ben"}}]}}`)(o)
	}, check: mentionsBen},
	{name: "adaptive card with small elements", msg: body(`{"type":"Badge","text":"New"},{"type":"Rating","value":4,"max":5},{"type":"ProgressBar","value":30},{"type":"CodeBlock","codeSnippet":"x := 1","language":"Go"},{"type":"Chart.Line","title":"Sales"}`),
		body: []string{"New", "4 of 5", "30 of 100", "x := 1", "Sales"}, html: []string{inTeams}},
	{name: "adaptive card with unknown elements", msg: body(`{"type":"Hologram","fallback":{"type":"TextBlock","text":"instead"}},{"type":"Stage","items":[{"type":"TextBlock","text":"actor"}]}`),
		body: []string{"instead", "actor", "[Stage]"}, html: []string{inTeams}},
	{name: "card beside a text", msg: func(*office) teamstest.Msg {
		return teamstest.Msg{HTML: `<p>Please look:</p><attachment id="c1"></attachment><p>Thanks</p>`, Attachments: []teamstest.Attachment{{ID: "c1", ContentType: adaptiveCard, Content: `{"body":[{"type":"TextBlock","text":"The card"}]}`}}}
	}, html: []string{"Please look:", "<blockquote>", "The card", "</blockquote>", "Thanks"}},
	{name: "thumbnail card", msg: card("application/vnd.microsoft.card.thumbnail", `{"title":"Ticket 7","text":"open","images":[{"url":"https://example.com/t.png"}]}`),
		html: []string{"<h4>Ticket 7</h4>", "open", `<a href="https://example.com/t.png">`}},
	{name: "receipt", msg: card("application/vnd.microsoft.card.receipt", `{"title":"Receipt","items":[{"title":"Data","price":"$ 38.45","quantity":"368"}],"total":"$ 90.95"}`),
		html: []string{"<h4>Receipt</h4>", "<table>", "Data", "$ 38.45", "</table>", "$ 90.95"}},
	{name: "video card", msg: card("application/vnd.microsoft.card.video", `{"title":"Launch","media":[{"url":"https://example.com/v.mp4","profile":"hd"}]}`), html: []string{"<h4>Launch</h4>", `<a href="https://example.com/v.mp4">hd</a>`}},
	{name: "sign-in card", msg: card("application/vnd.microsoft.card.signin", `{"text":"Please sign in","buttons":[{"type":"signin","title":"Sign in","value":"https://login.example.com/?state=secret"}]}`),
		html: []string{"Please sign in", "[Sign in]", inTeams}, not: []string{"login.example.com"}},
	{name: "praise", msg: func(o *office) teamstest.Msg {
		return card(adaptiveCard, `{"type":"AdaptiveCard","body":[{"type":"TextBlock","text":"Team Player","weight":"Bolder"},{"type":"TextBlock","text":"Thank you, <at>Ben</at>!"}],
			"msteams":{"entities":[{"type":"mention","text":"<at>Ben</at>","mentioned":{"id":"`+o.ben.ID+`","name":"Ben"}}]}}`)(o)
	}, html: []string{"<strong>Team Player</strong>", "Thank you, "}, check: mentionsBen},
	{name: "poll", msg: card(adaptiveCard, `{"type":"AdaptiveCard","body":[{"type":"TextBlock","text":"Where to?"},{"type":"Input.ChoiceSet","id":"c","choices":[{"title":"Sea","value":"1"},{"title":"Mountains","value":"2"}]}],"actions":[{"type":"Action.Submit","title":"Vote"}]}`),
		html: []string{"Where to?", "Sea / Mountains", "[Vote]", inTeams}},
	{name: "task", msg: card(adaptiveCard, `{"type":"AdaptiveCard","body":[{"type":"TextBlock","text":"New task: water the plants"},{"type":"FactSet","facts":[{"title":"Due","value":"Friday"}]}],"actions":[{"type":"Action.OpenUrl","title":"View task","url":"https://teams.microsoft.com/l/entity/task/1"}]}`),
		html: []string{"water the plants", "<strong>Due:</strong> Friday", `<a href="https://teams.microsoft.com/l/entity/task/1">View task</a>`}},
	{name: "meeting", msg: card("meetingReference", `{"meetingJoinUrl":"https://teams.microsoft.com/l/meetup-join/x"}`), html: []string{"Meeting", `<a href="https://teams.microsoft.com/l/meetup-join/x">`}},
	{name: "tab", msg: func(*office) teamstest.Msg {
		return teamstest.Msg{HTML: `<p>See</p><attachment id="t1"></attachment>`, Attachments: []teamstest.Attachment{{ID: "t1", ContentType: "tabReference", Name: "Wiki", ContentURL: "https://teams.microsoft.com/l/entity/tab"}}}
	}, html: []string{"See", `<a href="https://teams.microsoft.com/l/entity/tab">Wiki</a>`}},
	{name: "code snippet of another channel", msg: card("application/vnd.microsoft.card.codesnippet", `{"language":"Go","codeSnippetUrl":"https://graph.microsoft.com/v1.0/teams/x/channels/y/messages/z/hostedContents/gone/$value"}`),
		body: []string{"Code snippet"}, html: []string{inTeams}},
}

func mentionsBen(o *office, e stack.Entry) error {
	ben := o.UserID(stack.Localpart(o.ben))
	if e.Mentions == nil || len(e.Mentions.UserIDs) != 1 || e.Mentions.UserIDs[0] != ben || !strings.Contains(e.HTML, "https://matrix.to/#/"+ben.String()) {
		return fmt.Errorf("mentions are %+v in %s", e.Mentions, e.HTML)
	}
	return nil
}

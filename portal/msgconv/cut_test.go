package msgconv

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/teams"
	"teamsbridge/texts"
)

func hostedURL(id string) string {
	return "https://graph.microsoft.com/v1.0/teams/t/channels/c/messages/1/hostedContents/" + id + "/$value"
}

// cuttable is a message with everything that can be cut out of one.
func cuttable() teams.Message {
	card := `{"body":[{"type":"Image","url":"` + hostedURL("card") + `"}],"type":"AdaptiveCard"}`
	return teams.Message{
		Channel: teams.ChannelRef{TeamID: "t", ChannelID: "c"}, BodyType: teams.BodyHTML, Subject: "Topic",
		Body: `<div><p style="color:red">Hi <at id="0">Bob</at> <new a="1"/></p><img alt="a" src="` + hostedURL("a") + `" width="5">and<IMG src='` + hostedURL("b") + `'>` +
			`<img src="https://example.org/far.png"><attachment id="F"> </attachment><attachment id="S"></attachment><attachment id="C"></attachment></div>`,
		Mentions: []teams.Mention{{ID: 0, Text: "Bob", User: &teams.Identity{ID: "bob"}}},
		Attachments: []teams.Attachment{
			{ID: "F", ContentType: "reference", ContentURL: "https://x.example/f", Name: "f"},
			{ID: "S", ContentType: "application/vnd.microsoft.card.codesnippet", Content: `{"codeSnippetUrl":"` + hostedURL("s") + `","language":"go"}`},
			{ID: "C", ContentType: "application/vnd.microsoft.card.adaptive", Content: card},
		},
	}
}

func TestWithoutPart(t *testing.T) {
	t.Parallel()
	m := cuttable()
	for source, gone := range map[string]string{
		hostedURL("a"):        `<img alt="a" src="` + hostedURL("a") + `" width="5">`,
		hostedURL("b"):        `<IMG src='` + hostedURL("b") + `'>`,
		"https://x.example/f": `<attachment id="F"> </attachment>`,
		hostedURL("s"):        `<attachment id="S"></attachment>`,
	} {
		d, found := WithoutPart(m, source)
		require.Equal(t, FoundIt, found, source)
		require.Equal(t, strings.Replace(m.Body, gone, "", 1), d.HTML, "nothing else is touched")
		require.Equal(t, m.Mentions, d.Mentions)
		require.Len(t, d.Attachments, 3-strings.Count(gone, "attachment id"))
		again := m
		again.Body, again.Attachments = d.HTML, d.Attachments
		_, found = WithoutPart(again, source)
		require.Equal(t, FoundNot, found, "twice")
	}
	_, found := WithoutPart(m, hostedURL("card"))
	require.Equal(t, FoundInside, found)
	_, found = WithoutPart(m, "")
	require.Equal(t, FoundNot, found)
	m.Attachments = m.Attachments[:1]
	d, found := WithoutPart(m, "https://x.example/f")
	require.Equal(t, FoundIt, found)
	require.NotNil(t, d.Attachments, "what is not said would stay")
}

func TestWithoutText(t *testing.T) {
	t.Parallel()
	d := WithoutText(cuttable())
	require.Equal(t, `<img alt="a" src="`+hostedURL("a")+`" width="5"><IMG src='`+hostedURL("b")+`'><attachment id="F"></attachment><attachment id="S"></attachment>`, d.HTML)
	require.Len(t, d.Attachments, 2)
	require.Empty(t, d.Mentions)
}

func TestWithText(t *testing.T) {
	t.Parallel()
	m := cuttable()
	m.Attachments = append(m.Attachments, teams.Attachment{ID: "Q", ContentType: "messageReference", Content: "{}"})
	d := WithText(m, teams.Draft{HTML: "<p>one <em>[image: a]</em> two</p>"}, texts.Texts{})
	if holder := textImage(texts.Texts{}, "a", 1); holder != "[image: a]" {
		d = WithText(m, teams.Draft{HTML: "<p>one <em>" + strings.ReplaceAll(holder, `"`, "&#34;") + "</em> two</p>"}, texts.Texts{})
	}
	require.Equal(t, `<attachment id="Q"></attachment><p>one <img alt="a" src="`+hostedURL("a")+`" width="5"> two</p><IMG src='`+hostedURL("b")+`'>`+
		`<attachment id="F"></attachment><attachment id="S"></attachment><attachment id="C"></attachment>`, d.HTML)
	require.Len(t, d.Attachments, 4)
	plainText := teams.Message{BodyType: teams.BodyText, Body: `a <img src="x">`}
	require.Equal(t, "new", WithText(plainText, teams.Draft{HTML: "new"}, texts.Texts{}).HTML)
}

func TestQuoteTimeIsInTheZone(t *testing.T) {
	t.Parallel()
	x, err := texts.For("en", time.FixedZone("", 2*3600))
	require.NoError(t, err)
	m := teams.Message{BodyType: teams.BodyHTML, Body: "x", Attachments: []teams.Attachment{{ID: "q", ContentType: "forwardedMessageReference",
		Content: `{"originalMessageContent":"y","originalSentDateTime":"2026-03-01T10:00:00Z"}`}}}
	require.Contains(t, ToMatrix(m, MatrixEnv{Texts: x}).Parts[0].Content.Body, "2026-03-01 12:00 +02:00")
	require.Contains(t, ToMatrix(m, MatrixEnv{}).Parts[0].Content.Body, "2026-03-01 10:00 UTC")
	require.Nil(t, Quoted(teams.Message{BodyType: teams.BodyHTML, Body: "x"}, MatrixEnv{}))
}

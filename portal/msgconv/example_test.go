package msgconv_test

import (
	"fmt"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal/msgconv"
	"teamsbridge/teams"
)

// directory knows one person on both sides.
type directory struct{}

func (directory) Mention(userID string) (id.UserID, string, bool) {
	if userID == "4c90" {
		return "@ana:example.org", "Ana", true
	}
	return "", "", false
}

func (directory) ByUPN(string) (string, bool) { return "", false }

func (directory) Person(mxid id.UserID) (userID, name string, ok bool) {
	if mxid == "@ana:example.org" {
		return "4c90", "Ana", true
	}
	return "", "", false
}

// A message with a code snippet: what it needs is asked for first, fetched by
// the caller, and handed in.
func ExampleToMatrix() {
	message := teams.Message{
		Channel:  teams.ChannelRef{TeamID: "t", ChannelID: "c"},
		BodyType: teams.BodyHTML,
		Body:     `<p><at id="0">Ana</at>, is this right?</p><attachment id="1"></attachment>`,
		Mentions: []teams.Mention{{ID: 0, Text: "Ana", User: &teams.Identity{ID: "4c90", DisplayName: "Ana"}}},
		Attachments: []teams.Attachment{{ID: "1", ContentType: "application/vnd.microsoft.card.codesnippet",
			Content: `{"language":"Go","codeSnippetUrl":"https://graph.microsoft.com/v1.0/teams/t/channels/c/messages/1/hostedContents/a/$value"}`}},
	}
	env := msgconv.MatrixEnv{People: directory{}, Snippets: map[string]msgconv.Snippet{}}
	for _, ref := range msgconv.Snippets(message) {
		env.Snippets[ref.URL] = msgconv.Snippet{Text: "x := 1"} // read from ref.URL
	}
	for _, part := range msgconv.ToMatrix(message, env).Parts {
		fmt.Printf("%q %s\n", part.ID, part.Content.FormattedBody)
	}
	// Output:
	// "" <a href="https://matrix.to/#/@ana:example.org">Ana</a>, is this right?
	// "code:0" <pre><code class="language-go">x := 1</code></pre>
}

// A message from Matrix that somebody else's account posts.
func ExampleToTeams() {
	drafts, err := msgconv.ToTeams(&event.MessageEventContent{
		MsgType: event.MsgText, Body: "Ana: done!", Format: event.FormatHTML,
		FormattedBody: `<a href="https://matrix.to/#/@ana:example.org">Ana</a>: <strong>done!</strong>`,
	}, msgconv.TeamsEnv{People: directory{}, Author: &msgconv.Author{Name: "Bob"}})
	if err != nil {
		panic(err)
	}
	fmt.Println(drafts[0].HTML)
	fmt.Println(drafts[0].Mentions[0].User.ID)
	// Output:
	// <b>Bob</b>: <at id="0">Ana</at>: <strong>done!</strong>
	// 4c90
}

package msgconv

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"

	"teamsbridge/texts"
)

// FuzzPresentPoll: whatever an event is, what is shown of it is one, which says
// of itself what its type says and nothing that its sender made up; a poll goes
// to Teams within the limits.
func FuzzPresentPoll(f *testing.F) {
	for _, kind := range []string{"m.poll.start", "org.matrix.msc3381.poll.start", "m.poll.response", "org.matrix.msc3381.poll.response", "m.poll.end", "m.room.message"} {
		f.Add(kind, `{"m.poll":{"question":{"m.text":[{"body":"Q"}]},"answers":[{"m.id":"a","m.text":"A"}],"max_selections":2}}`)
		f.Add(kind, `{"org.matrix.msc3381.poll.start":{"question":{"body":"<b>Q"},"answers":[{"id":"a","org.matrix.msc1767.text":"A"},null]}}`)
		f.Add(kind, `{"m.selections":["a"],"m.relates_to":{"rel_type":"m.replace","event_id":"$p"},"m.new_content":{"m.poll":{}}}`)
		f.Add(kind, `{"org.teamsbridge.poll":{"kind":"vote","of":"$p"},"body":"\u0000"}`)
	}
	f.Fuzz(func(t *testing.T, kind, content string) {
		if !json.Valid([]byte(content)) {
			return
		}
		name, err := json.Marshal(kind)
		require.NoError(t, err)
		shown := PresentPoll(texts.Texts{}, json.RawMessage(`{"type":`+string(name)+`,"content":`+content+`}`))
		var evt struct {
			Type    string         `json:"type"`
			Content map[string]any `json:"content"`
		}
		if json.Unmarshal(shown, &evt) != nil {
			return // the content is no object
		}
		mark := PollMarkOf(evt.Content)
		if !IsPoll(kind) {
			require.Nil(t, mark)
			return
		}
		require.Equal(t, event.EventMessage.Type, evt.Type)
		require.NotNil(t, mark)
		require.Equal(t, pollEvents[kind], mark.Kind)
		require.LessOrEqual(t, len(mark.Answers), maxAnswers)
		if mark.Kind != PollStart {
			return
		}
		require.LessOrEqual(t, len(mark.Poll.Answers), maxAnswers)
		var ids []string
		for _, a := range mark.Poll.Answers {
			ids = append(ids, a.ID)
		}
		r := mark.Poll.Tally([]Ballot{{Event: "$1", Voter: "a", Answers: ids}, {Event: "$2", Voter: "b", Answers: slices.Concat(ids, ids)}}, time.Time{})
		require.LessOrEqual(t, r.Voters, 2)
		for _, result := range []PollResult{{}, r, mark.Poll.Tally(nil, time.UnixMilli(1))} {
			drafts, err := ToTeams(&event.MessageEventContent{MsgType: event.MsgText, Body: mark.Poll.Text(texts.Texts{}, result)}, TeamsEnv{People: staff{}})
			require.NoError(t, err)
			for _, d := range drafts {
				checkDraft(t, d)
			}
		}
	})
}

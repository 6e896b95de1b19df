package msgconv

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/texts"
)

func TestPresentPollMarksWhatEventsWere(t *testing.T) {
	for name, test := range map[string]struct {
		raw  string
		want PollMark
	}{
		"a vote":                 {`{"type":"m.poll.response","content":{"m.relates_to":{"rel_type":"m.reference","event_id":"$p"},"m.selections":["a","a","b"]}}`, PollMark{Kind: PollVote, Of: "$p", Answers: []string{"a", "b"}}},
		"an unstable vote":       {`{"type":"org.matrix.msc3381.poll.response","content":{"m.relates_to":{"event_id":"$p"},"org.matrix.msc3381.poll.response":{"answers":["a"]}}}`, PollMark{Kind: PollVote, Of: "$p", Answers: []string{"a"}}},
		"a vote for nothing":     {`{"type":"m.poll.response","content":{"m.relates_to":{"event_id":"$p"},"m.selections":[]}}`, PollMark{Kind: PollVote, Of: "$p"}},
		"an unreadable vote":     {`{"type":"m.poll.response","content":{"m.relates_to":{"event_id":"$p"},"m.selections":["a",7]}}`, PollMark{Kind: PollVote, Of: "$p"}},
		"a vote for too many":    {`{"type":"m.poll.response","content":{"m.relates_to":{"event_id":"$p"},"m.selections":["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16","17","18","19","20","21"]}}`, PollMark{Kind: PollVote, Of: "$p"}},
		"a vote without content": {`{"type":"m.poll.response"}`, PollMark{Kind: PollVote}},
		"a vote about a list":    {`{"type":"m.poll.response","content":{"m.relates_to":[]}}`, PollMark{Kind: PollVote}},
		"an end":                 {`{"type":"m.poll.end","content":{"m.relates_to":{"event_id":"$p"},"m.text":"!teams logout"}}`, PollMark{Kind: PollEnd, Of: "$p"}},
		"an unstable end":        {`{"type":"org.matrix.msc3381.poll.end","content":{"m.relates_to":{"event_id":"$p"}}}`, PollMark{Kind: PollEnd, Of: "$p"}},
		"a forged mark":          {`{"type":"m.poll.end","content":{"m.relates_to":{"event_id":"$p"},"org.teamsbridge.poll":{"kind":"vote"}}}`, PollMark{Kind: PollEnd, Of: "$p"}},
		"an empty poll":          {`{"type":"m.poll.start","content":{}}`, PollMark{Kind: PollStart, Poll: &Poll{Most: 1, Undisclosed: true}}},
		"an odd poll": {`{"type":"m.poll.start","content":{"m.poll":{"max_selections":0,"kind":"x.y","question":{"m.text":"Q"},"answers":[{"m.id":7,"m.text":"A"},null,{"id":"b"}]}}}`,
			PollMark{Kind: PollStart, Poll: &Poll{Question: "Q", Most: 1, Undisclosed: true, Answers: []PollAnswer{{Text: "A"}, {}, {ID: "b"}}}}},
	} {
		got := PresentPoll(texts.Texts{}, json.RawMessage(test.raw))
		var evt struct {
			Type    string
			Content map[string]any
		}
		require.NoError(t, json.Unmarshal(got, &evt), name)
		require.Equal(t, "m.room.message", evt.Type, name)
		require.NotEmpty(t, evt.Content["body"], name)
		mark := PollMarkOf(evt.Content)
		require.NotNil(t, mark, name)
		require.Equal(t, test.want, *mark, name)
		if mark.Kind != PollStart {
			require.NotContains(t, evt.Content, "m.relates_to", "%s: the framework would look for it", name)
		}
	}
}

func TestPresentPollKeepsWhatAMessageNeeds(t *testing.T) {
	raw := `{"event_id":"$e","sender":"@a:b","origin_server_ts":9007199254740993,"type":"m.poll.start","content":{
		"m.relates_to":{"rel_type":"m.thread","event_id":"$r"},"m.mentions":{"user_ids":["@c:d"]},"com.beeper.per_message_profile":{"id":"x","displayname":"X"},
		"m.poll":{"question":{"m.text":[{"body":"Q"}]},"answers":[{"m.id":"a","m.text":[{"body":"A"}]}]}}}`
	require.JSONEq(t, `{"event_id":"$e","sender":"@a:b","origin_server_ts":9007199254740993,"type":"m.room.message","content":{
		"msgtype":"m.text","body":"📊 Poll: Q\n1. A",
		"m.relates_to":{"rel_type":"m.thread","event_id":"$r"},"m.mentions":{"user_ids":["@c:d"]},"com.beeper.per_message_profile":{"id":"x","displayname":"X"},
		"org.teamsbridge.poll":{"kind":"start","poll":{"question":"Q","answers":[{"id":"a","text":"A"}],"most":1,"undisclosed":true}}}}`,
		string(PresentPoll(texts.Texts{}, json.RawMessage(raw))))

	edit := `{"type":"m.poll.start","content":{"m.relates_to":{"rel_type":"m.replace","event_id":"$r"},"m.new_content":{"m.poll":{"kind":"m.disclosed","question":{"m.text":[{"body":"Q"}]}}}}}`
	require.JSONEq(t, `{"type":"m.room.message","content":{"msgtype":"m.text","body":"📊 Poll: Q",
		"m.relates_to":{"rel_type":"m.replace","event_id":"$r"},"m.new_content":{"msgtype":"m.text","body":"📊 Poll: Q"},
		"org.teamsbridge.poll":{"kind":"start","poll":{"question":"Q","answers":null,"most":1}}}}`,
		string(PresentPoll(texts.Texts{}, json.RawMessage(edit))))
}

// What is no poll is left alone, except that nobody else can mark it.
func TestPresentPollOfOtherEvents(t *testing.T) {
	for _, raw := range []string{
		`{"type":"m.room.message","content":{"body":"x  y", "n":1.50}}`, `{"type":"m.poll.start","state_key":"","content":{}}`,
		`{"type":"m.reaction"}`, `[]`, `?`, `{"type":7}`, `{"type":"m.room.message","content":{"body":"org.teamsbridge.poll \u2713"}}`,
	} {
		require.Equal(t, raw, string(PresentPoll(texts.Texts{}, json.RawMessage(raw))))
	}
	for _, key := range []string{"org.teamsbridge.poll", `org.teamsbridge\u002epoll`} {
		raw := `{"type":"m.room.message","content":{"body":"x","` + key + `":{"kind":"vote","of":"$p"}}}`
		require.JSONEq(t, `{"type":"m.room.message","content":{"body":"x"}}`, string(PresentPoll(texts.Texts{}, json.RawMessage(raw))), key)
	}
	for _, content := range []map[string]any{nil, {"body": "x"}, {PollField: nil}, {PollField: "vote"}, {PollField: map[string]any{"of": "$p"}}} {
		require.Nil(t, PollMarkOf(content))
	}
	retracted := RetractedVote(json.RawMessage(`{"type":"m.room.redaction","redacts":"$v","content":{}}`), "$v")
	var evt struct{ Content map[string]any }
	require.NoError(t, json.Unmarshal(retracted, &evt))
	require.Equal(t, &PollMark{Kind: PollRetract, Of: "$v"}, PollMarkOf(evt.Content))
}

func TestTallyDoesNotDependOnTheOrder(t *testing.T) {
	p := Poll{Most: 2, Answers: []PollAnswer{{ID: "a"}, {ID: "b"}, {ID: "c"}}}
	at := time.UnixMilli
	ballots := []Ballot{
		{Event: "$1", Voter: "x", At: at(1), Answers: []string{"a", "b", "c"}},
		{Event: "$2", Voter: "x", At: at(9), Answers: []string{"c"}},
		{Event: "$3", Voter: "y", At: at(2), Answers: []string{"a"}},
		{Event: "$4", Voter: "y", At: at(3), Answers: []string{"a", "?"}},
		{Event: "$5", Voter: "z", At: at(4), Answers: []string{"c"}},
		{Event: "$6", Voter: "z", At: at(4), Answers: []string{"b"}},
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	ballots = append(ballots, ballots...)
	for range 100 {
		rnd.Shuffle(len(ballots), func(i, j int) { ballots[i], ballots[j] = ballots[j], ballots[i] })
		require.Equal(t, PollResult{Counts: []int{0, 1, 1}, Voters: 2}, p.Tally(ballots, time.Time{}))
		require.Equal(t, PollResult{Counts: []int{1, 2, 0}, Voters: 2, Ended: true}, p.Tally(ballots, at(8)))
	}
	require.Equal(t, PollResult{Counts: []int{}}, Poll{}.Tally(ballots, time.Time{}))
}

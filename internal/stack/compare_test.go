package stack

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/teams/teamstest"
)

// inTeams is a channel in which the texts were said, with ids 1, 2, …
func inTeams(texts ...string) []teamstest.MessageState {
	var out []teamstest.MessageState
	for i, text := range texts {
		out = append(out, teamstest.MessageState{ID: fmt.Sprint(i + 1), ContentType: "html", Content: text, Created: time.UnixMilli(int64(i + 1))})
	}
	return out
}

// replyInTeams is a post with a reply.
func replyInTeams(post, reply string) []teamstest.MessageState {
	out := inTeams(post, reply)
	out[1].RootID, out[0].Replies = out[0].ID, out[1:]
	return out[:1]
}

// shown is the event of a Teams message, or of nothing but itself without one.
func shown(message, part, text string) Entry {
	e := Entry{EventID: id.EventID("$" + text + message + part), Sender: "@somebody:here", MsgType: event.MsgText, Body: text, Reactions: map[string][]id.UserID{}, Raw: map[string]any{}}
	if message != "" {
		e.Raw["org.teamsbridge.source"] = "team/channel/" + message + "/100/" + part
	}
	return e
}

func TestCompare(t *testing.T) {
	nobody := func(id.UserID) bool { return false }
	one, two := shown("1", "new:0", "one"), shown("2", "new:0", "two")
	again := one
	again.EventID = "$again"
	edited := shown("1", "edit:0", "one")
	added := shown("1", "new:1@77", "")
	picture := shown("1", "new:0", "one")
	picture.MsgType = event.MsgImage
	inThread := two
	inThread.Thread = one.EventID
	redacted := again
	redacted.Redacted = true
	liked := one
	liked.Reactions = map[string][]id.UserID{"👍": {"@a:here"}}
	ofMatrix := func(texts ...string) []Entry {
		var out []Entry
		for _, text := range texts {
			out = append(out, shown("", "", text))
		}
		return out
	}
	for _, test := range []struct {
		name  string
		teams []teamstest.MessageState
		room  []Entry
		late  map[string]bool
		want  []string // a part of each difference
	}{
		{"equal", inTeams("one", "two"), []Entry{one, two}, nil, nil},
		{"several parts of one message", inTeams("one"), []Entry{edited, added}, nil, nil},
		{"only in Teams", inTeams("one", "two"), []Entry{one}, nil, []string{"only in Teams"}},
		{"only in Matrix", inTeams("one"), []Entry{one, two}, nil, []string{"only in Matrix"}},
		{"twice in Matrix", inTeams("one", "two"), []Entry{one, again, two}, nil, []string{"twice in Matrix"}},
		{"edited, and there again", inTeams("one"), []Entry{edited, again}, nil, []string{"twice in Matrix"}},
		{"one of two is redacted", inTeams("one"), []Entry{one, redacted}, nil, nil},
		{"said in Matrix, twice in Teams", inTeams("one", "one"), ofMatrix("one"), nil, []string{"only in Teams"}},
		{"said twice in Matrix, once in Teams", inTeams("one"), ofMatrix("one", "one"), nil, []string{"only in Matrix"}},
		{"other words", inTeams("one"), []Entry{shown("1", "new:0", "other")}, nil, []string{"is missing"}},
		{"another thread", inTeams("one", "two"), []Entry{one, inThread}, nil, []string{"another thread"}},
		{"read in front of its root", replyInTeams("one", "two"), []Entry{inThread, one}, nil, nil},
		{"reactions", inTeams("one"), []Entry{liked}, nil, []string{"reactions are"}},
		{"pictures", inTeams("one"), []Entry{picture}, nil, []string{"number of pictures", "is missing"}},
		{"swapped", inTeams("one", "two"), []Entry{two, one}, nil, []string{"out of order in the room"}},
		{"swapped, excused", inTeams("one", "two"), []Entry{two, one}, map[string]bool{"1": true}, nil},
		{"swapped among others, excused", inTeams("one", "two", "three"), []Entry{shown("3", "new:0", "three"), two, one}, map[string]bool{"1": true}, []string{"out of order in the room"}},
		{"swapped on the way to Teams", inTeams("one", "two"), ofMatrix("two", "one"), nil, []string{"out of order in the room"}},
		{"late through an own account", inTeams("<p>(written 2026-01-02 03:04 UTC) one</p>"), ofMatrix("one"), nil, nil},
		{"late through a relay account", inTeams("<p><b>Ben</b> (written 2026-01-02 03:04 UTC): one</p>"), ofMatrix("one"), nil, nil},
		{"crossed on the way", inTeams("one", "two"), []Entry{two, shown("", "", "one")}, nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := CompareBut(test.teams, test.room, nobody, test.late)
			require.Len(t, a.Differences, len(test.want), "%v", a.Differences)
			for i, want := range test.want {
				require.True(t, strings.Contains(a.Differences[i], want), "%q", a.Differences[i])
			}
		})
	}
}

// An edit names its source outside of the new content.
func TestEditKeepsItsSource(t *testing.T) {
	source := "team/channel/1/100/edit:0"
	raw := func(v map[string]any) (c event.Content) {
		data, err := json.Marshal(v)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(data, &c))
		return c
	}
	entries := assemble([]*event.Event{
		{ID: "$a", Type: event.EventMessage, Sender: "@a:b", Content: raw(map[string]any{"msgtype": "m.text", "body": "one", sourceField: "team/channel/1/0/new:0"})},
		{ID: "$b", Type: event.EventMessage, Sender: "@a:b", Content: raw(map[string]any{"msgtype": "m.text", "body": "* two", sourceField: source,
			"m.new_content": map[string]any{"msgtype": "m.text", "body": "two"}, "m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": "$a"}})},
	})
	require.Len(t, entries, 1)
	require.Equal(t, "two", entries[0].Body)
	require.Equal(t, "1", SourceMessage(entries[0]))
}

// What its sender has redacted is gone, also where the homeserver shows it as it was.
func TestWhatIsTakenBackIsGone(t *testing.T) {
	message := func(eventID id.EventID) *event.Event {
		return &event.Event{ID: eventID, Type: event.EventMessage, Sender: "@a:b", Content: event.Content{Raw: map[string]any{"msgtype": "m.text", "body": "one"}}}
	}
	entries := assemble([]*event.Event{
		message("$a"), message("$b"),
		{ID: "$c", Type: event.EventRedaction, Sender: "@a:b", Redacts: "$a"},
		{ID: "$d", Type: event.EventRedaction, Sender: "@other:b", Redacts: "$b"},
	})
	require.Len(t, entries, 2)
	require.True(t, entries[0].Redacted)
	require.False(t, entries[1].Redacted, "it is for the homeserver to say whether somebody else may do that")
}

func TestMisplaced(t *testing.T) {
	place := map[string]int{"a": 0, "b": 1, "c": 2, "d": 3}
	require.Empty(t, misplaced([]string{"a", "b", "d"}, place))
	require.Equal(t, []string{"a"}, misplaced([]string{"b", "c", "d", "a"}, place), "one that is late, and not all before it")
	require.Equal(t, []string{"d"}, misplaced([]string{"d", "a", "b", "c"}, place))
}

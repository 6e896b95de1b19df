package crashtest

import (
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

func inBook() (*book, *place, *person) {
	return newBook(), &place{}, &person{number: 1}
}

// entry shows what was said in Teams, or in Matrix where no message is named.
func entry(token, body, message string, mod func(e *stack.Entry)) stack.Entry {
	e := stack.Entry{EventID: id.EventID("$" + token), MsgType: event.MsgText, Body: body, Raw: map[string]any{}, Reactions: map[string][]id.UserID{}}
	if message != "" {
		e.Raw["org.teamsbridge.source"] = "t/c/" + message + "/1/new:0"
	}
	if mod != nil {
		mod(&e)
	}
	return e
}

// Every way in which a side may differ from the book is found.
func TestVerdict(t *testing.T) {
	b, at, by := inBook()
	post := b.open(inTeams, by, at, nil, "hello world", false)
	reply := b.open(inTeams, by, at, post, "an answer", false)
	gone := b.open(inTeams, by, at, nil, "taken back", false)
	gone.deleted = true
	post.reactions["🐂"] = ""
	ann := &teamstest.User{}
	good := func() []teamstest.MessageState {
		return []teamstest.MessageState{{
			ID: "1", ContentType: "html", Content: "<p>" + markup(post.text) + "</p>", Reactions: []teamstest.ReactionState{{Kind: "🐂", User: ann}},
			Replies: []teamstest.MessageState{{ID: "2", RootID: "1", ContentType: "html", Content: "<p><b>Ben</b>: " + markup(reply.text) + "</p>"}},
		}, {ID: "3", Content: gone.token, Deleted: time.Unix(1, 0)}}
	}
	check := func(on []found, m *remark) verdict {
		var v verdict
		v.check(m, inTeams, on)
		return v
	}
	fine := findInTeams(good())
	for _, m := range []*remark{post, reply, gone} {
		require.Empty(t, check(fine[m.token], m).differences)
	}
	for name, test := range map[string]struct {
		spoil func(c []teamstest.MessageState) []teamstest.MessageState
		m     *remark
		want  verdict
	}{
		"lost":          {func(c []teamstest.MessageState) []teamstest.MessageState { return c[1:] }, post, verdict{lost: 1}},
		"doubled":       {func(c []teamstest.MessageState) []teamstest.MessageState { return append(c, c[0]) }, post, verdict{doubled: 1}},
		"other text":    {func(c []teamstest.MessageState) []teamstest.MessageState { c[0].Content += "x"; return c }, post, verdict{different: 1}},
		"no reaction":   {func(c []teamstest.MessageState) []teamstest.MessageState { c[0].Reactions = nil; return c }, post, verdict{different: 1}},
		"not in thread": {func(c []teamstest.MessageState) []teamstest.MessageState { return append(c[1:], c[0].Replies[0]) }, reply, verdict{different: 1}},
		"still there":   {func(c []teamstest.MessageState) []teamstest.MessageState { c[1].Deleted = time.Time{}; return c }, gone, verdict{different: 1}},
		"too many pics": {func(c []teamstest.MessageState) []teamstest.MessageState {
			c[0].Images = make([]teamstest.Image, 1)
			return c
		}, post, verdict{different: 1}},
		"reply vanished": {func(c []teamstest.MessageState) []teamstest.MessageState { c[0].Replies = nil; return c }, reply, verdict{lost: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			v := check(findInTeams(test.spoil(good()))[test.m.token], test.m)
			require.Len(t, v.differences, 1)
			v.differences = nil
			require.Equal(t, test.want, v)
		})
	}
}

// What the homeserver told behind a younger message of the room, or not at all,
// has no place in the order; the others do.
func TestToldLate(t *testing.T) {
	r := &run{order: map[id.EventID]int{}, told: map[id.EventID]int{}}
	var entries []stack.Entry
	for i, token := range []string{"a", "b", "c", "d", "lost", "e"} {
		entries = append(entries, entry(token, token, "", nil))
		if token != "lost" { // the client never got that
			r.order[id.EventID("$"+token)] = i
		}
	}
	for i, token := range []string{"a", "c", "b", "e", "lost"} {
		r.told[id.EventID("$"+token)] = i
	}
	late := r.toldLate(entries)
	for token, want := range map[string]bool{"a": false, "b": true, "c": false, "d": true, "lost": true, "e": false} {
		require.Equal(t, want, late[id.EventID("$"+token)], token)
	}
}

func TestFindInMatrix(t *testing.T) {
	b, at, by := inBook()
	post := b.open(inTeams, by, at, nil, "hello", true)
	reply := b.open(inMatrix, by, at, post, "answer", true)
	seen := findInMatrix([]stack.Entry{
		entry(post.token, post.text, "1", func(e *stack.Entry) { e.Reactions["🐂"] = []id.UserID{"@a:b", "@c:d"} }),
		entry("picture", "picture", "1", func(e *stack.Entry) { e.MsgType = event.MsgImage }),
		entry(reply.token, reply.text, "", func(e *stack.Entry) { e.MsgType = event.MsgImage; e.Thread = id.EventID("$" + post.token) }),
		entry("again", post.text, "1", func(e *stack.Entry) { e.Redacted = true }),
	})
	require.Equal(t, map[string][]found{
		post.token:  {{text: stack.Letters(post.text), pictures: 1, reactions: []string{"🐂", "🐂"}}},
		reply.token: {{text: stack.Letters(reply.text), root: post.token, pictures: 1}},
	}, seen)
}

// What is answered is not deleted, and what is deleted is not answered.
func TestBookKeepsToWhatIsDefined(t *testing.T) {
	b, at, by := inBook()
	rng := rand.New(rand.NewPCG(1, 1))
	post := b.open(inTeams, by, at, nil, "hello", false)
	require.Nil(t, b.answer(rng, inTeams, at), "it has no id yet")
	b.seen(post.token, inTeams, "", "1")
	require.Nil(t, b.answer(rng, inMatrix, at), "Matrix does not have it yet")
	deletable := func(m *remark) bool {
		free := m.replies == 0
		m.closed = m.closed || free
		return free
	}
	require.Nil(t, b.change(rng, inMatrix, at, deletable), "it was said in Teams")
	require.Equal(t, post, b.change(rng, inTeams, at, deletable))
	require.Nil(t, b.answer(rng, inTeams, at), "it is about to be deleted")
	b.done(post, nil)
	require.Nil(t, b.answer(rng, inTeams, at), "it may have been deleted")

	other := b.open(inTeams, by, at, nil, "hello", false)
	b.seen(other.token, inTeams, "", "2")
	require.Equal(t, other, b.answer(rng, inTeams, at))
	require.Nil(t, b.change(rng, inTeams, at, func(m *remark) bool { return m == other && deletable(m) }))
	_, arrived := b.counts(inTeams)
	require.Zero(t, arrived)
	b.seen(other.token, inMatrix, "$2", "")
	b.seen(other.token, inMatrix, "$3", "")
	_, arrived = b.counts(inTeams)
	require.Equal(t, 1, arrived)
	require.EqualValues(t, "$2", other.event)
}

func TestMetricsAtRest(t *testing.T) {
	parse := func(text string) metrics {
		m, err := parseMetrics(strings.NewReader(text))
		require.NoError(t, err)
		return m
	}
	require.Error(t, parse("# HELP x\n").atRest(), "a bridge that tells nothing is not at rest")
	const rest = "teamsbridge_journal_rows 0\nteamsbridge_outbox_rows{state=\"failed\"} 2\n"
	require.NoError(t, parse(rest).atRest())
	for _, more := range []string{"teamsbridge_outbox_rows{state=\"sent\"} 1", "teamsbridge_inbox_rows{state=\"pending\"} 1",
		"teamsbridge_notifications{state=\"pending\"} 3", "teamsbridge_reader_lag_seconds 0.5"} {
		require.Error(t, parse(rest+more+"\n").atRest(), more)
	}
	_, err := parseMetrics(io.MultiReader(strings.NewReader("x y z\n")))
	require.Error(t, err)
}

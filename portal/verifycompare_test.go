package portal

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/teams"
)

var (
	compareCh  = teams.ChannelRef{TeamID: "t", ChannelID: "c"}
	compareNow = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
)

func at(minutes int) time.Time { return compareNow.Add(time.Duration(minutes-60) * time.Minute) }

// healthy is a conversation with one message of each direction, a thread, and
// reactions, in order on both sides.
func healthy() *sides {
	in := func(n int, root string, thread string) (teamsSide, matrixSide, rowSide, database.InboxRow) {
		remote, event := fmt.Sprint(n), fmt.Sprintf("$in%d", n)
		t := teamsSide{ID: remote, Root: root, Author: "dave", Created: at(n), Modified: at(n), Version: int64(n), Hash: "h" + remote, Print: "p" + remote,
			Parts: []shownPart{{hash: "part" + remote}}}
		e := matrixSide{ID: event, Sender: "@teams_dave:hs", Pos: n, At: at(n), Own: true, Source: SourceKey(compareCh, remote, 0, "new:"), Thread: thread,
			Hashes: []string{"part" + remote}}
		row := rowSide{Event: event, Message: MessageID(compareCh, remote), Remote: remote, SenderMXID: e.Sender, Ghost: true, At: at(n),
			ContentHash: "h" + remote, PartHash: "part" + remote, Version: int64(n)}
		if root != "" {
			row.Thread = MessageID(compareCh, root)
		}
		return t, e, row, database.InboxRow{MessageID: remote, State: database.StateDone, Version: int64(n), ReceivedAt: at(n), DeliveredAt: at(n)}
	}
	s := &sides{since: at(0), until: compareNow, memory: at(-10_000), gone: map[string]bool{}, partial: map[string]bool{},
		outbox: map[string]database.OutboxRow{}, ledger: map[string]database.InboxRow{}, journal: map[string]bool{}, edited: map[string]bool{}, removed: map[string]removal{}}
	add := func(t teamsSide, e matrixSide, row rowSide, l database.InboxRow) {
		s.teams, s.events, s.rows = append(s.teams, t), append(s.events, e), append(s.rows, row)
		s.ledger[t.ID] = l
	}
	add(in(1, "", ""))
	add(in(2, "1", "$in1"))
	add(in(3, "1", "$in1"))
	// Carol writes, and a relay account posts.
	for n := 4; n <= 5; n++ {
		remote, event := fmt.Sprint(n), fmt.Sprintf("$out%d", n)
		s.teams = append(s.teams, teamsSide{ID: remote, Author: "relay", Relay: true, Created: at(n), Modified: at(n), Version: int64(n), Hash: "h" + remote,
			Print: "p" + remote, Parts: []shownPart{{hash: "x"}}})
		s.events = append(s.events, matrixSide{ID: event, Sender: "@carol:hs", Pos: n, At: at(n), Print: "own"})
		s.rows = append(s.rows, rowSide{Event: event, Message: MessageID(compareCh, remote), Remote: remote, SenderMXID: "@carol:hs", At: at(n),
			Prints: []string{"p" + remote}, Outbound: true, Relayed: true})
		s.parts = append(s.parts, database.SentPart{EventID: event, RemoteID: remote, AccountID: "relay", Fingerprint: "p" + remote,
			State: database.StateSent, StartedAt: at(n), SentAt: at(n)})
		s.outbox[event] = database.OutboxRow{ID: int64(n), EventID: event, State: database.StateDone, EventAt: at(n), DoneAt: at(n)}
		s.ledger[remote] = database.InboxRow{MessageID: remote, State: database.StateDone, ReceivedAt: at(n), DeliveredAt: at(n)}
	}
	like := reactionKey{"dave", "👍"}
	s.teams[0].Reactions = []teamsReaction{{reactionKey: like}}
	s.reactRows = []reactionRow{{Event: "$like", Message: MessageID(compareCh, "1"), reactionKey: like}}
	s.reactions = []reactionEvent{{ID: "$like", Sender: "@teams_dave:hs", Target: "$in1", Emoji: "👍", At: at(6), Own: true, Person: "dave"}}
	return s
}

func TestCompare(t *testing.T) {
	dropEvent := func(s *sides, event string) {
		s.events = slices.DeleteFunc(s.events, func(e matrixSide) bool { return e.ID == event })
	}
	dropRow := func(s *sides, event string) {
		s.rows = slices.DeleteFunc(s.rows, func(r rowSide) bool { return r.Event == event })
	}
	type finding struct {
		class  Class
		id     string
		how    fix
		reason string
	}
	for name, tc := range map[string]struct {
		change func(s *sides)
		want   []finding
		check  func(t *testing.T, r *Report)
	}{
		"all is well": {change: func(*sides) {}, check: func(t *testing.T, r *Report) {
			require.Equal(t, 5, r.InTeams)
			require.Empty(t, r.Left)
		}},
		"an event is gone":       {func(s *sides) { dropEvent(s, "$in2") }, []finding{{MissingInMatrix, "2", fixResend, ""}}, nil},
		"event and row are gone": {func(s *sides) { dropEvent(s, "$in2"); dropRow(s, "$in2") }, []finding{{MissingInMatrix, "2", fixRedeliver, ""}}, nil},
		"a row is gone":          {func(s *sides) { dropRow(s, "$in2") }, []finding{{Unknown, "2", fixRedeliver, ""}}, nil},
		"redacted by the bridge": {func(s *sides) { s.events[1].Redacted = true; s.removed["$in2"] = removal{Own: true} }, []finding{{MissingInMatrix, "2", fixResend, ""}}, nil},
		"pending in the ledger":  {func(s *sides) { dropEvent(s, "$in2"); setState(s, "2", database.StatePending) }, nil, onTheWay(1)},
		"parked in the ledger":   {func(s *sides) { dropEvent(s, "$in2"); setState(s, "2", database.StateParked) }, nil, func(t *testing.T, r *Report) { require.Equal(t, map[string]int{"to Matrix: why": 1}, r.Failed) }},
		"dropped by an administrator": {func(s *sides) {
			dropEvent(s, "$in2")
			dropRow(s, "$in2")
			l := s.ledger["2"]
			l.Reason = ReasonDropped
			s.ledger["2"] = l
		}, nil, func(t *testing.T, r *Report) {
			require.Equal(t, map[string]int{"to Matrix: " + ReasonDropped: 1}, r.Failed)
		}},
		"young":                     {func(s *sides) { dropEvent(s, "$in3"); s.until = at(2); s.events = s.events[:2]; s.teams = s.teams[:3] }, nil, onTheWay(1)},
		"from before mirroring":     {func(s *sides) { dropEvent(s, "$in1"); dropRow(s, "$in1"); s.mirrored = at(2) }, nil, left(LeftHistory)},
		"nothing to show":           {func(s *sides) { dropEvent(s, "$in3"); dropRow(s, "$in3"); s.teams[2].Parts = nil }, nil, nil},
		"a system message":          {func(s *sides) { dropEvent(s, "$in3"); dropRow(s, "$in3"); s.teams[2].System = true }, nil, nil},
		"an edit nobody told of":    {func(s *sides) { s.teams[1].Hash = "new"; s.teams[1].Parts[0].hash = "new" }, []finding{{DifferentText, "2", fixRedeliver, ""}}, nil},
		"told in another form":      {func(s *sides) { s.teams[1].Hash = "other" }, nil, nil},
		"an edit's event is gone":   {func(s *sides) { s.events[1].Hashes = []string{"old"} }, []finding{{DifferentText, "2", fixReshow, ""}}, nil},
		"not readable":              {func(s *sides) { s.events[1].Hashes = nil }, nil, nil},
		"a row newer than the list": {func(s *sides) { s.teams[1].Hash = "old"; s.teams[1].Parts[0].hash = "old"; s.rows[1].Version = 9 }, nil, nil},
		"deleted in Teams":          {func(s *sides) { s.teams[1].Deleted = true }, []finding{{DeletedInTeams, "2", fixRedeliver, ""}}, nil},
		"deleted, and the row says": {func(s *sides) { s.teams[1].Deleted = true; s.rows[1].Deleted = true }, []finding{{DeletedInTeams, "2", fixRedelete, ""}}, nil},
		"a placeholder":             {func(s *sides) { s.teams[0].Deleted = true; s.rows[0].Deleted = true; s.rows[0].Placeholder = true }, nil, nil},
		"undeleted in Teams":        {func(s *sides) { s.rows[1].Deleted = true; s.events[1].Redacted = true }, []finding{{DeletedInMatrix, "2", fixRedeliver, ""}}, nil},
		"redacted by its author": {func(s *sides) {
			s.events[3].Redacted = true
			s.removed["$out4"] = removal{Sender: "@carol:hs", By: "@carol:hs", Redaction: "$r"}
		}, []finding{{DeletedInMatrix, "4", fixRequeue, ""}}, nil},
		"its redaction waits": {func(s *sides) {
			s.events[3].Redacted = true
			s.removed["$out4"] = removal{By: "@carol:hs", Redaction: "$r"}
			s.outbox["$r"] = database.OutboxRow{State: database.StateQueued}
		}, nil, onTheWay(1)},
		"its redaction was refused": {func(s *sides) {
			s.events[3].Redacted = true
			s.removed["$out4"] = removal{By: "@carol:hs", Redaction: "$r"}
			s.outbox["$r"] = database.OutboxRow{State: "parked", Reason: "why"}
		}, nil, func(t *testing.T, r *Report) { require.Equal(t, map[string]int{"deletion: why": 1}, r.Failed) }},
		"Teams has lost the deletion": {func(s *sides) {
			s.events[3].Redacted = true
			s.removed["$out4"] = removal{By: "@carol:hs", Redaction: "$r"}
			s.outbox["$r"] = database.OutboxRow{State: database.StateDone, DoneAt: at(9)}
		}, []finding{{DeletedInMatrix, "4", fixDeletePost, ""}}, nil},
		"a moderator": {func(s *sides) {
			s.events[3].Redacted = true
			s.removed["$out4"] = removal{Sender: "@carol:hs", By: "@mod:hs", Redaction: "$r"}
		}, nil, left(LeftModerated)},
		"never taken": {func(s *sides) {
			s.events = append(s.events, matrixSide{ID: "$new", Sender: "@carol:hs", Pos: 9, At: at(9)})
		}, []finding{{MissingInTeams, "$new", fixRequeue, ""}}, nil},
		"in the journal": {func(s *sides) {
			s.events = append(s.events, matrixSide{ID: "$new", Sender: "@carol:hs", Pos: 9, At: at(9)})
			s.journal["$new"] = true
		}, nil, onTheWay(1)},
		"given up with a reason": {func(s *sides) {
			s.events = append(s.events, matrixSide{ID: "$new", Sender: "@carol:hs", Pos: 9, At: at(9)})
			s.outbox["$new"] = database.OutboxRow{State: "parked", Reason: "why"}
		}, nil, func(t *testing.T, r *Report) { require.Equal(t, map[string]int{"to Teams: why": 1}, r.Failed) }},
		"a notice of another bot": {func(s *sides) {
			s.events = append(s.events, matrixSide{ID: "$new", Sender: "@carol:hs", Pos: 9, At: at(9), Unwanted: true})
		}, nil, left(LeftNotForward)},
		"from before the outbox remembers": {func(s *sides) {
			s.events = append(s.events, matrixSide{ID: "$new", Sender: "@carol:hs", Pos: 9, At: at(9)})
			s.memory = at(20)
		}, nil, left(LeftForgotten)},
		"removed from Teams altogether": {func(s *sides) {
			s.teams = slices.Delete(s.teams, 3, 4)
			s.gone["4"] = true
		}, []finding{{GoneInTeams, "4", fixNone, whyGone}}, nil},
		"not listed, not asked for": {func(s *sides) { s.teams = slices.Delete(s.teams, 3, 4) }, nil, nil},
		"doubled in Matrix": {func(s *sides) {
			twin := s.events[1]
			twin.ID, twin.Pos = "$twin", 9
			s.events = append(s.events, twin)
		}, []finding{{DoubledInMatrix, "2", fixRedact, ""}}, nil},
		"doubled in Teams": {func(s *sides) {
			twin := s.teams[3]
			twin.ID, twin.Created = "9", at(6)
			s.teams = append(s.teams, twin)
		}, []finding{{DoubledInTeams, "9", fixDeletePost, ""}}, nil},
		"doubled in Teams by another relay account": {func(s *sides) {
			twin := s.teams[3]
			twin.ID, twin.Author, twin.Created = "9", "relay2", at(6)
			s.teams = append(s.teams, twin)
		}, []finding{{DoubledInTeams, "9", fixDeletePost, ""}}, nil},
		"of two in Teams the first is deleted": {func(s *sides) {
			twin := s.teams[3]
			twin.ID, twin.Created = "9", at(6)
			s.teams[3].Deleted, s.rows[3].Deleted, s.events[3].Redacted = true, true, true
			s.teams = append(s.teams, twin)
		}, []finding{{MissingInMatrix, "9", fixRedeliver, ""}}, nil},
		"of two in Teams the first is gone": {func(s *sides) {
			s.teams[3].ID, s.teams[3].Created, s.gone["4"] = "9", at(6), true
		}, []finding{{MissingInMatrix, "9", fixRedeliver, ""}, {GoneInTeams, "4", fixNone, whyGone}}, nil},
		"of two in Teams the first was not asked for": {func(s *sides) { s.teams[3].ID, s.teams[3].Created = "9", at(6) }, nil, func(t *testing.T, r *Report) {
			require.Equal(t, map[string]int{UnseenOneByOne: 1}, r.Unseen)
		}},
		"an event is gone, and a later post differs": {second(database.StateSent, func(s *sides) {
			dropEvent(s, "$out4")
			s.teams[5].Print, s.teams[5].Edited, s.rows[3].Before, s.rows[3].EditedMS = "old", at(8), []string{"old"}, at(9).UnixMilli()
		}), []finding{{MissingInMatrix, "4", fixNone, whyOwnParts}}, nil},
		"the same by a relay account and its author's own": {func(s *sides) {
			s.teams[3].Author, s.teams[3].Relay, s.parts[0].AccountID = "carol", false, "carol"
			twin := s.teams[3]
			twin.ID, twin.Author, twin.Relay, twin.Created = "9", "relay", true, at(6)
			s.teams = append(s.teams, twin)
		}, []finding{{MissingInMatrix, "9", fixRedeliver, ""}}, nil},
		"its picture is another one in Teams":   {picture(func(s *sides) { s.teams[1].Hash = "new"; s.teams[1].Parts[1].source = "other" }), []finding{{DifferentMedia, "2", fixRedeliver, ""}}, nil},
		"its picture is another one in Matrix":  {picture(func(s *sides) { s.events[5].Media = "mxc://hs/other" }), []finding{{DifferentMedia, "2", fixReshow, ""}}, nil},
		"a picture, all well":                   {picture(func(s *sides) { s.teams[1].Hash = "told in another form" }), nil, nil},
		"its file is gone in Teams":             {func(s *sides) { s.parts[0].Attachment = "F1"; s.teams[3].Files = []string{"f2"} }, []finding{{DifferentMedia, "4", fixNone, whyFile}}, nil},
		"a file, all well":                      {func(s *sides) { s.parts[0].Attachment = "F1"; s.teams[3].File, s.teams[3].Files = "f1", []string{"f1"} }, nil, nil},
		"two posts, all well":                   {second(database.StateSent, nil), nil, nil},
		"its second post is gone":               {second(database.StateSent, func(s *sides) { s.teams = s.teams[:5]; s.gone["8"] = true }), []finding{{GoneInTeams, "8", fixNone, whyGone}}, nil},
		"its second post is deleted":            {second(database.StateSent, func(s *sides) { s.teams[5].Deleted = true }), []finding{{DeletedInTeams, "8", fixRedeliver, ""}}, nil},
		"that is known":                         {second(database.PartDeleted, func(s *sides) { s.teams[5].Deleted = true }), nil, nil},
		"its second post is there all the same": {second(database.PartDeleted, nil), []finding{{DeletedInMatrix, "8", fixDeletePart, ""}}, nil},
		"its second post is left": {second(database.StateSent, func(s *sides) {
			s.teams[3].Deleted, s.rows[3].Deleted, s.events[3].Redacted = true, true, true
		}), []finding{{DeletedInMatrix, "8", fixNone, whyRest}}, nil},
		"its rest was given up": {second(database.StateSent, func(s *sides) {
			s.outbox["$out4"] = database.OutboxRow{State: database.StateParked, Reason: "why"}
		}), nil, func(t *testing.T, r *Report) {
			require.Equal(t, map[string]int{"to Teams, which has a part: why": 1}, r.Failed)
		}},
		"its rest is on the way": {second(database.StateSent, func(s *sides) {
			s.outbox["$out4"] = database.OutboxRow{State: database.StateSending}
		}), nil, onTheWay(1)},
		"said twice, and nobody knows of the second": {func(s *sides) {
			twin := s.teams[3]
			twin.ID = "9"
			s.teams = append(s.teams, twin)
			s.parts = append(s.parts, database.SentPart{EventID: "$again", AccountID: "relay", Fingerprint: "p4", State: database.StateSending, StartedAt: at(4)})
		}, nil, onTheWay(1)},
		"said twice, long after": {func(s *sides) {
			twin := s.teams[3]
			twin.ID, twin.Created = "9", at(50)
			s.teams = append(s.teams, twin)
		}, []finding{{MissingInMatrix, "9", fixRedeliver, ""}}, nil},
		"wrong thread":        {func(s *sides) { s.events[1].Thread = "" }, []finding{{WrongThread, "2", fixResend, ""}}, nil},
		"its root came later": {func(s *sides) { s.events[1].Thread = ""; s.events[0].Pos = 3; s.events[1].Pos = 1 }, nil, nil},
		"out of order":        {func(s *sides) { s.events[1], s.events[2] = s.events[2], s.events[1] }, []finding{{OutOfOrder, "2", fixNone, whyOrder}}, nil},
		"late": {func(s *sides) {
			s.events[1], s.events[2] = s.events[2], s.events[1]
			l := s.ledger["2"]
			l.ReceivedAt = at(30)
			s.ledger["2"] = l
		}, nil, nil},
		"out of order in Teams":          {func(s *sides) { s.teams[4].Created = at(3) }, []finding{{OutOfOrder, "5", fixNone, whyOrder}}, nil},
		"a reaction is not shown":        {func(s *sides) { s.reactRows, s.reactions = nil, nil }, []finding{{DifferentReactions, "1", fixRedeliver, ""}}, nil},
		"a reaction's event is gone":     {func(s *sides) { s.reactions = nil }, []finding{{DifferentReactions, "1", fixReaction, ""}}, nil},
		"a reaction taken back in Teams": {func(s *sides) { s.teams[0].Reactions = nil }, []finding{{DifferentReactions, "1", fixRedeliver, ""}}, nil},
		"a reaction that Teams never got": {func(s *sides) {
			s.reactions = append(s.reactions, reactionEvent{ID: "$wave", Sender: "@bob:hs", Target: "$in1", Emoji: "👋", At: at(8), Person: "bob"})
		}, []finding{{DifferentReactions, "1", fixRequeue, ""}}, nil},
		"a stranger's reaction": {func(s *sides) {
			s.reactions = append(s.reactions, reactionEvent{ID: "$wave", Sender: "@eve:hs", Target: "$in1", Emoji: "👋", At: at(8)})
		}, nil, left(LeftNotForward)},
		"reactions that Teams does not have": {func(s *sides) {
			s.reactions = append(s.reactions, reactionEvent{ID: "$text", Sender: "@bob:hs", Target: "$in1", Emoji: "+1", At: at(8), Person: "bob"},
				reactionEvent{ID: "$image", Sender: "@bob:hs", Target: "$in1", Emoji: "mxc://hs/party", At: at(8), Person: "bob"})
		}, nil, func(t *testing.T, r *Report) { require.Equal(t, 2, r.Left[LeftNotForward]) }},
		"a relay's reaction of nobody": {func(s *sides) {
			s.teams[0].Reactions = append(s.teams[0].Reactions, teamsReaction{reactionKey{"relay", "👋"}, true})
		}, []finding{{DifferentReactions, "1", fixUnreact, ""}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := healthy()
			tc.change(s)
			var r Report
			compare(s, &r)
			r.sort()
			var got []finding
			for _, f := range r.Findings {
				subject := f.Message
				if subject == "" {
					subject = string(f.Event)
				}
				got = append(got, finding{f.Class, subject, f.fix, f.Reason})
			}
			require.Equal(t, tc.want, got)
			if tc.check != nil {
				tc.check(t, &r)
			} else if len(tc.want) == 0 {
				require.Zero(t, r.OnTheWay)
				require.Empty(t, r.Failed)
			}
		})
	}
}

// picture gives Dave's second message a picture.
func picture(change func(s *sides)) func(s *sides) {
	return func(s *sides) {
		s.teams[1].Parts = append(s.teams[1].Parts, shownPart{id: "img:0", source: "there"})
		s.events = append(s.events, matrixSide{ID: "$in2i", Sender: "@teams_dave:hs", Pos: 8, At: at(2), Own: true,
			Source: SourceKey(compareCh, "2", 0, "new:img:0"), Thread: "$in1", Media: "mxc://hs/there"})
		row := s.rows[1]
		row.Event, row.Part, row.PartHash, row.Source, row.Media = "$in2i", "img:0", "i", "there", "mxc://hs/there"
		s.rows = append(s.rows, row)
		change(s)
	}
}

// second gives Carol's first message a second post in some state.
func second(state string, change func(s *sides)) func(s *sides) {
	return func(s *sides) {
		s.teams = append(s.teams, teamsSide{ID: "8", Root: "4", Author: "relay", Relay: true, Created: at(8), Modified: at(8), Version: 8, Hash: "h8", Print: "p8"})
		s.rows[3].Prints = []string{"p4", "p8"}
		s.parts = append(s.parts, database.SentPart{EventID: "$out4", Part: 1, RemoteID: "8", RootID: "4", AccountID: "relay", Fingerprint: "p8",
			State: state, StartedAt: at(8), SentAt: at(8)})
		s.ledger["8"] = database.InboxRow{MessageID: "8", State: database.StateDone, ReceivedAt: at(8), DeliveredAt: at(8)}
		if change != nil {
			change(s)
		}
	}
}

func setState(s *sides, remote, state string) {
	row := s.ledger[remote]
	row.State, row.Reason = state, "why"
	s.ledger[remote] = row
}

func onTheWay(n int) func(t *testing.T, r *Report) {
	return func(t *testing.T, r *Report) { require.Equal(t, n, r.OnTheWay) }
}

func left(reason string) func(t *testing.T, r *Report) {
	return func(t *testing.T, r *Report) { require.Equal(t, map[string]int{reason: 1}, r.Left) }
}

func TestShownMessage(t *testing.T) {
	for key, want := range map[string][2]string{
		SourceKey(compareCh, "17", 0, "new:"):            {"17", ""},
		SourceKey(compareCh, "17", 0, "new:img:0@1234"):  {"17", "img:0"},
		SourceKey(compareCh, "17", 9, "again:text:1"):    {"17", "text:1"},
		SourceKey(compareCh, "17", 9, "gone:abc:text:1"): {"17", "text:1"},
	} {
		remote, part, ok := shownMessage(key)
		require.True(t, ok, key)
		require.Equal(t, want, [2]string{remote, part}, key)
	}
	for _, key := range []string{"", "a/b", SourceKey(compareCh, "17", 9, "edit:"), SourceKey(compareCh, "17", 0, "react:$e:u:👍:1"), SourceKey(compareCh, "17", 0, "redact:$e")} {
		_, _, ok := shownMessage(key)
		require.False(t, ok, key)
	}
}

// FuzzCompare: whatever the sides say, comparing ends, and its result does not
// depend on anything but them.
func FuzzCompare(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, seed*7)
	}
	f.Add(uint64(72), uint64(59))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		rng := rand.New(rand.NewPCG(a, b))
		s := healthy()
		for range rng.IntN(12) {
			mangle(rng, s)
		}
		var first, second Report
		compare(s, &first)
		compare(s, &second)
		first.sort()
		second.sort()
		require.Equal(t, first, second)
		for _, found := range first.Findings {
			require.NotEmpty(t, found.Class)
			require.True(t, found.Message != "" || found.Event != id.EventID(""))
			require.True(t, found.fix != fixNone || found.Reason != "", "what nothing mends has a reason: %+v", found)
		}
	})
}

// mangle changes something at random.
func mangle(rng *rand.Rand, s *sides) {
	pick := func(n int) int { return rng.IntN(max(n, 1)) }
	coin := func() bool { return rng.IntN(2) == 0 }
	states := []string{database.StateQueued, database.StateSending, database.StateSent, database.StateDone, database.StateFailed, database.StateCancelled, "parked"}
	if len(s.teams) == 0 || len(s.events) == 0 || len(s.rows) == 0 {
		return
	}
	tm, e, row := &s.teams[pick(len(s.teams))], &s.events[pick(len(s.events))], &s.rows[pick(len(s.rows))]
	switch rng.IntN(16) {
	case 0:
		i := pick(len(s.teams))
		s.teams = slices.Delete(s.teams, i, i+1)
	case 1:
		i := pick(len(s.events))
		s.events = slices.Delete(s.events, i, i+1)
	case 2:
		i := pick(len(s.rows))
		s.rows = slices.Delete(s.rows, i, i+1)
	case 3:
		tm.Deleted = coin()
	case 4:
		e.Redacted = true
		s.removed[e.ID] = removal{By: []string{"", e.Sender, "@mod:hs"}[pick(3)], Redaction: []string{"", "$r"}[pick(2)], Own: coin()}
		s.outbox["$r"] = database.OutboxRow{State: states[pick(len(states))]}
	case 5:
		row.Deleted, row.Deleting, row.Placeholder, row.Outbound = coin(), coin(), coin(), coin()
	case 6:
		tm.Root = []string{"", "1", "9", tm.ID}[pick(4)]
	case 7:
		e.Thread = []string{"", "$in1", "$out4", e.ID, "$x"}[pick(5)]
	case 8:
		copied := *e
		copied.ID = fmt.Sprintf("$c%d", rng.Uint32())
		s.events = append(s.events, copied)
	case 9:
		copied := *tm
		copied.ID = fmt.Sprint(rng.Uint32())
		s.teams = append(s.teams, copied)
	case 10:
		tm.Hash, tm.Print, tm.Edited = "x", "x", at(pick(60))
	case 11:
		row.Prints, row.EditedMS, e.Edit = []string{"y"}, at(pick(60)).UnixMilli(), "$r"
	case 12:
		s.reactRows, s.parts = nil, nil
	case 13:
		rng.Shuffle(len(s.events), func(i, j int) { s.events[i], s.events[j] = s.events[j], s.events[i] })
	case 14:
		s.gone[row.Remote] = true
	case 15:
		row.Remote = []string{"", "1", "4"}[pick(3)]
	}
}

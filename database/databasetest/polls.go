package databasetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
)

func testPolls(t *testing.T, ctx context.Context, e *env) {
	began := e.clock.Now()
	p, err := e.db.Polls.Get(ctx, "$poll")
	require.NoError(t, err)
	require.Nil(t, p)

	// A vote may be there first, and comes twice.
	early := database.PollVote{EventID: "$early", PollID: "$poll", Portal: "c:1", Voter: "@b:x", Answers: []string{"a\x00", "b"}, VotedAt: began}
	for _, news := range []bool{true, false} {
		got, err := e.db.Polls.Vote(ctx, early)
		require.NoError(t, err)
		require.Equal(t, news, got)
	}
	foreign := database.PollVote{EventID: "$foreign", PollID: "$poll", Portal: "c:2", Voter: "@b:x", VotedAt: began}
	_, err = e.db.Polls.Vote(ctx, foreign)
	require.NoError(t, err)

	poll := database.Poll{
		EventID: "$poll", Portal: "c:1", RoomID: "!r", SenderMXID: "@a:x", SenderUserID: "u", SenderName: "A", Content: []byte("{}"), ContentAt: began,
	}
	isEarly, err := e.db.Polls.Start(ctx, poll)
	require.NoError(t, err)
	require.True(t, isEarly)
	poll.DirtyAt, poll.LastEvent = began, "$early"
	p, err = e.other.Polls.Get(ctx, "$poll")
	require.NoError(t, err)
	require.Equal(t, &poll, p)
	votes, err := e.other.Polls.Votes(ctx, p)
	require.NoError(t, err)
	require.Equal(t, []database.PollVote{early}, votes, "another room's vote is none")

	other := poll
	other.EventID = "$other"
	isEarly, err = e.db.Polls.Start(ctx, other)
	require.NoError(t, err)
	require.False(t, isEarly)

	// Since when it is dirty does not change, by what it became so does.
	e.clock.Advance(time.Second)
	require.NoError(t, e.db.Polls.Touch(ctx, "$other", "$late"))
	e.clock.Advance(time.Second)
	require.NoError(t, e.db.Polls.Touch(ctx, "$poll", "$next"))
	dirty, err := e.db.Polls.Dirty(ctx, 10)
	require.NoError(t, err)
	require.Len(t, dirty, 2)
	require.Equal(t, "$poll", dirty[0].EventID)
	require.Equal(t, began, dirty[0].DirtyAt)
	require.Equal(t, "$next", dirty[0].LastEvent)

	p, err = e.db.Polls.Claim(ctx, "$poll", began.Add(-time.Millisecond))
	require.NoError(t, err)
	require.Nil(t, p, "not yet")
	p, err = e.db.Polls.Claim(ctx, "$poll", began)
	require.NoError(t, err)
	require.Equal(t, "$next", p.LastEvent)
	p, err = e.other.Polls.Claim(ctx, "$poll", e.clock.Now())
	require.NoError(t, err)
	require.Nil(t, p, "once")
	require.NoError(t, e.db.Polls.Postpone(ctx, "$poll", e.clock.Now().Add(time.Minute)))
	dirty, err = e.db.Polls.Dirty(ctx, 1)
	require.NoError(t, err)
	require.Equal(t, "$other", dirty[0].EventID)
}

func testPollChanges(t *testing.T, ctx context.Context, e *env) {
	began := e.clock.Now()
	_, err := e.db.Polls.Start(ctx, database.Poll{EventID: "$poll", Portal: "c:1", Content: []byte("1"), ContentAt: began})
	require.NoError(t, err)
	content := func(say string, at time.Time, want bool) {
		ok, err := e.db.Polls.SetContent(ctx, "$poll", []byte(say), at)
		require.NoError(t, err)
		require.Equal(t, want, ok)
	}
	content("2", began.Add(2*time.Second), true)
	content("older", began.Add(time.Second), false)
	content("2", began.Add(2*time.Second), true)
	end := func(at time.Time, want bool) {
		ok, err := e.db.Polls.End(ctx, "$poll", at)
		require.NoError(t, err)
		require.Equal(t, want, ok)
	}
	end(began.Add(5*time.Second), true)
	end(began.Add(6*time.Second), false)
	end(began.Add(4*time.Second), true)
	end(began.Add(4*time.Second), false)
	p, err := e.other.Polls.Get(ctx, "$poll")
	require.NoError(t, err)
	require.Equal(t, "2", string(p.Content))
	require.Equal(t, began.Add(4*time.Second), p.EndedAt)

	for _, v := range []string{"$v1", "$v2"} {
		_, err = e.db.Polls.Vote(ctx, database.PollVote{EventID: v, PollID: "$poll", Portal: "c:1", Voter: "@b:x", VotedAt: began})
		require.NoError(t, err)
	}
	_, err = e.db.Polls.Vote(ctx, database.PollVote{EventID: "$lost", PollID: "$unknown", Portal: "c:1", Voter: "@b:x", VotedAt: began})
	require.NoError(t, err)
	for _, want := range []bool{true, false} {
		ok, err := e.db.Polls.Retract(ctx, "$v1")
		require.NoError(t, err)
		require.Equal(t, want, ok)
	}
	e.clock.Advance(time.Hour)
	require.NoError(t, e.db.Polls.Touch(ctx, "$poll", "$v2"))
	require.NoError(t, e.db.Polls.Purge(ctx, began.Add(time.Minute)))
	left := func(event string, want bool) {
		v, err := e.other.Polls.GetVote(ctx, event)
		require.NoError(t, err)
		require.Equal(t, want, v != nil, event)
	}
	left("$v1", false)
	left("$v2", true)
	left("$lost", false)
	require.NoError(t, e.db.Polls.Purge(ctx, began.Add(2*time.Hour)))
	left("$v2", false)
	p, err = e.db.Polls.Get(ctx, "$poll")
	require.NoError(t, err)
	require.Nil(t, p)
}

func testOutboxTallies(t *testing.T, ctx context.Context, e *env) {
	tally := row("$vote", "c:1")
	tally.Kind, tally.TargetEventID, tally.RootEventID, tally.Payload = database.KindEdit, "$poll", "$poll", []byte("1")
	enqueue(t, ctx, e, tally)
	edited, err := e.other.Outbox.EditedTargets(ctx, "c:1")
	require.NoError(t, err)
	require.Equal(t, []string{"$poll"}, edited)
	// What is sent is what stands there when the row is taken.
	read, err := e.db.Outbox.Next(ctx, "c:1")
	require.NoError(t, err)
	ok, err := e.other.Outbox.ReplacePayload(ctx, tally.ID, []byte("2"))
	require.NoError(t, err)
	require.True(t, ok)
	ok, err = e.db.Outbox.MarkSending(ctx, read)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "2", string(read.Payload))
	ok, err = e.other.Outbox.ReplacePayload(ctx, tally.ID, []byte("3"))
	require.NoError(t, err)
	require.False(t, ok)

	own := row("$edit", "c:1")
	own.Kind, own.TargetEventID = database.KindEdit, "$poll"
	enqueue(t, ctx, e, own)
	require.NoError(t, e.db.Outbox.Park(ctx, tally.ID, "why", "what"))
	require.NoError(t, e.db.Outbox.Park(ctx, own.ID, "why", "what"))
	require.NoError(t, e.db.Outbox.Supersede(ctx, "c:1", "$poll", "newer"))
	untold, err := e.db.Outbox.Untold(ctx, 0, 10)
	require.NoError(t, err)
	require.Len(t, untold, 1, "what its author wrote stays")
	require.Equal(t, "$edit", untold[0].EventID)
	edited, err = e.db.Outbox.EditedTargets(ctx, "c:1")
	require.NoError(t, err)
	require.Empty(t, edited)
}

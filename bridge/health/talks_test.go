package health

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const post = "POST channel message"

// small is a tenant in which few conversations are in use.
type small struct {
	*world
}

func newSmall(t *testing.T) *small {
	w := newWorld(t)
	w.rate = 0
	return &small{w}
}

// post lets each of the conversations try once, and time pass between.
func (s *small) post(outcome Outcome, every time.Duration, scopes ...string) {
	for _, scope := range scopes {
		s.observe(Observation{Dependency: GraphWrite, Op: post, Scope: scope, Core: true, Outcome: outcome})
		s.run(every)
	}
}

// retry is what a lane does whose message waits.
func (s *small) retry(outcome Outcome, d time.Duration, scopes ...string) {
	for end, pause := s.now.Add(d), time.Second; s.now.Before(end); pause = min(2*pause, 2*time.Minute) {
		s.post(outcome, 0, scopes...)
		s.run(pause)
	}
}

// However few conversations are in use: where all that are in use may not be
// written in any more, nobody may write. That is known before what they say is
// parked, which is after two minutes.
func TestRevokedInASmallTenant(t *testing.T) {
	for n := 1; n <= 6; n++ {
		t.Run(fmt.Sprint(n, " in use"), func(t *testing.T) {
			s := newSmall(t)
			var scopes []string
			for i := range n {
				scopes = append(scopes, fmt.Sprint(i))
			}
			s.post(OK, time.Minute, scopes...)
			s.retry(Forbidden, 110*time.Second, scopes...)
			require.Equal(t, PermissionRevoked, s.m.Writing().Cause)
			s.post(OK, time.Second, scopes[0])
			s.run(time.Minute)
			require.True(t, s.m.Writing().OK)
		})
	}
}

// Where others are in use, or have worked meanwhile, it is one conversation's
// problem, also when nobody else writes any more.
func TestRefusedWhereOthersMayWrite(t *testing.T) {
	s := newSmall(t)
	s.post(OK, time.Second, "a", "b", "c")
	s.retry(Forbidden, 3*time.Minute, "a")
	s.post(OK, time.Second, "b")
	s.retry(Forbidden, 12*time.Hour, "a")
	require.Zero(t, s.began)
	// It works again: what fails next may be everybody's.
	s.post(OK, time.Hour, "a")
	s.retry(Forbidden, 3*time.Minute, "a")
	require.Equal(t, PermissionRevoked, s.m.Writing().Cause)
}

// One that was never written in says nothing: whoever writes there may be no member.
func TestRefusedFromTheStart(t *testing.T) {
	s := newSmall(t)
	s.retry(Forbidden, time.Hour, "a")
	s.post(OK, time.Hour, "b")
	s.retry(Forbidden, time.Hour, "a")
	require.Zero(t, s.began)
	// What a process before knew counts.
	s = newSmall(t)
	s.m.Worked(GraphWrite, post, "a", time.Time{})
	s.m.Worked(GraphWrite, post, "b", s.now)
	s.retry(Forbidden, 3*time.Minute, "a")
	require.Zero(t, s.began, "b was in use a moment ago")
	s.run(10 * time.Minute)
	require.Equal(t, PermissionRevoked, s.m.Writing().Cause, "and is not any more")
}

// The only team that is read refuses.
func TestReadingIsRevokedInASmallTenant(t *testing.T) {
	s := newSmall(t)
	read := func(outcome Outcome) {
		s.observe(Observation{Dependency: GraphRead, Op: "GET channel messages", Scope: "a", Core: true, Outcome: outcome})
		s.run(30 * time.Second)
	}
	read(OK)
	for range 5 {
		read(Forbidden)
	}
	require.Equal(t, PermissionRevoked, s.m.Reading().Cause)
	for range 3 {
		read(OK)
	}
	require.True(t, s.m.Reading().OK)
}

// Writing is down, and one room alone is in use: that is known in two minutes,
// and the end with the first message that goes through.
func TestWritingDownWithOneConversationInUse(t *testing.T) {
	for _, outcome := range []Outcome{ServerError, Unreachable} {
		s := newSmall(t)
		s.post(OK, time.Hour, "a", "b")
		fellAt := s.now
		s.retry(outcome, 2*time.Minute+10*time.Second, "a")
		require.False(t, s.m.Writing().OK)
		require.LessOrEqual(t, s.beganAt.Sub(fellAt), 2*time.Minute)
		require.True(t, s.m.Reading().OK)
		s.retry(outcome, 12*time.Hour, "a")
		require.Equal(t, 1, s.began)
		require.Zero(t, s.ended)
		s.post(OK, time.Second, "a")
		s.run(time.Minute)
		require.True(t, s.m.Writing().OK)
	}
}

// An outage that rests on one conversation is not sure: another one is worth a
// try, until it has failed as well. So is one of which nothing was heard for long.
func TestUnsureWhereOneSpeaksForAll(t *testing.T) {
	for _, outcome := range []Outcome{ServerError, Forbidden} {
		t.Run(fmt.Sprint(outcome), func(t *testing.T) {
			s := newSmall(t)
			s.post(OK, time.Hour, "a", "b", "c", "d", "e")
			require.False(t, s.m.Writing().Unsure)
			s.retry(outcome, 3*time.Minute, "a")
			require.False(t, s.m.Writing().OK)
			require.True(t, s.m.Writing().Unsure)
			s.retry(outcome, time.Minute, "a", "b", "c", "d", "e")
			require.False(t, s.m.Writing().OK)
			require.False(t, s.m.Writing().Unsure)
			s.m.Tick()
			s.now = s.now.Add(DefaultOptions(GraphWrite).IdleFor)
			require.True(t, s.m.Writing().Unsure, "and old")
		})
	}
	// Seen in many, it is sure at once.
	s := newSmall(t)
	s.post(OK, time.Hour, "a", "b", "c")
	s.retry(ServerError, 20*time.Second, "a", "b", "c")
	require.False(t, s.m.Writing().OK)
	require.False(t, s.m.Writing().Unsure)
}

// One failure here and one there, each overcome by the next try, are no outage.
func TestOneFailureEachIsNoOutage(t *testing.T) {
	s := newSmall(t)
	s.post(OK, time.Hour, "a", "b", "c", "d")
	s.post(ServerError, 2*time.Minute, "a", "b", "c", "d")
	require.Zero(t, s.began)
}

// One that fails while another works is no outage, however long.
func TestOneFailsWhileAnotherWorks(t *testing.T) {
	s := newSmall(t)
	s.post(OK, time.Second, "a", "b")
	s.retry(ServerError, 5*time.Minute, "a")
	s.post(OK, time.Second, "b")
	s.retry(ServerError, 12*time.Hour, "a")
	require.Zero(t, s.began)
	// An outage is noticed all the same where it shows in one that works.
	s.retry(ServerError, 3*time.Minute, "b")
	require.False(t, s.m.Writing().OK)
}

// What is kept does not grow with the number of conversations.
func TestTalksAreBounded(t *testing.T) {
	s := newSmall(t)
	for i := range 2 * talksKept {
		s.now = s.now.Add(time.Millisecond)
		s.m.Observe(Observation{Dependency: GraphWrite, Op: post, Scope: fmt.Sprint(i), Core: true, Outcome: OK, At: s.now})
	}
	require.LessOrEqual(t, len(s.m.machines[GraphWrite].talks.of), talksKept)
}

package bridge

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
)

// comesLate is what was written in Teams a while ago and comes to a room now.
func (w *outageTest) comesLate(portal string, ago time.Duration, n int) {
	w.t.Helper()
	for range n {
		w.rows++
		w.fromTeams(portal, fmt.Sprint("late-", w.rows), w.clock().Add(-ago))
	}
}

// Rooms to which something came late are told once which gap was closed; with
// the outage's end where they know of the outage. The others hear nothing.
func TestRoomsAreToldOfTheGap(t *testing.T) {
	w := newOutageTest(t)
	w.read()
	w.teamsDown()
	ids := w.write(roomA, 1)
	w.pass(30 * time.Minute)
	w.teamsUp()
	w.pass(3 * time.Second)
	w.deliver(ids...)
	w.comesLate(roomA, 10*time.Minute, 1)
	w.comesLate(roomB, 10*time.Minute, 2)
	w.pass(time.Minute)
	require.Empty(t, w.to(roomB), "more may come")
	w.read()
	w.pass(6 * time.Second)
	const told = "Microsoft Teams could not be read from 10:00 to 10:30 UTC. From Teams, 2 messages of that time came here afterwards; nothing is missing."
	require.Equal(t, []string{told}, w.to(roomB))
	require.Empty(t, w.to(roomC))
	require.Len(t, w.to(roomA), 2)
	require.Contains(t, w.to(roomA)[1], "From Teams, 1 message of that time came here afterwards; nothing is missing.")
	require.False(t, w.records()[0].Drained.IsZero())
	w.restart()
	w.ask()
	w.read()
	w.pass(time.Hour)
	require.Equal(t, []string{told}, w.to(roomB))
	require.Len(t, w.to(roomA), 2)
}

// An outage of reading alone is told where it shows: in rooms to which something
// came late. Where nothing could be missed nobody is told of a gap.
func TestGapOfReadingAlone(t *testing.T) {
	for _, reading := range []bool{true, false} {
		t.Run(fmt.Sprint("reading ", reading), func(t *testing.T) {
			w := newOutageTest(t)
			w.read()
			w.cause.NoReading, w.cause.NoWriting = reading, !reading
			w.teamsDown()
			w.pass(10 * time.Minute)
			w.teamsUp()
			w.pass(3 * time.Second)
			w.comesLate(roomB, 5*time.Minute, 1)
			w.comesLate(roomC, 10*time.Second, 3) // hardly late
			w.read()
			w.pass(time.Minute)
			require.Len(t, w.to(roomB), map[bool]int{true: 1, false: 0}[reading])
			require.Empty(t, w.to(roomC))
			require.Empty(t, w.to(roomA))
		})
	}
}

// Dying at any step says nothing of a gap twice, and leaves nobody untold.
func TestCrashWhileTellingOfTheGap(t *testing.T) {
	run := func(crashAt int) (steps int) {
		w := newOutageTest(t)
		w.read()
		w.teamsDown()
		w.pass(10 * time.Minute)
		w.teamsUp()
		w.comesLate(roomB, 5*time.Minute, 2)
		w.read()
		w.mu.Lock()
		w.steps, w.crashAt = 0, crashAt
		w.mu.Unlock()
		w.pass(6 * time.Second)
		steps = w.steps
		w.pass(outageGapPatience)
		require.Len(t, w.to(roomB), 1, "crash at step %d", crashAt)
		require.False(t, w.records()[0].Drained.IsZero())
		return steps
	}
	for i, steps := 1, run(0); i <= steps; i++ {
		run(i)
	}
}

// An outage that goes on again is told of with its new gap: what was told before
// is not told again.
func TestGapThatOpensAgain(t *testing.T) {
	w := newOutageTest(t)
	w.read()
	w.teamsDown()
	w.pass(10 * time.Minute)
	w.teamsUp()
	w.pass(3 * time.Second)
	w.comesLate(roomB, 5*time.Minute, 2)
	w.read()
	w.pass(6 * time.Second)
	require.Len(t, w.to(roomB), 1)
	w.teamsDown()
	w.pass(10 * time.Minute)
	w.teamsUp()
	w.pass(3 * time.Second)
	w.comesLate(roomB, 5*time.Minute, 3)
	w.comesLate(roomC, 5*time.Minute, 1)
	w.read()
	w.pass(outageRejoin)
	require.Len(t, w.records(), 1)
	require.Len(t, w.to(roomB), 2)
	require.Contains(t, w.to(roomB)[1], "from 10:10 to 10:20 UTC. From Teams, 3 messages of that time")
	require.Len(t, w.to(roomC), 1)
}

// A room is told when its messages have come, and not never.
func TestGapIsToldAlthoughSomethingIsMissing(t *testing.T) {
	w := newOutageTest(t)
	w.read()
	w.teamsDown()
	w.pass(10 * time.Minute)
	w.teamsUp()
	w.pass(3 * time.Second)
	w.comesLate(roomB, 5*time.Minute, 1)
	_, err := w.db.Inbox.Accept(t.Context(), []database.InboxRow{{Portal: roomB, MessageID: "1", Version: 1, CreatedAt: w.clock().Add(-5 * time.Minute)}})
	require.NoError(t, err)
	w.read()
	w.pass(time.Minute)
	require.Empty(t, w.to(roomB))
	require.Len(t, w.to(ops), 2, "administrators know that Teams is back")
	w.pass(outageGapPatience)
	require.Len(t, w.to(roomB), 1)
	require.Contains(t, w.to(roomB)[0], "is still being read")
}

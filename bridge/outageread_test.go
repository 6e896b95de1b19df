package bridge

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// unreadable begins an outage of reading alone.
func (w *outageTest) unreadable() {
	w.cause.NoReading, w.cause.NoWriting = true, false
	w.teamsDown()
}

// writes is somebody writing what Teams takes.
func (w *outageTest) writes(portal string) { w.deliver(w.write(portal, 1)...) }

const (
	cantRead = "Microsoft Teams can't be read since 10:30 UTC: Microsoft's service does not answer. What is said in Teams may come here late; what you write here goes there. " +
		"You will be told here when nothing is missing any more."
	nothingMissed = "Microsoft Teams could not be read from 10:30 to 13:30 UTC. From Teams, nothing of that time is missing here."
)

// While Teams can't be read people see what they write delivered, and nobody
// answers: the rooms in which somebody writes, or did lately, are told why, and
// when nothing is missing any more. Once each, also across restarts.
func TestRoomsAreToldThatTeamsCanNotBeRead(t *testing.T) {
	w := newOutageTest(t)
	w.read()
	w.writes(roomA)
	w.pass(30 * time.Minute)
	w.unreadable()
	w.pass(time.Minute)
	require.Empty(t, w.to(roomA), "it may be over soon")
	w.pass(2 * time.Minute)
	require.Equal(t, []string{cantRead}, w.to(roomA))
	require.Empty(t, w.to(roomB))
	w.writes(roomB)
	w.pass(time.Minute)
	require.Equal(t, []string{cantRead}, w.to(roomB))
	w.writes(roomB)
	before := w.reading
	w.restart()
	w.reading = before
	w.ask()
	w.pass(3*time.Hour - 4*time.Minute)
	w.teamsUp()
	w.pass(time.Minute)
	require.Len(t, w.to(roomA), 1, "it is still being read")
	w.comesLate(roomB, time.Hour, 2)
	w.read()
	w.pass(time.Minute)
	require.Equal(t, []string{cantRead, nothingMissed}, w.to(roomA))
	require.Len(t, w.to(roomB), 2)
	require.Contains(t, w.to(roomB)[1], "2 messages of that time came here afterwards; nothing is missing.")
	require.Empty(t, w.to(roomC))
	require.False(t, w.records()[0].Drained.IsZero())
	w.restart()
	w.ask()
	w.read()
	w.pass(time.Hour)
	require.Len(t, w.to(roomA), 2)
	require.Len(t, w.to(roomB), 2)
}

// A short one is not worth a word.
func TestShortOutageOfReading(t *testing.T) {
	w := newOutageTest(t)
	w.read()
	w.writes(roomA)
	w.unreadable()
	w.pass(time.Minute)
	w.teamsUp()
	w.read()
	w.pass(time.Hour)
	require.Empty(t, w.to(roomA))
}

// When nothing can be written any more either, who waits is told that too, and of
// one end.
func TestOutageOfReadingThatBecomesOneOfWriting(t *testing.T) {
	w := newOutageTest(t)
	w.read()
	w.writes(roomA)
	w.unreadable()
	w.pass(5 * time.Minute)
	require.Len(t, w.to(roomA), 1)
	w.cause.NoWriting = true
	w.outages.changed(w.ctx, w.cause.since(w.began))
	ids := w.write(roomA, 1)
	w.pass(time.Minute)
	require.Len(t, w.to(roomA), 2)
	require.Contains(t, w.to(roomA)[1], "Microsoft Teams is unavailable")
	w.teamsUp()
	w.deliver(ids...)
	w.read()
	w.pass(time.Hour)
	require.Len(t, w.to(roomA), 3)
}

// Dying at any step tells nobody twice, and leaves nobody untold.
func TestCrashWhileTellingOfReading(t *testing.T) {
	run := func(crashAt int) (steps int) {
		w := newOutageTest(t)
		w.read()
		w.writes(roomA)
		w.writes(roomB)
		w.unreadable()
		w.pass(readNoticeAfter - outageLook)
		w.mu.Lock()
		w.steps, w.crashAt = 0, crashAt
		w.mu.Unlock()
		w.pass(2 * outageLook)
		told := w.steps
		w.pass(5 * time.Minute)
		require.Len(t, w.to(roomA), 1, "crash at step %d", crashAt)
		require.Len(t, w.to(roomB), 1, "crash at step %d", crashAt)
		w.teamsUp()
		w.read()
		w.mu.Lock()
		w.steps, w.crashAt = 0, crashAt-told
		w.mu.Unlock()
		w.pass(2 * outageLook)
		steps = told + w.steps
		w.pass(outageGapPatience)
		require.Len(t, w.to(roomA), 2, "crash at step %d", crashAt)
		require.Len(t, w.to(roomB), 2, "crash at step %d", crashAt)
		require.False(t, w.records()[0].Drained.IsZero())
		return steps
	}
	for i, steps := 1, run(0); i <= steps; i++ {
		run(i)
	}
}

// While writes fail as well, it may be more than an outage of reading: nobody is
// told that what they write goes to Teams, unless one conversation's own trouble is
// all there is to it.
func TestNobodyIsToldThatWritingWorksWhileItMayNot(t *testing.T) {
	w := newOutageTest(t)
	w.read()
	w.writes(roomA)
	doubt := true
	w.writeDoubt = func() bool { return doubt }
	w.unreadable()
	w.pass(5 * time.Minute)
	require.Empty(t, w.to(roomA))
	doubt = false
	w.pass(time.Minute)
	require.Len(t, w.to(roomA), 1)

	w = newOutageTest(t)
	w.read()
	w.writes(roomA)
	w.writeDoubt = func() bool { return true }
	w.unreadable()
	w.pass(writeDoubtFor + time.Minute)
	require.Len(t, w.to(roomA), 1)
}

package bridge

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
	"teamsbridge/portal"
)

// stays says something in a room and returns whether the policy none keeps it in
// Matrix.
func (w *outageTest) stays(said time.Time) bool {
	w.t.Helper()
	w.rows++
	ok, err := w.kept(said, said)
	require.NoError(w.t, err)
	return ok
}

func (w *outageTest) kept(said, came time.Time) (bool, error) {
	r := &retention{cfg: OutageConfig{Policy: portal.PolicyNone}, outages: w.db.Outages, goesOn: w.unwritableNow}
	return r.kept(w.t.Context(), &database.OutboxRow{Portal: roomA, EventAt: said, CreatedAt: came})
}

// With the policy none, what is said within an outage stays in Matrix, and
// nothing else: not what was said before it and waits for another reason.
func TestOnlyWhatIsSaidInAnOutageStays(t *testing.T) {
	w := newOutageTest(t)
	before := w.clock()
	w.write(roomA, 1) // it waits, so it is counted in the outage's notices
	w.pass(time.Minute)
	w.teamsDown()
	w.pass(time.Minute)
	within := w.clock()
	w.restart()
	w.ask()
	w.pass(time.Minute)
	require.False(t, w.stays(before))
	require.True(t, w.stays(within))
	require.True(t, w.stays(w.clock()))
	w.teamsUp()
	w.pass(3 * time.Second)
	require.True(t, w.stays(within), "as long as it waits")
	require.False(t, w.stays(w.clock()))

	// It goes on, and is one outage for people: what was said in between goes.
	between := w.clock()
	w.pass(time.Minute)
	w.teamsDown()
	w.pass(time.Minute)
	require.Len(t, w.records(), 1)
	require.False(t, w.stays(between))
	require.True(t, w.stays(within))
	require.True(t, w.stays(w.clock()))
}

// Where one room alone was in use, its own trouble looks like everybody's: what
// is said in another one is tried once before it stays.
func TestAnUnsureOutageCostsNobodyAMessage(t *testing.T) {
	w := newOutageTest(t)
	w.teamsDown()
	w.pass(time.Minute)
	unsure := true
	r := &retention{cfg: OutageConfig{Policy: portal.PolicyNone}, outages: w.db.Outages, goesOn: w.unwritableNow, unsure: func() bool { return unsure }}
	stays := func(attempts int) bool {
		ok, err := r.kept(t.Context(), &database.OutboxRow{Portal: roomA, EventAt: w.clock(), CreatedAt: w.clock(), Attempts: attempts})
		require.NoError(t, err)
		return ok
	}
	require.False(t, stays(0))
	require.True(t, stays(1))
	unsure = false
	require.True(t, stays(0))
}

// After a restart in an outage nobody knows whether it goes on: what is said then
// waits until Teams was asked, and goes where Teams is back.
func TestWhatIsSaidAfterARestartWaitsForTeams(t *testing.T) {
	for _, back := range []bool{true, false} {
		t.Run(fmt.Sprint("back ", back), func(t *testing.T) {
			w := newOutageTest(t)
			w.teamsDown()
			w.pass(time.Minute)
			within := w.clock()
			w.pass(time.Minute)
			// Said while the bridge is away, and come after its start.
			away := w.clock()
			w.mu.Lock()
			w.now = w.now.Add(time.Hour)
			w.mu.Unlock()
			w.restart()
			w.down = !back
			w.pass(3 * time.Second)
			after := w.clock()
			for _, said := range []time.Time{within, away, after} {
				_, err := w.kept(said, after)
				require.ErrorIs(t, err, portal.ErrUndecided)
			}
			w.pass(time.Minute)
			if _, err := w.kept(after, after); true {
				require.ErrorIs(t, err, portal.ErrUndecided, "as long as nobody knows")
			}
			w.ask()
			if back {
				_, err := w.kept(after, after)
				require.ErrorIs(t, err, portal.ErrUndecided, "the record does not know yet")
			}
			w.pass(3 * time.Second)
			require.True(t, w.stays(within))
			for _, said := range []time.Time{away, after} {
				kept, err := w.kept(said, after)
				require.NoError(t, err)
				require.Equal(t, !back, kept)
			}
			require.Len(t, w.records(), 1)
		})
	}
}

// What is said between the end of an outage and the look that writes it down goes.
func TestWhatIsSaidAtTheEndOfAnOutageWaits(t *testing.T) {
	w := newOutageTest(t)
	w.teamsDown()
	w.pass(time.Minute)
	w.teamsUp()
	w.now = w.now.Add(time.Second)
	said := w.clock()
	_, err := w.kept(said, said)
	require.ErrorIs(t, err, portal.ErrUndecided)
	w.pass(3 * time.Second)
	require.False(t, w.stays(said))
}

// An outage of reading alone keeps nothing in Matrix, until it is one of writing.
func TestOutageOfReadingKeepsNothing(t *testing.T) {
	w := newOutageTest(t)
	w.cause.NoWriting = false
	w.teamsDown()
	w.pass(time.Minute)
	require.False(t, w.stays(w.clock()))
	reading := w.clock()
	w.pass(time.Minute)
	w.cause.NoWriting = true
	w.outages.changed(w.ctx, w.cause.since(w.clock()))
	w.pass(time.Minute)
	writing := w.clock()
	require.True(t, w.stays(writing))
	require.False(t, w.stays(reading))
	w.cause.NoWriting = false
	w.outages.changed(w.ctx, w.cause.since(w.began))
	w.pass(3 * time.Second)
	require.True(t, w.stays(writing))
	require.False(t, w.stays(w.clock()), "it can be written again")
}

// What is said when a declared outage is over goes, from the first moment on.
func TestDeclaredOutageKeepsItsTime(t *testing.T) {
	w := newOutageTest(t)
	began := w.clock()
	w.try(func() error { return w.declare(w.ctx, boss, "maintenance") })
	w.pass(time.Minute)
	require.True(t, w.stays(began))
	require.True(t, w.stays(w.clock()))
	var first bool
	w.holds.wake = func() { first = w.stays(w.clock()) }
	_, err := w.endDeclared(w.ctx)
	require.NoError(t, err)
	require.False(t, first, "when the lanes look again")
	require.False(t, w.stays(w.clock()))
	require.True(t, w.stays(began))
}

// What a drill held goes to Teams, also where a real outage ends the drill.
func TestDrillKeepsNothing(t *testing.T) {
	w := newOutageTest(t)
	_, err := w.startDrill(w.ctx, "", "all", boss, time.Hour)
	require.NoError(t, err)
	w.write(roomA, 1)
	rehearsed := w.clock()
	w.pass(time.Minute)
	require.False(t, w.stays(rehearsed))
	w.teamsDown()
	w.pass(time.Minute)
	require.False(t, w.stays(rehearsed))
	require.True(t, w.stays(w.clock()))
}

package bridge

import (
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
	r := &retention{cfg: OutageConfig{Policy: portal.PolicyNone}, outages: w.db.Outages}
	ok, err := r.kept(w.t.Context(), &database.OutboxRow{Portal: roomA, EventAt: said, CreatedAt: said})
	require.NoError(w.t, err)
	return ok
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

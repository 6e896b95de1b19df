package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
)

// roomsOf are rooms of a team with somebody in each.
func roomsOf(team string, n int) map[string]drillFound {
	out := map[string]drillFound{}
	for i := range n {
		out[fmt.Sprintf("c:%s/%02d", team, i)] = found(in("Ann"))
	}
	return out
}

func (w *outageTest) drill(length time.Duration) int64 {
	w.t.Helper()
	_, err := w.startDrill(w.t.Context(), "", "all teams", boss, length)
	require.NoError(w.t, err)
	open, err := w.db.Outages.Open(w.t.Context())
	require.NoError(w.t, err)
	return open[len(open)-1].ID
}

func (w *outageTest) totals(id int64) database.DrillTotals {
	totals, err := w.db.Drills.Totals(w.t.Context(), id, "")
	require.NoError(w.t, err)
	return totals
}

// A look goes on with the rooms that are left where the bridge dies in the middle
// of it, at any statement.
func TestDrillLookGoesOnAfterARestart(t *testing.T) {
	story := func(crashAt int) (w *outageTest) {
		w = newOutageTest(t)
		w.found = roomsOf("team", 5)
		id := w.drill(time.Hour)
		w.mu.Lock()
		w.steps, w.crashAt = 0, crashAt
		w.mu.Unlock()
		w.pass(6 * time.Second)
		w.found["c:team/03"] = found(in("Bob"))
		w.try(func() error {
			if err := w.endDrill(w.ctx); !errors.Is(err, errNoDrill) {
				return err
			}
			return nil
		})
		w.pass(6 * time.Second)
		w.pass(time.Minute)
		require.Equal(t, database.DrillTotals{Rooms: 5, RoomsBegan: 5, RoomsEnded: 5,
			People: database.DrillCounts{Began: 5, Ended: 5, Came: 1, Left: 1}}, w.totals(id), "died at step %d", crashAt)
		require.Contains(t, w.records()[0].Report, "* People in 5 rooms: 5 at the start, 5 at the end; 1 came, 1 left\n", "died at step %d", crashAt)
		require.NotContains(t, w.records()[0].Report, "not looked", "died at step %d", crashAt)
		return w
	}
	whole := story(0)
	for at := 1; at <= whole.steps; at++ {
		story(at)
	}
}

// What is found stays: a process that goes on does not look again.
func TestDrillLookIsMadeOnce(t *testing.T) {
	w := newOutageTest(t)
	w.found = roomsOf("team", 3)
	w.foundErr = func(portal string) error {
		if portal == "c:team/01" {
			return errors.New("no answer")
		}
		return nil
	}
	id := w.drill(time.Hour)
	w.pass(3 * time.Second)
	require.Equal(t, 2, w.totals(id).RoomsBegan)
	w.restart()
	w.ask()
	asked := map[string]int{}
	w.foundErr = func(portal string) error { asked[portal]++; return nil }
	w.pass(time.Minute)
	require.Equal(t, map[string]int{"c:team/01": 1}, asked)
	require.Equal(t, 3, w.totals(id).RoomsBegan)
}

// A homeserver that does not answer holds up nothing that is told of outages, and a
// report waits for it only so long.
func TestDrillLooksHoldUpNothing(t *testing.T) {
	w := newOutageTest(t)
	w.found = roomsOf("team", 3)
	w.drill(10 * time.Minute)
	entered := make(chan string, 100)
	w.looks.open = func(context.Context) (func(context.Context, database.Conversation) (drillFound, error), error) {
		return func(ctx context.Context, conv database.Conversation) (drillFound, error) {
			entered <- conv.Portal
			<-ctx.Done()
			return drillFound{}, ctx.Err()
		}, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.looks.step(ctx) }()
	<-entered
	look := func(d time.Duration) {
		for end := w.clock().Add(d); w.clock().Before(end); {
			w.mu.Lock()
			w.now = w.now.Add(outageLook)
			w.mu.Unlock()
			require.NoError(t, w.outages.look(ctx))
		}
	}
	look(10 * time.Minute) // the drill is over by itself
	require.Empty(t, w.outages.holds.list())
	before := len(w.to(ops))
	w.teamsDown()
	look(6 * time.Second)
	require.Len(t, w.to(ops), before+1)
	require.Contains(t, w.to(ops)[before], "unavailable")
	w.teamsUp()
	w.read()
	look(2 * time.Minute)
	require.Contains(t, strings.Join(w.to(ops), "\n"), "Microsoft Teams is available again")
	require.NotContains(t, strings.Join(w.to(ops), "\n"), "Report of the drill")
	look(drillPatience)
	require.Contains(t, strings.Join(w.to(ops), "\n"), "Report of the drill")
	report, err := w.drillReport(t.Context())
	require.NoError(t, err)
	require.Contains(t, report, "* It was not looked at who was in the rooms at the start.\n")
	require.Contains(t, report, "* It was not looked at who was in the rooms at the end.")
	require.NotContains(t, report, "People in")
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
}

// A room that can't be looked into is tried again, and is left out in the end: the
// report says so and has all others.
func TestDrillLookLeavesOutWhatFails(t *testing.T) {
	w := newOutageTest(t)
	w.found = roomsOf("team", 3)
	tries := 0
	w.foundErr = func(portal string) error {
		if portal == "c:team/01" {
			tries++
			return errors.New("no answer")
		}
		return nil
	}
	w.drill(time.Hour)
	w.pass(30 * time.Minute)
	require.Greater(t, tries, 5)
	require.Less(t, tries, 20, "ever more rarely")
	tries = 0
	w.pass(10 * time.Minute)
	require.Zero(t, tries, "patience is over")
	require.NoError(t, w.endDrill(t.Context()))
	w.foundErr = nil
	w.pass(time.Minute)
	report, err := w.drillReport(t.Context())
	require.NoError(t, err)
	require.Contains(t, report, "* People in 3 rooms: 2 at the start, 3 at the end; 0 came, 0 left\n")
	require.Contains(t, report, "* At the start 1 room was not looked into.\n")
	require.Contains(t, report, "Room 1: – at the start, 1 at the end, 0 messages written")
	require.NotContains(t, report, "At the end")
}

// A drill whose end passes while the bridge is away is looked at when it is back,
// and a look that comes late says so.
func TestDrillLooksComeLate(t *testing.T) {
	w := newOutageTest(t)
	w.found = roomsOf("team", 2)
	id := w.drill(time.Hour)
	at := func(d time.Duration) {
		w.mu.Lock()
		w.now = w.now.Add(d)
		w.mu.Unlock()
		w.restart()
		w.ask()
	}
	at(20 * time.Minute) // nobody was there to look
	w.pass(3 * time.Second)
	require.Equal(t, 2, w.totals(id).RoomsBegan)
	at(2 * time.Hour)
	require.NoError(t, w.outages.look(t.Context()))
	require.Empty(t, w.outages.holds.list(), "it is over")
	at(30 * time.Minute)
	w.pass(time.Minute)
	report, err := w.drillReport(t.Context())
	require.NoError(t, err)
	require.Contains(t, report, "* People in 2 rooms: 2 at the start, 2 at the end; 0 came, 0 left\n")
	require.Contains(t, report, "* At the start, the rooms were looked into late: from 10:20 to 10:20 UTC.\n")
	require.Contains(t, report, "* At the end, the rooms were looked into late: from 12:50 to 12:50 UTC.\n")
}

// A look at the start ends with the drill, and does not take the end for the start.
func TestDrillLookAtTheStartEndsWithTheDrill(t *testing.T) {
	w := newOutageTest(t)
	w.found = roomsOf("team", 4)
	w.foundErr = func(string) error { return errors.New("no answer") }
	id := w.drill(time.Hour)
	w.pass(50 * time.Second)
	seen := 0
	w.foundErr = func(string) error {
		if seen++; seen == 2 { // the drill ends in the middle of a pass
			require.NoError(t, w.endDrill(t.Context()))
		}
		return nil
	}
	w.pass(time.Minute)
	require.Equal(t, database.DrillTotals{Rooms: 4, RoomsBegan: 2, RoomsEnded: 4, People: database.DrillCounts{Began: 2, Ended: 4}}, w.totals(id))
	require.Contains(t, w.records()[0].Report, "At the start 2 rooms were not looked into.")
}

// Of too many rooms those are looked into in which most is said: at the start
// lately, at the end in the drill.
func TestDrillLooksWhereMostIsSaid(t *testing.T) {
	w := newOutageTest(t)
	w.found = map[string]drillFound{}
	for i := range drillRooms + 3 {
		w.found[fmt.Sprintf("c:team/%04d", i)] = found(in("Ann"))
	}
	last, first := fmt.Sprintf("c:team/%04d", drillRooms+2), "c:team/0000"
	w.deliver(w.write(last, 1)...)
	id := w.drill(time.Hour)
	w.pass(3 * time.Second)
	looked := func(moment database.DrillMoment) map[string]bool {
		all, err := w.db.Drills.Looked(t.Context(), id, moment)
		require.NoError(t, err)
		require.Len(t, all, drillRooms)
		return all
	}
	require.True(t, looked(database.DrillBegan)[last])
	unseen := fmt.Sprintf("c:team/%04d", drillRooms+1)
	require.False(t, looked(database.DrillBegan)[unseen])
	w.deliver(w.write(unseen, 3)...)
	require.NoError(t, w.endDrill(t.Context()))
	w.pass(time.Minute)
	ended := looked(database.DrillEnded)
	require.True(t, ended[unseen])
	require.True(t, ended[first])
	report, err := w.drillReport(t.Context())
	require.NoError(t, err)
	require.Contains(t, report, "At the start 3 rooms were not looked into.")
	require.Contains(t, report, "At the end 3 rooms were not looked into.")
	require.Contains(t, report, "**Rooms**\n\n* Room 1: – at the start, 1 at the end, 3 messages written\n")
}

// People beyond what is kept of a drill leave their rooms out.
func TestDrillLooksAreBounded(t *testing.T) {
	w := newOutageTest(t)
	many := make([]database.DrillPlace, drillMost)
	w.found = map[string]drillFound{"c:team/0": found(in("Ann")), "c:team/1": found(many...), "c:team/2": found(in("Ann"))}
	id := w.drill(time.Hour)
	w.pass(3 * time.Second)
	require.Equal(t, 2, w.totals(id).RoomsBegan)
	look, err := w.db.Drills.Look(t.Context(), id, database.DrillBegan)
	require.NoError(t, err)
	require.False(t, look.Done.IsZero(), "trying again would not help")
	require.Equal(t, 3, look.Rooms)
}

// Of the last drills it is kept who was there, of older ones the report alone.
func TestOldDrillsAreForgotten(t *testing.T) {
	w := newOutageTest(t)
	w.found = roomsOf("team", 1)
	var ids []int64
	for range drillsKept + 1 {
		ids = append(ids, w.drill(time.Minute))
		w.pass(2 * time.Minute)
	}
	require.Zero(t, w.totals(ids[0]))
	for _, id := range ids[1:] {
		require.Equal(t, 1, w.totals(id).RoomsEnded)
	}
}

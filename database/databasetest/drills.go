package databasetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
)

func beginDrill(t *testing.T, ctx context.Context, e *env, scope string) int64 {
	o := &database.Outage{Kind: database.OutageDrill, Scope: scope, Began: e.clock.Now()}
	require.NoError(t, e.db.Outages.Begin(ctx, o))
	return o.ID
}

func place(who, name, state, why string) database.DrillPlace {
	return database.DrillPlace{Who: who, Name: name, State: state, Why: why}
}

// in is a person who is in a room, out a stranger who is.
func in(who string) database.DrillPlace {
	return place(who, "Name of "+who, database.PlaceIn, "")
}

func out(who string) database.DrillPlace {
	p := place(who, who, database.PlaceIn, "")
	p.Stranger = true
	return p
}

func testDrills(t *testing.T, ctx context.Context, e *env) {
	id, other := beginDrill(t, ctx, e, ""), beginDrill(t, ctx, e, "t:1")
	store := func(moment database.DrillMoment, room database.DrillRoom, places ...database.DrillPlace) {
		require.NoError(t, e.db.Drills.StoreRoom(ctx, id, moment, room, places))
	}
	rooms := func(scope string) []database.DrillRoomReport {
		all, err := e.other.Drills.Rooms(ctx, id, scope, 10, 0)
		require.NoError(t, err)
		return all
	}
	began := e.clock.Now()
	store(database.DrillBegan, database.DrillRoom{Portal: "c:1/a"}, in("ann"), in("bob"), out("@eve:y"),
		place("cid", "Cid", database.PlaceNoAccount, "a guest"), place("dan", "Dan", database.PlaceInvited, ""))
	store(database.DrillBegan, database.DrillRoom{Portal: "c:1/b", Unasked: true}, in("ann"))
	require.NoError(t, e.db.Drills.StoreRoom(ctx, other, database.DrillBegan, database.DrillRoom{Portal: "c:1/a"}, []database.DrillPlace{in("zoe")}))
	looked, err := e.other.Drills.Looked(ctx, id, database.DrillBegan)
	require.NoError(t, err)
	require.Equal(t, map[string]bool{"c:1/a": true, "c:1/b": true}, looked)
	require.Equal(t, []database.DrillRoomReport{
		{DrillRoom: database.DrillRoom{Portal: "c:1/a"}, BeganAt: began, People: database.DrillCounts{Began: 2, Missing: 2, Strangers: 1}},
		{DrillRoom: database.DrillRoom{Portal: "c:1/b", Unasked: true}, BeganAt: began, People: database.DrillCounts{Began: 1}},
	}, rooms(""))

	e.clock.Advance(time.Hour)
	ended := e.clock.Now()
	store(database.DrillEnded, database.DrillRoom{Portal: "c:1/a", Written: 1}, in("ann"), in("dan"), place("bob", "Bob", database.PlaceLeft, ""),
		place("cid", "Cid", database.PlaceNoAccount, "a guest"))
	store(database.DrillEnded, database.DrillRoom{Portal: "c:2/c", Written: 7}, place("cid", "Cid", database.PlaceNoAccount, "a guest"))
	want := []database.DrillRoomReport{
		{DrillRoom: database.DrillRoom{Portal: "c:2/c", Written: 7}, EndedAt: ended, People: database.DrillCounts{Missing: 1}},
		{DrillRoom: database.DrillRoom{Portal: "c:1/a", Written: 1}, BeganAt: began, EndedAt: ended,
			People: database.DrillCounts{Began: 2, Ended: 2, Came: 1, Left: 1, Missing: 2, Strangers: 1}},
		{DrillRoom: database.DrillRoom{Portal: "c:1/b", Unasked: true}, BeganAt: began, People: database.DrillCounts{Began: 1}},
	}
	require.Equal(t, want, rooms(""))
	require.Equal(t, want[1:], rooms("t:1"))
	require.Equal(t, want[2:], rooms("c:1/b"))
	require.Empty(t, rooms("t:"))
	for scope, want := range map[string]database.DrillTotals{
		"":    {Rooms: 3, RoomsBegan: 2, RoomsEnded: 2, Unasked: 1, People: database.DrillCounts{Began: 3, Ended: 2, Came: 1, Left: 1, Missing: 3, Strangers: 1}},
		"t:2": {Rooms: 1, RoomsEnded: 1, People: database.DrillCounts{Missing: 1}}, "t:3": {},
	} {
		totals, err := e.other.Drills.Totals(ctx, id, scope)
		require.NoError(t, err)
		require.Equal(t, want, totals, scope)
	}

	// A second look replaces the first: nobody counts who is not seen any more.
	store(database.DrillEnded, database.DrillRoom{Portal: "c:2/c", Written: 7}, in("ann"))
	require.Equal(t, database.DrillCounts{Ended: 1}, rooms("t:2")[0].People)
	n, err := e.other.Drills.People(ctx, id)
	require.NoError(t, err)
	require.Equal(t, 8, n)

	names := func(people []database.DrillPerson, all int, err error) (out []string) {
		require.NoError(t, err)
		for _, p := range people {
			out = append(out, fmt.Sprint(p.Portal, " ", p.Who, " ", p.State, " ", p.Why, " ", p.Came, p.Left, p.Stranger))
		}
		return append(out, fmt.Sprint(all))
	}
	present := []string{"c:2/c ann in  false false false", "c:1/a ann in  false false false", "c:1/a bob left  false true false",
		"c:1/a dan in  true false false", "c:1/a @eve:y   false true true", "c:1/b ann in  false false false"}
	require.ElementsMatch(t, append(present, "6"), names(e.other.Drills.Present(ctx, id, "", 10, 0)))
	require.Equal(t, []string{present[4], present[5], "6"}, names(e.other.Drills.Present(ctx, id, "", 2, 4)))
	require.Equal(t, []string{present[5], "1"}, names(e.other.Drills.Present(ctx, id, "c:1/b", 2, 0)))
	missing := []string{"c:1/a bob left  false true false", "c:1/a cid no_account a guest false false false"}
	require.Equal(t, append(missing, "2"), names(e.other.Drills.Missing(ctx, id, "", 10, 0)))
	require.Equal(t, []string{missing[1], "2"}, names(e.other.Drills.Missing(ctx, id, "t:1", 1, 1)))
	require.Equal(t, []string{"0"}, names(e.other.Drills.Missing(ctx, id, "t:2", 1, 0)))
}

// Whoever is missing in most rooms comes first, with each reason once.
func testDrillAbsent(t *testing.T, ctx context.Context, e *env) {
	id := beginDrill(t, ctx, e, "")
	for i := range 3 {
		places := []database.DrillPlace{place("ann", "Ann", database.PlaceInvited, ""), in("bob"), out("@eve:y")}
		if i > 0 {
			places = append(places, place("cid", "Cid", database.PlaceNoAccount, fmt.Sprint("reason ", i)))
		}
		require.NoError(t, e.db.Drills.StoreRoom(ctx, id, database.DrillBegan, database.DrillRoom{Portal: fmt.Sprint("c:1/", i)}, places))
	}
	absent, all, err := e.other.Drills.Absent(ctx, id, 2)
	require.NoError(t, err)
	require.Equal(t, 3, all)
	require.Len(t, absent, 2)
	require.Equal(t, database.Absent{Who: "ann", Name: "Ann", State: database.PlaceInvited, Rooms: 3, Portal: "c:1/0"}, absent[0])
	require.Equal(t, 1, absent[1].Rooms)
}

// Where Teams can't be asked at the end, whoever it named at the start is missing
// still, unless they are seen.
func testDrillUnasked(t *testing.T, ctx context.Context, e *env) {
	id := beginDrill(t, ctx, e, "")
	require.NoError(t, e.db.Drills.StoreRoom(ctx, id, database.DrillBegan, database.DrillRoom{Portal: "c:1/a"}, []database.DrillPlace{
		in("ann"), place("bob", "Bob", database.PlaceNever, ""), place("cid", "Cid", database.PlaceNoAccount, "a guest")}))
	require.NoError(t, e.db.Drills.StoreRoom(ctx, id, database.DrillEnded, database.DrillRoom{Portal: "c:1/a", Unasked: true}, []database.DrillPlace{in("bob")}))
	totals, err := e.other.Drills.Totals(ctx, id, "")
	require.NoError(t, err)
	require.Equal(t, database.DrillTotals{Rooms: 1, RoomsBegan: 1, RoomsEnded: 1, Unasked: 1,
		People: database.DrillCounts{Began: 1, Ended: 1, Came: 1, Left: 1, Missing: 1}}, totals)
	missing, _, err := e.other.Drills.Missing(ctx, id, "", 10, 0)
	require.NoError(t, err)
	require.Equal(t, "cid", missing[0].Who)
	require.Equal(t, "a guest", missing[0].Why)
}

func testDrillLooks(t *testing.T, ctx context.Context, e *env) {
	id := beginDrill(t, ctx, e, "")
	look := func(moment database.DrillMoment) *database.DrillLook {
		l, err := e.other.Drills.Look(ctx, id, moment)
		require.NoError(t, err)
		return l
	}
	require.Nil(t, look(database.DrillBegan))
	want := database.DrillLook{OutageID: id, Moment: database.DrillBegan, Rooms: 5, Started: e.clock.Now()}
	require.NoError(t, e.db.Drills.BeginLook(ctx, want))
	again := want
	again.Rooms, again.Started = 7, want.Started.Add(time.Minute)
	require.NoError(t, e.db.Drills.BeginLook(ctx, again))
	require.Equal(t, &want, look(database.DrillBegan), "it goes on")
	e.clock.Advance(time.Minute)
	require.NoError(t, e.db.Drills.EndLook(ctx, id, database.DrillBegan))
	want.Done = e.clock.Now()
	require.Equal(t, &want, look(database.DrillBegan))
	require.Nil(t, look(database.DrillEnded))
	require.NoError(t, e.db.Drills.BeginLook(ctx, database.DrillLook{OutageID: id, Moment: database.DrillEnded}))
	require.True(t, look(database.DrillEnded).Done.IsZero())

	// Only the last drills are kept, whatever other outages there are.
	require.NoError(t, e.db.Drills.StoreRoom(ctx, id, database.DrillBegan, database.DrillRoom{Portal: "c:1/a"}, []database.DrillPlace{in("ann")}))
	require.NoError(t, e.db.Outages.Begin(ctx, &database.Outage{Kind: database.OutageDetected}))
	require.NoError(t, e.db.Drills.Purge(ctx, 1))
	require.NotNil(t, look(database.DrillBegan))
	beginDrill(t, ctx, e, "")
	require.NoError(t, e.db.Drills.Purge(ctx, 2))
	require.NotNil(t, look(database.DrillBegan))
	require.NoError(t, e.db.Drills.Purge(ctx, 1))
	require.Nil(t, look(database.DrillBegan))
	totals, err := e.other.Drills.Totals(ctx, id, "")
	require.NoError(t, err)
	require.Zero(t, totals)
	n, err := e.other.Drills.People(ctx, id)
	require.NoError(t, err)
	require.Zero(t, n)
}

func testDrillBusy(t *testing.T, ctx context.Context, e *env) {
	enqueue(t, ctx, e, row("$old", "c:1/old"))
	e.clock.Advance(time.Hour)
	since := e.clock.Now()
	for i, portal := range []string{"c:1/a", "c:1/a", "c:1/b"} {
		r := row(fmt.Sprint("$", i), portal)
		r.CreatedAt = since
		enqueue(t, ctx, e, r)
	}
	accept(t, ctx, e, 1, database.InboxRow{Portal: "c:1/b", MessageID: "1", Version: 1, CreatedAt: since, ReceivedAt: since})
	busy, err := e.other.Drills.Busy(ctx, since)
	require.NoError(t, err)
	require.Equal(t, map[string]int{"c:1/a": 2, "c:1/b": 2}, busy)
}

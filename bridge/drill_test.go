package bridge

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/texts"
)

func TestDrill(t *testing.T) {
	w := newOutageTest(t)
	bob := database.DrillPlace{Who: "bob", Name: "Bob *B*", State: database.PlaceInvited}
	fay := database.DrillPlace{Who: "fay", Name: "Fay", State: database.PlaceNoAccount, Why: "guests are not mapped (mapping.guests)"}
	w.found = map[string]drillFound{roomA: found(in("Ann"), in("Cid_"), in("Dan"), bob, fay), roomB: found(in("Ann"), fay), roomC: found(in("Zoe"))}
	before := w.write(roomA, 1)
	w.deliver(before...)
	until, err := w.startDrill(t.Context(), "t:team", "the team Sales", boss, drillDefault)
	require.NoError(t, err)
	require.Equal(t, w.clock().Add(15*time.Minute), until)
	require.True(t, w.outages.holds.Held(roomA))
	require.False(t, w.outages.holds.Held(roomC), "another team goes on")
	for _, to := range []string{ops, boss} {
		require.Contains(t, w.to(to)[0], "**Drill** for the team Sales, started by @boss:x at 2026-03-02 10:00 UTC, until 2026-03-02 10:15 UTC at the latest.")
		require.Contains(t, w.to(to)[0], "What is written in Teams goes on to come to Matrix.")
	}
	ids := w.write(roomA, 2)
	elsewhere := w.write(roomC, 1)
	w.pass(time.Minute)
	require.Equal(t, []string{"**This is a drill.** Since 10:00 UTC we behave as if Microsoft Teams were unavailable. " +
		"You can go on here: what you write is kept, and goes to Teams when the drill is over, at 10:15 UTC at the latest."}, w.to(roomA))
	require.Empty(t, w.to(roomC))
	_, err = w.startDrill(t.Context(), "", "all teams", boss, drillDefault)
	require.ErrorIs(t, err, errDrillOn)
	_, err = w.drillReport(t.Context())
	require.ErrorIs(t, err, errNoReport)

	// Cid leaves, and Eve comes, and somebody whom nobody knows.
	cid, eve := database.DrillPlace{Who: "cid", Name: "Cid_", State: database.PlaceLeft}, database.DrillPlace{Who: "@eve:y", Name: "@eve:y", State: database.PlaceIn, Stranger: true}
	w.found[roomA] = found(in("Ann"), cid, in("Dan"), in("Eve"), bob, fay, eve)
	w.pass(15 * time.Minute)
	require.Empty(t, w.outages.holds.list(), "it ends by itself")
	require.Len(t, w.to(roomA), 1)
	w.deliver(ids...)
	w.pass(time.Minute)
	require.Equal(t, "**The drill is over.** It lasted from 10:00 to 10:15 UTC. All 2 messages that were written here meanwhile are in Teams; it took 1 minute.", w.to(roomA)[1])
	report, err := w.drillReport(t.Context())
	require.NoError(t, err)
	require.Equal(t, "**Report of the drill for the team Sales**, started by @boss:x\n\n"+
		"* It lasted 15 minutes (from 10:00 to 10:15 UTC).\n"+
		"* Written in Matrix meanwhile: 2 messages in 1 room\n"+
		"* Delivered to Teams: 2, within 1 minute\n"+
		"* People in 2 rooms: 4 at the start, 4 at the end; 1 came, 1 left\n"+
		"* Missing where they should be: 4; from outside the directory: 1\n"+
		"\n**Rooms**\n\n* Room A: 3 at the start, 3 at the end, 1 came, 1 left, 3 missing, 1 from outside, 2 messages written\n"+
		"  * people: Ann, Cid\\_ (left), Dan, Eve (came), @eve:y (from outside) (came)\n"+
		"* Room B: 1 at the start, 1 at the end, 1 missing, 0 messages written\n  * people: Ann\n"+
		"\n**Not in rooms they should be in**\n\n"+
		"* Fay (has no Matrix account: guests are not mapped \\(mapping.guests\\)) – Room A and 1 more\n"+
		"* Bob \\*B\\* (invited, has not joined) – Room A\n"+
		"* Cid\\_ (has left) – Room A\n"+
		"\nAll of it, page by page: `drill report missing`, `drill report rooms`, `drill report people`.", report)
	require.Equal(t, report, w.to(ops)[1])
	require.Equal(t, report, w.to(boss)[1])
	require.Equal(t, database.StateQueued, rowState(t, w, elsewhere[0]), "what waits elsewhere is nobody's business")
	w.pass(time.Hour)
	require.Len(t, w.said, 6)
	require.ErrorIs(t, w.endDrill(t.Context()), errNoDrill)
}

// in is somebody who is in a room, found what is found there.
func in(name string) database.DrillPlace {
	return database.DrillPlace{Who: strings.ToLower(name), Name: name, State: database.PlaceIn}
}

func found(places ...database.DrillPlace) drillFound { return drillFound{places: places} }

func rowState(t *testing.T, w *outageTest, rowID int64) string {
	row, err := w.db.Outbox.ByID(t.Context(), rowID)
	require.NoError(t, err)
	return row.State
}

// A drill whose end passes while the bridge is away is over when it is back.
func TestDrillEndsWhileTheBridgeIsAway(t *testing.T) {
	w := newOutageTest(t)
	_, err := w.startDrill(t.Context(), "", "all teams", boss, time.Minute)
	require.NoError(t, err)
	ids := w.write(roomA, 1)
	w.pass(30 * time.Second)
	w.jump(10 * time.Second)
	w.restart()
	w.ask()
	require.True(t, w.outages.holds.Held(roomA), "it goes on after a restart")
	w.mu.Lock()
	w.now = w.now.Add(time.Hour)
	w.mu.Unlock()
	w.restart()
	w.ask()
	require.Empty(t, w.outages.holds.list())
	w.deliver(ids...)
	w.pass(6 * time.Second)
	require.Len(t, w.to(roomA), 2)
	require.Contains(t, w.to(ops)[1], "Delivered to Teams: 1")
}

func TestDrillIsEndedByHand(t *testing.T) {
	w := newOutageTest(t)
	_, err := w.startDrill(t.Context(), "", "all teams", boss, time.Hour)
	require.NoError(t, err)
	w.pass(time.Minute)
	require.NoError(t, w.endDrill(t.Context()))
	require.Empty(t, w.outages.holds.list())
	w.pass(6 * time.Second)
	require.Contains(t, w.to(ops)[1], "It lasted 1 minute")
	require.Contains(t, w.to(ops)[1], "Nothing was written in Matrix meanwhile.")
	for _, length := range []time.Duration{0, -time.Minute, drillMax + time.Minute} {
		_, err := w.startDrill(t.Context(), "", "all teams", boss, length)
		require.ErrorIs(t, err, errDrillBound)
	}
}

// When it gets serious, nobody may go on to believe that it is a drill.
func TestRealOutageEndsADrill(t *testing.T) {
	w := newOutageTest(t)
	_, err := w.startDrill(t.Context(), "", "all teams", boss, time.Hour)
	require.NoError(t, err)
	ids := w.write(roomA, 1)
	w.pass(5 * time.Minute)
	w.teamsDown()
	w.pass(6 * time.Second)
	require.Contains(t, w.to(roomA)[1], "**The drill is over, because Microsoft Teams really is unavailable now.**")
	require.Contains(t, w.to(roomA)[2], "Microsoft Teams is unavailable since 10:05 UTC")
	require.Empty(t, w.outages.holds.list())
	_, err = w.startDrill(t.Context(), "", "all teams", boss, time.Hour)
	require.ErrorIs(t, err, errOutageOn)
	w.pass(time.Hour)
	require.Len(t, w.to(roomA), 3)
	require.Len(t, w.to(ops), 2, "the drill's report comes when all of it is over")
	w.teamsUp()
	w.read()
	w.deliver(ids...)
	w.pass(time.Minute)
	require.Len(t, w.to(roomA), 4)
	require.Contains(t, w.to(roomA)[3], "The message that was written here meanwhile is in Teams.")
	require.Len(t, w.to(ops), 4)
	require.Contains(t, w.to(ops)[2]+w.to(ops)[3], "A real outage ended it.")
}

// What a room is told when a real outage ends a drill is what comes of what it
// writes from then on.
func TestWhatRoomsHearWhenADrillIsCut(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(w *outageTest)
		want   string
	}{
		"nothing works": {func(*outageTest) {}, "**The drill is over, because Microsoft Teams really is unavailable now.** " +
			"You can go on here: what you write is kept, and goes to Teams when Teams is back."},
		"it stays here": {func(w *outageTest) { w.policies[roomA] = portal.PolicyNone },
			"**The drill is over, because Microsoft Teams really is unavailable now.** You can go on here. What you write meanwhile stays in this room and does not go to Teams."},
		"only reading": {func(w *outageTest) { w.cause.NoWriting = false }, "**The drill is over, because Microsoft Teams really can't be read now.** " +
			"What you write here goes to Teams, and what was kept does now; what is said in Teams comes here when it can be read again."},
	} {
		t.Run(name, func(t *testing.T) {
			w := newOutageTest(t)
			tc.change(w)
			_, err := w.startDrill(t.Context(), "", "all teams", boss, time.Hour)
			require.NoError(t, err)
			w.write(roomA, 1)
			w.pass(5 * time.Minute)
			w.teamsDown()
			w.pass(6 * time.Second)
			require.Equal(t, tc.want, w.to(roomA)[1])
		})
	}
}

func TestDrillTargets(t *testing.T) {
	convs := append(conversations(), database.Conversation{Portal: "t:5", Kind: database.ConversationTeam, TeamID: "5", Name: "Shift 7", State: database.ConversationMirrored})
	views := teamViews(convs)
	for _, tc := range []struct {
		text, scope, label string
		length             time.Duration
	}{
		{"all", "", "all teams", drillDefault}, {"ALL 30", "", "all teams", 30 * time.Minute},
		{"Sales EMEA", "t:1", "the team Sales EMEA", drillDefault}, {"sales emea 5", "t:1", "the team Sales EMEA", 5 * time.Minute},
		{"Shift 7", "t:5", "the team Shift 7", drillDefault}, {"Shift 7 7", "t:5", "the team Shift 7", 7 * time.Minute},
	} {
		scope, label, length, problem := drillTarget(texts.Texts{}, views, tc.text)
		require.Empty(t, problem, tc.text)
		require.Equal(t, tc.scope, scope, tc.text)
		require.Equal(t, tc.label, label, tc.text)
		require.Equal(t, tc.length, length, tc.text)
	}
	for text, want := range map[string]string{"": inEnglish(texts.DrillUsage), "Nobody": "There is no team called", "IT/Operations": "is not mirrored"} {
		_, _, _, problem := drillTarget(texts.Texts{}, views, text)
		require.Contains(t, problem, want)
	}
}

// What was said under a key is not said again where the homeserver knows it.
func TestNoticesAreSaidOncePerKey(t *testing.T) {
	p := newPeopleTest(t, person("a", "ann@corp.example"))
	c := New(Graph{})
	c.br = p.br
	r := &runtime{c: c, db: p.db, rooms: p.rooms}
	n := &notices{r: r}
	said := func() int { return len(p.matrix.HS.Events(testRoom)) }
	what := notice{To: string(p.portal.ID), Key: "outage:1:began:0:x", Text: "**down**", Doubt: true}
	require.NoError(t, n.say(t.Context(), what))
	require.Equal(t, 1, said(), "doubt alone is no reason to be silent")
	require.Equal(t, "**down**", p.matrix.HS.Events(testRoom)[0].Text())
	_, err := p.db.Echoes.Record(context.Background(), []database.Echo{{SourceKey: what.Key, EventID: "$1", RoomID: testRoom.String()}})
	require.NoError(t, err)
	require.NoError(t, n.say(t.Context(), what))
	require.Equal(t, 1, said(), "the homeserver has shown it")
	what.Key = "outage:1:ended:1:x"
	require.NoError(t, n.say(t.Context(), what))
	require.Equal(t, 2, said())
	require.NoError(t, n.say(t.Context(), notice{To: "c:team/unknown", Key: "k", Text: "x"}), "a conversation without a room has nobody to tell")
	room, err := n.roomOf(t.Context(), "!ops:x")
	require.NoError(t, err)
	require.EqualValues(t, "!ops:x", room)
}

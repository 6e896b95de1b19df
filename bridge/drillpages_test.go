package bridge

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/format"

	"teamsbridge/database"
	"teamsbridge/texts"
)

func TestDrillQueries(t *testing.T) {
	convs := append(conversations(), database.Conversation{Portal: "t:5", Kind: database.ConversationTeam, TeamID: "5", Name: "Shift 7", State: database.ConversationMirrored},
		database.Conversation{Portal: "t:6", Kind: database.ConversationTeam, TeamID: "6", Name: "People", State: database.ConversationMirrored})
	views := teamViews(convs)
	for text, want := range map[string]drillQuery{
		"missing": {list: drillListMissing, page: 1}, "ROOMS 2": {list: drillListRooms, page: 2}, "all people 3": {list: drillListPeople, page: 3}, "all": {list: drillListRooms, page: 1},
		"Sales EMEA": {"t:1", "Sales EMEA", "", drillListRooms, 1}, "sales emea missing": {"t:1", "Sales EMEA", "", drillListMissing, 1}, "Sales EMEA people 4": {"t:1", "Sales EMEA", "", drillListPeople, 4},
		"Sales EMEA 2": {"t:1", "Sales EMEA", "", drillListRooms, 2}, "Shift 7": {"t:5", "Shift 7", "", drillListRooms, 1}, "Shift 7 missing 7": {"t:5", "Shift 7", "", drillListMissing, 7},
		"people": {list: drillListPeople, page: 1}, "people people": {"t:6", "People", "", drillListPeople, 1}, "People rooms 2": {"t:6", "People", "", drillListRooms, 2},
	} {
		q, problem := drillQueryOf(texts.Texts{}, views, text)
		require.Empty(t, problem, text)
		q.named = ""
		require.Equal(t, want, q, text)
	}
	for text, want := range map[string]string{
		"Nobody": "There is no team called “Nobody”", "Nobody missing": "There is no team called “Nobody”", "missing 0": "“0” is no page", "people -1": "“-1” is no page",
		"missing soon": "“soon” is no page", "Sales EMEA rooms x": "“x” is no page", "12": inEnglish(texts.DrillUsage),
	} {
		_, problem := drillQueryOf(texts.Texts{}, views, text)
		require.Contains(t, problem, want, text)
	}
}

// pages reads all pages of a list by following what each says of the next.
func (w *outageTest) pages(views []teamView, text string) (all []string) {
	w.t.Helper()
	for text != "" {
		q, problem := drillQueryOf(w.texts, views, text)
		require.Empty(w.t, problem)
		page, err := w.drillPage(w.t.Context(), q)
		require.NoError(w.t, err)
		require.Less(w.t, len(page), 12_000)
		content := format.RenderMarkdown(page, true, false)
		event, err := json.Marshal(content)
		require.NoError(w.t, err)
		require.Less(w.t, len(event), 55_000, "an event holds 64 kB")
		all = append(all, page)
		_, next, more := strings.Cut(page, "Next: `drill report ")
		if text = ""; more {
			text, _, _ = strings.Cut(next, "`")
		}
	}
	return all
}

// Everything that a drill's report leaves out can be had, page by page.
func TestDrillPages(t *testing.T) {
	w := newOutageTest(t)
	long := strings.Repeat("&_", 120)
	w.title = func(portal string) string { return portal + long }
	w.found = map[string]drillFound{}
	for room := range 130 {
		f := drillFound{}
		for i := range 3 {
			name := fmt.Sprintf("p%03d.%d", room, i)
			f.places = append(f.places, database.DrillPlace{Who: name, Name: name + long, State: database.PlaceIn, Stranger: i == 2})
			f.places = append(f.places, database.DrillPlace{Who: "m" + name, Name: "m" + name + long, State: database.PlaceNoAccount, Why: long})
		}
		w.found[fmt.Sprintf("c:team/r%03d", room)] = f
	}
	w.found["c:other/x"] = found(in("Ann"))
	w.drill(time.Minute)
	w.pass(2 * time.Minute)
	report, err := w.drillReport(t.Context())
	require.NoError(t, err)
	require.Less(t, len(report), 15_000)
	require.Contains(t, report, "… and 111 more")
	require.Contains(t, report, "`drill report missing`")
	content := format.RenderMarkdown(report, true, false)
	event, err := json.Marshal(content)
	require.NoError(t, err)
	require.Less(t, len(event), 60_000)

	views := teamViews([]database.Conversation{{Portal: "t:team", Kind: database.ConversationTeam, TeamID: "team", Name: "Team 9"}, {Portal: "t:none", Kind: database.ConversationTeam, TeamID: "none", Name: "None"}})
	once := func(pages []string, what string, n int) {
		t.Helper()
		text := strings.Join(pages, "\n")
		for room := range 130 {
			for i := range n {
				require.Equal(t, 1, strings.Count(text, fmt.Sprintf(what, room, i)), what, room, i)
			}
		}
	}
	missing := w.pages(views, "missing")
	require.Len(t, missing, 8)
	require.Contains(t, missing[0], "**Not in rooms they should be in**\nDrill of 2026-03-02 10:00 UTC: page 1 of 8\n")
	once(missing, "* mp%03d.%d", 3)
	people := w.pages(views, "people")
	require.Len(t, people, 8)
	once(people, "  * p%03d.%d", 3)
	rooms := w.pages(views, "Team 9")
	require.Len(t, rooms, 3)
	require.Contains(t, rooms[2], "Drill of 2026-03-02 10:00 UTC, Team 9: page 3 of 3")
	for room := range 130 {
		require.Equal(t, 1, strings.Count(strings.Join(rooms, "\n"), fmt.Sprintf("* c:team/r%03d", room)))
	}
	require.Len(t, w.pages(views, "rooms"), 3)
	require.Contains(t, strings.Join(w.pages(views, "rooms"), ""), "c:other/x")

	for text, want := range map[string]string{"rooms 4": "There is no page 4: the list has 3 pages.", "None people": "There is nothing in this list.", "missing 999999999999": "There is no page"} {
		q, problem := drillQueryOf(w.texts, views, text)
		require.Empty(t, problem)
		page, err := w.drillPage(t.Context(), q)
		require.NoError(t, err)
		require.Contains(t, page, want, text)
	}
}

// A page is of the last drill that the team was in, and nothing is made up where
// nobody has looked.
func TestDrillPagesOfATeam(t *testing.T) {
	w := newOutageTest(t)
	_, err := w.drillPage(t.Context(), drillQuery{list: drillListRooms, page: 1})
	require.ErrorIs(t, err, errNoReport)
	w.found = map[string]drillFound{roomA: found(in("Ann")), roomC: found(in("Zoe"))}
	for _, scope := range []string{"t:team", "t:other"} {
		_, err := w.startDrill(t.Context(), scope, scope, boss, time.Minute)
		require.NoError(t, err)
		w.pass(2 * time.Minute)
	}
	page := func(scope string) string {
		page, err := w.drillPage(t.Context(), drillQuery{scope: scope, team: "Team", list: drillListPeople, page: 1})
		require.NoError(t, err)
		return page
	}
	require.Contains(t, page("t:team"), "* Room A\n  * Ann\n")
	require.Contains(t, page("t:other"), "* Room C\n  * Zoe\n")
	require.Contains(t, page(""), "Zoe")
	require.Equal(t, "There is no report yet of a drill for the team **Team**.", page("t:third"))
	w.found = nil
	w.drill(time.Minute)
	w.pass(2 * time.Minute)
	require.Equal(t, "It is not known who was in the rooms in the drill of 2026-03-02 10:04 UTC. That is kept of the last 5 drills.", page("t:team"))
}

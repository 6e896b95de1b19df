package bridge

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/texts"
)

const (
	// drillPage is how many entries a page has, drillPageSize how many bytes: an
	// event holds 64 kB, with the text once more as HTML.
	drillPage     = 50
	drillPageSize = 11_000
)

// The lists of who was in the rooms of a drill.
const (
	drillListMissing = "missing"
	drillListRooms   = "rooms"
	drillListPeople  = "people"
)

var drillLists = []string{drillListMissing, drillListRooms, drillListPeople}

// drillQuery is a page of a list.
type drillQuery struct {
	// scope is that of the team of which it is, team its name, named what it was
	// called; "" for all.
	scope, team, named string
	list               string
	page               int
}

// drillQueryOf reads [TEAM] [missing|rooms|people] [PAGE], with something in it.
func drillQueryOf(x texts.Texts, views []teamView, text string) (q drillQuery, problem string) {
	q = drillQuery{list: drillListRooms, page: 1}
	if view, _ := findTeam(views, text); view != nil && !isDrillList(text) {
		return q.of(view, text), ""
	}
	rest, last := lastWord(text)
	page, err := strconv.Atoi(last)
	_, before := lastWord(rest)
	switch {
	case err == nil && page < 1, err != nil && isDrillList(before) && !isDrillList(last):
		return q, x.Say(texts.DrillBadPage, "page", esc(last))
	case err == nil:
		q.page, text = page, rest
	}
	rest, last = lastWord(text)
	if isDrillList(last) {
		q.list, text = strings.ToLower(last), rest
	} else if text == "" {
		return q, x.Say(texts.DrillUsage)
	}
	if text == "" || strings.EqualFold(text, "all") {
		return q, ""
	}
	view, near := findTeam(views, text)
	if view == nil {
		return q, unknownText(x, unknownTeam, text, near)
	}
	return q.of(view, text), ""
}

// of is the same of one team.
func (q drillQuery) of(view *teamView, named string) drillQuery {
	q.scope, q.team, q.named = string(portal.TeamPortal(view.team.TeamID).ID), view.team.Name, named
	return q
}

func isDrillList(word string) bool { return slices.Contains(drillLists, strings.ToLower(word)) }

// drillPage returns a page of who was in the rooms of the last drill that has a
// report, or that a team was in.
func (o *outages) drillPage(ctx context.Context, q drillQuery) (string, error) {
	rec, err := o.lastDrill(ctx, q.scope)
	switch {
	case err != nil:
		return "", err
	case rec == nil && q.scope == "":
		return "", errNoReport
	case rec == nil:
		return o.texts.Say(texts.DrillNoReportOf, "team", esc(q.team)), nil
	}
	totals, err := o.db.Drills.Totals(ctx, rec.ID, "")
	if err != nil {
		return "", err
	} else if totals.Rooms == 0 {
		return o.texts.Say(texts.DrillNoPlaces, "time", o.texts.Time(rec.Began), "kept", strconv.Itoa(drillsKept)), nil
	}
	heading, lines, all, err := o.drillLines(ctx, rec, q)
	if err != nil {
		return "", err
	}
	pages := (all + drillPage - 1) / drillPage
	switch {
	case all == 0:
		return o.texts.Say(texts.DrillListEmpty), nil
	case q.page > pages:
		return o.texts.Count(texts.DrillNoPage, pages, "page", strconv.Itoa(q.page)), nil
	}
	head := o.texts.Say(heading) + "\n" + o.texts.Say(texts.DrillPage, "time", o.texts.Time(rec.Began), "team", esc(q.team),
		"page", strconv.Itoa(q.page), "pages", strconv.Itoa(pages)) + "\n\n"
	foot := ""
	if q.page < pages {
		foot = "\n" + o.texts.Say(texts.DrillPageNext, "command", q.next()) + "\n"
	}
	return head + fitting(lines, drillPageSize-len(head)-len(foot)) + foot, nil
}

// next is the command for the next page.
func (q drillQuery) next() string {
	words := []string{"drill", "report", q.list, strconv.Itoa(q.page + 1)}
	if q.named != "" {
		words = slices.Insert(words, 2, strings.ReplaceAll(q.named, "`", ""))
	}
	return strings.Join(words, " ")
}

// shortened cuts a name to so many bytes at most.
type shortened func(name string) string

// drillLines returns a page's entries, which can be made with shorter names, and
// how many entries the list has in all.
func (o *outages) drillLines(ctx context.Context, rec *database.Outage, q drillQuery) (heading texts.Key, lines func(short shortened) string, all int, err error) {
	x, offset := o.texts, min(q.page-1, 1<<30/drillPage)*drillPage
	var rooms []database.DrillRoomReport
	var people []database.DrillPerson
	switch q.list {
	case drillListRooms:
		var totals database.DrillTotals
		if totals, err = o.db.Drills.Totals(ctx, rec.ID, q.scope); err == nil {
			rooms, err = o.db.Drills.Rooms(ctx, rec.ID, q.scope, drillPage, offset)
		}
		return texts.DrillRooms, func(short shortened) string {
			var b strings.Builder
			for _, room := range rooms {
				fmt.Fprintf(&b, "* %s\n", roomText(x, room, short(o.title(room.Portal))))
			}
			return b.String()
		}, totals.Rooms, err
	case drillListPeople:
		people, all, err = o.db.Drills.Present(ctx, rec.ID, q.scope, drillPage, offset)
		return texts.DrillPersons, func(short shortened) string {
			var b strings.Builder
			portal := ""
			for _, p := range people {
				if p.Portal != portal {
					portal = p.Portal
					fmt.Fprintf(&b, "* %s\n", short(o.title(portal)))
				}
				fmt.Fprintf(&b, "  * %s\n", personText(x, p, short(p.Name)))
			}
			return b.String()
		}, all, err
	default:
		people, all, err = o.db.Drills.Missing(ctx, rec.ID, q.scope, drillPage, offset)
		return texts.DrillMissing, func(short shortened) string {
			var b strings.Builder
			for _, p := range people {
				fmt.Fprintf(&b, "* %s\n", x.Say(texts.DrillMissingIn, "who", absentText(x, p.State, short(p.Name), short(spoken(x, p.Why))),
					"room", short(o.title(p.Portal)), "more", ""))
			}
			return b.String()
		}, all, err
	}
}

// fitting makes lines with names as long as there is room for.
func fitting(lines func(short shortened) string, room int) (text string) {
	for _, most := range []int{1000, 200, 80, 40, 20} {
		text = lines(func(name string) string { return esc(cutName(name, most)) })
		if len(text) <= room {
			break
		}
	}
	return text
}

// cutName cuts a name to so many bytes.
func cutName(name string, most int) string {
	if len(name) <= most {
		return name
	}
	for most > 0 && !utf8.RuneStart(name[most]) {
		most--
	}
	return name[:most] + "…"
}

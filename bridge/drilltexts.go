package bridge

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"teamsbridge/database"
	"teamsbridge/texts"
)

const (
	// drillNames is how many bytes a report names people in who were in rooms,
	// drillAbsent the same for the missing ones, drillTitle how many the name of a
	// room has: an event holds 64 kB, with the text once more as HTML.
	drillNames  = 5000
	drillAbsent = 2000
	drillTitle  = 60
	// drillLate is how long after a drill's beginning or end a look at it is late.
	drillLate = 5 * time.Minute
)

// drillReportText is what is told of a drill when it is over.
func drillReportText(x texts.Texts, rec *database.Outage, all tallies, people drillPeople, title func(string) string) string {
	var b strings.Builder
	b.WriteString(x.Say(texts.DrillReport, "what", esc(drills.Retell(x, rec.Detail)), "who", esc(rec.By)) + "\n\n")
	b.WriteString("* " + x.Say(texts.DrillLasted, "duration", spokenFor(x, rec.Ended.Sub(rec.Began)), "span", span(x, rec.Began, rec.Ended)))
	if isCut(rec) {
		b.WriteString(" " + x.Say(texts.DrillCutShort))
	}
	b.WriteString("\n" + totalsText(x, rec, all, title) + "\n")
	if t := people.totals; t.Rooms > 0 {
		began, ended := drillIn(t.RoomsBegan > 0, t.People.Began), drillIn(t.RoomsEnded > 0, t.People.Ended)
		b.WriteString("* " + x.Count(texts.DrillPeople, t.Rooms, "began", began, "ended", ended, "came", strconv.Itoa(t.People.Came), "left", strconv.Itoa(t.People.Left)) + "\n")
		b.WriteString("* " + x.Say(texts.DrillAbsent, "missing", strconv.Itoa(t.People.Missing), "strangers", strconv.Itoa(t.People.Strangers)) + "\n")
	}
	for _, line := range looksText(x, rec, people) {
		b.WriteString("* " + line + "\n")
	}
	writeRooms(x, &b, people, title)
	writeAbsent(x, &b, people, title)
	if people.totals.Rooms > 0 {
		b.WriteString("\n" + x.Say(texts.DrillMore) + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

// drillIn is how many were in a room, a dash where nobody has looked.
func drillIn(looked bool, n int) string {
	if !looked {
		return "–"
	}
	return strconv.Itoa(n)
}

// drillLookKeys are what is said of a look.
type drillLookKeys struct{ none, late, part texts.Key }

// looksText says what the looks at a drill's rooms lack.
func looksText(x texts.Texts, rec *database.Outage, people drillPeople) (lines []string) {
	for _, at := range []struct {
		moment database.DrillMoment
		of     time.Time
		looked int
		keys   drillLookKeys
	}{
		{database.DrillBegan, rec.Began, people.totals.RoomsBegan, drillLookKeys{texts.DrillNoneBegan, texts.DrillLateBegan, texts.DrillPartBegan}},
		{database.DrillEnded, rec.Ended, people.totals.RoomsEnded, drillLookKeys{texts.DrillNoneEnded, texts.DrillLateEnded, texts.DrillPartEnded}},
	} {
		look := people.looks[at.moment]
		switch {
		case look == nil, look.Rooms > 0 && at.looked == 0:
			lines = append(lines, x.Say(at.keys.none))
			continue
		case look.Done.Sub(at.of) >= drillLate:
			lines = append(lines, x.Say(at.keys.late, "span", span(x, look.Started, look.Done)))
		}
		if n := look.Rooms - at.looked; n > 0 {
			lines = append(lines, x.Count(at.keys.part, n))
		}
	}
	if n := people.totals.Unasked; n > 0 {
		lines = append(lines, x.Count(texts.DrillUnasked, n))
	}
	return lines
}

// writeRooms lists the rooms, those in which most was written first.
func writeRooms(x texts.Texts, b *strings.Builder, people drillPeople, title func(string) string) {
	if len(people.rooms) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n\n", x.Say(texts.DrillRooms))
	left := drillNames
	for _, room := range people.rooms {
		fmt.Fprintf(b, "* %s\n", roomText(x, room.DrillRoomReport, esc(cutName(title(room.Portal), drillTitle))))
		if names := presentText(x, room.names, room.all, left); names != "" {
			left -= len(names)
			fmt.Fprintf(b, "  * %s\n", names)
		}
	}
	if more := people.totals.Rooms - len(people.rooms); more > 0 {
		fmt.Fprintf(b, "* %s\n", x.Count(texts.ListMore, more))
	}
}

// roomText is a room with how many were in it.
func roomText(x texts.Texts, room database.DrillRoomReport, title string) string {
	some := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	p := room.People
	return x.Say(texts.DrillRoom, "room", title, "began", drillIn(!room.BeganAt.IsZero(), p.Began), "ended", drillIn(!room.EndedAt.IsZero(), p.Ended),
		"came", some(p.Came), "left", some(p.Left), "missing", some(p.Missing), "strangers", some(p.Strangers), "messages", x.Count(texts.MessagesCount, room.Written))
}

// presentText names people who were in a room, as many as there is room for.
func presentText(x texts.Texts, people []database.DrillPerson, all, room int) string {
	var names []string
	for _, p := range people {
		name := personText(x, p, esc(p.Name))
		if len(name) > room {
			break
		}
		room -= len(name)
		names = append(names, name)
	}
	if len(names) == 0 {
		return ""
	}
	more := ""
	if n := all - len(names); n > 0 {
		more = strconv.Itoa(n)
	}
	return x.Say(texts.DrillIn, "names", strings.Join(names, ", "), "more", more)
}

// personText is somebody who was in a room.
func personText(x texts.Texts, p database.DrillPerson, name string) string {
	if p.Stranger {
		name = x.Say(texts.DrillOutside, "name", name)
	}
	switch {
	case p.Came:
		return x.Say(texts.DrillCame, "name", name)
	case p.Left:
		return x.Say(texts.DrillWent, "name", name)
	}
	return name
}

// writeAbsent lists the people who are not where they should be.
func writeAbsent(x texts.Texts, b *strings.Builder, people drillPeople, title func(string) string) {
	if len(people.absent) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n\n", x.Say(texts.DrillMissing))
	room := drillAbsent
	for i, a := range people.absent {
		more := ""
		if a.Rooms > 1 {
			more = strconv.Itoa(a.Rooms - 1)
		}
		line := x.Say(texts.DrillMissingIn, "who", absentText(x, a.State, esc(a.Name), esc(spoken(x, a.Why))), "room", esc(cutName(title(a.Portal), drillTitle)), "more", more)
		if room -= len(line); room < 0 {
			fmt.Fprintf(b, "* %s\n", x.Count(texts.ListMore, people.absentAll-i))
			return
		}
		fmt.Fprintf(b, "* %s\n", line)
	}
	if n := people.absentAll - len(people.absent); n > 0 {
		fmt.Fprintf(b, "* %s\n", x.Count(texts.ListMore, n))
	}
}

// absentText is somebody who was missing in a room, with why.
func absentText(x texts.Texts, state, name, why string) string {
	switch state {
	case database.PlaceLeft:
		return x.Say(texts.DrillHasLeft, "name", name)
	case database.PlaceInvited:
		return x.Say(texts.DrillInvited, "name", name)
	case database.PlaceNever:
		return x.Say(texts.DrillNever, "name", name, "why", why)
	case database.PlaceNoAccount:
		return x.Say(texts.DrillNoAccount, "name", name, "why", why)
	default:
		return x.Say(texts.DrillGone, "name", name)
	}
}

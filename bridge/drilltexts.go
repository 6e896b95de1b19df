package bridge

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"teamsbridge/database"
	"teamsbridge/texts"
)

const (
	// drillListed is how many rooms, people of a room and missing people a report
	// names.
	drillListed = 20
	// drillNames is how many bytes it names people in: an event holds 64 kB, with
	// the text once more as HTML.
	drillNames = 8000
)

// drillReportText is what is told of a drill when it is over.
func drillReportText(x texts.Texts, rec *database.Outage, all tallies, people roster, title func(string) string) string {
	var b strings.Builder
	b.WriteString(x.Say(texts.DrillReport, "what", esc(drills.Retell(x, rec.Detail)), "who", esc(rec.By)) + "\n\n")
	b.WriteString("* " + x.Say(texts.DrillLasted, "duration", spokenFor(x, rec.Ended.Sub(rec.Began)), "span", span(x, rec.Began, rec.Ended)))
	if isCut(rec) {
		b.WriteString(" " + x.Say(texts.DrillCutShort))
	}
	b.WriteString("\n" + totalsText(x, rec, all, title) + "\n")
	joined, missing, left := 0, 0, ""
	for _, room := range people.rooms {
		joined += len(room.joined)
		missing += len(room.missing)
	}
	if people.leftOut > 0 {
		left = strconv.Itoa(people.leftOut)
	}
	b.WriteString("* " + x.Count(texts.DrillPeople, len(people.rooms), "joined", strconv.Itoa(joined), "missing", strconv.Itoa(missing), "left", left) + "\n")
	writeRooms(x, &b, all, people, title)
	writeMissing(x, &b, people, title)
	return strings.TrimRight(b.String(), "\n")
}

// writeRooms lists the rooms, those in which most was written first.
func writeRooms(x texts.Texts, b *strings.Builder, all tallies, people roster, title func(string) string) {
	if len(people.rooms) == 0 {
		return
	}
	rooms := slices.Clone(people.rooms)
	slices.SortStableFunc(rooms, func(x, y roomRoster) int { return all[y.portal].messages() - all[x.portal].messages() })
	fmt.Fprintf(b, "\n%s\n\n", x.Say(texts.DrillRooms))
	left := drillNames
	for i, room := range rooms {
		if i == drillListed {
			fmt.Fprintf(b, "* %s\n", x.Count(texts.ListMore, len(rooms)-i))
			break
		}
		b.WriteString("* " + x.Say(texts.DrillRoom, "room", esc(title(room.portal)), "people", x.Count(texts.PeopleCount, len(room.joined)),
			"missing", strconv.Itoa(len(room.missing)), "messages", x.Count(texts.MessagesCount, all[room.portal].messages())) + "\n")
		if names := joinedText(x, room.joined, left); names != "" {
			left -= len(names)
			fmt.Fprintf(b, "  * %s\n", names)
		}
	}
}

// joinedText names people who are in a room, as many as there is room for.
func joinedText(x texts.Texts, joined []string, room int) string {
	var names []string
	for _, name := range joined[:min(len(joined), drillListed)] {
		if name = esc(name); len(name) > room {
			break
		}
		room -= len(name)
		names = append(names, name)
	}
	if len(names) == 0 {
		return ""
	}
	more := ""
	if n := len(joined) - len(names); n > 0 {
		more = strconv.Itoa(n)
	}
	return x.Say(texts.DrillIn, "names", strings.Join(names, ", "), "more", more)
}

// writeMissing lists the people who are not where they should be.
func writeMissing(x texts.Texts, b *strings.Builder, people roster, title func(string) string) {
	var lines []string
	for _, room := range people.rooms {
		for _, who := range room.missing {
			lines = append(lines, fmt.Sprintf("* %s – %s\n", esc(who), esc(title(room.portal))))
		}
	}
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n\n", x.Say(texts.DrillMissing))
	for i, line := range lines {
		if i == drillListed {
			fmt.Fprintf(b, "* %s\n", x.Count(texts.ListMore, len(lines)-i))
			break
		}
		b.WriteString(line)
	}
}

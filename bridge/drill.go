package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/texts"
)

const (
	drillDefault = 15 * time.Minute
	drillMax     = 4 * time.Hour
	// drillRooms is how many rooms a drill's report looks into.
	drillRooms = 1000
	// drillListed is how many rooms and people a report names.
	drillListed = 20
)

// Errors of drills, as administrators see them.
var (
	errDrillOn    = errors.New("a drill goes on already; `drill end` ends it")
	errOutageOn   = errors.New("an outage goes on, so a drill would only confuse people")
	errNoDrill    = errors.New("no drill goes on")
	errNoReport   = errors.New("there is no report of a drill yet")
	errDrillBound = fmt.Errorf("a drill takes from 1 to %d minutes", int(drillMax.Minutes()))
)

// startDrill begins a drill for a scope: the portal of a team, or "" for all.
func (o *outages) startDrill(ctx context.Context, scope, label, by string, length time.Duration) (until time.Time, err error) {
	if length < time.Minute || length > drillMax {
		return until, errDrillBound
	}
	hold := database.Hold{Scope: scope, Kind: database.HoldDrill, Reason: label, By: by, Began: o.now(), Until: o.now().Add(length)}
	if err := o.setDrill(ctx, hold); err != nil {
		return until, err
	}
	return hold.Until, o.look(ctx)
}

// setDrill sets the hold of a drill unless something goes on.
func (o *outages) setDrill(ctx context.Context, hold database.Hold) error {
	o.looking.Lock()
	defer o.looking.Unlock()
	open, err := o.db.Outages.Open(ctx)
	if err != nil {
		return err
	}
	real, drill := underWay(open)
	down, _ := o.graph()
	switch {
	case drill != nil || o.holdOf(database.HoldDrill) != nil:
		return errDrillOn
	case real != nil || down || o.holdOf(database.HoldOutage) != nil:
		return errOutageOn
	}
	return o.holds.set(ctx, hold)
}

// endDrill ends the drill before its time.
func (o *outages) endDrill(ctx context.Context) error {
	hold := o.holdOf(database.HoldDrill)
	if hold == nil {
		return errNoDrill
	}
	if _, err := o.holds.clear(ctx, hold.Scope, hold.Kind); err != nil {
		return err
	}
	return o.look(ctx)
}

// drillReport returns the report of the last drill that has one.
func (o *outages) drillReport(ctx context.Context) (string, error) {
	recent, err := o.db.Outages.Recent(ctx, outagesSearched)
	if err != nil {
		return "", err
	}
	for _, rec := range recent {
		if rec.Kind == database.OutageDrill && rec.Report != "" {
			return rec.Report, nil
		}
	}
	return "", errNoReport
}

// settleDrill makes the record of the drill say what is: a drill goes on while
// its hold counts, and a real outage ends it.
func (o *outages) settleDrill(ctx context.Context, drill *database.Outage, realOn bool) error {
	hold := o.holdOf(database.HoldDrill)
	if realOn && hold != nil {
		if drill != nil {
			drill.Cause = causeCut
			if err := o.db.Outages.Update(ctx, drill); err != nil {
				return err
			}
		}
		if _, err := o.holds.clear(ctx, hold.Scope, hold.Kind); err != nil {
			return err
		}
		hold = nil
	}
	switch {
	case drill == nil && hold != nil:
		return o.beginDrill(ctx, hold)
	case drill != nil && hold == nil:
		return o.end(ctx, drill)
	}
	return nil
}

func (o *outages) beginDrill(ctx context.Context, hold *database.Hold) (err error) {
	rec := &database.Outage{Kind: database.OutageDrill, Scope: hold.Scope, Detail: hold.Reason, By: hold.By, Began: hold.Began}
	if rec.FirstRow, err = o.firstRow(ctx, rec.Began.Add(outageHeadStart)); err != nil {
		return err
	}
	return o.store(ctx, rec)
}

// roster is who is in rooms and who should be.
type roster struct {
	rooms []roomRoster
	// left out are rooms that were too many to look into.
	leftOut int
}

// roomRoster is who is in one room: staff who are joined, by name, and staff
// who should be and are not, with why.
type roomRoster struct {
	portal  string
	joined  int
	missing []string
}

// rosterOf lists who is in the rooms of a scope.
func (r *runtime) rosterOf(ctx context.Context, scope string) (out roster, err error) {
	convs := r.catalog.all(func(conv database.Conversation) bool {
		return isMirroredChannel(conv) && database.Hold{Scope: scope}.Covers(conv.Portal)
	})
	slices.SortFunc(convs, byName)
	if len(convs) > drillRooms {
		out.leftOut, convs = len(convs)-drillRooms, convs[:drillRooms]
	}
	all, err := r.db.OptOuts.All(ctx)
	if err != nil {
		return out, err
	}
	left := map[string][]string{}
	for _, one := range all {
		left[one.RoomID] = append(left[one.RoomID], one.MXID)
	}
	for _, conv := range convs {
		room, err := r.roomRosterOf(ctx, conv, left)
		if err != nil {
			return out, err
		}
		out.rooms = append(out.rooms, room)
	}
	return out, nil
}

func (r *runtime) roomRosterOf(ctx context.Context, conv database.Conversation, left map[string][]string) (roomRoster, error) {
	out := roomRoster{portal: conv.Portal}
	key := networkid.PortalKey{ID: networkid.PortalID(conv.Portal)}
	room, err := r.rooms.Room(ctx, key)
	if err != nil || room == "" {
		return out, err
	}
	members, err := r.c.br.Matrix.GetMembers(ctx, room)
	if err != nil {
		return out, fmt.Errorf("listing members: %w", err)
	}
	for mxid, member := range members {
		if _, _, staff := r.dir.Person(mxid); staff && member.Membership == event.MembershipJoin {
			out.joined++
		}
	}
	placed, err := r.rooms.Placed(ctx, key)
	if err != nil {
		return out, err
	}
	gone := map[string]bool{}
	for _, mxid := range left[room.String()] {
		gone[mxid] = true
		if userID, name, ok := r.dir.Person(id.UserID(mxid)); ok && !slices.Contains(placed, userID) {
			out.missing = append(out.missing, name+" (has left)")
		}
	}
	for _, userID := range placed {
		staff, ok := r.dir.staff(userID)
		if !ok || staff.MXID == "" {
			continue
		}
		member := members[id.UserID(staff.MXID)]
		switch {
		case member != nil && member.Membership == event.MembershipJoin:
		case gone[staff.MXID]:
			out.missing = append(out.missing, staff.DisplayName+" (has left)")
		case member != nil && member.Membership == event.MembershipInvite:
			out.missing = append(out.missing, staff.DisplayName+" (invited, has not joined)")
		default:
			out.missing = append(out.missing, staff.DisplayName)
		}
	}
	slices.Sort(out.missing)
	return out, nil
}

// drillReportText is what is told of a drill when it is over.
func drillReportText(rec *database.Outage, all tallies, people roster, title func(string) string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "**Report of the drill for %s**, started by %s\n\n", esc(rec.Detail), esc(rec.By))
	fmt.Fprintf(&b, "* It lasted %s (%s).", duration(rec.Ended.Sub(rec.Began)), span(texts.Texts{}, rec.Began, rec.Ended))
	if rec.Cause == causeCut {
		b.WriteString(" A real outage ended it.")
	}
	b.WriteByte('\n')
	total := all.total()
	writeTotals(&b, rec, all, total, title)
	joined, missing := 0, 0
	for _, room := range people.rooms {
		joined += room.joined
		missing += len(room.missing)
	}
	fmt.Fprintf(&b, "* People in %s: %d places taken, %d not", count(len(people.rooms), "room", "rooms"), joined, missing)
	if people.leftOut > 0 {
		fmt.Fprintf(&b, " (%d further rooms were not looked into)", people.leftOut)
	}
	b.WriteString("\n")
	writeRooms(&b, all, people, title)
	writeMissing(&b, people, title)
	return strings.TrimRight(b.String(), "\n")
}

// writeRooms lists the rooms, those in which most was written first.
func writeRooms(b *strings.Builder, all tallies, people roster, title func(string) string) {
	if len(people.rooms) == 0 {
		return
	}
	rooms := slices.Clone(people.rooms)
	slices.SortStableFunc(rooms, func(x, y roomRoster) int { return all[y.portal].messages() - all[x.portal].messages() })
	b.WriteString("\n**Rooms**\n\n")
	for i, room := range rooms {
		if i == drillListed {
			fmt.Fprintf(b, "* … and %d more\n", len(rooms)-i)
			break
		}
		fmt.Fprintf(b, "* %s: %s in it, %d missing, %s written\n", esc(title(room.portal)), count(room.joined, "person", "people"),
			len(room.missing), count(all[room.portal].messages(), "message", "messages"))
	}
}

// writeMissing lists the people who are not where they should be.
func writeMissing(b *strings.Builder, people roster, title func(string) string) {
	var lines []string
	for _, room := range people.rooms {
		for _, who := range room.missing {
			lines = append(lines, fmt.Sprintf("* %s – %s\n", esc(who), esc(title(room.portal))))
		}
	}
	if len(lines) == 0 {
		return
	}
	b.WriteString("\n**Not in rooms they should be in**\n\n")
	for i, line := range lines {
		if i == drillListed {
			fmt.Fprintf(b, "* … and %d more\n", len(lines)-i)
			break
		}
		b.WriteString(line)
	}
}

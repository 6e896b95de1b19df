package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/rs/zerolog"
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
)

// Errors of drills, as the log has them.
var (
	errDrillOn    = errors.New(inEnglish(texts.DrillGoesOn))
	errOutageOn   = errors.New(inEnglish(texts.DrillInOutage))
	errNoDrill    = errors.New(inEnglish(texts.DrillNone))
	errNoReport   = errors.New(inEnglish(texts.DrillNoReport))
	errDrillBound = errors.New(inEnglish(texts.DrillBound, "most", strconv.Itoa(int(drillMax.Minutes()))))
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
			drill.Cause = o.cutBy()
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

// cutBy is why a real outage has ended a drill.
func (o *outages) cutBy() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.seen != nil && o.seen.NoReading && !o.seen.NoWriting && o.holdOf(database.HoldOutage) == nil {
		return causeCutReading
	}
	return causeCut
}

// isCut reports whether a record is of a drill that a real outage has ended.
func isCut(rec *database.Outage) bool {
	return rec.Kind == database.OutageDrill && (rec.Cause == causeCut || rec.Cause == causeCutReading)
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
	// left out are rooms that were too many to look into, or could not be.
	leftOut int
}

// roomRoster is who is in one room: staff who are joined, by name, and staff
// who should be and are not, with why.
type roomRoster struct {
	portal  string
	joined  []string
	missing []string
}

// rosterOf lists who is in the rooms of a scope, of too many in those in which most
// was said. A room that can't be looked into is left out, too: the report of all
// others, and whatever else is to be told, does not wait for it.
func (r *runtime) rosterOf(ctx context.Context, scope string, said func(portal string) int) (out roster, err error) {
	convs := r.catalog.all(func(conv database.Conversation) bool {
		return isMirroredChannel(conv) && database.Hold{Scope: scope}.Covers(conv.Portal)
	})
	slices.SortFunc(convs, byName)
	slices.SortStableFunc(convs, func(a, b database.Conversation) int { return said(b.Portal) - said(a.Portal) })
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
		if err != nil && ctx.Err() != nil {
			return out, err
		} else if err != nil {
			zerolog.Ctx(ctx).Warn().Err(err).Str("portal", conv.Portal).Msg("Could not see who is in a room, for a drill's report")
			out.leftOut++
			continue
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
		_, name, staff := r.dir.Person(mxid)
		if !staff || member.Membership != event.MembershipJoin {
			continue
		}
		if name == "" {
			name = mxid.String()
		}
		out.joined = append(out.joined, name)
	}
	placed, err := r.rooms.Placed(ctx, key)
	if err != nil {
		return out, err
	}
	gone := map[string]bool{}
	for _, mxid := range left[room.String()] {
		gone[mxid] = true
		if userID, name, ok := r.dir.Person(id.UserID(mxid)); ok && !slices.Contains(placed, userID) {
			out.missing = append(out.missing, r.c.texts.Say(texts.DrillHasLeft, "name", name))
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
			out.missing = append(out.missing, r.c.texts.Say(texts.DrillHasLeft, "name", staff.DisplayName))
		case member != nil && member.Membership == event.MembershipInvite:
			out.missing = append(out.missing, r.c.texts.Say(texts.DrillInvited, "name", staff.DisplayName))
		default:
			out.missing = append(out.missing, staff.DisplayName)
		}
	}
	slices.Sort(out.joined)
	slices.Sort(out.missing)
	return out, nil
}

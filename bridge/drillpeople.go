package bridge

import (
	"context"
	"time"

	"teamsbridge/database"
)

const (
	// drillListed is how many rooms, people of a room and missing people a report
	// names.
	drillListed = 20
	// drillGrace is how much longer than a look may take a report waits for it.
	drillGrace = time.Minute
)

// drillPeople is who was in the rooms of a drill, as far as a report says it.
type drillPeople struct {
	looks  map[database.DrillMoment]*database.DrillLook
	totals database.DrillTotals
	// rooms are those in which most was written.
	rooms []drillRoom
	// absent are the people who were missing in most rooms, of so many.
	absent    []database.Absent
	absentAll int
}

// drillRoom is a room with some of the people who were in it, of so many.
type drillRoom struct {
	database.DrillRoomReport
	names []database.DrillPerson
	all   int
}

// drillLooked reports whether a record's report can be made: that of a drill waits
// for the look at its end, but not for ever.
func (o *outages) drillLooked(ctx context.Context, rec *database.Outage) (bool, error) {
	if rec.Kind != database.OutageDrill || o.now().Sub(latest(rec.Ended, o.started)) >= drillPatience+drillGrace {
		return true, nil
	}
	look, err := o.db.Drills.Look(ctx, rec.ID, database.DrillEnded)
	return look != nil && !look.Done.IsZero(), err
}

// drillPeople reads what a drill's report says of people.
func (o *outages) drillPeople(ctx context.Context, rec *database.Outage) (p drillPeople, err error) {
	p.looks = map[database.DrillMoment]*database.DrillLook{}
	for _, moment := range []database.DrillMoment{database.DrillBegan, database.DrillEnded} {
		if p.looks[moment], err = o.db.Drills.Look(ctx, rec.ID, moment); err != nil {
			return p, err
		}
	}
	if p.totals, err = o.db.Drills.Totals(ctx, rec.ID, ""); err != nil {
		return p, err
	}
	rooms, err := o.db.Drills.Rooms(ctx, rec.ID, "", drillListed, 0)
	if err != nil {
		return p, err
	}
	for _, room := range rooms {
		one := drillRoom{DrillRoomReport: room}
		if one.names, one.all, err = o.db.Drills.Present(ctx, rec.ID, room.Portal, drillListed, 0); err != nil {
			return p, err
		}
		p.rooms = append(p.rooms, one)
	}
	p.absent, p.absentAll, err = o.db.Drills.Absent(ctx, rec.ID, drillListed)
	return p, err
}

package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"teamsbridge/database"
)

const (
	// drillRooms is how many rooms of a drill are looked into.
	drillRooms = 1000
	// drillMost is how many people, once per room, are kept of a look.
	drillMost = 100_000
	// drillsKept is of how many drills it is kept who was in which room.
	drillsKept = 5
	// drillPatience is how long a look goes on; what can't be looked into by then is
	// left out.
	drillPatience = 10 * time.Minute
	// drillBusy is how long ago it counts that something was said, where there are
	// more rooms than can be looked into.
	drillBusy = 7 * 24 * time.Hour
	// drillPace is how many rooms are looked into per second: people's own messages
	// go before.
	drillPace = 20
)

// drillFound is what a look into a room finds.
type drillFound struct {
	places []database.DrillPlace
	// unasked means that Teams did not say who its members are.
	unasked bool
}

// drillLooks looks into the rooms of drills when they begin and when they end. It
// works beside what is told of outages, which never waits for it: a homeserver may
// take its time, or not answer at all. What it has seen is in the database, so
// after a restart it goes on with the rooms that are left.
type drillLooks struct {
	db      *database.Database
	now     func() time.Time
	started time.Time
	pace    *rate.Limiter
	// rooms are the mirrored conversations of a scope, by name.
	rooms func(scope string) []database.Conversation
	// written counts what was written in a drill that is over.
	written func(ctx context.Context, rec *database.Outage) (tallies, error)
	// goesOn reports whether a drill goes on.
	goesOn func(id int64) bool
	// open begins to look into rooms, one after the other.
	open func(ctx context.Context) (func(ctx context.Context, conv database.Conversation) (drillFound, error), error)
	// tries are looks that were not complete.
	tries map[string]*attempt
}

func newDrillLooks(o *outages) *drillLooks {
	return &drillLooks{
		db: o.db, now: o.now, started: o.now(), pace: rate.NewLimiter(drillPace, 1), written: o.tallies, tries: map[string]*attempt{},
		goesOn: func(id int64) bool {
			return slices.ContainsFunc(o.underWay(), func(rec database.Outage) bool { return rec.ID == id })
		},
	}
}

// step makes the looks that are to be made now.
func (l *drillLooks) step(ctx context.Context) error {
	open, err := l.db.Outages.Open(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, rec := range open {
		switch {
		case rec.Kind != database.OutageDrill || rec.Report != "":
		case rec.Ended.IsZero():
			errs = append(errs, l.look(ctx, rec, database.DrillBegan))
		default:
			errs = append(errs, l.look(ctx, rec, database.DrillEnded))
		}
	}
	return errors.Join(errs...)
}

// look goes on with a look until all rooms are done, or patience is over.
func (l *drillLooks) look(ctx context.Context, rec *database.Outage, moment database.DrillMoment) error {
	key := fmt.Sprint(rec.ID, moment)
	try := l.tries[key]
	if try != nil && try.next.After(l.now()) {
		return nil
	}
	look, err := l.db.Drills.Look(ctx, rec.ID, moment)
	if err != nil || look != nil && !look.Done.IsZero() {
		return err
	}
	todo, all, err := l.todo(ctx, rec, moment)
	if err != nil {
		return err
	}
	if look == nil {
		look = &database.DrillLook{OutageID: rec.ID, Moment: moment, Rooms: all, Started: l.now()}
		if err := errors.Join(l.db.Drills.BeginLook(ctx, *look), l.db.Drills.Purge(ctx, drillsKept)); err != nil {
			return err
		}
	}
	patient := func() bool { return l.now().Sub(latest(look.Started, l.started)) < drillPatience }
	left, err := l.pass(ctx, rec, moment, todo, patient)
	if err != nil {
		return err
	}
	if left > 0 && patient() {
		if try == nil {
			try = &attempt{wait: retellMin}
			l.tries[key] = try
		}
		try.next, try.wait = l.now().Add(try.wait), min(2*try.wait, time.Minute)
		return nil
	}
	delete(l.tries, key)
	zerolog.Ctx(ctx).Info().Int64("outage", rec.ID).Str("moment", string(moment)).Int("rooms", all).Int("failed", left).Msg("Looked who is in the rooms of a drill")
	return l.db.Drills.EndLook(ctx, rec.ID, moment)
}

// roomToLook is a room with how much was written in it in the drill.
type roomToLook struct {
	database.Conversation
	written int
}

// todo returns the rooms that are still to be looked into, team by team, and how
// many rooms there are in all. Of too many it takes those in which most is said: at
// the end in the drill, at the start lately.
func (l *drillLooks) todo(ctx context.Context, rec *database.Outage, moment database.DrillMoment) (todo []roomToLook, all int, err error) {
	convs := l.rooms(rec.Scope)
	looked, err := l.db.Drills.Looked(ctx, rec.ID, moment)
	if err != nil {
		return nil, 0, err
	}
	said, before := map[string]int{}, map[string]bool{}
	if moment == database.DrillEnded {
		t, err := l.written(ctx, rec)
		if err != nil {
			return nil, 0, err
		}
		for portal, one := range t {
			said[portal] = one.messages()
		}
		if before, err = l.db.Drills.Looked(ctx, rec.ID, database.DrillBegan); err != nil {
			return nil, 0, err
		}
	} else if len(convs) > drillRooms {
		if said, err = l.db.Drills.Busy(ctx, l.now().Add(-drillBusy)); err != nil {
			return nil, 0, err
		}
	}
	slices.SortStableFunc(convs, func(a, b database.Conversation) int {
		switch {
		case said[a.Portal] != said[b.Portal]:
			return said[b.Portal] - said[a.Portal]
		case before[a.Portal] == before[b.Portal]:
			return 0
		case before[a.Portal]:
			return -1
		}
		return 1
	})
	teams := map[string]int{}
	for _, conv := range convs {
		if len(todo)+len(looked) >= drillRooms {
			break
		}
		if _, known := teams[conv.TeamID]; !known {
			teams[conv.TeamID] = len(teams)
		}
		if !looked[conv.Portal] {
			todo = append(todo, roomToLook{conv, said[conv.Portal]})
		}
	}
	slices.SortStableFunc(todo, func(a, b roomToLook) int { return teams[a.TeamID] - teams[b.TeamID] })
	return todo, len(convs), nil
}

// pass looks into each room once, and returns how many are left. It ends early
// where the drill does in which it looks at the start.
func (l *drillLooks) pass(ctx context.Context, rec *database.Outage, moment database.DrillMoment, todo []roomToLook, patient func() bool) (left int, err error) {
	if len(todo) == 0 {
		return 0, nil
	}
	people, err := l.db.Drills.People(ctx, rec.ID)
	if err != nil {
		return 0, err
	}
	most := drillMost
	if moment == database.DrillEnded {
		most += drillMost // most of them are there from the start
	}
	look, err := l.open(ctx)
	if err != nil {
		return 0, err
	}
	for i, conv := range todo {
		if err := l.pace.Wait(ctx); err != nil {
			return 0, err
		}
		if !patient() || moment == database.DrillBegan && !l.goesOn(rec.ID) {
			return left + len(todo) - i, nil
		}
		found, err := look(ctx, conv.Conversation)
		log := zerolog.Ctx(ctx).With().Int64("outage", rec.ID).Str("portal", conv.Portal).Logger()
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case err != nil:
			log.Warn().Err(err).Msg("Could not see who is in a room, for a drill's report")
			left++
			continue
		case people+len(found.places) > most:
			log.Warn().Int("people", len(found.places)).Msg("Too many people for a drill's report, leaving a room out")
			continue
		}
		people += len(found.places)
		room := database.DrillRoom{Portal: conv.Portal, Unasked: found.unasked}
		if moment == database.DrillEnded {
			room.Written = conv.written
		}
		if err := l.db.Drills.StoreRoom(ctx, rec.ID, moment, room, found.places); err != nil {
			return 0, err
		}
	}
	return left, nil
}

// drillRoomsOf are the mirrored channels of a scope, by name.
func (r *runtime) drillRoomsOf(scope string) []database.Conversation {
	convs := r.catalog.all(func(conv database.Conversation) bool {
		return isMirroredChannel(conv) && database.Hold{Scope: scope}.Covers(conv.Portal)
	})
	slices.SortFunc(convs, byName)
	return convs
}

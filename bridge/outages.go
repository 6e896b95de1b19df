package bridge

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/texts"
)

const (
	// outageRejoin is how soon after its end an outage that begins again is the
	// same one for people.
	outageRejoin = 3 * time.Minute
	// outageHeadStart is how long before an outage was noticed something may
	// have been written that waits because of it.
	outageHeadStart = 2 * time.Minute
	// outageLook is how often it is looked whether somebody is to be told.
	outageLook = 3 * time.Second
)

// Why an outage is one, beside the causes that health finds.
const (
	// causeDeclared is an outage of which only an administrator knows.
	causeDeclared = "declared"
	// causeCut is a drill that a real outage has ended.
	causeCut = "cut short"
	// causeCutReading is one that an outage of reading alone has ended.
	causeCutReading = "cut short reading"
)

// outages keeps the records of outages in step with what is, and people in
// step with the records. There is at most one real outage at a time, whether
// it was detected, declared or both: people are told one story. Beside it there
// is at most one drill.
//
// All of it is decided anew at each look, from the records, the holds and what
// health has seen. So it does not matter when the bridge is stopped or killed:
// the next look goes on where the last one came to.
type outages struct {
	db    *database.Database
	holds *holds
	now   func() time.Time
	// started is when this process began: what was to be told before that may
	// have been told.
	started time.Time
	// graph reports whether Graph is down, and whether that is known yet.
	graph func() (down, known bool)
	// writeDoubt reports whether writes have failed of late and none has succeeded
	// since; nil for never.
	writeDoubt func() bool
	// texts is what people are told in.
	texts texts.Texts
	// say says something, at most once under a key.
	say func(ctx context.Context, n notice) error
	// admins are the rooms or people that are told everything.
	admins func() []string
	// policy is what becomes of what waits in a portal.
	policy func(portal string) string
	// reads is when each scope was read last.
	reads func() readTimes
	// title is a conversation's name for people.
	title func(portal string) string
	// begun counts outages.
	begun func(kind string)

	wake chan struct{}
	// looking lets one look at a time be under way.
	looking sync.Mutex
	// gapsClosed are the ends of outages, by record, after which all gaps were told;
	// looking guards it. To see that again takes a look through the whole ledger.
	gapsClosed map[int64]time.Time
	// unreadableAt is when all rooms in use were told that Teams can't be read;
	// looking guards it.
	unreadableAt time.Time

	mu sync.Mutex
	// seen is the outage that health sees now, upAt when it saw the last one end.
	seen *outage
	upAt time.Time
	// goingOn are copies of the records of what goes on.
	goingOn []database.Outage
	tries   map[string]*attempt
}

func newOutages(db *database.Database, held *holds, now func() time.Time) *outages {
	return &outages{
		db: db, holds: held, now: now, started: now(),
		graph:  func() (down, known bool) { return false, false },
		say:    func(context.Context, notice) error { return nil },
		admins: func() []string { return nil },
		policy: func(string) string { return portal.PolicyFull },
		reads:  func() readTimes { return nil },
		title:  func(portalID string) string { return portalID },
		begun:  func(string) {},
		wake:   make(chan struct{}, 1), tries: map[string]*attempt{}, gapsClosed: map[int64]time.Time{},
	}
}

// down is told by health of an outage's beginning.
func (o *outages) down(ctx context.Context, seen outage) { o.changed(ctx, seen) }

// changed is told by health of what an outage is now.
func (o *outages) changed(_ context.Context, seen outage) {
	o.mu.Lock()
	o.seen = &seen
	o.mu.Unlock()
	o.kick()
}

// up is told by health of an outage's end.
func (o *outages) up(_ context.Context, seen outage) {
	o.mu.Lock()
	o.seen, o.upAt = nil, seen.Ended
	o.mu.Unlock()
	o.kick()
}

func (o *outages) kick() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// run looks now, at each interval and when something has changed.
func (o *outages) run(ctx context.Context) error {
	ticker := time.NewTicker(outageLook)
	defer ticker.Stop()
	for {
		if err := o.look(ctx); err != nil && ctx.Err() == nil {
			zerolog.Ctx(ctx).Warn().Err(err).Msg("Could not look after outages, will try again")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-o.wake:
		case <-ticker.C:
		}
	}
}

// look brings the records up to date, and tells whoever is to be told.
func (o *outages) look(ctx context.Context) error {
	o.looking.Lock()
	defer o.looking.Unlock()
	if err := o.settle(ctx); err != nil {
		return err
	}
	open, err := o.db.Outages.Open(ctx)
	if err != nil {
		return err
	}
	o.remember(open)
	real, _ := underWay(open)
	var errs []error // what one waits for must not keep the next from being told
	for _, rec := range open {
		if rec.Ended.IsZero() {
			errs = append(errs, o.tellBegan(ctx, rec))
		} else {
			errs = append(errs, o.close(ctx, rec, real != nil))
		}
	}
	return errors.Join(errs...)
}

// remember keeps copies of what goes on for those who may not wait.
func (o *outages) remember(open []*database.Outage) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.goingOn = o.goingOn[:0]
	for _, rec := range open {
		if rec.Ended.IsZero() {
			o.goingOn = append(o.goingOn, *rec)
		}
	}
}

// underWay returns what went on at the last look.
func (o *outages) underWay() []database.Outage {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.goingOn)
}

// current returns what went on at the last look: the real outage, and the drill.
func (o *outages) current() (real, drill *database.Outage) {
	for _, rec := range o.underWay() {
		if rec.Kind == database.OutageDrill {
			drill = &rec
		} else {
			real = &rec
		}
	}
	return real, drill
}

// underWay picks the real outage and the drill that go on.
func underWay(open []*database.Outage) (real, drill *database.Outage) {
	for _, rec := range open {
		switch {
		case !rec.Ended.IsZero():
		case rec.Kind == database.OutageDrill:
			drill = rec
		default:
			real = rec
		}
	}
	return real, drill
}

// settle makes the records say what is.
func (o *outages) settle(ctx context.Context) error {
	open, err := o.db.Outages.Open(ctx)
	if err != nil {
		return err
	}
	real, drill := underWay(open)
	down, known := o.graph()
	o.mu.Lock()
	seen := o.seen
	o.mu.Unlock()
	hold := o.holdOf(database.HoldOutage)
	switch {
	case real == nil && (seen != nil || hold != nil):
		if real, err = o.begin(ctx, seen, hold, drill); err == nil {
			err = o.spans(ctx, real, seen, hold)
		}
	case real == nil:
	case seen != nil || hold != nil:
		if err = o.refresh(ctx, real, seen, hold); err == nil {
			err = o.spans(ctx, real, seen, hold)
		}
	case known && !down:
		// After a restart, whether it goes on is not known until Graph was asked.
		err = o.end(ctx, real)
		real = nil
	}
	if err != nil {
		return err
	}
	return o.settleDrill(ctx, drill, real != nil)
}

// holdOf returns the hold of a kind that counts, whatever its scope.
func (o *outages) holdOf(kind string) *database.Hold {
	for _, hold := range o.holds.list() {
		if hold.Kind == kind {
			return &hold
		}
	}
	return nil
}

// describe makes a record say what the outage is now. Once declared it is of
// that kind; By is who says so, empty where nobody says it any more and it goes
// on all the same. Its cause is what was detected, if anything was.
func describe(rec *database.Outage, seen *outage, hold *database.Hold) {
	if hold != nil {
		rec.Kind, rec.Detail, rec.By = database.OutageDeclared, hold.Reason, hold.By
	}
	switch {
	case seen != nil:
		rec.Cause = string(seen.Kind)
		if hold == nil {
			rec.Detail, rec.By = seen.Detail, ""
		}
	case rec.Cause == "":
		rec.Cause = causeDeclared
	}
}

// begin makes the record of an outage, or goes on with that of the last one.
func (o *outages) begin(ctx context.Context, seen *outage, hold *database.Hold, drill *database.Outage) (*database.Outage, error) {
	last, err := o.lastReal(ctx)
	if err != nil {
		return nil, err
	}
	if last != nil && (last.Drained.IsZero() || o.now().Sub(last.Ended) < outageRejoin) {
		last.Resumed, last.Ended, last.Drained, last.LastRow, last.Report = o.now(), time.Time{}, time.Time{}, 0, ""
		describe(last, seen, hold)
		zerolog.Ctx(ctx).Warn().Int64("outage", last.ID).Str("cause", last.Cause).Msg("The outage goes on again")
		return last, o.db.Outages.Resume(ctx, last)
	}
	rec := &database.Outage{Kind: database.OutageDetected, Began: o.now()}
	if seen != nil && !seen.Began.IsZero() {
		rec.Began = earliest(rec.Began, seen.Began)
	}
	if hold != nil {
		rec.Began = earliest(rec.Began, hold.Began)
	}
	describe(rec, seen, hold)
	if rec.FirstRow, err = o.firstRow(ctx, rec.Began); err != nil {
		return nil, err
	}
	if drill != nil {
		// What the drill kept waits for the real one now.
		rec.FirstRow = min(rec.FirstRow, drill.FirstRow)
	}
	return rec, o.store(ctx, rec)
}

func (o *outages) store(ctx context.Context, rec *database.Outage) error {
	if err := o.db.Outages.Begin(ctx, rec); err != nil {
		return err
	}
	zerolog.Ctx(ctx).Warn().Int64("outage", rec.ID).Str("kind", rec.Kind).Str("cause", rec.Cause).Str("scope", rec.Scope).Msg("An outage has begun")
	o.begun(rec.Kind)
	return nil
}

// firstRow is where the rows of an outage begin: with what was written just
// before it was noticed and waits.
func (o *outages) firstRow(ctx context.Context, began time.Time) (int64, error) {
	oldest, err := o.db.Outbox.OldestSince(ctx, began.Add(-outageHeadStart))
	if err != nil || oldest != 0 {
		return oldest, err
	}
	last, err := o.db.Outbox.LastID(ctx)
	return last + 1, err
}

// lastReal returns the newest outage that was none of the drills.
func (o *outages) lastReal(ctx context.Context) (*database.Outage, error) {
	recent, err := o.db.Outages.Recent(ctx, outagesListed)
	for _, rec := range recent {
		if rec.Kind != database.OutageDrill {
			return rec, err
		}
	}
	return nil, err
}

func (o *outages) refresh(ctx context.Context, rec *database.Outage, seen *outage, hold *database.Hold) error {
	before := *rec
	describe(rec, seen, hold)
	if *rec == before {
		return nil
	}
	return o.db.Outages.Update(ctx, rec)
}

func (o *outages) end(ctx context.Context, rec *database.Outage) (err error) {
	rec.Ended = o.now()
	o.mu.Lock()
	upAt := o.upAt
	o.mu.Unlock()
	if rec.Kind == database.OutageDetected && upAt.After(latest(rec.Began, rec.Resumed)) {
		rec.Ended = upAt
	}
	if err = o.endSpans(ctx, rec, upAt); err != nil {
		return err
	}
	if rec.LastRow, err = o.db.Outbox.LastID(ctx); err != nil {
		return err
	}
	zerolog.Ctx(ctx).Info().Int64("outage", rec.ID).Str("kind", rec.Kind).Stringer("lasted", rec.Ended.Sub(rec.Began).Round(time.Second)).
		Msg("An outage is over")
	return o.db.Outages.Update(ctx, rec)
}

// isDeclared reports whether an outage is one because somebody says so.
func isDeclared(rec *database.Outage) bool {
	return rec.Kind == database.OutageDeclared && rec.By != ""
}

// covers reports whether a record is about a portal.
func covers(rec *database.Outage, portal string) bool {
	return database.Hold{Scope: rec.Scope}.Covers(portal)
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

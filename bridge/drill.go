package bridge

import (
	"context"
	"errors"
	"strconv"
	"time"

	"teamsbridge/database"
	"teamsbridge/texts"
)

const (
	drillDefault = 15 * time.Minute
	drillMax     = 4 * time.Hour
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
	rec, err := o.lastDrill(ctx, "")
	if err != nil {
		return "", err
	} else if rec == nil {
		return "", errNoReport
	}
	return rec.Report, nil
}

// lastDrill returns the last drill with a report that a scope was in, nil where
// there is none; any will do for "".
func (o *outages) lastDrill(ctx context.Context, scope string) (*database.Outage, error) {
	recent, err := o.db.Outages.Recent(ctx, outagesSearched)
	for _, rec := range recent {
		if rec.Kind == database.OutageDrill && rec.Report != "" && (scope == "" || rec.Scope == "" || rec.Scope == scope) {
			return rec, err
		}
	}
	return nil, err
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

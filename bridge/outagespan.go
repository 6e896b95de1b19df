package bridge

import (
	"context"
	"time"

	"teamsbridge/database"
)

// unwritable returns since when nothing can be written: because that was met,
// or because somebody says so. It is zero where Teams can be written.
func unwritable(seen *outage, hold *database.Hold) (since time.Time) {
	if seen != nil && seen.NoWriting {
		since = seen.Unwritable
	}
	if hold != nil && (since.IsZero() || hold.Began.Before(since)) {
		since = hold.Began
	}
	return since
}

// unwritableNow reports whether this process knows that nothing can be written.
func (o *outages) unwritableNow() bool {
	o.mu.Lock()
	seen := o.seen
	o.mu.Unlock()
	return !unwritable(seen, o.holdOf(database.HoldOutage)).IsZero()
}

// endSpans ends what an outage is about. Where this process has found Teams usable
// from its beginning on, nobody knows when that began: what was said since the
// process before ended goes.
func (o *outages) endSpans(ctx context.Context, rec *database.Outage, upAt time.Time) error {
	writable := rec.Ended
	if upAt.IsZero() && latest(rec.Began, rec.Resumed).Before(o.started) {
		writable = earliest(writable, o.started)
	}
	if err := o.db.Outages.Unblock(ctx, rec.ID, database.SpanWrite, writable); err != nil {
		return err
	}
	return o.db.Outages.Unblock(ctx, rec.ID, database.SpanRead, rec.Ended)
}

// spans makes the spans of an outage that goes on say what can't be done now. They
// decide what a policy keeps in Matrix and which gap rooms are told of: an outage
// may be one of reading alone, or become one.
func (o *outages) spans(ctx context.Context, rec *database.Outage, seen *outage, hold *database.Hold) error {
	if err := o.span(ctx, rec, database.SpanWrite, unwritable(seen, hold)); err != nil {
		return err
	}
	var unreadable time.Time
	if seen != nil && seen.NoReading {
		unreadable = seen.Unreadable
	}
	return o.span(ctx, rec, database.SpanRead, unreadable)
}

func (o *outages) span(ctx context.Context, rec *database.Outage, what string, since time.Time) error {
	if since.IsZero() {
		return o.db.Outages.Unblock(ctx, rec.ID, what, o.now())
	}
	return o.db.Outages.Block(ctx, rec.ID, what, since)
}

// letGo ends a declared outage; ok is false where none is declared. Its span ends
// before anything that it held can go, so that nothing said later is kept.
func (o *outages) letGo(ctx context.Context) (ok bool, err error) {
	o.looking.Lock()
	defer o.looking.Unlock()
	open, err := o.db.Outages.Open(ctx)
	if err != nil {
		return false, err
	}
	o.mu.Lock()
	seen := o.seen
	o.mu.Unlock()
	if real, _ := underWay(open); real != nil && unwritable(seen, nil).IsZero() {
		if err = o.db.Outages.Unblock(ctx, real.ID, database.SpanWrite, o.now()); err != nil {
			return false, err
		}
	}
	return o.holds.clear(ctx, "", database.HoldOutage)
}

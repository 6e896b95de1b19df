package bridge

import (
	"context"
	"slices"
	"strings"
	"time"

	"teamsbridge/database"
	"teamsbridge/texts"
)

const (
	// outageGapPatience is how long a room waits to hear of the end until what
	// was said in Teams meanwhile has been read.
	outageGapPatience = 10 * time.Minute
	// outageGapMargin is how long before an outage was noticed something may
	// have been said in Teams that came through only after it.
	outageGapMargin = time.Minute
	// outageLate is how much later than it was written a message must have come
	// for its room to be told of a gap that it did not know of.
	outageLate = time.Minute
)

// gap is what was said in Teams while it could not be read.
type gap struct {
	// none means that reading went on all the time.
	none bool
	// count is how many messages came late, complete whether those are all.
	count    int
	complete bool
}

// missed counts what a room got late from Teams; through is false while more
// is to be expected.
func (o *outages) missed(ctx context.Context, rec *database.Outage, portal string, reads readTimes) (g gap, through bool, err error) {
	if rec.Kind == database.OutageDrill || rec.Cause == causeDeclared {
		return gap{none: true}, true, nil
	}
	o.mu.Lock()
	upAt := o.upAt
	o.mu.Unlock()
	readAt, unreadable := reads.of(portal)
	pending, err := o.db.Inbox.PendingUntil(ctx, portal, rec.Ended)
	if err != nil {
		return g, false, err
	}
	g.complete = readAt.After(latest(upAt, o.started)) && pending == 0
	if !g.complete && !unreadable && o.now().Sub(latest(rec.Ended, o.started)) < outageGapPatience {
		return g, false, nil
	}
	since := rec.Ended
	if !upAt.IsZero() {
		since = earliest(since, upAt)
	}
	g.count, err = o.db.Inbox.Late(ctx, portal, rec.Began.Add(-outageGapMargin), rec.Ended, since)
	return g, true, err
}

// closeGaps tells the rooms to which something came late from Teams, and which
// knew nothing of the outage, which gap was closed, and those that know that Teams
// could not be read that it is: once for each, when all that can be read has been
// read. It returns how much is still to be waited for, and how
// many rooms could not be told. The others hear of it with the outage's end.
func (o *outages) closeGaps(ctx context.Context, rec *database.Outage, told map[string]database.OutageRoom) (waiting, untold int, err error) {
	if closed, ok := o.gapsClosed[rec.ID]; rec.Kind == database.OutageDrill || ok && closed.Equal(rec.Ended) {
		return 0, 0, nil
	}
	spans, err := o.db.Outages.Spans(ctx, database.SpanRead, outagesAsked)
	if err != nil {
		return 0, 0, err
	}
	spans = slices.DeleteFunc(spans, func(s database.OutageSpan) bool { return s.OutageID != rec.ID || s.To.IsZero() })
	if len(spans) == 0 {
		return 0, 0, nil
	}
	o.mu.Lock()
	upAt := o.upAt
	o.mu.Unlock()
	patient := o.now().Sub(latest(rec.Ended, o.started)) < outageGapPatience
	if patient && !o.reads().allSince(latest(upAt, o.started)) {
		return 1, 0, nil
	}
	late, err := o.db.Inbox.LateRooms(ctx, rec.ID, outageGapMargin, outageLate)
	if err != nil {
		return 0, 0, err
	}
	var rows []database.OutageRoom
	said := map[string]string{}
	came := map[string]database.LateRoom{}
	for _, room := range late {
		came[room.Portal] = room
		if !told[readRow+room.Portal].BeganTold.IsZero() {
			continue // below
		}
		row := told[room.Portal]
		switch {
		case !row.BeganTold.IsZero() || !row.EndedTold.IsZero():
			continue // the outage's end tells, or has told
		case room.Pending > 0 && patient:
			waiting++
			continue
		case room.Pending == room.Count:
			continue // nothing has come
		}
		row.OutageID, row.Portal = rec.ID, room.Portal
		rows = append(rows, row)
		from, to := hull(spans, row.GapTold)
		said[room.Portal] = gapText(o.texts, from, to, gap{count: room.Count, complete: room.Pending == 0})
	}
	for _, row := range unreadableRooms(told) {
		room := came[recipient(row.Portal)]
		if room.Pending > 0 && patient {
			waiting++
			continue
		}
		rows = append(rows, row)
		from, to := hull(spans, row.GapTold)
		said[row.Portal] = gapText(o.texts, from, to, gap{count: room.Count, complete: room.Pending == 0})
	}
	untold, err = o.tellRooms(ctx, rec, rows, func(portal string) string { return said[portal] })
	if err == nil && waiting == 0 && untold == 0 {
		o.gapsClosed[rec.ID] = rec.Ended
	}
	return waiting, untold, err
}

// hull returns the time from the first to the last of the spans that ended after a
// time.
func hull(spans []database.OutageSpan, after time.Time) (from, to time.Time) {
	for _, s := range spans {
		if !s.To.After(after) {
			continue
		}
		if to = latest(to, s.To); from.IsZero() {
			from = s.From
		}
		from = earliest(from, s.From)
	}
	return from, to
}

// allSince reports whether all that somebody can read has been read since a time.
func (r readTimes) allSince(at time.Time) bool {
	for _, scope := range r {
		if scope.Reader != "" && !scope.LastRead.After(at) {
			return false
		}
	}
	return true
}

// gapText tells a room that knew of no outage which gap was closed.
func gapText(x texts.Texts, from, to time.Time, missed gap) string {
	return strings.Join([]string{x.Say(texts.GapClosed, "span", span(x, from, to)), missedText(x, missed)}, " ")
}

// missedText says what came late.
func missedText(x texts.Texts, missed gap) string {
	switch {
	case !missed.complete:
		return x.Say(texts.MissedReading)
	case missed.count == 0:
		return x.Say(texts.MissedNone)
	default:
		return x.Count(texts.MissedSome, missed.count)
	}
}

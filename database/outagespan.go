package database

import (
	"context"
	"time"

	"go.mau.fi/util/dbutil"
)

// What spans of outages are about.
const (
	SpanRead  = "read"  // nothing could be read from Teams
	SpanWrite = "write" // nothing could be written to it
)

// OutageSpan is a part of an outage in which one of the two could not be done.
type OutageSpan struct {
	OutageID int64
	// Scope is that of the outage.
	Scope string
	// From and To bound it; To is zero while it goes on.
	From, To time.Time
}

// Has reports whether a row was said, and came, within the span.
func (s OutageSpan) Has(r *OutboxRow) bool {
	return (Hold{Scope: s.Scope}).Covers(r.Portal) && !r.Said().Before(s.From) && (s.To.IsZero() || r.CreatedAt.Before(s.To))
}

// Came reports whether a row came within the span, whenever it says that it was said.
func (s OutageSpan) Came(r *OutboxRow) bool {
	return (Hold{Scope: s.Scope}).Covers(r.Portal) && !r.CreatedAt.Before(s.From) && (s.To.IsZero() || r.CreatedAt.Before(s.To))
}

// Spans returns the newest spans of a kind, the newest first. One that goes on is
// over when its outage is: a version of the program that knows no spans may have
// ended that.
func (s *Outages) Spans(ctx context.Context, what string, limit int) ([]OutageSpan, error) {
	return list(ctx, s.base, "list spans of outages", scanOutageSpan, `
		SELECT s.outage_id, o.scope, s.from_at, CASE WHEN s.to_at = 0 THEN o.ended_at ELSE s.to_at END FROM teams_outage_span s JOIN teams_outage o ON o.id = s.outage_id
		WHERE s.what = $1 ORDER BY s.from_at DESC, s.outage_id DESC LIMIT $2`, what, limit)
}

// Block stores that something can't be done since a time; where such a span of
// the outage goes on already, that is known. What was over stays over: the new span
// begins at its end at the earliest.
func (s *Outages) Block(ctx context.Context, outageID int64, what string, since time.Time) error {
	return s.inTxn(ctx, func(ctx context.Context) error {
		last, err := one(ctx, s.base, "last span of outage", scanOutageSpan, `
			SELECT outage_id, '', from_at, to_at FROM teams_outage_span WHERE outage_id = $1 AND what = $2 ORDER BY from_at DESC LIMIT 1`, outageID, what)
		switch {
		case err != nil:
			return err
		case last != nil && last.To.IsZero():
			return nil
		case last != nil && last.To.After(since):
			since = last.To
		}
		_, err = s.exec(ctx, "begin span of outage", `INSERT INTO teams_outage_span (outage_id, what, from_at, to_at) VALUES ($1, $2, $3, 0)
			ON CONFLICT (outage_id, what, from_at) DO UPDATE SET to_at = 0`, outageID, what, ms(since))
		return err
	})
}

// Unblock stores that something can be done from a time on.
func (s *Outages) Unblock(ctx context.Context, outageID int64, what string, at time.Time) error {
	_, err := s.exec(ctx, "end span of outage", `UPDATE teams_outage_span
		SET to_at = CASE WHEN from_at > $3 THEN from_at ELSE $3 END WHERE outage_id = $1 AND what = $2 AND to_at = 0`, outageID, what, ms(at))
	return err
}

func scanOutageSpan(row dbutil.Scannable) (s OutageSpan, err error) {
	var from, to int64
	err = row.Scan(&s.OutageID, &s.Scope, &from, &to)
	s.From, s.To = fromMS(from), fromMS(to)
	return s, err
}

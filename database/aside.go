package database

import (
	"context"
	"time"

	"go.mau.fi/util/dbutil"
)

// inTurn holds for rows but for edits before which an older one of the same message
// is to go: it would put back what the newer one has replaced.
const inTurn = ` AND (kind <> 'edit' OR NOT EXISTS (SELECT 1 FROM teams_outbox older WHERE older.done_at = 0
	AND older.target_event_id = teams_outbox.target_event_id AND older.kind = 'edit' AND older.id < teams_outbox.id))`

// StepAside says that from a time on nothing waits for a row to go first, and
// returns that time. The first time counts, and where another row of the portal has
// stepped aside, or is about to, it is that one's: together they hold it up once.
func (s *Outbox) StepAside(ctx context.Context, r *OutboxRow, at time.Time) (time.Time, error) {
	since, err := one(ctx, s.base, "step aside", dbutil.ScanSingleColumn[int64], `UPDATE teams_outbox
		SET aside_at = CASE WHEN aside_at <> 0 THEN aside_at ELSE (SELECT MIN(times.at) FROM (
			SELECT CAST($3 AS BIGINT) AS at
			UNION ALL
			SELECT waiting.aside_at FROM teams_outbox waiting WHERE waiting.portal = $2 AND waiting.aside_at <> 0 AND waiting.done_at = 0
		) AS times) END WHERE id = $1 AND done_at = 0 RETURNING aside_at`, r.ID, r.Portal, ms(at))
	if err != nil || since == nil {
		return at, err
	}
	return fromMS(*since), nil
}

// NextAside returns that of a portal's rows that have stepped aside which is to be
// tried next, nil where there is none.
func (s *Outbox) NextAside(ctx context.Context, portal string) (*OutboxRow, error) {
	return one(ctx, s.base, "next row that stepped aside", s.scanOutbox, `SELECT `+outboxColumns+` FROM teams_outbox
		WHERE portal = $1 AND aside_at <> 0 AND done_at = 0 AND aside_at <= $2 AND state <> 'sent'`+inTurn+` ORDER BY next_at, attempts, id LIMIT 1`,
		portal, ms(s.now()))
}

// RestAside lets all of a portal's rows that have stepped aside wait until a time:
// what one of them met, the others would.
func (s *Outbox) RestAside(ctx context.Context, portal string, until time.Time) error {
	until = until.Add(time.Millisecond - 1) // as Retry does
	_, err := s.exec(ctx, "rest aside", `UPDATE teams_outbox SET next_at = $2
		WHERE portal = $1 AND aside_at <> 0 AND done_at = 0 AND aside_at <= $3 AND next_at < $2`, portal, ms(until), ms(s.now()))
	return err
}

package database

import (
	"context"
	"time"

	"go.mau.fi/util/dbutil"
)

// Stats counts the rows of a queue by state.
type Stats struct {
	ByState map[string]int
	// Oldest is when the oldest unfinished row came, zero where there is none.
	Oldest time.Time
}

type stateCount struct {
	state  string
	count  int
	oldest int64
}

func scanStateCount(row dbutil.Scannable) (c stateCount, err error) {
	err = row.Scan(&c.state, &c.count, &c.oldest)
	return c, err
}

func (b base) stats(ctx context.Context, op, query string, args ...any) (Stats, error) {
	st := Stats{ByState: map[string]int{}}
	counts, err := list(ctx, b, op, scanStateCount, query, args...)
	for _, c := range counts {
		st.ByState[c.state] = c.count
		if at := fromMS(c.oldest); !at.IsZero() && (st.Oldest.IsZero() || at.Before(st.Oldest)) {
			st.Oldest = at
		}
	}
	return st, err
}

// Stats counts the unfinished rows by state, and those that failed.
func (s *Outbox) Stats(ctx context.Context) (Stats, error) {
	return s.stats(ctx, "outbox stats", `
		SELECT state, COUNT(*), MIN(created_at) FROM teams_outbox WHERE done_at = 0 GROUP BY state
		UNION ALL
		SELECT state, COUNT(*), 0 FROM teams_outbox WHERE state = 'failed' GROUP BY state`)
}

// PortalStats counts a portal's unfinished rows by state.
func (s *Outbox) PortalStats(ctx context.Context, portal string) (Stats, error) {
	return s.stats(ctx, "outbox portal stats", `
		SELECT state, COUNT(*), MIN(created_at) FROM teams_outbox WHERE portal = $1 AND done_at = 0 GROUP BY state`, portal)
}

// Stats counts the pending and the parked rows.
func (s *Inbox) Stats(ctx context.Context) (Stats, error) {
	return s.stats(ctx, "inbox stats", `
		SELECT 'pending', COUNT(*), COALESCE(MIN(received_at), 0) FROM teams_inbox WHERE state = 'pending'
		UNION ALL
		SELECT 'parked', COUNT(*), 0 FROM teams_inbox WHERE state = 'parked'`)
}

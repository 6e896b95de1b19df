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

// Stats counts the unfinished rows by state, and those that are parked or failed.
func (s *Outbox) Stats(ctx context.Context) (Stats, error) {
	return s.stats(ctx, "outbox stats", `
		SELECT state, COUNT(*), MIN(created_at) FROM teams_outbox WHERE done_at = 0 GROUP BY state
		UNION ALL
		SELECT state, COUNT(*), 0 FROM teams_outbox WHERE state = 'failed' GROUP BY state
		UNION ALL
		SELECT state, COUNT(*), 0 FROM teams_outbox WHERE state = 'parked' GROUP BY state`)
}

// RangeStats counts a portal's rows (of all with "") by state, whatever became
// of them, from one id on and up to another; 0 is no upper end.
func (s *Outbox) RangeStats(ctx context.Context, portal string, from, to int64) (Stats, error) {
	return s.stats(ctx, "outbox range stats", `
		SELECT state, COUNT(*), MIN(created_at) FROM teams_outbox
		WHERE id >= $2 AND ($3 = 0 OR id <= $3) AND ($1 = '' OR portal = $1) GROUP BY state`, portal, from, to)
}

// RangePortals returns the portals that have rows from one id on and up to
// another; 0 is no upper end.
func (s *Outbox) RangePortals(ctx context.Context, from, to int64) ([]string, error) {
	return list(ctx, s.base, "portals of range", dbutil.ScanSingleColumn[string],
		`SELECT DISTINCT portal FROM teams_outbox WHERE id >= $1 AND ($2 = 0 OR id <= $2) ORDER BY portal`, from, to)
}

// LastID returns the id of the newest row, 0 where there is none.
func (s *Outbox) LastID(ctx context.Context) (int64, error) {
	last, err := one(ctx, s.base, "last outbox row", dbutil.ScanSingleColumn[int64], `SELECT COALESCE(MAX(id), 0) FROM teams_outbox`)
	if err != nil || last == nil {
		return 0, err
	}
	return *last, nil
}

// PortalStats counts a portal's unfinished rows by state.
func (s *Outbox) PortalStats(ctx context.Context, portal string) (Stats, error) {
	return s.stats(ctx, "outbox portal stats", `
		SELECT state, COUNT(*), MIN(created_at) FROM teams_outbox WHERE portal = $1 AND done_at = 0 GROUP BY state`, portal)
}

// Backlogs returns the portals in which messages from Teams wait or are parked.
func (s *Inbox) Backlogs(ctx context.Context) ([]Backlog, error) {
	return list(ctx, s.base, "list inbox backlogs", scanBacklog, `
		SELECT portal, CAST(SUM(waiting) AS BIGINT), CAST(SUM(parked) AS BIGINT), MAX(oldest), 0 FROM (
			SELECT portal, COUNT(*) AS waiting, 0 AS parked, MIN(received_at) AS oldest FROM teams_inbox WHERE state = 'pending' GROUP BY portal
			UNION ALL
			SELECT portal, 0, COUNT(*), 0 FROM teams_inbox WHERE state = 'parked' GROUP BY portal
		) AS parts GROUP BY portal ORDER BY portal`)
}

// Stats counts the pending and the parked rows.
func (s *Inbox) Stats(ctx context.Context) (Stats, error) {
	return s.stats(ctx, "inbox stats", `
		SELECT 'pending', COUNT(*), COALESCE(MIN(received_at), 0) FROM teams_inbox WHERE state = 'pending'
		UNION ALL
		SELECT 'parked', COUNT(*), 0 FROM teams_inbox WHERE state = 'parked'`)
}

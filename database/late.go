package database

import (
	"context"
	"time"

	"go.mau.fi/util/dbutil"
)

// LateWrite is a write to Teams that nobody knows the outcome of, so that Teams
// may carry it out behind a newer one.
type LateWrite struct {
	Portal string
	// Target is what was written to, What the change; the caller's own words.
	Target, What string
	// At is when it was tried last.
	At time.Time
	// Newest is the outbox event that Teams took last for the target: what stands
	// there if it is repeated. Empty while it is not known.
	Newest string
}

// Late keeps the writes that Teams may still carry out.
type Late struct{ base }

// Add notes a write, or that it was tried once more.
func (s *Late) Add(ctx context.Context, w LateWrite) error {
	_, err := s.exec(ctx, "note late write", `INSERT INTO teams_late (portal, target, what, started_at, newest) VALUES ($1, $2, $3, $4, '')
		ON CONFLICT (portal, target, what) DO UPDATE SET started_at = excluded.started_at`, w.Portal, w.Target, w.What, ms(s.orNow(w.At)))
	return err
}

// All returns all of them.
func (s *Late) All(ctx context.Context) ([]LateWrite, error) {
	return list(ctx, s.base, "late writes", scanLate, `SELECT portal, target, what, started_at, newest FROM teams_late ORDER BY started_at, target, what`)
}

// SetNewest says what Teams took last behind a write.
func (s *Late) SetNewest(ctx context.Context, w LateWrite, newest string) error {
	_, err := s.exec(ctx, "set newest write", `UPDATE teams_late SET newest = $4 WHERE portal = $1 AND target = $2 AND what = $3`,
		w.Portal, w.Target, w.What, newest)
	return err
}

// Purge forgets writes that were tried before a time, and what was kept to
// repeat what came after them.
func (s *Late) Purge(ctx context.Context, before time.Time) (int64, error) {
	var n int64
	err := s.inTxn(ctx, func(ctx context.Context) (err error) {
		if _, err = s.exec(ctx, "purge kept payloads", `UPDATE teams_outbox SET payload = $2 WHERE state = 'done' AND event_id IN
			(SELECT newest FROM teams_late WHERE started_at < $1 AND newest <> '')`, ms(before), []byte{}); err != nil {
			return err
		}
		n, err = s.exec(ctx, "purge late writes", `DELETE FROM teams_late WHERE started_at < $1`, ms(before))
		return err
	})
	return n, err
}

func scanLate(row dbutil.Scannable) (w LateWrite, err error) {
	var at int64
	err = row.Scan(&w.Portal, &w.Target, &w.What, &at, &w.Newest)
	w.At = fromMS(at)
	return w, err
}

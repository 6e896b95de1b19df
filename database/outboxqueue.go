package database

import (
	"context"
	"time"

	"go.mau.fi/util/dbutil"
)

// Drop ends a parked row, or one of which Teams cannot have seen anything, as
// failed; ok is false for any other, of which Teams may have a part.
func (s *Outbox) Drop(ctx context.Context, id int64, reason, detail string) (ok bool, err error) {
	n, err := s.DropAll(ctx, []int64{id}, reason, detail)
	return n > 0, err
}

// Supersede ends the parked edits of an event that count votes, because a newer
// one is queued: they are never to be sent again.
func (s *Outbox) Supersede(ctx context.Context, portal, targetEventID, reason string) error {
	_, err := s.exec(ctx, "supersede", `UPDATE teams_outbox SET state = 'failed', reason = $3, detail = '', told_at = $4, payload = $5
		WHERE portal = $1 AND state = 'parked' AND kind = 'edit' AND target_event_id = $2 AND root_event_id = $2`,
		portal, targetEventID, reason, ms(s.now()), []byte{})
	return err
}

// EditedTargets returns the events of a portal of which an edit is unfinished.
func (s *Outbox) EditedTargets(ctx context.Context, portal string) ([]string, error) {
	return list(ctx, s.base, "list edited events", dbutil.ScanSingleColumn[string],
		`SELECT DISTINCT target_event_id FROM teams_outbox WHERE portal = $1 AND done_at = 0 AND kind = 'edit'`, portal)
}

// RequeueFollowers puts back into the queue what acted on an event and was
// parked, because the event was, and returns how many. Edits that a newer one has
// overtaken stay parked.
func (s *Outbox) RequeueFollowers(ctx context.Context, targetEventID string) (int64, error) {
	s.taking.Lock()
	defer s.taking.Unlock()
	return s.exec(ctx, "requeue followers", `UPDATE teams_outbox SET state = 'queued', reason = '', detail = '', done_at = 0, told_at = 0,
		next_at = 0, attempts = 0 WHERE target_event_id = $1 AND state = 'parked'`+notOvertaken, targetEventID)
}

// Backlog is what one portal has in the outbox.
type Backlog struct {
	Portal          string
	Waiting, Parked int
	// Oldest is when the oldest waiting row came, LastParked when a row was
	// parked last; they are Unix milliseconds, 0 where there is none.
	Oldest, LastParked int64
}

// Backlogs returns the portals in which something waits or is parked.
func (s *Outbox) Backlogs(ctx context.Context) ([]Backlog, error) {
	return list(ctx, s.base, "list backlogs", scanBacklog, `
		SELECT portal, CAST(SUM(waiting) AS BIGINT), CAST(SUM(parked) AS BIGINT), MAX(oldest), MAX(last_parked) FROM (
			SELECT portal, COUNT(*) AS waiting, 0 AS parked, MIN(created_at) AS oldest, 0 AS last_parked FROM teams_outbox
			WHERE done_at = 0 AND state <> 'sent' GROUP BY portal
			UNION ALL
			SELECT portal, 0, COUNT(*), 0, MAX(done_at) FROM teams_outbox WHERE state = 'parked' GROUP BY portal
		) AS parts GROUP BY portal ORDER BY portal`)
}

func scanBacklog(row dbutil.Scannable) (b Backlog, err error) {
	err = row.Scan(&b.Portal, &b.Waiting, &b.Parked, &b.Oldest, &b.LastParked)
	return b, err
}

// Newest returns the newest messages of a portal that Teams does not have yet,
// the newest first.
func (s *Outbox) Newest(ctx context.Context, portal string, limit int) ([]*OutboxRow, error) {
	return list(ctx, s.base, "list newest", s.scanOutboxPtr, `SELECT `+outboxColumns+` FROM teams_outbox
		WHERE portal = $1 AND done_at = 0 AND state <> 'sent' AND kind = 'message' ORDER BY id DESC LIMIT $2`, portal, limit)
}

// SetMark stores by which reaction a room sees that a row is queued, or what
// leads to it; ok is false where the row is not queued any more.
func (s *Outbox) SetMark(ctx context.Context, id int64, mark string) (ok bool, err error) {
	n, err := s.exec(ctx, "set mark", `UPDATE teams_outbox SET mark = $2 WHERE id = $1 AND done_at = 0 AND state <> 'sent'`, id, mark)
	return n > 0, err
}

// ReplaceMark changes a row's mark, whatever state the row is in, unless it is
// another one by now; "" says that the room does not show it any more.
func (s *Outbox) ReplaceMark(ctx context.Context, id int64, before, after string) error {
	_, err := s.exec(ctx, "replace mark", `UPDATE teams_outbox SET mark = $3 WHERE id = $1 AND mark = $2`, id, before, after)
	return err
}

// Marked returns a portal's rows with a mark, oldest first.
func (s *Outbox) Marked(ctx context.Context, portal string) ([]*OutboxRow, error) {
	return list(ctx, s.base, "list marked", s.scanOutboxPtr,
		`SELECT `+outboxColumns+` FROM teams_outbox WHERE portal = $1 AND mark <> '' ORDER BY id`, portal)
}

// MarkedPortals returns the portals that have rows with a mark.
func (s *Outbox) MarkedPortals(ctx context.Context) ([]string, error) {
	return list(ctx, s.base, "list marked portals", dbutil.ScanSingleColumn[string],
		`SELECT DISTINCT portal FROM teams_outbox WHERE mark <> '' ORDER BY portal`)
}

// ParkedFor returns rows that were parked with a reason, not before since, and
// whose id is above after.
func (s *Outbox) ParkedFor(ctx context.Context, reason string, since time.Time, after int64, limit int) ([]*OutboxRow, error) {
	return list(ctx, s.base, "list parked for a reason", s.scanOutboxPtr, `SELECT `+outboxColumns+` FROM teams_outbox
		WHERE state = 'parked' AND reason = $1 AND done_at >= $2 AND id > $3 ORDER BY id LIMIT $4`, reason, ms(since), after, limit)
}

// HasNewerEdit reports whether an edit of the same message that came after r is
// in Teams, or on its way there. It reads all rows that are newer than r.
func (s *Outbox) HasNewerEdit(ctx context.Context, r *OutboxRow) (bool, error) {
	newer, err := one(ctx, s.base, "look for a newer edit", dbutil.ScanSingleColumn[int64], `SELECT id FROM teams_outbox
		WHERE id > $1 AND target_event_id = $2 AND kind = 'edit' AND state IN ('sending', 'sent', 'done') LIMIT 1`, r.ID, r.TargetEventID)
	return newer != nil, err
}

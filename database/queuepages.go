package database

import (
	"context"

	"go.mau.fi/util/dbutil"
)

// QueuePage is how many rows of a queue are handled in one go.
const QueuePage = 200

// Waiting returns a portal's rows that Teams does not have, waiting ones or parked
// ones, behind an id, in order and without their payloads.
func (s *Outbox) Waiting(ctx context.Context, portal string, parked bool, after int64, limit int) ([]*OutboxRow, error) {
	which := `done_at = 0 AND state <> 'sent'`
	if parked {
		which = `state = 'parked'`
	}
	return list(ctx, s.base, "list the queue", s.scanOutboxPtr, `SELECT `+outboxHead+` FROM teams_outbox
		WHERE portal = $1 AND `+which+` AND id > $2 ORDER BY id LIMIT $3`, portal, after, limit)
}

// DropAll is Drop for many rows; it returns how many it has ended.
func (s *Outbox) DropAll(ctx context.Context, ids []int64, reason, detail string) (int64, error) {
	if len(ids) == 0 {
		return 0, nil
	}
	now, told := ms(s.now()), int64(0)
	if detail == "" {
		told = now
	}
	args := []any{reason, detail, now, told, []byte{}}
	for _, id := range ids {
		args = append(args, id)
	}
	return s.exec(ctx, "drop all", `UPDATE teams_outbox SET state = 'failed', reason = $1, detail = $2, done_at = $3, told_at = $4, payload = $5
		WHERE id IN (`+placeholders(6, len(ids))+`) AND (state = 'parked' OR (done_at = 0`+untouched+`))`, args...)
}

// ParkedCount is how many messages from Teams a portal has parked.
type ParkedCount struct {
	Portal string
	N      int
}

// ParkedCounts counts the parked messages from Teams by portal.
func (s *Inbox) ParkedCounts(ctx context.Context) ([]ParkedCount, error) {
	return list(ctx, s.base, "count parked messages", func(row dbutil.Scannable) (c ParkedCount, err error) {
		err = row.Scan(&c.Portal, &c.N)
		return c, err
	}, `SELECT portal, COUNT(*) FROM teams_inbox WHERE state = 'parked' GROUP BY portal ORDER BY portal`)
}

// ParkedIn returns a portal's oldest parked messages.
func (s *Inbox) ParkedIn(ctx context.Context, portal string, limit int) ([]InboxRow, error) {
	return list(ctx, s.base, "parked messages of a portal", s.scanInbox,
		`SELECT `+inboxColumns+` FROM teams_inbox WHERE state = 'parked' AND portal = $1 ORDER BY created_at, message_id LIMIT $2`, portal, limit)
}

// ParkedAs returns the parked messages with an id, which is unique in its portal only.
func (s *Inbox) ParkedAs(ctx context.Context, messageID string) ([]InboxRow, error) {
	return list(ctx, s.base, "parked messages with an id", s.scanInbox,
		`SELECT `+inboxColumns+` FROM teams_inbox WHERE state = 'parked' AND message_id = $1 ORDER BY portal`, messageID)
}

// DropParkedIn is DropParked for all of a portal; it returns how many it has ended.
func (s *Inbox) DropParkedIn(ctx context.Context, portal, reason string) (int64, error) {
	return s.exec(ctx, "drop parked messages", `UPDATE teams_inbox SET state = 'done', reason = $2, delivered_at = $3, payload = $4
		WHERE portal = $1 AND state = 'parked'`, portal, reason, ms(s.now()), []byte{})
}

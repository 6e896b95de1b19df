package database

import (
	"context"
	"strings"
)

// outboxHead are an outbox row's columns without its payload.
var outboxHead = strings.Replace(outboxColumns, "payload", "'' AS payload", 1)

// Unshown returns a portal's messages behind an id that wait and were not Shown as
// queued, oldest first and without their payloads.
func (s *Outbox) Unshown(ctx context.Context, portal string, after int64, limit int) ([]*OutboxRow, error) {
	return list(ctx, s.base, "list what is not shown", s.scanOutboxPtr, `SELECT `+outboxHead+` FROM teams_outbox
		WHERE portal = $1 AND done_at = 0 AND id > $2 AND state <> 'sent' AND kind = 'message' AND told_at = 0
		ORDER BY id LIMIT $3`, portal, after, limit)
}

// Shown notes of rows that they are shown as queued. Of what ends, and of what
// comes back, people are told anew.
func (s *Outbox) Shown(ctx context.Context, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	args := []any{ms(s.now())}
	for _, id := range ids {
		args = append(args, id)
	}
	_, err := s.exec(ctx, "note shown", `UPDATE teams_outbox SET told_at = $1
		WHERE done_at = 0 AND told_at = 0 AND id IN (`+placeholders(2, len(ids))+`)`, args...)
	return err
}

package database

import (
	"context"
	"fmt"
	"slices"

	"go.mau.fi/util/dbutil"
)

// lookup reads the rows of many keys, a chunk at a time. query gets the
// placeholders of the keys; those of the fixed arguments come before them.
func lookup[T any](
	ctx context.Context, b base, op string, scan func(dbutil.Scannable) (T, error), query func(keys string) string, keys []string, fixed ...any,
) ([]T, error) {
	var out []T
	for chunk := range slices.Chunk(keys, batchRows) {
		args := slices.Clone(fixed)
		for _, key := range chunk {
			args = append(args, key)
		}
		rows, err := list(ctx, b, op, scan, query(placeholders(len(fixed)+1, len(chunk))), args...)
		if err != nil {
			return nil, err
		}
		out = append(out, rows...)
	}
	return out, nil
}

// ByEvents returns the rows of many events, in no order.
func (s *Outbox) ByEvents(ctx context.Context, eventIDs []string) ([]OutboxRow, error) {
	return lookup(ctx, s.base, "outbox rows of events", s.scanOutbox, func(keys string) string {
		return `SELECT ` + outboxColumns + ` FROM teams_outbox WHERE event_id IN (` + keys + `)`
	}, eventIDs)
}

// LastEdit returns the event by which an event was edited last by its author, ""
// where it was not. It reads all rows.
func (s *Outbox) LastEdit(ctx context.Context, targetEventID string) (string, error) {
	edit, err := one(ctx, s.base, "last edit", dbutil.ScanSingleColumn[string], `SELECT event_id FROM teams_outbox
		WHERE target_event_id = $1 AND kind = 'edit' AND root_event_id = '' ORDER BY id DESC LIMIT 1`, targetEventID)
	if err != nil || edit == nil {
		return "", err
	}
	return *edit, nil
}

// Forget deletes a row that is done, so that its event can be taken once more.
// It is for a repair that has found that Teams does not have what the row says.
func (s *Outbox) Forget(ctx context.Context, eventID string) error {
	_, err := s.exec(ctx, "forget outbox row", `DELETE FROM teams_outbox WHERE event_id = $1 AND state = 'done'`, eventID)
	return err
}

// ByMessages returns a portal's rows of many messages, in no order.
func (s *Inbox) ByMessages(ctx context.Context, portal string, messageIDs []string) ([]InboxRow, error) {
	return lookup(ctx, s.base, "inbox rows of messages", s.scanInbox, func(keys string) string {
		return `SELECT ` + inboxColumns + ` FROM teams_inbox WHERE portal = $1 AND message_id IN (` + keys + `)`
	}, messageIDs, portal)
}

// Redeliver makes rows pending although their version counts as delivered, and
// returns how many. A row that is newer stays as it is: it has its own way. The
// attempt is counted as not the first, so that what the homeserver has of an
// earlier one is looked for.
func (s *Inbox) Redeliver(ctx context.Context, rows []InboxRow) (redelivered int, err error) {
	err = s.inTxn(ctx, func(ctx context.Context) error {
		redelivered = 0
		for _, r := range rows {
			payload, err := s.sealInbox(r)
			if err != nil {
				return fmt.Errorf("redeliver: %w", err)
			}
			n, err := s.exec(ctx, "redeliver", `
				INSERT INTO teams_inbox (portal, message_id, root_id, version, delivered, created_at, payload, state, attempts, next_at,
					received_at, delivered_at, reason, source, first_at)
				VALUES ($1, $2, $3, $4, 0, $5, $6, 'pending', 1, 0, $7, 0, '', $8, $7)
				ON CONFLICT (portal, message_id) DO UPDATE SET root_id = excluded.root_id, version = excluded.version, delivered = 0,
					created_at = excluded.created_at, payload = excluded.payload, state = 'pending', attempts = 1, next_at = 0,
					received_at = excluded.received_at, reason = '', source = excluded.source, first_at = `+inboxFirst+`, again_at = 0
				WHERE excluded.version >= teams_inbox.version`,
				r.Portal, r.MessageID, r.RootID, r.Version, ms(r.CreatedAt), payload, ms(s.orNow(r.ReceivedAt)), r.Source)
			if err != nil {
				return err
			}
			redelivered += int(n)
		}
		return nil
	})
	return redelivered, err
}

// ByRemotes returns a portal's parts that became the messages, in no order.
func (s *Sent) ByRemotes(ctx context.Context, portal string, remoteIDs []string) ([]SentPart, error) {
	return lookup(ctx, s.base, "sent parts of messages", scanSent, func(keys string) string {
		return `SELECT ` + sentColumns + ` FROM teams_sent WHERE portal = $1 AND remote_id <> '' AND remote_id IN (` + keys + `)`
	}, remoteIDs, portal)
}

// ByEvents returns the parts of many events, in no order.
func (s *Sent) ByEvents(ctx context.Context, eventIDs []string) ([]SentPart, error) {
	return lookup(ctx, s.base, "sent parts of events", scanSent, func(keys string) string {
		return `SELECT ` + sentColumns + ` FROM teams_sent WHERE event_id IN (` + keys + `)`
	}, eventIDs)
}

// Open returns which of the events have an open entry.
func (s *Journal) Open(ctx context.Context, eventIDs []string) ([]string, error) {
	return lookup(ctx, s.base, "open journal entries", dbutil.ScanSingleColumn[string], func(keys string) string {
		return `SELECT event_id FROM teams_journal WHERE event_id IN (` + keys + `)`
	}, eventIDs)
}

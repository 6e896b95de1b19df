package database

import (
	"context"
	"fmt"

	"go.mau.fi/util/dbutil"
)

// storedPayload is a payload as it is stored, with the event that it belongs to.
type storedPayload struct {
	event string
	value []byte
}

func (s *Outbox) storedPayload(ctx context.Context, op string, id int64) (*storedPayload, error) {
	return one(ctx, s.base, op, func(row dbutil.Scannable) (p storedPayload, err error) {
		err = row.Scan(&p.event, &p.value)
		return p, err
	}, `SELECT event_id, payload FROM teams_outbox WHERE id = $1`, id)
}

// setPayload stores what an untouched row says.
func (s *Outbox) setPayload(ctx context.Context, id int64, payload []byte) (ok bool, err error) {
	before, err := s.storedPayload(ctx, "replace payload", id)
	if err != nil || before == nil {
		return false, err
	}
	sealed, err := s.sealValue(outboxPayload, payload, before.event)
	if err != nil {
		return false, fmt.Errorf("replace payload: %w", err)
	}
	n, err := s.exec(ctx, "replace payload", `UPDATE teams_outbox SET payload = $2 WHERE id = $1`+untouched, id, sealed)
	return n > 0, err
}

// Restore puts back what a row says whose payload can't be opened; ok is false
// where there is no such row, or it says something else by now.
func (s *Outbox) Restore(ctx context.Context, id int64, payload []byte) (ok bool, err error) {
	before, err := s.storedPayload(ctx, "restore payload", id)
	if err != nil || before == nil {
		return false, err
	}
	if _, err = s.openValue(outboxPayload, before.value, before.event); err == nil {
		return false, nil
	}
	sealed, err := s.sealValue(outboxPayload, payload, before.event)
	if err != nil {
		return false, fmt.Errorf("restore payload: %w", err)
	}
	n, err := s.exec(ctx, "restore payload", `UPDATE teams_outbox SET payload = $3 WHERE id = $1 AND payload = $2`, id, before.value, sealed)
	return n > 0, err
}

package database

import (
	"context"
	"time"

	"go.mau.fi/util/dbutil"
)

// OptOut says that somebody left a room of their own will and must not be
// brought back.
type OptOut struct {
	MXID, RoomID string
	At           time.Time
}

// OptOuts keeps who left.
type OptOuts struct{ base }

// Add records that somebody left.
func (s *OptOuts) Add(ctx context.Context, mxid, roomID string) error {
	_, err := s.exec(ctx, "add opt-out",
		`INSERT INTO teams_optout (mxid, room_id, left_at) VALUES ($1, $2, $3) ON CONFLICT (mxid, room_id) DO NOTHING`, mxid, roomID, ms(s.now()))
	return err
}

// Remove records that somebody came back.
func (s *OptOuts) Remove(ctx context.Context, mxid, roomID string) error {
	_, err := s.exec(ctx, "remove opt-out", `DELETE FROM teams_optout WHERE mxid = $1 AND room_id = $2`, mxid, roomID)
	return err
}

// Has reports whether somebody left a room.
func (s *OptOuts) Has(ctx context.Context, mxid, roomID string) (bool, error) {
	at, err := one(ctx, s.base, "opt-out", dbutil.ScanSingleColumn[int64],
		`SELECT left_at FROM teams_optout WHERE mxid = $1 AND room_id = $2`, mxid, roomID)
	return at != nil, err
}

// All returns everybody who left.
func (s *OptOuts) All(ctx context.Context) ([]OptOut, error) {
	return list(ctx, s.base, "list opt-outs", scanOptOut, `SELECT mxid, room_id, left_at FROM teams_optout ORDER BY mxid, room_id`)
}

func scanOptOut(row dbutil.Scannable) (o OptOut, err error) {
	var at int64
	err = row.Scan(&o.MXID, &o.RoomID, &at)
	o.At = fromMS(at)
	return o, err
}

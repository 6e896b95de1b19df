package database

import (
	"context"
	"time"

	"go.mau.fi/util/dbutil"
)

// Echo is the homeserver's own word that a source change became an event.
type Echo struct {
	SourceKey, EventID, RoomID string
	At                         time.Time
}

// Echoes keeps which event a source change became; it outlives a lost answer
// and restarts of either side.
type Echoes struct{ base }

// Record stores echoes in one transaction. The first event of a key counts: it
// returns those whose key had a different event before, which are duplicates
// in a room.
func (s *Echoes) Record(ctx context.Context, echoes []Echo) (duplicates []Echo, err error) {
	if len(echoes) == 0 {
		return nil, nil
	}
	err = s.inTxn(ctx, func(ctx context.Context) error {
		duplicates = nil
		for _, e := range echoes {
			n, err := s.exec(ctx, "record echo", `INSERT INTO teams_echo (source_key, event_id, room_id, seen_at) VALUES ($1, $2, $3, $4)
				ON CONFLICT (source_key) DO NOTHING`, e.SourceKey, e.EventID, e.RoomID, ms(s.orNow(e.At)))
			if err != nil {
				return err
			} else if n > 0 {
				continue
			}
			before, err := s.Get(ctx, e.SourceKey)
			if err != nil {
				return err
			} else if before != nil && before.EventID != e.EventID {
				duplicates = append(duplicates, e)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return duplicates, nil
}

// Get returns a source change's echo, nil where none was seen.
func (s *Echoes) Get(ctx context.Context, sourceKey string) (*Echo, error) {
	return one(ctx, s.base, "echo", scanEcho, `SELECT source_key, event_id, room_id, seen_at FROM teams_echo WHERE source_key = $1`, sourceKey)
}

// Purge forgets echoes seen before a time.
func (s *Echoes) Purge(ctx context.Context, before time.Time) (int64, error) {
	return s.exec(ctx, "purge echoes", `DELETE FROM teams_echo WHERE seen_at < $1`, ms(before))
}

func scanEcho(row dbutil.Scannable) (e Echo, err error) {
	var at int64
	err = row.Scan(&e.SourceKey, &e.EventID, &e.RoomID, &at)
	e.At = fromMS(at)
	return e, err
}

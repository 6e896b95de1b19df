package database

import (
	"context"
	"slices"
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
// returns those whose key had a different event in the same room before, which
// are duplicates. In a room that was made anew a message's event is the new one.
func (s *Echoes) Record(ctx context.Context, echoes []Echo) (duplicates []Echo, err error) {
	if len(echoes) == 0 {
		return nil, nil
	}
	err = s.inTxn(ctx, func(ctx context.Context) error {
		duplicates = nil
		for chunk := range slices.Chunk(echoes, batchRows) {
			found, err := s.record(ctx, chunk)
			if err != nil {
				return err
			}
			duplicates = append(duplicates, found...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return duplicates, nil
}

func (s *Echoes) record(ctx context.Context, echoes []Echo) (duplicates []Echo, err error) {
	var rows rowList
	keys := make([]any, 0, len(echoes))
	for _, e := range echoes {
		rows.add(e.SourceKey, e.EventID, e.RoomID, ms(s.orNow(e.At)))
		keys = append(keys, e.SourceKey)
	}
	n, err := s.exec(ctx, "record echoes", `INSERT INTO teams_echo (source_key, event_id, room_id, seen_at) VALUES `+rows.sql()+`
		ON CONFLICT (source_key) DO NOTHING`, rows.args...)
	if err != nil || int(n) == len(echoes) {
		return nil, err
	}
	stored, err := list(ctx, s.base, "look for duplicates", scanEcho,
		`SELECT source_key, event_id, room_id, seen_at FROM teams_echo WHERE source_key IN (`+placeholders(1, len(keys))+`)`, keys...)
	if err != nil {
		return nil, err
	}
	first := map[string]Echo{}
	for _, e := range stored {
		first[e.SourceKey] = e
	}
	for _, e := range echoes {
		switch before := first[e.SourceKey]; {
		case before.EventID == e.EventID:
		case before.RoomID == e.RoomID:
			duplicates = append(duplicates, e)
		default:
			if _, err = s.exec(ctx, "move echo", `UPDATE teams_echo SET event_id = $2, room_id = $3 WHERE source_key = $1`,
				e.SourceKey, e.EventID, e.RoomID); err != nil {
				return nil, err
			}
			first[e.SourceKey] = e
		}
	}
	return duplicates, nil
}

// Get returns a source change's echo, nil where none was seen.
func (s *Echoes) Get(ctx context.Context, sourceKey string) (*Echo, error) {
	return one(ctx, s.base, "echo", scanEcho, `SELECT source_key, event_id, room_id, seen_at FROM teams_echo WHERE source_key = $1`, sourceKey)
}

// ByEvent returns the echo that is an event, nil where none of the time since
// then is. That time must be near: there is no index by event.
func (s *Echoes) ByEvent(ctx context.Context, eventID string, since time.Time) (*Echo, error) {
	return one(ctx, s.base, "echo of an event", scanEcho,
		`SELECT source_key, event_id, room_id, seen_at FROM teams_echo WHERE seen_at >= $1 AND event_id = $2`, ms(since), eventID)
}

// Last returns when the last echo was seen, the zero time where none was.
func (s *Echoes) Last(ctx context.Context) (time.Time, error) {
	at, err := one(ctx, s.base, "last echo", dbutil.ScanSingleColumn[int64], `SELECT seen_at FROM teams_echo ORDER BY seen_at DESC LIMIT 1`)
	if err != nil || at == nil {
		return time.Time{}, err
	}
	return fromMS(*at), nil
}

// Forget forgets a source change's echo: what it announced did not happen.
func (s *Echoes) Forget(ctx context.Context, sourceKey string) error {
	_, err := s.exec(ctx, "forget echo", `DELETE FROM teams_echo WHERE source_key = $1`, sourceKey)
	return err
}

// KeepDoubled remembers duplicates until somebody has dealt with them, also those
// that were dealt with before: it may be another event now that counts.
func (s *Echoes) KeepDoubled(ctx context.Context, duplicates []Echo) error {
	for _, e := range duplicates {
		if _, err := s.exec(ctx, "keep duplicate", `INSERT INTO teams_doubled (event_id, source_key, room_id, seen_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (event_id) DO UPDATE SET healed_at = 0`, e.EventID, e.SourceKey, e.RoomID, ms(s.orNow(e.At))); err != nil {
			return err
		}
	}
	return nil
}

// Doubled returns the duplicates that nobody has dealt with, oldest first.
func (s *Echoes) Doubled(ctx context.Context, limit int) ([]Echo, error) {
	return list(ctx, s.base, "duplicates", scanEcho,
		`SELECT source_key, event_id, room_id, seen_at FROM teams_doubled WHERE healed_at = 0 ORDER BY seen_at, event_id LIMIT $1`, limit)
}

// DoubledEvent returns what an event shows or showed that is there beside the one
// that counts, also after it was removed; nil where it is none.
func (s *Echoes) DoubledEvent(ctx context.Context, eventID string) (*Echo, error) {
	return one(ctx, s.base, "duplicate", scanEcho,
		`SELECT source_key, event_id, room_id, seen_at FROM teams_doubled WHERE event_id = $1`, eventID)
}

// Healed says that a duplicate was dealt with. kept is the event that its
// source change is from now on, "" where that did not change; removed is the one
// of the two that is gone, "" where both are. People may have answered that one:
// what it showed is known until it is purged.
func (s *Echoes) Healed(ctx context.Context, duplicate Echo, kept, removed string) error {
	return s.inTxn(ctx, func(ctx context.Context) error {
		if kept != "" {
			if _, err := s.exec(ctx, "correct echo", `UPDATE teams_echo SET event_id = $2 WHERE source_key = $1`, duplicate.SourceKey, kept); err != nil {
				return err
			}
		}
		if removed != "" && removed != duplicate.EventID {
			gone := duplicate
			gone.EventID = removed
			if err := s.removed(ctx, gone); err != nil {
				return err
			}
		}
		_, err := s.exec(ctx, "close duplicate", `UPDATE teams_doubled SET healed_at = $2 WHERE event_id = $1`, duplicate.EventID, ms(s.now()))
		return err
	})
}

// TakenBack says that an event was removed because another one shows the same,
// and forgets it as what its source change became.
func (s *Echoes) TakenBack(ctx context.Context, echo Echo) error {
	return s.inTxn(ctx, func(ctx context.Context) error {
		if err := s.removed(ctx, echo); err != nil {
			return err
		}
		_, err := s.exec(ctx, "forget echo", `DELETE FROM teams_echo WHERE source_key = $1 AND event_id = $2`, echo.SourceKey, echo.EventID)
		return err
	})
}

// removed remembers what an event showed that is gone.
func (s *Echoes) removed(ctx context.Context, e Echo) error {
	now := ms(s.now())
	_, err := s.exec(ctx, "remember removed event", `INSERT INTO teams_doubled (event_id, source_key, room_id, seen_at, healed_at) VALUES ($1, $2, $3, $4, $4)
		ON CONFLICT (event_id) DO UPDATE SET healed_at = excluded.healed_at`, e.EventID, e.SourceKey, e.RoomID, now)
	return err
}

// Purge forgets echoes seen before a time.
func (s *Echoes) Purge(ctx context.Context, before time.Time) (int64, error) {
	if _, err := s.exec(ctx, "purge duplicates", `DELETE FROM teams_doubled WHERE healed_at > 0 AND healed_at < $1`, ms(before)); err != nil {
		return 0, err
	}
	return s.exec(ctx, "purge echoes", `DELETE FROM teams_echo WHERE seen_at < $1`, ms(before))
}

func scanEcho(row dbutil.Scannable) (e Echo, err error) {
	var at int64
	err = row.Scan(&e.SourceKey, &e.EventID, &e.RoomID, &at)
	e.At = fromMS(at)
	return e, err
}

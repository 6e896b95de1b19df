package database

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.mau.fi/util/dbutil"
)

// JournalEntry is a Matrix event that the homeserver was told we have.
type JournalEntry struct {
	Seq                   int64
	EventID, RoomID, Type string
	// Raw is the event as it came, sealed at rest.
	Raw []byte
	// Unreadable is why the event can't be opened, nil where it can.
	Unreadable error
	ReceivedAt time.Time
	// Attempts counts how often the event was handed to the framework again.
	Attempts int
}

// Journal keeps the events of accepted transactions until somebody owns them.
type Journal struct{ base }

const journalColumns = `seq, event_id, room_id, type, raw, received_at, attempts`

// Append stores the entries in one transaction; nil means that all of them are
// durable. An event that is there already, or that the outbox has already
// taken, is skipped: the homeserver may send anything again.
func (s *Journal) Append(ctx context.Context, entries []JournalEntry) error {
	switch {
	case len(entries) == 0:
		return nil
	case len(entries) <= batchRows:
		return s.append(ctx, entries)
	}
	return s.inTxn(ctx, func(ctx context.Context) error {
		for chunk := range slices.Chunk(entries, batchRows) {
			if err := s.append(ctx, chunk); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Journal) append(ctx context.Context, entries []JournalEntry) error {
	taken, err := s.taken(ctx, entries)
	if err != nil {
		return err
	}
	var rows rowList
	for _, e := range entries {
		if slices.Contains(taken, e.EventID) {
			continue
		}
		raw, err := s.sealValue(journalRaw, e.Raw, e.EventID)
		if err != nil {
			return fmt.Errorf("append to journal: %w", err)
		}
		rows.add(e.EventID, e.RoomID, e.Type, raw, ms(s.orNow(e.ReceivedAt)))
	}
	if len(rows.rows) == 0 {
		return nil
	}
	_, err = s.exec(ctx, "append to journal", `INSERT INTO teams_journal (event_id, room_id, type, raw, received_at) VALUES `+
		rows.sql()+` ON CONFLICT (event_id) DO NOTHING`, rows.args...)
	return err
}

// taken returns which of the events the outbox has.
func (s *Journal) taken(ctx context.Context, entries []JournalEntry) ([]string, error) {
	args := make([]any, len(entries))
	for i, e := range entries {
		args[i] = e.EventID
	}
	return list(ctx, s.base, "look into outbox", dbutil.ScanSingleColumn[string],
		`SELECT event_id FROM teams_outbox WHERE event_id IN (`+placeholders(1, len(args))+`)`, args...)
}

// Pending returns open entries after a sequence number, oldest first.
func (s *Journal) Pending(ctx context.Context, afterSeq int64, limit int) ([]JournalEntry, error) {
	return list(ctx, s.base, "list journal", s.scanJournal, `
		SELECT `+journalColumns+` FROM teams_journal WHERE seq > $1 ORDER BY seq LIMIT $2`, afterSeq, limit)
}

// Get returns an open entry, nil where the event has none.
func (s *Journal) Get(ctx context.Context, eventID string) (*JournalEntry, error) {
	return one(ctx, s.base, "journal entry", s.scanJournal, `SELECT `+journalColumns+` FROM teams_journal WHERE event_id = $1`, eventID)
}

// Restore puts back an event that can't be opened.
func (s *Journal) Restore(ctx context.Context, eventID string, event []byte) error {
	raw, err := s.sealValue(journalRaw, event, eventID)
	if err != nil {
		return fmt.Errorf("restore journal entry: %w", err)
	}
	_, err = s.exec(ctx, "restore journal entry", `UPDATE teams_journal SET raw = $2 WHERE event_id = $1`, eventID, raw)
	return err
}

// Tried counts one more attempt to hand the event to the framework.
func (s *Journal) Tried(ctx context.Context, eventID string) error {
	_, err := s.exec(ctx, "count journal attempt", `UPDATE teams_journal SET attempts = attempts + 1 WHERE event_id = $1`, eventID)
	return err
}

// Done closes an entry. Call it in the transaction that takes the event over.
func (s *Journal) Done(ctx context.Context, eventID string) error {
	_, err := s.exec(ctx, "close journal entry", `DELETE FROM teams_journal WHERE event_id = $1`, eventID)
	return err
}

// LastSeq returns the newest open entry's sequence number, 0 where none is open.
func (s *Journal) LastSeq(ctx context.Context) (int64, error) {
	v, err := one(ctx, s.base, "last journal entry", dbutil.ScanSingleColumn[int64], `SELECT COALESCE(MAX(seq), 0) FROM teams_journal`)
	if err != nil {
		return 0, err
	}
	return *v, nil
}

// Count returns how many entries are open.
func (s *Journal) Count(ctx context.Context) (n int, err error) {
	v, err := one(ctx, s.base, "count journal", dbutil.ScanSingleColumn[int], `SELECT COUNT(*) FROM teams_journal`)
	if err != nil {
		return 0, err
	}
	return *v, nil
}

func (b base) scanJournal(row dbutil.Scannable) (e JournalEntry, err error) {
	var at int64
	err = row.Scan(&e.Seq, &e.EventID, &e.RoomID, &e.Type, &e.Raw, &at, &e.Attempts)
	e.ReceivedAt = fromMS(at)
	if err == nil {
		e.Raw, e.Unreadable = b.openValue(journalRaw, e.Raw, e.EventID)
	}
	return e, err
}

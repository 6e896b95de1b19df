package portal

import (
	"context"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
)

// reword writes the first post and the notice of a digest anew where the encryption
// key does not open them: they say when and how many messages there were.
func (s *Sender) reword(ctx context.Context, d *database.Digest) error {
	if d.Unreadable == nil {
		return nil
	}
	entries, err := s.o.DB.Digests.Entries(ctx, d.ID, -1)
	if err != nil {
		return err
	}
	events := make([]string, len(entries))
	for i, e := range entries {
		events[i] = e.EventID
	}
	rows, err := s.o.DB.Outbox.ByEvents(ctx, events)
	if err != nil {
		return err
	}
	from, to := d.Created, d.Created
	waited := make([]*database.OutboxRow, len(rows))
	for i, r := range rows {
		waited[i] = &rows[i]
		if i == 0 || r.EventAt.Before(from) {
			from = r.EventAt
		}
		if i == 0 || r.EventAt.After(to) {
			to = r.EventAt
		}
	}
	why, err := s.o.Waited(ctx, waited)
	if err != nil {
		return err
	}
	from, to = from.In(s.o.Texts.Zone()), to.In(s.o.Texts.Zone())
	d.Head, d.Notice = msgconv.DigestHead(s.o.Texts, why, from, to, len(entries)), msgconv.DigestNotice(s.o.Texts, why, from, to, len(entries))
	return nil
}

// unreadableEntry returns why one of the entries can't be opened, not looking at
// the one of an event.
func unreadableEntry(entries []database.DigestEntry, but string) error {
	for _, e := range entries {
		if e.Unreadable != nil && e.EventID != but {
			return e.Unreadable
		}
	}
	return nil
}

// unreadableDigest says that a post can't be written anew, because nobody knows
// any more what else is in it.
func unreadableDigest(why error) error {
	return &failure{reason: "unreadable outbox row", message: errUnreadable.Error(), err: why}
}

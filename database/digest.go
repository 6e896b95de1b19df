package database

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mau.fi/util/dbutil"
)

// Digest is a long backlog of a conversation that goes to Teams as one post with
// the messages in its thread. Its posts stand in Sent under its ID as event id:
// part 0 is the post, the others are replies with several messages each.
type Digest struct {
	ID, Portal string
	// Head is the HTML of the post, Notice what the room is told; both are sealed at
	// rest.
	Head, Notice string
	// Unreadable is why one of them can't be opened, nil where both can.
	Unreadable error
	// Created is when it was put together, Done when all of it was in Teams and
	// its room knew; zero is not yet.
	Created, Done time.Time
	// NoticeEvent is the event in the room under which its thread goes on.
	NoticeEvent string
}

// DigestEntry is a message of a digest.
type DigestEntry struct {
	EventID, DigestID string
	// Position orders the digest's entries, Part is the post that an entry is in.
	Position, Part int
	// HTML is what the entry says, Reactions what was reacted, as JSON; both are
	// sealed at rest.
	HTML      string
	Deleted   bool
	Reactions string
	// Unreadable is why one of them can't be opened, nil where both can.
	Unreadable error
}

// Digests keeps digests: what was put together is never put together anew, so
// that a post which is repeated says the same.
type Digests struct{ base }

const (
	digestColumns      = `id, portal, head, notice, notice_event, created_at, done_at`
	digestEntryColumns = `event_id, digest_id, position, part, html, deleted, reactions`
)

// Take takes the portal's queued rows of a kind, of which Teams cannot have seen
// anything, into a digest and returns them in order. From then on they can't be
// cancelled or replaced any more. Call it inside a transaction.
func (s *Digests) Take(ctx context.Context, id, portal, kind string, limit int) ([]*OutboxRow, error) {
	rows, err := list(ctx, s.base, "take into digest", s.scanOutboxPtr, `UPDATE teams_outbox SET digest = $1
		WHERE id IN (SELECT id FROM teams_outbox WHERE portal = $2 AND done_at = 0 AND kind = $3`+untouched+` ORDER BY id LIMIT $4)`+untouched+`
		RETURNING `+outboxColumns, id, portal, kind, limit)
	slices.SortFunc(rows, func(a, b *OutboxRow) int { return cmp.Compare(a.ID, b.ID) })
	return rows, err
}

// MarkSent says that Teams has what is in one post of a digest, and returns the
// rows of which that is news; a deletion that came before stays.
func (s *Digests) MarkSent(ctx context.Context, digestID string, part int) ([]*OutboxRow, error) {
	rows, err := list(ctx, s.base, "mark digest sent", s.scanOutboxPtr, `UPDATE teams_outbox SET state = 'sent', reason = ''
		WHERE digest = $1 AND done_at = 0 AND kind = 'message' AND event_id IN (
			SELECT event_id FROM teams_digest_entry WHERE digest_id = $1 AND part = $2)
		RETURNING `+outboxColumns, digestID, part)
	slices.SortFunc(rows, func(a, b *OutboxRow) int { return cmp.Compare(a.ID, b.ID) })
	return rows, err
}

// Leave takes a row out of its digest.
func (s *Digests) Leave(ctx context.Context, outboxID int64) error {
	_, err := s.exec(ctx, "leave digest", `UPDATE teams_outbox SET digest = '' WHERE id = $1`, outboxID)
	return err
}

// Plan stores a digest with its entries; call it inside a transaction.
func (s *Digests) Plan(ctx context.Context, d Digest, entries []DigestEntry) error {
	head, headErr := s.sealText(digestHead, d.Head, d.ID)
	notice, err := s.sealText(digestNotice, d.Notice, d.ID)
	if err = errors.Join(headErr, err); err != nil {
		return fmt.Errorf("store digest: %w", err)
	}
	_, err = s.exec(ctx, "store digest", `INSERT INTO teams_digest (`+digestColumns+`) VALUES ($1, $2, $3, $4, '', $5, 0)`,
		d.ID, d.Portal, head, notice, ms(s.orNow(d.Created)))
	for len(entries) > 0 && err == nil {
		n := min(len(entries), batchRows)
		var rows rowList
		for _, e := range entries[:n] {
			e.DigestID = d.ID
			html, reactions, err := s.sealEntry(e)
			if err != nil {
				return fmt.Errorf("store digest entries: %w", err)
			}
			rows.add(e.EventID, d.ID, e.Position, e.Part, html, e.Deleted, reactions)
		}
		_, err = s.exec(ctx, "store digest entries", `INSERT INTO teams_digest_entry (`+digestEntryColumns+`) VALUES `+rows.sql(), rows.args...)
		entries = entries[n:]
	}
	return err
}

// Get returns a digest, nil where there is none.
func (s *Digests) Get(ctx context.Context, id string) (*Digest, error) {
	return one(ctx, s.base, "digest", s.scanDigest, `SELECT `+digestColumns+` FROM teams_digest WHERE id = $1`, id)
}

// Open returns the digests that are not done, oldest first.
func (s *Digests) Open(ctx context.Context) ([]Digest, error) {
	return list(ctx, s.base, "list open digests", s.scanDigest, `SELECT `+digestColumns+` FROM teams_digest WHERE done_at = 0 ORDER BY created_at, id`)
}

// SetNotice stores the event in the room that stands for a digest.
func (s *Digests) SetNotice(ctx context.Context, id, eventID string) error {
	_, err := s.exec(ctx, "store notice of digest", `UPDATE teams_digest SET notice_event = $2 WHERE id = $1`, id, eventID)
	return err
}

// FinishIfSent ends a digest of which no message is waiting any more.
func (s *Digests) FinishIfSent(ctx context.Context, id string) error {
	_, err := s.exec(ctx, "finish digest", `UPDATE teams_digest SET done_at = $2 WHERE id = $1 AND done_at = 0
		AND NOT EXISTS (SELECT 1 FROM teams_outbox WHERE portal = teams_digest.portal AND done_at = 0 AND digest = $1)`, id, ms(s.now()))
	return err
}

// ByEvent returns the entry of a message, nil where it is in no digest.
func (s *Digests) ByEvent(ctx context.Context, eventID string) (*DigestEntry, error) {
	return one(ctx, s.base, "digest entry of event", s.scanDigestEntry,
		`SELECT `+digestEntryColumns+` FROM teams_digest_entry WHERE event_id = $1`, eventID)
}

// Entries returns what is in one post of a digest, in order; in all of them with
// a part below 0.
func (s *Digests) Entries(ctx context.Context, digestID string, part int) ([]DigestEntry, error) {
	return list(ctx, s.base, "digest entries", s.scanDigestEntry, `SELECT `+digestEntryColumns+` FROM teams_digest_entry
		WHERE digest_id = $1 AND ($2 < 0 OR part = $2) ORDER BY position`, digestID, part)
}

// Change stores what an entry says now.
func (s *Digests) Change(ctx context.Context, e DigestEntry) error {
	html, reactions, err := s.sealEntry(e)
	if err != nil {
		return fmt.Errorf("change digest entry: %w", err)
	}
	_, err = s.exec(ctx, "change digest entry", `UPDATE teams_digest_entry SET html = $2, deleted = $3, reactions = $4
		WHERE event_id = $1`, e.EventID, html, e.Deleted, reactions)
	return err
}

func (b base) sealEntry(e DigestEntry) (html, reactions string, err error) {
	if html, err = b.sealText(digestHTML, e.HTML, e.EventID, e.DigestID); err == nil {
		reactions, err = b.sealText(digestReactions, e.Reactions, e.EventID, e.DigestID)
	}
	return html, reactions, err
}

// Dissolve takes what is in one post, or with a part below 0 in all posts, out of
// a digest, as far as Teams can't have it: it goes there one by one.
func (s *Digests) Dissolve(ctx context.Context, digestID string, part int) error {
	const unposted = ` AND ($2 < 0 OR part = $2) AND NOT EXISTS (
			SELECT 1 FROM teams_sent WHERE teams_sent.event_id = $1 AND teams_sent.part = teams_digest_entry.part)`
	return s.inTxn(ctx, func(ctx context.Context) error {
		_, err := s.exec(ctx, "free rows of digest", `UPDATE teams_outbox SET digest = '' WHERE digest = $1 AND event_id IN (
			SELECT event_id FROM teams_digest_entry WHERE digest_id = $1`+unposted+`)`, digestID, part)
		if err != nil {
			return err
		}
		_, err = s.exec(ctx, "dissolve digest", `DELETE FROM teams_digest_entry WHERE digest_id = $1`+unposted, digestID, part)
		return err
	})
}

// Purge forgets digests that were done before a time, with their entries.
func (s *Digests) Purge(ctx context.Context, before time.Time) error {
	_, err := s.exec(ctx, "purge digest entries", `DELETE FROM teams_digest_entry
		WHERE digest_id IN (SELECT id FROM teams_digest WHERE done_at <> 0 AND done_at < $1)`, ms(before))
	if err != nil {
		return err
	}
	if _, err = s.exec(ctx, "purge what digests were given", `DELETE FROM teams_digest_write
		WHERE digest_id IN (SELECT id FROM teams_digest WHERE done_at <> 0 AND done_at < $1)`, ms(before)); err != nil {
		return err
	}
	_, err = s.exec(ctx, "purge digests", `DELETE FROM teams_digest WHERE done_at <> 0 AND done_at < $1`, ms(before))
	return err
}

func (b base) scanDigest(row dbutil.Scannable) (d Digest, err error) {
	var created, done int64
	err = row.Scan(&d.ID, &d.Portal, &d.Head, &d.Notice, &d.NoticeEvent, &created, &done)
	d.Created, d.Done = fromMS(created), fromMS(done)
	if err == nil {
		if d.Head, d.Unreadable = b.openText(digestHead, d.Head, d.ID); d.Unreadable == nil {
			d.Notice, d.Unreadable = b.openText(digestNotice, d.Notice, d.ID)
		}
	}
	return d, err
}

func (b base) scanDigestEntry(row dbutil.Scannable) (e DigestEntry, err error) {
	err = row.Scan(&e.EventID, &e.DigestID, &e.Position, &e.Part, &e.HTML, &e.Deleted, &e.Reactions)
	if err == nil {
		if e.HTML, e.Unreadable = b.openText(digestHTML, e.HTML, e.EventID, e.DigestID); e.Unreadable == nil {
			e.Reactions, e.Unreadable = b.openText(digestReactions, e.Reactions, e.EventID, e.DigestID)
		}
	}
	return e, err
}

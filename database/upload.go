package database

import (
	"context"
	"fmt"
	"time"

	"go.mau.fi/util/dbutil"
)

// Upload is a file of a Matrix event on its way to Teams, or there.
type Upload struct {
	// EventID is the message's event, URI the file's address at the homeserver: an
	// edit may bring another file.
	EventID, URI string
	Portal       string
	// Session is what is needed to go on with it, in the caller's own form; it is
	// sealed at rest, and empty when the file is there.
	Session []byte
	// ItemID names the file that it became, Attachment is how a message refers to
	// it, in the caller's own form.
	ItemID     string
	Attachment []byte
	// Unreadable is why the session or the attachment can't be opened, nil where
	// both can; both are empty then.
	Unreadable error
	StartedAt  time.Time
	// DoneAt is when the file was there, zero before.
	DoneAt time.Time
}

// Uploads keeps the files that are on their way to Teams, so that none is
// uploaded anew after a crash, and those that are there, for edits of their
// messages.
type Uploads struct{ base }

// Get returns a file of an event, nil where none was begun.
func (s *Uploads) Get(ctx context.Context, eventID, uri string) (*Upload, error) {
	u, err := one(ctx, s.base, "get upload", scanUpload,
		`SELECT event_id, uri, portal, session, item_id, attachment, started_at, done_at FROM teams_upload WHERE event_id = $1 AND uri = $2`, eventID, uri)
	if err == nil && u != nil {
		s.openUpload(u)
	}
	return u, err
}

// openUpload opens what is sealed of an upload.
func (s *Uploads) openUpload(u *Upload) {
	session, attachment := u.Session, u.Attachment
	if len(session) > 0 {
		session, u.Unreadable = s.openSecret(uploadSession, session, u.EventID, u.URI)
	}
	if u.Unreadable == nil {
		attachment, u.Unreadable = s.openValue(uploadAttachment, attachment, u.EventID, u.URI)
	}
	if u.Session, u.Attachment = session, attachment; u.Unreadable != nil {
		u.Session, u.Attachment = nil, nil
	}
}

// Begin stores an upload that has begun, in place of one of the same file that
// came to nothing; nil means that it is durable.
func (s *Uploads) Begin(ctx context.Context, u Upload) error {
	sealed, err := s.sealSecret(uploadSession, u.Session, u.EventID, u.URI)
	if err != nil {
		return fmt.Errorf("begin upload: %w", err)
	}
	_, err = s.exec(ctx, "begin upload", `
		INSERT INTO teams_upload (event_id, uri, portal, session, item_id, attachment, started_at, done_at) VALUES ($1, $2, $3, $4, '', $5, $6, 0)
		ON CONFLICT (event_id, uri) DO UPDATE SET session = excluded.session, started_at = excluded.started_at`,
		u.EventID, u.URI, u.Portal, sealed, []byte{}, ms(s.orNow(u.StartedAt)))
	return err
}

// Finish says which file an upload became, and forgets what was needed for it.
func (s *Uploads) Finish(ctx context.Context, u Upload) error {
	attachment, err := s.sealValue(uploadAttachment, u.Attachment, u.EventID, u.URI)
	if err != nil {
		return fmt.Errorf("finish upload: %w", err)
	}
	_, err = s.exec(ctx, "finish upload", `
		INSERT INTO teams_upload (event_id, uri, portal, session, item_id, attachment, started_at, done_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
		ON CONFLICT (event_id, uri) DO UPDATE SET session = excluded.session, item_id = excluded.item_id, attachment = excluded.attachment, done_at = excluded.done_at`,
		u.EventID, u.URI, u.Portal, []byte{}, u.ItemID, attachment, ms(s.now()))
	return err
}

// IsTaken reports whether a file in Teams is an event's.
func (s *Uploads) IsTaken(ctx context.Context, itemID string) (bool, error) {
	found, err := one(ctx, s.base, "look for uploaded file", dbutil.ScanSingleColumn[int64], `SELECT done_at FROM teams_upload WHERE item_id = $1 AND item_id <> '' LIMIT 1`, itemID)
	return found != nil, err
}

// GivenUp returns uploads that nobody will go on with, the oldest first: their
// message, and what there is to change about it, has come to an end without them.
// An upload that can't be opened any more has no Session.
func (s *Uploads) GivenUp(ctx context.Context, limit int) ([]Upload, error) {
	all, err := list(ctx, s.base, "list uploads that were given up", scanUpload, `
		SELECT event_id, uri, portal, session, item_id, attachment, started_at, done_at FROM teams_upload WHERE done_at = 0
		AND NOT EXISTS (SELECT 1 FROM teams_outbox WHERE teams_outbox.event_id = teams_upload.event_id AND (teams_outbox.done_at = 0 OR teams_outbox.state = 'parked'))
		AND NOT EXISTS (SELECT 1 FROM teams_outbox WHERE teams_outbox.target_event_id = teams_upload.event_id AND teams_outbox.done_at = 0)
		ORDER BY started_at LIMIT $1`, limit)
	for i := range all {
		s.openUpload(&all[i])
	}
	return all, err
}

// Forget removes an upload that was given up; one that was begun anew meanwhile,
// or is there, stays.
func (s *Uploads) Forget(ctx context.Context, u Upload) error {
	_, err := s.exec(ctx, "forget upload", `DELETE FROM teams_upload WHERE event_id = $1 AND uri = $2 AND done_at = 0 AND started_at = $3`,
		u.EventID, u.URI, ms(u.StartedAt))
	return err
}

// Purge forgets uploads that were begun before a time and came to nothing.
func (s *Uploads) Purge(ctx context.Context, before time.Time) (int64, error) {
	return s.exec(ctx, "purge uploads", `DELETE FROM teams_upload WHERE done_at = 0 AND started_at < $1`, ms(before))
}

func scanUpload(row dbutil.Scannable) (u Upload, err error) {
	var started, done int64
	err = row.Scan(&u.EventID, &u.URI, &u.Portal, &u.Session, &u.ItemID, &u.Attachment, &started, &done)
	u.StartedAt, u.DoneAt = fromMS(started), fromMS(done)
	return u, err
}

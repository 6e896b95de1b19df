package database

import (
	"context"
	"time"

	"go.mau.fi/util/dbutil"
)

// Restore is a time that the database knows nothing of: it was restored from a
// copy, while the bridge that it was copied from went on.
type Restore struct {
	// Since is when the copy was made, Until when the bridge before is known to
	// have ended; zero where nobody knows.
	Since, Until time.Time
	// Done is when the rooms had been read for what the database does not know.
	Done time.Time
}

// What is known of an event of that time.
const (
	// RestoredDelivered is what Teams has, or had, as the bridge before said.
	RestoredDelivered = "delivered"
	// RestoredDoubt is what Teams may have: it is looked for before it is sent.
	RestoredDoubt = "doubt"
)

// Restored is an event that the bridge before has, or may have, delivered.
type Restored struct {
	EventID, Portal, State string
	// AccountID is who reacted, where the event is a reaction.
	AccountID string
}

// Restores keeps that the database was restored, and what is to be known then.
type Restores struct{ base }

// Begin notes that the database was restored. The first Since of those that are
// not done counts.
func (s *Restores) Begin(ctx context.Context, r Restore) error {
	_, err := s.exec(ctx, "note a restored database", `INSERT INTO teams_restore (since_at, until_at, done_at) VALUES ($1, $2, 0)
		ON CONFLICT (since_at) DO UPDATE SET until_at = excluded.until_at, done_at = 0`, ms(r.Since), ms(r.Until))
	return err
}

// Open returns the oldest time that has not been looked after, nil where there is none.
func (s *Restores) Open(ctx context.Context) (*Restore, error) {
	return one(ctx, s.base, "restored database", scanRestore, `SELECT since_at, until_at, done_at FROM teams_restore WHERE done_at = 0 ORDER BY since_at LIMIT 1`)
}

// Finish notes that the rooms have been read.
func (s *Restores) Finish(ctx context.Context) error {
	_, err := s.exec(ctx, "finish a restored database", `UPDATE teams_restore SET done_at = $1 WHERE done_at = 0`, ms(s.now()))
	return err
}

// Any reports whether the database was restored within the memory of Purge.
func (s *Restores) Any(ctx context.Context) (bool, error) {
	n, err := one(ctx, s.base, "restored database", dbutil.ScanSingleColumn[int64], `SELECT since_at FROM teams_restore LIMIT 1`)
	return n != nil, err
}

// Note says what is known of an event. That it was delivered is the last word.
func (s *Restores) Note(ctx context.Context, r Restored) error {
	_, err := s.exec(ctx, "note a restored event", `INSERT INTO teams_restored (event_id, portal, state, account_id, noted_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (event_id) DO UPDATE SET state = excluded.state, account_id = excluded.account_id WHERE excluded.state = 'delivered'`,
		r.EventID, r.Portal, r.State, r.AccountID, ms(s.now()))
	return err
}

// Of returns what is known of an event, nil where that is nothing.
func (s *Restores) Of(ctx context.Context, eventID string) (*Restored, error) {
	return one(ctx, s.base, "restored event", func(row dbutil.Scannable) (r Restored, err error) {
		err = row.Scan(&r.EventID, &r.Portal, &r.State, &r.AccountID)
		return r, err
	}, `SELECT event_id, portal, state, account_id FROM teams_restored WHERE event_id = $1`, eventID)
}

// Judged says that it was found out whether Teams has an event.
func (s *Restores) Judged(ctx context.Context, eventID string) error {
	_, err := s.exec(ctx, "judge a restored event", `DELETE FROM teams_restored WHERE event_id = $1 AND state = 'doubt'`, eventID)
	return err
}

// Doubts reports whether it has yet to be found out of a message of a portal
// whether Teams has it.
func (s *Restores) Doubts(ctx context.Context, portal string) (bool, error) {
	n, err := one(ctx, s.base, "restored events in doubt", dbutil.ScanSingleColumn[string], `SELECT r.event_id FROM teams_restored r
		JOIN teams_outbox o ON o.event_id = r.event_id WHERE r.portal = $1 AND r.state = 'doubt' AND o.done_at = 0 AND o.kind = 'message' LIMIT 1`, portal)
	return n != nil, err
}

// Purge forgets what was looked after before a time.
func (s *Restores) Purge(ctx context.Context, before time.Time) error {
	if _, err := s.exec(ctx, "purge restored databases", `DELETE FROM teams_restore WHERE done_at <> 0 AND done_at < $1`, ms(before)); err != nil {
		return err
	}
	_, err := s.exec(ctx, "purge restored events", `DELETE FROM teams_restored WHERE noted_at < $1`, ms(before))
	return err
}

func scanRestore(row dbutil.Scannable) (r Restore, err error) {
	var since, until, done int64
	err = row.Scan(&since, &until, &done)
	r.Since, r.Until, r.Done = fromMS(since), fromMS(until), fromMS(done)
	return r, err
}

// Known notes a part that Teams has, of which the database may know nothing, or
// only that it was begun. What the database knows already stays.
func (s *Sent) Known(ctx context.Context, p SentPart) error {
	_, err := s.exec(ctx, "note a known part", `
		INSERT INTO teams_sent (event_id, part, portal, team_id, channel_id, root_id, remote_id, account_id, fingerprint, state, started_at, sent_at)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, '', 'sent', $9, $10
		WHERE NOT EXISTS (SELECT 1 FROM teams_sent WHERE portal = $3 AND remote_id = $7)
		ON CONFLICT (event_id, part) DO UPDATE SET remote_id = excluded.remote_id, root_id = excluded.root_id, account_id = excluded.account_id,
			state = 'sent', sent_at = excluded.sent_at WHERE teams_sent.state = 'sending'`,
		p.EventID, p.Part, p.Portal, p.TeamID, p.ChannelID, p.RootID, p.RemoteID, p.AccountID, ms(p.StartedAt), ms(s.orNow(p.SentAt)))
	return err
}

// Describe says what a part was given, where it is not known.
func (s *Sent) Describe(ctx context.Context, p SentPart) error {
	_, err := s.exec(ctx, "describe a known part", `UPDATE teams_sent SET fingerprint = $3, content_hash = $4, attachment = $5
		WHERE event_id = $1 AND part = $2 AND fingerprint = ''`, p.EventID, p.Part, p.Fingerprint, p.ContentHash, p.Attachment)
	return err
}

package database

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"go.mau.fi/util/dbutil"
)

// States of inbox rows; a delivered row has StateDone.
const (
	StatePending = "pending" // accepted, not in Matrix yet (or not in this version)
	StateParked  = "parked"  // given up for now; a newer version or Unpark tries again
)

// InboxRow is one Teams message on its way to Matrix, in its newest version.
type InboxRow struct {
	Portal, MessageID, RootID string
	// Version is the newest version accepted, Delivered the newest that Matrix has.
	Version, Delivered int64
	// CreatedAt is when the message was written in Teams.
	CreatedAt time.Time
	// Payload is the message in the version, sealed at rest; it is dropped on delivery.
	Payload []byte
	// Unreadable is why the payload can't be opened, nil where it can.
	Unreadable                      error
	State                           string
	Attempts                        int
	NextAt, ReceivedAt, DeliveredAt time.Time
	Reason, Source                  string
	// AgainAt is when a row is delivered once more, although Matrix has its version.
	AgainAt time.Time
}

// Inbox is the ingest ledger: which version of a message was accepted and
// which was delivered. Whatever way a message comes, and however often, it is
// one row.
type Inbox struct{ base }

const inboxColumns = `portal, message_id, root_id, version, delivered, created_at, payload, state, attempts, next_at, received_at,
	delivered_at, reason, source, again_at`

// When a message came first and when Matrix had it first, in whichever version.
// What received_at and delivered_at say moves with every change of it. Rows that a
// version of the program wrote that did not keep that yet know no better.
const (
	inboxFirst = `(CASE WHEN teams_inbox.first_at = 0 THEN teams_inbox.received_at ELSE teams_inbox.first_at END)`
	inboxShown = `(CASE WHEN teams_inbox.shown_at = 0 THEN teams_inbox.delivered_at ELSE teams_inbox.shown_at END)`
)

// Accept stores the rows in one transaction and returns how many were news. A
// row is news when its message is unknown, or its version is higher than the
// stored one; it then is pending at once, even if it was parked. Anything else
// changes nothing, so versions may come in any order and any number of times.
func (s *Inbox) Accept(ctx context.Context, rows []InboxRow) (accepted int, err error) {
	if len(rows) == 0 {
		return 0, nil
	} else if len(rows) == 1 {
		return s.accept(ctx, rows[0])
	}
	err = s.inTxn(ctx, func(ctx context.Context) error {
		accepted = 0
		for _, r := range rows {
			n, err := s.accept(ctx, r)
			if err != nil {
				return err
			}
			accepted += n
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return accepted, nil
}

func (s *Inbox) accept(ctx context.Context, r InboxRow) (int, error) {
	if r.Portal == "" || r.MessageID == "" {
		return 0, fmt.Errorf("accept: portal and message id must be set")
	}
	payload, err := s.sealInbox(r)
	if err != nil {
		return 0, fmt.Errorf("accept: %w", err)
	}
	n, err := s.exec(ctx, "accept", `
		INSERT INTO teams_inbox (portal, message_id, root_id, version, delivered, created_at, payload, state, attempts, next_at,
			received_at, delivered_at, reason, source, first_at)
		VALUES ($1, $2, $3, $4, 0, $5, $6, 'pending', 0, 0, $7, 0, '', $8, $7)
		ON CONFLICT (portal, message_id) DO UPDATE SET root_id = excluded.root_id, version = excluded.version,
			created_at = excluded.created_at, payload = excluded.payload, state = 'pending', attempts = 0, next_at = 0,
			received_at = excluded.received_at, reason = '', source = excluded.source, first_at = `+inboxFirst+`, again_at = 0
		WHERE excluded.version > teams_inbox.version`,
		r.Portal, r.MessageID, r.RootID, r.Version, ms(r.CreatedAt), payload, ms(s.orNow(r.ReceivedAt)), r.Source)
	return int(n), err
}

// sealInbox seals what a row says. It belongs to the version: an older one can't
// be put in its place.
func (b base) sealInbox(r InboxRow) ([]byte, error) {
	return b.sealValue(inboxPayload, r.Payload, r.Portal, r.MessageID, strconv.FormatInt(r.Version, 10))
}

// Restore puts back what a row says whose payload can't be opened, in the row's
// version; ok is false where the row has another one by now.
func (s *Inbox) Restore(ctx context.Context, r InboxRow) (ok bool, err error) {
	payload, err := s.sealInbox(r)
	if err != nil {
		return false, fmt.Errorf("restore message: %w", err)
	}
	n, err := s.exec(ctx, "restore message", `UPDATE teams_inbox SET payload = $4
		WHERE portal = $1 AND message_id = $2 AND version = $3 AND state <> 'done'`, r.Portal, r.MessageID, r.Version, payload)
	return n > 0, err
}

// Due returns a portal's pending rows in the order in which they were written.
// It stops before the first row that waits for a retry, because nothing may
// overtake it; other portals are not affected.
func (s *Inbox) Due(ctx context.Context, portal string, now time.Time, limit int) ([]InboxRow, error) {
	rows, err := list(ctx, s.base, "due messages", s.scanInbox, `SELECT `+inboxColumns+` FROM teams_inbox
		WHERE portal = $1 AND state = 'pending' ORDER BY created_at, message_id LIMIT $2`, portal, limit)
	for i, r := range rows {
		if r.NextAt.After(now) {
			return rows[:i], err
		}
	}
	return rows, err
}

// Head is a portal's oldest pending row, as far as scheduling needs it.
type Head struct {
	Portal string
	NextAt time.Time
}

// Heads returns for every portal with pending rows when its oldest one is due.
func (s *Inbox) Heads(ctx context.Context) ([]Head, error) {
	return list(ctx, s.base, "pending portals", scanHead, `
		SELECT p.portal, (SELECT i.next_at FROM teams_inbox i WHERE i.portal = p.portal AND i.state = 'pending'
			ORDER BY i.created_at, i.message_id LIMIT 1)
		FROM (SELECT DISTINCT portal FROM teams_inbox WHERE state = 'pending') p ORDER BY p.portal`)
}

// PortalsDue returns the portals for which Due has rows.
func (s *Inbox) PortalsDue(ctx context.Context, now time.Time) ([]string, error) {
	heads, err := s.Heads(ctx)
	var out []string
	for _, h := range heads {
		if !h.NextAt.After(now) {
			out = append(out, h.Portal)
		}
	}
	return out, err
}

// Delivered says that Matrix has this version. The row is done unless a newer
// version was accepted meanwhile; then it stays pending.
func (s *Inbox) Delivered(ctx context.Context, portal, messageID string, version int64) error {
	_, err := s.exec(ctx, "mark delivered", `
		UPDATE teams_inbox SET delivered = $3, shown_at = CASE WHEN `+inboxShown+` = 0 THEN $4 ELSE `+inboxShown+` END, delivered_at = $4, attempts = 0, next_at = 0, reason = '',
			state = CASE WHEN version <= $3 THEN 'done' ELSE state END,
			payload = CASE WHEN version <= $3 THEN $5 ELSE payload END
		WHERE portal = $1 AND message_id = $2 AND delivered < $3`,
		portal, messageID, version, ms(s.now()), []byte{})
	return err
}

// Retry puts off a row whose delivery failed, unless a newer version came meanwhile.
func (s *Inbox) Retry(ctx context.Context, portal, messageID string, version int64, next time.Time, reason string) error {
	_, err := s.exec(ctx, "retry message", `UPDATE teams_inbox SET attempts = attempts + 1, next_at = $4, reason = $5
		WHERE portal = $1 AND message_id = $2 AND version = $3 AND state = 'pending'`, portal, messageID, version, ms(next), reason)
	return err
}

// Park gives a row up for now, with its payload, so that the messages behind it
// go on. A newer version of it is tried again by itself.
func (s *Inbox) Park(ctx context.Context, portal, messageID string, version int64, reason string) error {
	_, err := s.exec(ctx, "park message", `UPDATE teams_inbox SET state = 'parked', reason = $4
		WHERE portal = $1 AND message_id = $2 AND version = $3 AND state = 'pending'`, portal, messageID, version, reason)
	return err
}

// Unpark makes a portal's parked rows (all with "") pending again and returns how many.
func (s *Inbox) Unpark(ctx context.Context, portal string) (int64, error) {
	return s.exec(ctx, "unpark", `UPDATE teams_inbox SET state = 'pending', attempts = 0, next_at = 0, reason = ''
		WHERE state = 'parked' AND ($1 = '' OR portal = $1)`, portal)
}

// UnparkOne makes one parked row pending again; ok is false where it is not parked.
func (s *Inbox) UnparkOne(ctx context.Context, portal, messageID string) (ok bool, err error) {
	n, err := s.exec(ctx, "unpark one", `UPDATE teams_inbox SET state = 'pending', attempts = 0, next_at = 0, reason = ''
		WHERE portal = $1 AND message_id = $2 AND state = 'parked'`, portal, messageID)
	return n > 0, err
}

// DropParked ends a parked row for good, unless a newer version of its message
// comes; ok is false where it is not parked.
func (s *Inbox) DropParked(ctx context.Context, portal, messageID, reason string) (ok bool, err error) {
	n, err := s.exec(ctx, "drop parked", `UPDATE teams_inbox SET state = 'done', reason = $3, delivered_at = $4, payload = $5
		WHERE portal = $1 AND message_id = $2 AND state = 'parked'`, portal, messageID, reason, ms(s.now()), []byte{})
	return n > 0, err
}

// Get returns a row, nil where there is none.
func (s *Inbox) Get(ctx context.Context, portal, messageID string) (*InboxRow, error) {
	return one(ctx, s.base, "inbox row", s.scanInbox,
		`SELECT `+inboxColumns+` FROM teams_inbox WHERE portal = $1 AND message_id = $2`, portal, messageID)
}

// Undelivered returns a portal's pending rows of which Matrix has no version and
// which were written between two times, oldest first.
func (s *Inbox) Undelivered(ctx context.Context, portal string, from, to time.Time, limit int) ([]InboxRow, error) {
	return list(ctx, s.base, "undelivered messages", s.scanInbox, `SELECT `+inboxColumns+` FROM teams_inbox
		WHERE portal = $1 AND state = 'pending' AND created_at >= $2 AND created_at <= $3 AND delivered = 0 ORDER BY created_at, message_id LIMIT $4`,
		portal, ms(from), ms(to), limit)
}

// PendingReplies reports whether replies to a message wait for their delivery.
func (s *Inbox) PendingReplies(ctx context.Context, portal, rootID string) (bool, error) {
	n, err := one(ctx, s.base, "pending replies", dbutil.ScanSingleColumn[int],
		`SELECT COUNT(*) FROM teams_inbox WHERE portal = $1 AND root_id = $2 AND state = 'pending'`, portal, rootID)
	if err != nil || n == nil {
		return false, err
	}
	return *n > 0, nil
}

// LastDelivered returns the portal's row that was delivered last, nil where none was.
func (s *Inbox) LastDelivered(ctx context.Context, portal string) (*InboxRow, error) {
	return one(ctx, s.base, "last delivered", s.scanInbox, `SELECT `+inboxColumns+` FROM teams_inbox
		WHERE portal = $1 AND delivered_at <> 0 ORDER BY delivered_at DESC, created_at DESC, message_id DESC LIMIT 1`, portal)
}

// Purge forgets rows that were delivered before a time. Keep them longer than
// any reader looks back: they are the deduplication.
func (s *Inbox) Purge(ctx context.Context, before time.Time) (int64, error) {
	return s.exec(ctx, "purge inbox", `DELETE FROM teams_inbox WHERE state = 'done' AND delivered_at < $1`, ms(before))
}

func scanHead(row dbutil.Scannable) (h Head, err error) {
	var next int64
	err = row.Scan(&h.Portal, &next)
	h.NextAt = fromMS(next)
	return h, err
}

func (b base) scanInbox(row dbutil.Scannable) (r InboxRow, err error) {
	var createdAt, nextAt, receivedAt, deliveredAt, againAt int64
	err = row.Scan(&r.Portal, &r.MessageID, &r.RootID, &r.Version, &r.Delivered, &createdAt, &r.Payload, &r.State, &r.Attempts, &nextAt,
		&receivedAt, &deliveredAt, &r.Reason, &r.Source, &againAt)
	r.AgainAt = fromMS(againAt)
	r.CreatedAt, r.NextAt, r.ReceivedAt, r.DeliveredAt = fromMS(createdAt), fromMS(nextAt), fromMS(receivedAt), fromMS(deliveredAt)
	if err == nil {
		r.Payload, r.Unreadable = b.openValue(inboxPayload, r.Payload, r.Portal, r.MessageID, strconv.FormatInt(r.Version, 10))
	}
	return r, err
}

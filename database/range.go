package database

import (
	"context"
	"time"

	"go.mau.fi/util/dbutil"
)

// RangeCount is how many rows of a range of the outbox have the same portal,
// kind, state and reason.
type RangeCount struct {
	Portal, Kind, State, Reason string
	Count                       int
	// LastDone is when the last of them ended, zero where none has.
	LastDone time.Time
}

// RangeCounts counts the rows from one id on and up to another; 0 is no upper
// end, and "" all portals.
func (s *Outbox) RangeCounts(ctx context.Context, portal string, from, to int64) ([]RangeCount, error) {
	return list(ctx, s.base, "count outbox range", scanRangeCount, `
		SELECT portal, kind, state, reason, COUNT(*), MAX(done_at) FROM teams_outbox
		WHERE id >= $2 AND ($3 = 0 OR id <= $3) AND ($1 = '' OR portal = $1)
		GROUP BY portal, kind, state, reason ORDER BY portal, kind, state, reason`, portal, from, to)
}

// RangeOpen returns the portals that have unfinished rows from one id on and up
// to another; 0 is no upper end.
func (s *Outbox) RangeOpen(ctx context.Context, from, to int64) ([]string, error) {
	return list(ctx, s.base, "unfinished portals of range", dbutil.ScanSingleColumn[string], `
		SELECT DISTINCT portal FROM teams_outbox WHERE done_at = 0 AND id >= $1 AND ($2 = 0 OR id <= $2) ORDER BY portal`, from, to)
}

// WaitingPortals returns the portals in which something that Teams does not
// have has waited since before a time, looking at the rows from an id on.
func (s *Outbox) WaitingPortals(ctx context.Context, from int64, before time.Time) ([]string, error) {
	return list(ctx, s.base, "waiting portals", dbutil.ScanSingleColumn[string], `
		SELECT DISTINCT portal FROM teams_outbox WHERE done_at = 0 AND state <> 'sent' AND id >= $1 AND created_at <= $2 ORDER BY portal`,
		from, ms(before))
}

// PortalsSince returns the portals in which something was written since a time.
func (s *Outbox) PortalsSince(ctx context.Context, since time.Time) ([]string, error) {
	return list(ctx, s.base, "portals in use", dbutil.ScanSingleColumn[string], `
		SELECT portal FROM teams_outbox WHERE done_at = 0 AND created_at >= $1
		UNION SELECT portal FROM teams_outbox WHERE done_at <> 0 AND done_at >= $1 AND created_at >= $1 ORDER BY portal`, ms(since))
}

// OldestSince returns the id of the oldest row that Teams does not have among
// those that came since a time, 0 where there is none.
func (s *Outbox) OldestSince(ctx context.Context, since time.Time) (int64, error) {
	oldest, err := one(ctx, s.base, "oldest waiting row", dbutil.ScanSingleColumn[int64], `
		SELECT COALESCE(MIN(id), 0) FROM teams_outbox WHERE done_at = 0 AND state <> 'sent' AND created_at >= $1`, ms(since))
	if err != nil || oldest == nil {
		return 0, err
	}
	return *oldest, nil
}

// PendingUntil counts the portal's messages of up to a time that Matrix does
// not have yet.
func (s *Inbox) PendingUntil(ctx context.Context, portal string, until time.Time) (int, error) {
	return s.count(ctx, `SELECT COUNT(*) FROM teams_inbox WHERE portal = $1 AND state = 'pending' AND created_at <= $2`, portal, ms(until))
}

// Late counts the portal's messages that were written between two times and
// got to Matrix since a third one; what was there before is not late when it is
// edited or reacted to. What the bridge itself posted is none of them.
func (s *Inbox) Late(ctx context.Context, portal string, from, to, since time.Time) (int, error) {
	return s.count(ctx, `
		SELECT COUNT(*) FROM teams_inbox WHERE portal = $1 AND created_at >= $2 AND created_at <= $3 AND `+inboxShown+` >= $4
			AND NOT EXISTS (SELECT 1 FROM teams_sent WHERE teams_sent.portal = teams_inbox.portal
				AND teams_sent.remote_id = teams_inbox.message_id AND teams_sent.remote_id <> '')`, portal, ms(from), ms(to), ms(since))
}

// LateRoom is a portal to which messages came late.
type LateRoom struct {
	Portal string
	// Count is how many there are, Pending how many of them are still to come to
	// Matrix.
	Count, Pending int
}

// LateRooms returns the portals with messages that were written while Teams could
// not be read in an outage, or shortly before, and came late: they
// themselves, not an edit of them or a reaction to them. Where a room was told of
// that before, what came until then does not count again. What the bridge itself
// posted is none of them. It reads the whole ledger.
func (s *Inbox) LateRooms(ctx context.Context, outageID int64, before, late time.Duration) ([]LateRoom, error) {
	return list(ctx, s.base, "list rooms of late messages", scanLateRoom, `
		SELECT portal, COUNT(*), SUM(CASE WHEN state = 'pending' AND `+inboxShown+` = 0 THEN 1 ELSE 0 END) FROM teams_inbox
		WHERE `+inboxFirst+` >= created_at + $2 AND EXISTS (SELECT 1 FROM teams_outage_span WHERE outage_id = $1 AND what = 'read' AND to_at <> 0
				AND teams_inbox.created_at >= from_at - $3 AND teams_inbox.created_at <= to_at)
			AND NOT EXISTS (SELECT 1 FROM teams_outage_room WHERE outage_id = $1 AND teams_outage_room.portal IN (teams_inbox.portal, 'read:' || teams_inbox.portal)
				AND gap_told_at >= `+inboxFirst+`)
			AND NOT EXISTS (SELECT 1 FROM teams_sent WHERE teams_sent.portal = teams_inbox.portal
				AND teams_sent.remote_id = teams_inbox.message_id AND teams_sent.remote_id <> '')
		GROUP BY portal ORDER BY portal`, outageID, late.Milliseconds(), before.Milliseconds())
}

func scanLateRoom(row dbutil.Scannable) (r LateRoom, err error) {
	err = row.Scan(&r.Portal, &r.Count, &r.Pending)
	return r, err
}

func (s *Inbox) count(ctx context.Context, query string, args ...any) (int, error) {
	n, err := one(ctx, s.base, "count messages", dbutil.ScanSingleColumn[int], query, args...)
	if err != nil || n == nil {
		return 0, err
	}
	return *n, nil
}

func scanRangeCount(row dbutil.Scannable) (c RangeCount, err error) {
	var last int64
	err = row.Scan(&c.Portal, &c.Kind, &c.State, &c.Reason, &c.Count, &last)
	c.LastDone = fromMS(last)
	return c, err
}

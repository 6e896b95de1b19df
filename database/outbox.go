package database

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.mau.fi/util/dbutil"
)

// Kinds of outbox rows.
const (
	KindMessage  = "message"
	KindEdit     = "edit"
	KindReaction = "reaction"
	KindUnreact  = "unreact"
	KindDelete   = "delete"
)

// States of outbox rows. Queued, sending and sent rows are unfinished. A row
// that Teams refuses for good is StateParked: it is kept, nothing waits for it,
// and it is sent again only where somebody asks for that.
const (
	StateQueued    = "queued"    // nobody is working on it
	StateSending   = "sending"   // a request may be on its way, or was when we crashed
	StateSent      = "sent"      // Teams has it; the room does not show that yet
	StateDone      = "done"      // Teams has it, the room shows it
	StateFailed    = "failed"    // it never will be in Teams, and Reason says why
	StateCancelled = "cancelled" // taken back before Teams got it
)

// ReasonAnnounced is why a row waits whose NextAt Teams has announced. It is not
// made due before that, whoever asks for it.
const ReasonAnnounced = "Teams asks to wait"

// OutboxRow is one Matrix event on its way to Teams.
type OutboxRow struct {
	ID                            int64
	EventID, Portal, RoomID, Kind string
	// RootEventID is the root of a message's thread, of a removal the message
	// that was reacted to; an edit that counts votes names its poll once more.
	TargetEventID, RootEventID                           string
	SenderMXID, SenderUserID /* "" = none */, SenderName string
	// Payload is the decrypted event content, sealed at rest; it is dropped when the
	// row is finished.
	Payload []byte
	// Unreadable is why the payload can't be opened, nil where it can.
	Unreadable                         error
	EventAt, CreatedAt, NextAt, DoneAt time.Time
	State                              string
	Attempts                           int
	// Reason is short and from a fixed set; Detail is what the author of a
	// parked or failed row is told, and ToldAt when that was done. Of a row that
	// waits, ToldAt is when it was shown as queued.
	Reason, Detail string
	ToldAt         time.Time
	// Digest is the digest that the row goes to Teams in, empty for none.
	Digest string
	// HeldUntil is when the row was let go after somebody had held its queue, zero
	// for never: its age counts from then.
	HeldUntil time.Time
	// AsideAt is from when on nothing waits for the row to go first, zero for never.
	AsideAt time.Time
	// Mark leads to the reaction by which the room sees that the row is queued;
	// empty where there is none.
	Mark string
}

// Said returns when a row's event was sent, but not later than it came: a
// person's clock may be wrong.
func (r *OutboxRow) Said() time.Time {
	if r.EventAt.IsZero() || r.EventAt.After(r.CreatedAt) {
		return r.CreatedAt
	}
	return r.EventAt
}

// Outbox is what Teams does not have yet, in the order in which it was said.
// Rows leave the queue only through Finish, Cancel, Park, Fail or Drop.
type Outbox struct {
	base
	// taking is held by whoever takes a row from the queue, or puts one back, so
	// that each sees what the other did. Neither belongs into a transaction.
	taking sync.Mutex
}

const (
	outboxColumns = `id, event_id, portal, room_id, kind, target_event_id, root_event_id, sender_mxid, sender_user_id,
		sender_name, payload, event_at, created_at, next_at, done_at, state, attempts, reason, detail, told_at, digest, mark, held_until, aside_at`
	// untouched holds for rows of which Teams cannot have seen anything: a
	// message in several parts goes back to queued when a later part fails, a
	// reaction when its answer got lost, and what a digest says stays as it was
	// when that was put together.
	untouched = ` AND state = 'queued' AND NOT EXISTS (SELECT 1 FROM teams_sent WHERE teams_sent.event_id = teams_outbox.event_id)
		AND NOT EXISTS (SELECT 1 FROM teams_sent_reaction WHERE teams_sent_reaction.event_id = teams_outbox.event_id)
		AND digest = ''`
	// notOvertaken holds for rows but for edits of which a newer one is in Teams, or
	// on its way there: they would put back what that has replaced.
	notOvertaken = ` AND (kind <> 'edit' OR NOT EXISTS (SELECT 1 FROM teams_outbox newer WHERE newer.id > teams_outbox.id
		AND newer.target_event_id = teams_outbox.target_event_id AND newer.kind = 'edit' AND newer.state IN ('sending', 'sent', 'done')))`
)

// Enqueue adds a row, queued unless State says otherwise, and sets its ID. It
// is idempotent on EventID: inserted is false where the event was there before,
// whatever its state. An event that needs no row of its own in the queue (an
// edit that replaced a queued payload) is stored with State done, so that its
// redelivery is recognised.
func (s *Outbox) Enqueue(ctx context.Context, r *OutboxRow) (inserted bool, err error) {
	if r.EventID == "" || r.Portal == "" || r.Kind == "" {
		return false, fmt.Errorf("enqueue: event id, portal and kind must be set")
	}
	if r.State == "" {
		r.State = StateQueued
	}
	r.CreatedAt = s.orNow(r.CreatedAt)
	payload := []byte{}
	if isFinished(r.State) {
		r.DoneAt = s.orNow(r.DoneAt)
	} else if payload, err = s.sealValue(outboxPayload, r.Payload, r.EventID); err != nil {
		return false, fmt.Errorf("enqueue: %w", err)
	}
	rowID, err := one(ctx, s.base, "enqueue", dbutil.ScanSingleColumn[int64], `
		INSERT INTO teams_outbox (event_id, portal, room_id, kind, target_event_id, root_event_id, sender_mxid, sender_user_id,
			sender_name, payload, event_at, created_at, next_at, done_at, state, attempts, reason)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
		ON CONFLICT (event_id) DO NOTHING RETURNING id`,
		r.EventID, r.Portal, r.RoomID, r.Kind, r.TargetEventID, r.RootEventID, r.SenderMXID, r.SenderUserID,
		r.SenderName, payload, ms(r.EventAt), ms(r.CreatedAt), ms(r.NextAt), ms(r.DoneAt), r.State, r.Attempts, r.Reason)
	if err != nil || rowID == nil {
		return false, err
	}
	r.ID = *rowID
	return true, nil
}

// Next returns the portal's oldest row that Teams does not have yet (queued or
// sending) and that has not stepped aside, nil where there is none. It is returned
// even when NextAt is in the future, because nothing behind it may overtake it.
func (s *Outbox) Next(ctx context.Context, portal string) (*OutboxRow, error) {
	return one(ctx, s.base, "next outbox row", s.scanOutbox, `SELECT `+outboxColumns+` FROM teams_outbox
		WHERE portal = $1 AND done_at = 0 AND state <> 'sent' AND (aside_at = 0 OR aside_at > $2)`+inTurn+` ORDER BY id LIMIT 1`, portal, ms(s.now()))
}

// ActivePortals returns the portals for which Next has a row.
func (s *Outbox) ActivePortals(ctx context.Context) ([]string, error) {
	return list(ctx, s.base, "active portals", dbutil.ScanSingleColumn[string],
		`SELECT DISTINCT portal FROM teams_outbox WHERE done_at = 0 AND state <> 'sent' ORDER BY portal`)
}

// Queue returns the portal's unfinished rows in order.
func (s *Outbox) Queue(ctx context.Context, portal string, limit int) ([]*OutboxRow, error) {
	return list(ctx, s.base, "list outbox", s.scanOutboxPtr,
		`SELECT `+outboxColumns+` FROM teams_outbox WHERE portal = $1 AND done_at = 0 ORDER BY id LIMIT $2`, portal, limit)
}

// CountQueued counts the portal's queued messages.
func (s *Outbox) CountQueued(ctx context.Context, portal string) (int, error) {
	n, err := one(ctx, s.base, "count queued", dbutil.ScanSingleColumn[int],
		`SELECT COUNT(*) FROM teams_outbox WHERE portal = $1 AND done_at = 0 AND kind = 'message' AND state = 'queued'`, portal)
	if err != nil || n == nil {
		return 0, err
	}
	return *n, nil
}

// Unacked returns the rows that Teams has and the room does not show yet. Without
// the sign in its order SQLite would rather read all rows than sort these few.
func (s *Outbox) Unacked(ctx context.Context) ([]*OutboxRow, error) {
	return list(ctx, s.base, "list unacknowledged", s.scanOutboxPtr,
		`SELECT `+outboxColumns+` FROM teams_outbox WHERE done_at = 0 AND state = 'sent' ORDER BY +id`)
}

// ByID returns a row, nil where there is none.
func (s *Outbox) ByID(ctx context.Context, id int64) (*OutboxRow, error) {
	return one(ctx, s.base, "outbox row", s.scanOutbox, `SELECT `+outboxColumns+` FROM teams_outbox WHERE id = $1`, id)
}

// ByEvent returns a row, nil where there is none.
func (s *Outbox) ByEvent(ctx context.Context, eventID string) (*OutboxRow, error) {
	return one(ctx, s.base, "outbox row of event", s.scanOutbox, `SELECT `+outboxColumns+` FROM teams_outbox WHERE event_id = $1`, eventID)
}

// ByTarget returns the unfinished rows that act on an event, in order.
func (s *Outbox) ByTarget(ctx context.Context, targetEventID string) ([]*OutboxRow, error) {
	return list(ctx, s.base, "outbox rows of target", s.scanOutboxPtr,
		`SELECT `+outboxColumns+` FROM teams_outbox WHERE target_event_id = $1 AND done_at = 0 ORDER BY id`, targetEventID)
}

// Superseded reports whether an edit came behind one of the same message that was
// made after it, as where a homeserver tells of events in another order. What
// counts is the newest by the senders' clocks, as in every client.
// https://spec.matrix.org/v1.16/client-server-api/#event-replacements
func (s *Outbox) Superseded(ctx context.Context, r *OutboxRow) (bool, error) {
	if r.Kind != KindEdit || r.RootEventID != "" {
		return false, nil
	}
	n, err := one(ctx, s.base, "newer edit", dbutil.ScanSingleColumn[int], `SELECT COUNT(*) FROM teams_outbox
		WHERE kind = 'edit' AND target_event_id = $1 AND root_event_id = '' AND sender_mxid = $2 AND event_id <> $3
		AND state IN ('queued', 'sending', 'sent', 'done') AND (event_at > $4 OR event_at = $4 AND event_id > $3) AND id < $5`,
		r.TargetEventID, r.SenderMXID, r.EventID, ms(r.EventAt), r.ID)
	return n != nil && *n > 0, err
}

// ReplacePayload puts an edit's content into a row; ok only while the row is
// queued and no part of it was ever tried.
func (s *Outbox) ReplacePayload(ctx context.Context, id int64, payload []byte) (ok bool, err error) {
	return s.setPayload(ctx, id, payload)
}

// Cancel takes a row back; ok only while it is queued and no part of it was
// ever tried.
func (s *Outbox) Cancel(ctx context.Context, id int64, reason string) (ok bool, err error) {
	n, err := s.exec(ctx, "cancel", `UPDATE teams_outbox SET state = 'cancelled', reason = $2, done_at = $3, payload = $4 WHERE id = $1`+untouched,
		id, reason, ms(s.now()), []byte{})
	return n > 0, err
}

// MarkSending takes a queued row, with the payload that it has now: it may have
// been replaced since the row was read. ok is false where it is not queued any
// more, or is an edit before which an older one was put back. Call it before the
// first request, so that a crash leaves the row in doubt.
func (s *Outbox) MarkSending(ctx context.Context, r *OutboxRow) (ok bool, err error) {
	s.taking.Lock()
	defer s.taking.Unlock()
	taken, err := one(ctx, s.base, "mark sending", s.scanOutbox, `UPDATE teams_outbox SET state = 'sending', attempts = attempts + 1
		WHERE id = $1 AND state = 'queued' AND (kind <> 'edit' OR NOT EXISTS (SELECT 1 FROM teams_outbox older WHERE older.done_at = 0
			AND older.target_event_id = teams_outbox.target_event_id AND older.kind = 'edit' AND older.id < teams_outbox.id)) RETURNING `+outboxColumns, r.ID)
	if err != nil || taken == nil {
		return false, err
	}
	r.Payload, r.Unreadable = taken.Payload, taken.Unreadable
	return true, nil
}

// RequeueUnbegun puts messages back into the queue that the process before had taken
// and of which it had not begun to post anything: Teams has nothing of them. Call
// it before anything is taken.
func (s *Outbox) RequeueUnbegun(ctx context.Context) (int64, error) {
	return s.exec(ctx, "requeue unbegun", `UPDATE teams_outbox SET state = 'queued' WHERE done_at = 0 AND state = 'sending' AND kind = 'message' AND digest = ''
		AND NOT EXISTS (SELECT 1 FROM teams_sent WHERE teams_sent.event_id = teams_outbox.event_id)`)
}

// MarkSent says that Teams has the row; the room is to show it next.
func (s *Outbox) MarkSent(ctx context.Context, id int64) error {
	_, err := s.exec(ctx, "mark sent", `UPDATE teams_outbox SET state = 'sent', reason = '' WHERE id = $1 AND done_at = 0`, id)
	return err
}

// Finish ends a row as done or cancelled and drops its payload. A row that is
// finished already stays as it is.
func (s *Outbox) Finish(ctx context.Context, id int64, state, reason string) error {
	if state != StateDone && state != StateCancelled {
		return fmt.Errorf("finish: %q is not a final state", state)
	}
	_, err := s.exec(ctx, "finish", `UPDATE teams_outbox SET state = $2, reason = $3, done_at = $4, payload = $5
		WHERE id = $1 AND done_at = 0`, id, state, reason, ms(s.now()), []byte{})
	return err
}

// FinishKeeping ends a row as done with its payload, so that it can be repeated.
func (s *Outbox) FinishKeeping(ctx context.Context, id int64) error {
	_, err := s.exec(ctx, "finish keeping", `UPDATE teams_outbox SET state = 'done', reason = '', done_at = $2 WHERE id = $1 AND done_at = 0`, id, ms(s.now()))
	return err
}

// Apart runs f in a transaction while nobody takes a row from the queue or puts
// one back. Like those it does not belong into a transaction.
func (s *Outbox) Apart(ctx context.Context, f func(ctx context.Context) error) error {
	s.taking.Lock()
	defer s.taking.Unlock()
	return s.inTxn(ctx, f)
}

// Repeat puts a row that is done, and was kept, into the queue again, at its
// place; ok is false where it is not there, or is an edit that a newer one has
// overtaken. Call it in Apart.
func (s *Outbox) Repeat(ctx context.Context, eventID string) (ok bool, err error) {
	n, err := s.exec(ctx, "repeat", `UPDATE teams_outbox SET state = 'queued', done_at = 0, next_at = 0, attempts = 0
		WHERE event_id = $1 AND state = 'done' AND length(payload) > 0`+notOvertaken, eventID)
	return n > 0, err
}

// DropPayload forgets what was kept of a row that is done.
func (s *Outbox) DropPayload(ctx context.Context, eventID string) error {
	_, err := s.exec(ctx, "drop payload", `UPDATE teams_outbox SET payload = $2 WHERE event_id = $1 AND state = 'done'`, eventID, []byte{})
	return err
}

// Park ends a row that Teams refuses for good. It keeps its payload, so that it
// can be sent again when the cause is mended, and nothing waits for it. detail
// is what its author is told: the row is Untold until that is done.
func (s *Outbox) Park(ctx context.Context, id int64, reason, detail string) error {
	return s.inTxn(ctx, func(ctx context.Context) error {
		n, err := s.exec(ctx, "park", `UPDATE teams_outbox SET state = 'parked', reason = $2, detail = $3, done_at = $4, told_at = 0
			WHERE id = $1 AND done_at = 0`, id, reason, detail, ms(s.now()))
		if err != nil || n == 0 {
			return err
		}
		// The digest would take its words to Teams all the same.
		_, err = s.exec(ctx, "park out of digest", `DELETE FROM teams_digest_entry
			WHERE event_id = (SELECT event_id FROM teams_outbox WHERE id = $1 AND digest <> '') AND NOT EXISTS (
				SELECT 1 FROM teams_sent WHERE teams_sent.event_id = teams_digest_entry.digest_id AND teams_sent.part = teams_digest_entry.part)`, id)
		if err != nil {
			return err
		}
		_, err = s.exec(ctx, "park without digest", `UPDATE teams_outbox SET digest = '' WHERE id = $1 AND digest <> '' AND NOT EXISTS (
			SELECT 1 FROM teams_digest_entry WHERE teams_digest_entry.event_id = teams_outbox.event_id)`, id)
		return err
	})
}

// Fail ends an unfinished or parked row for good and drops its payload. Its
// author is told detail; with an empty one nobody is.
func (s *Outbox) Fail(ctx context.Context, id int64, reason, detail string) error {
	now, told := ms(s.now()), int64(0)
	if detail == "" {
		told = now
	}
	_, err := s.exec(ctx, "fail", `UPDATE teams_outbox SET state = 'failed', reason = $2, detail = $3, done_at = $4, told_at = $5, payload = $6
		WHERE id = $1 AND (done_at = 0 OR state = 'parked')`, id, reason, detail, now, told, []byte{})
	return err
}

// Requeue puts a parked row back into the queue, at its place; ok is false
// where it is not parked, or is an edit that a newer one has overtaken. Where since
// is set, it waits since then at the earliest.
func (s *Outbox) Requeue(ctx context.Context, id int64, since time.Time) (ok bool, err error) {
	s.taking.Lock()
	defer s.taking.Unlock()
	n, err := s.exec(ctx, "requeue", `UPDATE teams_outbox SET state = 'queued', reason = '', detail = '', done_at = 0, told_at = 0,
		next_at = 0, attempts = 0, held_until = CASE WHEN held_until < $2 THEN $2 ELSE held_until END
		WHERE id = $1 AND state = 'parked'`+notOvertaken, id, ms(since))
	return n > 0, err
}

// Untold returns parked and failed rows behind an id whose authors were not
// told yet, in the order of their ids.
func (s *Outbox) Untold(ctx context.Context, after int64, limit int) ([]*OutboxRow, error) {
	return list(ctx, s.base, "list untold", s.scanOutboxPtr, `SELECT `+outboxColumns+` FROM teams_outbox
		WHERE told_at = 0 AND state IN ('parked', 'failed') AND id > $1 ORDER BY id LIMIT $2`, after, limit)
}

// UntoldOf returns a portal's failed rows with a reason behind an id, whose authors
// were not told yet.
func (s *Outbox) UntoldOf(ctx context.Context, portal, reason string, after int64, limit int) ([]*OutboxRow, error) {
	return list(ctx, s.base, "list untold of a portal", s.scanOutboxPtr, `SELECT `+outboxColumns+` FROM teams_outbox
		WHERE told_at = 0 AND state IN ('parked', 'failed') AND state = 'failed' AND portal = $1 AND reason = $2 AND id > $3 ORDER BY id LIMIT $4`,
		portal, reason, after, limit)
}

// Told notes that the author of a row was told how it ended, for a reason, at a
// time. Of one that waits again by now, or has ended again, they have yet to be told.
func (s *Outbox) Told(ctx context.Context, id int64, reason string, doneAt time.Time) error {
	_, err := s.exec(ctx, "note told", `UPDATE teams_outbox SET told_at = $2
		WHERE id = $1 AND told_at = 0 AND state IN ('parked', 'failed') AND reason = $3 AND done_at = $4`, id, ms(s.now()), reason, ms(doneAt))
	return err
}

// Retry puts a row that is being sent back into the queue, not to be tried
// before next, nor before a time that Teams has announced.
func (s *Outbox) Retry(ctx context.Context, id int64, next time.Time, reason string) error {
	next = next.Add(time.Millisecond - 1) // times are stored in whole milliseconds
	_, err := s.exec(ctx, "retry", `UPDATE teams_outbox SET state = 'queued',
		reason = CASE WHEN reason = $4 AND next_at > $2 THEN reason ELSE $3 END,
		next_at = CASE WHEN reason = $4 AND next_at > $2 THEN next_at ELSE $2 END
		WHERE id = $1 AND state IN ('queued', 'sending')`, id, ms(next), reason, ReasonAnnounced)
	return err
}

// RetryNow makes the rows that wait for a retry due at once, of one portal or of
// all with "", and returns how many it touched. Those that Teams has told to
// wait go on waiting.
func (s *Outbox) RetryNow(ctx context.Context, portal string) (int64, error) {
	return s.exec(ctx, "retry now", `UPDATE teams_outbox SET next_at = 0
		WHERE done_at = 0 AND state = 'queued' AND next_at <> 0 AND reason <> $2 AND ($1 = '' OR portal = $1)`, portal, ReasonAnnounced)
}

// Announced notes that Teams has said of an event's row that it is not to be tried
// before next, although nobody knows yet what became of it.
func (s *Outbox) Announced(ctx context.Context, eventID string, next time.Time) error {
	next = next.Add(time.Millisecond - 1)
	_, err := s.exec(ctx, "note announced pause", `UPDATE teams_outbox SET next_at = $2, reason = $3
		WHERE event_id = $1 AND done_at = 0 AND state IN ('queued', 'sending') AND next_at < $2`, eventID, ms(next), ReasonAnnounced)
	return err
}

// Purge forgets rows that were finished before a time. Keep them longer than a
// homeserver may redeliver: they are the deduplication. Parked rows stay until
// somebody decides about them, and so do those of which somebody is to be told.
func (s *Outbox) Purge(ctx context.Context, before time.Time) (int64, error) {
	return s.exec(ctx, "purge outbox", `DELETE FROM teams_outbox
		WHERE done_at <> 0 AND done_at < $1 AND state <> 'parked' AND (state <> 'failed' OR told_at <> 0) AND mark = ''`, ms(before))
}

func isFinished(state string) bool {
	return state == StateDone || state == StateParked || state == StateFailed || state == StateCancelled
}

func (b base) scanOutboxPtr(row dbutil.Scannable) (*OutboxRow, error) {
	r, err := b.scanOutbox(row)
	return &r, err
}

func (b base) scanOutbox(row dbutil.Scannable) (r OutboxRow, err error) {
	var eventAt, createdAt, nextAt, doneAt, toldAt, heldUntil, asideAt int64
	err = row.Scan(&r.ID, &r.EventID, &r.Portal, &r.RoomID, &r.Kind, &r.TargetEventID, &r.RootEventID, &r.SenderMXID, &r.SenderUserID,
		&r.SenderName, &r.Payload, &eventAt, &createdAt, &nextAt, &doneAt, &r.State, &r.Attempts, &r.Reason, &r.Detail, &toldAt, &r.Digest, &r.Mark, &heldUntil, &asideAt)
	r.EventAt, r.CreatedAt, r.NextAt, r.DoneAt, r.ToldAt = fromMS(eventAt), fromMS(createdAt), fromMS(nextAt), fromMS(doneAt), fromMS(toldAt)
	r.HeldUntil, r.AsideAt = fromMS(heldUntil), fromMS(asideAt)
	if err == nil {
		r.Payload, r.Unreadable = b.openValue(outboxPayload, r.Payload, r.EventID)
	}
	return r, err
}

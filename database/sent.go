package database

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mau.fi/util/dbutil"
)

// Errors of the sent parts.
var (
	// ErrAlreadySent says that Teams has this part; posting it again would double it.
	ErrAlreadySent = errors.New("part was sent already")
	// ErrInDoubt says that an earlier post of this part has no known outcome:
	// find out by reading back, then Confirm or Abort.
	ErrInDoubt = errors.New("an earlier attempt at this part is in doubt")
	// ErrClaimed says that the Teams message belongs to another part.
	ErrClaimed = errors.New("message belongs to another part")
)

// PartDeleted is the state of a part whose message was deleted in Teams; the
// other states of a part are StateSending and StateSent.
const PartDeleted = "deleted"

// SentPart is one Teams message that (a part of) a Matrix event became.
type SentPart struct {
	EventID                                 string
	Part                                    int
	Portal, TeamID, ChannelID               string
	RootID, RemoteID                        string
	AccountID /* who posted */, Fingerprint string
	State                                   string
	StartedAt, SentAt                       time.Time
	// DoubtAt is since when nobody knows what became of the post: no request for
	// it was made after that. Zero where nobody has asked yet.
	DoubtAt time.Time
	// Attachment is the id of the file that the part has attached, if it has one.
	Attachment string
	// ContentHash says what the post was given (msgconv.ContentHash), empty for
	// one of a version that did not note that.
	ContentHash string
}

// Sent records posts before they are made, and what became of them.
type Sent struct{ base }

const sentColumns = `event_id, part, portal, team_id, channel_id, root_id, remote_id, account_id, fingerprint, state, started_at, sent_at, doubt_at, attachment, content_hash`

// Begin marks a part as being posted; it must be durable before the request
// leaves. It refuses with ErrAlreadySent or ErrInDoubt where the part was begun before.
func (s *Sent) Begin(ctx context.Context, p SentPart) error {
	n, err := s.exec(ctx, "begin part", `
		INSERT INTO teams_sent (event_id, part, portal, team_id, channel_id, root_id, remote_id, account_id, fingerprint, state, started_at, sent_at, attachment, content_hash)
		VALUES ($1, $2, $3, $4, $5, $6, '', $7, $8, 'sending', $9, 0, $10, $11) ON CONFLICT (event_id, part) DO NOTHING`,
		p.EventID, p.Part, p.Portal, p.TeamID, p.ChannelID, p.RootID, p.AccountID, p.Fingerprint, ms(s.orNow(p.StartedAt)), p.Attachment, p.ContentHash)
	if err != nil || n > 0 {
		return err
	}
	before, err := s.get(ctx, p.EventID, p.Part)
	if err != nil {
		return err
	} else if before != nil && before.State != StateSending {
		return fmt.Errorf("begin part %d of %s: %w", p.Part, p.EventID, ErrAlreadySent)
	}
	return fmt.Errorf("begin part %d of %s: %w", p.Part, p.EventID, ErrInDoubt)
}

// Confirm says which Teams message a part became. It may be called twice (the
// answer and the echo both tell); it refuses with ErrClaimed where the message
// belongs to another part already, or the part to another message.
func (s *Sent) Confirm(ctx context.Context, eventID string, part int, remoteID, rootID string) error {
	n, err := s.exec(ctx, "confirm part", `
		UPDATE teams_sent SET remote_id = $3, root_id = $4, sent_at = CASE WHEN sent_at = 0 THEN $5 ELSE sent_at END,
			state = CASE WHEN state = 'sending' THEN 'sent' ELSE state END
		WHERE event_id = $1 AND part = $2 AND (remote_id = '' OR remote_id = $3)
			AND NOT EXISTS (SELECT 1 FROM teams_sent other WHERE other.portal = teams_sent.portal AND other.remote_id = $3 AND other.remote_id <> ''
				AND (other.event_id <> $1 OR other.part <> $2))`,
		eventID, part, remoteID, rootID, ms(s.now()))
	if err != nil || n > 0 {
		return err
	}
	return fmt.Errorf("confirm part %d of %s: %w", part, eventID, ErrClaimed)
}

// Doubt says that nobody knows from now on what became of a part's post. The
// first time counts, so that restarts don't begin the wait for it anew.
func (s *Sent) Doubt(ctx context.Context, eventID string, part int, at time.Time) error {
	_, err := s.exec(ctx, "doubt part", `UPDATE teams_sent SET doubt_at = $3 WHERE event_id = $1 AND part = $2 AND state = 'sending' AND doubt_at = 0`,
		eventID, part, ms(at))
	return err
}

// Abort forgets a part of which it is known that Teams did not take it.
func (s *Sent) Abort(ctx context.Context, eventID string, part int) error {
	_, err := s.exec(ctx, "abort part", `DELETE FROM teams_sent WHERE event_id = $1 AND part = $2 AND state = 'sending'`, eventID, part)
	return err
}

// SetDeleted says that the part's message was deleted in Teams (or undeleted).
func (s *Sent) SetDeleted(ctx context.Context, eventID string, part int, deleted bool) error {
	state := StateSent
	if deleted {
		state = PartDeleted
	}
	_, err := s.exec(ctx, "set part deleted", `UPDATE teams_sent SET state = $3 WHERE event_id = $1 AND part = $2 AND state <> 'sending'`,
		eventID, part, state)
	return err
}

// SetAttachment says which file a part has attached after an edit.
func (s *Sent) SetAttachment(ctx context.Context, eventID string, part int, attachment string) error {
	_, err := s.exec(ctx, "set part's file", `UPDATE teams_sent SET attachment = $3 WHERE event_id = $1 AND part = $2`, eventID, part, attachment)
	return err
}

// ByEvent returns an event's parts in order.
func (s *Sent) ByEvent(ctx context.Context, eventID string) ([]SentPart, error) {
	return list(ctx, s.base, "sent parts", scanSent, `SELECT `+sentColumns+` FROM teams_sent WHERE event_id = $1 ORDER BY part`, eventID)
}

// ByRemote returns the part that a Teams message is, nil where it is none of ours.
func (s *Sent) ByRemote(ctx context.Context, portal, remoteID string) (*SentPart, error) {
	if remoteID == "" {
		return nil, nil
	}
	return one(ctx, s.base, "sent part of message", scanSent,
		`SELECT `+sentColumns+` FROM teams_sent WHERE portal = $1 AND remote_id = $2 AND remote_id <> ''`, portal, remoteID)
}

// InDoubt returns the parts of a portal (of all with "") that were begun and
// have no known outcome, oldest first.
func (s *Sent) InDoubt(ctx context.Context, portal string) ([]SentPart, error) {
	if portal == "" {
		return list(ctx, s.base, "parts in doubt", scanSent,
			`SELECT `+sentColumns+` FROM teams_sent WHERE state = 'sending' ORDER BY started_at, event_id, part`)
	}
	return list(ctx, s.base, "parts in doubt", scanSent,
		`SELECT `+sentColumns+` FROM teams_sent WHERE state = 'sending' AND portal = $1 ORDER BY started_at, event_id, part`, portal)
}

// Written is a conversation that something was posted in.
type Written struct {
	ChannelID string
	// LastAt is when something came to its end there last, zero before the asked time.
	LastAt time.Time
}

// Written returns the conversations that something was ever posted in.
func (s *Sent) Written(ctx context.Context, since time.Time) ([]Written, error) {
	return list(ctx, s.base, "conversations that were written in", func(r dbutil.Scannable) (w Written, err error) {
		var at int64
		err = r.Scan(&w.ChannelID, &at)
		w.LastAt = fromMS(at)
		return w, err
	}, `
		SELECT c.channel_id, COALESCE(o.last_at, 0) FROM teams_conversation c
		LEFT JOIN (SELECT portal, MAX(done_at) AS last_at FROM teams_outbox WHERE done_at >= $1 AND done_at <> 0 AND state = 'done' GROUP BY portal) o ON o.portal = c.portal
		WHERE c.channel_id <> '' AND EXISTS (SELECT 1 FROM teams_sent s WHERE s.portal = c.portal AND s.remote_id <> '')`, ms(since))
}

// IsUnfinished reports whether what a part belongs to is not finished, a message, a
// digest, or a change of a message that Teams has already: an edit posts parts, too.
// Somebody will find out then what became of it.
func (s *Sent) IsUnfinished(ctx context.Context, p SentPart) (bool, error) {
	n, err := one(ctx, s.base, "look for a part's row", dbutil.ScanSingleColumn[int64], `SELECT id FROM teams_outbox
		WHERE portal = $1 AND done_at = 0 AND state <> 'sent' AND (event_id = $2 OR digest = $2 OR target_event_id = $2 AND kind IN ('edit', 'delete')) LIMIT 1`, p.Portal, p.EventID)
	return n != nil, err
}

func (s *Sent) get(ctx context.Context, eventID string, part int) (*SentPart, error) {
	return one(ctx, s.base, "sent part", scanSent, `SELECT `+sentColumns+` FROM teams_sent WHERE event_id = $1 AND part = $2`, eventID, part)
}

func scanSent(row dbutil.Scannable) (p SentPart, err error) {
	var startedAt, sentAt, doubtAt int64
	err = row.Scan(&p.EventID, &p.Part, &p.Portal, &p.TeamID, &p.ChannelID, &p.RootID, &p.RemoteID, &p.AccountID, &p.Fingerprint,
		&p.State, &startedAt, &sentAt, &doubtAt, &p.Attachment, &p.ContentHash)
	p.StartedAt, p.SentAt, p.DoubtAt = fromMS(startedAt), fromMS(sentAt), fromMS(doubtAt)
	return p, err
}

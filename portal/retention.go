package portal

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"

	"teamsbridge/database"
)

// Policies for what was said while Teams was unavailable.
const (
	PolicyFull   = "full"   // all of it goes to Teams
	PolicyDigest = "digest" // it goes there in few posts
	PolicyNone   = "none"   // it stays in Matrix
)

// Reasons of failed rows that nothing is wrong with.
const (
	ReasonKept    = "kept in Matrix"
	ReasonTooOld  = "too old"
	ReasonDropped = "dropped by an administrator"
)

// What authors are told of such rows.
const (
	detailKept   = "it was written while Teams was unavailable and stays in Matrix"
	detailTooOld = "it waited too long for Teams and stays in Matrix"
	// DetailDropped is the detail of a dropped row.
	DetailDropped = "an administrator took it out of the queue"
)

// staysQuietly reports whether a row ended as its room wants it: what acts on it
// has nothing to do in Teams, and nobody need be told of that again.
func staysQuietly(row *database.OutboxRow) bool {
	return row.State == database.StateFailed && (row.Reason == ReasonKept || row.Reason == ReasonTooOld || row.Reason == ReasonDropped)
}

// ErrUndecided is what SenderOptions.Kept returns while nobody knows whether
// Teams can be written again; the message waits until that is known.
var ErrUndecided = errors.New("whether Teams can be written is not known yet")

// retention returns why a message that Teams has nothing of is to stay in
// Matrix, empty where it is to go. Of edits, reactions and deletions only those
// stay whose message does.
func (s *Sender) retention(ctx context.Context, row *database.OutboxRow) (reason, detail string, err error) {
	if row.Kind != database.KindMessage {
		return "", "", nil
	}
	policy, maxAge := s.o.Policy(row.Portal)
	if policy == PolicyNone {
		if kept, err := s.o.Kept(ctx, row); err != nil {
			return "", "", err
		} else if kept {
			return ReasonKept, detailKept, nil
		}
	}
	if tooOld, err := s.isTooOld(ctx, row, maxAge); err != nil || !tooOld {
		return "", "", err
	}
	return ReasonTooOld, detailTooOld, nil
}

// mayStay reports whether a message is to stay in Matrix, or may have to.
func (s *Sender) mayStay(ctx context.Context, row *database.OutboxRow) (bool, error) {
	reason, _, err := s.retention(ctx, row)
	if errors.Is(err, ErrUndecided) {
		return true, nil
	}
	return reason != "", err
}

// isTooOld reports whether a message has waited for longer than the limit, 0 for
// none. While its queue is held it never has; what was let go since the row was
// read is looked up.
func (s *Sender) isTooOld(ctx context.Context, row *database.OutboxRow, maxAge time.Duration) (bool, error) {
	over := func(r *database.OutboxRow) bool { return maxAge > 0 && s.o.Now().Sub(waitsSince(r)) > maxAge }
	if !over(row) || s.o.Held(row.Portal) {
		return false, nil
	}
	now, err := s.o.DB.Outbox.ByID(ctx, row.ID)
	return now != nil && over(now), err
}

// waitsSince returns since when a message waits for Teams: since it was said, or
// since its queue was let go that somebody held.
func waitsSince(row *database.OutboxRow) time.Time {
	if said := row.Said(); said.After(row.HeldUntil) {
		return said
	}
	return row.HeldUntil
}

// keep ends the message at the head of a queue that is to stay in Matrix. What
// Teams may have a part of is sent all the same.
func (s *Sender) keep(ctx context.Context, row *database.OutboxRow) (kept bool, err error) {
	if row.State != database.StateQueued {
		return false, nil
	}
	reason, detail, err := s.retention(ctx, row)
	if err != nil || reason == "" {
		return false, err
	}
	if kept, err = s.o.DB.Outbox.Drop(ctx, row.ID, reason, detail); err != nil || !kept {
		return false, err
	}
	zerolog.Ctx(ctx).Info().Str("portal", row.Portal).Str("event_id", row.EventID).Str("reason", reason).Msg("A Matrix event does not go to Teams")
	s.ended(row)
	s.o.Metrics.Count(MetricFailed, reason)
	s.teller.soon()
	return true, nil
}

// keepsMore reports whether a portal's lane is about to keep another message.
func (s *Sender) keepsMore(ctx context.Context, portal string) bool {
	row, err := s.o.DB.Outbox.Next(ctx, portal)
	if err != nil || row == nil || row.State != database.StateQueued {
		return err != nil
	}
	reason, _, err := s.retention(ctx, row)
	return err != nil || reason != ""
}

package portal

import (
	"context"
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

// retention returns why the message at the head of a queue is to stay in
// Matrix, empty where it is to go. Of edits, reactions and deletions only those
// stay whose message does.
func (s *Sender) retention(ctx context.Context, row *database.OutboxRow) (reason, detail string, err error) {
	if row.Kind != database.KindMessage || row.State != database.StateQueued {
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
	if maxAge > 0 && s.o.Now().Sub(age(row)) > maxAge && !s.o.Held(row.Portal) {
		return ReasonTooOld, detailTooOld, nil
	}
	return "", "", nil
}

// age returns when a message was written, but not later than it was queued: a
// person's clock may be wrong.
func age(row *database.OutboxRow) time.Time {
	if row.EventAt.IsZero() || row.EventAt.After(row.CreatedAt) {
		return row.CreatedAt
	}
	return row.EventAt
}

// keep ends the message at the head of a queue that is to stay in Matrix. What
// Teams may have a part of is sent all the same.
func (s *Sender) keep(ctx context.Context, row *database.OutboxRow) (kept bool, err error) {
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
	if err != nil || row == nil {
		return err != nil
	}
	reason, _, err := s.retention(ctx, row)
	return err != nil || reason != ""
}

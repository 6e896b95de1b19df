package portal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"teamsbridge/database"
)

const (
	// reasonOwnAccount is why a row is parked that only one account can write.
	reasonOwnAccount = "own sign-in needed"
	// reasonNewerEdit is why an edit failed that came too late.
	reasonNewerEdit = "a newer edit is in Teams"
	// signInBatch is how many parked rows are looked at in one sweep.
	signInBatch = 50
)

// sweepSignedIn looks for rows that were parked because the account that has to
// write them was not signed in, and is again. In their lane they would hold up
// everything behind them, maybe for ever, so they wait parked. They go on inside
// their lane, where no other row of the conversation is on its way.
func (s *Sender) sweepSignedIn(ctx context.Context) {
	rows, err := s.o.DB.Outbox.ParkedFor(ctx, reasonOwnAccount, time.Time{}, s.parkedAfter, signInBatch)
	if s.parkedAfter = 0; len(rows) == signInBatch {
		s.parkedAfter = rows[len(rows)-1].ID
	}
	for _, row := range rows {
		var account string
		if account, err = s.onlyAccount(ctx, row); err != nil {
			break
		}
		if _, err := s.o.Writers.Exactly(ctx, row, account); err != nil {
			continue // it may be some other trouble than its sign-in, which passes
		}
		s.goesOn(row)
	}
	if err != nil && ctx.Err() == nil {
		zerolog.Ctx(ctx).Err(err).Msg("Could not look for rows that waited for a sign-in, will try again")
	}
}

// onlyAccount returns the account that has to write a row.
func (s *Sender) onlyAccount(ctx context.Context, row *database.OutboxRow) (string, error) {
	about := row.TargetEventID
	if row.Kind == database.KindUnreact {
		r, err := s.o.DB.SentReactions.ByEvent(ctx, row.TargetEventID)
		if err != nil {
			return "", err
		} else if r != nil {
			return r.AccountID, nil
		}
		about = row.RootEventID
	}
	t, err := s.target(ctx, row, about)
	var f *failure
	switch {
	case errors.As(err, &f), errors.Is(err, errBehind):
		return row.SenderUserID, nil // its own turn tells
	case err != nil:
		return "", err
	case t.digest != nil:
		parts, err := s.o.DB.Sent.ByEvent(ctx, t.digest.DigestID)
		if err != nil || len(parts) == 0 {
			return row.SenderUserID, err
		}
		return parts[min(t.digest.Part, len(parts)-1)].AccountID, nil
	case row.Kind == database.KindUnreact:
		return row.SenderUserID, nil
	}
	return t.account, nil
}

// goesOn lets a parked row go on, in its lane.
func (s *Sender) goesOn(row *database.OutboxRow) {
	s.mu.Lock()
	s.returning[row.Portal] = append(s.returning[row.Portal], row)
	s.mu.Unlock()
	s.lanes.wake(row.Portal)
}

// takeReturning lets the rows go on of which a sweep has found that they can. One that fails stays parked until the next sweep.
func (s *Sender) takeReturning(ctx context.Context, portal string) {
	s.mu.Lock()
	rows := s.returning[portal]
	delete(s.returning, portal)
	s.mu.Unlock()
	for _, row := range rows {
		if err := s.bringBack(ctx, row); err != nil && ctx.Err() == nil {
			zerolog.Ctx(ctx).Err(err).Str("event_id", row.EventID).Msg("Could not let a parked row go on, will try again")
		}
	}
}

// bringBack queues a parked row again, and what was parked because of it.
func (s *Sender) bringBack(ctx context.Context, row *database.OutboxRow) error {
	back, err := BringBack(ctx, s.o.DB, row, time.Time{})
	s.showAgain(row.Portal)
	if err == nil && back && row.Kind == database.KindMessage {
		_, err = s.o.DB.Outbox.RequeueFollowers(ctx, row.EventID)
	}
	if err == nil && !back && row.Kind == database.KindEdit {
		s.o.Metrics.Count(MetricCoalesced, row.Kind)
	}
	return err
}

// BringBack queues a parked row again and reports whether it did. An edit that
// was overtaken by another one would put back what that has replaced: it fails.
// Where somebody wants the message to go, however old it is, since is when they
// said so: its age counts from then.
func BringBack(ctx context.Context, db *database.Database, row *database.OutboxRow, since time.Time) (bool, error) {
	back, err := db.Outbox.Requeue(ctx, row.ID, since)
	if err != nil || back || row.Kind != database.KindEdit {
		return back, err
	}
	overtaken, err := db.Outbox.HasNewerEdit(ctx, row)
	if err != nil {
		return false, fmt.Errorf("look for a newer edit: %w", err)
	} else if overtaken {
		return false, db.Outbox.Fail(ctx, row.ID, reasonNewerEdit, "")
	}
	return false, nil
}

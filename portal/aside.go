package portal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"teamsbridge/database"
)

// An edit replaces all that a post shows, and what somebody has added to it in Teams
// is kept only if it can be seen before. While Teams can be written but not read,
// such a change waits, because what it would take away nobody could bring back. The
// conversation does not: after a while the change steps aside, and messages pass it.
// They keep their own order, and so do the edits of one message.

// errUnread says that what a change would replace can't be seen.
var errUnread = errors.New("what is to be changed can't be read")

func unread(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errUnread, err)
}

// next returns the row of a portal that is to go next, and when the lane has to
// look again although that waits: the zero time where it need not. What has stepped
// aside goes first when it is due, because it is older than what it let pass.
func (s *Sender) next(ctx context.Context, portal string) (row *database.OutboxRow, look time.Time, err error) {
	head, err := s.o.DB.Outbox.Next(ctx, portal)
	if err != nil {
		return nil, look, err
	}
	aside, err := s.o.DB.Outbox.NextAside(ctx, portal)
	switch now := s.o.Now(); {
	case err != nil:
		return nil, look, err
	case head == nil:
		return aside, look, nil
	case aside == nil:
		return head, head.AsideAt, nil
	case aside.NextAt.After(now):
		return head, sooner(aside.NextAt, head.AsideAt), nil
	case head.NextAt.After(now):
		return aside, head.NextAt, nil
	default:
		return aside, now.Add(s.o.RetryMin), nil
	}
}

// waitAside notes that a row can't go because what it changes can't be read, and
// returns when the lane has to look again.
func (s *Sender) waitAside(ctx context.Context, row *database.OutboxRow, next time.Time) time.Time {
	now := s.o.Now()
	at, err := s.o.DB.Outbox.StepAside(ctx, row, now.Add(s.o.ReadPatience))
	if err == nil && !at.After(now) {
		err = s.o.DB.Outbox.RestAside(ctx, row.Portal, next)
	}
	if err != nil && ctx.Err() == nil {
		zerolog.Ctx(ctx).Err(err).Msg("Could not let others pass in the outbox")
	}
	return sooner(next, at)
}

// sooner returns the earlier one of two times, where zero is none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

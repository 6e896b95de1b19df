package portal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"teamsbridge/database"
	"teamsbridge/teams"
)

// maxArrived is how many messages that wait for their delivery are looked at for a
// post in doubt: those of the minutes around it.
const maxArrived = 1000

// settleAll finds out about the parts in doubt and returns those that Teams has.
func (s *Sender) settleAll(ctx context.Context, parts []database.SentPart) ([]database.SentPart, error) {
	out := parts[:0]
	for _, part := range parts {
		if part.State == database.StateSending {
			settled, err := s.settle(ctx, part)
			if err != nil {
				return nil, err
			} else if settled == nil {
				continue
			}
			part = *settled
		}
		out = append(out, part)
	}
	return out, nil
}

// settle finds out what became of a part in doubt, by reading Teams back until
// its eventual consistency can't hide the post any more. nil means that Teams
// does not have it; the part is forgotten then and may be posted again.
func (s *Sender) settle(ctx context.Context, part database.SentPart) (*database.SentPart, error) {
	since, err := s.doubtSince(ctx, part)
	if err != nil {
		return nil, err
	}
	var seen changedPosts
	timer := time.NewTimer(0)
	defer timer.Stop()
	for looks := 0; ; looks++ {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		// A look proves that the post is not there only if Teams had its time
		// before the look began: a long one takes longer than the window.
		late := s.o.Now().Sub(since) >= s.o.DoubtWindow
		found, lookErr := s.look(ctx, part, &seen, late)
		if found != nil {
			s.o.Metrics.Count(MetricDoubt, "found")
			return found, nil
		}
		switch {
		case lookErr == nil && late:
			return s.giveUp(ctx, part, seen)
		case late, teams.RetryAfter(lookErr) > s.nextLook(looks, since):
			s.o.Metrics.Count(MetricDoubt, "unknown")
			return nil, fmt.Errorf("%w: %w", errUnsettled, lookErr)
		case lookErr != nil:
			zerolog.Ctx(ctx).Debug().Err(lookErr).Msg("Could not look for a post")
		}
		timer.Reset(s.nextLook(looks, since))
	}
}

// nextLook is how long to wait until the next look for a post, after so many: a
// post nearly always shows in the first ones, and after a crash every busy channel
// looks, each time with a request that the readers then lack. The last one is when
// the window is over.
func (s *Sender) nextLook(looks int, since time.Time) time.Duration {
	wait := s.o.DoubtLook << min(looks, 3)
	if left := since.Add(s.o.DoubtWindow).Sub(s.o.Now()); left > 0 {
		wait = min(wait, left)
	}
	return wait
}

// doubtSince is when the doubt about a part began, for whichever process: a bridge
// that is restarted again and again would otherwise never come to the end of it.
func (s *Sender) doubtSince(ctx context.Context, part database.SentPart) (time.Time, error) {
	now := s.o.Now()
	if !part.DoubtAt.IsZero() {
		if part.DoubtAt.After(now) { // the clock was set back
			return now, nil
		}
		return part.DoubtAt, nil
	}
	return now, s.o.DB.Sent.Doubt(ctx, part.EventID, part.Part, now)
}

// Decided makes a portal's rows due and its lane look again, because an echo
// told what became of a part in doubt, or because an administrator says so.
func (s *Sender) Decided(ctx context.Context, portal string) {
	if err := s.retryNow(ctx, portal); err != nil && ctx.Err() == nil {
		zerolog.Ctx(ctx).Err(err).Str("portal", portal).Msg("Could not write to the outbox")
	}
	s.showAgain(portal)
	s.scouts.pass(portal)
	s.Wake(portal)
}

// current reads a part again: its echo may have told by now.
func (s *Sender) current(ctx context.Context, part database.SentPart) (*database.SentPart, error) {
	parts, err := s.o.DB.Sent.ByEvent(ctx, part.EventID)
	if err != nil {
		return nil, err
	}
	for i := range parts {
		if parts[i].Part == part.Part {
			return &parts[i], nil
		}
	}
	return nil, fmt.Errorf("part %d of %s is gone", part.Part, part.EventID)
}

// giveUp forgets a part that Teams does not have, unless its echo came first, or
// one of the changed posts is it. What has come from Teams and waits for its delivery
// is asked, too: a notification may know what no list shows yet.
func (s *Sender) giveUp(ctx context.Context, part database.SentPart, changed changedPosts) (*database.SentPart, error) {
	defer s.o.Echo.judge(part.Portal)()
	now, err := s.current(ctx, part)
	if err != nil {
		return nil, err
	} else if now.State != database.StateSending {
		return now, nil
	}
	if found, err := s.takeArrived(ctx, part, &changed); err != nil || found != nil {
		return found, err
	}
	if found, err := s.takeChanged(ctx, part, changed); err != nil || found != nil {
		return found, err
	}
	if err := s.noteLatePost(ctx, part); err != nil {
		return nil, err
	}
	s.o.Metrics.Count(MetricDoubt, "absent")
	return nil, s.o.DB.Sent.Abort(ctx, part.EventID, part.Part)
}

// takeArrived looks for a part in what has come from Teams and was not delivered
// yet, and notes what may be it, if somebody has changed it.
func (s *Sender) takeArrived(ctx context.Context, part database.SentPart, changed *changedPosts) (*database.SentPart, error) {
	skew := s.o.Echo.skew
	rows, err := s.o.DB.Inbox.Undelivered(ctx, part.Portal, part.StartedAt.Add(-skew), part.StartedAt.Add(lateFor+skew), maxArrived)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		if row.Unreadable != nil {
			continue
		}
		m, err := teams.DecodeStored(row.Payload)
		if err != nil {
			continue // it is parked in its turn
		}
		switch {
		case s.o.Echo.matches(&part, m):
			found, err := s.confirmAs(ctx, part, m)
			if found != nil {
				s.o.Metrics.Count(MetricDoubt, "found")
			}
			if err != nil || found != nil {
				return found, err
			}
		case s.o.Echo.isChanged(&part, m):
			changed.add(m)
		}
	}
	return nil, nil
}

// take confirms a part as a message, if it can be that and is nobody else's.
func (s *Sender) take(ctx context.Context, part database.SentPart, m teams.Message) (*database.SentPart, error) {
	if !s.o.Echo.matches(&part, m) {
		return nil, nil
	}
	defer s.o.Echo.judge(part.Portal)()
	return s.confirmAs(ctx, part, m)
}

// confirmAs says that a part is a message, unless that is somebody else's; only
// who judges may call it.
func (s *Sender) confirmAs(ctx context.Context, part database.SentPart, m teams.Message) (*database.SentPart, error) {
	if news, err := s.isNews(ctx, part.Portal, m); err != nil || news {
		return nil, err
	}
	err := s.o.DB.Sent.Confirm(ctx, part.EventID, part.Part, m.ID, part.RootID)
	if errors.Is(err, database.ErrClaimed) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	part.RemoteID, part.State = m.ID, database.StateSent
	return &part, nil
}

// isNews reports whether a message was delivered as news, or is about to be: it was
// written in Teams.
func (s *Sender) isNews(ctx context.Context, portal string, m teams.Message) (bool, error) {
	if s.o.Echo.isNews(portal, m.ID) {
		return true, nil
	}
	known, err := s.o.Bridge.DB.Message.GetFirstPartByID(ctx, "", MessageID(m.Channel, m.ID))
	if err != nil {
		return false, fmt.Errorf("look for the message's row: %w", err)
	}
	return known != nil && !metaOf(known).Outbound, nil
}

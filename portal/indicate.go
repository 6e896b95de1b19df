package portal

import (
	"context"
	"time"

	"teamsbridge/database"
)

// indicate shows rows of a portal as queued that have waited for a while, marks
// them where they can't go, and returns when the lane has to look again at the
// latest.
func (s *Sender) indicate(ctx context.Context, portal string, next time.Time) time.Time {
	next, waits := s.showQueued(ctx, portal, next)
	if waits {
		s.marks.wait(portal)
	}
	return next
}

// showQueued sends the status of rows of a portal that have waited for a while,
// and reports whether there are any that it had not shown before.
func (s *Sender) showQueued(ctx context.Context, portal string, next time.Time) (look time.Time, waits bool) {
	rows, err := s.o.DB.Outbox.Queue(ctx, portal, 200)
	if err != nil {
		return next, false
	}
	now := s.o.Now()
	for _, row := range rows {
		if row.Kind != database.KindMessage || row.State == database.StateSent {
			continue
		}
		due := row.CreatedAt.Add(s.o.IndicateAfter)
		s.mu.Lock()
		_, shown := s.shown[row.ID]
		if !shown && !due.After(now) {
			s.shown[row.ID] = struct{}{}
		}
		s.mu.Unlock()
		switch {
		case shown:
		case due.After(now):
			if due.Before(next) {
				next = due
			}
		default:
			waits = true
			s.status.pending(ctx, row, errIsQueued)
		}
	}
	return next, waits
}

// indicateBehind looks over a portal whose messages go, but late, because many
// are in front of them: what was said meanwhile is to be shown as queued, too. It
// gets no marks: they would cost the homeserver two events a message in a burst
// that only keeps to Graph's limits.
func (s *Sender) indicateBehind(ctx context.Context, sent *database.OutboxRow) {
	now := s.o.Now()
	if now.Sub(sent.CreatedAt) < s.o.IndicateAfter {
		return
	}
	s.mu.Lock()
	recently := now.Sub(s.indicated[sent.Portal]) < s.o.IndicateAfter
	if !recently {
		s.indicated[sent.Portal] = now
	}
	s.mu.Unlock()
	if !recently {
		s.showQueued(ctx, sent.Portal, now)
	}
}

// caughtUp forgets when a portal that has nothing waiting was looked over.
func (s *Sender) caughtUp(portal string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.indicated, portal)
}

// ended takes a row that waits no more from those that are shown as queued.
func (s *Sender) ended(row *database.OutboxRow) {
	s.mu.Lock()
	delete(s.shown, row.ID)
	s.mu.Unlock()
	s.marks.ended(row.Portal)
}

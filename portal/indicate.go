package portal

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"teamsbridge/database"
)

// indicateBatch is how many messages are looked at, and shown as queued, in one go.
const indicateBatch = 200

// indicate shows rows of a portal as queued that have waited for a while, marks
// them where they can't go, and returns when the lane has to look again at the
// latest.
func (s *Sender) indicate(ctx context.Context, portal string, next time.Time) time.Time {
	s.mu.Lock()
	_, known := s.shownTo[portal]
	s.mu.Unlock()
	look, waits := s.showQueued(ctx, portal)
	if waits || !known { // what a process before has shown may have no mark yet
		s.marks.wait(portal)
	}
	if !look.IsZero() && look.Before(next) {
		return look
	}
	return next
}

// showQueued sends the status of the next rows of a portal that have waited for a
// while and of which that was not said yet, and notes that it was. It returns when
// there is more to show, the zero time where nothing is known of that, and whether
// it has shown any. However many wait, each is shown once.
func (s *Sender) showQueued(ctx context.Context, portal string) (look time.Time, waits bool) {
	s.mu.Lock()
	after := s.shownTo[portal]
	s.mu.Unlock()
	rows, err := s.o.DB.Outbox.Unshown(ctx, portal, after, indicateBatch)
	if err != nil {
		if ctx.Err() == nil {
			zerolog.Ctx(ctx).Err(err).Str("portal", portal).Msg("Could not look for what is to be shown as queued, will try again")
		}
		return time.Time{}, false
	}
	now := s.o.Now()
	var shown []int64
	for _, row := range rows {
		if due := row.CreatedAt.Add(s.o.IndicateAfter); due.After(now) {
			look = due
			break
		}
		s.status.pending(ctx, row, errIsQueued)
		shown = append(shown, row.ID)
	}
	if err = s.o.DB.Outbox.Shown(ctx, shown); err != nil {
		if ctx.Err() == nil {
			zerolog.Ctx(ctx).Err(err).Str("portal", portal).Msg("Could not note what is shown as queued")
		}
		return look, true
	}
	if len(shown) > 0 {
		after = shown[len(shown)-1]
	}
	s.mu.Lock()
	s.shownTo[portal] = after
	s.mu.Unlock()
	if len(shown) == indicateBatch {
		look = now
	}
	return look, len(shown) > 0
}

// showAgain makes what comes back be shown as queued, wherever its place is.
func (s *Sender) showAgain(portal string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.shownTo, portal)
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
	recently := now.Before(s.indicated[sent.Portal])
	if !recently {
		s.indicated[sent.Portal] = now.Add(s.o.IndicateAfter)
	}
	s.mu.Unlock()
	if recently {
		return
	}
	if look, _ := s.showQueued(ctx, sent.Portal); !look.IsZero() && !look.After(now) {
		// There is more: behind the next row that goes.
		s.mu.Lock()
		s.indicated[sent.Portal] = now
		s.mu.Unlock()
	}
}

// caughtUp forgets when a portal that has nothing waiting was looked over.
func (s *Sender) caughtUp(portal string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.indicated, portal)
	delete(s.shownTo, portal)
}

// ended tells that a row waits no more.
func (s *Sender) ended(row *database.OutboxRow) { s.marks.ended(row.Portal) }

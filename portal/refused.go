package portal

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"teamsbridge/database"
	"teamsbridge/teams"
)

// A 403 may mean three things: that this one change may not be made, that nobody
// may write in this conversation (the relay account is no member of the team), or
// that a permission was taken away from the whole bridge, maybe for an hour. The
// last is an outage, in which everything waits; but it shows only after several
// conversations have refused. So messages wait a little before they count as
// refused, and what was parked all the same comes back once it is known.

// refusalMemory is how far apart the refusals of a conversation may be and still
// count together.
const refusalMemory = time.Hour

// reasonRefused is why a row is parked that may not be written.
var reasonRefused = teams.KindPermission.String()

// refusals are the conversations in which nobody may write, as far as is known.
type refusals struct {
	mu sync.Mutex
	of map[string]refusedTimes
}

type refusedTimes struct{ first, last time.Time }

// since notes a refusal and returns since when the conversation refuses.
func (r *refusals) since(portal string, now time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = map[string]refusedTimes{}
	}
	have := r.of[portal]
	if have.first.IsZero() || now.Sub(have.last) > refusalMemory {
		have.first = now
	}
	have.last = now
	r.of[portal] = have
	return have.first
}

// over notes that a message went through.
func (r *refusals) over(portal string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.of, portal)
}

// judge decides about a row. What a 403 means depends on more than the row.
func (s *Sender) judge(row *database.OutboxRow, err error) verdict {
	v := judge(err, row.Attempts)
	if !v.final || v.reason != reasonRefused {
		return v
	}
	now := s.o.Now()
	switch {
	case !s.o.Revoked().IsZero():
		v.final = false
	case row.Kind == database.KindMessage:
		v.final = now.Sub(s.refusals.since(row.Portal, now)) >= s.o.RefusalPatience
	}
	return v
}

// sweepRefused brings back what was parked as refused since a permission was
// taken away from the whole bridge: it waits for that like all that came later,
// and goes before that.
func (s *Sender) sweepRefused(ctx context.Context) {
	since := s.o.Revoked()
	if since.IsZero() {
		s.refusedAfter = 0
		return
	}
	rows, err := s.o.DB.Outbox.ParkedFor(ctx, reasonRefused, s.refusedAfter, signInBatch)
	if err != nil {
		if ctx.Err() == nil {
			zerolog.Ctx(ctx).Err(err).Msg("Could not look for rows that were refused, will try again")
		}
		return
	}
	if s.refusedAfter = 0; len(rows) == signInBatch {
		s.refusedAfter = rows[len(rows)-1].ID
	}
	for _, row := range rows {
		if !row.DoneAt.Before(since) {
			s.goesOn(row)
		}
	}
}

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

// revokedMemory is how long after a permission came back a 403 may still be of
// that: a token that was given before it lasts so long.
const revokedMemory = time.Hour

// refusals is what is known of who may not write.
type refusals struct {
	mu sync.Mutex
	// of are the conversations in which nobody may.
	of map[string]refusedTimes
	// whole is since when the whole bridge may not, wholeSeen when that was last so.
	whole, wholeSeen time.Time
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

// over notes that it is not the conversation that refuses, or not any more.
func (r *refusals) over(portal string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.of, portal)
}

// revoked returns since when the whole bridge may not write, or might not until a
// short time ago; the zero time where that is not so.
func (s *Sender) revoked() time.Time {
	since, now, r := s.o.Revoked(), s.o.Now(), &s.refusals
	r.mu.Lock()
	defer r.mu.Unlock()
	if !since.IsZero() {
		if r.whole.IsZero() || since.Before(r.whole) || now.Sub(r.wholeSeen) > revokedMemory {
			r.whole = since
		}
		r.wholeSeen = now
	}
	if now.Sub(r.wholeSeen) > revokedMemory {
		return time.Time{}
	}
	return r.whole
}

// judge decides about a row. What a 403 means depends on more than the row.
func (s *Sender) judge(row *database.OutboxRow, err error) verdict {
	v := judge(err, row.Attempts)
	if !v.final || v.reason != reasonRefused {
		return v
	}
	now := s.o.Now()
	switch {
	case !s.revoked().IsZero():
		s.refusals.over(row.Portal)
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
	since := s.revoked()
	if since.IsZero() {
		return
	}
	for after, more := int64(0), true; more; {
		rows, err := s.o.DB.Outbox.ParkedFor(ctx, reasonRefused, since, after, signInBatch)
		if err != nil {
			if ctx.Err() == nil {
				zerolog.Ctx(ctx).Err(err).Msg("Could not look for rows that were refused, will try again")
			}
			return
		}
		for _, row := range rows {
			after = row.ID
			s.goesOn(row)
		}
		more = len(rows) == signInBatch
	}
}

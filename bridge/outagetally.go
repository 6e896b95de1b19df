package bridge

import (
	"context"
	"time"

	"maunium.net/go/mautrix/bridgev2/networkid"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
)

// tally is what became of what was written in an outage.
type tally struct {
	// delivered messages are in Teams, those taken back were redacted before,
	// waiting is everything that has not come to an end.
	delivered, takenBack, waiting int
	// refused are the messages that are not in Teams, by reason.
	refused map[string]int
	// changes counts the edits, reactions and deletions that are not in Teams.
	changes int
	// lastDone is when the last of it came to an end.
	lastDone time.Time
}

// messages is how many messages there were.
func (t tally) messages() int {
	n := t.delivered + t.takenBack + t.waiting
	for _, refused := range t.refused {
		n += refused
	}
	return n
}

func (t *tally) add(c database.RangeCount) {
	t.lastDone = latest(t.lastDone, c.LastDone)
	message := c.Kind == database.KindMessage
	switch c.State {
	case database.StateQueued, database.StateSending:
		t.waiting += c.Count
	case database.StateSent, database.StateDone:
		if message {
			t.delivered += c.Count
		}
	case database.StateCancelled:
		if message {
			t.takenBack += c.Count
		}
	default:
		if !message {
			t.changes += c.Count
			return
		}
		if t.refused == nil {
			t.refused = map[string]int{}
		}
		t.refused[c.Reason] += c.Count
	}
}

// tallies are tallies by portal.
type tallies map[string]tally

// total adds them up.
func (t tallies) total() tally {
	sum := tally{refused: map[string]int{}}
	for _, one := range t {
		sum.delivered += one.delivered
		sum.takenBack += one.takenBack
		sum.waiting += one.waiting
		sum.changes += one.changes
		sum.lastDone = latest(sum.lastDone, one.lastDone)
		for reason, n := range one.refused {
			sum.refused[reason] += n
		}
	}
	return sum
}

// slowest returns the portal whose queue was empty last.
func (t tallies) slowest() (portalID string, at time.Time) {
	for id, one := range t {
		if one.lastDone.After(at) || (one.lastDone.Equal(at) && !at.IsZero() && id < portalID) {
			portalID, at = id, one.lastDone
		}
	}
	return portalID, at
}

// tallies counts what became of the rows of an outage.
func (o *outages) tallies(ctx context.Context, rec *database.Outage) (tallies, error) {
	out := tallies{}
	if !rec.Ended.IsZero() && rec.LastRow < rec.FirstRow {
		return out, nil // nothing was written
	}
	counts, err := o.db.Outbox.RangeCounts(ctx, "", rec.FirstRow, rec.LastRow)
	if err != nil {
		return nil, err
	}
	for _, c := range counts {
		if covers(rec, c.Portal) {
			one := out[c.Portal]
			one.add(c)
			out[c.Portal] = one
		}
	}
	return out, nil
}

// readTimes is how each scope is read.
type readTimes map[teams.Scope]teams.ScopeStatus

// of returns when a portal was read last, and whether nobody can read it.
func (r readTimes) of(portalID string) (at time.Time, unreadable bool) {
	ref, ok := portal.ParsePortal(networkid.PortalID(portalID))
	if !ok {
		return at, true
	}
	scope, ok := r[teams.Scope(ref)]
	if !ok {
		scope, ok = r[teams.Scope{TeamID: ref.TeamID}]
	}
	return scope.LastRead, ok && scope.Reader == ""
}

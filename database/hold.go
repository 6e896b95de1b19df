package database

import (
	"context"
	"strings"
	"time"

	"go.mau.fi/util/dbutil"
)

// Kinds of holds.
const (
	HoldPause  = "pause"  // an administrator paused a queue
	HoldOutage = "outage" // an administrator declared an outage
	HoldDrill  = "drill"  // an outage is being rehearsed
)

// Hold keeps what people write in Matrix from going to Teams.
type Hold struct {
	// Scope is the id of a portal (a channel, or a team with all its channels),
	// or empty for everything.
	Scope, Kind string
	Reason, By  string
	// Began is when it was set, Until when it ends by itself; zero is never.
	Began, Until time.Time
}

// Covers reports whether the hold is about a channel's portal.
func (h Hold) Covers(portal string) bool {
	if h.Scope == "" || h.Scope == portal {
		return true
	}
	team, isTeam := strings.CutPrefix(h.Scope, "t:")
	return isTeam && strings.HasPrefix(portal, "c:"+team+"/")
}

// Holds keeps what is held; there is at most one of a kind for a scope.
type Holds struct{ base }

// Set stores a hold; the last one of its kind and scope counts.
func (s *Holds) Set(ctx context.Context, h Hold) error {
	_, err := s.exec(ctx, "store hold", `
		INSERT INTO teams_hold (scope, kind, reason, set_by, began_at, until_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (scope, kind) DO UPDATE SET reason = excluded.reason, set_by = excluded.set_by,
			began_at = excluded.began_at, until_at = excluded.until_at`,
		h.Scope, h.Kind, h.Reason, h.By, ms(s.orNow(h.Began)), ms(h.Until))
	return err
}

// Clear takes a hold away that was over at a time; ok is false where there was
// none. What waits in a queue that somebody held, for whatever but an outage,
// counts its age from then.
func (s *Holds) Clear(ctx context.Context, scope, kind string, at time.Time) (ok bool, err error) {
	err = s.inTxn(ctx, func(ctx context.Context) error {
		n, err := s.exec(ctx, "clear hold", `DELETE FROM teams_hold WHERE scope = $1 AND kind = $2`, scope, kind)
		if ok = n > 0; err != nil || !ok || kind == HoldOutage {
			return err
		}
		const letGo = `UPDATE teams_outbox SET held_until = $1 WHERE done_at = 0 AND state <> 'sent' AND held_until < $1`
		team, isTeam := strings.CutPrefix(scope, "t:")
		switch {
		case scope == "":
			_, err = s.exec(ctx, "let go", letGo, ms(at))
		case isTeam:
			_, err = s.exec(ctx, "let go", letGo+` AND substr(portal, 1, length($2)) = $2`, ms(at), "c:"+team+"/")
		default:
			_, err = s.exec(ctx, "let go", letGo+` AND portal = $2`, ms(at), scope)
		}
		return err
	})
	return ok && err == nil, err
}

// All returns every hold, the oldest first.
func (s *Holds) All(ctx context.Context) ([]Hold, error) {
	return list(ctx, s.base, "list holds", scanHold,
		`SELECT scope, kind, reason, set_by, began_at, until_at FROM teams_hold ORDER BY began_at, scope, kind`)
}

func scanHold(row dbutil.Scannable) (h Hold, err error) {
	var began, until int64
	err = row.Scan(&h.Scope, &h.Kind, &h.Reason, &h.By, &began, &until)
	h.Began, h.Until = fromMS(began), fromMS(until)
	return h, err
}

package database

import (
	"context"
	"slices"
	"strings"
	"time"

	"go.mau.fi/util/dbutil"
)

// DrillMoment is one of the two times at which a drill's rooms are looked into.
type DrillMoment string

// The moments.
const (
	DrillBegan DrillMoment = "began"
	DrillEnded DrillMoment = "ended"
)

// How somebody was at a look into a room. Empty is that they were not there, and
// that nobody expects them.
const (
	PlaceIn        = "in"
	PlaceInvited   = "invited"    // and has not joined
	PlaceLeft      = "left"       // of their own will
	PlaceGone      = "gone"       // was put there and is not there any more
	PlaceNever     = "never"      // has an account and was never put there
	PlaceNoAccount = "no_account" // has no Matrix account
)

// DrillLook says how far the look into a drill's rooms is.
type DrillLook struct {
	OutageID int64
	Moment   DrillMoment
	// Rooms is how many there are, whether or not they can all be looked into.
	Rooms int
	// Started and Done are when it was begun and ended; zero is not yet.
	Started, Done time.Time
}

// DrillPlace is somebody who was in a room at a look, or should have been.
type DrillPlace struct {
	Portal string
	// Who is the person's id in the directory, or the account of somebody who is
	// not of the directory: a stranger.
	Who      string
	Stranger bool
	Name     string
	// State is how they were, Why says more of one who was missing.
	State, Why string
}

// DrillRoom is a room that was looked into.
type DrillRoom struct {
	Portal string
	// Unasked means that Teams did not say at the last look who its members are.
	Unasked bool
	// Written is how many messages were written in it in the drill.
	Written int
}

// Drills keeps who was in which room when a drill began and when it ended.
type Drills struct{ base }

// BeginLook stores that a look was begun, unless it was before.
func (s *Drills) BeginLook(ctx context.Context, l DrillLook) error {
	_, err := s.exec(ctx, "begin look", `INSERT INTO teams_drill_look (outage_id, look, rooms, started_at, done_at) VALUES ($1, $2, $3, $4, 0)
		ON CONFLICT (outage_id, look) DO NOTHING`, l.OutageID, string(l.Moment), l.Rooms, ms(s.orNow(l.Started)))
	return err
}

// EndLook stores that a look is over.
func (s *Drills) EndLook(ctx context.Context, outageID int64, moment DrillMoment) error {
	_, err := s.exec(ctx, "end look", `UPDATE teams_drill_look SET done_at = $3 WHERE outage_id = $1 AND look = $2`, outageID, string(moment), ms(s.now()))
	return err
}

// Look returns one of a drill's looks, nil where it was not begun.
func (s *Drills) Look(ctx context.Context, outageID int64, moment DrillMoment) (*DrillLook, error) {
	return one(ctx, s.base, "look of drill", scanDrillLook,
		`SELECT outage_id, look, rooms, started_at, done_at FROM teams_drill_look WHERE outage_id = $1 AND look = $2`, outageID, string(moment))
}

// Looked returns the rooms that were looked into.
func (s *Drills) Looked(ctx context.Context, outageID int64, moment DrillMoment) (map[string]bool, error) {
	portals, err := list(ctx, s.base, "rooms of look", dbutil.ScanSingleColumn[string],
		`SELECT portal FROM teams_drill_room WHERE outage_id = $1 AND `+string(moment)+`_at <> 0`, outageID)
	out := make(map[string]bool, len(portals))
	for _, portal := range portals {
		out[portal] = true
	}
	return out, err
}

// People is how many rows of people a drill has.
func (s *Drills) People(ctx context.Context, outageID int64) (int, error) {
	n, err := one(ctx, s.base, "count places", dbutil.ScanSingleColumn[int], `SELECT COUNT(*) FROM teams_drill_place WHERE outage_id = $1`, outageID)
	if err != nil || n == nil {
		return 0, err
	}
	return *n, nil
}

// StoreRoom stores what a look into a room has found. That it was looked into is
// stored last, so a look that was cut off is made again, and what it has stored
// is gone by then. Where Teams did not say who the members are, whoever was
// missing at the start and is not seen is taken to be missing still.
func (s *Drills) StoreRoom(ctx context.Context, outageID int64, moment DrillMoment, room DrillRoom, places []DrillPlace) error {
	forget := `DELETE FROM teams_drill_place WHERE outage_id = $1 AND portal = $2`
	if moment == DrillEnded {
		forget = `UPDATE teams_drill_place SET ended = '' WHERE outage_id = $1 AND portal = $2`
		if room.Unasked {
			forget = `UPDATE teams_drill_place SET ended = CASE WHEN began <> 'in' THEN began ELSE '' END WHERE outage_id = $1 AND portal = $2`
		}
	}
	if _, err := s.exec(ctx, "forget a look into a room", forget, outageID, room.Portal); err != nil {
		return err
	}
	column, other := "began", "ended"
	if moment == DrillEnded {
		column, other = other, column
	}
	for chunk := range slices.Chunk(places, batchRows) {
		var rows rowList
		for _, p := range chunk {
			rows.add(outageID, room.Portal, p.Who, flag(p.Stranger), p.Name, p.State, "", p.Why)
		}
		if _, err := s.exec(ctx, "store places", `INSERT INTO teams_drill_place (outage_id, portal, who, stranger, name, `+column+`, `+other+`, why) VALUES `+rows.sql()+`
			ON CONFLICT (outage_id, portal, who) DO UPDATE SET stranger = excluded.stranger, name = excluded.name, why = excluded.why,
				`+column+` = excluded.`+column, rows.args...); err != nil {
			return err
		}
	}
	_, err := s.exec(ctx, "store a look into a room", `INSERT INTO teams_drill_room (outage_id, portal, `+column+`_at, `+other+`_at, unasked, written)
		VALUES ($1, $2, $3, 0, $4, $5)
		ON CONFLICT (outage_id, portal) DO UPDATE SET `+column+`_at = excluded.`+column+`_at, unasked = excluded.unasked, written = excluded.written`,
		outageID, room.Portal, ms(s.now()), flag(room.Unasked), room.Written)
	return err
}

// Busy returns how many messages each portal has had from either side since a
// time. It reads both queues.
func (s *Drills) Busy(ctx context.Context, since time.Time) (map[string]int, error) {
	type count struct {
		portal string
		n      int
	}
	counts, err := list(ctx, s.base, "busy portals", func(row dbutil.Scannable) (c count, err error) {
		err = row.Scan(&c.portal, &c.n)
		return c, err
	}, `SELECT portal, COUNT(*) FROM (
			SELECT portal FROM teams_inbox WHERE created_at >= $1 UNION ALL SELECT portal FROM teams_outbox WHERE created_at >= $1 AND kind = 'message'
		) said GROUP BY portal`, ms(since))
	out := make(map[string]int, len(counts))
	for _, c := range counts {
		out[c.portal] = c.n
	}
	return out, err
}

// Purge forgets who was in the rooms of all drills but the last ones.
func (s *Drills) Purge(ctx context.Context, keep int) error {
	return s.inTxn(ctx, func(ctx context.Context) error {
		for _, table := range []string{"teams_drill_place", "teams_drill_room", "teams_drill_look"} {
			if _, err := s.exec(ctx, "purge old drills", `DELETE FROM `+table+` WHERE outage_id NOT IN (
				SELECT id FROM teams_outage WHERE kind = 'drill' ORDER BY id DESC LIMIT $1)`, keep); err != nil {
				return err
			}
		}
		return nil
	})
}

// flag is a truth as it is stored.
func flag(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

// within is a condition that a column of portals is in a scope, as of a Hold,
// which takes one argument.
func within(column, mark, scope string) (condition, arg string) {
	if team, isTeam := strings.CutPrefix(scope, "t:"); isTeam {
		scope = "c:" + team + "/"
	} else if scope != "" {
		return column + " = " + mark, scope
	}
	return "substr(" + column + ", 1, length(" + mark + ")) = " + mark, scope
}

func scanDrillLook(row dbutil.Scannable) (l DrillLook, err error) {
	var started, done int64
	err = row.Scan(&l.OutageID, &l.Moment, &l.Rooms, &started, &done)
	l.Started, l.Done = fromMS(started), fromMS(done)
	return l, err
}

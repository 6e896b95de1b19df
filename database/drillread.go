package database

import (
	"context"
	"time"

	"go.mau.fi/util/dbutil"
)

const (
	// drillState is how somebody was at the last look into a room.
	drillState = `CASE WHEN r.ended_at <> 0 THEN p.ended ELSE p.began END`
	// drillMissing is who should have been there then and was not.
	drillMissing = `p.stranger = 0 AND ` + drillState + ` NOT IN ('', 'in')`
	drillTwice   = `p.stranger = 0 AND r.began_at <> 0 AND r.ended_at <> 0`
	drillSums    = `COALESCE(SUM(CASE WHEN p.stranger = 0 AND p.began = 'in' THEN 1 ELSE 0 END), 0),
		COALESCE(SUM(CASE WHEN p.stranger = 0 AND p.ended = 'in' THEN 1 ELSE 0 END), 0),
		COALESCE(SUM(CASE WHEN ` + drillTwice + ` AND p.began <> 'in' AND p.ended = 'in' THEN 1 ELSE 0 END), 0),
		COALESCE(SUM(CASE WHEN ` + drillTwice + ` AND p.began = 'in' AND p.ended <> 'in' THEN 1 ELSE 0 END), 0),
		COALESCE(SUM(CASE WHEN ` + drillMissing + ` THEN 1 ELSE 0 END), 0),
		COALESCE(SUM(CASE WHEN p.stranger = 1 AND (p.began = 'in' OR p.ended = 'in') THEN 1 ELSE 0 END), 0)`
	drillPlaces = ` FROM teams_drill_room r JOIN teams_drill_place p ON p.outage_id = r.outage_id AND p.portal = r.portal WHERE r.outage_id = $1 AND `
	drillWasIn  = ` AND (p.began = 'in' OR p.ended = 'in')`
)

// DrillCounts counts people, once per room. Came and Left are those of rooms that
// were looked into twice, Missing is as of the last look. Strangers are in none but
// their own.
type DrillCounts struct {
	Began, Ended, Came, Left, Missing, Strangers int
}

// DrillRoomReport is a room with when it was looked into, zero where it was not,
// and how many were in it.
type DrillRoomReport struct {
	DrillRoom
	BeganAt, EndedAt time.Time
	People           DrillCounts
}

// DrillPerson is how somebody was at the last look. Came and Left are false where
// their room was looked into once.
type DrillPerson struct {
	DrillPlace
	Came, Left bool
}

// DrillTotals adds up what was found in the rooms of a scope.
type DrillTotals struct {
	// Rooms were looked into at either time, RoomsBegan and RoomsEnded at one.
	Rooms, RoomsBegan, RoomsEnded int
	// Unasked are those of which Teams did not say who their members are.
	Unasked int
	People  DrillCounts
}

// Absent is a person who was missing in rooms, for the same reason in each.
type Absent struct {
	Who, Name, State, Why string
	// Rooms is in how many, Portal one of them.
	Rooms  int
	Portal string
}

// Totals adds up what was found in the rooms of a scope, as of a Hold.
func (s *Drills) Totals(ctx context.Context, outageID int64, scope string) (t DrillTotals, err error) {
	where, arg := within("portal", "$2", scope)
	rooms, err := one(ctx, s.base, "count rooms of drill", func(row dbutil.Scannable) (t DrillTotals, err error) {
		err = row.Scan(&t.Rooms, &t.RoomsBegan, &t.RoomsEnded, &t.Unasked)
		return t, err
	}, `SELECT COUNT(*), COALESCE(SUM(CASE WHEN began_at <> 0 THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE WHEN ended_at <> 0 THEN 1 ELSE 0 END), 0),
		COALESCE(SUM(unasked), 0) FROM teams_drill_room WHERE outage_id = $1 AND `+where, outageID, arg)
	if err != nil || rooms == nil {
		return t, err
	}
	where, arg = within("r.portal", "$2", scope)
	counts, err := one(ctx, s.base, "count people of drill", scanDrillCounts, `SELECT `+drillSums+drillPlaces+where, outageID, arg)
	if err != nil || counts == nil {
		return t, err
	}
	rooms.People = *counts
	return *rooms, nil
}

// Rooms returns the rooms of a scope, those in which most was written first.
func (s *Drills) Rooms(ctx context.Context, outageID int64, scope string, limit, offset int) ([]DrillRoomReport, error) {
	where, arg := within("r.portal", "$2", scope)
	return list(ctx, s.base, "list rooms of drill", scanDrillRoom, `SELECT r.portal, r.began_at, r.ended_at, r.unasked, r.written, `+drillSums+`
		FROM teams_drill_room r LEFT JOIN teams_drill_place p ON p.outage_id = r.outage_id AND p.portal = r.portal WHERE r.outage_id = $1 AND `+where+`
		GROUP BY r.portal, r.began_at, r.ended_at, r.unasked, r.written ORDER BY r.written DESC, r.portal LIMIT $3 OFFSET $4`, outageID, arg, limit, offset)
}

// Present returns who was in the rooms of a scope at either look, room by room in
// the order of Rooms, and how many there are in all.
func (s *Drills) Present(ctx context.Context, outageID int64, scope string, limit, offset int) (some []DrillPerson, all int, err error) {
	where, arg := within("r.portal", "$2", scope)
	if all, err = s.countPlaces(ctx, where+drillWasIn, outageID, arg); err != nil {
		return nil, 0, err
	}
	some, err = list(ctx, s.base, "list people of drill", scanDrillPerson, drillPlaceColumns+drillPlaces+where+drillWasIn+
		` ORDER BY r.written DESC, r.portal, p.stranger, p.name, p.who LIMIT $3 OFFSET $4`, outageID, arg, limit, offset)
	return some, all, err
}

// Missing returns who was missing in the rooms of a scope at the last look, person
// by person, and how many places that are in all.
func (s *Drills) Missing(ctx context.Context, outageID int64, scope string, limit, offset int) (some []DrillPerson, all int, err error) {
	where, arg := within("r.portal", "$2", scope)
	where += ` AND ` + drillMissing
	if all, err = s.countPlaces(ctx, where, outageID, arg); err != nil {
		return nil, 0, err
	}
	some, err = list(ctx, s.base, "list missing people of drill", scanDrillPerson, drillPlaceColumns+drillPlaces+where+
		` ORDER BY p.name, p.who, p.portal LIMIT $3 OFFSET $4`, outageID, arg, limit, offset)
	return some, all, err
}

// Absent returns the people who were missing in most rooms, and how many there are.
func (s *Drills) Absent(ctx context.Context, outageID int64, limit int) (some []Absent, all int, err error) {
	const groups = drillPlaces + drillMissing + ` GROUP BY p.who, p.why, ` + drillState
	n, err := one(ctx, s.base, "count absent people of drill", dbutil.ScanSingleColumn[int], `SELECT COUNT(*) FROM (SELECT p.who`+groups+`) absent`, outageID)
	if err != nil || n == nil {
		return nil, 0, err
	}
	some, err = list(ctx, s.base, "list absent people of drill", func(row dbutil.Scannable) (a Absent, err error) {
		err = row.Scan(&a.Who, &a.Name, &a.State, &a.Why, &a.Rooms, &a.Portal)
		return a, err
	}, `SELECT p.who, MAX(p.name), `+drillState+`, p.why, COUNT(*), MIN(p.portal)`+groups+` ORDER BY COUNT(*) DESC, MAX(p.name), p.who LIMIT $2`, outageID, limit)
	return some, *n, err
}

func (s *Drills) countPlaces(ctx context.Context, where string, outageID int64, arg string) (int, error) {
	n, err := one(ctx, s.base, "count people of drill", dbutil.ScanSingleColumn[int], `SELECT COUNT(*)`+drillPlaces+where, outageID, arg)
	if err != nil || n == nil {
		return 0, err
	}
	return *n, nil
}

const drillPlaceColumns = `SELECT p.portal, p.who, p.stranger, p.name, ` + drillState + `, p.why,
	r.began_at <> 0 AND r.ended_at <> 0 AND p.began <> 'in' AND p.ended = 'in', r.began_at <> 0 AND r.ended_at <> 0 AND p.began = 'in' AND p.ended <> 'in'`

func scanDrillPerson(row dbutil.Scannable) (p DrillPerson, err error) {
	var stranger int64
	err = row.Scan(&p.Portal, &p.Who, &stranger, &p.Name, &p.State, &p.Why, &p.Came, &p.Left)
	p.Stranger = stranger != 0
	return p, err
}

func scanDrillCounts(row dbutil.Scannable) (c DrillCounts, err error) {
	err = row.Scan(&c.Began, &c.Ended, &c.Came, &c.Left, &c.Missing, &c.Strangers)
	return c, err
}

func scanDrillRoom(row dbutil.Scannable) (r DrillRoomReport, err error) {
	var began, ended, unasked int64
	c := &r.People
	err = row.Scan(&r.Portal, &began, &ended, &unasked, &r.Written, &c.Began, &c.Ended, &c.Came, &c.Left, &c.Missing, &c.Strangers)
	r.BeganAt, r.EndedAt, r.Unasked = fromMS(began), fromMS(ended), unasked != 0
	return r, err
}

package database

import (
	"context"
	"fmt"
	"time"

	"go.mau.fi/util/dbutil"
)

// Kinds of outages.
const (
	OutageDetected = "detected" // Teams can't be used
	OutageDeclared = "declared" // an administrator says so
	OutageDrill    = "drill"    // it is rehearsed
)

// Outage is a time in which what people wrote in Matrix was kept from Teams.
type Outage struct {
	ID    int64
	Kind  string
	Scope string // as of a Hold
	// Cause is one of a fixed set, Detail is for people.
	Cause, Detail, By string
	// Began and Ended bound it; Resumed is when it last went on after it had
	// ended, zero where it never did. Drained is when everything that was queued
	// in it had come to an end and everybody was told; zero is not yet.
	Began, Resumed, Ended, Drained time.Time
	// FirstRow and LastRow bound the outbox rows that were queued in it; LastRow
	// is 0 while it goes on.
	FirstRow, LastRow int64
	// Report is what was told at its end.
	Report string
}

// OutageRoom is a room that was told of an outage.
type OutageRoom struct {
	OutageID int64
	// Portal is the portal, with "read:" before it for the notice that Teams can't
	// be read, or whom else the bridge tells: a room that is no portal, or a person.
	Portal string
	// BeganTold and EndedTold are when the room was told; zero is not yet.
	BeganTold, EndedTold time.Time
	// GapTold is when the room was told of an end before the outage went on again.
	GapTold time.Time
}

// Outages keeps outages and which rooms were told of them, so that nobody is
// told twice, whatever restarts in between.
type Outages struct{ base }

const outageColumns = `id, kind, scope, cause, detail, set_by, began_at, resumed_at, ended_at, drained_at, first_row, last_row, report`

// Begin stores a new outage and sets its ID.
func (s *Outages) Begin(ctx context.Context, o *Outage) error {
	id, err := one(ctx, s.base, "begin outage", dbutil.ScanSingleColumn[int64], `
		INSERT INTO teams_outage (kind, scope, cause, detail, set_by, began_at, resumed_at, ended_at, drained_at, first_row, last_row, report)
		VALUES ($1, $2, $3, $4, $5, $6, 0, 0, 0, $7, 0, '') RETURNING id`,
		o.Kind, o.Scope, o.Cause, o.Detail, o.By, ms(s.orNow(o.Began)), o.FirstRow)
	if err != nil {
		return err
	} else if id == nil {
		return fmt.Errorf("begin outage: no id was returned")
	}
	o.ID = *id
	return nil
}

// Update stores everything of an outage but where and when it began.
func (s *Outages) Update(ctx context.Context, o *Outage) error {
	_, err := s.exec(ctx, "update outage", `
		UPDATE teams_outage SET kind = $2, cause = $3, detail = $4, set_by = $5, resumed_at = $6, ended_at = $7, drained_at = $8,
			first_row = $9, last_row = $10, report = $11
		WHERE id = $1`, o.ID, o.Kind, o.Cause, o.Detail, o.By, ms(o.Resumed), ms(o.Ended), ms(o.Drained), o.FirstRow, o.LastRow, o.Report)
	return err
}

// Open returns the outages that go on, or whose queue is not empty yet, oldest first.
func (s *Outages) Open(ctx context.Context) ([]*Outage, error) {
	return list(ctx, s.base, "list open outages", scanOutage, `SELECT `+outageColumns+` FROM teams_outage WHERE drained_at = 0 ORDER BY id`)
}

// Recent returns the newest outages, the newest first.
func (s *Outages) Recent(ctx context.Context, limit int) ([]*Outage, error) {
	return list(ctx, s.base, "list outages", scanOutage, `SELECT `+outageColumns+` FROM teams_outage ORDER BY id DESC LIMIT $1`, limit)
}

// Resume stores that an outage goes on which had ended: those who were told of
// its end know nothing of it again.
func (s *Outages) Resume(ctx context.Context, o *Outage) error {
	return s.inTxn(ctx, func(ctx context.Context) error {
		if err := s.Update(ctx, o); err != nil {
			return err
		}
		_, err := s.exec(ctx, "forget who knows of the end",
			`UPDATE teams_outage_room SET gap_told_at = ended_told_at, began_told_at = 0, ended_told_at = 0 WHERE outage_id = $1 AND ended_told_at <> 0`, o.ID)
		return err
	})
}

// Rooms returns the rooms that were told of an outage.
func (s *Outages) Rooms(ctx context.Context, outageID int64) ([]OutageRoom, error) {
	return list(ctx, s.base, "list rooms of outage", scanOutageRoom,
		`SELECT outage_id, portal, began_told_at, ended_told_at, gap_told_at FROM teams_outage_room WHERE outage_id = $1 ORDER BY portal`, outageID)
}

// TellRoom stores what a room was told.
func (s *Outages) TellRoom(ctx context.Context, r OutageRoom) error {
	_, err := s.exec(ctx, "store room of outage", `
		INSERT INTO teams_outage_room (outage_id, portal, began_told_at, ended_told_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (outage_id, portal) DO UPDATE SET began_told_at = excluded.began_told_at, ended_told_at = excluded.ended_told_at`,
		r.OutageID, r.Portal, ms(r.BeganTold), ms(r.EndedTold))
	return err
}

// Purge forgets outages that were over before a time.
func (s *Outages) Purge(ctx context.Context, before time.Time) error {
	_, err := s.exec(ctx, "purge rooms of outages",
		`DELETE FROM teams_outage_room WHERE outage_id IN (SELECT id FROM teams_outage WHERE drained_at <> 0 AND drained_at < $1)`, ms(before))
	if err != nil {
		return err
	}
	_, err = s.exec(ctx, "purge spans of outages",
		`DELETE FROM teams_outage_span WHERE outage_id IN (SELECT id FROM teams_outage WHERE drained_at <> 0 AND drained_at < $1)`, ms(before))
	if err != nil {
		return err
	}
	_, err = s.exec(ctx, "purge outages", `DELETE FROM teams_outage WHERE drained_at <> 0 AND drained_at < $1`, ms(before))
	return err
}

func scanOutage(row dbutil.Scannable) (*Outage, error) {
	var o Outage
	var began, resumed, ended, drained int64
	err := row.Scan(&o.ID, &o.Kind, &o.Scope, &o.Cause, &o.Detail, &o.By, &began, &resumed, &ended, &drained, &o.FirstRow, &o.LastRow, &o.Report)
	o.Began, o.Resumed, o.Ended, o.Drained = fromMS(began), fromMS(resumed), fromMS(ended), fromMS(drained)
	return &o, err
}

func scanOutageRoom(row dbutil.Scannable) (r OutageRoom, err error) {
	var began, ended, gap int64
	err = row.Scan(&r.OutageID, &r.Portal, &began, &ended, &gap)
	r.BeganTold, r.EndedTold, r.GapTold = fromMS(began), fromMS(ended), fromMS(gap)
	return r, err
}

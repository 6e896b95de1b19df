package bridge

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"teamsbridge/database"
)

const (
	// roomNoticeAfter is how long something must wait in a room before the
	// room is told that Teams can't be reached.
	roomNoticeAfter = 10 * time.Second
	// outageRooms is how many rooms are told in one look; the homeserver has
	// people's own messages to deal with.
	outageRooms = 100
	// outageStall is how long nothing may arrive in Teams before those who wait
	// to hear of the end are told what still waits.
	outageStall = 10 * time.Minute
	// outageGiveUp is how long somebody who can't be told is tried after an
	// outage's end; the record is closed without them.
	outageGiveUp = time.Hour

	retellMin = 5 * time.Second
	retellMax = 5 * time.Minute
)

// notice is something that the bot says once.
type notice struct {
	// To is a portal, another room ("!…") or a person ("@…").
	To string
	// Key names the notice for ever: what was said under it is not said again.
	Key  string
	Text string
	// Doubt means that it may have been said already.
	Doubt bool
}

// attempt is how telling somebody failed.
type attempt struct {
	next time.Time
	wait time.Duration
}

// isPortal reports whether a recipient is a portal.
func isPortal(to string) bool { return strings.HasPrefix(to, "c:") }

// listeners are those who are told everything about an outage: the
// administrators, and whoever has started the drill.
func (o *outages) listeners(rec *database.Outage) []string {
	all := o.admins()
	if rec.Kind == database.OutageDrill && rec.By != "" && !slices.Contains(all, rec.By) {
		all = append(all, rec.By)
	}
	return all
}

// told returns whom a record's notices have reached.
func (o *outages) told(ctx context.Context, rec *database.Outage) (map[string]database.OutageRoom, error) {
	rows, err := o.db.Outages.Rooms(ctx, rec.ID)
	out := make(map[string]database.OutageRoom, len(rows))
	for _, row := range rows {
		out[row.Portal] = row
	}
	return out, err
}

// tellBegan tells of an outage that goes on: the listeners at once, a room when
// something waits in it.
func (o *outages) tellBegan(ctx context.Context, rec *database.Outage) error {
	told, err := o.told(ctx, rec)
	if err != nil {
		return err
	}
	hold := o.holdFor(rec)
	o.mu.Lock()
	seen := o.seen
	o.mu.Unlock()
	for _, to := range o.listeners(rec) {
		if told[to].BeganTold.IsZero() {
			if _, err := o.tell(ctx, rec, database.OutageRoom{OutageID: rec.ID, Portal: to}, beganOpsText(o.texts, rec, hold, seen)); err != nil {
				return err
			}
		}
	}
	if seen != nil && seen.NoReading && !seen.NoWriting && rec.Kind == database.OutageDetected {
		// What waits somewhere waits for another reason.
		return o.tellUnreadable(ctx, rec, seen, told)
	}
	waiting, err := o.db.Outbox.WaitingPortals(ctx, rec.FirstRow, o.now().Add(-roomNoticeAfter))
	if err != nil {
		return err
	}
	var rows []database.OutageRoom
	for _, portal := range waiting {
		if covers(rec, portal) && told[portal].BeganTold.IsZero() {
			rows = append(rows, database.OutageRoom{OutageID: rec.ID, Portal: portal})
		}
	}
	_, err = o.tellRooms(ctx, rec, rows, func(portal string) string { return beganRoomText(o.texts, rec, hold, o.policy(portal), o.now()) })
	return err
}

// holdFor returns the hold that a record is about, nil where there is none.
func (o *outages) holdFor(rec *database.Outage) *database.Hold {
	if rec.Kind == database.OutageDrill {
		return o.holdOf(database.HoldDrill)
	}
	return o.holdOf(database.HoldOutage)
}

// tellRooms tells some of the rooms and returns how many are left to tell.
func (o *outages) tellRooms(ctx context.Context, rec *database.Outage, rows []database.OutageRoom, text func(portal string) string) (left int, err error) {
	due := slices.DeleteFunc(slices.Clone(rows), func(row database.OutageRoom) bool { return !o.due(noticeKey(rec, row.Portal)) })
	left = len(rows) - len(due)
	if len(due) > outageRooms {
		left += len(due) - outageRooms
		due = due[:outageRooms]
		o.kick()
	}
	said := make([]bool, len(due))
	var group errgroup.Group
	group.SetLimit(joinsAtOnce)
	for i, row := range due {
		group.Go(func() (err error) {
			said[i], err = o.tell(ctx, rec, row, text(row.Portal))
			return err
		})
	}
	err = group.Wait()
	for _, ok := range said {
		if !ok {
			left++
		}
	}
	return left, err
}

// noticeKey names what somebody is told of an outage next: one key for its
// beginning and one for its end, and others where it went on again.
func noticeKey(rec *database.Outage, to string) string {
	if rec.Ended.IsZero() {
		return fmt.Sprintf("outage:%d:began:%d:%s", rec.ID, unixMilli(rec.Resumed), to)
	}
	return fmt.Sprintf("outage:%d:ended:%d:%s", rec.ID, unixMilli(rec.Ended), to)
}

func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// tell tells one recipient of the beginning, or of the end of a record that
// has ended, and notes that. It is false where that has to be tried again; the
// error is the database's. Where it dies between the two, the key is known to
// the homeserver, and the next process looks for it before it says it again.
func (o *outages) tell(ctx context.Context, rec *database.Outage, row database.OutageRoom, text string) (bool, error) {
	key := noticeKey(rec, row.Portal)
	if !o.due(key) {
		return false, nil
	}
	since := latest(rec.Began, rec.Resumed)
	if !rec.Ended.IsZero() {
		since = rec.Ended
	}
	n := notice{To: recipient(row.Portal), Key: key, Text: text, Doubt: !since.After(o.started) || o.failedBefore(key)}
	if err := o.say(ctx, n); err != nil {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		zerolog.Ctx(ctx).Warn().Err(err).Int64("outage", rec.ID).Str("recipient", row.Portal).Msg("Could not tell of an outage, will try again")
		o.failed(key)
		return false, nil
	}
	o.mu.Lock()
	delete(o.tries, key)
	o.mu.Unlock()
	if rec.Ended.IsZero() {
		row.BeganTold = o.now()
	} else {
		row.EndedTold = o.now()
	}
	return true, o.db.Outages.TellRoom(ctx, row)
}

// due reports whether a notice may be tried.
func (o *outages) due(key string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	try := o.tries[key]
	return try == nil || !try.next.After(o.now())
}

func (o *outages) failedBefore(key string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.tries[key] != nil
}

func (o *outages) failed(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	try := o.tries[key]
	if try == nil {
		try = &attempt{wait: retellMin}
		o.tries[key] = try
	}
	try.next = o.now().Add(try.wait)
	try.wait = min(2*try.wait, retellMax)
}

// close tells of an outage that has ended: each room that knows of it when its
// own queue is empty, the listeners when all are; a room that does not, and to
// which something came late, when all has been read. Then the record is closed.
// realOn means that a real outage goes on.
func (o *outages) close(ctx context.Context, rec *database.Outage, realOn bool) error {
	if rec.Kind == database.OutageDetected && !rec.Resumed.IsZero() && o.now().Sub(rec.Ended) < outageRejoin {
		return nil // it came and went: its end is told when it holds
	}
	told, err := o.told(ctx, rec)
	if err != nil {
		return err
	}
	tallies, err := o.tallies(ctx, rec)
	if err != nil {
		return err
	}
	waiting, untold, err := o.closeRooms(ctx, rec, told, tallies)
	if err != nil {
		return err
	}
	gaps, untoldGaps, err := o.closeGaps(ctx, rec, told)
	if err != nil {
		return err
	}
	total := tallies.total()
	giveUp := o.now().Sub(latest(rec.Ended, total.lastDone)) > outageGiveUp
	switch {
	case waiting > 0, untold > 0 && !giveUp:
		return nil
	case realOn && rec.Kind == database.OutageDrill, total.waiting > 0 && !o.stalled(rec, total):
		return nil
	}
	if rec.Report == "" {
		if ready, err := o.drillLooked(ctx, rec); err != nil || !ready {
			return err
		}
		if rec.Report, err = o.report(ctx, rec, tallies); err != nil {
			return err
		}
		if err := o.db.Outages.Update(ctx, rec); err != nil {
			return err
		}
	}
	for _, to := range o.listeners(rec) {
		row := told[to]
		if !row.EndedTold.IsZero() {
			continue
		}
		row.OutageID, row.Portal = rec.ID, to
		if ok, err := o.tell(ctx, rec, row, rec.Report); err != nil {
			return err
		} else if !ok {
			untold++
		}
	}
	if gaps > 0 || untold+untoldGaps > 0 && !giveUp {
		return nil
	}
	rec.Drained = latest(rec.Ended, total.lastDone)
	if total.waiting > 0 {
		rec.Drained = o.now()
	}
	return o.db.Outages.Update(ctx, rec)
}

// report is what the listeners are told at the end.
func (o *outages) report(ctx context.Context, rec *database.Outage, t tallies) (string, error) {
	if rec.Kind != database.OutageDrill {
		return endedOpsText(o.texts, rec, t, o.title), nil
	}
	people, err := o.drillPeople(ctx, rec)
	if err != nil {
		return "", fmt.Errorf("listing people for the drill's report: %w", err)
	}
	return drillReportText(o.texts, rec, t, people, o.title), nil
}

// stalled reports whether nothing of what waits has arrived for long.
func (o *outages) stalled(rec *database.Outage, t tally) bool {
	return o.now().Sub(latest(latest(rec.Ended, t.lastDone), o.started)) >= outageStall
}

// closeRooms tells the rooms that are through with it, and returns how many
// are not, and how many could not be told.
func (o *outages) closeRooms(ctx context.Context, rec *database.Outage, told map[string]database.OutageRoom, t tallies) (waiting, untold int, err error) {
	var ready []database.OutageRoom
	texts := map[string]string{}
	var reads readTimes
	for _, row := range told {
		if !isPortal(row.Portal) || row.BeganTold.IsZero() || !row.EndedTold.IsZero() {
			continue
		}
		mine := t[row.Portal]
		cut := isCut(rec)
		if !cut && mine.waiting > 0 && !o.stalled(rec, mine) {
			waiting++
			continue
		}
		if reads == nil {
			reads = o.reads()
		}
		missed, through, err := o.missed(ctx, rec, row.Portal, reads)
		if err != nil {
			return waiting, untold, err
		} else if !through {
			waiting++
			continue
		}
		texts[row.Portal] = endedRoomText(o.texts, rec, mine, missed, o.policy(row.Portal))
		ready = append(ready, row)
	}
	slices.SortFunc(ready, func(a, b database.OutageRoom) int { return strings.Compare(a.Portal, b.Portal) })
	untold, err = o.tellRooms(ctx, rec, ready, func(portal string) string { return texts[portal] })
	return waiting, untold, err
}

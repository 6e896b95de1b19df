package matrix

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tidwall/gjson"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

// Dendrite (0.15.2) answers a /sync that its end interrupts, or a failure of its
// database, with success: without the events that it could not read, and with a
// position behind them. Nothing in such an answer tells. So what the feed has followed
// is read a second time, from a position that is some minutes old: when the feed goes
// on after an interruption, when the bridge has started, and every againEvery. Each
// redaction is read twice that way, and it costs a request in five minutes.
const (
	againScope = "homeserver:again"
	againEvery = 5 * time.Minute
)

// again is from where the feed is read a second time.
type again struct {
	older, newer string
	at           time.Time // of newer
	due          bool
	// told are the redactions that came since older, and since newer.
	told, lately map[string]struct{}
}

func (a *again) load(stored string) {
	*a = again{older: stored, due: true, told: map[string]struct{}{}, lately: map[string]struct{}{}}
}

// begin takes the first position of this run, before anything is asked from it.
func (a *again) begin(position string) {
	if a.newer == "" {
		a.newer = position
	}
}

// tell notes what has come.
func (a *again) tell(events []json.RawMessage) {
	for _, raw := range events {
		if len(a.lately) < maxTold {
			a.lately[gjson.GetBytes(raw, "event_id").Str] = struct{}{}
		}
	}
}

func (a *again) isTold(eventID string) bool {
	_, told := a.told[eventID]
	_, lately := a.lately[eventID]
	return told || lately
}

// readAgain reads once more what came since the older position, where that is due.
func (f *feed) readAgain(ctx context.Context) error {
	now := f.j.now()
	if !f.again.due && now.Sub(f.again.at) < againEvery {
		return nil
	}
	if f.again.older != "" {
		answer, err := f.client.sync(ctx, f.again.older, 0)
		if refused(err) {
			f.log.Warn().Err(err).Msg("The homeserver refused the position from which the redaction feed is read again, beginning anew")
			f.again.newer = f.cursor.Link
		} else if err != nil {
			return fmt.Errorf("read the redaction feed again: %w", err)
		} else if err := f.storeMissed(ctx, answer); err != nil {
			return err
		}
	}
	stored := database.Cursor{Link: f.again.newer, Reader: RedactionsSync, Watermark: now}
	if err := f.db.Cursors.SaveCursor(ctx, againScope, stored); err != nil {
		return err
	}
	f.again = again{older: stored.Link, newer: f.cursor.Link, at: now, told: f.again.lately, lately: map[string]struct{}{}}
	return nil
}

// storeMissed keeps what an answer has that should have come before.
func (f *feed) storeMissed(ctx context.Context, answer syncAnswer) error {
	gaps := map[string]database.Cursor{}
	open := map[string]bool{}
	for scope := range f.gaps {
		open[gapRoom(scope)] = true
	}
	var missed []json.RawMessage
	for roomID, room := range answer.Rooms.Join {
		if room.Timeline.Limited && !open[roomID] && f.j.isPortal(ctx, id.RoomID(roomID)) {
			f.addGap(gaps, roomID, room.Timeline.PrevBatch)
		}
		for _, raw := range room.Timeline.Events {
			raw, err := withRoom(raw, roomID)
			if err != nil {
				continue // it was told of when it came
			}
			if wanted, err := f.isMissed(ctx, gjson.ParseBytes(raw)); err != nil {
				return err
			} else if wanted {
				missed = append(missed, raw)
			}
		}
	}
	entries, err := f.entries(ctx, missed)
	if err != nil || len(entries)+len(gaps) == 0 {
		return err
	}
	for _, entry := range entries {
		f.j.count(RedactionMissed)
		f.log.Warn().Str("event_id", entry.EventID).Str("room_id", entry.RoomID).Msg("The homeserver had left out a redaction")
	}
	return f.save(ctx, f.cursor.Link, entries, gaps)
}

// isMissed reports whether a redaction has not come, and is of something that the
// bridge has.
func (f *feed) isMissed(ctx context.Context, evt gjson.Result) (bool, error) {
	eventID, target := evt.Get("event_id").Str, redactionTarget(evt)
	if f.again.isTold(eventID) {
		return false, nil
	}
	if here, err := f.has(ctx, eventID); err != nil || here {
		return false, err
	}
	return f.has(ctx, target)
}

// has reports whether the bridge knows an event, or has still to handle it.
func (f *feed) has(ctx context.Context, eventID string) (bool, error) {
	if entry, err := f.db.Journal.Get(ctx, eventID); err != nil || entry != nil {
		return entry != nil, err
	}
	return f.j.isKnown(ctx, eventID)
}

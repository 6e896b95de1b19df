package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tidwall/gjson"
	"golang.org/x/sync/errgroup"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

const (
	// restoreRooms is how many rooms are read at once.
	restoreRooms = 8
	// restorePages bounds how much of a room is read, restoreEmpty is how many
	// pages in a row must have nothing new until reading ends: an event of the
	// bridge bears the time that its message had in Teams.
	restorePages, restoreEmpty = 400, 2
	// restoreMargin is how long before the copy was made somebody may have said what
	// the homeserver has told since: it may be minutes behind.
	restoreMargin = 15 * time.Minute
	// restoreSettle is how long the events that were found may take until the
	// outbox has them.
	restoreSettle = 30 * time.Second
)

// Delivered is what a room shows of an event that people have sent: that Teams has
// it, and what it became there.
type Delivered struct {
	RoomID  id.RoomID
	EventID id.EventID
	Sender  id.UserID
	At      time.Time
	// What is what WithDelivered was given, empty where the status does not say.
	What json.RawMessage
	// Redaction is the event that redacted it meanwhile, and By who did; empty
	// where nobody has.
	Redaction id.EventID
	By        id.UserID
}

// restorer reads in the rooms what a restored database does not know: which
// messages of Teams are there already, what people have said, and what of that
// Teams has. Nothing is sent before that is done.
type restorer struct {
	j         *journal
	db        *database.Database
	client    *feedClient
	rooms     func(ctx context.Context) ([]id.RoomID, error)
	followed  func() bool
	now       func() time.Time
	delivered func(ctx context.Context, d Delivered) error
	doubted   func(ctx context.Context, roomID id.RoomID, eventID id.EventID) error
	made      func(ctx context.Context, roomID id.RoomID, conversation string) (taken bool, err error)
}

// run reads all rooms. It may be repeated.
func (r *restorer) run(ctx context.Context, back database.Restore) error {
	rooms, err := r.rooms(ctx)
	if err != nil {
		return fmt.Errorf("list rooms: %w", err)
	}
	r.j.log.Warn().Time("since", back.Since).Time("until", back.Until).Int("rooms", len(rooms)).
		Msg("The database was restored from an earlier time, reading in the rooms what it does not know")
	if more, err := r.adopt(ctx, rooms); err != nil {
		return err
	} else if more {
		if rooms, err = r.rooms(ctx); err != nil {
			return fmt.Errorf("list rooms: %w", err)
		}
	}
	var found atomic.Int64
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(restoreRooms)
	for _, room := range rooms {
		group.Go(func() error {
			n, err := r.room(groupCtx, room, back)
			found.Add(int64(n))
			if err != nil {
				return fmt.Errorf("room %s: %w", room, err)
			}
			return nil
		})
	}
	if err = group.Wait(); err != nil {
		return err
	}
	if err = r.db.Restores.Finish(ctx); err != nil {
		return err
	}
	r.j.log.Warn().Int64("events", found.Load()).Msg("Read what the restored database did not know")
	return nil
}

// room reads one room and takes what the database does not know of it.
func (r *restorer) room(ctx context.Context, roomID id.RoomID, back database.Restore) (n int, err error) {
	events, err := r.read(ctx, roomID, back.Since.Add(-restoreMargin))
	if statusOf(err) == http.StatusForbidden || refused(err) {
		r.j.log.Error().Err(err).Stringer("room_id", roomID).Msg("The bot may not read a room, what the restored database does not know of it may come twice")
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	found := roomRestore{
		restorer: r, roomID: roomID, back: back, statuses: map[string]gjson.Result{}, redactions: map[string]gjson.Result{},
	}
	if err = found.sort(ctx, events); err != nil {
		return 0, err
	}
	return found.take(ctx)
}

// read reads a room back to a time, twice where it takes more than a page: what
// only one of the readings has counts as well.
func (r *restorer) read(ctx context.Context, roomID id.RoomID, begin time.Time) ([]json.RawMessage, error) {
	first, pages, err := r.readOnce(ctx, roomID, begin, gapPage)
	if err != nil || pages <= 1 {
		return first, err
	}
	again, _, err := r.readOnce(ctx, roomID, begin, seamShift)
	if err != nil {
		return nil, err
	}
	return mergeReadings(first, again), nil
}

func (r *restorer) readOnce(ctx context.Context, roomID id.RoomID, begin time.Time, size int) (out []json.RawMessage, pages int, err error) {
	from, old := "", 0
	for pages = 0; pages < restorePages && old < restoreEmpty; pages++ {
		page, err := r.client.messages(ctx, string(roomID), from, size)
		if err != nil {
			return nil, pages, fmt.Errorf("read back: %w", err)
		}
		old++
		for _, raw := range page.Chunk {
			out = append(out, raw)
			if isNew, err := r.isNew(ctx, gjson.ParseBytes(raw), string(roomID), begin); err != nil {
				return nil, pages, err
			} else if isNew {
				old = 0
			}
		}
		if page.End == "" || page.End == from {
			pages++
			break
		}
		from, size = page.End, gapPage
	}
	slices.Reverse(out)
	return out, pages, nil
}

// isNew reports whether an event may be from after a time. What is old in Teams
// and came late to the room is known by what it shows. Of an edit that is not
// asked: what it was is not kept for ever.
func (r *restorer) isNew(ctx context.Context, evt gjson.Result, roomID string, begin time.Time) (bool, error) {
	if evt.Get("origin_server_ts").Int() >= begin.UnixMilli() {
		return true, nil
	}
	echo, kind := r.j.echoOf(evt, roomID, r.now())
	if kind == notEcho || kind == ownEvent || evt.Get(`content.m\.relates_to.rel_type`).Str == string(event.RelReplace) {
		return false, nil
	}
	if known, err := r.db.Echoes.Get(ctx, echo.SourceKey); err != nil || known != nil {
		return false, err
	}
	known, err := r.j.isKnown(ctx, echo.EventID)
	return !known, err
}

// roomRestore is what one room has had since the copy was made.
type roomRestore struct {
	*restorer
	roomID id.RoomID
	back   database.Restore
	echoes sorted
	// statuses are what the bot has said last of each event. What it has once called
	// delivered stays so: only a status that says what it became comes after that.
	statuses map[string]gjson.Result
	// redactions are by what they redact: some homeservers leave out in an event
	// what redacted it.
	redactions map[string]gjson.Result
	said       []json.RawMessage
}

// sort keeps what the bridge has sent as echoes, and what people have said.
func (f *roomRestore) sort(ctx context.Context, events []json.RawMessage) error {
	bot, begin := f.j.bot(), f.back.Since.Add(-restoreMargin)
	for _, raw := range events {
		evt := gjson.ParseBytes(raw)
		if evt.Get("type").Str == redactionType {
			f.redactions[redactionTarget(evt)] = evt
		}
		echo, kind := f.j.echoOf(evt, string(f.roomID), f.now())
		switch {
		case kind == sureEcho:
			f.echoes.echoes = append(f.echoes.echoes, echo)
		case kind == puppetEcho:
			f.echoes.puppetEchoes = append(f.echoes.puppetEchoes, echo)
		case evt.Get("type").Str == eventStatus.Type && id.UserID(evt.Get("sender").Str) == bot:
			f.noteStatus(evt)
		case evt.Get("origin_server_ts").Int() < begin.UnixMilli(): // the database knows what became of it
		case kind == notEcho && journalled(evt.Get("type").Str) && !evt.Get("state_key").Exists():
			f.said = append(f.said, raw)
		}
	}
	duplicates, err := f.j.record(ctx, f.echoes, nil)
	if err != nil {
		return fmt.Errorf("store what the room shows: %w", err)
	}
	f.j.reportDuplicates(duplicates)
	return nil
}

func (f *roomRestore) noteStatus(evt gjson.Result) {
	eventID := evt.Get(`content.m\.relates_to.event_id`).Str
	before, told := f.statuses[eventID]
	if told && isSuccess(before) && !(isSuccess(evt) && contentField(evt, DeliveredField).Exists()) {
		return
	}
	f.statuses[eventID] = evt
}

func isSuccess(status gjson.Result) bool {
	return event.MessageStatus(status.Get("content.status").Str) == event.MessageStatusSuccess
}

// take tells what Teams has, and takes what the database does not know as if the
// homeserver had just told of it. What was refused for good stays in Matrix: its
// author was told.
func (f *roomRestore) take(ctx context.Context) (int, error) {
	var txn transaction
	for _, raw := range f.said {
		raw, err := withRoom(raw, string(f.roomID))
		if err != nil {
			continue
		}
		evt := gjson.ParseBytes(raw)
		eventID := evt.Get("event_id").Str
		status := event.MessageStatus(f.statuses[eventID].Get("content.status").Str)
		known, err := f.knows(ctx, eventID)
		if err != nil {
			return 0, err
		}
		switch {
		case status == event.MessageStatusSuccess:
			if err = f.tellDelivered(ctx, evt); err != nil {
				return 0, err
			}
		case status == event.MessageStatusFail && !known:
			continue
		case f.mayBeThere(evt):
			if err = f.doubted(ctx, f.roomID, id.EventID(eventID)); err != nil {
				return 0, err
			}
		}
		if known || isRedacted(evt) || evt.Get("type").Str == redactionType && f.followed() {
			continue
		}
		if evt.Get("type").Str == redactionType {
			if found, err := f.j.isKnown(ctx, redactionTarget(evt)); err != nil {
				return 0, err
			} else if !found {
				continue
			}
		}
		txn.Events = append(txn.Events, raw)
	}
	return f.hand(ctx, f.j.sort(ctx, &txn, f.now()).entries)
}

func (f *roomRestore) knows(ctx context.Context, eventID string) (bool, error) {
	if waiting, err := f.db.Journal.Get(ctx, eventID); err != nil || waiting != nil {
		return waiting != nil, err
	}
	return f.j.isKnown(ctx, eventID)
}

// mayBeThere reports whether a message or an edit that nobody has said a word about may be in
// Teams: it was said while the bridge before worked, by the homeserver's clock.
func (f *roomRestore) mayBeThere(evt gjson.Result) bool {
	switch evt.Get("type").Str {
	case redactionType, "m.reaction":
		return false
	}
	at := time.UnixMilli(evt.Get("origin_server_ts").Int())
	return !isRedacted(evt) && !at.After(f.back.Until.Add(positionMargin))
}

func (f *roomRestore) tellDelivered(ctx context.Context, evt gjson.Result) error {
	status := f.statuses[evt.Get("event_id").Str]
	d := Delivered{
		RoomID: f.roomID, EventID: id.EventID(evt.Get("event_id").Str), Sender: id.UserID(evt.Get("sender").Str), At: time.UnixMilli(evt.Get("origin_server_ts").Int()),
		What: json.RawMessage(contentField(status, DeliveredField).Raw),
	}
	if isRedacted(evt) {
		because := evt.Get("unsigned.redacted_because")
		if !because.IsObject() {
			because = f.redactions[evt.Get("event_id").Str]
		}
		d.Redaction, d.By = id.EventID(because.Get("event_id").Str), id.UserID(because.Get("sender").Str)
		if isSuccess(f.statuses[d.Redaction.String()]) {
			d.Redaction, d.By = "", "" // Teams has that, too
		}
	}
	return f.delivered(ctx, d)
}

// hand gives what was found to the framework and waits until it has dealt with
// it: what comes from Teams has to find its rows.
func (f *roomRestore) hand(ctx context.Context, entries []database.JournalEntry) (int, error) {
	if len(entries) == 0 {
		return 0, nil
	}
	if err := f.db.Journal.Append(ctx, entries); err != nil {
		return 0, err
	}
	if err := f.j.hand(ctx, entries); err != nil {
		return 0, err
	}
	ids := make([]string, len(entries))
	for i, entry := range entries {
		ids[i] = entry.EventID
	}
	end := f.now().Add(restoreSettle)
	for {
		open, err := f.db.Journal.Open(ctx, ids)
		switch {
		case err != nil:
			return 0, err
		case len(open) == 0, f.now().After(end):
			return len(entries), nil
		case !sleep(ctx, 50*time.Millisecond):
			return 0, ctx.Err()
		}
	}
}

// detect lets everything pass at once where the database was not set back, which
// is nearly always. What can't be seen now is seen by restore.
func (c *Connector) detect(ctx context.Context) {
	back, err := c.alive.isBack(ctx)
	if err != nil {
		c.journal.log.Warn().Err(err).Msg("Could not see whether the database was restored, will try again")
	} else if back == nil {
		c.letPass()
	}
}

func (c *Connector) letPass() {
	close(c.restored)
	close(c.journal.known)
}

// restore has a database that was restored learn what it does not know, and tries
// until that is done; then the bridge works.
func (c *Connector) restore(ctx context.Context) {
	select {
	case <-c.restored:
	default:
		if !c.learn(ctx) {
			return
		}
	}
	if err := c.alive.tell(ctx); err != nil && ctx.Err() == nil {
		c.journal.log.Warn().Err(err).Msg("Could not note that the bridge works, will try again")
	}
}

func (c *Connector) learn(ctx context.Context) bool {
	for {
		back, err := c.alive.isBack(ctx)
		if err == nil && back != nil {
			err = c.restorer.run(ctx, *back)
		}
		if err == nil {
			c.letPass()
			return true
		}
		if ctx.Err() == nil && !errors.Is(err, context.Canceled) {
			c.journal.log.Error().Err(err).Msg("Could not read what a restored database does not know, nothing is sent until then, will try again")
		}
		if !sleep(ctx, replayRetry) {
			return false
		}
	}
}

// Restored is closed when it is known that the database was not restored from an
// earlier time, or what has happened since.
func (c *Connector) Restored() <-chan struct{} { return c.restored }

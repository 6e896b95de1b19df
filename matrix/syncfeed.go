package matrix

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/tidwall/gjson"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

const (
	feedScope = "homeserver:redactions"
	gapScope  = "homeserver:gap:"
	// catchUpWait is how long new transactions wait for the feed after a start.
	// With the replay it has to stay below gateWait.
	catchUpWait = 10 * time.Second
	feedPause   = time.Second
	maxPause    = time.Minute
	// watermarkAge is how old the stored position may become while nothing comes.
	watermarkAge = time.Minute
	// calm is the pause after an answer with nothing in it: Dendrite answers to
	// receipts and typing too, whatever the filter says.
	calm = 250 * time.Millisecond
	// gapMargin is how far before the last stored token a gap is read.
	gapMargin = time.Hour
)

// feed brings redactions from a homeserver that does not push them: the bot
// follows /sync with a filter that leaves nothing else. The price is one long
// poll that the homeserver holds open; where it answers for nothing, it is asked
// again at most four times a second. What
// it brings and how far it came are stored in one SQL transaction, so a crash
// neither loses nor skips anything; from there on a redaction is a journal
// entry like those of transactions.
type feed struct {
	j        *journal
	db       *database.Database
	log      zerolog.Logger
	mode     string
	client   *feedClient
	software *software
	own      *ownRedactions
	// rooms lists the mirrored rooms.
	rooms func(ctx context.Context) ([]id.RoomID, error)
	pause time.Duration // after the first failure

	ready     chan struct{} // closed when the feed has caught up, or is not needed
	readyOnce sync.Once

	// cursor is the position; the stored one may be older where nothing lies
	// between. empty means that the last answer had nothing.
	cursor database.Cursor
	empty  bool
	gaps   map[string]database.Cursor // by scope: where reading goes on, and until when
	again  again

	mu    sync.Mutex
	state RedactionState
}

func (f *feed) set(change func(*RedactionState)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.state)
}

func (f *feed) caughtUp() { f.readyOnce.Do(func() { close(f.ready) }) }

// wait waits until the feed has caught up, not longer than catchUpWait.
func (f *feed) wait(ctx context.Context) {
	timer := time.NewTimer(catchUpWait)
	defer timer.Stop()
	select {
	case <-f.ready:
	case <-timer.C:
		f.log.Warn().Msg("The redaction feed has not caught up yet, transactions don't wait for it any longer")
	case <-f.j.stopping:
	case <-ctx.Done():
	}
}

// run follows the homeserver until the context ends.
func (f *feed) run(ctx context.Context) {
	defer f.caughtUp()
	source, err := f.decide(ctx)
	if err != nil || source != RedactionsSync {
		return
	}
	f.own.active.Store(true)
	pause := f.pause
	for ctx.Err() == nil {
		err := f.step(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			if pause != f.pause {
				f.log.Info().Msg("The redaction feed goes on")
			}
			pause = f.pause
			f.set(func(s *RedactionState) { s.LastError, s.AnsweredAt, s.Gaps = "", f.j.now(), f.openGaps() })
			if f.empty && len(f.gaps) == 0 && !sleep(ctx, calm) {
				return
			}
		default:
			level := zerolog.DebugLevel
			if pause == f.pause {
				level = zerolog.WarnLevel
			}
			f.log.WithLevel(level).Err(err).Dur("pause", pause).Msg("The redaction feed is interrupted, will go on from the same place")
			f.again.due = true
			f.set(func(s *RedactionState) { s.LastError = err.Error() })
			if !sleep(ctx, pause) {
				return
			}
			pause = min(2*pause, maxPause)
		}
	}
}

// step makes one request and stores its answer, then reads a piece of a gap.
func (f *feed) step(ctx context.Context) error {
	if f.gaps == nil {
		if err := f.load(ctx); err != nil {
			return err
		}
	}
	if f.cursor.Link == "" {
		return f.begin(ctx, nil)
	}
	f.again.begin(f.cursor.Link)
	wait := longPoll
	if !f.isReady() || len(f.gaps) > 0 {
		wait = 0
	}
	answer, err := f.client.sync(ctx, f.cursor.Link, wait)
	if refused(err) {
		return f.startOver(ctx, err)
	} else if err != nil {
		return err
	}
	if err := f.store(ctx, answer); err != nil {
		return err
	}
	f.caughtUp()
	if err := f.readAgain(ctx); err != nil {
		return err
	}
	return f.readGap(ctx)
}

func (f *feed) isReady() bool {
	select {
	case <-f.ready:
		return true
	default:
		return false
	}
}

func (f *feed) load(ctx context.Context) (err error) {
	if f.cursor, err = f.db.Cursors.LoadCursor(ctx, feedScope); err != nil {
		return err
	}
	before, err := f.db.Cursors.LoadCursor(ctx, againScope)
	if err != nil {
		return err
	}
	f.again.load(before.Link)
	f.gaps, err = f.db.Cursors.ListCursors(ctx, gapScope)
	return err
}

// begin takes the current position: what was redacted before the bridge mirrored
// anything is none of its business. Gaps are stored with it.
func (f *feed) begin(ctx context.Context, gaps map[string]database.Cursor) error {
	answer, err := f.client.sync(ctx, "", 0)
	if err != nil {
		return err
	}
	if err := f.save(ctx, answer.NextBatch, nil, gaps); err != nil {
		return err
	}
	f.log.Info().Int("gaps", len(gaps)).Msg("The redaction feed begins now")
	f.caughtUp()
	return nil
}

// startOver begins anew when the homeserver does not know the token any more,
// and reads in every mirrored room what came since it was stored.
func (f *feed) startOver(ctx context.Context, cause error) error {
	rooms, err := f.rooms(ctx)
	if err != nil {
		return fmt.Errorf("list mirrored rooms: %w", err)
	}
	gaps := map[string]database.Cursor{}
	for _, room := range rooms {
		f.addGap(gaps, room.String(), "")
	}
	if err := f.begin(ctx, gaps); err != nil {
		return err
	}
	f.log.Error().Err(cause).Int("rooms", len(rooms)).Msg("The homeserver refused the position of the redaction feed, reading every room since then")
	return nil
}

// store keeps an answer's redactions and its token, both or neither, and hands
// the redactions on.
func (f *feed) store(ctx context.Context, answer syncAnswer) error {
	var events []json.RawMessage
	gaps := map[string]database.Cursor{}
	for _, rooms := range []map[string]syncRoom{answer.Rooms.Join, answer.Rooms.Leave} {
		for roomID, room := range rooms {
			for _, raw := range room.Timeline.Events {
				if raw, err := withRoom(raw, roomID); err != nil {
					f.log.Error().Err(err).Str("room_id", roomID).Msg("Ignoring a malformed event of the redaction feed")
				} else {
					events = append(events, raw)
				}
			}
			if room.Timeline.Limited && f.j.isPortal(ctx, id.RoomID(roomID)) {
				level := zerolog.WarnLevel
				if len(room.Timeline.Events) < roomLimit {
					level = zerolog.DebugLevel // a room that the bot has just joined, probably
				}
				f.log.WithLevel(level).Str("room_id", roomID).Int("events", len(room.Timeline.Events)).Msg("The redaction feed has a gap, reading it")
				f.addGap(gaps, roomID, room.Timeline.PrevBatch)
			}
		}
	}
	f.again.tell(events)
	entries, err := f.entries(ctx, events)
	if err != nil {
		return err
	}
	if stale := f.j.now().Sub(f.cursor.Watermark) >= watermarkAge; len(entries)+len(gaps) == 0 && !stale {
		// Nothing would be missed between the stored position and this one.
		f.cursor.Link, f.empty = answer.NextBatch, true
		return nil
	}
	f.empty = false
	return f.save(ctx, answer.NextBatch, entries, gaps)
}

// entries sorts events as the journal sorts those of transactions, and leaves
// out what the bridge has redacted itself.
func (f *feed) entries(ctx context.Context, events []json.RawMessage) ([]database.JournalEntry, error) {
	now := f.j.now()
	var out []database.JournalEntry
	for _, entry := range f.j.sort(ctx, &transaction{Events: events}, now).entries {
		if entry.Type != redactionType {
			continue
		}
		own, err := f.own.has(ctx, entry.RoomID, redactionTarget(gjson.ParseBytes(entry.Raw)))
		if err != nil {
			return nil, err
		} else if own {
			f.j.count(RedactionOwn)
			continue
		}
		f.j.count(RedactionFollowed)
		out = append(out, entry)
	}
	return out, nil
}

// save is the one transaction: redactions, gaps, token.
func (f *feed) save(ctx context.Context, token string, entries []database.JournalEntry, gaps map[string]database.Cursor) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	cursor := database.Cursor{Link: token, Reader: RedactionsSync, Watermark: f.j.now()}
	err := f.db.DoTxn(ctx, nil, func(ctx context.Context) error {
		if err := f.db.Journal.Append(ctx, entries); err != nil {
			return err
		}
		for scope, gap := range gaps {
			if err := f.db.Cursors.SaveCursor(ctx, scope, gap); err != nil {
				return err
			}
		}
		return f.db.Cursors.SaveCursor(ctx, feedScope, cursor)
	})
	if err != nil {
		return fmt.Errorf("store redactions: %w", err)
	}
	f.cursor = cursor
	for scope, gap := range gaps {
		f.gaps[scope] = gap
	}
	f.admit(ctx, entries)
	return nil
}

// admit hands on what is stored. A failure leaves it to the next look.
func (f *feed) admit(ctx context.Context, entries []database.JournalEntry) {
	if len(entries) == 0 {
		return
	}
	if err := f.j.admit(ctx, entries); err != nil && ctx.Err() == nil {
		f.log.Error().Err(err).Msg("Failed to hand redactions on, will try again")
	}
}

package matrix

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/tidwall/gjson"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

const (
	redactionType = "m.room.redaction"
	// holdLook is how often held redactions are looked at, and holdLookMax how
	// rarely one becomes that waits for long.
	holdLook    = 2 * time.Second
	holdLookMax = time.Minute
	// defaultRedactionWait is how long a redaction waits for its target.
	defaultRedactionWait = 10 * time.Minute
	// behindLag is how old the newest event of a transaction is when the
	// transactions count as behind.
	behindLag = time.Minute
	// passedSize is how many events are remembered that went to the framework.
	passedSize = 8192
)

// Reasons under which redactions are counted.
const (
	// RedactionFollowed is a redaction that the feed brought.
	RedactionFollowed = "followed by sync"
	// RedactionEarly is one that came before its target.
	RedactionEarly = "came before its target"
	// RedactionTargetNeverCame is one that was let go because its target did not
	// come: an event from before the room was mirrored, say.
	RedactionTargetNeverCame = "target never came"
	// RedactionOfGone is one of an event that came redacted: nothing is to be done.
	RedactionOfGone = "its event came redacted"
	// RedactionOwn is one that the bridge made itself, or that repeats such a one.
	RedactionOwn = "already redacted by the bridge"
	// RedactionMissed is one that the homeserver had left out where it had its place.
	RedactionMissed = "left out by the homeserver"
	// RedactionGapLost is a gap in a room that could not be read.
	RedactionGapLost = "gap not readable"
)

// held is a redaction whose target is not known yet. Transactions and the feed
// are two streams: either may be ahead of the other.
type held struct {
	target     string
	receivedAt time.Time
	lookAt     time.Time
	pause      time.Duration
	early      bool // it was found to be early, and counted
}

// holding is the waiting room of redactions. Their events stay in the journal.
type holding struct {
	wait  time.Duration
	byID  map[string]*held
	byFor map[string][]string // target to redactions
	// passed are the last events that went to the framework: what is handed
	// behind them is handled behind them.
	passed *recent
	// behindAt is when the transactions were last known to be late. Waiting
	// counts from there: what is late may still come.
	behindAt time.Time
}

func newHolding(wait time.Duration) *holding {
	if wait == 0 {
		wait = defaultRedactionWait
	}
	return &holding{wait: wait, byID: map[string]*held{}, byFor: map[string][]string{}, passed: newRecent(passedSize)}
}

func (h *holding) add(eventID string, r *held) {
	if h.byID[eventID] == nil {
		h.byID[eventID] = r
		h.byFor[r.target] = append(h.byFor[r.target], eventID)
	}
}

func (h *holding) remove(eventID string) {
	r := h.byID[eventID]
	if r == nil {
		return
	}
	delete(h.byID, eventID)
	rest := slices.DeleteFunc(h.byFor[r.target], func(other string) bool { return other == eventID })
	if h.byFor[r.target] = rest; len(rest) == 0 {
		delete(h.byFor, r.target)
	}
}

// redactionTarget returns what a redaction redacts, in either place where room
// versions put it.
func redactionTarget(evt gjson.Result) string {
	if target := evt.Get("redacts").Str; target != "" {
		return target
	}
	return evt.Get("content.redacts").Str
}

// knows reports whether a redaction of the event can be handled: its row is
// there, or it went to the framework, which handles in order. handMu is held.
func (j *journal) knows(ctx context.Context, target string) (bool, error) {
	if j.hold.passed.has(target) {
		return true, nil
	}
	return j.isKnown(ctx, target)
}

// isKnown looks for the event where a redaction's target can be.
func isKnown(br *bridgev2.Bridge, db *database.Database) func(context.Context, string) (bool, error) {
	return func(ctx context.Context, eventID string) (bool, error) {
		if row, err := db.Outbox.ByEvent(ctx, eventID); err != nil || row != nil {
			return row != nil, err
		}
		if message, err := br.DB.Message.GetPartByMXID(ctx, id.EventID(eventID)); err != nil || message != nil {
			return message != nil, err
		}
		if reaction, err := br.DB.Reaction.GetByMXID(ctx, id.EventID(eventID)); err != nil || reaction != nil {
			return reaction != nil, err
		}
		vote, err := db.Polls.GetVote(ctx, eventID)
		return vote != nil, err
	}
}

// holdBack takes those redactions out of entries whose target is not known yet
// and that may still wait, and those that have nothing to bring. handMu is held.
func (j *journal) holdBack(ctx context.Context, entries []database.JournalEntry) ([]database.JournalEntry, error) {
	var out []database.JournalEntry
	coming := map[string]bool{}
	for _, entry := range entries {
		coming[entry.EventID] = true
		wait, err := j.mustWait(ctx, entry, coming)
		if err != nil {
			return nil, err
		}
		if !wait {
			out = append(out, entry)
		}
	}
	return out, nil
}

func (j *journal) mustWait(ctx context.Context, entry database.JournalEntry, coming map[string]bool) (bool, error) {
	if entry.Type != redactionType {
		return false, nil
	}
	target := redactionTarget(gjson.ParseBytes(entry.Raw))
	if target == "" || coming[target] {
		return false, nil
	}
	known, err := j.knows(ctx, target)
	if err != nil || known {
		return false, err
	}
	if gone, err := j.cameRedacted(ctx, target); err != nil {
		return false, err
	} else if gone {
		j.hold.remove(entry.EventID)
		j.count(RedactionOfGone)
		j.finish(ctx, entry.EventID)
		return true, nil
	}
	now := j.now()
	if !now.Before(j.deadline(entry.ReceivedAt)) {
		j.hold.remove(entry.EventID)
		j.count(RedactionTargetNeverCame)
		j.log.Info().Str("event_id", entry.EventID).Str("room_id", entry.RoomID).Str("target_event_id", target).
			Msg("The event that a redaction is for did not come, letting the redaction go")
		return false, nil
	}
	r := j.hold.byID[entry.EventID]
	if r == nil {
		r = &held{target: target, receivedAt: entry.ReceivedAt, lookAt: now.Add(holdLook), pause: holdLook}
		j.hold.add(entry.EventID, r)
	}
	if !r.early {
		r.early = true
		j.count(RedactionEarly)
		j.log.Debug().Str("event_id", entry.EventID).Str("room_id", entry.RoomID).Str("target_event_id", target).
			Msg("A redaction came before its event, it waits")
	}
	return true, nil
}

// deadline is when a redaction that came at a time has waited long enough.
func (j *journal) deadline(receivedAt time.Time) time.Time {
	if j.hold.behindAt.After(receivedAt) {
		receivedAt = j.hold.behindAt
	}
	return receivedAt.Add(j.hold.wait)
}

// isHeld reports whether the event waits for its target.
func (j *journal) isHeld(eventID string) bool {
	j.handMu.Lock()
	defer j.handMu.Unlock()
	return j.hold.byID[eventID] != nil
}

func (j *journal) heldCount() int {
	j.handMu.Lock()
	defer j.handMu.Unlock()
	return len(j.hold.byID)
}

// fallBehind notes that the transactions are late now.
func (j *journal) fallBehind() {
	j.handMu.Lock()
	defer j.handMu.Unlock()
	j.hold.behindAt = j.now()
}

// weave puts redactions that wait for one of the events behind it: where they
// were in the room, as far as the events' times tell, so that a reaction that
// was taken back and made again comes out right. handMu is held.
func (j *journal) weave(ctx context.Context, events []json.RawMessage) (out []json.RawMessage, woven []database.JournalEntry) {
	out = slices.Clone(events)
	for _, raw := range events {
		j.hold.remove(gjson.GetBytes(raw, "event_id").Str)
	}
	for _, raw := range events {
		eventID := gjson.GetBytes(raw, "event_id").Str
		for _, redaction := range slices.Clone(j.hold.byFor[eventID]) {
			entry, err := j.db.Journal.Get(ctx, redaction)
			if err != nil {
				// The next look finds that its target has passed.
				j.log.Error().Err(err).Str("event_id", redaction).Msg("Failed to read a redaction that waits, will try again")
				continue
			}
			j.hold.remove(redaction)
			if entry != nil {
				out = slices.Insert(out, placeOf(out, eventID, entry), json.RawMessage(entry.Raw))
				woven = append(woven, *entry)
			}
		}
	}
	for _, raw := range out {
		j.hold.passed.add(gjson.GetBytes(raw, "event_id").Str)
	}
	return out, woven
}

// placeOf is behind the target and behind what the room had before the redaction.
func placeOf(events []json.RawMessage, target string, redaction *database.JournalEntry) int {
	at := gjson.GetBytes(redaction.Raw, "origin_server_ts").Int()
	place := -1
	for i, raw := range events {
		evt := gjson.ParseBytes(raw)
		switch {
		case place < 0:
			if evt.Get("event_id").Str == target {
				place = i + 1
			}
		case evt.Get("room_id").Str == redaction.RoomID:
			if evt.Get("origin_server_ts").Int() >= at {
				return place
			}
			place = i + 1
		}
	}
	return max(place, 0)
}

// admit takes what the feed has stored: on to the framework, or into the
// waiting room. Nothing is handed before the last run's events were.
func (j *journal) admit(ctx context.Context, entries []database.JournalEntry) error {
	j.handMu.Lock()
	now := j.now()
	for _, entry := range entries {
		j.hold.add(entry.EventID, &held{
			target: redactionTarget(gjson.ParseBytes(entry.Raw)), receivedAt: entry.ReceivedAt, lookAt: now, pause: holdLook,
		})
	}
	j.handMu.Unlock()
	return j.settleHeld(ctx)
}

// settleHeld hands those redactions on whose target is known by now, or did
// not come in all the time it had. It costs nothing while nothing waits.
func (j *journal) settleHeld(ctx context.Context) error {
	select {
	case <-j.gate:
	default:
		return nil
	}
	j.handMu.Lock()
	defer j.handMu.Unlock()
	now := j.now()
	var due []string
	for eventID, r := range j.hold.byID {
		if !now.Before(r.lookAt) || !now.Before(j.deadline(r.receivedAt)) {
			due = append(due, eventID)
		}
	}
	var entries []database.JournalEntry
	for _, eventID := range due {
		entry, err := j.db.Journal.Get(ctx, eventID)
		if err != nil {
			return err
		}
		r := j.hold.byID[eventID]
		r.lookAt, r.pause = now.Add(r.pause), min(2*r.pause, holdLookMax)
		if entry == nil {
			j.hold.remove(eventID)
			continue
		}
		entries = append(entries, *entry)
	}
	slices.SortFunc(entries, func(a, b database.JournalEntry) int { return int(a.Seq - b.Seq) })
	return j.handLocked(ctx, entries)
}

// waitsForTarget reports whether what an event is about was not found only
// because it is on its way: its handling failed and is going to be repeated, or
// the homeserver tells of it later.
func (j *journal) waitsForTarget(ctx context.Context, eventID string) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	entry, err := j.db.Journal.Get(ctx, eventID)
	if err != nil || entry == nil {
		return false
	}
	switch entry.Type {
	case event.EventReaction.Type:
		return j.now().Sub(entry.ReceivedAt) < unclaimedWait && j.isUnclaimed(ctx, entry)
	case event.EventMessage.Type, pollStartTypes[0], pollStartTypes[1]:
		target := editTarget(gjson.ParseBytes(entry.Raw))
		if target == "" {
			// A reply of which the network side says that its root is on its way.
			return j.now().Sub(entry.ReceivedAt) < comingWait
		}
		if j.now().Sub(entry.ReceivedAt) < comingWait {
			// Dendrite tells of an edit before its message here and there.
			gone, err := j.cameRedacted(ctx, target)
			return err != nil || !gone
		}
		waiting, err := j.db.Journal.Get(ctx, target)
		return err == nil && waiting != nil
	case redactionType:
	default:
		return false
	}
	target, err := j.db.Journal.Get(ctx, redactionTarget(gjson.ParseBytes(entry.Raw)))
	return err == nil && target != nil
}

// awaitedRoot returns the root that a reply waits for, "" where it does not wait, or
// in vain: the homeserver has told of that, so it became nothing (an order to the
// bot, say).
func (j *journal) awaitedRoot(ctx context.Context, eventID string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	entry, err := j.db.Journal.Get(ctx, eventID)
	if err != nil || entry == nil {
		return ""
	}
	relation := gjson.GetBytes(entry.Raw, `content.m\.relates_to`)
	root := relation.Get("event_id").Str
	if relation.Get("rel_type").Str != string(event.RelThread) || root == "" {
		return ""
	}
	if waiting, err := j.db.Journal.Get(ctx, root); err == nil && waiting == nil && j.untold.isTold(root) {
		return ""
	}
	return root
}

// editTarget returns what an event replaces, or "".
func editTarget(evt gjson.Result) string {
	relation := evt.Get(`content.m\.relates_to`)
	if relation.Get("rel_type").Str != string(event.RelReplace) {
		return ""
	}
	return relation.Get("event_id").Str
}

// comingWait is how long a reply waits for the root of its thread, and an edit for
// a message of which the homeserver has not told.
const comingWait = 3 * time.Minute

// unclaimedWait is how long a reaction waits for what it is about.
const unclaimedWait = time.Hour

// isUnclaimed reports whether a reaction is about an event that the bridge has
// sent, but has no row for: its delivery was cut off in between and is repeated.
func (j *journal) isUnclaimed(ctx context.Context, entry *database.JournalEntry) bool {
	target := gjson.GetBytes(entry.Raw, `content.m\.relates_to.event_id`).Str
	if target == "" {
		return false
	}
	echo, err := j.db.Echoes.ByEvent(ctx, target, j.now().Add(-24*time.Hour))
	return err == nil && echo != nil && echo.RoomID == entry.RoomID
}

func (j *journal) count(reason string) {
	if j.onRedaction != nil {
		j.onRedaction(reason)
	}
}

package matrix

import (
	"context"
	"time"

	"maunium.net/go/mautrix/event"

	"teamsbridge/database"
)

// openEvent follows a journalled event through the framework.
type openEvent struct {
	// handedAt is when it was last handed to the framework.
	handedAt time.Time
	// dispatched means that it went through the event processor since then, so
	// it is in its portal's queue, handled, or ignored.
	dispatched bool
	// waiting means that a barrier in the portal's queue will close it.
	waiting bool
	// retryAt is set when handling failed for a reason that will pass.
	retryAt time.Time
	// roomID and place are where it stands among all events, receivedAt since when.
	roomID     string
	place      int64
	receivedAt time.Time
	// awaits is the root of a reply that can't be handled before that.
	awaits string
	// tries counts how often it was handed to the framework.
	tries int
}

// closeTimeout bounds the SQL that closes an entry.
const closeTimeout = 10 * time.Second

// track follows entries that are about to be handed to the framework.
func (j *journal) track(entries []database.JournalEntry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range entries {
		open := &openEvent{handedAt: j.now(), roomID: e.RoomID, receivedAt: e.ReceivedAt, tries: 1}
		if before := j.open[e.EventID]; before != nil && before.place > 0 {
			open.place, open.tries, open.awaits = before.place, before.tries+1, before.awaits
		} else {
			j.places++
			open.place = j.places
		}
		j.untie(e.EventID)
		j.open[e.EventID] = open
	}
}

// dispatched is the last handler of every journalled type: the framework's own
// handlers have run.
func (j *journal) dispatched(_ context.Context, evt *event.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if open := j.open[string(evt.ID)]; open != nil {
		open.dispatched = true
	}
}

// isOpen reports whether the event was journalled and nothing closed it here.
func (j *journal) isOpen(eventID string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.open[eventID] != nil
}

// finish closes an event that somebody owns or that nobody will ever want. A
// failure leaves the entry to the sweeper.
func (j *journal) finish(ctx context.Context, eventID string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := j.db.Journal.Done(ctx, eventID); err != nil {
		j.log.Error().Err(err).Str("event_id", eventID).Msg("Failed to close a journal entry, will try again")
		return
	}
	j.mu.Lock()
	j.close(eventID)
	j.mu.Unlock()
}

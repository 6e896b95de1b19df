package matrix

import (
	"context"
	"time"

	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

const (
	sweepInterval = 30 * time.Second
	// settle is how old an entry is before the sweeper looks at it: nearly all
	// are closed by the outbox's own transaction within milliseconds.
	settle = 30 * time.Second
	// stuckAfter is when an event that never came out of the framework (it
	// could not be decrypted, say) is handed to it again.
	stuckAfter = 10 * time.Minute
	maxStuck   = 5
	echoTTL    = 14 * 24 * time.Hour
)

// sameFailure is how rarely a failure that goes on is written down again: while
// the homeserver is away there is one every few seconds.
const sameFailure = 10 * time.Minute

// every does something again and again until the context ends; what fails is
// done the next time.
func (j *journal) every(ctx context.Context, pause time.Duration, what string, do func(context.Context) error) {
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	var told time.Time // zero while all is well
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := do(ctx)
		switch now := time.Now(); {
		case err == nil:
			told = time.Time{}
		case ctx.Err() == nil && now.Sub(told) >= sameFailure:
			told = now
			j.log.Error().Err(err).Msg("Failed to " + what + ", will try again")
		}
	}
}

// sweep closes the entries that the framework is done with without a word
// (it ignores duplicates, people without permission, rooms that were detached),
// hands those again whose handling failed, and forgets old echoes. So the
// journal never grows for ever, and nothing leaves it unseen.
func (j *journal) sweep(ctx context.Context) error {
	start := j.now()
	seen := map[string]bool{}
	var again []database.JournalEntry
	for after := int64(0); ; {
		entries, err := j.db.Journal.Pending(ctx, after, replayPage)
		if err != nil {
			return err
		} else if len(entries) == 0 {
			break
		}
		for _, entry := range entries {
			seen[entry.EventID] = true
			if j.look(ctx, entry) {
				again = append(again, entry)
			}
		}
		after = entries[len(entries)-1].Seq
	}
	j.forget(seen, start)
	for _, entry := range again {
		if err := j.handAgain(ctx, []database.JournalEntry{entry}); err != nil {
			return err
		}
	}
	_, err := j.db.Echoes.Purge(ctx, start.Add(-echoTTL))
	return err
}

// look decides about one entry; true means that it is to be handed again.
func (j *journal) look(ctx context.Context, entry database.JournalEntry) (again bool) {
	if j.isHeld(entry.EventID) {
		return false
	}
	now := j.now()
	j.mu.Lock()
	open := j.open[entry.EventID]
	if open == nil {
		// Closing it failed, or it was stored by a request that then broke off.
		open = &openEvent{handedAt: entry.ReceivedAt, roomID: entry.RoomID, receivedAt: entry.ReceivedAt}
		j.open[entry.EventID] = open
	}
	state, late := *open, j.late[entry.RoomID][entry.EventID]
	j.mu.Unlock()
	switch {
	case late || now.Sub(state.handedAt) < settle || state.waiting:
		return false // what is late is the retries' business
	case !state.retryAt.IsZero():
		return !now.Before(state.retryAt)
	case !state.dispatched && now.Sub(state.handedAt) < stuckAfter:
		return false
	case !state.dispatched && entry.Attempts >= maxStuck:
		j.log.Error().Str("event_id", entry.EventID).Str("room_id", entry.RoomID).Str("event_type", entry.Type).Int("attempts", entry.Attempts).
			Msg("The framework does not handle this event, giving it up")
		j.finish(ctx, entry.EventID)
		return false
	case !state.dispatched:
		return true
	}
	j.setWaiting(entry.EventID, true)
	switch j.barrier(ctx, id.RoomID(entry.RoomID), func() { j.passed(ctx, entry.EventID) }) {
	case barrierNoPortal:
		j.finish(ctx, entry.EventID)
	case barrierUnavailable:
		j.setWaiting(entry.EventID, false)
	case barrierQueued:
	}
	return false
}

// passed runs in the portal's loop behind the event: it was handled.
func (j *journal) passed(ctx context.Context, eventID string) {
	j.mu.Lock()
	open := j.open[eventID]
	failed := open != nil && !open.retryAt.IsZero()
	if open != nil {
		open.waiting = false
	}
	j.mu.Unlock()
	if open == nil || failed {
		return
	}
	j.log.Debug().Str("event_id", eventID).Msg("The framework is done with an event that nobody took")
	j.finish(ctx, eventID)
}

func (j *journal) setWaiting(eventID string, waiting bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if open := j.open[eventID]; open != nil {
		open.waiting = waiting
	}
}

// forget drops what is followed but was closed in SQL by the outbox.
func (j *journal) forget(seen map[string]bool, before time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for eventID, open := range j.open {
		if !seen[eventID] && open.handedAt.Before(before) {
			j.close(eventID)
		}
	}
}

package matrix

import (
	"cmp"
	"context"
	"slices"
	"time"

	"teamsbridge/database"
)

const (
	// retryTick is how often it is looked for events that are to be tried again.
	retryTick = time.Second
	// retryMin grows by doubling to retryDelay.
	retryMin = time.Second
	// turnPatience is how long an event that can't be handled holds back those
	// behind it: what still fails then may be its own fault.
	turnPatience = 10 * time.Minute
)

// putOff keeps an event whose handling failed for a reason that will pass. Where
// the reason is ours, those that were said after it in the room have to wait for
// it, lest they overtake it on their way to Teams.
func (j *journal) putOff(eventID string, ours bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	open := j.open[eventID]
	if open == nil {
		return
	}
	if !ours {
		open.retryAt = j.now().Add(retryDelay)
		return
	}
	open.retryAt = j.now().Add(min(retryMin<<min(open.tries-1, 10), retryDelay))
	if j.late[open.roomID] == nil {
		j.late[open.roomID] = map[string]bool{}
	}
	j.late[open.roomID][eventID] = true
}

// untie lets those behind an event go on. j.mu is held.
func (j *journal) untie(eventID string) {
	open := j.open[eventID]
	if open == nil {
		return
	}
	delete(j.late[open.roomID], eventID)
	if len(j.late[open.roomID]) == 0 {
		delete(j.late, open.roomID)
	}
}

// inTurn reports whether nothing that was said before the event in its room has
// to be handled first.
func (j *journal) inTurn(eventID string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	open := j.open[eventID]
	if open == nil {
		return true
	}
	for other := range j.late[open.roomID] {
		if before := j.open[other]; before.place < open.place && j.now().Sub(before.receivedAt) < turnPatience {
			return false
		}
	}
	return true
}

// due returns what is to be handed to the framework again, in order: in each
// room up to the first whose time has not come.
func (j *journal) due() (eventIDs []string) {
	now := j.now()
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, late := range j.late {
		room := make([]string, 0, len(late))
		for eventID := range late {
			room = append(room, eventID)
		}
		slices.SortFunc(room, func(a, b string) int { return cmp.Compare(j.open[a].place, j.open[b].place) })
		for _, eventID := range room {
			if now.Before(j.open[eventID].retryAt) {
				break
			}
			eventIDs = append(eventIDs, eventID)
		}
	}
	return eventIDs
}

// retry hands what is due to the framework again. It costs nothing while nothing
// is late.
func (j *journal) retry(ctx context.Context) error {
	for _, eventID := range j.due() {
		entry, err := j.db.Journal.Get(ctx, eventID)
		if err != nil {
			return err
		}
		if entry == nil { // it was taken over after all
			j.mu.Lock()
			j.untie(eventID)
			delete(j.open, eventID)
			j.mu.Unlock()
			continue
		}
		if err := j.handAgain(ctx, []database.JournalEntry{*entry}); err != nil {
			return err
		}
	}
	return nil
}

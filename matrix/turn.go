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
// it holds, those that were said after it in the room have to wait for it, lest they
// overtake it on their way to Teams; but what it awaits itself has not.
func (j *journal) putOff(eventID string, holds bool, awaits string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	open := j.open[eventID]
	if open == nil {
		return
	}
	if awaits != "" {
		if open.awaits = awaits; j.awaited[awaits] == nil {
			j.awaited[awaits] = map[string]int64{}
		}
		j.awaited[awaits][eventID] = open.place
	}
	if !holds {
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

// close ends following an event. j.mu is held.
func (j *journal) close(eventID string) {
	j.untie(eventID)
	if open := j.open[eventID]; open != nil && open.awaits != "" {
		delete(j.awaited[open.awaits], eventID)
		if len(j.awaited[open.awaits]) == 0 {
			delete(j.awaited, open.awaits)
		}
	}
	delete(j.open, eventID)
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
	place := j.turnOf(eventID)
	for other := range j.late[open.roomID] {
		if before := j.open[other]; before.place < place && j.now().Sub(before.receivedAt) < turnPatience {
			return false
		}
	}
	return true
}

// turnOf is where an event stands: what others await stands in front of them, also
// while they are tried again. j.mu is held.
func (j *journal) turnOf(eventID string) int64 {
	turn := j.open[eventID].place
	for _, place := range j.awaited[eventID] {
		turn = min(turn, place)
	}
	return turn
}

// due returns what is to be handed to the framework again, in order: in each
// room up to the first whose time has not come. What another one awaits comes
// before that.
func (j *journal) due() (eventIDs []string) {
	now := j.now()
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, late := range j.late {
		room, turns := make([]string, 0, len(late)), make(map[string]int64, len(late))
		for eventID := range late {
			room, turns[eventID] = append(room, eventID), j.turnOf(eventID)
		}
		slices.SortFunc(room, func(a, b string) int {
			return cmp.Or(cmp.Compare(turns[a], turns[b]), cmp.Compare(j.open[b].place, j.open[a].place))
		})
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
			j.close(eventID)
			j.mu.Unlock()
			continue
		}
		if err := j.handAgain(ctx, []database.JournalEntry{*entry}); err != nil {
			return err
		}
	}
	return nil
}

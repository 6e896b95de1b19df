package portal

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// roomMargin is how much further back than asked the room is read: an event
// comes before the post that it becomes.
const roomMargin = time.Hour

// earlyPages is how many pages must be from before the time that is asked for
// until reading ends: with events of other servers, an early one may stand behind
// a later one.
const earlyPages = 2

// readRoom reads the room's events back to the time.
func (g *gathering) readRoom(ctx context.Context) error {
	r, since := newRoom(g.v), g.s.since.Add(-roomMargin)
	from, early := "", 0
	for {
		page, err := g.v.o.Room.RoomPage(ctx, g.room, from)
		if err != nil {
			return fmt.Errorf("read the room: %w", err)
		}
		recent := false
		for _, e := range page.Events {
			recent = recent || !e.At.Before(since)
			r.add(e)
		}
		if len(r.events)+len(r.reactions)+len(r.edits)+len(r.removed) > g.v.o.MaxMessages {
			return ErrTooMuch
		}
		if recent {
			early = 0
		} else if is, err := g.isEarly(ctx, page.Events, since); err != nil {
			return err
		} else if is {
			early++
		}
		if page.Next == "" || page.Next == from || early >= earlyPages {
			break
		}
		from = page.Next
	}
	r.finish()
	g.s.events, g.s.reactions, g.s.removed = r.events, r.reactions, r.removed
	for _, e := range r.events {
		g.seen[e.ID] = true
	}
	return nil
}

// isEarly reports whether a page proves that it, and so what stands before it,
// came before a time. Of what the bridge sent the room does not tell when: it
// bears the time that it has in Teams, and a backlog or a history may have come
// much later. That is what the ledger knows.
func (g *gathering) isEarly(ctx context.Context, page []RoomEvent, since time.Time) (bool, error) {
	shown := map[string][]string{} // the events by Teams id
	var events, remotes []string
	for _, e := range page {
		if !e.Own && e.At.Before(since) {
			return true, nil
		}
		if remote, _, ok := shownMessage(e.Source); ok && e.Own {
			events, remotes = append(events, e.ID.String()), append(remotes, remote)
			shown[remote] = append(shown[remote], e.ID.String())
		}
	}
	slices.Sort(remotes)
	ledger, err := g.v.o.DB.Inbox.ByMessages(ctx, g.portal, slices.Compact(remotes))
	if err != nil {
		return false, err
	}
	for _, row := range ledger {
		if !row.DeliveredAt.IsZero() && row.DeliveredAt.Before(since) {
			return true, nil
		}
		delete(shown, row.MessageID)
	}
	if since.Before(g.v.o.Now().Add(-g.v.o.Ledger)) {
		return false, nil
	}
	// The ledger forgets what it delivered long before the time, the message rows
	// don't. What stands for a root that is gone never was in the ledger.
	if err = g.rowsBy(ctx, "mxid", events); err != nil {
		return false, err
	}
	for _, forgotten := range shown {
		if slices.ContainsFunc(forgotten, func(event string) bool {
			at, known := g.byMX[event]
			return known && !g.s.rows[at].Placeholder
		}) {
			return true, nil
		}
	}
	return false, nil
}

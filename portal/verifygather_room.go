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

// keptMargin is how far what the homeserver says of its retention is trusted: its
// clock is another one, and what is about to expire is not worth a repair.
const keptMargin = time.Hour

// readKept finds out from when on the homeserver keeps the room, where an event is
// missing: what it has let go of on purpose is none of what a repair brings back.
func (g *gathering) readKept(ctx context.Context) error {
	if !g.lacks() {
		return nil
	}
	room, err := g.v.o.Room.RoomKept(ctx, g.room)
	if err != nil {
		return fmt.Errorf("ask how far back the room goes: %w", err)
	}
	now := g.v.o.Now()
	if room.Lifetime > 0 {
		g.s.kept = now.Add(keptMargin - room.Lifetime)
	}
	if !room.Purged {
		return nil
	} else if len(room.First) == 0 {
		g.s.kept = now // nothing of what was said is left
		return nil
	}
	if first := room.First[0].At; first.After(g.s.kept) {
		g.s.kept = first
	}
	// What came late bears an early time. The order of the rows is that of coming.
	events := make([]string, 0, len(room.First))
	for _, e := range room.First {
		events = append(events, e.ID.String())
	}
	if err = g.rowsBy(ctx, "mxid", events); err != nil {
		return err
	}
	for _, event := range events {
		if at, known := g.byMX[event]; known && (g.s.keptRow == 0 || g.s.rows[at].ID < g.s.keptRow) {
			g.s.keptRow = g.s.rows[at].ID
		}
	}
	return nil
}

// lacks reports whether the room does not show something that Teams has.
func (g *gathering) lacks() bool {
	there, sources := map[string]bool{}, map[string]bool{}
	for _, e := range g.s.events {
		there[e.ID] = true
		if remote, _, ok := shownMessage(e.Source); ok {
			sources[remote] = true
		}
	}
	for _, row := range g.s.rows {
		if _, listed := g.teams[row.Remote]; listed && !row.Deleted && !there[row.Event] {
			return true
		}
	}
	for _, p := range g.s.parts {
		sources[p.RemoteID] = true
		if _, listed := g.teams[p.RemoteID]; listed && !isDigest(p.EventID) && !there[p.EventID] {
			return true
		}
	}
	return slices.ContainsFunc(g.s.teams, func(t teamsSide) bool {
		_, known := g.byID[t.ID]
		return !known && !sources[t.ID] && !t.Deleted && !t.System
	})
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

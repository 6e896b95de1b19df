package bridge

import (
	"cmp"
	"context"
	"slices"

	"teamsbridge/database"
	"teamsbridge/portal"
)

// pages calls f with the rows of a portal, waiting ones or parked ones, some at a
// time and in order.
func (q *queues) pages(ctx context.Context, portalID string, parked bool, f func(rows []*database.OutboxRow) error) error {
	for after := int64(0); ; {
		rows, err := q.db.Outbox.Waiting(ctx, portalID, parked, after, database.QueuePage)
		if err != nil || len(rows) == 0 {
			return err
		}
		after = rows[len(rows)-1].ID
		if err = f(rows); err != nil || len(rows) < database.QueuePage {
			return err
		}
	}
}

// changed is what a command has done.
type changed struct {
	toTeams, fromTeams, busy, conversations int
	// partly are the first of the messages that Teams has a part of, of which there
	// are partlyAll.
	partly    []partlyInTeams
	partlyAll int
}

func (c changed) isNothing() bool {
	return c.toTeams+c.fromTeams+c.busy+c.conversations == 0
}

// partlyInTeams is a message with the numbers of the parts that Teams has, and of
// those of which nobody knows.
type partlyInTeams struct {
	event     string
	in, maybe []int
}

// retry puts parked rows of a scope back into the queue and makes waiting ones
// due, in both directions.
func (q *queues) retry(ctx context.Context, s queueScope) (done changed, err error) {
	switch {
	case s.event != "":
		return done, q.retryEvent(ctx, s.event, &done)
	case s.message != "":
		rows, err := q.db.Inbox.ParkedAs(ctx, s.message)
		if err != nil {
			return done, err
		}
		for _, row := range rows {
			ok, err := q.db.Inbox.UnparkOne(ctx, row.Portal, row.MessageID)
			if err != nil {
				return done, err
			} else if ok {
				done.fromTeams++
			}
			q.toMatrix(row.Portal)
		}
		return done, nil
	}
	counts, err := q.parkedFromTeams(ctx, s)
	if err != nil {
		return done, err
	}
	for _, c := range counts {
		n, err := q.db.Inbox.Unpark(ctx, c.Portal)
		if err != nil {
			return done, err
		}
		done.fromTeams += int(n)
		q.toMatrix(c.Portal)
	}
	backlogs, err := q.backlogs(ctx, s)
	if err != nil {
		return done, err
	}
	for _, b := range backlogs {
		err = q.pages(ctx, b.Portal, true, func(rows []*database.OutboxRow) error {
			for _, row := range rows {
				ok, err := portal.BringBack(ctx, q.db, row, q.now())
				if err != nil {
					return err
				} else if ok {
					done.toTeams++
				}
			}
			return nil
		})
		if err != nil {
			return done, err
		}
		q.due(ctx, b.Portal)
		done.conversations++
	}
	return done, nil
}

// retryEvent does that for one event, and for what was parked because of it.
func (q *queues) retryEvent(ctx context.Context, event string, done *changed) error {
	row, err := q.db.Outbox.ByEvent(ctx, event)
	if err != nil || row == nil {
		return err
	}
	if row.State == database.StateParked {
		ok, err := portal.BringBack(ctx, q.db, row, q.now())
		if err != nil {
			return err
		} else if ok {
			done.toTeams++
		}
		if ok && row.Kind == database.KindMessage {
			n, err := q.db.Outbox.RequeueFollowers(ctx, row.EventID)
			if err != nil {
				return err
			}
			done.toTeams += int(n)
		}
	}
	q.due(ctx, row.Portal)
	done.conversations++
	return nil
}

// drop takes rows of a scope out of the queues for good. What Teams may have a
// part of stays.
func (q *queues) drop(ctx context.Context, s queueScope) (done changed, err error) {
	defer q.tell()
	switch {
	case s.event != "":
		row, err := q.db.Outbox.ByEvent(ctx, s.event)
		if err != nil || row == nil {
			return done, err
		}
		return done, q.dropRows(ctx, []*database.OutboxRow{row}, &done)
	case s.message != "":
		rows, err := q.db.Inbox.ParkedAs(ctx, s.message)
		if err != nil {
			return done, err
		}
		for _, row := range rows {
			ok, err := q.db.Inbox.DropParked(ctx, row.Portal, row.MessageID, portal.ReasonDropped)
			if err != nil {
				return done, err
			} else if ok {
				done.fromTeams++
				q.metrics.Count(portal.MetricDropped, portal.ReasonDropped)
			}
		}
		return done, nil
	}
	counts, err := q.parkedFromTeams(ctx, s)
	if err != nil {
		return done, err
	}
	for _, c := range counts {
		n, err := q.db.Inbox.DropParkedIn(ctx, c.Portal, portal.ReasonDropped)
		if err != nil {
			return done, err
		}
		done.fromTeams += int(n)
		for range n {
			q.metrics.Count(portal.MetricDropped, portal.ReasonDropped)
		}
	}
	backlogs, err := q.backlogs(ctx, s)
	if err != nil {
		return done, err
	}
	for _, b := range backlogs {
		for _, isParked := range []bool{true, false} {
			if err = q.pages(ctx, b.Portal, isParked, func(rows []*database.OutboxRow) error { return q.dropRows(ctx, rows, &done) }); err != nil {
				return done, err
			}
		}
	}
	return done, nil
}

// dropRows drops some rows of one portal.
func (q *queues) dropRows(ctx context.Context, rows []*database.OutboxRow, done *changed) error {
	ids, waiting := make([]int64, 0, len(rows)), 0
	for _, row := range rows {
		ids = append(ids, row.ID)
		if row.DoneAt.IsZero() {
			waiting++
		}
	}
	partly, err := q.partly(ctx, rows)
	if err != nil {
		return err
	}
	n, err := q.db.Outbox.DropAll(ctx, ids, portal.ReasonDropped, portal.DetailDropped)
	if err != nil {
		return err
	}
	done.partlyAll += len(partly)
	done.partly = append(done.partly, partly[:min(len(partly), maxListed-len(done.partly))]...)
	done.toTeams += int(n)
	done.busy += min(waiting, len(rows)-int(n))
	for range n {
		q.metrics.Count(portal.MetricFailed, portal.ReasonDropped)
	}
	if n > 0 {
		q.toTeams(rows[0].Portal)
	}
	return nil
}

// partly returns which of the rows Teams has a part of, or may have.
func (q *queues) partly(ctx context.Context, rows []*database.OutboxRow) (out []partlyInTeams, err error) {
	events := make([]string, 0, len(rows))
	for _, row := range rows {
		if row.Kind == database.KindMessage && (row.DoneAt.IsZero() || row.State == database.StateParked) {
			events = append(events, row.EventID)
		}
	}
	parts, err := q.db.Sent.ByEvents(ctx, events)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(parts, func(a, b database.SentPart) int {
		return cmp.Or(cmp.Compare(slices.Index(events, a.EventID), slices.Index(events, b.EventID)), cmp.Compare(a.Part, b.Part))
	})
	at := map[string]int{}
	for _, p := range parts {
		if p.State == database.PartDeleted {
			continue
		}
		i, known := at[p.EventID]
		if !known {
			i = len(out)
			at[p.EventID], out = i, append(out, partlyInTeams{event: p.EventID})
		}
		if p.State == database.StateSent {
			out[i].in = append(out[i].in, p.Part)
		} else {
			out[i].maybe = append(out[i].maybe, p.Part)
		}
	}
	return out, nil
}

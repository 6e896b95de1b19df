package bridge

import (
	"context"
	"slices"
	"strings"
	"time"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/texts"
)

// queues is what administrators do about what waits, or was parked, on its way
// between the two sides.
type queues struct {
	db      *database.Database
	catalog *catalog
	holds   *holds
	metrics portal.Metrics
	now     func() time.Time
	// toTeams and toMatrix make a portal's lanes look again, tell makes authors
	// of dropped rows be told.
	toTeams, toMatrix func(portalID string)
	tell              func()
	// due makes what waits in a portal due, also what fails at this moment.
	due func(ctx context.Context, portalID string)
	// texts is what answers are in.
	texts texts.Texts
}

// queueScope is what a queue command is about: a message, or everything that a
// hold of that scope would cover.
type queueScope struct {
	// event is a Matrix event, message the id of a Teams message that is parked.
	event, message string
	scope          string
	label          string
}

func (s queueScope) covers(portalID string) bool {
	return database.Hold{Scope: s.scope}.Covers(portalID)
}

// find reads what stands behind a command: EVENT, TEAM, TEAM/CHANNEL or all.
// ok is false where it names nothing.
func (q *queues) find(name string) (s queueScope, ok bool) {
	name = strings.TrimSpace(name)
	switch {
	case name == "":
		return s, false
	case strings.HasPrefix(name, "$"):
		return queueScope{event: name, label: "`" + name + "`"}, !strings.ContainsAny(name, " `")
	case len(name) >= 10 && strings.Trim(name, "0123456789") == "":
		return queueScope{message: name, label: "`" + name + "`"}, true
	}
	views := teamViews(q.catalog.all(nil))
	for _, split := range splits(name) {
		view, _ := findTeam(views, split[0])
		if view == nil {
			continue
		}
		if split[1] == "" {
			return queueScope{scope: string(portal.TeamPortal(view.team.TeamID).ID), label: labelTeam(q.texts, view.team.Name)}, true
		}
		if conv, _ := findChannel(view.channels, split[1]); conv != nil {
			return queueScope{scope: conv.Portal, label: labelChannel(q.texts, conv.Name, view.team.Name)}, true
		}
	}
	return queueScope{label: q.texts.Say(texts.Everything)}, strings.EqualFold(name, "all")
}

// findFirst is find for a name with something behind it, which is returned: the
// longest name that there is counts.
func (q *queues) findFirst(text string) (s queueScope, rest string, ok bool) {
	words := strings.Fields(text)
	for n := len(words); n > 0; n-- {
		if s, ok = q.find(strings.Join(words[:n], " ")); ok {
			return s, strings.Join(words[n:], " "), true
		}
	}
	return s, "", false
}

// name is what a portal is called.
func (q *queues) name(portalID string) string {
	conv, ok := q.catalog.get(portalID)
	if !ok {
		return portalID
	}
	if conv.Kind == database.ConversationTeam {
		return conv.Name
	}
	return q.catalog.teamName(conv.TeamID) + "/" + conv.Name
}

// backlog is one conversation's part of the answer to queue.
type backlog struct {
	database.Backlog
	name string
	// fromTeams is how many messages from Teams are parked.
	fromTeams int
	// why is why what is in front waits.
	why string
}

// list returns the conversations in which something waits or is parked.
func (q *queues) list(ctx context.Context, s queueScope) ([]backlog, error) {
	rows, err := q.db.Outbox.Backlogs(ctx)
	if err != nil {
		return nil, err
	}
	counts, err := q.parkedFromTeams(ctx, s)
	if err != nil {
		return nil, err
	}
	fromTeams := map[string]int{}
	for _, c := range counts {
		fromTeams[c.Portal] = c.N
	}
	var out []backlog
	for _, row := range rows {
		if !s.covers(row.Portal) {
			continue
		}
		b := backlog{Backlog: row, name: q.name(row.Portal), fromTeams: fromTeams[row.Portal]}
		delete(fromTeams, row.Portal)
		if b.why, err = q.why(ctx, row.Portal); err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	for portalID, n := range fromTeams {
		out = append(out, backlog{Backlog: database.Backlog{Portal: portalID}, name: q.name(portalID), fromTeams: n})
	}
	slices.SortFunc(out, func(a, b backlog) int {
		return compareStrings(strings.ToLower(a.name), strings.ToLower(b.name), a.Portal, b.Portal)
	})
	return out, nil
}

// why says why what is in front of a portal's queue waits.
func (q *queues) why(ctx context.Context, portalID string) (string, error) {
	head, err := q.db.Outbox.Next(ctx, portalID)
	if err == nil && head == nil {
		head, err = q.db.Outbox.NextAside(ctx, portalID)
	}
	if err != nil || head == nil {
		return "", err
	}
	if hold, held := q.holds.holding(portalID); held {
		return holdText(q.texts, hold), nil
	}
	switch {
	case head.NextAt.After(q.now()):
		return q.texts.Say(texts.QueueTriedAgain, "why", spoken(q.texts, head.Reason), "time", q.texts.Time(head.NextAt)), nil
	case head.State == database.StateSending:
		return q.texts.Say(texts.QueueSending), nil
	default:
		return q.texts.Say(texts.RepairWaits), nil
	}
}

// parkedFromTeams counts the parked messages from Teams by portal.
func (q *queues) parkedFromTeams(ctx context.Context, s queueScope) ([]database.ParkedCount, error) {
	all, err := q.db.Inbox.ParkedCounts(ctx)
	return slices.DeleteFunc(all, func(c database.ParkedCount) bool { return !s.covers(c.Portal) }), err
}

// count counts the rows of a scope, waiting and parked ones.
func (q *queues) count(ctx context.Context, s queueScope) (n int, err error) {
	switch {
	case s.event != "":
		row, err := q.db.Outbox.ByEvent(ctx, s.event)
		if err != nil || row == nil {
			return 0, err
		}
		return 1, nil
	case s.message != "":
		rows, err := q.db.Inbox.ParkedAs(ctx, s.message)
		return len(rows), err
	}
	backlogs, err := q.backlogs(ctx, s)
	if err != nil {
		return 0, err
	}
	for _, b := range backlogs {
		n += b.Waiting + b.Parked
	}
	parked, err := q.parkedFromTeams(ctx, s)
	for _, c := range parked {
		n += c.N
	}
	return n, err
}

// backlogs returns the portals of a scope in which something waits or is parked.
func (q *queues) backlogs(ctx context.Context, s queueScope) ([]database.Backlog, error) {
	all, err := q.db.Outbox.Backlogs(ctx)
	return slices.DeleteFunc(all, func(b database.Backlog) bool { return !s.covers(b.Portal) }), err
}

// show returns the first rows of a scope, parked and waiting ones, up to a limit.
func (q *queues) show(ctx context.Context, s queueScope, limit int) (rows []*database.OutboxRow, parked []database.InboxRow, err error) {
	switch {
	case s.event != "":
		row, err := q.db.Outbox.ByEvent(ctx, s.event)
		if err != nil || row == nil {
			return nil, nil, err
		}
		return []*database.OutboxRow{row}, nil, nil
	case s.message != "":
		parked, err = q.db.Inbox.ParkedAs(ctx, s.message)
		return nil, parked, err
	}
	backlogs, err := q.backlogs(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	for _, b := range backlogs {
		for _, isParked := range []bool{true, false} {
			if len(rows) >= limit {
				return rows, nil, nil
			}
			here, err := q.db.Outbox.Waiting(ctx, b.Portal, isParked, 0, limit-len(rows))
			if err != nil {
				return nil, nil, err
			}
			rows = append(rows, here...)
		}
	}
	counts, err := q.parkedFromTeams(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range counts {
		if len(rows)+len(parked) >= limit {
			break
		}
		here, err := q.db.Inbox.ParkedIn(ctx, c.Portal, limit-len(rows)-len(parked))
		if err != nil {
			return nil, nil, err
		}
		parked = append(parked, here...)
	}
	return rows, parked, nil
}

// resume takes pauses of a scope away, and those of what is in it.
func (q *queues) resume(ctx context.Context, s queueScope) (n int, err error) {
	for _, hold := range q.holds.list() {
		if hold.Kind != database.HoldPause || hold.Scope != s.scope && !s.covers(hold.Scope) {
			continue
		}
		ok, err := q.holds.clear(ctx, hold.Scope, hold.Kind)
		if err != nil {
			return n, err
		} else if ok {
			n++
		}
	}
	return n, nil
}

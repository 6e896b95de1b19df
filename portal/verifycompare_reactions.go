package portal

import (
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
)

// reactions compares who reacted how.
func (c *comparison) reactions() {
	r := &reactionComparison{
		comparison: c, rowsBy: map[networkid.MessageID][]*reactionRow{}, rowByEvent: map[string]*reactionRow{},
		eventsOn: map[string][]*reactionEvent{}, alive: map[string]bool{}, sentBy: map[string]database.SentReaction{},
	}
	for i := range c.s.reactRows {
		row := &c.s.reactRows[i]
		r.rowsBy[row.Message] = append(r.rowsBy[row.Message], row)
		r.rowByEvent[row.Event] = row
	}
	for i := range c.s.reactions {
		e := &c.s.reactions[i]
		r.eventsOn[e.Target] = append(r.eventsOn[e.Target], e)
		r.alive[e.ID] = true
	}
	for _, sent := range c.s.sentReact {
		r.sentBy[sent.EventID] = sent
	}
	for i := range c.s.teams {
		r.message(&c.s.teams[i])
	}
	for i := range c.s.reactions {
		r.event(&c.s.reactions[i])
	}
}

type reactionComparison struct {
	*comparison
	rowsBy     map[networkid.MessageID][]*reactionRow
	rowByEvent map[string]*reactionRow
	eventsOn   map[string][]*reactionEvent
	alive      map[string]bool
	sentBy     map[string]database.SentReaction
}

func (r *reactionComparison) difference(t *teamsSide, key reactionKey, event string, how fix, other, reason string) {
	r.find(Finding{
		Class: DifferentReactions, Message: t.ID, Event: id.EventID(event), Emoji: string(key.emoji), At: t.Created,
		fix: how, other: other, who: string(key.sender), Reason: reason,
	})
}

// message compares the reactions of a message that both sides show.
func (r *reactionComparison) message(t *teamsSide) {
	ledger, part := r.s.ledger[t.ID], r.partsRemote[t.ID]
	if t.Deleted || ledger.State == database.StatePending || ledger.State == database.StateParked || r.recent(t.Modified) || part != nil && part.Part > 0 {
		return
	}
	rows := r.rows[t.ID]
	if len(rows) == 0 {
		return
	}
	for _, row := range rows {
		e := r.events[row.Event]
		if row.Deleted || row.Deleting || e == nil || e.Redacted || e.Pos == 0 {
			return // what stands on an event that was not read is not known either
		}
	}
	have := r.rowsBy[rows[0].Message]
	for _, w := range t.Reactions {
		if w.Relay {
			r.relayed(t, w)
			continue
		}
		at := slices.IndexFunc(have, func(row *reactionRow) bool { return row.reactionKey == w.reactionKey })
		if at < 0 {
			r.difference(t, w.reactionKey, "", fixRedeliver, "", "")
		} else {
			r.shown(t, have[at])
		}
	}
	for _, row := range have {
		listed := slices.ContainsFunc(t.Reactions, func(w teamsReaction) bool { return !w.Relay && w.reactionKey == row.reactionKey })
		if !listed {
			r.unlisted(t, row)
		}
	}
	r.orphans(t, rows, have)
}

// shown judges a reaction that Teams lists and a row knows.
func (r *reactionComparison) shown(t *teamsSide, row *reactionRow) {
	if row.Queued || row.Removing {
		r.report.OnTheWay++
		return
	} else if r.alive[row.Event] {
		return
	}
	removed, known := r.s.removed[row.Event]
	out, queued := r.s.outbox[removed.Redaction]
	switch {
	case !known, removed.Own:
		r.difference(t, row.reactionKey, row.Event, fixReaction, "", "")
	case removed.By != removed.Sender:
		r.report.Left[LeftModerated]++
	case r.s.journal[removed.Redaction], r.recent(removed.At), queued && out.DoneAt.IsZero() && !givenUp(out):
		r.report.OnTheWay++
	case queued && givenUp(out):
		r.report.Failed["removal of a reaction: "+out.Reason]++
	case queued:
		r.difference(t, row.reactionKey, row.Event, fixUnreact, string(row.sender), "")
	default:
		r.difference(t, row.reactionKey, row.Event, fixRequeue, removed.Redaction, "")
	}
}

// unlisted judges a reaction that a row knows and Teams does not list.
func (r *reactionComparison) unlisted(t *teamsSide, row *reactionRow) {
	acked := time.UnixMilli(row.AckMS)
	switch {
	case strings.Contains(string(row.emoji), "~$"):
		// One that is being removed, out of the way of its successor.
	case row.Queued, row.Removing, row.Outbound && r.recent(acked):
		r.report.OnTheWay++
	case !r.alive[row.Event]:
	case row.Outbound && row.Relayed:
		sent, ok := r.sentBy[row.Event]
		if !ok || !slices.ContainsFunc(t.Reactions, func(w teamsReaction) bool {
			return string(w.sender) == sent.AccountID && w.emoji == row.emoji
		}) {
			r.difference(t, row.reactionKey, row.Event, fixReact, sent.AccountID, "")
		}
	case row.Outbound && t.Modified.Before(acked.Add(reactionSkew)):
		r.difference(t, row.reactionKey, row.Event, fixReact, string(row.sender), "")
	default:
		r.difference(t, row.reactionKey, row.Event, fixRedeliver, "", "")
	}
}

// relayed judges a reaction of a relay account: somebody must stand behind it.
func (r *reactionComparison) relayed(t *teamsSide, w teamsReaction) {
	if !slices.ContainsFunc(r.s.sentReact, func(sent database.SentReaction) bool {
		return sent.TargetID == t.ID && sent.AccountID == string(w.sender) && sent.Emoji == string(w.emoji)
	}) {
		r.difference(t, w.reactionKey, "", fixUnreact, string(w.sender), "")
	}
}

// orphans finds reactions of the bridge that neither Teams nor a row knows.
func (r *reactionComparison) orphans(t *teamsSide, rows []*rowSide, have []*reactionRow) {
	for _, row := range rows {
		for _, e := range r.eventsOn[row.Event] {
			key := reactionKey{UserID(e.Person), e.Emoji}
			if !e.Own || r.rowByEvent[e.ID] != nil || e.Person == "" || r.recent(e.At) ||
				slices.ContainsFunc(t.Reactions, func(w teamsReaction) bool { return w.reactionKey == key }) ||
				slices.ContainsFunc(have, func(row *reactionRow) bool { return row.reactionKey == key }) {
				continue
			}
			r.difference(t, key, e.ID, fixRedact, "", "")
		}
	}
}

// event judges a person's reaction that no row knows.
func (r *reactionComparison) event(e *reactionEvent) {
	row := r.rowBy(e.Target)
	if e.Own || row == nil || row.Deleted || row.Deleting || r.rowByEvent[e.ID] != nil || e.At.Before(r.s.since) || e.At.Before(r.s.mirrored) {
		return
	}
	out, queued := r.s.outbox[e.ID]
	key := reactionKey{UserID(e.Person), e.Emoji}
	_, unlike := msgconv.EmojiToTeams(string(e.Emoji))
	switch {
	case e.Person == "", unlike != nil: // Teams has no such reaction, which its author was told
		r.report.Left[LeftNotForward]++
	case queued && givenUp(out):
		r.report.Failed["reaction: "+out.Reason]++
	case queued && out.State == database.StateDone:
	case queued, r.s.journal[e.ID], r.recent(e.At):
		r.report.OnTheWay++
	case slices.ContainsFunc(r.rowsBy[row.Message], func(have *reactionRow) bool { return have.reactionKey == key }):
		// The same reaction of the same person once more, by another event.
	case e.At.Before(r.s.memory):
		r.report.Left[LeftForgotten]++
	case !r.inTeams(row):
		// What it is on never got to Teams, which has its own line.
	default:
		r.find(Finding{
			Class: DifferentReactions, Message: row.Remote, Event: id.EventID(e.ID), Emoji: string(e.Emoji), At: e.At,
			fix: fixRequeue, who: e.Person,
		})
	}
}

func (r *reactionComparison) rowBy(event string) *rowSide { return r.comparison.rowByEvent[event] }

// inTeams reports whether a reaction can be put on a message.
func (r *reactionComparison) inTeams(row *rowSide) bool {
	return row.Remote != "" && !r.s.gone[row.Remote]
}

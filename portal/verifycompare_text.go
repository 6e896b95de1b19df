package portal

import (
	"slices"
	"time"

	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

// text judges whether both sides show the same text of a message, and reports
// whether they do not.
func (c *comparison) text(t *teamsSide, rows []*rowSide, part *database.SentPart) (differs bool) {
	first := rows[0]
	f := Finding{Class: DifferentText, Message: t.ID, Event: id.EventID(first.Event), At: t.Created, fix: fixRedeliver}
	switch {
	case part != nil && first.Outbound:
		return c.ownText(t, first, part)
	case first.Version > t.Version:
		return false // what was read is older than what is shown
	case first.ContentHash != t.Hash && !sameParts(t, rows) && !(len(first.Prints) > 0 && first.Prints[0] == t.Print):
		// Its author may have edited in Matrix what was written in Teams.
		if !first.Ghost && c.editing(c.events[first.Event]) {
			c.report.OnTheWay++
			return false
		}
		if sameTexts(t, rows) {
			f.Class = DifferentMedia
		}
		c.find(f)
		return true
	}
	if e := c.events[first.Event]; e != nil && e.Edit != "" && len(first.Prints) > 0 && first.Prints[0] != t.Print &&
		t.Edited.Before(time.UnixMilli(first.EditedMS).Add(-staleEdit)) {
		// Its author edited it in Matrix, and Teams shows what was there before.
		if f.fix, f.other = fixRequeueEdit, e.Edit; c.editing(e) {
			c.report.OnTheWay++
			return false
		}
		c.find(f)
		return true
	}
	for _, row := range rows {
		e := c.events[row.Event]
		if e == nil {
			continue // on its way out, and redacted so long ago that it was not read
		}
		if c.otherMedia(t, row, e) {
			return true
		}
		_, image := imageIndex(row.Part)
		_, file := fileIndex(row.Part)
		if image || file || row.PartHash == "" || len(e.Hashes) == 0 || c.s.partial[e.ID] || e.Edit != "" {
			continue
		}
		if !slices.Contains(e.Hashes, row.PartHash) {
			f.Event, f.fix = id.EventID(row.Event), fixReshow
			c.find(f)
			return true
		}
	}
	return false
}

// sameParts reports whether rows show what would be shown now, although Teams
// told it in another form.
func sameParts(t *teamsSide, rows []*rowSide) bool {
	return len(t.Parts) == len(rows) && !slices.ContainsFunc(t.Parts, func(part shownPart) bool {
		return !slices.ContainsFunc(rows, func(row *rowSide) bool {
			return row.Part == part.id && (part.hash == "" || row.PartHash == part.hash) && sameSource(part, row)
		})
	})
}

// editing reports whether an edit of an event is still to be brought to Teams.
func (c *comparison) editing(e *matrixSide) bool {
	switch {
	case e == nil:
		return false
	case c.s.edited[e.ID]: // also where it counts votes, which no event says
		return true
	case e.Edit == "":
		return false
	}
	out, queued := c.s.outbox[e.Edit]
	return c.s.journal[e.Edit] || queued && out.DoneAt.IsZero()
}

// ownText judges a part of a message that was written in Matrix. What Teams
// made of a post that nobody edited is no difference.
func (c *comparison) ownText(t *teamsSide, row *rowSide, part *database.SentPart) (differs bool) {
	e := c.events[row.Event]
	if e == nil {
		return false // which is told with the message's first post
	}
	said := part.Fingerprint
	if part.Part < len(row.Prints) {
		said = row.Prints[part.Part]
	}
	edited := row.EditedMS != 0
	stale := slices.Contains(row.Before, t.Print) && t.Edited.Before(time.UnixMilli(row.EditedMS).Add(staleEdit))
	switch {
	case t.Print == said, row.ContentHash != "" && row.ContentHash == t.Hash, t.Edited.IsZero() && !edited:
		return false
	case c.editing(e):
		c.report.OnTheWay++
		return false
	}
	f := Finding{Class: DifferentText, Message: t.ID, Event: id.EventID(row.Event), At: t.Created, fix: fixRedeliver}
	if edited && (stale || t.Edited.Before(time.UnixMilli(row.EditedMS).Add(-staleEdit))) {
		// Teams shows what was there before an edit of ours.
		f.fix = fixRequeueEdit
		if f.other = e.Edit; f.other == "" {
			f.fix, f.Reason = fixNone, whyUnnamed
		}
	}
	c.find(f)
	return true
}

// event judges what became of an event of a person.
func (c *comparison) event(e *matrixSide) {
	c.report.InMatrix++
	row := c.rowByEvent[e.ID]
	switch {
	case e.Own, e.Redacted:
		return
	case e.Unwanted:
		c.report.Left[LeftNotForward]++
		return
	case e.At.Before(c.s.since), e.At.Before(c.s.mirrored):
		return
	case c.recent(e.At):
		c.report.OnTheWay++
		return
	}
	remote := ""
	if row != nil {
		remote = row.Remote
	}
	for _, p := range c.partsEvent[e.ID] {
		if p.Part == 0 && p.RemoteID != "" {
			remote = p.RemoteID
		}
	}
	if remote == "" {
		c.notInTeams(e, row)
		return
	}
	if c.s.gone[remote] {
		c.find(Finding{Class: GoneInTeams, Message: remote, Event: id.EventID(e.ID), At: e.At, Reason: whyGone})
		return
	}
	c.rest(e)
	if t := c.teams[remote]; t != nil && !t.Deleted && row != nil && !row.Deleted && !row.Deleting {
		c.edit(t, row, e)
	}
}

// notInTeams judges an event of a person of which no post is known.
func (c *comparison) notInTeams(e *matrixSide, row *rowSide) {
	out, queued := c.s.outbox[e.ID]
	f := Finding{Class: MissingInTeams, Event: id.EventID(e.ID), At: e.At, fix: fixRequeue}
	switch {
	case queued && givenUp(out):
		c.report.Failed["to Teams: "+out.Reason]++
		return
	case queued && out.State == database.StateDone:
		c.report.Left[LeftFinished]++
		return
	case queued, c.s.journal[e.ID]:
		c.report.OnTheWay++
		return
	case c.claimed[e.ID]:
		return // reported with the post
	case !queued && e.At.Before(c.s.memory):
		c.report.Left[LeftForgotten]++
		return
	}
	for _, t := range c.strangers {
		if !t.Created.Before(e.At.Add(-postWindow)) && t.Created.Before(e.At.Add(24*time.Hour)) {
			f.fix, f.Reason = fixNone, whyMaybe
			post := &c.report.Findings[t.finding]
			post.fix, post.Reason = fixNone, whyMaybeEvent
		}
	}
	c.find(f)
}

// edit judges an author's newest edit.
func (c *comparison) edit(t *teamsSide, row *rowSide, e *matrixSide) {
	if e.Edit == "" || c.recent(e.EditAt) {
		return
	}
	out, queued := c.s.outbox[e.Edit]
	switch {
	case queued && givenUp(out):
		c.report.Failed["edit: "+out.Reason]++
	case queued, c.s.journal[e.Edit], row.EditedMS >= e.EditAt.UnixMilli(), e.EditAt.Before(c.s.memory):
	default:
		c.find(Finding{Class: DifferentText, Message: t.ID, Event: id.EventID(e.ID), At: e.At, fix: fixRequeue, other: e.Edit})
	}
}

package portal

import (
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

// partOnOneSide judges whether a post behind the first of a message is there, and
// should be.
func (c *comparison) partOnOneSide(t *teamsSide, row *rowSide, part *database.SentPart) (differs bool) {
	f := Finding{Message: t.ID, Event: id.EventID(part.EventID), At: t.Created}
	e := c.events[part.EventID]
	switch {
	case row.Deleting:
		c.report.OnTheWay++
	case t.Deleted && part.State == database.StateSent:
		f.Class, f.fix = DeletedInTeams, fixRedeliver
		c.find(f)
	case t.Deleted, part.State == database.StateSent && !row.Deleted:
		return false
	case c.editing(e):
		c.report.OnTheWay++
	case part.State == database.PartDeleted:
		f.Class, f.fix, f.other = DeletedInMatrix, fixDeletePart, part.AccountID
		c.find(f)
	default:
		f.Class, f.Reason = DeletedInMatrix, whyRest
		c.find(f)
	}
	return true
}

// rest judges the posts behind the first of an event: whether they were given up,
// and whether Teams has them still.
func (c *comparison) rest(e *matrixSide) {
	switch out, queued := c.s.outbox[e.ID]; {
	case queued && givenUp(out):
		c.report.Failed["to Teams, which has a part: "+out.Reason]++
	case queued && out.State != database.StateDone:
		c.report.OnTheWay++
	}
	for _, p := range c.partsEvent[e.ID] {
		if p.Part > 0 && p.State == database.StateSent && c.s.gone[p.RemoteID] {
			c.find(Finding{Class: GoneInTeams, Message: p.RemoteID, Event: id.EventID(e.ID), At: e.At, Reason: whyGone})
		}
	}
}

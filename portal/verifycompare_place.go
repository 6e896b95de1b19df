package portal

import (
	"cmp"
	"slices"
	"time"

	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

// thread judges where an event stands.
func (c *comparison) thread(t *teamsSide, row *rowSide, e *matrixSide) {
	f := Finding{Class: WrongThread, Message: t.ID, Event: id.EventID(row.Event), At: t.Created, fix: fixResend}
	if row.Outbound {
		f.fix, f.Reason = fixNone, whyOwnThread
	}
	switch root := c.rowByEvent[e.Thread]; {
	case c.s.partial[e.ID]:
	case e.Thread != "" && t.Root == "" && !row.Outbound:
		c.find(f)
	case e.Thread == "" && t.Root != "" && !row.Outbound:
		// A root that was not there then leaves the reply where it is.
		if roots := c.rows[t.Root]; len(roots) > 0 && c.events[roots[0].Event] != nil && c.events[roots[0].Event].Pos < e.Pos &&
			!c.events[roots[0].Event].Redacted && c.events[roots[0].Event].Pos > 0 {
			c.find(f)
		}
	case e.Thread != "" && t.Root != "" && root != nil && root.Remote != "":
		under := root.Remote
		if root.Thread != "" {
			if _, remote, ok := ParseMessageID(root.Thread); ok {
				under = remote
			}
		}
		if p := c.partsRemote[under]; p != nil && p.RootID != "" {
			under = p.RootID
		}
		if under != t.Root && !c.sameThread(root, t.Root) {
			c.find(f)
		}
	}
}

// sameThread reports whether a root in Matrix stands for a thread whose root is
// not there: its first message is then the one under which it goes on.
func (c *comparison) sameThread(root *rowSide, remote string) bool {
	_, thread, ok := ParseMessageID(root.Thread)
	return ok && thread == remote || len(c.rows[remote]) == 0 || root.Message == networkid.MessageID(remote)
}

// order finds messages of one author and thread that stand in another order
// than they were written in. Messages of one side keep to each other; between
// the two sides there is no order that both could show, and a message that came
// late shows its original time.
func (c *comparison) order() {
	c.orderInMatrix()
	c.orderInTeams()
}

// shownLate is from when on a post shows its original time (SenderOptions.LateAfter).
const shownLate = 2 * time.Minute

type authorThread struct{ author, thread string }

func (c *comparison) orderInMatrix() {
	last := map[authorThread]*teamsSide{}
	for i := range c.s.events {
		e := &c.s.events[i]
		row := c.rowByEvent[e.ID]
		if row == nil || row.Outbound || e.Redacted || e.Pos == 0 || row.Remote == "" {
			continue
		}
		t := c.teams[row.Remote]
		if t == nil || t.System || len(c.rows[t.ID]) > 0 && c.rows[t.ID][0] != row || t.Created.Before(c.s.since) {
			continue
		}
		key := authorThread{t.Author, t.Root}
		before := last[key]
		if before == nil || !t.Created.Before(before.Created) {
			last[key] = t
			continue
		}
		// A message that nobody had told of when the other came is late, not out of
		// order. The ledger only knows when the newest version of each came.
		mine, other := c.s.ledger[t.ID], c.s.ledger[before.ID]
		if mine.ReceivedAt.Before(other.ReceivedAt) && !mine.ReceivedAt.IsZero() && before.Modified.Equal(before.Created) {
			c.find(Finding{Class: OutOfOrder, Message: t.ID, Event: id.EventID(e.ID), At: t.Created, Reason: whyOrder})
		}
	}
}

func (c *comparison) orderInTeams() {
	type post struct {
		t    *teamsSide
		out  database.OutboxRow
		e    *matrixSide
		late bool
	}
	var posts []post
	for i := range c.s.parts {
		p := &c.s.parts[i]
		t, e := c.teams[p.RemoteID], c.events[p.EventID]
		out, queued := c.s.outbox[p.EventID]
		if p.Part == 0 && t != nil && e != nil && queued {
			posts = append(posts, post{t, out, e, p.StartedAt.Sub(out.EventAt) > shownLate})
		}
	}
	slices.SortFunc(posts, func(a, b post) int { return cmp.Compare(a.out.ID, b.out.ID) })
	last := map[authorThread]*teamsSide{}
	for _, p := range posts {
		key := authorThread{p.e.Sender, p.t.Root}
		if p.late {
			continue // it shows its original time; it may have been parked, and sent later
		} else if before := last[key]; before != nil && p.t.Created.Before(before.Created) {
			c.find(Finding{Class: OutOfOrder, Message: p.t.ID, Event: id.EventID(p.e.ID), At: p.e.At, Reason: whyOrder})
			continue
		}
		last[key] = p.t
	}
}

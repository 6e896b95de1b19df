package portal

import (
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

// comparison is what compare builds on the way. It reads nothing: its result
// depends on the sides alone.
type comparison struct {
	s      *sides
	report *Report

	teams       map[string]*teamsSide
	events      map[string]*matrixSide
	rowByEvent  map[string]*rowSide
	rows        map[string][]*rowSide // by Teams id, the first part first
	partsRemote map[string]*database.SentPart
	partsEvent  map[string][]database.SentPart
	bySource    map[string][]*matrixSide // events that show a message, by Teams id
	posts       map[string][]*database.SentPart
	// claimed are the person's events that a post of their account may be.
	claimed map[string]bool
	// strangers are posts of the relay pool that no row knows.
	strangers []stranger
}

// stranger is a post and the number of its finding.
type stranger struct {
	*teamsSide
	finding int
}

// compare finds what differs between the sides.
func compare(s *sides, report *Report) {
	c := &comparison{
		s: s, report: report, teams: map[string]*teamsSide{}, events: map[string]*matrixSide{}, rowByEvent: map[string]*rowSide{},
		rows: map[string][]*rowSide{}, partsRemote: map[string]*database.SentPart{}, partsEvent: map[string][]database.SentPart{},
		bySource: map[string][]*matrixSide{}, posts: map[string][]*database.SentPart{}, claimed: map[string]bool{},
	}
	if report.Failed == nil {
		report.Failed = map[string]int{}
	}
	if report.Left == nil {
		report.Left = map[string]int{}
	}
	if report.Unseen == nil {
		report.Unseen = map[string]int{}
	}
	for reason, n := range s.unseen {
		report.Unseen[reason] += n
	}
	c.index()
	for i := range s.teams {
		c.message(&s.teams[i])
	}
	for i := range s.events {
		c.event(&s.events[i])
	}
	c.vanished()
	c.digests()
	c.reactions()
	c.order()
}

// vanished finds what was written in Teams and is not there any more.
func (c *comparison) vanished() {
	for i := range c.s.rows {
		row := &c.s.rows[i]
		if e := c.events[row.Event]; !row.Outbound && row.Remote != "" && c.s.gone[row.Remote] && c.rows[row.Remote][0] == row && e != nil && !e.Redacted {
			c.find(Finding{Class: GoneInTeams, Message: row.Remote, Event: id.EventID(row.Event), At: row.At, Reason: whyGone})
		}
	}
}

func (c *comparison) index() {
	for i := range c.s.teams {
		c.teams[c.s.teams[i].ID] = &c.s.teams[i]
	}
	for i := range c.s.rows {
		row := &c.s.rows[i]
		c.rowByEvent[row.Event] = row
		if row.Remote != "" {
			c.rows[row.Remote] = append(c.rows[row.Remote], row)
		}
	}
	for _, rows := range c.rows {
		slices.SortFunc(rows, func(a, b *rowSide) int { return strings.Compare(a.Part, b.Part) })
	}
	for i := range c.s.parts {
		p := &c.s.parts[i]
		if p.RemoteID != "" {
			c.partsRemote[p.RemoteID] = p
		}
		c.partsEvent[p.EventID] = append(c.partsEvent[p.EventID], *p)
		post := p.RootID + "\x00" + p.Fingerprint + "\x00" + p.Attachment
		c.posts[post] = append(c.posts[post], p)
	}
	for i := range c.s.events {
		e := &c.s.events[i]
		c.events[e.ID] = e
		if remote, _, ok := shownMessage(e.Source); ok && !e.Redacted {
			c.bySource[remote] = append(c.bySource[remote], e)
		}
	}
}

// shownMessage reads the source key of an event that shows a message, as
// opposed to one that changes or removes what another shows.
func shownMessage(source string) (remote, part string, ok bool) {
	fields := strings.SplitN(source, "/", 5)
	if len(fields) != 5 {
		return "", "", false
	}
	what, part, _ := strings.Cut(fields[4], ":")
	switch what {
	case "new":
		part, _, _ = strings.Cut(part, "@")
	case "again":
	case "gone":
		_, part, _ = strings.Cut(part, ":")
	default:
		return "", "", false
	}
	return fields[2], part, true
}

func (c *comparison) find(f Finding) {
	if t := c.teams[f.Message]; t != nil {
		f.root = t.Root
	}
	c.report.Findings = append(c.report.Findings, f)
}

// purged reports whether the homeserver has let go of what is so old.
func (c *comparison) purged(at time.Time, row *rowSide) bool {
	return at.Before(c.s.kept) || row != nil && row.ID < c.s.keptRow
}

// recent reports whether something may be on its way because it is young.
func (c *comparison) recent(at time.Time) bool { return at.After(c.s.until) }

// message judges what became of a message of Teams.
func (c *comparison) message(t *teamsSide) {
	c.report.InTeams++
	part, ledger := c.partsRemote[t.ID], c.s.ledger[t.ID]
	switch {
	case ledger.State == database.StatePending, c.recent(t.Created), c.recent(t.Modified):
		c.report.OnTheWay++
		return
	case ledger.State == database.StateParked:
		c.report.Failed["to Matrix: "+ledger.Reason]++
		return
	}
	rows := c.rows[t.ID]
	if ledger.State == database.StateDone && ledger.Reason == ReasonDropped && len(rows) == 0 && part == nil {
		c.report.Failed["to Matrix: "+ledger.Reason]++ // a repair would undo what an administrator decided
		return
	}
	if part != nil && isDigest(part.EventID) {
		c.digestPost(t, part)
		return
	} else if part != nil {
		if row := c.rowByEvent[part.EventID]; row != nil && !slices.Contains(rows, row) {
			if part.Part == 0 && len(rows) > 0 && c.twin(t, rows, row) {
				return
			}
			rows = []*rowSide{row}
		}
		if part.Part > 0 {
			if len(rows) > 0 && !c.partOnOneSide(t, rows[0], part) && !t.Deleted {
				c.ownText(t, rows[0], part)
				c.ownFile(t, part)
			}
			return
		}
	}
	switch {
	case len(rows) == 0 && part != nil:
		c.ownWithoutRow(t, part)
	case len(rows) == 0:
		c.withoutRow(t)
	case t.Deleted:
		c.deletedInTeams(t, rows)
	default:
		c.known(t, rows, part)
	}
}

// twin judges a post of ours that was also delivered as news.
func (c *comparison) twin(t *teamsSide, news []*rowSide, own *rowSide) bool {
	event, copied := c.events[own.Event], c.events[news[0].Event]
	if event == nil || event.Redacted || copied == nil || copied.Redacted || news[0].Outbound {
		return false
	}
	c.find(Finding{Class: DoubledInMatrix, Message: t.ID, Event: id.EventID(copied.ID), At: t.Created, fix: fixTwin, other: own.Event})
	return true
}

// withoutRow judges a message that no row knows and that is not ours.
func (c *comparison) withoutRow(t *teamsSide) {
	shown := c.bySource[t.ID]
	f := Finding{Message: t.ID, At: t.Created}
	switch {
	case len(shown) > 0 && t.Deleted:
		for _, e := range shown {
			f.Class, f.Event, f.fix = DeletedInTeams, id.EventID(e.ID), fixRedact
			c.find(f)
		}
	case t.Deleted, t.System, len(t.Parts) == 0:
	case len(shown) > 0:
		f.Class, f.Event, f.fix = Unknown, id.EventID(shown[0].ID), fixRedeliver
		for _, e := range shown {
			f.echoes = append(f.echoes, database.Echo{SourceKey: e.Source, EventID: e.ID})
		}
		c.find(f)
	case c.doubledPost(t):
	case t.Created.Before(c.s.mirrored) || t.Created.Before(c.s.since):
		c.report.Left[LeftHistory]++
	case c.purged(t.Created, nil):
		c.report.Left[LeftPurged]++
	default:
		if e := c.claim(t); e != nil {
			f.Class, f.Event, f.Reason = Unknown, id.EventID(e.ID), whyHandled
		} else {
			f.Class, f.fix = MissingInMatrix, fixRedeliver
		}
		if t.Relay {
			c.strangers = append(c.strangers, stranger{t, len(c.report.Findings)})
		}
		c.find(f)
	}
}

// claim finds a person's event that nothing knows and that a post of their own
// account may be: a database that was restored has forgotten both.
func (c *comparison) claim(t *teamsSide) *matrixSide {
	for i := range c.s.events {
		e := &c.s.events[i]
		if e.Own || e.Redacted || e.Person == "" || e.Person != t.Author || e.Print == "" || e.Print != t.Print || c.claimed[e.ID] {
			continue
		}
		_, queued := c.s.outbox[e.ID]
		if c.rowByEvent[e.ID] == nil && !queued && len(c.partsEvent[e.ID]) == 0 && !t.Created.Before(e.At.Add(-postWindow)) {
			c.claimed[e.ID] = true
			return e
		}
	}
	return nil
}

// ownWithoutRow judges a post of ours whose message row is not there.
func (c *comparison) ownWithoutRow(t *teamsSide, part *database.SentPart) {
	e := c.events[part.EventID]
	f := Finding{Message: t.ID, Event: id.EventID(part.EventID), At: t.Created}
	switch {
	case t.Deleted:
		if e != nil && !e.Redacted && e.Own {
			f.Class, f.fix = DeletedInTeams, fixRedact
			c.find(f)
		}
	case t.Created.Before(c.s.mirrored):
		c.report.Left[LeftHistory]++
	case e == nil && c.purged(t.Created, nil):
		c.report.Left[LeftPurged]++
	case e == nil:
		f.Class, f.Reason = MissingInMatrix, whyOwnEvent
		c.find(f)
	case e.Redacted:
		c.redacted(t, nil, e, part)
	}
}

// deletedInTeams judges a message that is deleted in Teams.
func (c *comparison) deletedInTeams(t *teamsSide, rows []*rowSide) {
	for _, row := range rows {
		e := c.events[row.Event]
		if e == nil || e.Redacted || row.Deleting || row.Placeholder {
			continue
		}
		f := Finding{Class: DeletedInTeams, Message: t.ID, Event: id.EventID(row.Event), At: t.Created, fix: fixRedeliver}
		if row.Deleted {
			f.fix = fixRedelete
		}
		c.find(f)
	}
	c.extra(t, rows)
}

// known judges a message that both sides should show.
func (c *comparison) known(t *teamsSide, rows []*rowSide, part *database.SentPart) {
	f := Finding{Message: t.ID, At: t.Created, Event: id.EventID(rows[0].Event)}
	if part == nil && c.doubledPost(t) {
		return
	} else if rows[0].Deleting {
		c.report.OnTheWay++
		return
	} else if rows[0].Deleted {
		f.Class, f.fix = DeletedInMatrix, fixRedeliver
		c.find(f)
		return
	}
	for _, row := range rows {
		e := c.events[row.Event]
		switch {
		case row.TakenOut, row.Deleting:
			continue // Teams shows the rest of the message
		case !strings.HasPrefix(row.Event, "$"):
			return
		case e == nil && c.purged(row.At, row):
			c.report.Left[LeftPurged]++
			return
		case e == nil:
			f.Class, f.Event, f.fix = MissingInMatrix, id.EventID(row.Event), fixResend
			if row.Outbound && len(c.partsEvent[row.Event]) > 1 {
				f.fix, f.Reason = fixNone, whyOwnParts
			}
			c.find(f)
			return
		case e.Redacted:
			c.redacted(t, row, e, part)
			return
		}
	}
	there := slices.IndexFunc(rows, func(r *rowSide) bool { return !r.TakenOut && !r.Deleting })
	if there >= 0 && !c.text(t, rows, part) {
		c.thread(t, rows[there], c.events[rows[there].Event])
	}
	c.ownFile(t, part)
	c.extra(t, rows)
}

// extra finds events that show what a message's rows show too.
func (c *comparison) extra(t *teamsSide, rows []*rowSide) {
	for _, e := range c.bySource[t.ID] {
		_, part, _ := shownMessage(e.Source)
		if !slices.ContainsFunc(rows, func(r *rowSide) bool { return r.Event == e.ID }) &&
			slices.ContainsFunc(rows, func(r *rowSide) bool { return r.Part == part || r.Deleted }) {
			c.find(Finding{Class: DoubledInMatrix, Message: t.ID, Event: id.EventID(e.ID), At: t.Created, fix: fixRedact})
		}
	}
}

// redacted judges an event that is redacted while Teams shows the message.
func (c *comparison) redacted(t *teamsSide, row *rowSide, e *matrixSide, part *database.SentPart) {
	how := c.s.removed[e.ID]
	f := Finding{Class: DeletedInMatrix, Message: t.ID, Event: id.EventID(e.ID), At: t.Created, fix: fixRequeue, other: how.Redaction}
	out, queued := c.s.outbox[how.Redaction]
	switch {
	case how.Own && row != nil:
		f.Class, f.fix, f.other = MissingInMatrix, fixResend, ""
	case how.By != "" && how.By != e.Sender:
		c.report.Left[LeftModerated]++
		return
	case how.Redaction == "":
		f.fix, f.Reason = fixNone, whyUnnamed
	case c.s.journal[how.Redaction], c.recent(how.At), queued && out.DoneAt.IsZero() && !givenUp(out):
		c.report.OnTheWay++
		return
	case queued && givenUp(out):
		c.report.Failed["deletion: "+out.Reason]++
		return
	case queued && part != nil:
		f.fix, f.other = fixDeletePost, part.AccountID
	case row == nil:
		// The framework does not find what a redaction without a row is for.
		f.fix, f.other = fixDeletePost, ""
		if part != nil {
			f.other = part.AccountID
		}
	case queued:
		f.fix, f.other = fixDeletePost, t.Author
	}
	c.find(f)
}

// givenUp reports whether a row will not get to Teams by itself any more, for a
// reason that it names.
func givenUp(row database.OutboxRow) bool {
	switch row.State {
	case database.StateQueued, database.StateSending, database.StateSent, database.StateDone:
		return false
	}
	return true
}

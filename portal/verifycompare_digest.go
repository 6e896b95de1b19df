package portal

import (
	"maps"
	"slices"

	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

// digestPost judges a post of a digest, which stands for several people's events:
// what each of them says, the outbox knows to be in it.
func (c *comparison) digestPost(t *teamsSide, part *database.SentPart) {
	d := c.s.digests[part.EventID]
	if d == nil || d.Posts[part.Part] == nil {
		c.report.Left[LeftForgotten]++
		return
	}
	post := d.Posts[part.Part]
	f := Finding{Message: t.ID, Event: id.EventID(post.event()), At: t.Created}
	switch {
	case t.Deleted && part.Part == 0:
		if notice := c.events[d.Notice]; notice != nil && !notice.Redacted {
			f.Class, f.Event, f.fix = DeletedInTeams, id.EventID(d.Notice), fixRedeliver
			c.find(f)
		}
	case t.Deleted && len(post.Shown) > 0:
		f.Class, f.Reason = DeletedInTeams, whyDigest
		c.find(f)
	case t.Deleted, post.shows(t), t.Edited.IsZero() && len(post.Given) == 0:
		// What Teams made of a post that nobody edited is no difference.
	case post.Changing, c.recent(post.GivenAt):
		c.report.OnTheWay++
	case part.Part != 0 && (slices.Contains(post.Given, t.Print) || t.Print == part.Fingerprint || t.Edited.Before(post.GivenAt.Add(-staleEdit))):
		// It shows what was there before the bridge wrote it last.
		f.Class, f.fix, f.other = DifferentText, fixRewrite, part.EventID
		c.find(f)
	default:
		f.Class, f.Reason = DifferentText, whyDigestText
		c.find(f)
	}
}

// digests finds the posts of digests that Teams has no more, and what was done in
// Matrix to messages in digests and never came to the bridge.
func (c *comparison) digests() {
	for _, digestID := range slices.Sorted(maps.Keys(c.s.digests)) {
		d := c.s.digests[digestID]
		for _, n := range slices.Sorted(maps.Keys(d.Posts)) {
			post := d.Posts[n]
			if p := post.Part; p.State == database.StateSent && p.RemoteID != "" && c.s.gone[p.RemoteID] {
				c.find(Finding{Class: GoneInTeams, Message: p.RemoteID, Event: id.EventID(post.event()), At: p.SentAt, Reason: whyGone})
			}
			for _, event := range post.Events {
				if e := c.events[event]; n != 0 && e != nil {
					c.digested(post, e)
				}
			}
		}
	}
}

// digested judges what was done to a message that is in a post of a digest.
func (c *comparison) digested(post *digestPostSide, e *matrixSide) {
	if e.Redacted {
		c.digestedRedaction(post, e)
		return
	}
	row := c.rowByEvent[e.ID]
	out, queued := c.s.outbox[e.Edit]
	switch {
	case e.Edit == "", !post.Shown[e.ID], c.recent(e.EditAt), c.s.journal[e.Edit], row == nil:
	case queued && givenUp(out):
		c.report.Failed["edit: "+out.Reason]++
	case queued, row.LastEdit == e.Edit, e.EditAt.Before(c.s.memory):
	default:
		c.find(Finding{Class: DifferentText, Message: post.Part.RemoteID, Event: id.EventID(e.ID), At: e.At, fix: fixRequeue, other: e.Edit})
	}
}

func (c *comparison) digestedRedaction(post *digestPostSide, e *matrixSide) {
	how := c.s.removed[e.ID]
	out, queued := c.s.outbox[how.Redaction]
	f := Finding{Class: DeletedInMatrix, Message: post.Part.RemoteID, Event: id.EventID(e.ID), At: e.At, fix: fixRequeue, other: how.Redaction}
	switch {
	case !post.Shown[e.ID], how.Own:
		return
	case how.By != "" && how.By != e.Sender:
		c.report.Left[LeftModerated]++
		return
	case how.Redaction == "":
		f.fix, f.Reason = fixNone, whyUnnamed
	case c.s.journal[how.Redaction], c.recent(how.At), queued && !givenUp(out):
		c.report.OnTheWay++
		return
	case queued:
		c.report.Failed["deletion: "+out.Reason]++
		return
	}
	c.find(f)
}

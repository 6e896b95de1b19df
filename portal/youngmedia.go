package portal

import (
	"context"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2"
	brdb "maunium.net/go/mautrix/bridgev2/database"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
)

// maxAgain is the longest time between two looks for what a message lacks.
const maxAgain = 30 * time.Second

// A message may be known where its pictures and files are not yet. So that they are
// not there is believed only when the message has had its time. Until then it is in
// the room without them, and nobody waits for it: its row is done, and is delivered
// once more now and then, which shows what has come.

// isYoung reports whether what a message refers to may not show yet: it was written,
// or changed, a moment ago, as far as Teams' clock and ours agree, and came then.
func (d *delivery) isYoung() bool {
	now, patience := d.in.o.Now(), d.in.o.YoungMedia
	written := d.m.Created
	if d.m.Edited.After(written) {
		written = d.m.Edited
	}
	return now.Before(written.Add(patience+ClockSkew)) && now.Before(d.row.ReceivedAt.Add(patience))
}

// goesWithout decides about something that Graph says is not there, and reports
// whether the message goes without it. A moment it waits, because most often it is
// there then.
func (d *delivery) goesWithout() bool {
	if !d.isYoung() {
		return true
	}
	waited := d.in.o.Now().Sub(d.row.ReceivedAt)
	if waited < d.in.o.YoungRest {
		return false
	}
	if d.own == nil {
		d.row.AgainAt = d.in.o.Now().Add(min(max(waited, d.in.o.YoungRest), maxAgain))
	}
	return true
}

// problem is something that could not be fetched, and why.
type problem struct{ metric, why string }

// outcome counts what was fetched, and notes what was not.
func (d *delivery) outcome(metric string, media msgconv.Media) {
	if media.Problem == "" {
		d.in.o.Metrics.Count(metric, "copied")
		return
	}
	d.problems = append(d.problems, problem{metric, media.Problem})
}

// countProblems counts what could not be fetched, once nothing of it may still come.
func (d *delivery) countProblems() {
	if d.lacks() {
		return
	}
	for _, p := range d.problems {
		d.in.o.Metrics.Count(p.metric, p.why)
	}
	d.problems = nil
}

// lacks reports whether something was left out that may still come.
func (d *delivery) lacks() bool { return !d.row.AgainAt.IsZero() }

// complete notes in a message's first row which version of it its events show.
func (d *delivery) complete(meta *MessageMetadata) {
	meta.ContentHash, meta.Lacks = contentHash(d.m), d.lacks()
}

// fill shows what a message has lacked, in place of the words that told why. The
// rest of it is as it was, or as somebody in Matrix has made it since.
func (d *delivery) fill(ctx context.Context, p *bridgev2.Portal, existing []*brdb.Message) ([]*brdb.Message, error) {
	d.fills = true
	parts := d.render()
	paired, _ := pairParts(parts, existing)
	for i, part := range parts {
		row := paired[i]
		if row == nil || !isFetched(part.id) || isOnTheWayOut(row) {
			continue
		}
		if err := d.editPart(ctx, p, row, part, d.editTime()); err != nil {
			return nil, err
		}
	}
	first := firstRow(existing)
	d.complete(metaOf(first))
	if err := p.Bridge.DB.Message.Update(ctx, first); err != nil {
		return nil, fmt.Errorf("complete message row: %w", err)
	}
	return existing, nil
}

// done writes down that a row was delivered, as far as that could be.
func (in *Ingest) done(ctx context.Context, row *database.InboxRow) error {
	if row.AgainAt.IsZero() {
		return in.o.DB.Inbox.Delivered(ctx, row.Portal, row.MessageID, row.Version)
	}
	if err := in.o.DB.Inbox.DeliveredInPart(ctx, row.Portal, row.MessageID, row.Version, row.AgainAt); err != nil {
		return err
	}
	in.lacking.Store(true)
	return nil
}

// takeAgain has delivered once more what lacked something. It asks the ledger only
// while there is such a row.
func (in *Ingest) takeAgain(ctx context.Context) {
	if !in.lacking.Load() {
		return
	}
	portals, err := in.o.DB.Inbox.TakeAgain(ctx, in.o.Now())
	for _, key := range portals {
		in.lanes.wake(key)
	}
	if err == nil {
		in.lacking.Store(false) // whoever marks a row meanwhile sets it again
		var more bool
		if more, err = in.o.DB.Inbox.HasAgain(ctx); more || err != nil {
			in.lacking.Store(true)
		}
	}
	if err != nil && ctx.Err() == nil {
		zerolog.Ctx(ctx).Err(err).Msg("Could not look for messages that lack something")
	}
}

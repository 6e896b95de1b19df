package portal

import (
	"context"
	"fmt"

	"maunium.net/go/mautrix/bridgev2"
	brdb "maunium.net/go/mautrix/bridgev2/database"

	"teamsbridge/portal/msgconv"
)

// A post of a message from Matrix says more than the message: whom it answers, and
// when it was written if that was long before. Matrix shows both by itself, and
// the next edit puts both in front again. So when somebody edits the post in
// Teams, neither comes back.

// ownHead finds what the post of a message from Matrix has in front of its text.
func (d *delivery) ownHead(ctx context.Context, p *bridgev2.Portal, row *brdb.Message) (*msgconv.Head, error) {
	out, err := d.in.o.DB.Outbox.ByEvent(ctx, row.MXID.String())
	if err != nil {
		return nil, err
	}
	head := &msgconv.Head{}
	answers := func(event string) { head.Answers = append(head.Answers, d.in.o.Link(p.MXID, eventID(event))) }
	if out != nil {
		head.Written = out.EventAt.In(d.in.o.Texts.Zone())
		if out.RootEventID != "" {
			answers(out.RootEventID)
		}
	}
	if event, ok := provisionalEvent(row.ThreadRoot); ok {
		answers(event) // a root that Teams does not have
	} else if row.ThreadRoot != "" {
		root, err := p.Bridge.DB.Message.GetFirstPartByID(ctx, "", row.ThreadRoot)
		if err != nil {
			return nil, fmt.Errorf("get message row of a reply's root: %w", err)
		} else if root != nil {
			answers(root.MXID.String())
		}
	}
	if row.ReplyTo.MessageID != "" {
		target, err := p.Bridge.DB.Message.GetFirstOrSpecificPartByID(ctx, "", row.ReplyTo)
		if err != nil {
			return nil, fmt.Errorf("get message row of what is answered: %w", err)
		} else if target != nil {
			answers(target.MXID.String())
		}
	}
	return head, nil
}

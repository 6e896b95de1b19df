package portal

import (
	"context"
	"fmt"
	"slices"

	"maunium.net/go/mautrix/bridgev2"
	brdb "maunium.net/go/mautrix/bridgev2/database"

	"teamsbridge/database"
)

// settle notes that a message from Teams says what a change made in Matrix gave to
// it. That is its text only: what somebody has put beside it, or taken out, just
// before the change went through it, and is shown like any edit made in Teams.
func (d *delivery) settle(ctx context.Context, p *bridgev2.Portal, existing []*brdb.Message, hash string) ([]*brdb.Message, error) {
	before := firstRow(existing)
	rows := existing
	if parts := d.render(); len(parts) > 0 {
		kept, others := []*brdb.Message(nil), existing
		keep, err := d.hasTextOfMatrix(ctx, existing)
		if err != nil {
			return nil, err
		} else if keep {
			isOther := func(row *brdb.Message) bool { return !isText(row) }
			kept, others = slices.DeleteFunc(slices.Clone(existing), isOther), slices.DeleteFunc(slices.Clone(existing), isText)
			parts = slices.DeleteFunc(parts, func(part rendered) bool { return part.isText() })
		}
		if others, err = d.showParts(ctx, p, before, others, parts); err != nil {
			return nil, err
		}
		rows = append(kept, others...)
	}
	if len(rows) == 0 {
		return existing, nil
	}
	first := firstRow(rows)
	meta := metaOf(first)
	if old := metaOf(before); first != before {
		meta.Prints, meta.Given, meta.Before = old.Prints, old.Given, old.Before
	}
	meta.ContentHash, meta.ETag, meta.EditedMS, meta.Unseen = hash, d.row.Version, unixMS(d.m.Edited), false
	if err := p.Bridge.DB.Message.Update(ctx, first); err != nil {
		return nil, fmt.Errorf("store row changed in Matrix: %w", err)
	}
	return rows, nil
}

// hasTextOfMatrix reports whether the text that a message's events show was edited,
// or taken out, in Matrix: they show it already, or more than Teams has yet.
func (d *delivery) hasTextOfMatrix(ctx context.Context, rows []*brdb.Message) (bool, error) {
	for _, row := range rows {
		if !isText(row) {
			continue
		} else if metaOf(row).PartHash == "" || isOnTheWayOut(row) {
			return true, nil
		}
		waiting, err := d.in.o.DB.Outbox.ByTarget(ctx, row.MXID.String())
		if err != nil {
			return false, err
		} else if slices.ContainsFunc(waiting, func(w *database.OutboxRow) bool { return w.Kind == database.KindEdit }) {
			return true, nil
		}
	}
	return false, nil
}

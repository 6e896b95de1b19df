package portal

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"maunium.net/go/mautrix/bridgev2"
	brdb "maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
)

// The number of a part says at which place it stands in the message, so it changes
// when one before it is taken out or put in. A row belongs to the part that shows
// the same picture, file or snippet, whatever its number.

// pairParts finds the row of each part, nil for one that is new, and the rows that
// are left.
func pairParts(parts []rendered, rows []*brdb.Message) (paired, left []*brdb.Message) {
	left = slices.Clone(rows)
	paired = make([]*brdb.Message, len(parts))
	take := func(i int, match func(row *brdb.Message) bool) {
		if at := slices.IndexFunc(left, match); paired[i] == nil && at >= 0 {
			paired[i] = left[at]
			left = slices.Delete(left, at, at+1)
		}
	}
	for i, part := range parts {
		if part.source != "" {
			take(i, func(row *brdb.Message) bool {
				return sourceOf(row) == part.source && kindOfPart(row) == kindOf(part.id)
			})
		}
	}
	for i, part := range parts {
		take(i, func(row *brdb.Message) bool {
			// What is on its way out of Teams does not become what stands there now:
			// that would go in its place.
			going := isOnTheWayOut(row) && sourceOf(row) != "" && sourceOf(row) != part.source
			return string(row.PartID) == part.id && !going
		})
	}
	return paired, left
}

// sourceOf is the address of what a row shows, empty where it is text or not known.
func sourceOf(row *brdb.Message) string {
	meta := metaOf(row)
	if meta.Source == "" && meta.Media != nil {
		return meta.Media.Source
	}
	return meta.Source
}

func kindOf(partID string) string {
	kind, _, _ := strings.Cut(partID, ":")
	return kind
}

func kindOfPart(row *brdb.Message) string { return kindOf(string(row.PartID)) }

// renumber gives the rows the numbers of the parts that they show, and says in
// them what that is. Rows that are left give way.
func renumber(ctx context.Context, p *bridgev2.Portal, parts []rendered, paired, left []*brdb.Message) error {
	var changed, aside []*brdb.Message
	taken := map[networkid.PartID]bool{}
	numbers := make(map[*brdb.Message]rendered, len(paired))
	for i, row := range paired {
		if row == nil {
			continue
		}
		numbers[row], taken[networkid.PartID(parts[i].id)] = parts[i], true
		if string(row.PartID) != parts[i].id {
			aside = append(aside, row)
		}
		if string(row.PartID) != parts[i].id || metaOf(row).Source != parts[i].source {
			changed = append(changed, row)
		}
	}
	for _, row := range left {
		if taken[row.PartID] {
			aside = append(aside, row)
		}
	}
	if len(changed) == 0 && len(aside) == 0 {
		return nil
	}
	err := p.Bridge.DB.DoTxn(ctx, nil, func(ctx context.Context) error {
		// Two rows of a message can't have one number, not even for a moment.
		for _, row := range aside {
			row.PartID = networkid.PartID("~" + strconv.FormatInt(row.RowID, 10))
			if err := p.Bridge.DB.Message.Update(ctx, row); err != nil {
				return err
			}
		}
		for _, row := range changed {
			row.PartID = networkid.PartID(numbers[row].id)
			metaOf(row).Source = numbers[row].source
			if err := p.Bridge.DB.Message.Update(ctx, row); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("renumber parts: %w", err)
	}
	return nil
}

// isOnTheWayOut reports whether a row's event was redacted in Matrix, and Teams is
// yet to be told, or was.
func isOnTheWayOut(row *brdb.Message) bool { return metaOf(row).Deleting || metaOf(row).TakenOut }

// areDeleting reports whether a message is to be deleted in Teams with all its parts.
func areDeleting(rows []*brdb.Message) bool {
	return slices.ContainsFunc(rows, func(row *brdb.Message) bool { return metaOf(row).Deleting }) &&
		!slices.ContainsFunc(rows, func(row *brdb.Message) bool { return !isOnTheWayOut(row) })
}

// showParts makes a message's events those of its parts, and returns its rows; what
// is new is sent like another part of the message.
func (d *delivery) showParts(ctx context.Context, p *bridgev2.Portal, like *brdb.Message, existing []*brdb.Message, parts []rendered) ([]*brdb.Message, error) {
	ts := d.editTime()
	paired, left := pairParts(parts, existing)
	rows := make([]*brdb.Message, 0, len(parts))
	for _, row := range left {
		if isOnTheWayOut(row) {
			rows = append(rows, row) // it is known what it was
			continue
		}
		if err := d.dropPart(ctx, p, row); err != nil {
			return nil, err
		}
	}
	if err := renumber(ctx, p, parts, paired, rows); err != nil {
		return nil, err
	}
	for i, part := range parts {
		row := paired[i]
		var err error
		switch {
		case row == nil:
			row, err = d.addPart(ctx, p, like, part, ts)
		case metaOf(row).TakenOut:
			// What was taken out is there again, as something new.
			if err = p.Bridge.DB.Message.Delete(ctx, row.RowID); err == nil {
				row, err = d.addPart(ctx, p, like, part, ts)
			}
		case metaOf(row).Deleting:
		default:
			err = d.editPart(ctx, p, row, part, ts)
		}
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

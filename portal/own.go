package portal

import (
	"context"
	"fmt"
	"slices"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	brdb "maunium.net/go/mautrix/bridgev2/database"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
)

// staleEdit is how long after an edit of ours an earlier text of ours counts as
// a late listing of it, and not as an edit made in Teams.
const staleEdit = 2 * time.Minute

// ownUpdate shows in Matrix what somebody edited in Teams in a message that was
// written in Matrix. The echo of our own post or edit is no such thing.
func (d *delivery) ownUpdate(ctx context.Context, p *bridgev2.Portal, row *brdb.Message) error {
	if d.m.Edited.IsZero() {
		return nil
	}
	meta := metaOf(row)
	now := d.own.Fingerprint
	if d.own.Part < len(meta.Prints) {
		now = meta.Prints[d.own.Part]
	}
	print, hash := msgconv.FingerprintOf(d.m), contentHash(d.m)
	if print == now || meta.ContentHash == hash {
		return nil
	} else if undone, err := d.lateEdit(ctx, p, row, d.own.Part, print); err != nil || undone {
		return err
	} else if slices.Contains(meta.Before, print) && d.m.Edited.Before(time.UnixMilli(meta.EditedMS).Add(staleEdit)) {
		d.count("stale own edit")
		return nil
	}
	if ours, err := d.isOwnEdit(ctx, row, print); err != nil || ours {
		return err
	}
	parts := slices.DeleteFunc(d.render(), func(part rendered) bool {
		_, file := fileIndex(part.id)
		return file // the event has it
	})
	if len(parts) == 0 {
		return nil
	}
	// Nobody edits in somebody else's name: what was changed in a relay
	// account's post, or in one of several parts, is told by the bot.
	var err error
	if len(meta.Prints) > 1 || string(row.SenderID) != d.own.AccountID {
		err = d.noticeEdit(ctx, p, row, parts[0], d.editTime(), d.key("edit:"))
	} else {
		err = d.sendEdit(ctx, p, row, parts[0], d.editTime())
	}
	if err != nil {
		return err
	}
	meta.ContentHash, meta.ETag = hash, d.row.Version
	row.EditCount++
	if err = p.Bridge.DB.Message.Update(ctx, row); err != nil {
		return fmt.Errorf("store row edited in Teams: %w", err)
	}
	d.count("own edit")
	return nil
}

// lateEdit reports whether a text in Teams is that of an edit of ours of which
// nobody knew the outcome. Where it was carried out behind a newer one, that one
// is sent again.
func (d *delivery) lateEdit(ctx context.Context, p *bridgev2.Portal, row *brdb.Message, part int, print string) (undone bool, err error) {
	all, err := d.in.o.Echo.late.of(ctx, d.row.Portal, row.MXID.String())
	if err != nil {
		return false, err
	}
	i := slices.IndexFunc(all, func(w database.LateWrite) bool { return w.What == lateWhat(lateEdit, print) && isLate(w, d.m.Edited) })
	if i < 0 {
		return false, nil
	}
	if ours, err := d.isOwnEdit(ctx, row, print); err != nil || ours {
		return ours, err
	}
	err = d.in.o.DB.DoTxn(ctx, nil, func(ctx context.Context) error {
		if all[i].Newest == "" {
			undone = true // nothing came behind it: Teams has it, that is all
		} else if undone, err = d.repeat(ctx, all[i]); err != nil || !undone {
			return err
		}
		meta := metaOf(row)
		meta.Before = lastBefore(append(meta.Before, meta.Prints...))
		if part < len(meta.Prints) {
			meta.Prints = slices.Clone(meta.Prints)
			meta.Prints[part] = print
		}
		if err = p.Bridge.DB.Message.Update(ctx, row); err != nil {
			return fmt.Errorf("store what a late edit did: %w", err)
		}
		return nil
	})
	if err == nil && undone {
		d.in.o.Echo.decided(ctx, d.row.Portal)
	}
	return undone, err
}

// isOwnEdit reports whether a text in Teams comes from an edit in Matrix that
// is not finished. Where a crash has left open what an edit did, the delivery
// waits until the edit was repeated. An edit that was tried and goes back to the
// queue may have been accepted all the same, and it will say the last word in any
// case; for that nobody waits, because it may take an outage.
func (d *delivery) isOwnEdit(ctx context.Context, row *brdb.Message, print string) (bool, error) {
	if d.in.o.Echo.isEdit(row.MXID.String(), print) {
		return true, nil
	}
	waiting, err := d.in.o.DB.Outbox.ByTarget(ctx, row.MXID.String())
	if err != nil {
		return false, err
	}
	for _, w := range waiting {
		if w.Kind != database.KindEdit {
			continue
		} else if w.State == database.StateSending {
			return false, errOwnEdit
		} else if w.Attempts > 0 {
			return true, nil
		}
	}
	return false, nil
}

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
	meta, hash := metaOf(row), contentHash(d.m)
	if d.m.Edited.IsZero() {
		own, posted := ownPictures(meta, d.m, given{d.own.Fingerprint, d.own.ContentHash}, nil)
		return d.learnPictures(ctx, p, row, posted, own)
	}
	if meta.ContentHash == hash {
		return nil
	}
	all, err := d.givenNow(ctx, row, d.own.Part)
	if err != nil {
		return err
	}
	ours, err := d.isOurs(ctx, p, row, d.own.Part, all)
	if err != nil {
		return err
	}
	if d.head, err = d.ownHead(ctx, p, row); err != nil {
		return err
	}
	maybe, err := d.in.o.Echo.unfinished(ctx, d.row.Portal, row.MXID.String())
	if err != nil {
		return err
	}
	own, with := ownPictures(meta, d.m, all[d.own.Part], maybe)
	shown := d.renderBeside(own)
	if ours {
		if with.isShownBy(d.m) {
			if err = d.learnPictures(ctx, p, row, with, own); err != nil {
				return err
			}
		}
		// The text is, which says nothing of what somebody has put beside it.
		if err = d.tellAdded(ctx, p, row, shown); err != nil || !meta.Unseen || len(all) > 1 || all[0].print != msgconv.FingerprintOf(d.m) {
			return err
		}
		return d.settleOwn(ctx, p, row, hash)
	}
	parts := slices.DeleteFunc(slices.Clone(shown), func(part rendered) bool {
		_, file := fileIndex(part.id)
		return file // the event has it
	})
	// Nobody edits in somebody else's name: what was changed in a relay
	// account's post, or in one of several parts, is told by the bot.
	if len(all) == 1 && string(row.SenderID) == d.own.AccountID {
		err = d.editOwn(ctx, p, row, parts)
	} else if len(parts) > 0 && parts[0].isText() {
		err = d.noticeEdit(ctx, p, row, parts[0], d.editTime(), d.key("edit:"))
	}
	if err != nil {
		return err
	}
	if err = d.tellAdded(ctx, p, row, shown); err != nil {
		return err
	}
	meta.learnPictures(with, own)
	meta.ContentHash, meta.ETag = hash, d.row.Version
	d.writtenInTeams(meta, d.own.Part, all)
	row.EditCount++
	if err = p.Bridge.DB.Message.Update(ctx, row); err != nil {
		return fmt.Errorf("store row edited in Teams: %w", err)
	}
	d.count("own edit")
	return nil
}

// settleOwn notes how Teams lists what an edit made in Matrix gave to it: what is
// listed in another way from now on was edited in Teams, also with the same words.
func (d *delivery) settleOwn(ctx context.Context, p *bridgev2.Portal, row *brdb.Message, hash string) error {
	meta := metaOf(row)
	meta.ContentHash, meta.Unseen = hash, false
	if err := p.Bridge.DB.Message.Update(ctx, row); err != nil {
		return fmt.Errorf("store how an edit is listed: %w", err)
	}
	return nil
}

// learnPictures stores which pictures came with a text of ours.
func (d *delivery) learnPictures(ctx context.Context, p *bridgev2.Portal, row *brdb.Message, g given, own []string) error {
	if !metaOf(row).learnPictures(g, own) {
		return nil
	}
	if err := p.Bridge.DB.Message.Update(ctx, row); err != nil {
		return fmt.Errorf("store which pictures came from Matrix: %w", err)
	}
	return nil
}

// lateEdit reports whether a text in Teams is that of an edit of ours of which
// nobody knew the outcome. Where it was carried out behind a newer one, that one
// is sent again.
func (d *delivery) lateEdit(ctx context.Context, p *bridgev2.Portal, row *brdb.Message, part int, all []given, print string) (undone bool, err error) {
	writes, err := d.in.o.Echo.late.of(ctx, d.row.Portal, row.MXID.String())
	if err != nil {
		return false, err
	}
	write, g := d.shownLate(writes, print, part < len(all) && all[part].print == print)
	if write == nil {
		return false, nil
	}
	if ours, err := d.isOwnEdit(ctx, row, print); err != nil || ours {
		return ours, err
	}
	err = d.in.o.DB.Outbox.Apart(ctx, func(ctx context.Context) error {
		if write.Newest == "" {
			undone = true // nothing came behind it: Teams has it, that is all
		} else if undone, err = d.repeat(ctx, *write); err != nil {
			return err
		} else if !undone {
			return d.overtaken(ctx, row, *write)
		}
		meta := metaOf(row)
		meta.Before = lastBefore(append(meta.Before, meta.Prints...))
		if part < len(meta.Prints) {
			all = slices.Clone(all)
			all[part] = g
			setGiven(meta, all)
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

// overtaken fails where an edit was not repeated because a newer one was taken from
// the queue, or has ended, since it was looked: what is so then is judged anew.
func (d *delivery) overtaken(ctx context.Context, row *brdb.Message, write database.LateWrite) error {
	waiting, err := d.in.o.DB.Outbox.ByTarget(ctx, row.MXID.String())
	if err != nil {
		return err
	} else if slices.ContainsFunc(waiting, func(w *database.OutboxRow) bool {
		return w.Kind == database.KindEdit && w.State == database.StateSending
	}) {
		return errOwnEdit
	}
	writes, err := d.in.o.Echo.late.of(ctx, d.row.Portal, row.MXID.String())
	if err != nil {
		return err
	}
	if slices.ContainsFunc(writes, func(w database.LateWrite) bool { return w.What == write.What && w.Newest != write.Newest }) {
		return errOwnEdit
	}
	return nil
}

// shownLate returns the late edit whose text Teams shows, nil where there is none.
// Among texts of the same words, and where the newer one has them too, it is the
// one that looks like what is shown.
func (d *delivery) shownLate(writes []database.LateWrite, print string, sameWords bool) (shown *database.LateWrite, g given) {
	for i := range writes {
		text, isEdit := lateText(writes[i].What)
		if !isEdit || text.print != print || !isLate(writes[i], d.m.Edited) {
			continue
		}
		if text.content != "" && msgconv.LooksLike(d.m, text.content) {
			return &writes[i], text
		} else if !sameWords && shown == nil {
			shown, g = &writes[i], text
		}
	}
	return shown, g
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
		} else if awaited, err := d.in.awaitsRestored(ctx, w); err != nil {
			return false, err
		} else if awaited {
			return false, errOwnEdit
		} else if w.Attempts > 0 {
			return true, nil
		}
	}
	return false, nil
}

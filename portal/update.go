package portal

import (
	"context"
	"errors"
	"fmt"
	"html"
	"strconv"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	brdb "maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/texts"
)

// update brings the text of a known message up to date and returns its rows.
func (d *delivery) update(ctx context.Context, p *bridgev2.Portal, existing []*brdb.Message) ([]*brdb.Message, error) {
	first := firstRow(existing)
	hash := contentHash(d.m)
	switch meta := metaOf(first); {
	case meta.Lacks && meta.ETag <= d.row.Version && d.isShownBy(meta, hash):
		return d.fill(ctx, p, existing)
	case meta.Lacks && meta.ETag == d.row.Version:
		return existing, nil // an edit from Matrix is newer
	case d.isShownBy(meta, hash), meta.ETag > d.row.Version:
		return existing, nil
	}
	if !p.Bridge.IsGhostMXID(first.SenderMXID) {
		// Its author may edit in Matrix what was written in Teams.
		all, err := d.givenNow(ctx, first, 0)
		if err != nil {
			return nil, err
		}
		if ours, err := d.isOurs(ctx, p, first, 0, all); err != nil {
			return nil, err
		} else if ours {
			return d.settle(ctx, p, existing, hash)
		}
	}
	parts := d.render()
	if len(parts) == 0 {
		return existing, nil
	}
	rows, err := d.showParts(ctx, p, first, existing, parts)
	if err != nil {
		return nil, err
	}
	first = firstRow(rows)
	meta := metaOf(first)
	d.writtenInTeams(meta, 0, givenBefore(meta, nil))
	d.complete(meta)
	meta.ETag, meta.EditedMS, meta.Placeholder, meta.Deleted = d.row.Version, unixMS(d.m.Edited), false, false
	if err := p.Bridge.DB.Message.Update(ctx, first); err != nil {
		return nil, fmt.Errorf("store edited row: %w", err)
	}
	d.count("edit")
	return rows, nil
}

func (d *delivery) editTime() time.Time {
	for _, t := range []time.Time{d.m.Edited, d.m.Modified} {
		if !t.IsZero() {
			return t
		}
	}
	return d.m.Created
}

// addPart sends a part that the message did not have before, or whose first
// sending was cut off.
func (d *delivery) addPart(ctx context.Context, p *bridgev2.Portal, like *brdb.Message, part rendered, ts time.Time) (*brdb.Message, error) {
	intent, err := d.intentFor(ctx, p, d.in.sender(d.m), d.m.From.DisplayName, bridgev2.RemoteEventMessage)
	if err != nil {
		return nil, err
	}
	at, err := d.placeOf(ctx)
	if err != nil {
		return nil, err
	}
	if d.m.Edited.IsZero() {
		ts = d.m.Created
	}
	row, _, err := d.send(ctx, p, intent, like.SenderID, part, &at, ts, d.onceKey("new:"+part.id+addedAt(ts, d.m.Created)))
	if err != nil {
		return nil, err
	}
	if err = p.Bridge.DB.Message.Insert(ctx, row); err != nil {
		return nil, fmt.Errorf("store added part: %w", err)
	}
	return row, nil
}

// addedAt tells a part that an edit brought from one of the same number that
// the message had in the beginning, or that an earlier edit brought and a later
// one took away.
func addedAt(ts, created time.Time) string {
	if ts.Equal(created) {
		return ""
	}
	return "@" + strconv.FormatInt(ts.UnixMilli(), 10)
}

// editPart edits a part's event if it shows something else now.
func (d *delivery) editPart(ctx context.Context, p *bridgev2.Portal, row *brdb.Message, part rendered, ts time.Time) error {
	meta := metaOf(row)
	if meta.PartHash == part.hash && !meta.Placeholder {
		return nil
	}
	if err := d.sendEdit(ctx, p, row, part, ts); err != nil {
		return err
	}
	meta.PartHash, meta.Source, meta.Media, meta.ETag = part.hash, part.source, part.media, d.row.Version
	row.EditCount++
	if err := p.Bridge.DB.Message.Update(ctx, row); err != nil {
		return fmt.Errorf("store edited part: %w", err)
	}
	return nil
}

// sendEdit edits a row's event in the name of whoever sent it. Where the bridge
// can't speak for them any more, the bot says what the message says now.
func (d *delivery) sendEdit(ctx context.Context, p *bridgev2.Portal, row *brdb.Message, part rendered, ts time.Time) error {
	what := "edit:"
	if d.fills {
		what = "fill:" // an edit of this version may have said that it is lacking
	}
	key := d.key(what + part.id)
	before, err := d.sentBefore(ctx, key)
	if err != nil || before != "" {
		return err
	}
	//lint:ignore SA1019 only the portal knows who can be spoken for
	intent, err := p.Internal().GetIntentForMXID(ctx, row.SenderMXID)
	if err != nil {
		return fmt.Errorf("get intent of the sender: %w", err)
	}
	if intent = d.lent(ctx, p, intent); intent == nil {
		return d.noticeEdit(ctx, p, row, part, ts, key)
	}
	content := part.content
	content.RelatesTo = nil
	content.SetEdit(row.MXID)
	content.Mentions = &event.Mentions{} // an edit pings nobody again
	_, err = intent.SendMessage(d.in.o.WithKey(ctx, key), p.MXID, part.kind, &event.Content{
		Parsed: content, Raw: map[string]any{SourceField: key},
	}, &bridgev2.MatrixSendExtra{Timestamp: ts, MessageMeta: row})
	if err != nil {
		return fmt.Errorf("send edit to the homeserver: %w", err)
	}
	return nil
}

// noticeEdit tells in the thread what a message says now.
func (d *delivery) noticeEdit(ctx context.Context, p *bridgev2.Portal, row *brdb.Message, part rendered, ts time.Time, key string) error {
	content := part.content
	if content.MsgType == event.MsgText || content.MsgType == event.MsgEmote {
		content.MsgType = event.MsgNotice
	}
	if content.FileName == "" && (content.URL != "" || content.File != nil) {
		content.FileName = content.Body
	}
	content.EnsureHasHTML()
	edited := d.in.o.Texts.Say(texts.EditedInTeams)
	content.Body = edited + "\n" + content.Body
	content.FormattedBody = "<p>" + html.EscapeString(edited) + "</p>" + content.FormattedBody
	content.Mentions = &event.Mentions{}
	content.RelatesTo = nil
	if row.ThreadRoot != "" {
		root, err := d.matrixRoot(ctx, row)
		if err != nil {
			return err
		}
		content.GetRelatesTo().SetThread(root, row.MXID)
	}
	content.GetRelatesTo().SetReplyTo(row.MXID)
	_, err := p.Bridge.Bot.SendMessage(d.in.o.WithKey(ctx, key), p.MXID, part.kind, &event.Content{
		Parsed: content, Raw: map[string]any{SourceField: key},
	}, &bridgev2.MatrixSendExtra{Timestamp: ts})
	if err != nil {
		return fmt.Errorf("send notice of an edit to the homeserver: %w", err)
	}
	return nil
}

// dropPart removes a part that the message does not have any more.
func (d *delivery) dropPart(ctx context.Context, p *bridgev2.Portal, row *brdb.Message) error {
	if err := d.redact(ctx, p, row.SenderMXID, row.MXID); err != nil {
		return err
	}
	if err := p.Bridge.DB.Message.Delete(ctx, row.RowID); err != nil {
		return fmt.Errorf("delete part's row: %w", err)
	}
	return nil
}

// restore shows a message again whose deletion was undone, or whose event is
// not there any more. A redacted event can't come back, so the message gets a
// new one.
func (d *delivery) restore(ctx context.Context, p *bridgev2.Portal, existing []*brdb.Message) ([]*brdb.Message, error) {
	if metaOf(existing[0]).Placeholder && !metaOf(existing[0]).Gone {
		return d.update(ctx, p, existing)
	}
	parts := d.render()
	if len(parts) == 0 {
		return existing, nil
	}
	who := d.in.sender(d.m)
	intent, err := d.intentFor(ctx, p, who, d.m.From.DisplayName, bridgev2.RemoteEventMessage)
	if err != nil {
		return nil, err
	}
	at, err := d.placeOf(ctx)
	if err != nil {
		return nil, err
	}
	again := "again:"
	if metaOf(existing[0]).Gone {
		again = "gone:" + hashOf(existing[0].MXID.String()) + ":"
	}
	rows := make([]*brdb.Message, 0, len(parts))
	for _, part := range parts {
		row, _, err := d.send(ctx, p, intent, who.Sender, part, &at, d.m.Created, d.key(again+part.id))
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	d.complete(metaOf(firstRow(rows)))
	err = p.Bridge.DB.DoTxn(ctx, nil, func(ctx context.Context) error {
		for _, old := range existing {
			if err := p.Bridge.DB.Message.Delete(ctx, old.RowID); err != nil {
				return fmt.Errorf("delete row of deleted message: %w", err)
			}
		}
		for _, row := range rows {
			if err := p.Bridge.DB.Message.Insert(ctx, row); err != nil {
				return fmt.Errorf("store restored row: %w", err)
			}
		}
		return d.markDeleted(ctx, false)
	})
	if err != nil {
		return nil, err
	}
	d.count("undelete")
	return rows, nil
}

// remove redacts a message that was deleted in Teams. Its rows stay, marked.
func (d *delivery) remove(ctx context.Context, p *bridgev2.Portal, existing []*brdb.Message) error {
	if meta := metaOf(existing[0]); meta.Deleted {
		if meta.DeletedMS != 0 || meta.DeletedIn < d.row.Version {
			meta.DeletedMS, meta.DeletedIn = 0, d.row.Version
			if err := p.Bridge.DB.Message.Update(ctx, existing[0]); err != nil {
				return fmt.Errorf("note that Teams shows the deletion: %w", err)
			}
		}
		return d.markDeleted(ctx, true)
	}
	if d.own != nil && d.own.Part > 0 {
		d.count("part deleted")
		return d.markDeleted(ctx, true)
	}
	for _, row := range existing {
		if row.HasFakeMXID() || metaOf(row).Gone || metaOf(row).TakenOut {
			continue
		}
		if err := d.redact(ctx, p, row.SenderMXID, row.MXID); err != nil {
			return err
		}
	}
	err := p.Bridge.DB.DoTxn(ctx, nil, func(ctx context.Context) error {
		reactions, err := p.Bridge.DB.Reaction.GetAllToMessage(ctx, "", existing[0].ID)
		if err != nil {
			return fmt.Errorf("get reactions of deleted message: %w", err)
		}
		for _, r := range reactions {
			if err = p.Bridge.DB.Reaction.Delete(ctx, r); err != nil {
				return fmt.Errorf("delete reaction of deleted message: %w", err)
			}
		}
		for _, row := range existing {
			meta := metaOf(row)
			meta.Deleted, meta.TakenOut, meta.ContentHash, meta.PartHash, meta.Media, meta.ETag = true, false, "", "", nil, d.row.Version
			meta.DeletedIn = d.row.Version
			if err = p.Bridge.DB.Message.Update(ctx, row); err != nil {
				return fmt.Errorf("mark row deleted: %w", err)
			}
		}
		return d.markDeleted(ctx, true)
	})
	if err != nil {
		return err
	}
	d.count("delete")
	return nil
}

// redact redacts an event in the name of whoever sent it, or as the bot where
// the bridge can't speak for them.
func (d *delivery) redact(ctx context.Context, p *bridgev2.Portal, sender id.UserID, target id.EventID) error {
	//lint:ignore SA1019 only the portal knows who can be spoken for
	intent, err := p.Internal().GetIntentForMXID(ctx, sender)
	if err != nil {
		return fmt.Errorf("get intent of the sender: %w", err)
	}
	if intent = d.lent(ctx, p, intent); intent == nil {
		intent = p.Bridge.Bot
	}
	if gone, err := d.isRedacted(ctx, p, target); err != nil || gone {
		return err
	}
	key := d.onceKey("redact:" + target.String())
	content := func() *event.Content {
		return &event.Content{
			Parsed: &event.RedactionEventContent{Redacts: target}, Raw: map[string]any{SourceField: key},
		}
	}
	ts := &bridgev2.MatrixSendExtra{Timestamp: d.editTime()}
	_, err = intent.SendMessage(d.in.o.WithKey(ctx, key), p.MXID, event.EventRedaction, content(), ts)
	if err != nil && isForbidden(err) && intent.GetMXID() != p.Bridge.Bot.GetMXID() {
		_, err = p.Bridge.Bot.SendMessage(d.in.o.WithKey(ctx, key+":bot"), p.MXID, event.EventRedaction, content(), ts)
	}
	if err != nil {
		return fmt.Errorf("send redaction to the homeserver: %w", err)
	}
	d.in.orphans.noteRedacted(target, d.in.o.Now())
	return nil
}

// isRedacted reports whether an event is redacted already, by the bridge before a
// restored database maybe, which does not know of that.
func (d *delivery) isRedacted(ctx context.Context, p *bridgev2.Portal, target id.EventID) (bool, error) {
	if !d.in.restored.is.Load() {
		return false, nil
	}
	evt, err := p.Bridge.Bot.GetEvent(ctx, p.MXID, target)
	switch {
	case errors.Is(err, mautrix.MNotFound):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("see whether an event is redacted: %w", err)
	}
	return evt.Unsigned.RedactedBecause != nil || len(evt.Content.Raw) == 0, nil
}

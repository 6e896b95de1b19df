package portal

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"maunium.net/go/mautrix/bridgev2"
	brdb "maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/event"
)

// tellAdded has the bot show, under a message that was written in Matrix, the
// pictures, files and snippets that somebody has added to it in Teams: each once.
func (d *delivery) tellAdded(ctx context.Context, p *bridgev2.Portal, row *brdb.Message, parts []rendered) error {
	meta := metaOf(row)
	own := 0
	if slices.ContainsFunc(parts, func(part rendered) bool { return kindOf(part.id) == "img" }) && d.own.Part == 0 {
		own = ownPictures(ctx, p, row)
	}
	for _, part := range parts {
		switch {
		case part.source == "", slices.Contains(meta.Added, hashOf(part.source)), part.source == d.ownFile():
			continue
		case kindOf(part.id) == "img" && own > 0:
			own--
			continue
		}
		key := d.onceKey("edit:" + hashOf(part.source))
		before, err := d.sentBefore(ctx, key)
		if err != nil {
			return err
		}
		if before == "" {
			if err = d.noticeEdit(ctx, p, row, part, d.editTime(), key); err != nil {
				return err
			}
		}
		meta.Added = append(meta.Added, hashOf(part.source))
		if err = p.Bridge.DB.Message.Update(ctx, row); err != nil {
			return fmt.Errorf("store what was added in Teams: %w", err)
		}
	}
	return nil
}

// ownPictures is how many of the pictures in its post an event has brought there.
func ownPictures(ctx context.Context, p *bridgev2.Portal, row *brdb.Message) int {
	evt, err := p.Bridge.Bot.GetEvent(ctx, p.MXID, row.MXID)
	if err != nil || evt == nil {
		return 0 // shown twice is better than not at all
	}
	if evt.Type == event.EventSticker || evt.Content.Raw["msgtype"] == string(event.MsgImage) {
		return 1
	}
	return 0
}

// ownFile is the address of the file that the event has brought to Teams.
func (d *delivery) ownFile() string {
	for _, a := range d.m.Attachments {
		if d.own.Attachment != "" && strings.EqualFold(a.ID, d.own.Attachment) {
			return a.ContentURL
		}
	}
	return ""
}

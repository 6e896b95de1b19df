package portal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	brdb "maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal/msgconv"
	"teamsbridge/teams"
)

// The event of a picture or file is one with its caption, while Teams has both in
// the text of the message. So a text of Teams becomes a caption there, and the
// event keeps its picture.

// renderBeside converts a message that was written in Matrix without the pictures
// and the file that came with its event.
func (d *delivery) renderBeside(own []string) []rendered {
	m := d.m
	for _, source := range append(slices.Clone(own), attachedAs(m, d.own.Attachment)) {
		if left, found := msgconv.WithoutPart(m, source); found == msgconv.FoundIt {
			m.Body, m.BodyType, m.Attachments = left.HTML, teams.BodyHTML, left.Attachments
		}
	}
	if msgconv.FingerprintOf(m) == fingerprint("") && len(m.Attachments) == 0 && m.Subject == "" {
		return nil
	}
	beside := *d
	beside.m = m
	return beside.render()
}

// editOwn shows in a message's own event what it says in Teams now. An event of a
// picture or file of which the homeserver does not tell what it is, is left alone,
// and the bot says it.
func (d *delivery) editOwn(ctx context.Context, p *bridgev2.Portal, row *brdb.Message, parts []rendered) error {
	media, err := d.mediaOf(ctx, p, row)
	if err != nil {
		meta := metaOf(row)
		hasMedia := d.own.Attachment != "" || len(meta.Pictured) > 0
		switch {
		case homeserverMayTell(err):
			return fmt.Errorf("look at the event that was edited: %w", err)
		case hasMedia && len(parts) == 0:
			return nil
		case hasMedia:
			return d.noticeEdit(ctx, p, row, parts[0], d.editTime(), d.key("edit:"))
		}
	}
	switch {
	case media != nil:
		return d.sendEdit(ctx, p, row, captionedPart(media, parts), d.editTime())
	case len(parts) == 0:
		return nil
	}
	return d.sendEdit(ctx, p, row, parts[0], d.editTime())
}

// captionedPart is a picture or file with the text of a message, if it has one.
func captionedPart(media *event.MessageEventContent, parts []rendered) rendered {
	content := *media
	content.RelatesTo, content.NewContent, content.Mentions = nil, nil, nil
	if name := msgconv.FileName(media); name != "" {
		content.FileName = name
	}
	content.Body, content.Format, content.FormattedBody = content.FileName, "", ""
	if len(parts) > 0 && parts[0].isText() {
		text := parts[0].content
		content.Body, content.Format, content.FormattedBody = text.Body, text.Format, text.FormattedBody
	}
	return rendered{kind: event.EventMessage, content: &content}
}

// mediaOf returns what a message's event shows, as its author edited it last, where
// that is a picture or a file that an edit can give another caption.
func (d *delivery) mediaOf(ctx context.Context, p *bridgev2.Portal, row *brdb.Message) (*event.MessageEventContent, error) {
	content, err := eventContent(ctx, p, row.MXID)
	if err != nil {
		return nil, err
	}
	if edit := metaOf(row).Edit; edit != "" {
		edited, err := eventContent(ctx, p, eventID(edit))
		if err != nil && homeserverMayTell(err) {
			return nil, err
		} else if err == nil && edited.NewContent != nil {
			content = edited.NewContent
		}
	}
	if !msgconv.HasFile(content) {
		return nil, nil
	}
	return content, nil
}

var errNoMessage = errors.New("the event is not a message")

// homeserverMayTell reports whether asking for an event again may help.
func homeserverMayTell(err error) bool {
	var hs mautrix.HTTPError
	if errors.As(err, &hs) {
		_, final := homeserverReason(hs)
		return !final
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// eventContent asks the homeserver for the content of an event.
func eventContent(ctx context.Context, p *bridgev2.Portal, of id.EventID) (*event.MessageEventContent, error) {
	evt, err := p.Bridge.Bot.GetEvent(ctx, p.MXID, of)
	if err != nil {
		return nil, fmt.Errorf("get event: %w", err)
	}
	if evt.Type != event.EventMessage {
		return nil, errNoMessage // an edit can't make one of it
	}
	raw, err := json.Marshal(evt.Content.Raw)
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	content := &event.MessageEventContent{}
	if err = json.Unmarshal(raw, content); err != nil {
		return nil, fmt.Errorf("decode event: %w", err)
	}
	return content, nil
}

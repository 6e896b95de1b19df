package portal

import (
	"context"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2"
	brdb "maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
)

// A thread in Teams has one level. What answers another message of a thread than
// its root shows that one as a quote: Graph describes references to messages for
// chats only.

// answerPatience is how long the homeserver may take to say what an answered
// message says.
const answerPatience = 10 * time.Second

// maxEdits is how many edits of an answered message are looked at: those of others
// and redacted ones say nothing.
const maxEdits = 5

// noteAnswered says in a message's row which message of its thread it answers. The
// framework does not tell: replies are not among the room's features, threads are.
func (b *Outbox) noteAnswered(ctx context.Context, msg *bridgev2.MatrixMessage, row *database.OutboxRow, stored *brdb.Message) error {
	if msg.Content == nil || row.RootEventID == "" {
		return nil
	}
	answered := msg.Content.RelatesTo.GetNonFallbackReplyTo()
	if answered == "" || answered.String() == row.RootEventID {
		return nil
	}
	target, err := b.o.Bridge.DB.Message.GetPartByMXID(ctx, answered)
	if err != nil {
		return fmt.Errorf("get message row of what is answered: %w", err)
	} else if target == nil || target.ID == stored.ThreadRoot || target.Room != msg.Portal.PortalKey {
		return nil
	}
	stored.ReplyTo = networkid.MessageOptionalPartID{MessageID: target.ID, PartID: &target.PartID}
	return nil
}

// answeredBy returns the quote of the message of its thread that a reply answers,
// nil where that is the root.
func (s *Sender) answeredBy(ctx context.Context, room id.RoomID, reply id.EventID) (*msgconv.Quote, error) {
	messages := s.o.Bridge.DB.Message
	stored, err := messages.GetPartByMXID(ctx, reply)
	if err != nil {
		return nil, fmt.Errorf("get message row of reply: %w", err)
	} else if stored == nil || stored.ReplyTo.MessageID == "" {
		return nil, nil
	}
	target, err := messages.GetFirstOrSpecificPartByID(ctx, "", stored.ReplyTo)
	if err != nil {
		return nil, fmt.Errorf("get message row of what is answered: %w", err)
	} else if target == nil || metaOf(target).Deleted || isOnTheWayOut(target) {
		return nil, nil // what was deleted is not quoted
	}
	name, err := s.authorOf(ctx, target)
	if err != nil {
		return nil, err
	}
	return &msgconv.Quote{Name: name, Author: target.SenderMXID, Link: s.o.Link(room, target.MXID), Text: s.textOf(ctx, room, target.MXID)}, nil
}

// quoteOf is the quote of a message from Matrix that is no post of its own in Teams.
func (s *Sender) quoteOf(ctx context.Context, answered *database.OutboxRow) *msgconv.Quote {
	room, event := roomID(answered), eventID(answered.EventID)
	return &msgconv.Quote{Name: authorName(answered), Author: id.UserID(answered.SenderMXID), Link: s.o.Link(room, event), Text: s.textOf(ctx, room, event)}
}

// authorOf is how Teams is to call who wrote a message.
func (s *Sender) authorOf(ctx context.Context, message *brdb.Message) (string, error) {
	if message.SenderID != "" {
		if _, name, _ := s.o.Directory.Mention(string(message.SenderID)); name != "" {
			return name, nil
		}
		ghost, err := s.o.Bridge.GetExistingGhostByID(ctx, message.SenderID)
		if err != nil {
			return "", fmt.Errorf("get ghost of an author: %w", err)
		} else if ghost != nil && ghost.Name != "" {
			return ghost.Name, nil
		}
	}
	out, err := s.o.DB.Outbox.ByEvent(ctx, message.MXID.String())
	if err != nil {
		return "", err
	} else if out != nil {
		return authorName(out), nil
	}
	return message.SenderMXID.String(), nil
}

// textOf asks the homeserver what a message says, with its newest edit: what Teams
// was given may be older, or nothing. Where the homeserver does not tell, the quote
// has its author and a link.
func (s *Sender) textOf(ctx context.Context, room id.RoomID, eventID id.EventID) string {
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	text, err := s.shownText(ctx, room, eventID)
	if err != nil {
		zerolog.Ctx(ctx).Debug().Err(err).Stringer("answered", eventID).Msg("Quoting a message without its text")
	}
	return text
}

// shownText returns what the people in a room see of a message.
func (s *Sender) shownText(ctx context.Context, room id.RoomID, eventID id.EventID) (string, error) {
	evt, err := s.o.Bridge.Bot.GetEvent(ctx, room, eventID)
	if err != nil || evt == nil || evt.Type != event.EventMessage && evt.Type != event.EventSticker {
		return "", err
	}
	edits, err := s.o.Edits(ctx, room, eventID)
	if err != nil {
		return "", err
	}
	for _, e := range edits[:min(len(edits), maxEdits)] {
		edit, err := s.o.Bridge.Bot.GetEvent(ctx, room, e)
		if err != nil {
			return "", err
		} else if edit == nil || edit.Sender != evt.Sender || edit.Type != evt.Type {
			continue // nobody edits what somebody else said
		}
		if content, ok := edit.Content.Raw["m.new_content"].(map[string]any); ok {
			body, _ := content["body"].(string)
			return body, nil
		}
	}
	body, _ := evt.Content.Raw["body"].(string)
	return body, nil
}

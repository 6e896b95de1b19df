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

// unclaimedFor is how long a delivery to a room may be cut off between its event
// and its message row.
const unclaimedFor = 24 * time.Hour

// unclaimedRoot finds the root of a reply whose event no message row has: its
// delivery was cut off in between, or the event was one of two and is removed.
// What the event shows or showed says which message of Teams it is.
func (b *Outbox) unclaimedRoot(ctx context.Context, msg *bridgev2.MatrixMessage, row *database.OutboxRow, stored *brdb.Message) error {
	event := ""
	if msg.Content != nil && msg.Content.RelatesTo != nil {
		event = msg.Content.RelatesTo.GetThreadParent().String()
	}
	if event == "" {
		return nil
	}
	echo, err := b.o.DB.Echoes.ByEvent(ctx, event, b.o.Now().Add(-unclaimedFor))
	if err == nil && echo == nil {
		echo, err = b.o.DB.Echoes.DoubledEvent(ctx, event)
	}
	if err != nil {
		return err
	} else if echo != nil && echo.RoomID == row.RoomID {
		return b.rootIs(ctx, msg.Portal, event, echo.SourceKey, row, stored)
	}
	return b.comingRoot(ctx, msg.Portal, id.EventID(event), row, stored)
}

// rootIs makes the message that an event shows the root of a reply.
func (b *Outbox) rootIs(ctx context.Context, p *bridgev2.Portal, event, sourceKey string, row *database.OutboxRow, stored *brdb.Message) error {
	root, shown, err := b.shownRoot(ctx, p, sourceKey)
	switch {
	case err != nil || shown == "":
		return err
	case root == nil:
		// The row comes with the next attempt.
		row.RootEventID, stored.ThreadRoot = event, shown
		return nil
	}
	setRoot(root, row, stored)
	return nil
}

// shownRoot returns the message of Teams that a source key names, if it is one of
// this conversation, and its row, nil where there is none yet.
func (b *Outbox) shownRoot(ctx context.Context, p *bridgev2.Portal, sourceKey string) (root *brdb.Message, shown networkid.MessageID, err error) {
	ch, isChannel := ParsePortal(p.ID)
	message, ok := sourceMessage(sourceKey)
	if !ok || !isChannel {
		return nil, "", nil
	}
	shown = MessageID(ch, message)
	root, err = b.o.Bridge.DB.Message.GetFirstPartByID(ctx, "", shown)
	if err != nil {
		return nil, "", fmt.Errorf("get message row of a reply's root: %w", err)
	} else if root != nil && root.Room != p.PortalKey {
		return nil, "", nil
	}
	return root, shown, nil
}

// setRoot makes a message, or the one whose thread it is in, the root of a reply.
func setRoot(root *brdb.Message, row *database.OutboxRow, stored *brdb.Message) {
	row.RootEventID, stored.ThreadRoot = root.MXID.String(), root.ID
	if root.ThreadRoot != "" {
		stored.ThreadRoot = root.ThreadRoot
	}
}

// comingFor is how long after it was said a thread's root may still be on its
// way here. A Dendrite that was stopped hands on what it had not yet, half a
// minute after its start and behind what was said since.
const comingFor = 2 * time.Minute

// comingRoot fails where a reply's root was said a moment ago and the homeserver
// has not told of it: the reply waits, because without its root it would be a
// post of its own in Teams, for good. The journal tries such an event again.
func (b *Outbox) comingRoot(ctx context.Context, p *bridgev2.Portal, root id.EventID, row *database.OutboxRow, stored *brdb.Message) error {
	got, err := p.Bridge.Bot.GetEvent(ctx, p.MXID, root)
	if err != nil && !isLostAtHomeserver(err) && b.o.Now().Sub(row.EventAt) < comingFor {
		return fmt.Errorf("the root of the reply can't be read now (%w): %w", err, bridgev2.ErrTargetMessageNotFound)
	} else if err != nil {
		zerolog.Ctx(ctx).Debug().Err(err).Stringer("root", root).Msg("The root of a reply can't be read")
		return nil
	}
	if key, ok := got.Content.Raw[SourceField].(string); ok {
		// One of two of which the homeserver has not told. Anybody can write a
		// key, and who forwards a message copies it: it counts where it names a
		// message of this conversation that was said at that very moment.
		first, _, err := b.shownRoot(ctx, p, key)
		if err != nil {
			return err
		} else if first != nil && first.Timestamp.UnixMilli() == got.Timestamp {
			setRoot(first, row, stored)
			return nil
		}
	}
	said := time.UnixMilli(got.Timestamp)
	switch {
	case b.o.Now().Sub(said) > comingFor:
		return nil // from before mirroring, or nobody will ever tell
	case got.Type.Type != event.EventMessage.Type && !msgconv.IsPollStart(got.Type.Type), got.Unsigned.RedactedBecause != nil:
		return nil
	case got.Sender == p.Bridge.Bot.GetMXID(), p.Bridge.IsGhostMXID(got.Sender):
		return nil // what the bridge says itself is known by its echo
	}
	return fmt.Errorf("the root of the reply is on its way: %w", bridgev2.ErrTargetMessageNotFound)
}

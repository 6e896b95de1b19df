package portal

import (
	"context"
	"fmt"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	brdb "maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
)

// PreHandleReaction tells bridgev2 how a reaction is stored.
func (b *Outbox) PreHandleReaction(ctx context.Context, react *bridgev2.MatrixReaction, by Actor) (bridgev2.MatrixReactionPreResponse, error) {
	emoji, err := msgconv.EmojiToTeams(react.Content.RelatesTo.Key)
	if err != nil {
		return bridgev2.MatrixReactionPreResponse{}, refuse(b.o.Texts, errBadReaction, err)
	}
	resp := bridgev2.MatrixReactionPreResponse{SenderID: UserID(by.UserID), EmojiID: emojiID(emoji)}
	if err = b.setAside(ctx, react.TargetMessage, resp.SenderID, resp.EmojiID); err != nil {
		return bridgev2.MatrixReactionPreResponse{}, fmt.Errorf("make room for reaction: %w", err)
	}
	return resp, nil
}

// setAside moves the row of a reaction that is being removed out of the way of
// one that is made again before Teams has the removal: bridgev2 would ignore it
// as a duplicate. The removal finds its row by the event.
func (b *Outbox) setAside(ctx context.Context, target *brdb.Message, sender networkid.UserID, emoji networkid.EmojiID) error {
	old, err := b.o.Bridge.DB.Reaction.GetByID(ctx, target.Room.Receiver, target.ID, target.PartID, sender, emoji)
	if err != nil || old == nil || !reactionMetaOf(old).Removing {
		return err
	}
	return b.o.DB.DoTxn(ctx, nil, func(ctx context.Context) error {
		if err := b.o.Bridge.DB.Reaction.Delete(ctx, old); err != nil {
			return err
		}
		old.EmojiID += networkid.EmojiID("~" + old.MXID)
		return b.o.Bridge.DB.Reaction.Upsert(ctx, old)
	})
}

// HandleReaction queues a reaction and stores its row.
func (b *Outbox) HandleReaction(ctx context.Context, react *bridgev2.MatrixReaction, by Actor) (*brdb.Reaction, error) {
	target := react.TargetMessage
	if metaOf(target).Deleted || isOnTheWayOut(target) {
		if err := b.refusedIfNew(ctx, react.Event.ID, errDeleted); err != nil {
			return nil, err
		}
	}
	if err := b.checkMirrored(ctx, react.Portal, react.Event.ID, errDetached); err != nil {
		return nil, err
	}
	row := b.row(database.KindReaction, react.Portal, react.Event.ID, react.Event.Sender, time.UnixMilli(react.Event.Timestamp), by)
	row.TargetEventID, row.Payload = target.MXID.String(), []byte(react.Content.RelatesTo.Key)
	stored := &brdb.Reaction{
		Room: react.Portal.PortalKey, MessageID: target.ID, MessagePartID: target.PartID,
		SenderID: react.PreHandleResp.SenderID, SenderMXID: react.Event.Sender, EmojiID: react.PreHandleResp.EmojiID,
		MXID: react.Event.ID, Timestamp: time.UnixMilli(react.Event.Timestamp),
		Metadata: &ReactionMetadata{OutboxEvent: react.Event.ID.String(), Queued: true},
	}
	if _, err := b.o.Bridge.GetGhostByID(ctx, stored.SenderID); err != nil {
		return nil, fmt.Errorf("get ghost of sender: %w", err)
	}
	inserted := false
	err := b.o.DB.DoTxn(ctx, nil, func(ctx context.Context) (err error) {
		message, err := b.o.DB.Outbox.ByEvent(ctx, row.TargetEventID)
		if err != nil {
			return err
		}
		if lost, err := b.endedOutside(ctx, message); err != nil {
			return err
		} else if lost {
			return b.lost(ctx, message)
		}
		if inserted, err = b.enqueue(ctx, row); err != nil || !inserted {
			return err
		}
		return b.o.Bridge.DB.Reaction.Upsert(ctx, stored)
	})
	if err != nil {
		return nil, fmt.Errorf("queue reaction: %w", err)
	}
	return nil, b.queued(ctx, row, inserted)
}

// HandleReactionRemove queues the removal of a reaction; a reaction that Teams
// has not seen yet is taken back instead.
func (b *Outbox) HandleReactionRemove(ctx context.Context, remove *bridgev2.MatrixReactionRemove, by Actor) error {
	target := remove.TargetReaction
	if remove.Event.Sender != target.SenderMXID {
		return b.refused(ctx, errNotAuthorReaction)
	}
	row := b.row(database.KindUnreact, remove.Portal, remove.Event.ID, remove.Event.Sender, time.UnixMilli(remove.Event.Timestamp), by)
	row.TargetEventID, row.Payload = target.MXID.String(), []byte(target.EmojiID)
	inserted, gone := false, false
	err := b.o.DB.DoTxn(ctx, nil, func(ctx context.Context) (err error) {
		reaction, err := b.o.DB.Outbox.ByEvent(ctx, row.TargetEventID)
		if err != nil {
			return err
		} else if err = b.unpark(ctx, reaction); err != nil {
			return err
		}
		lost, err := b.endedOutside(ctx, reaction)
		if err != nil {
			return err
		}
		switch {
		case lost:
			gone = true
		case reaction != nil && reaction.State == database.StateQueued:
			if gone, err = b.o.DB.Outbox.Cancel(ctx, reaction.ID, "removed before it was sent"); err != nil {
				return err
			}
		}
		if gone {
			row.State, row.Reason = database.StateDone, "nothing to remove in Teams"
		} else if err = b.checkMirrored(ctx, remove.Portal, remove.Event.ID, errDetachedTakeBack); err != nil {
			return err
		} else {
			// The message that was reacted to is found through the reaction's row.
			row.RootEventID = b.reactedEvent(ctx, target)
		}
		if inserted, err = b.enqueue(ctx, row); err != nil || !inserted || gone {
			return err
		}
		reactionMetaOf(target).Removing = true
		return b.o.Bridge.DB.Reaction.Upsert(ctx, target)
	})
	if err != nil {
		return fmt.Errorf("queue removal of reaction: %w", err)
	}
	if gone {
		b.o.Metrics.Count(MetricCoalesced, row.Kind)
		return nil
	}
	return b.queued(ctx, row, inserted)
}

// reactedEvent returns the event of the message that a reaction is on.
func (b *Outbox) reactedEvent(ctx context.Context, r *brdb.Reaction) string {
	message, err := b.o.Bridge.DB.Message.GetPartByID(ctx, r.Room.Receiver, r.MessageID, r.MessagePartID)
	if err != nil || message == nil {
		return ""
	}
	return message.MXID.String()
}

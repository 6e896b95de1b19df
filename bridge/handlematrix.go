package bridge

import (
	"context"

	"maunium.net/go/mautrix/bridgev2"
	mxdb "maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/event"

	"teamsbridge/portal"
)

// actor says who did something in Matrix: the person behind the login, or
// whoever the framework relays for.
func (k *client) actor(orig *bridgev2.OrigSender) portal.Actor {
	if orig != nil {
		// Somebody of the directory in a room that they were not put into.
		if userID, name, mapped := k.c.rt.dir.Person(orig.UserID); mapped {
			return portal.Actor{UserID: userID, Name: name}
		}
		// Somebody who is not in the directory and has signed in, as a person whom
		// the directory has not given to another account since.
		if account, signedIn := k.c.rt.writers.personOf(orig.UserID.String()); signedIn && !k.c.rt.dir.Mapped(account.UserID) {
			return portal.Actor{UserID: account.UserID, Name: account.DisplayName}
		}
	}
	name, _ := k.c.rt.dir.name(k.userID)
	return portal.ActorOf(k.userID, name, orig)
}

// inTurn fails where something that was said before the event in its room could
// not be taken over yet. It is the first thing that every handler asks.
func (k *client) inTurn(evt *event.Event) error {
	if k.c.homeserver == nil {
		return nil
	}
	return k.c.homeserver.InTurn(evt.ID)
}

// HandleMatrixMessage implements bridgev2.NetworkAPI.
func (k *client) HandleMatrixMessage(ctx context.Context, msg *bridgev2.MatrixMessage) (*bridgev2.MatrixMessageResponse, error) {
	if err := k.inTurn(msg.Event); err != nil {
		return nil, err
	}
	return k.c.rt.outbox.HandleMessage(ctx, msg, k.actor(msg.OrigSender))
}

// HandleMatrixEdit implements bridgev2.EditHandlingNetworkAPI.
func (k *client) HandleMatrixEdit(ctx context.Context, msg *bridgev2.MatrixEdit) error {
	if err := k.inTurn(msg.Event); err != nil {
		return err
	}
	return k.c.rt.outbox.HandleEdit(ctx, msg, k.actor(msg.OrigSender))
}

// HandleMatrixMessageRemove implements bridgev2.RedactionHandlingNetworkAPI.
func (k *client) HandleMatrixMessageRemove(ctx context.Context, msg *bridgev2.MatrixMessageRemove) error {
	if err := k.inTurn(msg.Event); err != nil {
		return err
	}
	return k.c.rt.outbox.HandleRemove(ctx, msg, k.actor(msg.OrigSender))
}

// PreHandleMatrixReaction implements bridgev2.ReactionHandlingNetworkAPI.
func (k *client) PreHandleMatrixReaction(ctx context.Context, msg *bridgev2.MatrixReaction) (bridgev2.MatrixReactionPreResponse, error) {
	if err := k.inTurn(msg.Event); err != nil {
		return bridgev2.MatrixReactionPreResponse{}, err
	}
	return k.c.rt.outbox.PreHandleReaction(ctx, msg, k.actor(msg.OrigSender))
}

// HandleMatrixReaction implements bridgev2.ReactionHandlingNetworkAPI.
func (k *client) HandleMatrixReaction(ctx context.Context, msg *bridgev2.MatrixReaction) (*mxdb.Reaction, error) {
	return k.c.rt.outbox.HandleReaction(ctx, msg, k.actor(msg.OrigSender))
}

// HandleMatrixReactionRemove implements bridgev2.ReactionHandlingNetworkAPI.
func (k *client) HandleMatrixReactionRemove(ctx context.Context, msg *bridgev2.MatrixReactionRemove) error {
	if err := k.inTurn(msg.Event); err != nil {
		return err
	}
	return k.c.rt.outbox.HandleReactionRemove(ctx, msg, k.actor(msg.OrigSender))
}

package portal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2"
	brdb "maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

// Actor is who did something in Matrix.
type Actor struct {
	// UserID is the person's id in the directory; empty for somebody who is
	// mapped to nobody, in whose name a relay account writes.
	UserID string
	// Name is how Teams is to call them where somebody else's account writes.
	Name string
}

// ActorOf returns who an event is by, given the person behind the client that
// handles it (empty for the system login, which handles relayed events).
func ActorOf(userID, name string, orig *bridgev2.OrigSender) Actor {
	if orig == nil {
		return Actor{UserID: userID, Name: name}
	}
	name = orig.DisambiguatedName
	if name == "" {
		name = orig.UserID.String()
	}
	return Actor{Name: name}
}

// Outbox takes Matrix events over from the homeserver's journal. Its functions
// are called inside portals' loops by the clients of the bridge; when one has
// returned without a failure, the event is durable and the journal row gone.
type Outbox struct {
	o OutboxOptions
}

// NewOutbox makes an Outbox.
func NewOutbox(o OutboxOptions) *Outbox {
	o.setDefaults()
	if o.Wake == nil {
		o.Wake = func(string) {}
	}
	if o.Voted == nil {
		o.Voted = func() {}
	}
	return &Outbox{o: o}
}

// HandleMessage queues a message. The answer is pending: the message row that
// bridgev2 would write is written here, in the outbox row's transaction.
func (b *Outbox) HandleMessage(ctx context.Context, msg *bridgev2.MatrixMessage, by Actor) (*bridgev2.MatrixMessageResponse, error) {
	if v := ballotOf(msg, b.o.Now()); v != nil {
		return b.handleBallot(ctx, msg, v)
	}
	if err := b.checkMirrored(ctx, msg.Portal, msg.Event.ID, errDetached); err != nil {
		return nil, err
	}
	payload, err := messagePayload(msg)
	if err != nil {
		return nil, refuse(b.o.Texts, errUnreadable, err)
	}
	row := b.row(database.KindMessage, msg.Portal, msg.Event.ID, msg.Event.Sender, time.UnixMilli(msg.Event.Timestamp), by)
	row.Payload = payload
	stored, err := b.messageRow(ctx, msg, row)
	if err != nil {
		return nil, err
	}
	poll, err := startedPoll(msg, row)
	if err != nil {
		return nil, err
	}
	// The row's sender is a foreign key.
	if _, err = b.o.Bridge.GetGhostByID(ctx, stored.SenderID); err != nil {
		return nil, fmt.Errorf("get ghost of sender: %w", err)
	}
	inserted, early := false, false
	err = b.o.DB.DoTxn(ctx, nil, func(ctx context.Context) (err error) {
		if known, err := b.isKnown(ctx, row); err != nil || known {
			return err
		}
		if inserted, err = b.enqueue(ctx, row); err != nil || !inserted {
			return err
		}
		if poll != nil {
			if early, err = b.o.DB.Polls.Start(ctx, *poll); err != nil {
				return err
			}
		}
		return b.o.Bridge.DB.Message.Insert(ctx, stored)
	})
	if err != nil {
		return nil, fmt.Errorf("queue message: %w", err)
	}
	if early {
		b.o.Voted()
	}
	b.taken(ctx, row, inserted)
	return &bridgev2.MatrixMessageResponse{DB: stored, Pending: true}, nil
}

// messageRow makes the provisional row of a message, and says in the outbox row
// in which thread it is.
func (b *Outbox) messageRow(ctx context.Context, msg *bridgev2.MatrixMessage, row *database.OutboxRow) (*brdb.Message, error) {
	stored := &brdb.Message{
		ID:         ProvisionalID(msg.Event.ID),
		MXID:       msg.Event.ID,
		Room:       msg.Portal.PortalKey,
		SenderID:   UserID(row.SenderUserID),
		SenderMXID: msg.Event.Sender,
		Timestamp:  row.EventAt,
		Metadata:   &MessageMetadata{Outbound: true},
	}
	if root := msg.ThreadRoot; root != nil {
		row.RootEventID = root.MXID.String()
		stored.ThreadRoot = root.ID
		if root.ThreadRoot != "" {
			stored.ThreadRoot = root.ThreadRoot
		}
	} else if err := b.unclaimedRoot(ctx, msg, row, stored); err != nil {
		return nil, err
	}
	return stored, b.noteAnswered(ctx, msg, row, stored)
}

// isKnown reports whether a message was handled before: its event came once
// more, maybe so late that its outbox row is purged, or is one that the bridge
// wrote. The framework could ask that itself (deduplicate_matrix_messages), but
// does it with a statement that reads the whole table.
func (b *Outbox) isKnown(ctx context.Context, row *database.OutboxRow) (bool, error) {
	stored, err := b.o.Bridge.DB.Message.GetPartByMXID(ctx, id.EventID(row.EventID))
	if err != nil {
		return false, fmt.Errorf("look if the message is known: %w", err)
	} else if stored == nil {
		return false, nil
	}
	return true, b.o.DB.Journal.Done(ctx, row.EventID)
}

// HandleEdit queues an edit. While the message itself is queued the edit
// replaces its text; the edit's own row then finds nothing to do in its turn.
func (b *Outbox) HandleEdit(ctx context.Context, edit *bridgev2.MatrixEdit, by Actor) error {
	target := edit.EditTarget
	meta := metaOf(target)
	switch {
	case edit.Event.Sender != target.SenderMXID:
		return b.refused(ctx, errNotAuthorEdit)
	case meta.Deleted || isOnTheWayOut(target):
		if err := b.refusedIfNew(ctx, edit.Event.ID, errDeleted); err != nil {
			return err
		}
	}
	if err := b.checkMirrored(ctx, edit.Portal, edit.Event.ID, errDetached); err != nil {
		return err
	}
	payload, err := editPayload(edit)
	if err != nil {
		return refuse(b.o.Texts, errUnreadable, err)
	}
	row := b.row(database.KindEdit, edit.Portal, edit.Event.ID, edit.Event.Sender, time.UnixMilli(edit.Event.Timestamp), by)
	row.TargetEventID, row.Payload = target.MXID.String(), payload
	inserted, merged := false, false
	err = b.o.DB.DoTxn(ctx, nil, func(ctx context.Context) (err error) {
		message, err := b.o.DB.Outbox.ByEvent(ctx, row.TargetEventID)
		if err != nil {
			return err
		}
		if lost, err := b.endedOutside(ctx, message); err != nil {
			return err
		} else if lost {
			return b.lost(ctx, message)
		} else if message != nil && message.State == database.StateParked {
			// The edit brings what is missing; the old text is not to come behind it.
			if err = b.o.DB.Outbox.Fail(ctx, message.ID, reasonEdited, ""); err != nil {
				return err
			}
		}
		if poll, err := b.editPoll(ctx, edit, row); err != nil {
			return err
		} else if poll != nil {
			row.Payload = poll
		}
		if inserted, err = b.enqueue(ctx, row); err != nil || !inserted {
			return err
		}
		if old, err := b.o.DB.Outbox.Superseded(ctx, row); err != nil || old {
			return err // its turn ends it
		}
		if apart, err := b.standsApart(ctx, message); err != nil {
			return err
		} else if message != nil && !apart {
			if merged, err = b.o.DB.Outbox.ReplacePayload(ctx, message.ID, row.Payload); err != nil {
				return err
			}
		}
		return b.replaceOlderEdits(ctx, row)
	})
	if err != nil {
		return fmt.Errorf("queue edit: %w", err)
	}
	if merged {
		b.o.Metrics.Count(MetricCoalesced, row.Kind)
	}
	return b.queued(ctx, row, inserted)
}

// replaceOlderEdits makes edits that wait in front of a newer one say the same:
// Teams then never shows what was replaced.
func (b *Outbox) replaceOlderEdits(ctx context.Context, row *database.OutboxRow) error {
	waiting, err := b.o.DB.Outbox.ByTarget(ctx, row.TargetEventID)
	if err != nil {
		return err
	}
	for _, older := range waiting {
		if older.Kind != database.KindEdit || older.ID >= row.ID {
			continue
		} else if apart, err := b.standsApart(ctx, older); err != nil {
			return err
		} else if apart {
			continue
		}
		if _, err = b.o.DB.Outbox.ReplacePayload(ctx, older.ID, row.Payload); err != nil {
			return err
		}
	}
	return nil
}

// HandleRemove queues the deletion of a message. A message that Teams has not
// seen yet is taken back instead, with everything that waits for it; a nil
// error then tells bridgev2 to forget the message.
func (b *Outbox) HandleRemove(ctx context.Context, remove *bridgev2.MatrixMessageRemove, by Actor) error {
	target := remove.TargetMessage
	if remove.Event.Sender != target.SenderMXID {
		return b.refused(ctx, errNotAuthorDelete)
	}
	row := b.row(database.KindDelete, remove.Portal, remove.Event.ID, remove.Event.Sender, time.UnixMilli(remove.Event.Timestamp), by)
	row.TargetEventID = target.MXID.String()
	inserted, gone := false, false
	err := b.o.DB.DoTxn(ctx, nil, func(ctx context.Context) (err error) {
		message, err := b.o.DB.Outbox.ByEvent(ctx, row.TargetEventID)
		if err != nil {
			return err
		} else if err = b.unpark(ctx, message); err != nil {
			return err
		}
		lost, err := b.endedOutside(ctx, message)
		if err != nil {
			return err
		}
		apart, err := b.standsApart(ctx, message)
		if err != nil {
			return err
		}
		switch {
		case metaOf(target).Deleted, metaOf(target).TakenOut, lost:
			gone = true
		case message != nil && message.State == database.StateQueued && !apart:
			if gone, err = b.o.DB.Outbox.Cancel(ctx, message.ID, "deleted before it was sent"); err != nil {
				return err
			}
		}
		if gone {
			row.State, row.Reason = database.StateDone, "nothing to delete in Teams"
			if err = b.cancelFollowers(ctx, row.TargetEventID); err != nil {
				return err
			}
		} else if err = b.checkMirrored(ctx, remove.Portal, remove.Event.ID, errDetachedTakeBack); err != nil {
			return err
		}
		if inserted, err = b.enqueue(ctx, row); err != nil || !inserted || gone {
			return err
		}
		metaOf(target).Deleting = true
		return b.o.Bridge.DB.Message.Update(ctx, target)
	})
	if err != nil {
		return fmt.Errorf("queue deletion: %w", err)
	}
	if gone {
		b.o.Metrics.Count(MetricCoalesced, row.Kind)
		b.o.Wake(row.Portal)
		// A deleted root keeps its row: the thread goes on under its event.
		if metaOf(target).Deleted {
			return errNothingToDo()
		}
		return nil
	}
	return b.queued(ctx, row, inserted)
}

// standsApart reports whether a row that waits says what Teams has already, or may
// have, because the database was restored: what came after it is not to be merged
// into it, nor is it to be taken back as if Teams had not seen it.
func (b *Outbox) standsApart(ctx context.Context, row *database.OutboxRow) (bool, error) {
	if row == nil || row.State != database.StateQueued {
		return false, nil
	}
	known, err := b.o.DB.Restores.Of(ctx, row.EventID)
	return known != nil, err
}

// cancelFollowers takes back the edits and reactions that wait for an event.
func (b *Outbox) cancelFollowers(ctx context.Context, eventID string) error {
	waiting, err := b.o.DB.Outbox.ByTarget(ctx, eventID)
	if err != nil {
		return err
	}
	for _, row := range waiting {
		if _, err = b.o.DB.Outbox.Cancel(ctx, row.ID, "message was deleted before it was sent"); err != nil {
			return err
		}
	}
	return nil
}

// row makes an outbox row.
func (b *Outbox) row(kind string, p *bridgev2.Portal, eventID id.EventID, sender id.UserID, at time.Time, by Actor) *database.OutboxRow {
	return &database.OutboxRow{
		EventID: eventID.String(), Portal: string(p.ID), RoomID: p.MXID.String(), Kind: kind,
		SenderMXID: sender.String(), SenderUserID: by.UserID, SenderName: by.Name, EventAt: at,
	}
}

// enqueue stores a row and ends its journal row, inside a transaction.
func (b *Outbox) enqueue(ctx context.Context, row *database.OutboxRow) (inserted bool, err error) {
	if inserted, err = b.o.DB.Outbox.Enqueue(ctx, row); err != nil {
		return false, err
	}
	return inserted, b.o.DB.Journal.Done(ctx, row.EventID)
}

func (b *Outbox) taken(ctx context.Context, row *database.OutboxRow, inserted bool) {
	if !inserted {
		zerolog.Ctx(ctx).Debug().Msg("Matrix event was in the outbox already")
	} else {
		b.o.Metrics.Count(MetricEnqueued, row.Kind)
	}
	b.o.Wake(row.Portal)
}

// queued tells bridgev2 how an edit, reaction or redaction is shown that the outbox
// has. One that came once more is shown as it was: it may have ended, and then
// nobody says so again.
func (b *Outbox) queued(ctx context.Context, row *database.OutboxRow, inserted bool) error {
	b.taken(ctx, row, inserted)
	if inserted {
		return errQueued()
	}
	before, err := b.o.DB.Outbox.ByEvent(ctx, row.EventID)
	if err != nil {
		return err
	} else if before == nil {
		return errQueued()
	}
	return errOf(b.o.Texts, before)
}

// checkMirrored refuses what is said in a room whose conversation is not
// mirrored any more, unless the outbox took it while it was. What Teams has not
// seen yet can be taken back all the same.
func (b *Outbox) checkMirrored(ctx context.Context, p *bridgev2.Portal, eventID id.EventID, why error) error {
	if meta, ok := p.Metadata.(*PortalMetadata); !ok || meta == nil || meta.Detached == "" {
		return nil
	}
	return b.refusedIfNew(ctx, eventID, why)
}

// refusedIfNew refuses an event, unless the outbox took it when there was no
// reason to: it only came once more.
func (b *Outbox) refusedIfNew(ctx context.Context, eventID id.EventID, why error) error {
	if row, err := b.o.DB.Outbox.ByEvent(ctx, eventID.String()); err != nil || row != nil {
		return err
	}
	return b.refused(ctx, why)
}

// isLost reports whether a row never got to Teams as a whole and, as things stand,
// never will.
func isLost(row *database.OutboxRow) bool {
	return row.State == database.StateParked || row.State == database.StateFailed || row.State == database.StateCancelled
}

// endedOutside reports whether a row is lost with nothing of it in Teams.
func (b *Outbox) endedOutside(ctx context.Context, row *database.OutboxRow) (bool, error) {
	if row == nil || !isLost(row) {
		return false, nil
	}
	left, err := isLeftInTeams(ctx, b.o.DB, row)
	return !left, err
}

// isLeftInTeams reports whether Teams has something of a message or a reaction, or
// may have: it was in several parts, or its answer got lost, before it was refused.
func isLeftInTeams(ctx context.Context, db *database.Database, row *database.OutboxRow) (bool, error) {
	parts, err := db.Sent.ByEvent(ctx, row.EventID)
	if err != nil {
		return false, err
	} else if slices.ContainsFunc(parts, func(p database.SentPart) bool { return p.State != database.PartDeleted }) {
		return true, nil
	}
	reaction, err := db.SentReactions.ByEvent(ctx, row.EventID)
	return reaction != nil, err
}

// unpark ends a parked row that its author takes back, so that nobody sends it again.
func (b *Outbox) unpark(ctx context.Context, row *database.OutboxRow) error {
	if row == nil || row.State != database.StateParked {
		return nil
	}
	return b.o.DB.Outbox.Fail(ctx, row.ID, reasonTakenBack, "")
}

// lost answers what acts on a message that never got to Teams.
func (b *Outbox) lost(ctx context.Context, message *database.OutboxRow) error {
	if staysQuietly(message) {
		b.o.Metrics.Count(MetricIgnored, message.Reason)
		return errNothingToDo()
	}
	return b.refused(ctx, errNeverSent)
}

// refused counts a refusal and returns it as a status.
func (b *Outbox) refused(ctx context.Context, why error) error {
	b.o.Metrics.Count(MetricRefused, why.Error())
	zerolog.Ctx(ctx).Debug().Err(why).Msg("Refusing a Matrix event")
	return refuse(b.o.Texts, why, nil)
}

// reasonTakenBack is why a parked row failed whose author took it back.
const reasonTakenBack = "taken back after it was parked"

// reasonEdited is why a parked row failed of which Teams has a part, and whose
// author edited it.
const reasonEdited = "edited after it was parked"

var errUnreadable = errors.New("the event can't be read")

package portal

import (
	"context"
	"errors"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/texts"
)

// What people are told when an event can't go to Teams.
var (
	errNotAuthorEdit     = errors.New("only its author can edit a message in Teams")
	errNotAuthorDelete   = errors.New("only its author can delete a message in Teams")
	errNotAuthorReaction = errors.New("only whoever reacted can take a reaction back in Teams")
	errDeleted           = errors.New("the message is deleted")
	errDetached          = errors.New("this channel is not mirrored any more; your message stays in Matrix")
	errDetachedTakeBack  = errors.New("this channel is not mirrored any more; what Teams already has stays there")
	errNeverSent         = errors.New("the message never got to Teams")
	errBadReaction       = errors.New("this reaction does not exist in Teams")
	errIsQueued          = errors.New("queued for Teams")
	errNothing           = errors.New("there is nothing to do in Teams")
)

// refuse makes a final, certain failure of an error, with a notice to the author.
func refuse(x texts.Texts, why, cause error) error {
	message := spoken(x, why.Error())
	if cause != nil {
		message += x.Say(texts.Colon) + " " + spoken(x, cause.Error())
		why = errors.Join(why, cause)
	}
	return bridgev2.WrapErrorInStatus(why).
		WithStatus(event.MessageStatusFail).
		WithErrorReason(event.MessageStatusUnsupported).
		WithIsCertain(true).WithSendNotice(true).WithMessage(message)
}

// errQueued tells bridgev2 that an edit, reaction or redaction is pending: it
// shows that and leaves its own rows alone.
func errQueued() error {
	return bridgev2.WrapErrorInStatus(errIsQueued).
		WithStatus(event.MessageStatusPending).
		WithErrorReason(event.MessageStatusBridgeUnavailable).
		WithIsCertain(true).WithSendNotice(false)
}

// errNothingToDo tells bridgev2 that an event succeeded and leaves its rows alone.
func errNothingToDo() error {
	return bridgev2.WrapErrorInStatus(errNothing).
		WithStatus(event.MessageStatusSuccess).
		WithIsCertain(true).WithSendNotice(false)
}

// errOf tells bridgev2 how a row is shown: as pending until it has ended.
func errOf(x texts.Texts, row *database.OutboxRow) error {
	switch row.State {
	case database.StateDone, database.StateCancelled:
		return errNothingToDo()
	case database.StateParked, database.StateFailed:
		return failedStatus(x, row)
	default:
		return errQueued()
	}
}

// failedStatus sends no notice: the teller does that, once.
func failedStatus(x texts.Texts, row *database.OutboxRow) bridgev2.MessageStatus {
	reason := event.MessageStatusNetworkError
	if row.Reason == ReasonTooOld {
		reason = event.MessageStatusTooOld
	}
	return bridgev2.WrapErrorInStatus(errors.New(row.Reason)).
		WithStatus(event.MessageStatusFail).
		WithErrorReason(reason).
		WithIsCertain(true).WithSendNotice(false).WithMessage(spoken(x, row.Detail))
}

// statusInfo names the event of an outbox row.
func statusInfo(row *database.OutboxRow) *bridgev2.MessageStatusEventInfo {
	info := &bridgev2.MessageStatusEventInfo{
		RoomID:        id.RoomID(row.RoomID),
		SourceEventID: id.EventID(row.EventID),
		EventType:     event.EventMessage,
		Sender:        id.UserID(row.SenderMXID),
	}
	switch row.Kind {
	case database.KindReaction:
		info.EventType = event.EventReaction
	case database.KindUnreact, database.KindDelete:
		info.EventType = event.EventRedaction
	case database.KindMessage:
		info.ThreadRoot = id.EventID(row.RootEventID)
	}
	return info
}

// statusSender sends statuses of outbox rows.
type statusSender struct{ o *Common }

func (s statusSender) send(ctx context.Context, row *database.OutboxRow, st bridgev2.MessageStatus) {
	s.o.Bridge.Matrix.SendMessageStatus(ctx, &st, statusInfo(row))
}

func (s statusSender) pending(ctx context.Context, row *database.OutboxRow, why error) {
	s.send(ctx, row, bridgev2.WrapErrorInStatus(why).
		WithStatus(event.MessageStatusPending).
		WithErrorReason(event.MessageStatusBridgeUnavailable).
		WithIsCertain(true).WithSendNotice(false))
}

// delivered shows a row as delivered, and says what it became: a database that is
// restored from a backup has nobody else to ask.
func (s statusSender) delivered(ctx context.Context, row *database.OutboxRow) {
	if what, err := factOf(ctx, s.o.DB, row); err != nil {
		zerolog.Ctx(ctx).Err(err).Msg("Could not say in a status what an event became")
	} else {
		ctx = s.o.WithDelivered(ctx, what)
	}
	s.send(ctx, row, bridgev2.MessageStatus{
		Status:      event.MessageStatusSuccess,
		DeliveredTo: []id.UserID{s.o.Bridge.Bot.GetMXID()},
	})
}

func (s statusSender) failed(ctx context.Context, row *database.OutboxRow) {
	s.send(ctx, row, failedStatus(s.o.Texts, row))
}

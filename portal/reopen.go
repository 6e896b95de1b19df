package portal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// What waits in the database is sealed. Where the encryption key does not open it
// any more, because the key was changed or lost, both sides still have what was
// said: it is asked for once more, and takes the place that it had in its queue.

// What MetricReopened counts.
const (
	reopenedOutbox = "asked of the homeserver"
	reopenedInbox  = "asked of Teams"
	reopenedUpload = "uploaded again"
)

// reopen gets back what a row says that can't be opened. It fails for good where
// the homeserver does not have it either.
func (s *Sender) reopen(ctx context.Context, row *database.OutboxRow) error {
	if row.Unreadable == nil {
		return nil
	}
	zerolog.Ctx(ctx).Warn().Err(row.Unreadable).Msg("The encryption key does not open a queued event, asking for it again")
	payload, err := s.said(ctx, row)
	if isLostAtHomeserver(err) {
		return &failure{reason: "unreadable outbox row", message: errUnreadable.Error(), err: errors.Join(row.Unreadable, err)}
	} else if err != nil {
		return fmt.Errorf("ask for a queued event again: %w", err)
	}
	if _, err = s.o.DB.Outbox.Restore(ctx, row.ID, payload); err != nil {
		return err
	}
	row.Payload, row.Unreadable = payload, nil
	s.o.Metrics.Count(MetricReopened, reopenedOutbox)
	return nil
}

// errNothingLeft says that nothing is left of an event.
var errNothingLeft = errors.New("the event says nothing any more")

// isLostAtHomeserver reports whether the homeserver will not tell what an event
// said: it does not have it, does not let the bot read it, or nobody can decrypt it.
func isLostAtHomeserver(err error) bool {
	var hs mautrix.HTTPError
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case errors.Is(err, errNothingLeft):
		return true
	case errors.As(err, &hs):
		return errors.Is(err, mautrix.MNotFound) || isForbidden(err)
	}
	var undecrypted *undecryptedError
	return errors.As(err, &undecrypted)
}

// undecryptedError is a failure that did not come from the homeserver.
type undecryptedError struct{ err error }

func (e *undecryptedError) Error() string { return e.err.Error() }
func (e *undecryptedError) Unwrap() error { return e.err }

// said returns what a row said when it was queued.
func (s *Sender) said(ctx context.Context, row *database.OutboxRow) ([]byte, error) {
	message := row.EventID
	switch row.Kind {
	case database.KindUnreact:
		return s.removedEmoji(ctx, row)
	case database.KindEdit:
		message = row.TargetEventID
	}
	if poll, err := s.o.DB.Polls.Get(ctx, message); err != nil {
		return nil, err
	} else if poll != nil {
		return pollPayload(ctx, s.o.DB, s.o.Texts, poll)
	} else if isTally(row) {
		return nil, errNothingLeft
	}
	evt, err := ask(ctx, s.o.Bridge, s.o.Texts, row.RoomID, row.EventID)
	if err != nil {
		return nil, err
	}
	if row.Kind == database.KindReaction {
		var content event.ReactionEventContent
		if err = json.Unmarshal(evt.Content, &content); err != nil || content.RelatesTo.Key == "" {
			return nil, errNothingLeft
		}
		return []byte(content.RelatesTo.Key), nil
	}
	var content event.MessageEventContent
	if err = json.Unmarshal(evt.Content, &content); err != nil || content.MsgType == "" && content.Body == "" {
		return nil, errNothingLeft
	}
	msgconv.ReadLocation(&content, evt.Content)
	said := &content
	if row.Kind == database.KindEdit && content.NewContent != nil {
		said = content.NewContent
	}
	if evt.Type == event.EventSticker.Type {
		said.MsgType = event.CapMsgSticker
	}
	return json.Marshal(said)
}

// plainEvent is what is needed of an event.
type plainEvent struct {
	Type    string          `json:"type"`
	Content json.RawMessage `json:"content"`
}

// ask asks the homeserver for an event, and has it presented as the framework saw it.
func ask(ctx context.Context, br *bridgev2.Bridge, x texts.Texts, room, eventID string) (*plainEvent, error) {
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	evt, err := br.Bot.GetEvent(ctx, id.RoomID(room), id.EventID(eventID))
	var hs mautrix.HTTPError
	if err != nil && ctx.Err() == nil && !errors.As(err, &hs) {
		err = &undecryptedError{err}
	}
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(map[string]any{"type": evt.Type.Type, "content": evt.Content.Raw})
	if err != nil {
		return nil, fmt.Errorf("write down an event: %w", err)
	}
	out := &plainEvent{}
	if err = json.Unmarshal(msgconv.PresentPoll(x, raw), out); err != nil {
		return nil, fmt.Errorf("read an event: %w", err)
	}
	return out, nil
}

// removedEmoji returns what a reaction was that is to be removed. The homeserver
// does not tell any more.
func (s *Sender) removedEmoji(ctx context.Context, row *database.OutboxRow) ([]byte, error) {
	reaction, err := s.o.Bridge.DB.Reaction.GetByMXID(ctx, id.EventID(row.TargetEventID))
	if err != nil {
		return nil, fmt.Errorf("look for a reaction: %w", err)
	} else if reaction != nil && reaction.EmojiID != "" {
		return []byte(reaction.EmojiID), nil
	}
	sent, err := s.o.DB.SentReactions.ByEvent(ctx, row.TargetEventID)
	if err != nil {
		return nil, err
	} else if sent == nil {
		return nil, errNothingLeft
	}
	return []byte(sent.Emoji), nil
}

// reopen asks Teams for what a row says that can't be opened, and has it read
// from the ledger anew.
func (in *Ingest) reopen(ctx context.Context, row *database.InboxRow) error {
	zerolog.Ctx(ctx).Warn().Err(row.Unreadable).Msg("The encryption key does not open a message of the ledger, asking for it again")
	ch, ok := ParsePortal(portalIDOf(row))
	if !ok {
		return &refusal{reason: "unreadable ledger row", err: row.Unreadable}
	}
	m, err := in.o.Reader.Message(ctx, teams.MessageRef{ChannelRef: ch, RootID: row.RootID, ID: row.MessageID})
	switch kind := teams.KindOf(err); kind {
	case teams.KindNotFound, teams.KindGone, teams.KindPermission, teams.KindBadRequest:
		return &refusal{reason: "unreadable ledger row", err: errors.Join(row.Unreadable, err)}
	}
	if err != nil {
		return fmt.Errorf("ask for a message again: %w", err)
	}
	m.FillChannel(ch)
	again := *row
	if again.Payload, err = teams.EncodeStored(m); err != nil {
		return fmt.Errorf("encode message for the ledger: %w", err)
	}
	// What Teams says now is not older than what it said then; a version that is
	// newer still is accepted when it is told.
	if _, err = in.o.DB.Inbox.Restore(ctx, again); err != nil {
		return err
	}
	in.o.Metrics.Count(MetricReopened, reopenedInbox)
	return errReread
}

package portal

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2"
	brdb "maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/teams"
)

// maxBefore is how many earlier fingerprints of a message are kept.
const maxBefore = 16

// ackOrLeave shows a sent message as delivered. Should that fail, the row stays
// sent and is taken up by the next sweep, or the next start; the messages
// behind it do not wait for that.
func (s *Sender) ackOrLeave(ctx context.Context, row *database.OutboxRow) {
	s.mu.Lock()
	_, busy := s.acking[row.ID]
	s.acking[row.ID] = struct{}{}
	s.mu.Unlock()
	if busy {
		return
	}
	defer func() {
		s.mu.Lock()
		delete(s.acking, row.ID)
		s.mu.Unlock()
	}()
	err := s.acked(ctx, row, func(ctx context.Context) error { return s.ackMessage(ctx, row) })
	if err != nil && ctx.Err() == nil {
		zerolog.Ctx(ctx).Err(err).Msg("Could not show a message as delivered, will try again")
	}
}

// ackLeft acknowledges what an earlier process, or a failure, has left.
func (s *Sender) ackLeft(ctx context.Context) {
	rows, err := s.o.DB.Outbox.Unacked(ctx)
	if err != nil {
		if ctx.Err() == nil {
			zerolog.Ctx(ctx).Err(err).Msg("Could not read what is to be acknowledged")
		}
		return
	}
	for _, row := range rows {
		if ctx.Err() != nil {
			return
		}
		s.ackOrLeave(ctx, row)
	}
}

// acked runs an acknowledgement inside the portal's loop, because only there
// message and reaction rows may be changed. People are told before the outbox
// row ends, in the same transaction as the others: a crash in between tells them
// twice, and not never. A portal that has no room any more has no loop that
// could interfere.
func (s *Sender) acked(ctx context.Context, row *database.OutboxRow, ack func(ctx context.Context) error) error {
	err := s.loop.Do(ctx, networkid.PortalID(row.Portal), func(ctx context.Context, _ *bridgev2.Portal, _ *bridgev2.UserLogin) error {
		s.status.delivered(ctx, row)
		return s.o.DB.DoTxn(ctx, nil, ack)
	})
	if errors.Is(err, errNoRoom) {
		err = s.o.DB.DoTxn(ctx, nil, ack)
	}
	if err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	s.ended(row)
	s.o.Metrics.Count(MetricSent, row.Kind)
	return nil
}

func (s *Sender) finish(ctx context.Context, row *database.OutboxRow) error {
	return s.o.DB.Outbox.Finish(ctx, row.ID, database.StateDone, "")
}

// ackMessage gives a message row its real id, and everything that refers to it.
func (s *Sender) ackMessage(ctx context.Context, row *database.OutboxRow) error {
	parts, err := s.o.DB.Sent.ByEvent(ctx, row.EventID)
	if err != nil {
		return err
	}
	stored, err := s.o.Bridge.DB.Message.GetPartByMXID(ctx, id.EventID(row.EventID))
	if err != nil {
		return fmt.Errorf("get message row: %w", err)
	}
	if stored == nil || len(parts) == 0 || !IsProvisional(stored.ID) {
		return s.finish(ctx, row)
	}
	first := parts[0]
	before, after := stored.ID, MessageID(teams.ChannelRef{TeamID: first.TeamID, ChannelID: first.ChannelID}, first.RemoteID)
	if twin, err := s.o.Bridge.DB.Message.GetFirstPartByID(ctx, "", after); err != nil {
		return fmt.Errorf("look for the message's id: %w", err)
	} else if twin != nil && twin.RowID != stored.RowID {
		// Somebody delivered our post as news. Two rows can't have one id.
		zerolog.Ctx(ctx).Error().Stringer("twin", twin.MXID).Msg("A post of ours is in the room twice")
		return s.finish(ctx, row)
	}
	meta := metaOf(stored)
	meta.Relayed = first.AccountID != row.SenderUserID
	posted := make([]given, len(parts))
	for i, p := range parts {
		posted[i] = given{p.Fingerprint, p.ContentHash}
	}
	if len(meta.Prints) == 0 {
		setGiven(meta, posted)
	} else { // an edit was acknowledged first
		meta.Before = lastBefore(append(printsOf(posted), meta.Before...))
	}
	stored.ID = after
	if err = s.o.Bridge.DB.Message.Update(ctx, stored); err != nil {
		return fmt.Errorf("store real id: %w", err)
	}
	if err = renameReferences(ctx, s.o.Bridge, stored, before); err != nil {
		return err
	}
	return s.finish(ctx, row)
}

// renameReferences points other rows at the real id. Reactions follow by their
// foreign key, threads and replies have none.
func renameReferences(ctx context.Context, br *bridgev2.Bridge, stored *brdb.Message, before networkid.MessageID) error {
	for _, query := range []string{
		`UPDATE message SET thread_root_id=$1 WHERE bridge_id=$2 AND room_id=$3 AND room_receiver=$4 AND thread_root_id=$5`,
		`UPDATE message SET reply_to_id=$1 WHERE bridge_id=$2 AND room_id=$3 AND room_receiver=$4 AND reply_to_id=$5`,
	} {
		_, err := br.DB.Exec(ctx, query, stored.ID, br.ID, stored.Room.ID, stored.Room.Receiver, before)
		if err != nil {
			return fmt.Errorf("rename references: %w", err)
		}
	}
	return nil
}

// ackEdit notes what a message was given in Teams; nil means that the edit had
// nothing to do.
func (s *Sender) ackEdit(ctx context.Context, row *database.OutboxRow, t target, next []given) error {
	stored, err := s.o.Bridge.DB.Message.GetPartByMXID(ctx, id.EventID(row.TargetEventID))
	if err != nil {
		return fmt.Errorf("get message row of edit: %w", err)
	}
	if stored != nil {
		stored.EditCount++
		metaOf(stored).Edit = row.EventID
		if next != nil {
			s.noteGiven(metaOf(stored), next)
			metaOf(stored).PartHash = "" // the event shows the edit made in Matrix
		}
		if err = s.o.Bridge.DB.Message.Update(ctx, stored); err != nil {
			return fmt.Errorf("store edited row: %w", err)
		}
	}
	return s.finishBehind(ctx, row, t.event(row), func(what string) bool { return strings.HasPrefix(what, lateWhat(lateEdit, "")) })
}

// noteGiven says in a message's row what an edit made in Matrix gave to Teams.
func (s *Sender) noteGiven(meta *MessageMetadata, next []given) {
	meta.Before = lastBefore(append(meta.Before, meta.Prints...))
	setGiven(meta, next)
	if !meta.Unseen {
		meta.ListedMS = meta.EditedMS
	}
	meta.EditedMS, meta.Unseen = s.o.Now().UnixMilli(), true
	if meta.Outbound {
		meta.ContentHash = "" // somebody may write the same in Teams again
	}
}

// lastBefore returns the newest of earlier fingerprints.
func lastBefore(prints []string) []string { return prints[max(0, len(prints)-maxBefore):] }

// ackRemove marks a message deleted. Its row stays: the thread goes on under
// its event.
func (s *Sender) ackRemove(ctx context.Context, row *database.OutboxRow) error {
	stored, err := s.o.Bridge.DB.Message.GetPartByMXID(ctx, id.EventID(row.TargetEventID))
	if err != nil {
		return fmt.Errorf("get message row of deletion: %w", err)
	}
	if stored != nil {
		reactions, err := s.o.Bridge.DB.Reaction.GetAllToMessage(ctx, "", stored.ID)
		if err != nil {
			return fmt.Errorf("get reactions of deleted message: %w", err)
		}
		for _, r := range reactions {
			if err = s.o.Bridge.DB.Reaction.Delete(ctx, r); err != nil {
				return fmt.Errorf("delete reaction of deleted message: %w", err)
			}
		}
		all, err := s.o.Bridge.DB.Message.GetAllPartsByID(ctx, "", stored.ID)
		if err != nil {
			return fmt.Errorf("get message rows of deletion: %w", err)
		}
		for _, part := range all {
			meta := metaOf(part)
			meta.Deleted, meta.Deleting, meta.TakenOut, meta.ContentHash = true, false, false, ""
			meta.DeletedMS = s.o.Now().UnixMilli()
			if err = s.o.Bridge.DB.Message.Update(ctx, part); err != nil {
				return fmt.Errorf("mark row deleted: %w", err)
			}
		}
	}
	return s.finish(ctx, row)
}

// ackReact notes that Teams has a reaction; made is what stands there, nothing
// where it is in a digest.
func (s *Sender) ackReact(ctx context.Context, row *database.OutboxRow, relayed bool, made database.SentReaction) error {

	stored, err := s.o.Bridge.DB.Reaction.GetByMXID(ctx, id.EventID(row.EventID))
	if err != nil {
		return fmt.Errorf("get reaction row: %w", err)
	}
	if stored != nil {
		meta := reactionMetaOf(stored)
		meta.Queued, meta.Relayed, meta.AckMS = false, relayed, s.o.Now().UnixMilli()
		if err = s.o.Bridge.DB.Reaction.Upsert(ctx, stored); err != nil {
			return fmt.Errorf("store reaction row: %w", err)
		}
	}
	return s.finishReaction(ctx, row, lateUnreact, made)
}

func (s *Sender) ackUnreact(ctx context.Context, row *database.OutboxRow, taken database.SentReaction) error {
	if err := s.o.DB.SentReactions.Remove(ctx, row.TargetEventID); err != nil {
		return err
	}
	stored, err := s.o.Bridge.DB.Reaction.GetByMXID(ctx, id.EventID(row.TargetEventID))
	if err != nil {
		return fmt.Errorf("get reaction row: %w", err)
	}
	if stored != nil {
		if err = s.o.Bridge.DB.Reaction.Delete(ctx, stored); err != nil {
			return fmt.Errorf("delete reaction row: %w", err)
		}
	}
	return s.finishReaction(ctx, row, lateReact, taken)
}

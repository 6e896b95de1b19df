package portal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
	"teamsbridge/teams"
)

func roomID(row *database.OutboxRow) id.RoomID { return id.RoomID(row.RoomID) }

// edit brings an edit to Teams: parts that there are get the new text, parts
// that are too few are posted, parts that are too many deleted. All of it may be
// repeated.
func (s *Sender) edit(ctx context.Context, row *database.OutboxRow) error {
	if old, err := s.o.DB.Outbox.Superseded(ctx, row); err != nil {
		return err
	} else if old {
		return s.drop(ctx, row, "a newer edit came before it")
	}
	t, err := s.target(ctx, row, row.TargetEventID)
	if err != nil {
		return s.dropIfCancelled(ctx, row, t, err)
	}
	if t.stored != nil && (metaOf(t.stored).Deleted || isOnTheWayOut(t.stored)) {
		return s.drop(ctx, row, "message was deleted")
	}
	if t.digest != nil {
		return s.changeDigest(ctx, row, t)
	}
	if err = s.loadRows(ctx, &t); err != nil {
		return err
	}
	if t.parts, err = s.settleAll(ctx, t.parts); err != nil {
		return err
	}
	var quote *msgconv.Quote
	if t.out != nil && t.out.RootEventID != "" && len(t.parts) > 0 && t.parts[0].RootID == "" {
		r, err := s.rootOf(ctx, t.out)
		if err != nil {
			return err
		}
		quote = r.quote
	}
	if quote == nil {
		if quote, err = s.answeredBy(ctx, roomID(row), eventID(row.TargetEventID)); err != nil {
			return err
		}
	}
	message := t.out
	if message == nil && len(t.parts) > 0 {
		// The message's own row is not kept for ever. The edit is its author's
		// too, which is all that the wording needs.
		own := *row
		own.EventID, own.EventAt, own.RootEventID = row.TargetEventID, t.parts[0].StartedAt, ""
		message = &own
	}
	w := s.wordingOf(message, t.parts, false, quote)
	w.account = t.account
	var written *teams.Message
	if t.isWritten() {
		if written, err = s.kept(ctx, t); err != nil {
			return err
		} else if !written.Deleted.IsZero() {
			return s.drop(ctx, row, "message was deleted")
		}
		w.kept = msgconv.Quoted(*written, s.environment())
	}
	drafts, err := s.drafts(ctx, row, w)
	if err != nil {
		return err
	}
	if written != nil {
		drafts[0] = msgconv.WithText(*written, drafts[0], s.o.Texts)
	}
	next := revisionOf(drafts)
	if known, err := s.restoredRow(ctx, row); err != nil {
		return err
	} else if isDelivered(known) {
		return s.acked(ctx, row, func(ctx context.Context) error { return s.ackEdit(ctx, row, t, next.given) })
	}
	there, err := s.isThere(ctx, row, t, next)
	if err == nil && !there && written == nil {
		if next, err = s.keepAdded(ctx, row, t, next); err == nil {
			there, err = s.isThere(ctx, row, t, next)
		}
	}
	if err != nil {
		return err
	} else if there {
		// It was merged into the message before that was sent.
		return s.acked(ctx, row, func(ctx context.Context) error { return s.ackEdit(ctx, row, t, nil) })
	}
	return s.sendEdit(ctx, row, t, next)
}

// sendEdit gives a message new texts, in the name of whoever posted it.
func (s *Sender) sendEdit(ctx context.Context, row *database.OutboxRow, t target, next revision) error {
	if row.State == database.StateSending {
		// The process before may have sent it.
		if err := s.noteLateEdit(ctx, row, t, next.given); err != nil {
			return err
		}
	}
	w, err := s.o.Writers.Exactly(ctx, row, t.account)
	if err != nil {
		return err
	}
	landed := s.o.Echo.takeOff(row.Portal, t.account)
	defer landed()
	s.o.Echo.editing(t.event(row), next.given)
	if err = s.editParts(ctx, row, w, t, next); err != nil {
		if isAmbiguous(err) {
			err = errors.Join(err, s.noteLateEdit(ctx, row, t, next.given))
		}
		if teams.KindOf(err) == teams.KindSignInExpired {
			s.o.Writers.Failed(ctx, t.account, err)
			return fmt.Errorf("%w: %w", ErrOwnAccount, err)
		}
		return err
	}
	err = s.acked(ctx, row, func(ctx context.Context) error { return s.ackEdit(ctx, row, t, next.given) })
	if err == nil {
		s.o.Echo.edited(t.event(row))
		s.o.Echoed(row.Portal)
	}
	return err
}

// given returns what Teams has of a message.
func (t target) given() []given {
	meta := &MessageMetadata{}
	if len(t.rows) > 0 {
		meta = metaOf(firstRow(t.rows))
	} else if t.stored != nil {
		meta = metaOf(t.stored)
	}
	return givenBefore(meta, t.parts)
}

func (s *Sender) editParts(ctx context.Context, row *database.OutboxRow, w teams.Writer, t target, next revision) error {
	part := func(i int) *database.SentPart {
		at := slices.IndexFunc(t.parts, func(p database.SentPart) bool { return p.Part == i })
		if at < 0 {
			return nil
		}
		return &t.parts[at]
	}
	for i, d := range next.drafts {
		have := part(i)
		switch {
		case have == nil && i == 0:
			if err := w.Edit(ctx, t.ref, d); err != nil {
				return fmt.Errorf("edit: %w", err)
			}
		case have == nil:
			rootID := t.ref.RootID
			if rootID == "" {
				rootID = t.ref.ID
			}
			if _, err := s.post(ctx, w, row.Portal, row.TargetEventID, i, t.ref.ChannelRef, rootID, d, nil); err != nil {
				return fmt.Errorf("post an added part: %w", err)
			}
		default:
			if have.State == database.PartDeleted {
				if err := w.Undelete(ctx, partRef(*have)); err != nil {
					return fmt.Errorf("bring a part back: %w", err)
				}
				if err := s.o.DB.Sent.SetDeleted(ctx, have.EventID, have.Part, false); err != nil {
					return err
				}
			}
			if err := w.Edit(ctx, partRef(*have), dropFile(d, have)); err != nil {
				return fmt.Errorf("edit part %d: %w", i, err)
			}
			if have.Attachment != next.files[i] {
				if err := s.o.DB.Sent.SetAttachment(ctx, have.EventID, have.Part, next.files[i]); err != nil {
					return err
				}
			}
		}
	}
	for _, p := range t.parts {
		if p.Part >= len(next.drafts) && p.State == database.StateSent {
			if err := s.deletePart(ctx, w, p); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Sender) deletePart(ctx context.Context, w teams.Writer, p database.SentPart) error {
	if err := s.delete(ctx, w, partRef(p)); err != nil {
		return fmt.Errorf("delete part %d: %w", p.Part, err)
	}
	return s.o.DB.Sent.SetDeleted(ctx, p.EventID, p.Part, true)
}

// delete deletes a message that may be deleted already, by an attempt whose
// answer nobody saw or by somebody in Teams. What Graph answers then is not
// documented, so a refusal is believed only when the message is there.
func (s *Sender) delete(ctx context.Context, w teams.Writer, ref teams.MessageRef) error {
	err := w.Delete(ctx, ref)
	if err == nil || isMissing(err) {
		return nil
	} else if !doesNotFit(err) {
		return err
	}
	m, readErr := s.o.Reader.Message(ctx, ref)
	switch {
	case readErr == nil && m.Deleted.IsZero():
		return err
	case readErr == nil:
		return nil
	case isMissing(readErr):
		young, err := s.isYoung(ctx, ref)
		if err == nil && young {
			err = youngTarget(readErr)
		}
		return err
	}
	return fmt.Errorf("see whether it is deleted: %w", readErr)
}

// remove brings a deletion to Teams.
func (s *Sender) remove(ctx context.Context, row *database.OutboxRow) error {
	t, err := s.target(ctx, row, row.TargetEventID)
	if err != nil && row.Attempts > 0 && t.stored == nil && t.out == nil && len(t.parts) == 0 {
		// A part that Teams does not have any more has no row.
		return s.drop(ctx, row, "message was deleted")
	} else if err != nil {
		return s.dropIfCancelled(ctx, row, t, err)
	}
	if t.digest != nil {
		return s.changeDigest(ctx, row, t)
	}
	if err = s.loadRows(ctx, &t); err != nil {
		return err
	} else if len(t.others()) > 0 {
		return s.takeOut(ctx, row, t)
	}
	if t.parts, err = s.settleAll(ctx, t.parts); err != nil {
		return err
	}
	if gone, err := s.isGoneBefore(ctx, t.ref); err != nil {
		return err
	} else if gone {
		return s.drop(ctx, row, "message was deleted")
	}
	w, err := s.o.Writers.Exactly(ctx, row, t.account)
	if err != nil {
		return err
	}
	landed := s.o.Echo.takeOff(row.Portal, t.account)
	defer landed()
	for _, p := range slices.Backward(t.parts) {
		if p.State != database.StateSent {
			continue
		}
		if err = s.deletePart(ctx, w, p); err != nil {
			return s.ownAccountErr(ctx, t.account, err)
		}
	}
	if len(t.parts) == 0 || t.parts[0].Part != 0 {
		if err = s.delete(ctx, w, t.ref); err != nil {
			return s.ownAccountErr(ctx, t.account, fmt.Errorf("delete: %w", err))
		}
	}
	return s.acked(ctx, row, func(ctx context.Context) error { return s.ackRemove(ctx, row) })
}

func (s *Sender) ownAccountErr(ctx context.Context, account string, err error) error {
	if teams.KindOf(err) != teams.KindSignInExpired {
		return err
	}
	s.o.Writers.Failed(ctx, account, err)
	return fmt.Errorf("%w: %w", ErrOwnAccount, err)
}

// react brings a reaction to Teams. An account of the relay pool holds one
// reaction per emoji, however many people stand behind it.
func (s *Sender) react(ctx context.Context, row *database.OutboxRow) error {
	t, err := s.target(ctx, row, row.TargetEventID)
	if err != nil {
		return s.dropIfCancelled(ctx, row, t, err)
	}
	if t.digest != nil {
		return s.changeDigest(ctx, row, t)
	}
	emoji, err := msgconv.EmojiToTeams(string(row.Payload))
	if err != nil {
		return &failure{reason: "not an emoji", message: err.Error(), err: err}
	}
	w, relayed, err := s.o.Writers.For(ctx, row, "")
	if err != nil {
		return fmt.Errorf("choose an account: %w", err)
	}
	made, err := s.reactAs(ctx, row, w, t.ref, emoji)
	if err != nil && needsRelay(err) {
		s.o.Writers.Failed(ctx, w.Account().UserID, err)
		if !relayed {
			if w, err = s.o.Writers.Relay(ctx, row, ""); err != nil {
				return fmt.Errorf("choose a relay account: %w", err)
			}
			relayed = true
			made, err = s.reactAs(ctx, row, w, t.ref, emoji)
		}
	}
	if err != nil {
		return err
	}
	if relayed {
		s.o.Metrics.Count(MetricRelayed, row.Kind)
	}
	return s.acked(ctx, row, func(ctx context.Context) error { return s.ackReact(ctx, row, relayed, made) })
}

func (s *Sender) reactAs(ctx context.Context, row *database.OutboxRow, w teams.Writer, ref teams.MessageRef, emoji string) (database.SentReaction, error) {
	r := database.SentReaction{
		EventID: row.EventID, Portal: row.Portal, TargetID: ref.ID, Emoji: string(emojiID(emoji)),
		AccountID: w.Account().UserID, SenderMXID: row.SenderMXID, SentAt: s.o.Now(),
	}
	others, err := s.o.DB.SentReactions.CountOthers(ctx, r)
	if err != nil {
		return r, err
	}
	if row.State == database.StateSending {
		// The process before may have sent it.
		if err = s.noteLateReaction(ctx, lateReact, r); err != nil {
			return r, err
		}
	}
	undone, err := s.o.Echo.late.has(ctx, row.Portal, ref.ID, lateWhat(lateUnreact, r.Emoji, r.AccountID))
	if err != nil {
		return r, err
	}
	if others == 0 || undone {
		if err = w.React(ctx, ref, emoji); err != nil {
			return r, s.maybeReacted(ctx, r, fmt.Errorf("react: %w", err))
		}
	}
	return r, s.o.DB.SentReactions.Add(ctx, r)
}

// maybeReacted returns the error of a reaction. One that Teams may have all the
// same is noted, so that taking it back is not taken for having nothing to do.
func (s *Sender) maybeReacted(ctx context.Context, r database.SentReaction, err error) error {
	if !isAmbiguous(err) {
		return err
	}
	ctx, cancel := durable(ctx)
	defer cancel()
	return errors.Join(err, s.noteLateReaction(ctx, lateReact, r), s.o.DB.SentReactions.Add(ctx, r))
}

// unreact takes a reaction back in Teams, unless others stand behind it.
func (s *Sender) unreact(ctx context.Context, row *database.OutboxRow) error {
	t, err := s.target(ctx, row, row.RootEventID)
	if err != nil {
		return s.dropIfCancelled(ctx, row, t, err)
	}
	if t.digest != nil {
		return s.changeDigest(ctx, row, t)
	}
	r, err := s.o.DB.SentReactions.ByEvent(ctx, row.TargetEventID)
	if err != nil {
		return err
	}
	if r == nil {
		// It was made in Teams, by the person's own account.
		r = &database.SentReaction{
			EventID: row.TargetEventID, Portal: row.Portal, TargetID: t.ref.ID, Emoji: string(row.Payload), AccountID: row.SenderUserID,
		}
	}
	others, err := s.o.DB.SentReactions.CountOthers(ctx, *r)
	if err != nil {
		return err
	}
	gone, err := s.isUnreactedBefore(ctx, t.ref, *r)
	if err != nil {
		return err
	}
	if others == 0 && !gone {
		emoji, err := msgconv.EmojiToTeams(string(row.Payload))
		if err != nil {
			return &failure{reason: "not an emoji", message: err.Error(), err: err}
		}
		w, err := s.o.Writers.Exactly(ctx, row, r.AccountID)
		if err != nil {
			return err
		}
		if row.State == database.StateSending {
			if err = s.noteLateReaction(ctx, lateUnreact, *r); err != nil {
				return err
			}
		}
		if err = w.Unreact(ctx, t.ref, emoji); err != nil && !isMissing(err) {
			if isAmbiguous(err) {
				err = errors.Join(err, s.noteLateReaction(ctx, lateUnreact, *r))
			}
			return s.ownAccountErr(ctx, r.AccountID, fmt.Errorf("take reaction back: %w", err))
		}
	}
	return s.acked(ctx, row, func(ctx context.Context) error { return s.ackUnreact(ctx, row, *r) })
}

// dropIfCancelled ends a row quietly whose message was taken back before Teams
// saw it, or stays in Matrix; any other error stays.
func (s *Sender) dropIfCancelled(ctx context.Context, row *database.OutboxRow, t target, err error) error {
	switch {
	case t.out == nil:
	case t.out.State == database.StateCancelled:
		return s.drop(ctx, row, "message was taken back")
	case row.Kind == database.KindDelete && t.out.State == database.StateFailed && t.out.Reason == reasonTakenBack:
		return s.drop(ctx, row, "message was taken back")
	case staysQuietly(t.out):
		return s.drop(ctx, row, "message stays in Matrix")
	}
	return err
}

// drop ends a row that has nothing to do any more. Like acked it does so inside
// the portal's loop, behind the framework's own status.
func (s *Sender) drop(ctx context.Context, row *database.OutboxRow, why string) error {
	end := func(ctx context.Context, _ *bridgev2.Portal, _ *bridgev2.UserLogin) error {
		s.status.delivered(ctx, row)
		return s.o.DB.Outbox.Finish(ctx, row.ID, database.StateCancelled, why)
	}
	err := s.loop.Do(ctx, networkid.PortalID(row.Portal), end)
	if errors.Is(err, errNoRoom) {
		err = end(ctx, nil, nil)
	}
	if err != nil {
		return fmt.Errorf("drop: %w", err)
	}
	s.ended(row)
	if row.Kind == database.KindEdit {
		s.o.Echo.edited(row.TargetEventID)
	}
	s.o.Metrics.Count(MetricCoalesced, row.Kind)
	return nil
}

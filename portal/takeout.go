package portal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	brdb "maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
	"teamsbridge/teams"
)

// A message that was written in Teams may be several events in Matrix, and its
// author may redact one of them, or edit its text. Teams then gets the message as
// it is there, with that part taken out or its text replaced.

// reasonOnlyPart is why a part can't be changed alone.
const reasonOnlyPart = "only a part of a message"

func errOnlyPart() error { return &failure{reason: reasonOnlyPart, message: failOnlyPart} }

// isWritten reports whether a target was written in Teams.
func (t target) isWritten() bool {
	return t.digest == nil && t.stored != nil && !metaOf(t.stored).Outbound
}

// loadRows gets the rows of the message of which the target is a part.
func (s *Sender) loadRows(ctx context.Context, t *target) (err error) {
	if !t.isWritten() {
		return nil
	}
	if t.rows, err = s.o.Bridge.DB.Message.GetAllPartsByID(ctx, "", t.stored.ID); err != nil {
		return fmt.Errorf("get message rows of target: %w", err)
	} else if len(t.rows) == 0 {
		t.rows = []*brdb.Message{t.stored}
	}
	return nil
}

// event is the event under which a message is known: of one that was written in
// Teams it is that of its first part.
func (t target) event(row *database.OutboxRow) string {
	if len(t.rows) > 0 {
		return firstRow(t.rows).MXID.String()
	}
	return row.TargetEventID
}

// others are the rows of the message's other parts that are there.
func (t target) others() (out []*brdb.Message) {
	for _, row := range t.rows {
		if meta := metaOf(row); row.MXID != t.stored.MXID && !meta.Deleted && !isOnTheWayOut(row) {
			out = append(out, row)
		}
	}
	return out
}

// kept reads a message that was written in Teams, for an edit of its text.
func (s *Sender) kept(ctx context.Context, t target) (*teams.Message, error) {
	texts := 0
	for _, row := range t.rows {
		if isText(row) {
			texts++
		}
	}
	if !isText(t.stored) || texts > 1 {
		return nil, errOnlyPart()
	}
	m, err := s.asItIs(ctx, t)
	if err != nil {
		return nil, unread(fmt.Errorf("read the message that is edited: %w", err))
	}
	return &m, nil
}

// asItIs reads a message that was written in Teams. What is read right after a
// change may be from before it, and would undo it.
func (s *Sender) asItIs(ctx context.Context, t target) (teams.Message, error) {
	m, err := s.o.Reader.Message(ctx, t.ref)
	if isMissing(err) {
		young, youngErr := s.isYoung(ctx, t.ref)
		if youngErr != nil {
			return m, youngErr
		} else if young {
			return m, youngTarget(err)
		}
	}
	if err != nil {
		return m, err
	}
	meta := metaOf(firstRow(t.rows))
	if shown := meta.ETag; versionOf(m) < shown && s.o.Now().Before(time.UnixMilli(shown).Add(s.o.TargetPatience+ClockSkew)) {
		return m, errUnsettled // the room shows a newer one already
	}
	if m.Deleted.IsZero() && meta.Unseen && len(meta.Given) > 0 && !msgconv.LooksLike(m, meta.Given[0]) &&
		s.o.Now().Before(time.UnixMilli(meta.EditedMS).Add(s.o.DoubtWindow)) {
		return m, errUnsettled
	}
	return m, nil
}

func isText(row *brdb.Message) bool { return row.PartID == "" || kindOfPart(row) == "text" }

// environment is what shows a message of Teams as its rows do.
func (s *Sender) environment() msgconv.MatrixEnv {
	return msgconv.MatrixEnv{People: s.o.Directory, Texts: s.o.Texts}
}

// takeOut takes one of several parts out of a message that was written in Teams.
func (s *Sender) takeOut(ctx context.Context, row *database.OutboxRow, t target) error {
	m, err := s.asItIs(ctx, t)
	if isMissing(err) || err == nil && !m.Deleted.IsZero() {
		return s.acked(ctx, row, func(ctx context.Context) error { return s.ackTakeOut(ctx, row, t, nil) })
	} else if err != nil {
		return unread(fmt.Errorf("read the message that loses a part: %w", err))
	}
	d, found, err := t.without(m)
	if err != nil {
		return err
	}
	switch found {
	case msgconv.FoundInside:
		return errOnlyPart()
	case msgconv.FoundNot:
		return s.acked(ctx, row, func(ctx context.Context) error { return s.ackTakeOut(ctx, row, t, nil) })
	}
	w, err := s.o.Writers.Exactly(ctx, row, t.account)
	if err != nil {
		return err
	}
	next := givenBy([]teams.Draft{d})
	landed := s.o.Echo.takeOff(row.Portal, t.account)
	defer landed()
	s.o.Echo.editing(t.event(row), next)
	if err = w.Edit(ctx, t.ref, d); err != nil {
		err = fmt.Errorf("take a part out: %w", err)
		if isAmbiguous(err) {
			err = errors.Join(err, s.noteLateEdit(ctx, row, t, next))
		} else {
			s.o.Echo.edited(t.event(row)) // nothing comes back from Teams for it
		}
		return s.ownAccountErr(ctx, t.account, err)
	}
	err = s.acked(ctx, row, func(ctx context.Context) error { return s.ackTakeOut(ctx, row, t, next) })
	if err == nil {
		s.o.Echo.edited(t.event(row))
		s.o.Echoed(row.Portal)
	}
	return err
}

// without makes a message's draft without the target.
func (t target) without(m teams.Message) (d teams.Draft, found msgconv.Found, err error) {
	if isText(t.stored) {
		if slices.ContainsFunc(t.others(), isText) {
			return d, found, errOnlyPart() // nobody knows where in the body it ends
		}
		return msgconv.WithoutText(m), msgconv.FoundIt, nil
	}
	source := sourceOf(t.stored)
	switch {
	case source != "":
		d, found = msgconv.WithoutPart(m, source)
		return d, found, nil
	case metaOf(firstRow(t.rows)).Unseen:
		return d, found, errBehind
	}
	return d, found, errOnlyPart()
}

// ackTakeOut notes that Teams does not have a part any more. The row of the first
// one stays: the thread goes on under its event.
func (s *Sender) ackTakeOut(ctx context.Context, row *database.OutboxRow, t target, next []given) error {
	messages := s.o.Bridge.DB.Message
	stored, err := messages.GetPartByMXID(ctx, id.EventID(row.TargetEventID))
	if err != nil {
		return fmt.Errorf("get message row of a part: %w", err)
	} else if stored == nil {
		return s.finish(ctx, row)
	}
	all, err := messages.GetAllPartsByID(ctx, "", stored.ID)
	if err != nil {
		return fmt.Errorf("get message rows: %w", err)
	}
	reactions, err := s.o.Bridge.DB.Reaction.GetAllToMessagePart(ctx, "", stored.ID, stored.PartID)
	if err != nil {
		return fmt.Errorf("get reactions to a part: %w", err)
	}
	for _, r := range reactions {
		if err = s.o.Bridge.DB.Reaction.Delete(ctx, r); err != nil {
			return fmt.Errorf("delete reaction to a part: %w", err)
		}
	}
	first := firstRow(all)
	if next != nil {
		s.noteGiven(metaOf(first), next)
	}
	if stored.RowID == first.RowID {
		metaOf(first).TakenOut, metaOf(first).Deleting, metaOf(first).PartHash = true, false, ""
	} else if err = messages.Delete(ctx, stored.RowID); err != nil {
		return fmt.Errorf("delete row of a part: %w", err)
	}
	if err = messages.Update(ctx, first); err != nil {
		return fmt.Errorf("store row of a message without a part: %w", err)
	}
	return s.finishBehind(ctx, row, t.event(row), func(what string) bool { return strings.HasPrefix(what, lateWhat(lateEdit, "")) })
}

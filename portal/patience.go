package portal

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"teamsbridge/database"
	"teamsbridge/teams"
)

// errYoungTarget says that Graph does not know a message that was there a moment
// ago. It says so of what is new: what was just written does not show everywhere
// at once. So a 404 about a young message is waited out, and is believed only when
// the message has had its time, or is seen to be deleted.
var errYoungTarget = errors.New("the message is not known to Graph yet")

// patientWriters are the Writers of a Sender: what they choose has patience.
type patientWriters struct {
	Writers
	s *Sender
}

// For implements Writers.
func (p patientWriters) For(ctx context.Context, row *database.OutboxRow, preferred string) (teams.Writer, bool, error) {
	w, relayed, err := p.Writers.For(ctx, row, preferred)
	return p.patient(w, err), relayed, err
}

// Relay implements Writers.
func (p patientWriters) Relay(ctx context.Context, row *database.OutboxRow, preferred string) (teams.Writer, error) {
	w, err := p.Writers.Relay(ctx, row, preferred)
	return p.patient(w, err), err
}

// Exactly implements Writers.
func (p patientWriters) Exactly(ctx context.Context, row *database.OutboxRow, accountID string) (teams.Writer, error) {
	w, err := p.Writers.Exactly(ctx, row, accountID)
	return p.patient(w, err), err
}

func (p patientWriters) patient(w teams.Writer, err error) teams.Writer {
	if err != nil {
		return w
	}
	return patientWriter{w, p.s}
}

// patientWriter is a writer whose 404 about a young message is errYoungTarget,
// which is no 404 to anybody.
type patientWriter struct {
	teams.Writer
	s *Sender
}

// Post implements teams.Writer.
func (w patientWriter) Post(ctx context.Context, ch teams.ChannelRef, rootID string, d teams.Draft) (teams.Message, error) {
	m, err := w.Writer.Post(ctx, ch, rootID, d)
	if rootID == "" {
		return m, err
	}
	return m, w.s.notYet(ctx, teams.MessageRef{ChannelRef: ch, ID: rootID}, err, isDeleted)
}

// Edit implements teams.Writer.
func (w patientWriter) Edit(ctx context.Context, ref teams.MessageRef, d teams.Draft) error {
	return w.s.notYet(ctx, ref, w.Writer.Edit(ctx, ref, d), isDeleted)
}

// Delete implements teams.Writer.
func (w patientWriter) Delete(ctx context.Context, ref teams.MessageRef) error {
	return w.s.notYet(ctx, ref, w.Writer.Delete(ctx, ref), isDeleted)
}

// Undelete implements teams.Writer.
func (w patientWriter) Undelete(ctx context.Context, ref teams.MessageRef) error {
	return w.s.notYet(ctx, ref, w.Writer.Undelete(ctx, ref), func(teams.Message) bool { return false })
}

// React implements teams.Writer.
func (w patientWriter) React(ctx context.Context, ref teams.MessageRef, emoji string) error {
	return w.s.notYet(ctx, ref, w.Writer.React(ctx, ref, emoji), isDeleted)
}

// Unreact implements teams.Writer. Its 404 may be about the reaction.
func (w patientWriter) Unreact(ctx context.Context, ref teams.MessageRef, emoji string) error {
	return w.s.notYet(ctx, ref, w.Writer.Unreact(ctx, ref, emoji), func(m teams.Message) bool {
		for _, r := range m.Reactions {
			if r.User.ID == w.Account().UserID && emojiID(r.Type) == emojiID(emoji) {
				return isDeleted(m)
			}
		}
		return true
	})
}

func isDeleted(m teams.Message) bool { return !m.Deleted.IsZero() }

// notYet returns the error of a write to a message, errYoungTarget where Graph
// may only not know the message yet. explained reports whether what the message
// looks like explains a 404.
func (s *Sender) notYet(ctx context.Context, ref teams.MessageRef, err error, explained func(teams.Message) bool) error {
	if !isMissing(err) {
		return err
	}
	if young, ageErr := s.isYoung(ctx, ref); ageErr != nil {
		return youngTarget(errors.Join(ageErr, err))
	} else if !young {
		return err
	}
	m, readErr := s.o.Reader.Message(ctx, ref)
	if readErr == nil && explained(m) {
		return err
	}
	return youngTarget(err)
}

// youngTarget hides the kind of an error. It stays one of Graph's: nothing was done.
func youngTarget(err error) error {
	return fmt.Errorf("%w: %w", errYoungTarget, &teams.Error{Op: "young target", Kind: teams.KindUnavailable, Message: err.Error()})
}

// isYoung reports whether a message came into being so short a time ago that
// Graph may not know it everywhere. Who posted it here knows when; of others their
// row tells, by Teams' clock, and so does their id, which is a time.
func (s *Sender) isYoung(ctx context.Context, ref teams.MessageRef) (bool, error) {
	portal := ChannelPortal(ref.ChannelRef)
	part, err := s.o.DB.Sent.ByRemote(ctx, string(portal.ID), ref.ID)
	if err != nil {
		return false, err
	} else if part != nil {
		return s.o.Now().Before(part.SentAt.Add(s.o.TargetPatience)), nil
	}
	row, err := s.o.Bridge.DB.Message.GetFirstPartByID(ctx, "", MessageID(ref.ChannelRef, ref.ID))
	if err != nil {
		return false, fmt.Errorf("look how old a message is: %w", err)
	}
	made := madeAt(ref.ID)
	if row != nil {
		if metaOf(row).Deleted {
			return false, nil
		}
		made = row.Timestamp
	}
	return s.o.Now().Before(made.Add(s.o.TargetPatience)), nil
}

// madeAt is when a message was made by its id, the zero time where that does not say.
func madeAt(messageID string) time.Time {
	ms, err := strconv.ParseInt(messageID, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

package portal

import (
	"context"
	"encoding/json"
	"errors"
	"html"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
	"teamsbridge/teams"
)

// A post whose outcome nobody knows may have been edited or deleted in Teams
// before anybody saw it, for example while the bridge could not get out. Then it
// does not say any more what was posted. So where Teams was read to its end and
// nothing says it, what was changed is judged, once: an edited post that still is
// much like it is it, and so is anything that only the bridge can have posted.
// A person's account writes in Teams, too, and people change what they write all
// the time: what is not very much alike is taken for something else, and the post
// is made again. Taking another message for it would lose one of them.

const (
	// alike is how much of an edited post has to be as it was posted.
	alike = 0.5
	// alikeOwn is that for a person's account, which may have written both: any two
	// texts of a language are half alike.
	alikeOwn = 0.75
	// alikePiece is that for a post that is a piece of a long message: texts have
	// much in common with a long one.
	alikePiece = 0.8
	// undecidedFor bounds how long a message waits for that judgement, which needs
	// a Teams that can be read. After that it counts as written in Teams.
	undecidedFor = 30 * time.Minute
)

// errUndecided says that a message may be a post in doubt that was changed since.
var errUndecided = errors.New("it is not decided yet if the message is a post of ours")

// changedPosts are messages that may be a part in doubt, if somebody has changed it.
type changedPosts []teams.Message

func (c *changedPosts) add(m teams.Message) {
	if c != nil && !slices.ContainsFunc(*c, func(have teams.Message) bool { return have.ID == m.ID }) {
		*c = append(*c, m)
	}
}

// isChanged reports whether a message can be what became of a part in doubt, if
// somebody has edited or deleted it since. Other than the words of a post, that
// says little, so the message has to be from when the post was made.
func (e *Echo) isChanged(part *database.SentPart, m teams.Message) bool {
	return e.isBeside(part, m) && (!m.Edited.IsZero() || !m.Deleted.IsZero()) &&
		m.Created.Before(part.StartedAt.Add(lateFor+e.skew)) && !e.matches(part, m)
}

// undecided fails where a message may be one of the parts in doubt, and Sender
// will tell.
func (e *Echo) undecided(ctx context.Context, doubts []database.SentPart, m teams.Message) error {
	for i := range doubts {
		if !e.isChanged(&doubts[i], m) {
			continue
		}
		if waits, err := e.sent.IsUnfinished(ctx, doubts[i]); err != nil || waits {
			return errors.Join(err, errUndecided)
		}
	}
	return nil
}

// takeChanged judges what may be a part that Teams does not have as it was
// posted. nil without an error means that none of it is.
func (s *Sender) takeChanged(ctx context.Context, part database.SentPart, changed changedPosts) (*database.SentPart, error) {
	var left []teams.Message
	for _, m := range changed {
		owner, err := s.o.DB.Sent.ByRemote(ctx, part.Portal, m.ID)
		if err != nil {
			return nil, err
		}
		news, err := s.isNews(ctx, part.Portal, m)
		if err != nil {
			return nil, err
		} else if owner == nil && !news {
			left = append(left, m)
		}
	}
	if len(left) == 0 {
		return nil, nil
	}
	said, err := s.saidIn(ctx, part)
	if err != nil {
		return nil, err
	}
	m := mostAlike(left, said, part, s.o.Directory.IsRelay(part.AccountID))
	if m == nil {
		if sole, err := s.isSole(ctx, part, left); err != nil {
			return nil, err
		} else if !sole {
			// People change what they wrote in Teams all the time: a message is
			// more likely not there than one of those.
			s.o.Metrics.Count(MetricDoubt, "unclear")
			return nil, nil
		}
		m = &left[0]
	}
	found, err := s.confirmAs(ctx, part, *m)
	if found != nil {
		s.o.Metrics.Count(MetricDoubt, "changed")
		zerolog.Ctx(ctx).Info().Str("message", m.ID).Bool("deleted", !m.Deleted.IsZero()).Msg("A post in doubt is in Teams, and was changed there")
	}
	return found, err
}

// mostAlike returns the edited message that is most like what was posted, the
// earlier of two; nil where none is.
func mostAlike(changed []teams.Message, said string, part database.SentPart, relay bool) (best *teams.Message) {
	piece, most := part.Part > 0 || len(said) > msgconv.MaxDraftSize/2, alikeOwn
	switch {
	case piece:
		most = alikePiece
	case relay:
		most = alike
	}
	for i, m := range changed {
		if !m.Deleted.IsZero() {
			continue
		}
		how := msgconv.Likeness(m, said, piece)
		if how > most || how == most && (best == nil || m.Created.Before(best.Created)) {
			best, most = &changed[i], how
		}
	}
	return best
}

// isSole reports whether nothing but the part can be the only message there is:
// it is by an account of the relay pool, with which nobody writes in Teams, and
// no other part is in doubt that it could be.
func (s *Sender) isSole(ctx context.Context, part database.SentPart, changed []teams.Message) (bool, error) {
	if len(changed) > 1 || !s.o.Directory.IsRelay(part.AccountID) {
		return false, nil
	}
	doubts, err := s.o.DB.Sent.InDoubt(ctx, part.Portal)
	return !slices.ContainsFunc(doubts, func(other database.SentPart) bool {
		return (other.EventID != part.EventID || other.Part != part.Part) && s.o.Echo.isChanged(&other, changed[0])
	}), err
}

// saidIn returns as HTML what a part was made from: its message, the edit that made
// it longer, or the post of a digest.
func (s *Sender) saidIn(ctx context.Context, part database.SentPart) (string, error) {
	row, err := s.o.DB.Outbox.ByEvent(ctx, part.EventID)
	if err != nil {
		return "", err
	}
	if row != nil && !row.DoneAt.IsZero() {
		if row, err = s.editOf(ctx, part); err != nil || row == nil {
			return "", err
		}
	}
	if row != nil {
		var content struct {
			Body string `json:"body"`
		}
		if json.Unmarshal(row.Payload, &content) != nil {
			return "", nil // nothing is like it
		}
		return html.EscapeString(content.Body), nil
	}
	d, err := s.o.DB.Digests.Get(ctx, part.EventID)
	if err != nil || d == nil {
		return "", err
	} else if part.Part == 0 {
		return d.Head, nil
	}
	entries, err := s.o.DB.Digests.Entries(ctx, d.ID, part.Part)
	return renderDigest(s.o.Texts, entries), err
}

// editOf returns the edit that has posted a part of a message that was in Teams
// before, or the newer one that replaces it; nil where that has come to its end.
func (s *Sender) editOf(ctx context.Context, part database.SentPart) (*database.OutboxRow, error) {
	waiting, err := s.o.DB.Outbox.ByTarget(ctx, part.EventID)
	if i := slices.IndexFunc(waiting, func(w *database.OutboxRow) bool { return w.Kind == database.KindEdit }); i >= 0 {
		return waiting[i], err
	}
	return nil, err
}

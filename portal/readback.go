package portal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"teamsbridge/database"
	"teamsbridge/teams"
)

const (
	// recentPages is how far a conversation itself is read back at first: it
	// allows one request a second, and a post is nearly always among the newest.
	recentPages = 3
	// maxLookPages is there only for lists that never end. In a thread these are
	// 100,000 replies.
	maxLookPages = 2000
)

// errEndless says that a list was not read to its end, so that nothing is
// proved by what is not in it.
var errEndless = errors.New("the list has no end")

// walk is a list of messages that is read page by page.
type walk struct {
	read func(ctx context.Context, link string) (teams.Page, error)
	// changed are the messages that may be the part, if somebody has changed it.
	changed *changedPosts
	// past, if not nil, tells from a page that all behind it is too old.
	past func(page teams.Page) bool
	link string
	// done means that all there is has been read.
	done bool
}

// look reads Teams back once. nil without an error means that the part was not
// seen. Where the look is whole, that proves that it is not there as it was
// posted: otherwise only the newest messages are looked at.
func (s *Sender) look(ctx context.Context, part database.SentPart, changed *changedPosts, whole bool) (*database.SentPart, error) {
	conversation := s.conversation(part)
	conversation.changed = changed
	found, err := s.walk(ctx, part, conversation, recentPages)
	switch {
	case isMissing(err) && part.RootID != "" && conversation.link == "" && whole:
		return s.lookBeside(ctx, part, changed)
	case err != nil:
		return nil, fmt.Errorf("read the conversation back: %w", err)
	case found != nil || conversation.done || !whole:
		return found, nil
	}
	found, proved, err := s.lookInExport(ctx, part, changed)
	if proved || err != nil {
		return found, err
	}
	if found, err = s.walk(ctx, part, conversation, maxLookPages); err != nil {
		return nil, fmt.Errorf("read the conversation back: %w", err)
	} else if found == nil && !conversation.done {
		return nil, fmt.Errorf("read the conversation back: %w", errEndless)
	}
	return found, nil
}

// lookInExport looks for a part in what changed in the whole team since it was
// marked. That is a few pages, and the export has an allowance of its own, while
// a conversation may have any length. proved says that it was read to its end, or
// that the part is there.
func (s *Sender) lookInExport(ctx context.Context, part database.SentPart, changed *changedPosts) (found *database.SentPart, proved bool, err error) {
	export, err := s.export(ctx, part)
	if err != nil || export == nil {
		return nil, false, err
	}
	export.changed = changed
	found, err = s.walk(ctx, part, export, maxLookPages)
	switch {
	case err == nil && (found != nil || export.done):
		return found, true, nil
	case err != nil && !errors.Is(err, errEndless) && !isRefused(err):
		return nil, false, fmt.Errorf("read the team's export: %w", err)
	}
	zerolog.Ctx(ctx).Debug().Err(err).Msg("The team's export can't be read, reading the conversation to its end")
	return nil, false, nil
}

// conversation is the list that a part was posted to.
func (s *Sender) conversation(part database.SentPart) *walk {
	ch := teams.ChannelRef{TeamID: part.TeamID, ChannelID: part.ChannelID}
	if part.RootID != "" {
		root := teams.MessageRef{ChannelRef: ch, ID: part.RootID}
		// Of replies the order is not promised, so none is past.
		return &walk{read: func(ctx context.Context, link string) (teams.Page, error) {
			return s.o.Reader.Replies(ctx, root, link)
		}}
	}
	since := part.StartedAt.Add(-s.o.DoubtSkew)
	return &walk{
		read: func(ctx context.Context, link string) (teams.Page, error) { return s.o.Reader.List(ctx, ch, link) },
		// Posts come with the newest first.
		past: olderThan(since),
	}
}

// olderThan reports of a page whether all on it is older than a time.
func olderThan(at time.Time) func(page teams.Page) bool {
	return func(page teams.Page) bool {
		for _, m := range page.Messages {
			if !m.Created.Before(at) || !m.Modified.Before(at) {
				return false
			}
		}
		return len(page.Messages) > 0
	}
}

// export is what changed in the team since a part was marked; nil for a channel
// that the export may leave out, which are all but public and private ones.
func (s *Sender) export(ctx context.Context, part database.SentPart) (*walk, error) {
	conv, err := s.o.DB.Conversations.Get(ctx, part.Portal)
	if err != nil {
		return nil, err
	} else if conv == nil || conv.Membership != teams.MembershipStandard && conv.Membership != teams.MembershipPrivate {
		return nil, nil
	}
	// Graph lists what changed after a time, and not what changed at it.
	since := part.StartedAt.Add(-s.o.DoubtSkew - time.Second)
	return &walk{read: func(ctx context.Context, link string) (teams.Page, error) {
		return s.o.Reader.ExportTeam(ctx, part.TeamID, since, link)
	}}, nil
}

// walk reads on in a list for some pages, or until it finds the part or hears
// from an echo what became of it.
func (s *Sender) walk(ctx context.Context, part database.SentPart, w *walk, pages int) (*database.SentPart, error) {
	for range pages {
		if now, err := s.current(ctx, part); err != nil {
			return nil, err
		} else if now.State != database.StateSending {
			return now, nil
		}
		page, err := w.read(ctx, w.link)
		if err != nil {
			return nil, err
		}
		for _, m := range page.Messages {
			if m.Channel.ChannelID != part.ChannelID {
				continue
			}
			if found, err := s.take(ctx, part, m); err != nil || found != nil {
				return found, err
			}
			if s.o.Echo.isChanged(&part, m) {
				w.changed.add(m)
			}
		}
		switch {
		case page.NextLink == "", w.past != nil && w.past(page):
			w.done = true
			return nil, nil
		case page.NextLink == w.link:
			return nil, errEndless
		}
		w.link = page.NextLink
	}
	return nil, nil
}

// isRefused reports whether Graph does not let something be read, or does not
// know a place in it any more: asking again does not help.
func isRefused(err error) bool {
	switch teams.KindOf(err) {
	case teams.KindPermission, teams.KindBadRequest, teams.KindNotFound, teams.KindPrecondition:
		return true
	}
	return false
}

package portal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"teamsbridge/database"
	"teamsbridge/teams"
)

// errThreadHidden says that a thread can't be read although nothing shows that it
// is gone.
var errThreadHidden = errors.New("the thread is there and not known to Graph")

// lookBeside looks for a reply whose thread Graph says it does not know, once
// Teams has had its time. That answer alone proves nothing: a replica that lags
// behind gives it, and so does a gateway. So the reply is looked for in what
// lists the thread from outside, and only a list that was read as far as the
// reply has to be in it proves that it is not there.
func (s *Sender) lookBeside(ctx context.Context, part database.SentPart, changed *changedPosts) (*database.SentPart, error) {
	found, proved, err := s.lookInExport(ctx, part, changed)
	if proved || err != nil {
		return found, err
	}
	ref := teams.MessageRef{ChannelRef: teams.ChannelRef{TeamID: part.TeamID, ChannelID: part.ChannelID}, ID: part.RootID}
	switch root, err := s.o.Reader.Message(ctx, ref); {
	case err == nil && root.Deleted.IsZero():
		return nil, errThreadHidden
	case err != nil && !isMissing(err):
		return nil, fmt.Errorf("look at the thread's root: %w", err)
	}
	// The channel's list has what is deleted, too, and each post's replies.
	channel, alive := s.channelDownTo(ref), false
	channel.changed = changed
	read := channel.read
	channel.read = func(ctx context.Context, link string) (teams.Page, error) {
		page, err := read(ctx, link)
		// Of a long thread the list has the first replies only.
		alive = alive || slices.ContainsFunc(page.MoreReplies, func(more teams.MoreReplies) bool { return more.Root.ID == part.RootID })
		for _, m := range page.Messages {
			alive = alive || m.ID == part.RootID && m.ReplyToID == "" && m.Deleted.IsZero()
		}
		return page, err
	}
	found, err = s.walk(ctx, part, channel, maxLookPages)
	switch {
	case err != nil:
		return nil, fmt.Errorf("look for the thread in its channel: %w", err)
	case found != nil:
		return found, nil
	case !channel.done:
		return nil, fmt.Errorf("look for the thread in its channel: %w", errEndless)
	case alive:
		return nil, errThreadHidden
	}
	return nil, nil // the thread is gone, and with it what was posted there
}

// channelDownTo is a channel's list as far as a post has to be in it: the post's
// id is when it was made. Whether Graph orders posts by that or by what was last
// said in their threads, none comes behind a page of older ones.
func (s *Sender) channelDownTo(post teams.MessageRef) *walk {
	w := &walk{read: func(ctx context.Context, link string) (teams.Page, error) {
		return s.o.Reader.List(ctx, post.ChannelRef, link)
	}}
	if made, err := strconv.ParseInt(post.ID, 10, 64); err == nil {
		w.past = olderThan(time.UnixMilli(made))
	}
	return w
}

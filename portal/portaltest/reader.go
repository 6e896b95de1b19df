package portaltest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"teamsbridge/teams"
)

// reader implements the calls that package portal and the poller make; the
// others are not there, and calling one panics.
type reader struct {
	teams.Reader
	t    *Tenant
	dead *atomic.Bool
}

func (r *reader) begin(op string, ch teams.ChannelRef, target string) error {
	if r.dead != nil && r.dead.Load() {
		return ErrUnavailable
	}
	r.t.mu.Lock()
	r.t.requests++
	read := r.t.read
	r.t.mu.Unlock()
	if read != nil {
		return read(Read{Op: op, Channel: ch, Target: target})
	}
	return nil
}

func (r *reader) Message(_ context.Context, ref teams.MessageRef) (teams.Message, error) {
	if err := r.begin("message", ref.ChannelRef, ref.ID); err != nil {
		return teams.Message{}, err
	}
	r.t.mu.Lock()
	defer r.t.mu.Unlock()
	if m := r.t.known(ref.ChannelRef, ref.ID); m != nil && r.t.seen(m) {
		if before, ok := r.t.before[ref.ID]; ok && time.Since(m.Modified)+r.t.skew < r.t.stale {
			return before, nil
		}
		return clone(m), nil
	}
	return teams.Message{}, ErrNotFound
}

// visible returns the messages that readers see.
func (r *reader) visible(ch teams.ChannelRef) []teams.Message {
	r.t.mu.Lock()
	defer r.t.mu.Unlock()
	var out []teams.Message
	for _, m := range r.t.messages[ch.ChannelID] {
		if r.t.seen(m) {
			out = append(out, clone(m))
		}
	}
	return out
}

// List lists posts with their replies, the newest post first.
func (r *reader) List(_ context.Context, ch teams.ChannelRef, link string) (teams.Page, error) {
	if err := r.begin("list", ch, ""); err != nil {
		return teams.Page{}, err
	}
	var posts []teams.Message
	replies := map[string][]teams.Message{} // by root, the posts under none
	for _, m := range r.visible(ch) {
		replies[m.ReplyToID] = append(replies[m.ReplyToID], m)
	}
	for _, m := range slices.Backward(replies[""]) {
		posts = append(posts, m)
	}
	page := r.page(posts, link)
	var withReplies []teams.Message
	for _, post := range page.Messages {
		withReplies = append(append(withReplies, post), replies[post.ID]...)
	}
	page.Messages = withReplies
	return page, nil
}

// Replies lists replies. Graph does not promise their order; here the oldest
// come first, which is the harder one.
func (r *reader) Replies(_ context.Context, root teams.MessageRef, link string) (teams.Page, error) {
	if err := r.begin("replies", root.ChannelRef, root.ID); err != nil {
		return teams.Page{}, err
	}
	r.t.mu.Lock()
	hidden := r.t.find(root.ChannelRef, root.ID) != nil && r.t.known(root.ChannelRef, root.ID) == nil
	r.t.mu.Unlock()
	if hidden {
		return teams.Page{}, ErrNotFound
	}
	var replies []teams.Message
	for _, m := range r.visible(root.ChannelRef) {
		if m.ReplyToID == root.ID {
			replies = append(replies, m)
		}
	}
	return r.page(replies, link), nil
}

// ExportTeam lists what changed in all channels of a team after a time.
func (r *reader) ExportTeam(_ context.Context, teamID string, since time.Time, link string) (teams.Page, error) {
	if err := r.begin("export", teams.ChannelRef{TeamID: teamID}, ""); err != nil {
		return teams.Page{}, err
	}
	var changed []teams.Message
	for _, ch := range r.t.channels(teamID) {
		for _, m := range r.visible(ch) {
			if m.Modified.After(since) {
				changed = append(changed, m)
			}
		}
	}
	return r.page(changed, link), nil
}

// Delta lists what changed in a channel after a time.
func (r *reader) Delta(_ context.Context, ch teams.ChannelRef, since time.Time, link string) (teams.Page, error) {
	if err := r.begin("delta", ch, ""); err != nil {
		return teams.Page{}, err
	}
	changed := slices.DeleteFunc(r.visible(ch), func(m teams.Message) bool { return !m.Modified.After(since) })
	return r.page(changed, link), nil
}

// page cuts a list; a link names the last message of the page before.
func (r *reader) page(all []teams.Message, link string) teams.Page {
	r.t.mu.Lock()
	size := r.t.pageSize
	r.t.mu.Unlock()
	if link != "" {
		all = all[1+slices.IndexFunc(all, func(m teams.Message) bool { return m.ID == link }):]
	}
	if size == 0 || len(all) <= size {
		return teams.Page{Messages: all}
	}
	return teams.Page{Messages: all[:size], NextLink: all[size-1].ID}
}

// channels returns the channels of a team in which there are messages.
func (t *Tenant) channels(teamID string) []teams.ChannelRef {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []teams.ChannelRef
	for _, id := range slices.Sorted(maps.Keys(t.messages)) {
		if msgs := t.messages[id]; len(msgs) > 0 && msgs[0].Channel.TeamID == teamID {
			out = append(out, msgs[0].Channel)
		}
	}
	return out
}

func (r *reader) HostedContent(ctx context.Context, url string) (io.ReadCloser, string, error) {
	if err := r.begin("image", teams.ChannelRef{}, url); errors.Is(err, ErrHangs) {
		<-ctx.Done()
		return nil, "", &teams.Error{Op: "test", Kind: teams.KindUnavailable, Err: ctx.Err()}
	} else if err != nil {
		return nil, "", err
	}
	r.t.mu.Lock()
	defer r.t.mu.Unlock()
	data, ok := r.t.images[url]
	if !ok {
		return nil, "", ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(data)), cmp.Or(r.t.ImageType, "image/png"), nil
}

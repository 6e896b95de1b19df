package teams

import (
	"context"
	"time"
)

// listReader reads a channel's posts from the newest down, with their
// replies. It has no filter and no memory, and works wherever reading works.
type listReader struct{}

func (*listReader) name() string { return SourceList }

func (*listReader) step(ctx context.Context, src MessageSource, scope Scope, st *readState) (readPage, error) {
	page, err := src.List(ctx, scope.Channel(), st.link)
	if err != nil {
		return readPage{}, err
	}
	page.FillChannel(scope.Channel())
	more, err := followReplies(ctx, src, page.MoreReplies)
	if err != nil {
		return readPage{}, err
	}
	all := append(page.Messages, more...)
	return readPage{
		msgs: changedAfter(all, st.since), newest: latest(all),
		next: page.NextLink,
		done: page.NextLink == "" || listEnds(all, st.since, st.depth),
	}, nil
}

// listEnds reports whether nothing new is to be expected below this page. The
// list is ordered by posts, and an old post may have a new reply: so a whole
// page must be unchanged, and its posts so old that nobody answers them.
func listEnds(page []Message, since time.Time, depth time.Duration) bool {
	if len(page) == 0 {
		return false
	}
	floor := since.Add(-depth)
	for i := range page {
		m := &page[i]
		if newestOf(m).After(since) {
			return false
		}
		if m.ReplyToID == "" && !m.Created.Before(floor) {
			return false
		}
	}
	return true
}

// changedAfter keeps what changed after since, and what Graph doesn't date.
func changedAfter(msgs []Message, since time.Time) []Message {
	kept := make([]Message, 0, len(msgs))
	for i := range msgs {
		if t := newestOf(&msgs[i]); t.IsZero() || t.After(since) {
			kept = append(kept, msgs[i])
		}
	}
	return kept
}

package teams

import (
	"context"
	"fmt"
	"slices"
)

// maxHistoryPages bounds how far History looks for posts.
const maxHistoryPages = 200

// History reads the newest n posts of a channel with their threads and hands
// them to the sink, oldest first. It returns how many messages that were, and
// moves no cursor: what is said meanwhile, the routine reads.
func (p *Poller) History(ctx context.Context, ch ChannelRef, n int) (int, error) {
	if n <= 0 {
		return 0, nil
	}
	var (
		roots   []Message
		threads = map[string][]Message{}
		seen    = map[string]bool{}
		more    []MoreReplies
		link    string
	)
	for range maxHistoryPages {
		page, err := p.opts.Source.List(ctx, ch, link)
		if err != nil {
			return 0, fmt.Errorf("history of %s: %w", ch, err)
		}
		page.FillChannel(ch)
		for _, m := range page.Messages {
			if m.ReplyToID == "" {
				if !seen[m.ID] {
					seen[m.ID] = true
					roots = append(roots, m)
				}
			} else {
				threads[m.ReplyToID] = append(threads[m.ReplyToID], m)
			}
		}
		more = append(more, page.MoreReplies...)
		if page.NextLink == "" || page.NextLink == link || countPosts(roots) >= n {
			break
		}
		link = page.NextLink
	}
	roots = newestPosts(roots, n)
	kept := map[string]bool{}
	for _, m := range roots {
		kept[m.ID] = true
	}
	for _, m := range more {
		if !kept[m.Root.ID] {
			continue
		}
		replies, err := followThread(ctx, p.opts.Source, m)
		if err != nil {
			return 0, fmt.Errorf("history of %s: %w", ch, err)
		}
		threads[m.Root.ID] = append(threads[m.Root.ID], replies...)
	}
	msgs := slices.Clone(roots)
	for _, root := range roots {
		msgs = append(msgs, threads[root.ID]...)
	}
	slices.SortStableFunc(msgs, byCreation)
	if err := p.accept(ctx, SourceHistory, msgs); err != nil {
		return 0, fmt.Errorf("history of %s: %w", ch, err)
	}
	return len(msgs), nil
}

func countPosts(roots []Message) int {
	n := 0
	for i := range roots {
		if roots[i].Type == TypeMessage {
			n++
		}
	}
	return n
}

// newestPosts keeps the newest n posts, and what the service reported between
// them. Deleted posts count: a thread may hang on one.
func newestPosts(roots []Message, n int) []Message {
	slices.SortStableFunc(roots, func(a, b Message) int { return byCreation(b, a) })
	for i := range roots {
		if roots[i].Type == TypeMessage {
			if n--; n == 0 {
				return roots[:i+1]
			}
		}
	}
	return roots
}

func byCreation(a, b Message) int {
	if c := a.Created.Compare(b.Created); c != 0 {
		return c
	}
	// A post and its replies of the same millisecond: the post first.
	switch {
	case a.ReplyToID == "" && b.ReplyToID != "":
		return -1
	case a.ReplyToID != "" && b.ReplyToID == "":
		return 1
	}
	return 0
}

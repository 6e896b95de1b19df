package teams

import (
	"context"
	"errors"
	"time"
)

// reader is one of the three ways to read what changed in a scope. A read is a
// sequence of steps; nothing of it is remembered in the reader.
type reader interface {
	// name is how config, cursors and metrics call it.
	name() string
	// step reads the page that st asks for. It doesn't change st: that is done
	// once the sink has the messages.
	step(ctx context.Context, src MessageSource, scope Scope, st *readState) (readPage, error)
}

// readState is how far a read has come. It promises everything that changed
// after since.
type readState struct {
	since time.Time
	// link is the page to be read next, empty for the first.
	link string
	// began is when the first page was asked for, newest the latest change
	// seen, both to tell how far the read reaches.
	began  time.Time
	newest time.Time
	// depth is how long after its root a reply is looked for.
	depth   time.Duration
	rescans int
	pages   int
	full    bool
	// request is the last request that was made before the read.
	request int64
}

// readPage is what a step brought.
type readPage struct {
	msgs []Message
	// newest is the latest change on the page, of whatever was kept of it.
	newest time.Time
	next   string
	// delta is where the next read goes on, if the reader has such a thing.
	delta string
	done  bool
}

// The bounds of a read.
const (
	maxReadPages    = 20_000
	maxReplyPages   = 2_000
	maxReadRescans  = 2
	deltaWindow     = 240 * 24 * time.Hour // Graph promises eight months
	defaultDepth    = 30 * 24 * time.Hour
	maxFutureChange = 24 * time.Hour
)

// errPageLoop means that Graph sent us in a circle.
var errPageLoop = errors.New("page leads to itself")

// advance moves the state on after the sink has taken the page.
func (st *readState) advance(p readPage) {
	st.pages++
	st.link = p.next
	if p.newest.After(st.newest) {
		st.newest = p.newest
	}
}

// rescan starts the read again from where it began, never from "latest".
func (st *readState) rescan() {
	st.link = ""
	st.began, st.newest = time.Time{}, time.Time{}
	st.rescans++
	st.pages = 0
}

// newReaders returns the readers by name.
func newReaders(now func() time.Time) map[string]reader {
	out := map[string]reader{}
	for _, r := range []reader{&exportReader{}, &deltaReader{now}, &listReader{}} {
		out[r.name()] = r
	}
	return out
}

// latest returns the newest change among msgs.
func latest(msgs []Message) time.Time {
	var newest time.Time
	for i := range msgs {
		if t := newestOf(&msgs[i]); t.After(newest) {
			newest = t
		}
	}
	return newest
}

// followReplies reads the replies that did not fit the pages of a list, to the
// end: replies come in the order they were made, so an edit of an old one may
// be anywhere. Only threads of more than a thousand replies get here.
func followReplies(ctx context.Context, src MessageSource, more []MoreReplies) ([]Message, error) {
	var out []Message
	for _, m := range more {
		replies, err := followThread(ctx, src, m)
		if err != nil {
			return nil, err
		}
		out = append(out, replies...)
	}
	return out, nil
}

func followThread(ctx context.Context, src MessageSource, more MoreReplies) ([]Message, error) {
	var out []Message
	link, fresh := more.Link, false
	for range maxReplyPages {
		page, err := src.Replies(ctx, more.Root, link)
		switch kind := KindOf(err); {
		case err == nil:
		case !fresh && link != "" && (kind == KindGone || kind == KindBadRequest):
			// The link is too old: read the thread from its first page.
			out, link, fresh = nil, "", true
			continue
		case kind == KindNotFound:
			// The thread went away between two requests.
			return out, nil
		default:
			return nil, err
		}
		page.FillChannel(more.Root.ChannelRef)
		for i := range page.Messages {
			if page.Messages[i].ReplyToID == "" && page.Messages[i].ID != more.Root.ID {
				page.Messages[i].ReplyToID = more.Root.ID
			}
		}
		out = append(out, page.Messages...)
		if page.NextLink == "" {
			return out, nil
		}
		if page.NextLink == link {
			return nil, errPageLoop
		}
		link = page.NextLink
	}
	return out, nil
}

package teams

import (
	"context"
	"time"
)

// deltaReader reads a channel's changed threads. Its delta link remembers on
// Graph's side what we have; losing it costs a rescan from the watermark.
type deltaReader struct{ now func() time.Time }

func (*deltaReader) name() string { return SourceDelta }

func (r *deltaReader) step(ctx context.Context, src MessageSource, scope Scope, st *readState) (readPage, error) {
	if st.link == "" && r.now().Sub(st.since) > deltaWindow {
		return readPage{}, &Error{Op: "GET channel delta", Kind: KindBadRequest,
			Message: "the watermark is older than the eight months that delta looks back"}
	}
	page, err := src.Delta(ctx, scope.Channel(), st.since, st.link)
	if err != nil {
		return readPage{}, err
	}
	page.FillChannel(scope.Channel())
	more, err := followReplies(ctx, src, page.MoreReplies)
	if err != nil {
		return readPage{}, err
	}
	// Everything is passed on: what surfaces late surfaces here only once.
	msgs := append(page.Messages, more...)
	return readPage{
		msgs: msgs, newest: latest(msgs),
		next: page.NextLink, delta: page.DeltaLink,
		done: page.NextLink == "",
	}, nil
}

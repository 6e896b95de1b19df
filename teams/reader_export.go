package teams

import "context"

// exportReader reads a whole team: one request for all its channels, posts
// and replies, at 200 requests per second and tenant.
type exportReader struct{}

func (*exportReader) name() string { return SourceExport }

func (*exportReader) step(ctx context.Context, src MessageSource, scope Scope, st *readState) (readPage, error) {
	page, err := src.ExportTeam(ctx, scope.TeamID, st.since, st.link)
	if err != nil {
		return readPage{}, err
	}
	// The channel can only come from the message itself.
	page.FillChannel(ChannelRef{TeamID: scope.TeamID})
	return readPage{
		msgs: page.Messages, newest: latest(page.Messages),
		next: page.NextLink, done: page.NextLink == "",
	}, nil
}

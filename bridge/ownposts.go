package bridge

import (
	"context"

	"teamsbridge/teams"
)

// announcedWriter notes what is posted: a notification has to tell of our own
// posts too, which shows for nothing whether notifications come.
type announcedWriter struct {
	teams.Writer
	gaps *webhookGaps
}

// Post implements teams.Writer.
func (w *announcedWriter) Post(ctx context.Context, ch teams.ChannelRef, rootID string, d teams.Draft) (teams.Message, error) {
	m, err := w.Writer.Post(ctx, ch, rootID, d)
	if err == nil && m.ID != "" {
		w.gaps.expect(teams.MessageRef{ChannelRef: ch, RootID: rootID, ID: m.ID})
	}
	return m, err
}

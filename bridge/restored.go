package bridge

import (
	"context"

	"teamsbridge/matrix"
	"teamsbridge/portal"
)

// restored is closed when it is known what the database does not know; at once
// where the bridge is embedded without the homeserver's side.
func (r *runtime) restored() <-chan struct{} {
	if r.c.homeserver != nil {
		return r.c.homeserver.Restored()
	}
	known := make(chan struct{})
	close(known)
	return known
}

// shownDelivered hands on what a room shows of an event.
func (r *runtime) shownDelivered(ctx context.Context, d matrix.Delivered) error {
	return r.restorer.Delivered(ctx, portal.Shown{
		RoomID: d.RoomID, EventID: d.EventID, Sender: d.Sender, At: d.At, What: d.What, Redaction: d.Redaction, By: d.By,
	})
}

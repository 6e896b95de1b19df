package bridge

import (
	"context"
	"fmt"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"

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

// takeOver makes a room that the bridge before has made the room of its conversation,
// where that has none. What it looks like and who is in it the mirror brings up to
// date.
func (m *matrixRooms) takeOver(ctx context.Context, room id.RoomID, conversation string) (taken bool, err error) {
	key := networkid.PortalKey{ID: networkid.PortalID(conversation)}
	ref, ok := portal.ParsePortal(key.ID)
	if !ok {
		return false, nil
	}
	p, err := m.br.GetPortalByKey(ctx, key)
	if err != nil {
		return false, fmt.Errorf("looking up portal: %w", err)
	} else if p.MXID != "" {
		return false, nil
	}
	if ref.ChannelID == "" {
		p.RoomType = database.RoomTypeSpace
	}
	if source := m.source(); source != nil {
		p.Relay, p.RelayLoginID = source, source.ID
	}
	if err = p.UpdateMatrixRoomID(ctx, room, bridgev2.UpdateMatrixRoomIDParams{FailIfMXIDSet: true}); err != nil {
		return false, fmt.Errorf("taking over a room: %w", err)
	}
	zerolog.Ctx(ctx).Warn().Stringer("room_id", room).Str("portal", conversation).Msg("Took over a room that the restored database did not know")
	return true, nil
}

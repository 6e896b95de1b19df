package portal

import (
	"context"
	"fmt"
	"time"

	"go.mau.fi/util/dbutil"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
)

// ActiveSince returns who wrote in a conversation, or reacted there, since a
// time, as far as the framework's rows tell. It reads all rows of the room.
func ActiveSince(ctx context.Context, db *dbutil.Database, bridge networkid.BridgeID, portalID string, since time.Time) ([]string, error) {
	out, err := dbutil.ConvertRowFn[string](dbutil.ScanSingleColumn[string]).NewRowIter(db.Query(ctx, `
		SELECT sender_id FROM message WHERE bridge_id = $1 AND room_id = $2 AND timestamp >= $3 AND sender_id <> ''
		UNION
		SELECT sender_id FROM reaction WHERE bridge_id = $1 AND room_id = $2 AND timestamp >= $3 AND sender_id <> ''`,
		bridge, portalID, since.UnixNano())).AsList()
	if err != nil {
		return nil, fmt.Errorf("list who is active: %w", err)
	}
	return out, nil
}

// speaks reports whether a person's own account may be used in a room. It joins
// the room with what it sends: who left on purpose, or is not to be joined, is
// there as a ghost.
func (d *delivery) speaks(ctx context.Context, p *bridgev2.Portal, userID networkid.UserID) bool {
	return d.in.o.Speaks == nil || d.in.o.Speaks(ctx, p, string(userID))
}

// lent returns an intent as it may be used in a room: none for the account of a
// person who is not to be there.
func (d *delivery) lent(ctx context.Context, p *bridgev2.Portal, intent bridgev2.MatrixAPI) bridgev2.MatrixAPI {
	if intent == nil || !intent.IsDoublePuppet() {
		return intent
	}
	if userID, _, known := d.in.o.Directory.Person(intent.GetMXID()); known && !d.speaks(ctx, p, networkid.UserID(userID)) {
		return nil
	}
	return intent
}

// spoke tells who said something as a ghost, and when.
func (d *delivery) spoke(intent bridgev2.MatrixAPI, who bridgev2.EventSender, at time.Time) {
	if d.in.o.Spoke != nil && who.Sender != "" && !intent.IsDoublePuppet() {
		d.in.o.Spoke(d.row.Portal, string(who.Sender), at)
	}
}

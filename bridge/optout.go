package bridge

import (
	"context"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/appservice"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

// optOuts watches who leaves a mirrored room of their own will, or is removed
// there by somebody in Matrix: the mirror does not bring them back. Whoever
// comes back by themselves is followed again.
type optOuts struct {
	br  *bridgev2.Bridge
	db  *database.Database
	dir *directory
	// puppetMark is what the framework writes into events that it sends as
	// people's own accounts.
	puppetMark string
}

// handle is an event handler for m.room.member.
func (o *optOuts) handle(ctx context.Context, evt *event.Event) {
	member := id.UserID(evt.GetStateKey())
	if _, _, mapped := o.dir.Person(member); !mapped || evt.Sender == o.br.Bot.GetMXID() || o.br.IsGhostMXID(evt.Sender) {
		return
	}
	if mark, ok := evt.Content.Raw[appservice.DoublePuppetKey].(string); ok && mark == o.puppetMark {
		return
	}
	p, err := o.br.GetPortalByMXID(ctx, evt.RoomID)
	if err != nil || p == nil {
		return
	}
	log := zerolog.Ctx(ctx).With().Stringer("user_mxid", member).Stringer("room_id", evt.RoomID).Logger()
	switch evt.Content.AsMember().Membership {
	case event.MembershipLeave, event.MembershipBan:
		err = o.db.OptOuts.Add(ctx, member.String(), evt.RoomID.String())
		log.Info().Msg("Somebody left a room and will not be brought back")
	case event.MembershipJoin:
		err = o.db.OptOuts.Remove(ctx, member.String(), evt.RoomID.String())
	}
	if err != nil {
		log.Err(err).Msg("Could not note who left a room")
	}
}

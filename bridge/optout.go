package bridge

import (
	"context"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/appservice"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
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
		if err = o.db.OptOuts.Remove(ctx, member.String(), evt.RoomID.String()); err == nil {
			err = o.adopt(ctx, p, member)
		}
	}
	if err != nil {
		log.Err(err).Msg("Could not note who left a room")
	}
}

// adopt notes that somebody belongs into a room that they joined from their team's
// space: what they write there is theirs, and they leave it with the team. Nobody
// is noted who is not of the team, or whose channel is not everybody's.
func (o *optOuts) adopt(ctx context.Context, p *bridgev2.Portal, member id.UserID) error {
	ref, ok := portal.ParsePortal(p.ID)
	meta, known := p.Metadata.(*portal.PortalMetadata)
	if !ok || ref.ChannelID == "" || !known || meta.Membership != teams.MembershipStandard {
		return nil
	}
	userID, _, _ := o.dir.Person(member)
	login := o.br.GetCachedUserLoginByID(portal.LoginID(userID))
	if login == nil {
		return nil
	}
	inSpace, err := o.br.DB.UserPortal.Get(ctx, login.UserLogin, portal.TeamPortal(ref.TeamID))
	if err != nil || inSpace == nil {
		return err
	}
	_, err = o.br.DB.UserPortal.GetOrCreate(ctx, login.UserLogin, p.PortalKey)
	return err
}

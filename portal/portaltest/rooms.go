package portaltest

import (
	"context"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal"
	"teamsbridge/teams"
)

// channels are the rig's channels, the first one being what Room is the room of.
func (r *Rig) channels() []teams.ChannelRef {
	if len(r.Channels) == 0 {
		return []teams.ChannelRef{Channel}
	}
	return r.Channels
}

// RoomOf returns a channel's room.
func (r *Rig) RoomOf(ch teams.ChannelRef) id.RoomID { return r.rooms[ch] }

// MakeRoom creates the channels' rooms.
func (r *Rig) MakeRoom() {
	r.t.Helper()
	for _, ch := range r.channels() {
		r.rooms[ch] = r.makeRoom(ch)
	}
	r.Room = r.rooms[r.channels()[0]]
}

func (r *Rig) makeRoom(ch teams.ChannelRef) id.RoomID {
	r.t.Helper()
	ctx := r.Log.WithContext(context.Background())
	source := r.source.Load()
	p, err := r.Bridge.GetPortalByKey(ctx, portal.ChannelPortal(ch))
	require.NoError(r.t, err)
	if p.MXID == "" {
		r.createRoom(ctx, p, ch)
	}
	p.Relay, p.RelayLoginID = source, source.ID
	return p.MXID
}

func (r *Rig) createRoom(ctx context.Context, p *bridgev2.Portal, ch teams.ChannelRef) {
	r.t.Helper()
	source := r.source.Load()
	info := portal.ChannelInfo(portal.ChannelInput{
		Channel: teams.Channel{ID: ch.ChannelID, TeamID: ch.TeamID, DisplayName: "General", MembershipType: teams.MembershipStandard},
		Members: []portal.RoomMember{{UserID: Alice, Mapped: true}, {UserID: Bob, Mapped: true}, {UserID: Dave}}, Total: 3, Relay: source,
	})
	info.ParentID = nil
	require.NoError(r.t, p.CreateMatrixRoom(ctx, source, info))
	for _, login := range []networkid.UserLoginID{Alice, Bob} {
		ul, err := r.Bridge.GetExistingUserLoginByID(ctx, login)
		require.NoError(r.t, err)
		ul.MarkInPortal(ctx, p)
	}
}

// Portal is the id of the channel's portal.
func (r *Rig) Portal() string { return string(portal.ChannelPortal(r.channels()[0]).ID) }

package bridge

import (
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

const (
	refusedDetached = "this channel is not mirrored any more; your message stays in Matrix"
	refusedTakeBack = "this channel is not mirrored any more; what Teams already has stays there"
)

// What is written in the room of a channel that was unmirrored, or deleted in
// Teams, stays in Matrix, and its author is told; also after a restart. Once
// the channel is mirrored again, everything goes to Teams as before.
//
// Proves M3 and S2.
func TestNothingGoesToTeamsFromADetachedRoom(t *testing.T) {
	for name, reason := range map[string]string{"unmirrored": "@admin:x said unmirror", "deleted in Teams": reasonDeleted} {
		t.Run(name, func(t *testing.T) {
			r := portaltest.New(t)
			r.Start()
			source := func() *bridgev2.UserLogin {
				login, err := r.Bridge.GetExistingUserLoginByID(t.Context(), "app:tenant")
				require.NoError(t, err)
				return login
			}
			key := portal.ChannelPortal(portaltest.Channel)
			before := r.Say(portaltest.AliceMXID, "before")
			r.Quiet()
			r.React(portaltest.AliceMXID, before, "👍")
			r.Quiet()
			reaction := r.HS.Events(r.Room)[1].ID
			_, writes := r.Tenant.Requests()

			require.NoError(t, newMatrixRooms(r.Bridge, source, 1000).Detach(t.Context(), key, reason, "This room is no longer connected."))
			r.Restart()
			refused := map[id.EventID]string{}
			try := func(eventID id.EventID, why string) { refused[eventID] = why }
			try(r.Say(portaltest.AliceMXID, "mapped"), refusedDetached)
			try(r.Say(portaltest.CarolMXID, "relayed"), refusedDetached)
			try(r.Reply(portaltest.AliceMXID, before, "in a thread"), refusedDetached)
			try(r.Edit(portaltest.AliceMXID, before, "edited"), refusedDetached)
			try(r.React(portaltest.AliceMXID, before, "🎉"), refusedDetached)
			try(r.Redact(portaltest.AliceMXID, reaction), refusedTakeBack)
			try(r.Redact(portaltest.AliceMXID, before), refusedTakeBack)
			r.Quiet()
			_, after := r.Tenant.Requests()
			require.Equal(t, writes, after, "nothing is written to Teams")
			for eventID, why := range refused {
				all := r.HS.Statuses(eventID)
				require.NotEmpty(t, all, why)
				last := all[len(all)-1]
				require.Equal(t, event.MessageStatusFail, last.Status)
				require.Equal(t, why, last.Message)
				require.True(t, last.Notice, "its author is told")
			}
			require.Equal(t, 5, r.Counts.Get(portal.MetricRefused, refusedDetached))
			require.Equal(t, 2, r.Counts.Get(portal.MetricRefused, refusedTakeBack))

			_, err := newMatrixRooms(r.Bridge, source, 1000).Ensure(t.Context(), key, portal.ChannelInfo(portal.ChannelInput{
				Channel: teams.Channel{ID: portaltest.Channel.ChannelID, TeamID: portaltest.Channel.TeamID, DisplayName: "General", MembershipType: teams.MembershipStandard},
				Relay:   source(),
			}))
			require.NoError(t, err)
			r.Say(portaltest.AliceMXID, "mirrored again")
			r.Quiet()
			require.Equal(t, []string{"before", "mirrored again"}, r.TeamsTexts())
		})
	}
}

// What waits to be sent when a room is detached was accepted before and goes,
// but can still be taken back.
func TestWhatWaitsInADetachedRoomCanBeTakenBack(t *testing.T) {
	r := portaltest.New(t)
	r.Start()
	r.Tenant.SetFault(func(string, string) portaltest.Fault { return portaltest.Fault{Refuse: portaltest.ErrUnavailable} })
	kept, taken := r.Say(portaltest.AliceMXID, "kept"), r.Say(portaltest.AliceMXID, "taken back")
	r.Eventually(func() bool { return r.Counts.Get(portal.MetricEnqueued, "message") == 2 })
	source, err := r.Bridge.GetExistingUserLoginByID(t.Context(), "app:tenant")
	require.NoError(t, err)
	rooms := newMatrixRooms(r.Bridge, func() *bridgev2.UserLogin { return source }, 1000)
	require.NoError(t, rooms.Detach(t.Context(), portal.ChannelPortal(portaltest.Channel), "unmirrored", "This room is no longer connected."))
	r.Redact(portaltest.AliceMXID, taken)
	r.Redeliver(kept)
	r.Eventually(func() bool { return r.Counts.Get(portal.MetricCoalesced, "delete") == 1 })
	r.Tenant.SetFault(nil)
	r.Quiet()
	require.Equal(t, []string{"kept"}, r.TeamsTexts())
	require.Equal(t, event.MessageStatusSuccess, r.HS.Statuses(kept)[len(r.HS.Statuses(kept))-1].Status)
}

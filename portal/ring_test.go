package portal_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mau.fi/util/ptr"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

const daveMXID = id.UserID("@teams_dave:example.org")

// callAll posts a message that mentions the channel.
func callAll(r *portaltest.Rig, userID, text string) {
	r.Tenant.PostMentioning(portaltest.Channel, "", userID, `<p><at id="0">General</at> `+text+`</p>`, teams.Mention{
		Text: "General", Conversation: &teams.ConversationMention{ID: portaltest.Channel.ChannelID, DisplayName: "General", Type: "channel"}})
	r.Quiet()
}

// Who mentions the channel in Teams rings everybody in Matrix, whether their
// account or a ghost speaks, and gains nothing else by that.
func TestMentionOfTheChannelRings(t *testing.T) {
	r := started(t)
	callAll(r, portaltest.Dave, "all of you")
	require.Equal(t, "@room all of you", last(t, r).Text())
	require.True(t, last(t, r).Rings, "a ghost")
	callAll(r, portaltest.Alice, "me, too")
	require.Equal(t, portaltest.AliceMXID, last(t, r).Sender)
	require.True(t, last(t, r).Rings, "an account")

	levels := r.HS.PowerLevels(r.Room)
	require.Equal(t, map[id.UserID]int{
		portaltest.BotID: 9001, portaltest.ModeratorMXID: 50, daveMXID: 1, portaltest.AliceMXID: 1,
	}, levels.Users)
	require.Equal(t, 1, levels.Notifications.Room())
	require.Zero(t, levels.UsersDefault)
	for _, needed := range []int{levels.Redact(), levels.Kick(), levels.Ban(), levels.StateDefault()} {
		require.Less(t, levels.GetUserLevel(portaltest.AliceMXID), needed, "she is no moderator")
	}
	require.Less(t, levels.GetUserLevel(portaltest.BobMXID), levels.Notifications.Room(), "who has not rung in Teams does not ring")
}

func TestOtherMessagesChangeNoPowerLevels(t *testing.T) {
	r := started(t)
	r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "@room")
	r.Quiet()
	require.False(t, last(t, r).Rings)
	require.Nil(t, r.HS.PowerLevels(r.Room).Notifications)
}

// An administrator's decision stays.
func TestAdministratorsDecideWhoRings(t *testing.T) {
	for name, levels := range map[string]*event.PowerLevelsEventContent{
		"nobody":          {Notifications: &event.NotificationPowerLevels{RoomPtr: ptr.Ptr(100)}},
		"all have levels": {UsersDefault: 10},
		"who is muted":    {Users: map[id.UserID]int{"@teams_dave:" + portaltest.ServerName: -1}},
	} {
		t.Run(name, func(t *testing.T) {
			r := started(t)
			if levels.Users == nil {
				levels.Users = map[id.UserID]int{}
			}
			levels.Users[portaltest.BotID] = 9001
			r.HS.SetPowerLevels(r.Room, levels.Clone())
			callAll(r, portaltest.Dave, "all of you")
			require.False(t, last(t, r).Rings)
			require.Equal(t, levels, r.HS.PowerLevels(r.Room))
		})
	}
}

// A power level that can't be set now is waited for, and holds no message up for
// good.
func TestRingsOrGoesWithout(t *testing.T) {
	for name, c := range map[string]struct {
		times int
		err   error
		rings bool
	}{
		"never may":     {100, portaltest.Refused(403, "M_FORBIDDEN"), false},
		"never answers": {100, portaltest.Down(), false},
		"answers later": {3, portaltest.Down(), true},
	} {
		t.Run(name, func(t *testing.T) {
			r := started(t)
			r.HS.RefuseLevels(c.times, c.err)
			callAll(r, portaltest.Dave, "all of you")
			require.Equal(t, []string{"@room all of you"}, r.Texts())
			require.Equal(t, c.rings, last(t, r).Rings)
		})
	}
}

// One event lists all of them: it does not grow for ever.
func TestRingersAreBounded(t *testing.T) {
	r := started(t)
	levels := &event.PowerLevelsEventContent{
		Users:         map[id.UserID]int{portaltest.BotID: 9001, portaltest.ModeratorMXID: 50},
		Notifications: &event.NotificationPowerLevels{RoomPtr: ptr.Ptr(1)},
	}
	for i := range 300 {
		levels.Users[id.UserID(fmt.Sprintf("@teams_%d:example.org", i))] = 1
	}
	r.HS.SetPowerLevels(r.Room, levels)
	callAll(r, portaltest.Dave, "all of you")
	require.True(t, last(t, r).Rings)
	require.Equal(t, map[id.UserID]int{portaltest.BotID: 9001, portaltest.ModeratorMXID: 50, daveMXID: 1}, r.HS.PowerLevels(r.Room).Users)
}

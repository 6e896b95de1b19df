package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// roomSettings are the settings of the rooms section.
func roomSettings(values map[string]any) map[string]any {
	return map[string]any{"network": map[string]any{"rooms": values}}
}

// space waits until the account is in the team's space.
func (o *office) space(cli *mautrix.Client) (space id.RoomID) {
	o.t.Helper()
	o.until("the space for "+cli.UserID.String(), func(ctx context.Context) (err error) {
		space, err = stack.RoomOf(ctx, cli, o.team.ID)
		return err
	})
	return space
}

// With rooms.join: space, people are in their team's space alone. A member joins a
// channel from there; who is not in the space can't, and a private channel stays
// closed to the team. What was joined is left with the team. Another policy later
// opens and closes the same rooms and removes nobody.
func TestJoinPolicy(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{Settings: roomSettings(map[string]any{"join": "space"})})
	dora := o.Tenant.AddUser(teamstest.UserSpec{DisplayName: "Dora Outside"})
	secret := o.team.AddChannel(teamstest.ChannelSpec{DisplayName: "Secret", Kind: teamstest.Private, Owners: []*teamstest.User{o.ada}, Members: []*teamstest.User{o.ben}})
	o.runRelayed()
	ada, ben, cleo := o.as(stack.Localpart(o.ada)), o.as(stack.Localpart(o.ben)), o.as(stack.Localpart(o.cleo))
	outside := o.as(stack.Localpart(dora))
	space := o.space(ben)
	o.space(ada)
	o.space(cleo)
	bot := o.application("registration.yaml", o.UserID("teamsbot"))
	general, private := o.room(bot, o.general), o.room(bot, secret)

	o.general.Post(o.cleo, teamstest.Msg{HTML: "<p>from Teams</p>"})
	heard := o.find(bot, general, "from Teams", nil)
	require.NotEqual(t, cleo.UserID, heard.Sender, "what she says in Teams does not bring her in")
	for _, cli := range []*mautrix.Client{ada, ben, cleo} {
		_, err := stack.RoomOf(o.ctx, cli, o.general.ID)
		require.ErrorIs(t, err, stack.ErrNoRoom)
	}
	join := func(cli *mautrix.Client, room id.RoomID) error {
		_, err := cli.JoinRoomByID(o.ctx, room)
		return err
	}
	require.Error(t, join(outside, general), "who is not of the team")
	require.Error(t, join(cleo, private), "who is of the team and not of its private channel")
	_, err := cleo.InviteUser(o.ctx, space, &mautrix.ReqInviteUser{UserID: outside.UserID})
	require.Error(t, err, "nor does everybody in the space let others in")

	tree, err := ben.Hierarchy(o.ctx, space, &mautrix.ReqHierarchy{})
	require.NoError(t, err)
	found := false
	for _, room := range tree.Rooms {
		found = found || room.RoomID == general
	}
	require.True(t, found, "the client shows it in the space")
	require.NoError(t, join(ben, general), "he is in the space")
	require.NoError(t, join(ben, private), "and was invited")
	_, err = ben.SendText(o.ctx, general, "joined by myself")
	require.NoError(t, err)
	o.inTeams(o.general, "joined by myself", nil)
	o.general.Post(o.ben, teamstest.Msg{HTML: "<p>and in Teams again</p>"})
	require.Equal(t, ben.UserID, o.find(ben, general, "and in Teams again", nil).Sender)

	o.team.RemoveMember(o.ada, o.ben)
	o.notIn(ben, o.general)
	require.Error(t, join(ben, general), "who was removed does not come back by himself")

	require.NoError(t, join(cleo, general))
	o.Bridge.Stop()
	require.NoError(t, o.Bridge.Configure(roomSettings(map[string]any{"join": "active"})))
	o.run()
	o.general.Post(o.ada, teamstest.Msg{HTML: "<p>now I am active</p>"})
	o.room(ada, o.general)
	_, err = stack.RoomOf(o.ctx, cleo, o.general.ID)
	require.NoError(t, err)

	o.Bridge.Stop()
	require.NoError(t, o.Bridge.Configure(roomSettings(map[string]any{"join": "all"})))
	late := o.Tenant.AddUser(teamstest.UserSpec{DisplayName: "Lea Late"})
	o.team.AddMember(o.ada, late)
	require.NoError(t, o.RegisterStaff(o.ctx))
	o.run()
	o.room(o.as(stack.Localpart(late)), o.general)
	o.room(cleo, o.general)
	o.until("the room on invitation again", func(ctx context.Context) error {
		var rule struct {
			JoinRule string `json:"join_rule"`
		}
		if err := bot.StateEvent(ctx, general, event.StateJoinRules, "", &rule); err != nil || rule.JoinRule != "invite" {
			return fmt.Errorf("it is %q: %w", rule.JoinRule, err)
		}
		return nil
	})
}

// Rooms are made and set as the configuration says for their team; a level that it
// does not give any more is taken back.
func TestRoomSettings(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{})
	operator := o.UserID(stack.AdminName)
	require.NoError(t, o.Bridge.Configure(roomSettings(map[string]any{"teams": map[string]any{
		"engineering": map[string]any{"federate": true, "history_visibility": "joined", "power_levels": map[string]any{operator.String(): 50}},
	}})))
	other := o.Tenant.AddTeam(teamstest.TeamSpec{DisplayName: "Other", Owners: []*teamstest.User{o.ada}})
	o.run()
	ada := o.as(stack.Localpart(o.ada))
	o.room(ada, o.general)
	o.room(ada, other.General())
	bot := o.application("registration.yaml", o.UserID("teamsbot"))
	look := func(remoteID string) (federated bool, visibility event.HistoryVisibility, level int) {
		room, err := stack.RoomOf(o.ctx, bot, remoteID)
		require.NoError(t, err)
		var create event.CreateEventContent
		require.NoError(t, bot.StateEvent(o.ctx, room, event.StateCreate, "", &create))
		var history event.HistoryVisibilityEventContent
		require.NoError(t, bot.StateEvent(o.ctx, room, event.StateHistoryVisibility, "", &history))
		var levels event.PowerLevelsEventContent
		require.NoError(t, bot.StateEvent(o.ctx, room, event.StatePowerLevels, "", &levels))
		return create.Federate == nil || *create.Federate, history.HistoryVisibility, levels.GetUserLevel(operator)
	}
	for remote, ours := range map[string]bool{o.team.ID: true, o.general.ID: true, other.ID: false, other.General().ID: false} {
		federated, visibility, level := look(remote)
		require.Equal(t, ours, federated)
		require.Equal(t, map[bool]event.HistoryVisibility{true: "joined", false: "shared"}[ours], visibility)
		require.Equal(t, map[bool]int{true: 50, false: 0}[ours], level)
	}
	o.Bridge.Stop()
	require.NoError(t, o.Bridge.Configure(map[string]any{"network": map[string]any{"rooms": map[string]any{"teams": stack.Whole{}}}}))
	o.run()
	o.until("what was set is taken back", func(context.Context) error {
		if _, visibility, level := look(o.general.ID); visibility != "shared" || level != 0 {
			return fmt.Errorf("history is %s, the level %d", visibility, level)
		}
		return nil
	})
}

package graph

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"teamsbridge/teams"
	"teamsbridge/teams/teamstest"
)

// Groups are read with the one permission that the documents name for them.
func TestGroups(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t, teamstest.Options{PageSize: 2}, unlimited())
	_, err := w.client.TeamGroups(ctx)
	require.Equal(t, teams.KindPermission, teams.KindOf(err))
	require.ErrorContains(t, err, "GroupMember.Read.All")

	w = newWorld(t, teamstest.Options{PageSize: 2}, unlimited())
	w.sim.App().GrantRoles("GroupMember.Read.All")
	for range 3 {
		w.sim.AddTeam(teamstest.TeamSpec{DisplayName: "Another"})
	}
	secret := w.sim.AddTeam(teamstest.TeamSpec{DisplayName: "Secret Plans", Visibility: "public", Label: "Confidential", Members: []*teamstest.User{w.bob}})
	list, err := w.client.TeamGroups(ctx)
	require.NoError(t, err)
	require.Len(t, list, len(w.sim.Teams()))
	one, err := w.client.Group(ctx, secret.ID)
	require.NoError(t, err)
	require.Equal(t, list[len(list)-1], one)
	require.Equal(t, "secretplans", one.MailNickname)
	require.Equal(t, "Public", one.Visibility)
	require.Contains(t, one.Mail, "secretplans@")
	require.Equal(t, []teams.Label{{ID: teamstest.LabelID("Confidential"), Name: "Confidential"}}, one.Labels)
	_, err = w.client.Group(ctx, "none")
	require.Equal(t, teams.KindNotFound, teams.KindOf(err))

	group := w.sim.AddGroup(teamstest.GroupSpec{Users: []*teamstest.User{w.ann}, Teams: []*teamstest.Team{secret}})
	members, err := w.client.GroupMembers(ctx, group.ID)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{w.ann.ID, w.bob.ID}, members.Users)
	require.Equal(t, []string{secret.ID}, members.Groups)
	_, err = w.client.GroupMembers(ctx, "")
	require.Error(t, err)
}

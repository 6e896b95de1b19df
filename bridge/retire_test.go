package bridge

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// Whose account is taken away leaves the rooms also where the homeserver does not
// answer at first: the next listing shows no change any more.
func TestWhoLosesTheirAccountLeavesLater(t *testing.T) {
	p := newPeopleTest(t, person("a", "ann@corp.example"), person("b", "bob@corp.example"))
	p.bring(t, "a", "b")
	p.tenant.users[0].Enabled = false
	p.matrix.kickErr = errors.New("homeserver says no")
	require.Error(t, p.staff.refresh(t.Context(), true))
	require.NotNil(t, p.br.GetCachedUserLoginByID("a"))
	require.Equal(t, event.MembershipInvite, p.matrix.get(mxid("ann")))
	require.Error(t, p.staff.refresh(t.Context(), false), "and says so until it is done")
	p.matrix.kickErr = nil
	require.NoError(t, p.staff.refresh(t.Context(), false), "before people are listed again")
	require.Equal(t, event.MembershipLeave, p.matrix.get(mxid("ann")))
	require.Nil(t, p.br.GetCachedUserLoginByID("a"))
	require.Equal(t, event.MembershipInvite, p.matrix.get(mxid("bob")))
	require.Empty(t, p.staff.retiring(t.Context()))
}

// A room in which the bot has no say any more does not stand in the way.
func TestWhoLosesTheirAccountWhereTheBotHasNoSay(t *testing.T) {
	p := newPeopleTest(t, person("a", "ann@corp.example"))
	p.bring(t, "a")
	p.tenant.users[0].Enabled = false
	p.matrix.kickErr = mautrix.MForbidden
	require.NoError(t, p.staff.refresh(t.Context(), true))
	require.Nil(t, p.br.GetCachedUserLoginByID("a"))
}

// A team that is looked at between the listing and the farewell gives somebody the
// new account; the old one leaves all the same, and the new one stays.
func TestOldAccountLeavesWhenATeamIsLookedAtFirst(t *testing.T) {
	p := newPeopleTest(t, person("a", "ann@corp.example"))
	p.bring(t, "a")
	p.tenant.users[0].UPN = "anna@corp.example"
	_, err := p.dir.apply(t.Context(), p.tenant.users)
	require.NoError(t, err)
	p.bring(t, "a")
	require.Equal(t, event.MembershipLeave, p.matrix.get(mxid("ann")))
	require.Equal(t, event.MembershipInvite, p.matrix.get(mxid("anna")))
	require.Equal(t, []string{"a"}, p.staff.retiring(t.Context()))
	require.NoError(t, p.staff.refresh(t.Context(), true))
	require.Equal(t, event.MembershipInvite, p.matrix.get(mxid("anna")))
	require.Equal(t, mxid("anna"), p.br.GetCachedUserLoginByID("a").UserMXID)
	require.Empty(t, p.staff.retiring(t.Context()))
}

// Whoever loses their account leaves the standard channels of their teams, too, which
// they may have joined while nobody noticed, and the space before them.
func TestRoomsOfWhoLosesTheirAccount(t *testing.T) {
	p := newPeopleTest(t, person("a", "ann@corp.example"))
	_, err := p.staff.place(t.Context(), []teams.Member{{UserID: "a"}}, testRoom.String())
	require.NoError(t, err)
	team := portaltest.Channel.TeamID
	space := portal.TeamPortal(team)
	_, err = p.br.GetPortalByKey(t.Context(), space)
	require.NoError(t, err)
	login := p.br.GetCachedUserLoginByID("a")
	_, err = p.br.DB.UserPortal.GetOrCreate(t.Context(), login.UserLogin, space)
	require.NoError(t, err)
	for _, c := range []teams.Channel{
		{ID: portaltest.Channel.ChannelID, TeamID: team, MembershipType: teams.MembershipStandard},
		{ID: "board", TeamID: team, MembershipType: teams.MembershipPrivate},
		{ID: "elsewhere", TeamID: "other", MembershipType: teams.MembershipStandard},
	} {
		conv := channelConversation(c)
		conv.State = database.ConversationMirrored
		require.NoError(t, p.staff.catalog.put(t.Context(), conv))
	}
	keys, err := p.staff.roomsOf(t.Context(), login)
	require.NoError(t, err)
	require.Len(t, keys, 2)
	require.Equal(t, space.ID, keys[0].ID)
	require.Equal(t, p.portal.PortalKey, keys[1])
}

package bridge

import (
	"fmt"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
)

// catalogOf makes a catalog in memory of one mirrored team with a channel of
// each membership.
func catalogOf(memberships ...string) *catalog {
	c := newCatalog(nil)
	add := func(conv database.Conversation) {
		conv.TeamID, conv.State = "team", database.ConversationMirrored
		c.byID[conv.Portal] = conv
	}
	add(database.Conversation{Portal: string(portal.TeamPortal("team").ID), Kind: database.ConversationTeam})
	for i, membership := range memberships {
		ref := teams.ChannelRef{TeamID: "team", ChannelID: fmt.Sprintf("19:%s%d@thread.tacv2", membership, i)}
		add(database.Conversation{Portal: string(portal.ChannelPortal(ref).ID), Kind: database.ConversationChannel,
			ChannelID: ref.ChannelID, Membership: membership})
	}
	return c
}

// The export of a team need not have what is said in its shared channels.
func TestSharedChannelsAreReadByThemselves(t *testing.T) {
	polled := catalogOf(teams.MembershipStandard, teams.MembershipPrivate, teams.MembershipShared, "unknownFutureValue").polled()
	require.Len(t, polled, 1)
	require.Equal(t, "team", polled[0].ID)
	require.ElementsMatch(t, []string{"19:standard0@thread.tacv2", "19:private1@thread.tacv2"}, polled[0].Channels)
	require.ElementsMatch(t, []string{"19:shared2@thread.tacv2", "19:unknownFutureValue3@thread.tacv2"}, polled[0].Separate)
}

// Neither need the tenant's subscription; and no resource is subscribed to twice.
func TestSharedChannelsHaveSubscriptionsOfTheirOwn(t *testing.T) {
	for scope, wantMessages := range map[string][]string{
		ScopeTenant:  {"/teams/getAllMessages", "/teams/team/channels/19:shared2@thread.tacv2/messages"},
		ScopeChannel: {"/teams/team/channels/19:private1@thread.tacv2/messages", "/teams/team/channels/19:shared2@thread.tacv2/messages", "/teams/team/channels/19:standard0@thread.tacv2/messages"},
	} {
		t.Run(scope, func(t *testing.T) {
			r := &runtime{c: &Connector{}, catalog: catalogOf(teams.MembershipStandard, teams.MembershipPrivate, teams.MembershipShared)}
			r.c.Config.Webhook = WebhookConfig{Scope: scope, ResourceData: true}
			wanted, err := r.wantedSubscriptions(t.Context())
			require.NoError(t, err)
			var messages []string
			seen := map[string]bool{}
			for _, w := range wanted {
				require.False(t, seen[w.Resource], w.Resource)
				seen[w.Resource] = true
				if w.Data {
					messages = append(messages, w.Resource)
				}
			}
			require.ElementsMatch(t, wantMessages, messages)
		})
	}
}

// However many shared channels there are, the quota of the organisation is
// kept, and it is always the same channels that are subscribed to.
func TestSubscriptionsStayBelowTheQuota(t *testing.T) {
	memberships := make([]string, maxSubscriptions+500)
	for i := range memberships {
		memberships[i] = teams.MembershipShared
	}
	r := &runtime{c: &Connector{}, catalog: catalogOf(memberships...)}
	r.c.Config.Webhook = WebhookConfig{Scope: ScopeTenant, ResourceData: true}
	ctx := zerolog.Nop().WithContext(t.Context())
	first, err := r.wantedSubscriptions(ctx)
	require.NoError(t, err)
	require.LessOrEqual(t, len(first), maxSubscriptions)
	again, err := r.wantedSubscriptions(ctx)
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.Equal(t, 502, len(r.leftOut()), "they are read all the time")
}

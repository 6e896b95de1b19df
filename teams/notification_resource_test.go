package teams

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseResource(t *testing.T) {
	t.Parallel()
	const ch = "19:x_y@thread.tacv2"
	for path, want := range map[string]Resource{
		"teams('t')/channels('" + ch + "')/messages('1')":              {Kind: ResourceMessage, TeamID: "t", ChannelID: ch, MessageID: "1"},
		"teams('t')/channels('" + ch + "')/messages('1')/replies('2')": {Kind: ResourceMessage, TeamID: "t", ChannelID: ch, MessageID: "1", ReplyID: "2"},
		"/teams/t/channels/" + ch + "/messages/1/replies/2":            {Kind: ResourceMessage, TeamID: "t", ChannelID: ch, MessageID: "1", ReplyID: "2"},
		"/teams/t/channels/" + ch + "/messages":                        {Kind: ResourceMessage, TeamID: "t", ChannelID: ch},
		"/teams/getAllMessages?model=B":                                {Kind: ResourceMessage, Tenant: true},
		"teams/getAllChannels":                                         {Kind: ResourceChannel, Tenant: true},
		"/teams/t/channels/getAllMembers":                              {Kind: ResourceMember, TeamID: "t"},
		"/teams/t/members":                                             {Kind: ResourceMember, TeamID: "t"},
		"teams('t')/members('MCMj/x==')":                               {Kind: ResourceMember, TeamID: "t"},
		"teams('t')/channels('" + ch + "')/members('m')":               {Kind: ResourceMember, TeamID: "t", ChannelID: ch},
		"teams('t')/channels('" + ch + "')":                            {Kind: ResourceChannel, TeamID: "t", ChannelID: ch},
		"teams('t')":                                                   {Kind: ResourceTeam, TeamID: "t"},
		"teams('it''s')/channels('c')/messages('1')":                   {Kind: ResourceMessage, TeamID: "it's", ChannelID: "c", MessageID: "1"},
	} {
		got, ok := ParseResource(path)
		require.True(t, ok, path)
		require.Equal(t, want, got, path)
	}
	for _, path := range []string{"", "/", "chats('c')/messages('1')", "teams('t", "teams('t'/channels", "teams('t')/tabs('1')", "users/u"} {
		_, ok := ParseResource(path)
		require.False(t, ok, path)
	}
	post, _ := ParseResource("teams('t')/channels('c')/messages('1')/replies('1')")
	require.Equal(t, MessageRef{ChannelRef: ChannelRef{"t", "c"}, ID: "1"}, post.Message())
	reply, _ := ParseResource("teams('t')/channels('c')/messages('1')/replies('2')")
	require.Equal(t, MessageRef{ChannelRef: ChannelRef{"t", "c"}, RootID: "1", ID: "2"}, reply.Message())
	require.Equal(t, Scope{}, Resource{Tenant: true}.Scope())
}

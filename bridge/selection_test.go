package bridge

import (
	"testing"

	"github.com/stretchr/testify/require"

	"teamsbridge/teams"
)

func TestSelection(t *testing.T) {
	sales := teams.Team{ID: "t-sales", DisplayName: "Sales EMEA"}
	std := teams.Channel{ID: "19:std", TeamID: "t-sales", DisplayName: "Leads 2026", MembershipType: "standard"}
	priv := teams.Channel{ID: "19:priv", TeamID: "t-sales", DisplayName: "Board", MembershipType: "private"}
	all := []string{"standard", "private", "shared"}
	for _, tc := range []struct {
		name    string
		cfg     SelectionConfig
		choices []choice
		team    bool
		std     bool
		priv    bool
	}{
		{"everything", SelectionConfig{Include: []string{"*"}, MembershipTypes: all}, nil, true, true, true},
		{"by name, whatever the case", SelectionConfig{Include: []string{"sales emea"}, MembershipTypes: all}, nil, true, true, true},
		{"by id", SelectionConfig{Include: []string{"T-SALES"}, MembershipTypes: all}, nil, true, true, true},
		{"by pattern", SelectionConfig{Include: []string{"Sales*"}, MembershipTypes: all}, nil, true, true, true},
		{"not named", SelectionConfig{Include: []string{"Sales"}, MembershipTypes: all}, nil, false, false, false},
		{"excluded", SelectionConfig{Include: []string{"*"}, Exclude: []string{"*EMEA"}, MembershipTypes: all}, nil, false, false, false},
		{"no private channels", SelectionConfig{Include: []string{"*"}, MembershipTypes: []string{"standard"}}, nil, true, true, false},
		{"some channels", SelectionConfig{Include: []string{"*"}, MembershipTypes: all, Channels: map[string][]string{"sales emea": {"Leads*"}}}, nil, true, true, false},
		{"another team's channels", SelectionConfig{Include: []string{"*"}, MembershipTypes: all, Channels: map[string][]string{"IT": {"General"}}}, nil, true, true, true},
		{"a channel excluded by id", SelectionConfig{Include: []string{"*"}, MembershipTypes: all, ExcludeChannels: map[string][]string{"*": {"19:priv"}}}, nil, true, true, false},
		{"the bot unmirrored the team", SelectionConfig{Include: []string{"*"}, MembershipTypes: all}, []choice{{TeamID: "t-sales", By: "@a:x"}}, false, false, false},
		{"the bot mirrored an excluded team", SelectionConfig{Include: []string{"IT"}, MembershipTypes: all}, []choice{{TeamID: "t-sales", Mirror: true, By: "@a:x"}}, true, true, true},
		{"the bot unmirrored one channel", SelectionConfig{Include: []string{"*"}, MembershipTypes: all}, []choice{{TeamID: "t-sales", ChannelID: "19:std"}}, true, false, true},
		{"the bot mirrored one channel only", SelectionConfig{Include: []string{"IT"}, MembershipTypes: all}, []choice{{TeamID: "t-sales", ChannelID: "19:priv", Mirror: true}}, false, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSelector(tc.cfg, tc.choices, nil)
			team, a, b := s.team(sales), s.channel(sales, std), s.channel(sales, priv)
			require.Equal(t, []bool{tc.team, tc.std, tc.priv}, []bool{team.mirror, a.mirror, b.mirror}, "%v %v %v", team, a, b)
			for _, v := range []verdict{team, a, b} {
				require.NotEmpty(t, v.reason)
			}
			require.Equal(t, tc.name == "the bot mirrored one channel only", s.anyChannelChosen("t-sales"))
		})
	}
}

func TestWildcard(t *testing.T) {
	for _, tc := range []struct {
		pattern, s string
		want       bool
	}{
		{"*", "", true}, {"*", "x", true}, {"a*", "abc", true}, {"*c", "abc", true}, {"a*c", "abc", true}, {"a*c", "ac", true},
		{"a*a", "a", false}, {"*b*", "abc", true}, {"*b*b*", "abc", false}, {"", "", true}, {"", "x", false}, {"[a]", "a", false}, {"[a]", "[a]", true},
	} {
		require.Equal(t, tc.want, wildcard(tc.pattern, tc.s), "%q %q", tc.pattern, tc.s)
	}
}

package bridge

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix"

	"teamsbridge/teams"
)

// look looks at the team and returns who was taken out of which room.
func (mt *mirrorTest) look(t *testing.T) (removed []string, err error) {
	t.Helper()
	mt.rooms.taken()
	err = mt.syncTeams(t.Context(), []string{"sales"})
	for _, line := range mt.rooms.taken() {
		if strings.HasPrefix(line, "remove ") {
			removed = append(removed, line)
		}
	}
	slices.Sort(removed)
	return removed, err
}

// Who leaves a team leaves its rooms, whatever else about the team does not work.
func TestLeaversLeaveWhateverElseFails(t *testing.T) {
	mt := newMirrorTest(t)
	mt.pass(t)
	mt.tenant.teams[0].Description, mt.rooms.failOn = "Selling more", "t:sales"
	mt.tenant.members["sales"] = []teams.Member{{UserID: "bob"}}
	removed, err := mt.look(t)
	require.ErrorContains(t, err, "homeserver says no")
	require.Equal(t, []string{"remove ann from c:sales/gen", "remove ann from t:sales"}, removed)
	mt.rooms.failOn = ""
	removed, err = mt.look(t)
	require.NoError(t, err)
	require.Empty(t, removed)
}

// Ann has joined a room by herself, unseen, and leaves the team. The bridge dies when
// she is out of the space: the next one still knows of the room.
func TestLeaversAreKnownAfterACrash(t *testing.T) {
	mt := newMirrorTest(t)
	mt.roomsCfg.Join = JoinSpace
	mt.pass(t)
	mt.rooms.self["c:sales/gen"] = []string{"ann"}
	mt.tenant.members["sales"] = []teams.Member{{UserID: "bob"}}
	mt.rooms.stays = map[string]error{"c:sales/gen": errors.New("the end")}
	removed, err := mt.look(t)
	require.Error(t, err)
	require.Equal(t, []string{"remove ann from t:sales"}, removed)
	mt.rooms.stays, mt.dirty = nil, map[string]time.Time{}
	removed, err = mt.look(t)
	require.NoError(t, err)
	require.Equal(t, []string{"remove ann from c:sales/gen"}, removed)
}

// Channels that are not mirrored any more keep their rooms, and who leaves the team
// leaves them; a room in which the bot has no say holds up nothing.
func TestLeaversLeaveWhatIsNotMirroredAnyMore(t *testing.T) {
	mt := newMirrorTest(t)
	mt.tenant.private["board"] = []teams.Member{{UserID: "ann"}, {UserID: "bob"}}
	mt.pass(t)
	mt.cfg.ExcludeChannels = map[string][]string{"Sales": {"General"}}
	mt.tenant.channels["sales"] = mt.tenant.channels["sales"][:1] // the board is deleted
	mt.pass(t)
	mt.tenant.members["sales"] = []teams.Member{{UserID: "bob"}}
	mt.rooms.stays = map[string]error{"c:sales/gen": mautrix.MForbidden}
	removed, err := mt.look(t)
	require.NoError(t, err)
	require.Equal(t, []string{"remove ann from c:sales/board", "remove ann from t:sales"}, removed)
	mt.rooms.stays = nil
	removed, err = mt.look(t)
	require.NoError(t, err)
	require.Equal(t, []string{"remove ann from c:sales/gen"}, removed)
}

// A shared channel's members may be of other teams, and who is in a private channel
// is asked for: neither goes by who is of the team.
func TestWhatDoesNotGoWithTheTeam(t *testing.T) {
	mt := newMirrorTest(t)
	mt.tenant.channels["sales"] = append(mt.tenant.channels["sales"], teams.Channel{ID: "joint", TeamID: "sales", DisplayName: "Joint", MembershipType: teams.MembershipShared})
	mt.tenant.private["joint"] = []teams.Member{{UserID: "dan"}}
	mt.tenant.private["board"] = []teams.Member{{UserID: "eve"}}
	mt.pass(t)
	removed, err := mt.look(t)
	require.NoError(t, err)
	require.Empty(t, removed)
	mt.cfg.ExcludeChannels = map[string][]string{"Sales": {"Joint"}}
	removed, err = mt.look(t)
	require.NoError(t, err)
	require.Empty(t, removed)
}

package bridge

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"

	"teamsbridge/database"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// membership is Graph as far as teams and channels are asked for their members.
type membership struct {
	teams.Reader
	teamMembers, channelMembers []string
	err                         error
	asked                       []string
}

func (m *membership) list(what string, ids []string) (out []teams.Member, err error) {
	m.asked = append(m.asked, what)
	for _, userID := range ids {
		out = append(out, teams.Member{UserID: userID, DisplayName: "Member " + userID})
	}
	return out, m.err
}

func (m *membership) TeamMembers(_ context.Context, teamID string) ([]teams.Member, error) {
	return m.list(teamID, m.teamMembers)
}

func (m *membership) ChannelMembers(_ context.Context, ch teams.ChannelRef) ([]teams.Member, error) {
	return m.list(ch.ChannelID, m.channelMembers)
}

// lookTest is a bridge that can look into its room.
type lookTest struct {
	*peopleTest
	graph *membership
	r     *runtime
	conv  database.Conversation
	look  func(context.Context, database.Conversation) (drillFound, error)
}

func newLookTest(t *testing.T, users ...teams.User) *lookTest {
	p := newPeopleTest(t, users...)
	l := &lookTest{peopleTest: p, graph: &membership{Reader: p.tenant}}
	p.staff.reader = l.graph
	c := New(Graph{})
	c.br, c.Config.Rooms.Join = p.br, JoinAll
	l.r = &runtime{c: c, db: p.db, dir: p.dir, catalog: p.staff.catalog, rooms: p.rooms, staff: p.staff, writers: newWriters(p.db, nil)}
	l.conv = database.Conversation{Portal: string(p.portal.ID), TeamID: portaltest.Channel.TeamID, ChannelID: portaltest.Channel.ChannelID,
		Kind: database.ConversationChannel, State: database.ConversationMirrored, Name: "General", Membership: teams.MembershipStandard}
	return l
}

// see looks into the room and returns how everybody is, by id.
func (l *lookTest) see(t *testing.T) (map[string]database.DrillPlace, bool) {
	t.Helper()
	var err error
	l.look, err = l.r.openMemberLook(t.Context())
	require.NoError(t, err)
	got, err := l.look(t.Context(), l.conv)
	require.NoError(t, err)
	out := map[string]database.DrillPlace{}
	for _, p := range got.places {
		require.NotContains(t, out, p.Who)
		out[p.Who] = p
	}
	return out, got.unasked
}

// Who is in a room, and who should be and is not, with why: staff without an
// account too, and people whom nobody knows.
func TestDrillPlaces(t *testing.T) {
	guest, disabled := person("g", "gus@else.example"), person("z", "zoe@corp.example")
	guest.UserType, disabled.Enabled = "Guest", false
	p := newLookTest(t, person("a", "ann@corp.example"), person("b", "bob@corp.example"), person("c", "cid@corp.example"), person("d", "dan@corp.example"),
		person("e", "eve@corp.example"), person("s", "sue@corp.example"), person("v", "vic@corp.example"), person("r", "relay@corp.example"), person("p", "pool@corp.example"), person("n", ""), guest, disabled)
	p.matrix.HS.AllowPuppet(mxid("ann"))
	p.bring(t, "a", "b", "c", "e")
	p.matrix.set(mxid("cid"), event.MembershipLeave)
	p.matrix.set(mxid("eve"), event.MembershipLeave)
	for _, local := range []string{"sue", "visitor", "pool"} {
		p.matrix.set(mxid(local), event.MembershipJoin)
	}
	p.matrix.set(mxid("caller"), event.MembershipInvite)
	p.matrix.set(p.br.Bot.GetMXID(), event.MembershipJoin)
	p.matrix.set(p.matrix.FormatGhostMXID("a"), event.MembershipJoin)
	for _, local := range []string{"cid", "dan"} {
		require.NoError(t, p.db.OptOuts.Add(t.Context(), mxid(local).String(), testRoom.String()))
	}
	p.dir.put(database.Staff{UserID: "o", DisplayName: "Olga", MXID: "@olga:else.example", Status: database.StaffMapped})
	for _, relay := range []string{"r", "p"} {
		p.r.writers.accounts[accountKey(database.AccountRelay, relay)] = database.Account{Key: accountKey(database.AccountRelay, relay)}
	}
	p.graph.teamMembers = []string{"a", "b", "c", "e", "v", "r", "p", "n", "g", "z", "o", "foreign", "a", ""}

	is := func(who, name, state, why string) database.DrillPlace {
		return database.DrillPlace{Who: who, Name: name, State: state, Why: why}
	}
	visitor := is(mxid("visitor").String(), mxid("visitor").String(), database.PlaceIn, "")
	visitor.Stranger = true
	want := map[string]database.DrillPlace{
		"a": is("a", "Name of a", database.PlaceIn, ""), "s": is("s", "Name of s", database.PlaceIn, ""), visitor.Who: visitor,
		"b": is("b", "Name of b", database.PlaceInvited, ""), "c": is("c", "Name of c", database.PlaceLeft, ""), "e": is("e", "Name of e", database.PlaceGone, ""),
		"v": is("v", "Name of v", database.PlaceNever, ""), "o": is("o", "Olga", database.PlaceNever, "the account @olga:else.example is on another homeserver"),
		"g":       is("g", "Name of g", database.PlaceNoAccount, "guests are not mapped (mapping.guests)"),
		"n":       is("n", "Name of n", database.PlaceNoAccount, "the directory has no upn for this person"),
		"foreign": is("foreign", "Member foreign", database.PlaceNoAccount, "of another organisation"),
	}
	got, unasked := p.see(t)
	require.False(t, unasked)
	require.Equal(t, want, got)
	require.Equal(t, []string{portaltest.Channel.TeamID}, p.graph.asked)

	// A private channel has members of its own; the space alone is joined, so nobody
	// has to be in a channel who could be.
	p.conv.Membership, p.graph.channelMembers, p.graph.asked = teams.MembershipPrivate, []string{"a", "v", "g"}, nil
	p.r.c.Config.Rooms.Join = JoinSpace
	got, _ = p.see(t)
	require.Equal(t, []string{portaltest.Channel.ChannelID}, p.graph.asked)
	for _, who := range []string{"v", "n", "foreign", "o"} {
		delete(want, who)
	}
	require.Equal(t, want, got)
}

// Where Teams does not say who the members are, what the bridge has done has to do.
func TestDrillPlacesWithoutTeams(t *testing.T) {
	p := newLookTest(t, person("a", "ann@corp.example"), person("b", "bob@corp.example"), person("d", "dan@corp.example"))
	p.bring(t, "a", "b")
	p.matrix.set(mxid("ann"), event.MembershipJoin)
	p.matrix.set(mxid("bob"), event.MembershipLeave)
	require.NoError(t, p.db.OptOuts.Add(t.Context(), mxid("dan").String(), testRoom.String()))
	p.graph.err = &teams.Error{Op: "GET members", Kind: teams.KindUnavailable}
	got, unasked := p.see(t)
	require.True(t, unasked)
	states := map[string]string{}
	for who, place := range got {
		states[who] = place.State
	}
	require.Equal(t, map[string]string{"a": database.PlaceIn, "b": database.PlaceGone, "d": database.PlaceLeft}, states)

	// A team is asked for once, and after some failures none is asked for any more:
	// there may be hundreds. A refusal is an answer.
	for i, err := range []error{p.graph.err, &teams.Error{Op: "GET members", Kind: teams.KindPermission}} {
		p.graph.asked, p.graph.err = nil, err
		p.see(t)
		for _, team := range []string{"1", "1", "2", "3", "4", "4", "5"} {
			other := p.conv
			other.TeamID = team
			found, err := p.look(t.Context(), other)
			require.NoError(t, err)
			require.True(t, found.unasked)
		}
		require.Len(t, p.graph.asked, []int{drillFailures, 6}[i])
	}
}

// Somebody who is new in the directory is asked for, as the mirror does; where that
// fails, the report says that Teams was not asked.
func TestDrillPlacesOfSomebodyNew(t *testing.T) {
	p := newLookTest(t, person("a", "ann@corp.example"))
	p.bring(t, "a")
	p.tenant.users = append(p.tenant.users, person("b", "bob@corp.example"))
	p.graph.teamMembers = []string{"a", "b"}
	got, unasked := p.see(t)
	require.False(t, unasked)
	require.Equal(t, database.DrillPlace{Who: "b", Name: "Name of b", State: database.PlaceNever}, got["b"])
	p.tenant.userErr = errors.New("no answer")
	p.graph.teamMembers = []string{"a", "c"}
	got, unasked = p.see(t)
	require.True(t, unasked)
	require.Len(t, got, 1)
}

// A room whose members the homeserver does not tell, or that is not there, can't be
// looked into.
func TestDrillPlacesOfNoRoom(t *testing.T) {
	p := newLookTest(t, person("a", "ann@corp.example"))
	p.see(t)
	none := p.conv
	none.Portal = "c:team/none"
	_, err := p.look(t.Context(), none)
	require.ErrorIs(t, err, errNoDrillRoom)
	p.matrix.err = errors.New("no answer")
	_, err = p.look(t.Context(), p.conv)
	require.ErrorIs(t, err, p.matrix.err)
}

// Only mirrored channels of the scope are looked into.
func TestDrillRoomsOfAScope(t *testing.T) {
	p := newLookTest(t, person("a", "ann@corp.example"))
	for _, conv := range conversations() {
		require.NoError(t, p.staff.catalog.put(t.Context(), conv))
	}
	require.NoError(t, p.staff.catalog.put(t.Context(), p.conv))
	for scope, want := range map[string][]string{"": {"c:1/a", p.conv.Portal}, "t:1": {"c:1/a"}, "t:2": nil} {
		var got []string
		for _, conv := range p.r.drillRoomsOf(scope) {
			got = append(got, conv.Portal)
		}
		require.ElementsMatch(t, want, got, scope)
	}
}

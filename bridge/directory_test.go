package bridge

import (
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/teams"
)

func testDirectory(t *testing.T) *directory {
	t.Helper()
	m, err := newMapper(MappingConfig{Attribute: "upn", Template: "{{.Local}}"}, "hs.example")
	require.NoError(t, err)
	return newDirectory(testDB(t), m, func(userID string) id.UserID { return id.UserID("@teams_" + userID + ":hs.example") })
}

func person(userID, upn string) teams.User {
	return teams.User{ID: userID, UPN: upn, DisplayName: "Name of " + userID, UserType: "Member", Enabled: true}
}

func TestDirectoryKnowsWhoIsWho(t *testing.T) {
	d := testDirectory(t)
	guest := person("g", "guest@other.example")
	guest.UserType = "Guest"
	changes, err := d.apply(t.Context(), []teams.User{person("a", "ann@corp.example"), person("b", "bob@corp.example"), guest})
	require.NoError(t, err)
	require.Len(t, changes, 2, "a guest gets no account")

	mxid, name, ok := d.Mention("a")
	require.True(t, ok)
	require.Equal(t, id.UserID("@ann:hs.example"), mxid)
	require.Equal(t, "Name of a", name)
	mxid, _, ok = d.Mention("g")
	require.True(t, ok, "a guest is mentioned as a ghost")
	require.Equal(t, id.UserID("@teams_g:hs.example"), mxid)
	_, _, ok = d.Mention("stranger")
	require.False(t, ok)
	d.learn("stranger", "From Elsewhere")
	mxid, name, ok = d.Mention("stranger")
	require.True(t, ok)
	require.Equal(t, "From Elsewhere", name)
	require.Equal(t, id.UserID("@teams_stranger:hs.example"), mxid)

	userID, ok := d.ByUPN("Ann@Corp.example")
	require.True(t, ok)
	require.Equal(t, "a", userID)
	_, ok = d.ByUPN("")
	require.False(t, ok)
	_, err = d.apply(t.Context(), []teams.User{person("a", "ann.new@corp.example"), person("b", "bob@corp.example"), guest})
	require.NoError(t, err)
	_, ok = d.ByUPN("ann@corp.example")
	require.False(t, ok, "a name that was given up")

	userID, _, ok = d.Person("@bob:hs.example")
	require.True(t, ok)
	require.Equal(t, "b", userID)
	require.True(t, d.Mapped("b"))
	require.False(t, d.Mapped("g"))

	// After a restart with Graph down the same is known.
	again := newDirectory(d.db, d.mapper, d.ghost)
	require.NoError(t, again.load(t.Context()))
	userID, _, ok = again.Person("@bob:hs.example")
	require.True(t, ok)
	require.Equal(t, "b", userID)
}

func TestDirectoryReportsChangedAccounts(t *testing.T) {
	d := testDirectory(t)
	all := []teams.User{person("a", "ann@corp.example"), person("b", "bob@corp.example"), person("c", "cem@corp.example")}
	_, err := d.apply(t.Context(), all)
	require.NoError(t, err)
	changes, err := d.apply(t.Context(), all)
	require.NoError(t, err)
	require.Empty(t, changes)

	disabled := person("b", "bob@corp.example")
	disabled.Enabled = false
	changes, err = d.apply(t.Context(), []teams.User{person("a", "anna@corp.example"), disabled})
	require.NoError(t, err)
	after := map[string]string{}
	for _, c := range changes {
		require.NotEmpty(t, c.before.MXID)
		after[c.after.UserID] = c.after.MXID + " " + c.after.Status
	}
	require.Equal(t, map[string]string{
		"a": "@anna:hs.example mapped",
		"b": " disabled",
		"c": " disabled",
	}, after, "whoever is not listed any more is treated as disabled")
	_, _, ok := d.Person("@bob:hs.example")
	require.False(t, ok)
	_, _, ok = d.Person("@ann:hs.example")
	require.False(t, ok, "the old account belongs to nobody")
}

func TestTwoPeopleNeverShareAnAccount(t *testing.T) {
	d := testDirectory(t)
	_, err := d.apply(t.Context(), []teams.User{person("b", "ann@two.example"), person("a", "ann@one.example")})
	require.NoError(t, err)
	first, _ := d.staff("a")
	second, _ := d.staff("b")
	require.Equal(t, database.StaffMapped, first.Status)
	require.Equal(t, database.StaffUnmapped, second.Status)
	require.Contains(t, second.Reason, "belongs to a")
	late, err := d.add(t.Context(), person("c", "ann@three.example"))
	require.NoError(t, err)
	require.Equal(t, database.StaffUnmapped, late.Status)
}

// Somebody new whose id comes first does not get the account of who has it, and with
// it their rooms; whom an exception names does.
func TestAnAccountStaysWithWhoHasIt(t *testing.T) {
	d := testDirectory(t)
	ann, other := person("b", "ann@one.example"), person("a", "ann@two.example")
	_, err := d.apply(t.Context(), []teams.User{ann})
	require.NoError(t, err)
	changes, err := d.apply(t.Context(), []teams.User{ann, other})
	require.NoError(t, err)
	require.Empty(t, changes)
	owner, _, _ := d.Person("@ann:hs.example")
	require.Equal(t, "b", owner)

	d.mapper.overrides["ann@two.example"] = "@ann:hs.example"
	changes, err = d.apply(t.Context(), []teams.User{ann, other})
	require.NoError(t, err)
	require.Len(t, changes, 2)
	owner, _, _ = d.Person("@ann:hs.example")
	require.Equal(t, "a", owner)
}

package bridge

import (
	"testing"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
	"teamsbridge/teams"
)

const directoryGroup = "AAAAAAAA-0000-0000-0000-00000000000a"

func TestSelectionRules(t *testing.T) {
	sales := teams.Team{ID: "1", DisplayName: "Sales"}
	known := map[string]teamFacts{"1": factsOf(
		teams.Group{ID: "1", Mail: "sales-emea@corp.example", MailNickname: "sales-emea", Visibility: "Private", Labels: []teams.Label{{ID: "id-9", Name: "Highly confidential"}}},
		map[string]map[string]bool{"aaaaaaaa-0000-0000-0000-00000000000a": {"1": true}, "b": {"2": true}})}
	for name, tc := range map[string]struct {
		rule SelectionRule
		fits bool
	}{
		"name":             {SelectionRule{Name: "sal*"}, true},
		"another name":     {SelectionRule{Name: "IT"}, false},
		"mail":             {SelectionRule{Mail: "*@corp.example"}, true},
		"part of the mail": {SelectionRule{Mail: "sales-*"}, true},
		"another mail":     {SelectionRule{Mail: "it-*"}, false},
		"visibility":       {SelectionRule{Visibility: "private"}, true},
		"not public":       {SelectionRule{Visibility: "public"}, false},
		"label":            {SelectionRule{Label: "highly*"}, true},
		"label's id":       {SelectionRule{Label: "ID-9"}, true},
		"another label":    {SelectionRule{Label: "Public"}, false},
		"in a group":       {SelectionRule{MemberOf: directoryGroup}, true},
		"in no such group": {SelectionRule{MemberOf: "b"}, false},
		"all of it":        {SelectionRule{Name: "Sales", Mail: "sales*", Visibility: "Private", Label: "highly confidential", MemberOf: directoryGroup}, true},
		"one thing not":    {SelectionRule{Name: "Sales", Mail: "sales*", Visibility: "Public"}, false},
	} {
		require.Equal(t, tc.fits, tc.rule.fits(sales, known["1"]), name)
	}
	decide := func(cfg SelectionConfig, facts map[string]teamFacts, choices ...choice) verdict {
		return newSelector(cfg, choices, facts).team(sales)
	}
	out := SelectionRule{Label: "Highly *"}
	in := SelectionRule{Mirror: true, Visibility: "private"}
	require.Equal(t, verdict{false, "rule 1 of teams.rules fits"}, decide(SelectionConfig{Include: []string{"*"}, Rules: []SelectionRule{out, in}}, known))
	require.Equal(t, verdict{true, "rule 1 of teams.rules fits"}, decide(SelectionConfig{Rules: []SelectionRule{in, out}}, known), "the first one decides")
	require.False(t, decide(SelectionConfig{Exclude: []string{"Sales"}, Rules: []SelectionRule{in}}, known).mirror, "exclude goes before")
	require.True(t, decide(SelectionConfig{Rules: []SelectionRule{out}}, known, choice{TeamID: "1", Mirror: true, By: "@a:x"}).mirror, "what the bot was told does, too")
	require.False(t, decide(SelectionConfig{Include: []string{"*"}, Rules: []SelectionRule{out}}, nil).mirror, "a team of which nothing is known is not mirrored")
	require.True(t, decide(SelectionConfig{Include: []string{"*"}, Rules: []SelectionRule{{Name: "IT"}}}, nil).mirror, "unless no rule asks")
}

// Rules cost a request for all teams together; what they ask about is followed, and
// where it can't be asked nothing is mirrored that was to be left out.
func TestMirrorFollowsRules(t *testing.T) {
	mt := newMirrorTest(t)
	rules := []SelectionRule{{Label: "Secret"}, {MemberOf: directoryGroup}}
	mt.cfg.Rules, mt.mirror.facts = rules, newFacts(mt.tenant, rules)
	mt.tenant.teams = append(mt.tenant.teams, teams.Team{ID: "it", DisplayName: "IT"}, teams.Team{ID: "old", DisplayName: "Old"})
	err := mt.sync(t.Context(), false)
	require.ErrorIs(t, err, errNoLabels, "nobody shows labels")
	require.Empty(t, mt.rooms.taken())

	secret := []teams.Label{{ID: "1", Name: "Secret"}}
	mt.tenant.groups = []teams.Group{{ID: "sales", Labels: secret}, {ID: "it"}}
	mt.tenant.unmarked = map[string]teams.Group{"old": {ID: "old", Labels: secret}}
	mt.tenant.taken()
	require.Equal(t, []string{`create t:it "IT"`}, mt.pass(t))
	calls := mt.tenant.taken()
	require.Contains(t, calls, "group old", "a team without the mark is asked for by itself")
	require.NotContains(t, calls, "group sales")

	mt.tenant.groups[0].Labels = nil
	mt.tenant.groups[1].Labels = secret
	require.Contains(t, mt.pass(t), `create t:sales "Sales"`)
	conv, _ := mt.catalog.get("t:it")
	require.Equal(t, database.ConversationExcluded, conv.State)
	require.Equal(t, "rule 1 of teams.rules fits", conv.Reason)

	mt.tenant.inGroup = map[string]teams.GroupMembers{directoryGroup: {Groups: []string{"sales"}}}
	require.Contains(t, mt.pass(t), "detach c:sales/gen: its team is not mirrored: rule 2 of teams.rules fits")

	delete(mt.tenant.unmarked, "old") // the directory does not show it any more
	mt.pass(t)
	conv, _ = mt.catalog.get("t:old")
	require.Equal(t, database.ConversationExcluded, conv.State)
}

// Only who is in a group of mapping.members_of is mapped; who leaves it loses the
// account's rooms, as who leaves the directory does.
func TestMappingByGroup(t *testing.T) {
	p := newPeopleTest(t, person("a", "ann@corp.example"), person("b", "bob@corp.example"), person("c", "cid@corp.example"))
	mapper, err := newMapper(MappingConfig{Attribute: "upn", Template: "{{.Local}}", MembersOf: []string{"g1", "g2"}, Overrides: map[string]string{"cid@corp.example": "@cid:x"}}, "hs.example")
	require.NoError(t, err)
	p.dir.mapper = mapper
	p.tenant.inGroup = map[string][]string{"g1": {"a"}, "g2": {"b"}}
	require.NoError(t, p.staff.refresh(t.Context(), false), "another mapping than before is followed at once")
	require.True(t, p.dir.Mapped("a"))
	require.True(t, p.dir.Mapped("b"))
	require.True(t, p.dir.Mapped("c"), "an exception counts all the same")
	p.tenant.inGroup["g2"] = nil
	require.NoError(t, p.staff.refresh(t.Context(), false))
	require.True(t, p.dir.Mapped("b"), "not before it is due")
	require.NoError(t, p.staff.refresh(t.Context(), true))
	require.False(t, p.dir.Mapped("b"))
	require.True(t, p.dir.Mapped("a"))

	// A new process learns of somebody new before people are listed again.
	mapper.allowed.Store(nil)
	p.tenant.users = append(p.tenant.users, person("d", "dan@corp.example"), person("e", "eve@corp.example"))
	p.tenant.inGroup["g1"] = []string{"a", "d"}
	_, err = p.staff.place(t.Context(), []teams.Member{{UserID: "d"}, {UserID: "e"}}, testRoom.String())
	require.NoError(t, err)
	require.True(t, p.dir.Mapped("d"))
	require.False(t, p.dir.Mapped("e"))

	p.tenant.inGroup = nil
	require.ErrorIs(t, p.staff.refresh(t.Context(), true), errNobodyAllowed)
	require.True(t, p.dir.Mapped("a"), "a group that was emptied by mistake takes nobody's rooms away")
}

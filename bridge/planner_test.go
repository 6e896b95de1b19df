package bridge

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/id"

	"teamsbridge/bridge/plan"
	"teamsbridge/database"
	"teamsbridge/teams"
)

// planTenant lists people, too: everybody who is a member of anything.
type planTenant struct{ *fakeTenant }

func (p planTenant) Users(context.Context) ([]teams.User, error) {
	seen := map[string]teams.User{}
	for _, list := range []map[string][]teams.Member{p.members, p.private} {
		for _, members := range list {
			for _, m := range members {
				seen[m.UserID] = teams.User{ID: m.UserID, UPN: m.UserID + "@corp.example", Enabled: true, UserType: kindOf(m.UserID)}
			}
		}
	}
	return slices.Collect(maps.Values(seen)), nil
}

// kindOf makes guests of those whom fakePeople does not map.
func kindOf(userID string) string {
	if strings.HasPrefix(userID, "x") {
		return "Guest"
	}
	return "Member"
}

// planOf makes a plan from what the mirror of a test knows.
func planOf(t *testing.T, mt *mirrorTest) *plan.Plan {
	t.Helper()
	cfg := &Config{Teams: mt.cfg, Mapping: MappingConfig{Attribute: attributeUPN, Template: "{{.Local}}"}, Rooms: mt.roomsCfg, DirectoryInterval: time.Hour}
	in := planInput{reader: planTenant{mt.tenant}, cfg: cfg, domain: "hs.example", rooms: map[string]id.RoomID{}, placed: map[string][]string{}, active: mt.mirror.active}
	var err error
	in.catalog, err = mt.db.Conversations.All(t.Context())
	require.NoError(t, err)
	in.choices, err = mt.db.Selections.All(t.Context())
	require.NoError(t, err)
	users, err := planTenant{mt.tenant}.Users(t.Context())
	require.NoError(t, err)
	for _, u := range users {
		row := database.Staff{UserID: u.ID, UPN: u.UPN, Status: database.StaffMapped, MXID: "@" + u.ID + ":hs.example", Reason: "mapping.template"}
		if u.UserType == "Guest" {
			row.Status, row.MXID, row.Reason = database.StaffGuest, "", "guests are not mapped (mapping.guests)"
		}
		in.staff = append(in.staff, row)
	}
	for portalID := range mt.rooms.names {
		in.rooms[portalID] = id.RoomID("!" + portalID)
	}
	for portalID, people := range mt.rooms.people {
		in.placed[portalID] = slices.Clone(people)
	}
	copied, done, err := scratch(t.Context())
	require.NoError(t, err)
	defer done()
	p, err := newPlanner(t.Context(), in, copied)
	require.NoError(t, err)
	p.mirror.relay = func() *bridgev2.UserLogin { return nil } // as the test's mirror
	p.mirror.texts = mt.texts
	out, err := p.run(t.Context())
	require.NoError(t, err)
	return out
}

// done is what the mirror of a test did to rooms, in a plan's words.
func done(t *testing.T, mt *mirrorTest) []string {
	t.Helper()
	require.NoError(t, mt.sync(t.Context(), true))
	names := map[string]string{}
	for _, c := range mt.catalog.all(nil) {
		names[c.Portal] = c.Name
		if c.Kind == database.ConversationTeam {
			names[c.Portal] = "*" + c.Name
		}
	}
	var out []string
	for _, line := range mt.rooms.taken() {
		f := strings.Fields(line)
		switch f[0] {
		case "create":
			out = append(out, "create "+names[f[1]])
		case "update":
			out = append(out, "change "+names[f[1]])
		case "set":
			out = append(out, "set "+names[strings.TrimSuffix(f[1], ":")])
		case "detach":
			out = append(out, "detach "+names[strings.TrimSuffix(f[1], ":")])
		case "join", "invite", "remove":
			out = append(out, strings.Replace(f[0], "remove", "leave", 1)+" "+f[1]+" "+names[f[3]])
		}
	}
	slices.Sort(out)
	return out
}

// planned is a plan in the same words.
func planned(p *plan.Plan) []string {
	var out []string
	for _, s := range p.Steps {
		place := s.Channel
		if place == "" {
			place = "*" + s.Team
		}
		who, _, _ := strings.Cut(strings.TrimPrefix(s.Person, "@"), ":")
		switch s.Verb {
		case plan.CreateSpace, plan.CreateRoom:
			out = append(out, "create "+place)
		case plan.Rename, plan.Update:
			out = append(out, "change "+place)
		case plan.Detach:
			out = append(out, "detach "+place)
		case plan.Set:
			out = append(out, "set "+place)
		case plan.Join, plan.Invite, plan.Leave:
			out = append(out, fmt.Sprintf("%s %s %s", s.Verb, who, place))
		}
	}
	slices.Sort(out)
	return out
}

// What is planned is what is done, and after that there is nothing to do.
func TestPlanIsWhatTheMirrorDoes(t *testing.T) {
	mt := newMirrorTest(t)
	for name, change := range steps(mt) {
		change()
		p := planOf(t, mt)
		before := len(mt.rooms.log)
		require.Zero(t, before, "planning does nothing")
		did := done(t, mt)
		require.NotEmpty(t, did, name)
		require.Equal(t, did, planned(p), name)
		require.Equal(t, plan.ExitChanges, p.ExitCode())
		p = planOf(t, mt)
		require.Empty(t, p.Steps, name)
		require.Equal(t, plan.ExitNothing, p.ExitCode())
		require.Empty(t, done(t, mt), name)
	}
}

// steps are changes of a tenant, one after the other.
func steps(mt *mirrorTest) func(yield func(string, func()) bool) {
	channel := func(id, name string) teams.Channel {
		return teams.Channel{ID: id, TeamID: "sales", DisplayName: name, MembershipType: teams.MembershipStandard}
	}
	all := []struct {
		name   string
		change func()
	}{
		{"first", func() {}},
		{"a new team", func() {
			mt.tenant.teams = append(mt.tenant.teams, teams.Team{ID: "law", DisplayName: "Law"})
			mt.tenant.channels["law"] = []teams.Channel{{ID: "l1", TeamID: "law", DisplayName: "Cases", MembershipType: teams.MembershipStandard}}
			mt.tenant.members["law"] = []teams.Member{{UserID: "bob"}, {UserID: "eve"}}
		}},
		{"a new channel", func() { mt.tenant.channels["sales"] = append(mt.tenant.channels["sales"], channel("deals", "Deals")) }},
		{"renamed", func() {
			mt.tenant.teams[0].DisplayName, mt.tenant.channels["sales"][2].DisplayName = "Sales EU", "Big deals"
		}},
		{"a new topic", func() { mt.tenant.channels["sales"][2].Description = "Only big ones" }},
		{"archived", func() { mt.tenant.teams[1].Archived = true }},
		{"members", func() {
			mt.tenant.members["sales"] = []teams.Member{{UserID: "ann"}, {UserID: "cid"}}
			mt.tenant.private["board"] = []teams.Member{{UserID: "cid"}}
		}},
		{"into the spaces alone", func() { mt.roomsCfg.Join = JoinSpace }},
		{"a member of a private channel", func() {
			mt.tenant.private["board"] = append(mt.tenant.private["board"], teams.Member{UserID: "ann"})
		}},
		{"everybody again", func() { mt.roomsCfg.Join = JoinAll }},
		{"excluded", func() { mt.cfg.Exclude = []string{"Law"} }},
		{"a deleted channel", func() { mt.tenant.channels["sales"] = mt.tenant.channels["sales"][:2] }},
		{"a deleted team", func() { mt.tenant.teams = mt.tenant.teams[1:] }},
	}
	return func(yield func(string, func()) bool) {
		for _, s := range all {
			if !yield(s.name, s.change) {
				return
			}
		}
	}
}

// Who is mapped anew, and who is not any more, is in the plan with what becomes
// of their rooms.
func TestPlanOfPeople(t *testing.T) {
	mt := newMirrorTest(t)
	done(t, mt)
	in := map[string][]teams.Member{"sales": {{UserID: "ann"}, {UserID: "bob"}, {UserID: "new"}}}
	cfg := &Config{Teams: mt.cfg, Mapping: MappingConfig{Attribute: attributeUPN, Template: "{{.Local}}"}, Rooms: mt.roomsCfg, DirectoryInterval: time.Hour}
	convs, err := mt.db.Conversations.All(t.Context())
	require.NoError(t, err)
	mt.tenant.members = in
	copied, closeIt, err := scratch(t.Context())
	require.NoError(t, err)
	defer closeIt()
	sales := ""
	rooms := map[string]id.RoomID{}
	for _, c := range convs {
		rooms[c.Portal] = id.RoomID("!" + c.Portal)
		if c.Kind == database.ConversationTeam {
			sales = c.Portal
		}
	}
	p, err := newPlanner(t.Context(), planInput{
		reader: planTenant{mt.tenant}, cfg: cfg, domain: "hs.example", catalog: convs, rooms: rooms,
		placed: map[string][]string{sales: {"ann", "old"}},
		staff: []database.Staff{
			{UserID: "ann", UPN: "ann@corp.example", MXID: "@ann:hs.example", Status: database.StaffMapped, Reason: "mapping.template"},
			{UserID: "old", UPN: "old@corp.example", MXID: "@old:hs.example", Status: database.StaffMapped, Reason: "mapping.template"},
		},
		optOuts: []database.OptOut{{MXID: "@bob:hs.example", RoomID: "!" + sales}},
	}, copied)
	require.NoError(t, err)
	out, err := p.run(t.Context())
	require.NoError(t, err)
	var text, all bytes.Buffer
	require.NoError(t, out.Write(&text, false))
	require.NoError(t, out.Write(&all, true))
	for _, want := range []string{
		"+ @bob:hs.example  gets a Matrix account  (bob@corp.example)", "+ @new:hs.example  gets a Matrix account",
		"- @old:hs.example  has no Matrix account any more  (not in the directory any more)", "    - 1 leaves: @old:hs.example\n",
		"1 leave", "2 mapped anew, 1 not mapped any more",
	} {
		require.Contains(t, text.String(), want)
	}
	for _, s := range out.Steps {
		require.False(t, s.Verb == plan.Join && s.Channel == "" && s.Person == "@bob:hs.example", "who left is not brought back")
	}
	var data bytes.Buffer
	require.NoError(t, out.WriteJSON(&data))
	require.Contains(t, data.String(), `"changes": true`)
}

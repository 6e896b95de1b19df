package bridge

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

func TestRoomRules(t *testing.T) {
	cfg := RoomsConfig{Join: JoinAll, ActiveDays: 30, JoinRule: JoinRuleAuto, HistoryVisibility: "shared",
		PowerLevels: map[string]int{"@op:x": 100}, Teams: map[string]TeamRoomsConfig{
			"Big *":     {Join: JoinActive, ActiveDays: 7},
			"Big space": {Join: JoinSpace, PowerLevels: map[string]int{"@sec:x": 50, "@op:x": 60}},
			"id-closed": {Join: JoinSpace, JoinRule: JoinRuleInvite, HistoryVisibility: "joined"},
			"Old":       {JoinRule: JoinRuleRestricted},
		}}
	for _, tc := range []struct {
		id, name, join  string
		standard        bool
		history         event.HistoryVisibility
		operator, other int
	}{
		{"1", "Sales", JoinAll, false, "shared", 100, 0},
		{"2", "big one", JoinActive, true, "shared", 100, 0},
		{"3", "Big space", JoinSpace, true, "shared", 60, 50},
		{"id-closed", "Big space", JoinSpace, false, "joined", 100, 0},
		{"5", "old", JoinAll, true, "shared", 100, 0},
	} {
		r := cfg.rules(tc.id, tc.name)
		require.Equal(t, tc.join, r.join, tc.name)
		require.Equal(t, tc.standard, r.open(teams.MembershipStandard), tc.name)
		require.Equal(t, tc.history, r.history, tc.name)
		require.Equal(t, tc.operator, r.levels["@op:x"], tc.name)
		require.Equal(t, tc.other, r.levels["@sec:x"], tc.name)
		for _, closed := range []string{teams.MembershipPrivate, teams.MembershipShared, "", "unknownFutureValue"} {
			require.False(t, r.open(closed), "%s of %s", closed, tc.name)
			require.Empty(t, r.of(closed, "!space").OpenTo)
		}
	}
	require.Equal(t, 7*24*time.Hour, cfg.rules("2", "Big one").active)
	require.Empty(t, (&RoomsConfig{}).rules("1", "x").stamp(), "rooms of a version before stay as they are")
	for _, h := range []string{"", "abc", "abc~12", "abc+archived", "abc~12+archived", "abc~12.34", "abc~12.34+archived"} {
		require.Equal(t, h, parseInfoHash(h).String())
	}
}

// Where people are brought into the space alone, the channels' rooms are open to
// who is in it; private channels are not, and their members are invited.
func TestJoinSpace(t *testing.T) {
	mt := newMirrorTest(t)
	mt.roomsCfg.Join = JoinSpace
	require.Equal(t, []string{
		`create c:sales/board "Board"`, `create c:sales/gen "Sales – General"`, `create t:sales "Sales"`,
		"invite ann to c:sales/board", "join ann to t:sales", "join bob to t:sales",
		"set c:sales/gen: whoever is in the space may join; history visible to: shared",
		"set t:sales: joined on invitation; history visible to: shared",
	}, mt.pass(t))
	require.EqualValues(t, "!t:sales", mt.rooms.set["c:sales/gen"].OpenTo)
	require.Empty(t, mt.rooms.set["c:sales/board"].OpenTo, "who is of the team only must not get in")
	require.Equal(t, moderatorLevel, mt.rooms.set["t:sales"].InviteLevel, "nor whom somebody of the team lets in")
	mt.tenant.taken()
	require.Empty(t, mt.pass(t))
	require.Equal(t, []string{"teams"}, mt.tenant.taken())

	// Ann joins by herself and leaves the team: she leaves the room, too, even if
	// nobody noticed that she had joined.
	mt.rooms.self["c:sales/gen"] = []string{"ann", "bob"}
	mt.tenant.members["sales"] = []teams.Member{{UserID: "bob"}, {UserID: "cem"}}
	require.NoError(t, mt.syncTeams(t.Context(), []string{"sales"}))
	log := mt.rooms.taken()
	slices.Sort(log)
	require.Equal(t, []string{"join cem to t:sales", "remove ann from c:sales/gen", "remove ann from t:sales"}, log)
	require.Equal(t, []string{"bob"}, mt.rooms.people["c:sales/gen"], "and who is in the room belongs there")
}

// A policy that is changed changes who may join; nobody is removed.
func TestJoinPolicyChanges(t *testing.T) {
	mt := newMirrorTest(t)
	mt.pass(t)
	conv, _ := mt.catalog.get("c:sales/gen")
	require.Empty(t, parseInfoHash(conv.InfoHash).stamp)
	mt.roomsCfg.Teams = map[string]TeamRoomsConfig{"Sales": {Join: JoinSpace}}
	require.Equal(t, []string{
		"set c:sales/gen: whoever is in the space may join; history visible to: shared",
		"set t:sales: joined on invitation; history visible to: shared",
	}, mt.pass(t), "at the first look, without force")
	require.ElementsMatch(t, []string{"ann", "bob"}, mt.rooms.people["c:sales/gen"])
	require.Empty(t, mt.pass(t))

	mt.tenant.members["sales"] = append(mt.tenant.members["sales"], teams.Member{UserID: "cem"})
	require.NoError(t, mt.syncTeams(t.Context(), []string{"sales"}))
	require.Equal(t, []string{"join cem to t:sales"}, mt.rooms.taken())

	mt.roomsCfg.Teams = nil
	require.Equal(t, []string{
		"join cem to c:sales/gen", "set c:sales/gen: joined on invitation; history visible to: shared",
		"set t:sales: joined on invitation; history visible to: shared",
	}, mt.pass(t))
	require.Zero(t, mt.rooms.set["t:sales"].InviteLevel)
	require.Empty(t, mt.pass(t))
}

// Who was active is brought in when the room is made, and who becomes so at once;
// who left the room, or is not of the team, is not.
func TestJoinActive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mt := newMirrorTest(t)
		mt.mirror.now = time.Now
		mt.roomsCfg = RoomsConfig{Join: JoinActive, ActiveDays: 30}
		mt.tenant.members["sales"] = append(mt.tenant.members["sales"], teams.Member{UserID: "cem"})
		mt.lately = map[string][]string{"c:sales/gen": {"ann", "stranger"}, "c:sales/board": {"ann"}}
		mt.pass(t)
		require.Equal(t, []string{"ann"}, mt.rooms.people["c:sales/gen"])
		require.Equal(t, []string{"ann"}, mt.rooms.people["c:sales/board"])

		// The last process ended before Bob was brought in.
		mt.lately["c:sales/gen"] = []string{"ann", "bob", "stranger"}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = mt.runActive(ctx)
		}()
		synctest.Wait()
		require.Equal(t, []string{"join bob to c:sales/gen"}, mt.rooms.taken())
		mt.spoke("c:sales/gen", "cem", time.Now().Add(-31*24*time.Hour))
		synctest.Wait()
		require.Empty(t, mt.rooms.taken(), "that was long ago")
		for range 3 {
			mt.spoke("c:sales/gen", "cem", time.Now().Add(-time.Minute))
			mt.spoke("c:sales/gen", "stranger", time.Now())
			mt.spoke("c:sales/board", "bob", time.Now())
			synctest.Wait()
		}
		require.Equal(t, []string{"join cem to c:sales/gen"}, mt.rooms.taken(), "once, and nobody who is not of it")
		mt.roomsCfg.Join = JoinSpace
		mt.spoke("c:sales/gen", "dan", time.Now())
		synctest.Wait()
		require.Empty(t, mt.rooms.taken())
		cancel()
		<-done
	})
}

// newPeopleMirror is a mirror around the real rooms of a people test.
func (p *peopleTest) runtime(join string) *runtime {
	r := &runtime{c: New(Graph{}), db: p.db, dir: p.dir, catalog: p.staff.catalog}
	r.c.br = p.br
	r.mirror = &mirror{catalog: p.staff.catalog, roomsCfg: RoomsConfig{Join: join, ActiveDays: 30}}
	return r
}

// What somebody says in Teams brings their account into a room only where it is
// to be there.
func TestWhoSpeaksFromTheirOwnAccount(t *testing.T) {
	p := newPeopleTest(t, person("a", "ann@corp.example"))
	require.NoError(t, p.staff.catalog.put(t.Context(), database.Conversation{Portal: string(p.portal.ID), TeamID: portaltest.Channel.TeamID,
		Kind: database.ConversationChannel, State: database.ConversationMirrored}))
	speaks := func(join, userID string) bool { return p.runtime(join).speaks(t.Context(), p.portal, userID) }
	require.True(t, speaks(JoinAll, "a"), "who is to be brought in anyway")
	require.False(t, speaks(JoinSpace, "a"))
	require.False(t, speaks(JoinActive, "a"))
	require.False(t, speaks(JoinAll, "stranger"))
	p.matrix.set(mxid("ann"), event.MembershipJoin)
	require.True(t, speaks(JoinSpace, "a"), "who is there")
	p.matrix.set(mxid("ann"), event.MembershipLeave)
	require.NoError(t, p.db.OptOuts.Add(t.Context(), mxid("ann").String(), testRoom.String()))
	require.False(t, speaks(JoinAll, "a"), "who left on purpose")
}

// Who joins from the space belongs to the room from then on: what they write is
// theirs, and they leave it with the team. Others are guests of somebody's.
func TestWhoJoinsFromTheSpaceBelongs(t *testing.T) {
	p := newPeopleTest(t, person("a", "ann@corp.example"), person("b", "bob@corp.example"))
	_, err := p.staff.place(t.Context(), []teams.Member{{UserID: "a"}, {UserID: "b"}}, "!space:x")
	require.NoError(t, err)
	space, err := p.br.GetPortalByKey(t.Context(), portal.TeamPortal(portaltest.Channel.TeamID))
	require.NoError(t, err)
	require.NoError(t, space.Save(t.Context()))
	_, err = p.br.DB.UserPortal.GetOrCreate(t.Context(), p.br.GetCachedUserLoginByID("a").UserLogin, space.PortalKey)
	require.NoError(t, err)
	watch := &optOuts{br: p.br, db: p.db, dir: p.dir, puppetMark: "teamsbridge"}
	joins := func(who id.UserID) []string {
		key := who.String()
		watch.handle(t.Context(), &event.Event{Type: event.StateMember, RoomID: testRoom, Sender: who, StateKey: &key,
			Content: event.Content{Parsed: &event.MemberEventContent{Membership: event.MembershipJoin}}})
		placed, err := p.rooms.Placed(t.Context(), p.portal.PortalKey)
		require.NoError(t, err)
		return placed
	}
	meta := p.portal.Metadata.(*portal.PortalMetadata)
	meta.Membership = teams.MembershipPrivate
	require.Empty(t, joins(mxid("ann")), "who is of the team is not of its private channel")
	meta.Membership = teams.MembershipStandard
	require.Empty(t, joins(mxid("bob")), "who is in the space as a guest")
	require.Empty(t, joins(mxid("visitor")))
	require.Equal(t, []string{"a"}, joins(mxid("ann")))
	login, _, err := p.portal.FindPreferredLogin(t.Context(), p.br.GetCachedUserLoginByID("a").User, true)
	require.NoError(t, err)
	require.Equal(t, "a", string(login.ID))
}

// Who is in a room already costs no request, who is only to be invited does not
// join, and the count tells how far it is.
func TestSettleAsksForNobodyTwice(t *testing.T) {
	p := newPeopleTest(t, person("a", "ann@corp.example"), person("b", "bob@corp.example"), person("c", "cid@corp.example"), person("x", "banned@corp.example"))
	for _, who := range []string{"ann", "bob", "cid"} {
		p.matrix.HS.AllowPuppet(mxid(who))
	}
	list, err := p.staff.place(t.Context(), []teams.Member{{UserID: "a"}, {UserID: "b"}, {UserID: "c"}, {UserID: "x"}}, testRoom.String())
	require.NoError(t, err)
	require.Len(t, list, 4)
	settle := func(how settling, userIDs ...string) (asked int) {
		before := p.matrix.asked.Load()
		_, err := p.rooms.Settle(t.Context(), p.portal.PortalKey, userIDs, how)
		require.NoError(t, err)
		return int(p.matrix.asked.Load() - before)
	}
	require.Equal(t, 1, settle(settleInvitations, "c"))
	require.Equal(t, event.MembershipInvite, p.matrix.get(mxid("cid")))
	require.Zero(t, settle(settleInvitations, "c"))
	p.matrix.set(mxid("ann"), event.MembershipJoin) // in an earlier process
	require.Equal(t, 3, settle(settleEverybody, "a", "b", "x"), "two for bob, one for who is banned")
	require.Equal(t, event.MembershipJoin, p.matrix.get(mxid("bob")))
	require.Equal(t, 1, settle(settleEverybody, "a", "b", "x"))
	people, outcomes := p.rooms.joins.state()
	require.Zero(t, people)
	require.Equal(t, map[string]int{joinJoined: 1, joinInvited: 1, joinRefused: 2}, outcomes)
}

// Rooms are set as the configuration says, once, and what it does not say any more
// is taken back; what somebody in Matrix has changed meanwhile stays.
func TestRoomsAreSet(t *testing.T) {
	p := newPeopleTest(t, person("a", "ann@corp.example"))
	room := p.matrix.state(testRoom)
	room.put(t, event.StateCreate, `{"room_version":"10"}`)
	room.put(t, event.StateJoinRules, `{"join_rule":"invite"}`)
	room.put(t, event.StateHistoryVisibility, `{"history_visibility":"shared"}`)
	room.put(t, event.StatePowerLevels, `{"users":{"@teamsbot:`+portaltest.ServerName+`":9001},"events":{"m.room.tombstone":100}}`)
	set := func(s roomSettings) (sent []string) {
		require.NoError(t, p.rooms.Set(t.Context(), p.portal.PortalKey, s))
		return room.taken()
	}
	plain := roomSettings{History: event.HistoryVisibilityShared}
	require.Empty(t, set(plain), "nothing is sent that is so already")
	open := roomSettings{OpenTo: "!space:x", History: event.HistoryVisibilityJoined, Levels: map[id.UserID]int{"@op:x": 100, "@sec:x": 50}, InviteLevel: 50}
	require.ElementsMatch(t, []string{"m.room.join_rules", "m.room.history_visibility", "m.room.power_levels"}, set(open))
	require.JSONEq(t, `{"join_rule":"restricted","allow":[{"type":"m.room_membership","room_id":"!space:x"}]}`, room.get(event.StateJoinRules))
	require.JSONEq(t, `{"history_visibility":"joined"}`, room.get(event.StateHistoryVisibility))
	require.Contains(t, room.get(event.StatePowerLevels), `"@op:x":100`)
	require.Contains(t, room.get(event.StatePowerLevels), `"invite":50`)
	require.Contains(t, room.get(event.StatePowerLevels), `"m.room.tombstone":100`)
	require.Empty(t, set(open))

	require.NoError(t, p.rooms.Empower(t.Context(), p.portal.PortalKey, []id.UserID{"@sec:x"}, 75)) // as somebody in Matrix would
	require.Equal(t, []string{"m.room.power_levels"}, room.taken())
	require.Len(t, set(plain), 3)
	require.JSONEq(t, `{"join_rule":"invite"}`, room.get(event.StateJoinRules))
	require.NotContains(t, room.get(event.StatePowerLevels), "@op:x")
	require.Contains(t, room.get(event.StatePowerLevels), `"@sec:x":75`)
	require.NotContains(t, room.get(event.StatePowerLevels), `"invite":50`)
	require.Empty(t, set(plain))

	boss := mxid("boss")
	for given, left := range map[int]int{50: 0, 100: 100} {
		set(roomSettings{History: event.HistoryVisibilityShared, Levels: map[id.UserID]int{boss: given}})
		set(plain)
		levels, err := p.matrix.GetPowerLevels(t.Context(), testRoom)
		require.NoError(t, err)
		require.Equal(t, left, levels.GetUserLevel(boss), "an administrator keeps what administrators have")
	}
	room.put(t, event.StateCreate, `{"room_version":"6"}`)
	require.Empty(t, set(roomSettings{OpenTo: "!space:x", History: event.HistoryVisibilityShared}), "nobody could join a room of this version any more")
	room.fail = true
	require.Error(t, p.rooms.Set(t.Context(), p.portal.PortalKey, plain))
}

// Whether other servers may take part is said where a team's rooms are made.
func TestRoomsOfATeamAreFederatedOrNot(t *testing.T) {
	mt := newMirrorTest(t)
	mt.tenant.teams = append(mt.tenant.teams, teams.Team{ID: "law", DisplayName: "Law"}, teams.Team{ID: "it", DisplayName: "IT"})
	yes, no := true, false
	mt.roomsCfg.Teams = map[string]TeamRoomsConfig{"Sales": {Federate: &yes}, "Law": {Federate: &no}}
	require.Subset(t, mt.pass(t), []string{
		`create federated c:sales/board "Board"`, `create federated c:sales/gen "Sales – General"`, `create federated t:sales "Sales"`,
		`create closed t:law "Law"`, `create t:it "IT"`,
	})
	conv, _ := mt.catalog.get("t:sales")
	require.Empty(t, parseInfoHash(conv.InfoHash).stamp, "it changes nothing later")
}

// How far joining is shows from the tables, so that a restart does not begin to
// count anew: a room counts once it has all its people by the rules that hold now.
func TestJoinProgressSurvivesARestart(t *testing.T) {
	mt := newMirrorTest(t)
	mt.tenant.private["board"] = []teams.Member{{UserID: "ghostly"}}
	mt.pass(t)
	count := func() [2]int {
		restarted := newCatalog(mt.db.Conversations)
		require.NoError(t, restarted.load(t.Context()))
		mt.catalog = restarted
		done, all := mt.filled()
		return [2]int{done, all}
	}
	require.Equal(t, [2]int{2, 3}, count(), "somebody could not be let into the private channel")
	mt.tenant.private["board"] = nil
	require.NoError(t, mt.syncTeams(t.Context(), []string{"sales"}))
	require.Equal(t, [2]int{3, 3}, count())
	mt.roomsCfg.Join = JoinSpace
	require.Equal(t, [2]int{0, 3}, count(), "the rooms are yet to be looked at by the new rules")
	mt.pass(t)
	require.Equal(t, [2]int{3, 3}, count())
}

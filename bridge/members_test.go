package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"go.mau.fi/util/dbutil"
	"gopkg.in/yaml.v3"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/appservice"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/bridgeconfig"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

const testRoom = id.RoomID("!room:" + portaltest.ServerName)

// memberMatrix is the fake homeserver of portaltest, with memberships.
type memberMatrix struct {
	*portaltest.Connector
	mu      sync.Mutex
	members map[id.UserID]event.Membership
	err     error // of who asks for them
	kickErr error // of who takes somebody out
	rooms   map[id.RoomID]*roomState
	// asked counts the requests that bring people in.
	asked atomic.Int64
}

func (m *memberMatrix) set(user id.UserID, membership event.Membership) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.members[user] = membership
}

func (m *memberMatrix) get(user id.UserID) event.Membership {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.members[user]
}

func (m *memberMatrix) GetMembers(context.Context, id.RoomID) (map[id.UserID]*event.MemberEventContent, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[id.UserID]*event.MemberEventContent{}
	for user, membership := range m.members {
		out[user] = &event.MemberEventContent{Membership: membership}
	}
	return out, m.err
}

func (m *memberMatrix) GetMemberInfo(_ context.Context, _ id.RoomID, user id.UserID) (*event.MemberEventContent, error) {
	return &event.MemberEventContent{Membership: m.get(user)}, nil
}

func (m *memberMatrix) BotIntent() bridgev2.MatrixAPI {
	return &memberIntent{MatrixAPI: m.Connector.BotIntent(), m: m}
}

func (m *memberMatrix) NewUserIntent(ctx context.Context, user id.UserID, token string) (bridgev2.MatrixAPI, string, error) {
	inner, token, err := m.Connector.NewUserIntent(ctx, user, token)
	if err != nil {
		return nil, "", err
	}
	return &memberIntent{MatrixAPI: inner, m: m}, token, nil
}

type memberIntent struct {
	bridgev2.MatrixAPI
	m *memberMatrix
}

func (i *memberIntent) CreateRoom(context.Context, *mautrix.ReqCreateRoom) (id.RoomID, error) {
	return testRoom, nil
}

func (i *memberIntent) EnsureInvited(_ context.Context, _ id.RoomID, user id.UserID) error {
	if i.m.get(user) != event.MembershipJoin && i.m.get(user) != event.MembershipInvite {
		i.m.asked.Add(1) // as the framework, which knows who is there
	}
	if user.Localpart() == "banned" {
		return errors.New("banned")
	}
	if i.m.get(user) != event.MembershipJoin {
		i.m.set(user, event.MembershipInvite)
	}
	return nil
}

func (i *memberIntent) EnsureJoined(_ context.Context, _ id.RoomID, _ ...bridgev2.EnsureJoinedParams) error {
	if i.m.get(i.GetMXID()) != event.MembershipJoin {
		i.m.asked.Add(1)
	}
	i.m.set(i.GetMXID(), event.MembershipJoin)
	return nil
}

func (i *memberIntent) SendState(_ context.Context, room id.RoomID, kind event.Type, key string, content *event.Content, _ time.Time) (*mautrix.RespSendEvent, error) {
	if kind == event.StateMember {
		if i.m.kickErr != nil {
			return nil, i.m.kickErr
		}
		i.m.set(id.UserID(key), content.Parsed.(*event.MemberEventContent).Membership)
		return &mautrix.RespSendEvent{}, nil
	}
	return i.m.state(room).send(kind, content)
}

// roomState is the state of a room beside its members.
type roomState struct {
	mu     sync.Mutex
	events map[event.Type]json.RawMessage
	sent   []string
	fail   bool
}

func (m *memberMatrix) state(room id.RoomID) *roomState {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rooms == nil {
		m.rooms = map[id.RoomID]*roomState{}
	}
	if m.rooms[room] == nil {
		m.rooms[room] = &roomState{events: map[event.Type]json.RawMessage{}}
	}
	return m.rooms[room]
}

func (s *roomState) put(t *testing.T, kind event.Type, content string) {
	t.Helper()
	require.True(t, json.Valid([]byte(content)))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events[kind] = json.RawMessage(content)
}

func (s *roomState) get(kind event.Type) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.events[kind])
}

// taken returns the types of what was sent since it was asked last.
func (s *roomState) taken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := s.sent
	s.sent = nil
	return sent
}

func (s *roomState) send(kind event.Type, content *event.Content) (*mautrix.RespSendEvent, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail {
		return nil, errors.New("homeserver says no")
	}
	data, err := json.Marshal(content)
	s.events[kind], s.sent = data, append(s.sent, kind.Type)
	return &mautrix.RespSendEvent{}, err
}

// GetStateEvent implements bridgev2.MatrixConnectorWithArbitraryRoomState.
func (m *memberMatrix) GetStateEvent(_ context.Context, room id.RoomID, kind event.Type, _ string) (*event.Event, error) {
	s := m.state(room)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail {
		return nil, errors.New("homeserver says no")
	}
	if s.events[kind] == nil {
		return nil, mautrix.MNotFound
	}
	evt := &event.Event{Type: kind, RoomID: room}
	return evt, json.Unmarshal(s.events[kind], &evt.Content)
}

func (m *memberMatrix) GetPowerLevels(_ context.Context, room id.RoomID) (*event.PowerLevelsEventContent, error) {
	levels := &event.PowerLevelsEventContent{}
	s := m.state(room)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.events[event.StatePowerLevels] == nil {
		return levels, nil
	}
	return levels, json.Unmarshal(s.events[event.StatePowerLevels], levels)
}

// peopleTest is the real framework between a fake homeserver and a fake tenant.
type peopleTest struct {
	matrix *memberMatrix
	br     *bridgev2.Bridge
	db     *database.Database
	rooms  *matrixRooms
	staff  *staffing
	dir    *directory
	tenant *listedPeople
	portal *bridgev2.Portal
}

// listedPeople is Graph as far as people are asked for.
type listedPeople struct {
	teams.Reader
	users []teams.User
	asked []string
	// inGroup are the users in each group.
	inGroup map[string][]string
	// userErr is what becomes of asking for one.
	userErr error
}

func (l *listedPeople) GroupMembers(_ context.Context, id string) (teams.GroupMembers, error) {
	return teams.GroupMembers{Users: l.inGroup[id]}, nil
}

func (l *listedPeople) Users(context.Context) ([]teams.User, error) { return l.users, nil }

func (l *listedPeople) User(_ context.Context, userID string) (teams.User, error) {
	l.asked = append(l.asked, userID)
	if l.userErr != nil {
		return teams.User{}, l.userErr
	}
	for _, u := range l.users {
		if u.ID == userID {
			return u, nil
		}
	}
	return teams.User{}, &teams.Error{Op: "GET user", Kind: teams.KindNotFound}
}

func newPeopleTest(t *testing.T, users ...teams.User) *peopleTest {
	t.Helper()
	raw, err := dbutil.NewWithDialect("file:"+filepath.Join(t.TempDir(), "bridge.db")+"?_txlock=immediate", "sqlite3-fk-wal")
	require.NoError(t, err)
	var cfg bridgeconfig.BridgeConfig
	require.NoError(t, yaml.Unmarshal([]byte("command_prefix: '!teams'\npermissions: {'*': user, '@boss:"+portaltest.ServerName+"': admin}\n"), &cfg))
	c := New(Graph{})
	c.Config.TenantID = "tenant"
	p := &peopleTest{tenant: &listedPeople{users: users}, matrix: &memberMatrix{
		Connector: &portaltest.Connector{HS: portaltest.NewHomeserver()}, members: map[id.UserID]event.Membership{},
	}}
	p.br = bridgev2.NewBridge("", raw, zerolog.Nop(), &cfg, p.matrix, c, func(*bridgev2.Bridge) bridgev2.CommandProcessor { return nil })
	require.NoError(t, p.br.StartConnectors(t.Context()))
	t.Cleanup(p.br.Stop)
	seal, err := database.NewSealer("0123456789abcdef0123456789abcdef")
	require.NoError(t, err)
	p.db = database.New(raw, zerolog.Nop(), seal)
	require.NoError(t, p.db.Upgrade(t.Context()))
	mapper, err := newMapper(MappingConfig{Attribute: "upn", Template: "{{.Local}}"}, portaltest.ServerName)
	require.NoError(t, err)
	p.dir = newDirectory(p.db, mapper, func(userID string) id.UserID { return p.matrix.FormatGhostMXID(portal.UserID(userID)) })
	c.rt = &runtime{c: c, db: p.db, dir: p.dir, services: newServices(t.Context())}
	c.rt.photos = newPhotos(p.br, p.tenant, p.dir, time.Now)
	p.rooms = newMatrixRooms(p.br, c.source, 1000)
	p.staff = &staffing{br: p.br, db: p.db, catalog: newCatalog(p.db.Conversations), dir: p.dir, reader: p.tenant, domain: portaltest.ServerName, interval: time.Hour, now: time.Now,
		puppets: map[string]bool{portaltest.ServerName: true}, forget: func(context.Context, string) error { return nil }}
	p.dir.leaving = p.staff.retireLater
	require.NoError(t, p.staff.refresh(t.Context(), true))

	key := portal.ChannelPortal(portaltest.Channel)
	info := portal.ChannelInfo(portal.ChannelInput{Channel: teams.Channel{ID: portaltest.Channel.ChannelID, TeamID: portaltest.Channel.TeamID, DisplayName: "General"}, Relay: c.source()})
	info.ParentID = nil
	room, err := p.rooms.Ensure(t.Context(), key, info)
	require.NoError(t, err)
	require.Equal(t, testRoom, room)
	p.portal, err = p.br.GetExistingPortalByKey(t.Context(), key)
	require.NoError(t, err)
	return p
}

// bring puts members into the room as the mirror does.
func (p *peopleTest) bring(t *testing.T, userIDs ...string) (placed, missing []string) {
	t.Helper()
	var members []teams.Member
	for _, userID := range userIDs {
		members = append(members, teams.Member{UserID: userID, DisplayName: userID})
	}
	list, err := p.staff.place(t.Context(), members, testRoom.String())
	require.NoError(t, err)
	for _, m := range list {
		placed = append(placed, m.UserID)
	}
	missing, err = p.rooms.Settle(t.Context(), p.portal.PortalKey, placed, settleEverybody)
	require.NoError(t, err)
	return placed, missing
}

func mxid(local string) id.UserID { return id.NewUserID(local, portaltest.ServerName) }

// Proves S3.
func TestS3StaffWhoNeverSignedInAreInTheirRooms(t *testing.T) {
	guest := person("g", "gus@else.example")
	guest.UserType = "Guest"
	p := newPeopleTest(t, person("a", "ann@corp.example"), person("b", "bob@corp.example"), guest)
	p.matrix.HS.AllowPuppet(mxid("ann"))
	placed, missing := p.bring(t, "a", "b", "g", "stranger")
	require.Equal(t, []string{"a", "b"}, placed)
	require.Empty(t, missing)
	require.Equal(t, event.MembershipJoin, p.matrix.get(mxid("ann")), "whom the bridge can speak for joins")
	require.Equal(t, event.MembershipInvite, p.matrix.get(mxid("bob")), "others are invited")
	require.Empty(t, p.matrix.get(mxid("gus")), "a guest is not invited")
	require.Equal(t, []string{"stranger"}, p.tenant.asked, "somebody unknown is asked for once")
	p.bring(t, "a", "b", "g", "stranger")
	require.Len(t, p.tenant.asked, 1)

	login, _, err := p.portal.FindPreferredLogin(t.Context(), p.br.GetCachedUserLoginByID("b").User, true)
	require.NoError(t, err)
	require.Equal(t, "b", string(login.ID), "what somebody writes is theirs, without a sign-in")

	_, missing = func() ([]string, []string) {
		p.tenant.users = append(p.tenant.users, person("c", "banned@corp.example"))
		return p.bring(t, "c")
	}()
	require.Equal(t, []string{"c"}, missing)
}

// Proves S3.
func TestS3WhoeverIsRemovedInTeamsLeavesTheRoom(t *testing.T) {
	p := newPeopleTest(t, person("a", "ann@corp.example"), person("b", "bob@corp.example"))
	p.matrix.HS.AllowPuppet(mxid("ann"))
	p.matrix.set(mxid("visitor"), event.MembershipJoin)
	p.bring(t, "a", "b")
	placed, err := p.rooms.Placed(t.Context(), p.portal.PortalKey)
	require.NoError(t, err)
	slices.Sort(placed)
	require.Equal(t, []string{"a", "b"}, placed, "whoever was invited in Matrix is not ours to remove")
	for _, userID := range placed {
		require.NoError(t, p.rooms.Unplace(t.Context(), p.portal.PortalKey, userID, "gone"))
	}
	require.Equal(t, event.MembershipLeave, p.matrix.get(mxid("ann")))
	require.Equal(t, event.MembershipLeave, p.matrix.get(mxid("bob")), "an invitation is taken back, too")
	require.Equal(t, event.MembershipJoin, p.matrix.get(mxid("visitor")))
	placed, err = p.rooms.Placed(t.Context(), p.portal.PortalKey)
	require.NoError(t, err)
	require.Empty(t, placed)
	p.bring(t, "a")
	require.Equal(t, event.MembershipJoin, p.matrix.get(mxid("ann")), "who comes back in Teams comes back here")
}

func TestDisabledAccountsLeaveEveryRoom(t *testing.T) {
	p := newPeopleTest(t, person("a", "ann@corp.example"), person("b", "bob@corp.example"))
	p.matrix.HS.AllowPuppet(mxid("ann"))
	p.bring(t, "a", "b")
	p.tenant.users[0].Enabled = false
	require.NoError(t, p.staff.refresh(t.Context(), true))
	require.Equal(t, event.MembershipLeave, p.matrix.get(mxid("ann")))
	require.Equal(t, event.MembershipInvite, p.matrix.get(mxid("bob")))
	require.Nil(t, p.br.GetCachedUserLoginByID("a"))
	placed, _ := p.bring(t, "a", "b")
	require.Equal(t, []string{"b"}, placed)
}

func TestAccountsThatAppearLaterAreSpokenFor(t *testing.T) {
	p := newPeopleTest(t, person("a", "ann@corp.example"))
	p.bring(t, "a")
	require.Equal(t, event.MembershipInvite, p.matrix.get(mxid("ann")))
	conv := database.Conversation{Portal: string(p.portal.ID), Kind: database.ConversationChannel, State: database.ConversationMirrored, MembersHash: "x"}
	require.NoError(t, p.staff.catalog.put(t.Context(), conv))
	p.matrix.HS.AllowPuppet(mxid("ann"))
	p.staff.retryPuppets(t.Context())
	conv, _ = p.staff.catalog.get(conv.Portal)
	require.Empty(t, conv.MembersHash, "the room is looked at again")
	p.bring(t, "a")
	require.Equal(t, event.MembershipJoin, p.matrix.get(mxid("ann")))
}

// Proves S3.
func TestS3WhoeverLeavesIsNotBroughtBack(t *testing.T) {
	p := newPeopleTest(t, person("a", "ann@corp.example"))
	p.bring(t, "a")
	watch := &optOuts{br: p.br, db: p.db, dir: p.dir, puppetMark: "teamsbridge"}
	says := func(sender id.UserID, membership event.Membership, raw map[string]any) {
		key := mxid("ann").String()
		content := event.Content{Parsed: &event.MemberEventContent{Membership: membership}, Raw: raw}
		watch.handle(t.Context(), &event.Event{Type: event.StateMember, RoomID: testRoom, Sender: sender, StateKey: &key, Content: content})
	}
	left := func() bool {
		has, err := p.db.OptOuts.Has(t.Context(), mxid("ann").String(), testRoom.String())
		require.NoError(t, err)
		return has
	}
	says(p.br.Bot.GetMXID(), event.MembershipLeave, nil)
	require.False(t, left(), "what the bridge does is nobody's will")
	says(mxid("ann"), event.MembershipLeave, map[string]any{appservice.DoublePuppetKey: "teamsbridge"})
	require.False(t, left())
	says(mxid("ann"), event.MembershipLeave, nil)
	require.True(t, left())
	placed, _ := p.bring(t, "a")
	require.Empty(t, placed)
	says(mxid("ann"), event.MembershipJoin, nil)
	require.False(t, left(), "whoever comes back is followed again")
	says(mxid("moderator"), event.MembershipLeave, nil)
	require.True(t, left(), "somebody removed in Matrix is not brought back either")
}

func TestAdministratorsCanLookAfterRooms(t *testing.T) {
	p := newPeopleTest(t, person("x", "boss@corp.example"), person("a", "ann@corp.example"))
	list, err := p.staff.place(t.Context(), []teams.Member{{UserID: "x"}, {UserID: "a"}}, testRoom.String())
	require.NoError(t, err)
	require.Equal(t, []portal.RoomMember{{UserID: "x", MXID: mxid("boss"), Mapped: true, Admin: true}, {UserID: "a", MXID: mxid("ann"), Mapped: true}}, list)
}

package bridge

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	_ "github.com/mattn/go-sqlite3"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"go.mau.fi/util/dbutil"
	_ "go.mau.fi/util/dbutil/litestream"
	"golang.org/x/time/rate"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/matrix"
	"teamsbridge/portal"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// testDB opens a fresh database with the bridge's own tables.
func testDB(t *testing.T) *database.Database {
	t.Helper()
	return openDB(t, filepath.Join(t.TempDir(), "test.db"), "0123456789abcdef0123456789abcdef")
}

// openDB opens a database with an encryption key.
func openDB(t *testing.T, path, key string) *database.Database {
	t.Helper()
	parent, err := dbutil.NewWithDialect("file:"+path+"?_txlock=immediate", "sqlite3-fk-wal")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, parent.Close()) })
	seal, err := database.NewSealer(key)
	require.NoError(t, err)
	db := database.New(parent, zerolog.Nop(), seal)
	require.NoError(t, db.Upgrade(t.Context()))
	return db
}

// fakeTenant is Graph as far as the mirror asks it.
type fakeTenant struct {
	teams.Reader
	mu       sync.Mutex
	teams    []teams.Team
	channels map[string][]teams.Channel
	members  map[string][]teams.Member
	private  map[string][]teams.Member
	// groups are those of teams that the list shows, unmarked others.
	groups   []teams.Group
	unmarked map[string]teams.Group
	inGroup  map[string]teams.GroupMembers
	err      error
	calls    []string
}

func (f *fakeTenant) call(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, name)
	return f.err
}

func (f *fakeTenant) taken() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

func (f *fakeTenant) Teams(context.Context) ([]teams.Team, error) { return f.teams, f.call("teams") }

func (f *fakeTenant) Team(_ context.Context, id string) (teams.Team, error) {
	if err := f.call("team " + id); err != nil {
		return teams.Team{}, err
	}
	for _, t := range f.teams {
		if t.ID == id {
			return t, nil
		}
	}
	return teams.Team{}, &teams.Error{Op: "GET team", Kind: teams.KindNotFound}
}

func (f *fakeTenant) Channels(_ context.Context, id string) ([]teams.Channel, error) {
	return f.channels[id], f.call("channels " + id)
}

func (f *fakeTenant) TeamMembers(_ context.Context, id string) ([]teams.Member, error) {
	return f.members[id], f.call("members " + id)
}

func (f *fakeTenant) ChannelMembers(_ context.Context, ch teams.ChannelRef) ([]teams.Member, error) {
	return f.private[ch.ChannelID], f.call("channel members " + ch.ChannelID)
}

func (f *fakeTenant) TeamGroups(context.Context) ([]teams.Group, error) {
	return f.groups, f.call("groups")
}

func (f *fakeTenant) Group(_ context.Context, id string) (teams.Group, error) {
	if err := f.call("group " + id); err != nil {
		return teams.Group{}, err
	}
	if g, ok := f.unmarked[id]; ok {
		return g, nil
	}
	return teams.Group{}, &teams.Error{Op: "GET group", Kind: teams.KindNotFound}
}

func (f *fakeTenant) GroupMembers(_ context.Context, id string) (teams.GroupMembers, error) {
	return f.inGroup[id], f.call("members of group " + id)
}

func (f *fakeTenant) TeamPhoto(_ context.Context, id string) ([]byte, string, error) {
	return nil, "", &teams.Error{Op: "GET photo", Kind: teams.KindNotFound}
}

// fakeRooms records what would happen to rooms.
type fakeRooms struct {
	mu     sync.Mutex
	names  map[string]string
	topics map[string]string
	people map[string][]string
	// self are people who joined a room by themselves, set what rooms were set to.
	self   map[string][]string
	set    map[string]roomSettings
	log    []string
	failOn string
	// stays is what becomes of taking somebody out of a room, by portal.
	stays map[string]error
	told  []string // what rooms were told when they were detached
}

func newFakeRooms() *fakeRooms {
	return &fakeRooms{names: map[string]string{}, topics: map[string]string{}, people: map[string][]string{},
		self: map[string][]string{}, set: map[string]roomSettings{}}
}

func (f *fakeRooms) note(format string, args ...any) {
	f.log = append(f.log, fmt.Sprintf(format, args...))
}

func (f *fakeRooms) taken() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	log := f.log
	f.log = nil
	return log
}

func (f *fakeRooms) Room(_ context.Context, key networkid.PortalKey) (id.RoomID, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.names[string(key.ID)]; ok {
		return id.RoomID("!" + key.ID), nil
	}
	return "", nil
}

func (f *fakeRooms) Ensure(ctx context.Context, key networkid.PortalKey, info *bridgev2.ChatInfo) (id.RoomID, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failOn == string(key.ID) {
		return "", errors.New("homeserver says no")
	}
	verb := "update"
	if _, ok := f.names[string(key.ID)]; !ok {
		verb = "create"
	}
	if federated, set := matrix.FederationFrom(ctx); set && verb == "create" {
		verb = map[bool]string{true: "create federated", false: "create closed"}[federated]
	}
	f.names[string(key.ID)], f.topics[string(key.ID)] = *info.Name, *info.Topic
	f.note("%s %s %q", verb, key.ID, *info.Name)
	return id.RoomID("!" + key.ID), nil
}

func (f *fakeRooms) Notice(_ context.Context, key networkid.PortalKey, text string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("notice %s: %s", key.ID, text)
	return nil
}

func (f *fakeRooms) Detach(_ context.Context, key networkid.PortalKey, reason, notice string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("detach %s: %s", key.ID, reason)
	f.told = append(f.told, notice)
	return nil
}

func (f *fakeRooms) Placed(_ context.Context, key networkid.PortalKey) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.people[string(key.ID)]), nil
}

func (f *fakeRooms) Unplace(_ context.Context, key networkid.PortalKey, userID, _ string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.stays[string(key.ID)]; err != nil {
		return err
	}
	f.people[string(key.ID)] = slices.DeleteFunc(f.people[string(key.ID)], func(p string) bool { return p == userID })
	f.note("remove %s from %s", userID, key.ID)
	return nil
}

func (f *fakeRooms) Settle(_ context.Context, key networkid.PortalKey, userIDs []string, how settling) ([]string, error) {
	if how == settlePuppets {
		return nil, nil
	}
	verb := "join"
	if how == settleInvitations {
		verb = "invite"
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var missing []string
	for _, userID := range userIDs {
		if userID == "ghostly" {
			missing = append(missing, userID)
		} else if !slices.Contains(f.people[string(key.ID)], userID) {
			f.people[string(key.ID)] = append(f.people[string(key.ID)], userID)
			f.note("%s %s to %s", verb, userID, key.ID)
		}
	}
	return missing, nil
}

func (f *fakeRooms) Adopt(_ context.Context, key networkid.PortalKey, userIDs []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, userID := range f.self[string(key.ID)] {
		if slices.Contains(userIDs, userID) && !slices.Contains(f.people[string(key.ID)], userID) {
			f.people[string(key.ID)] = append(f.people[string(key.ID)], userID)
		}
	}
	return nil
}

func (f *fakeRooms) Set(_ context.Context, key networkid.PortalKey, s roomSettings) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	have, ok := f.set[string(key.ID)]
	if !ok {
		have = roomSettings{History: event.HistoryVisibilityShared, Levels: map[id.UserID]int{}}
	}
	if !reflect.DeepEqual(have, s) {
		f.set[string(key.ID)] = s
		f.note("set %s: %s", key.ID, s.words())
	}
	return nil
}

func (f *fakeRooms) Empower(_ context.Context, key networkid.PortalKey, mxids []id.UserID, level int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, mxid := range mxids {
		f.note("%d for %s in %s", level, mxid, key.ID)
	}
	return nil
}

// fakePeople maps everybody whose id does not begin with an x.
type fakePeople struct{ refreshed int }

func (f *fakePeople) refresh(context.Context, bool) error {
	f.refreshed++
	return nil
}

func (f *fakePeople) place(_ context.Context, members []teams.Member, _ string) ([]portal.RoomMember, error) {
	var out []portal.RoomMember
	for _, m := range members {
		if m.UserID[0] != 'x' {
			out = append(out, portal.RoomMember{UserID: m.UserID, Mapped: true})
		}
	}
	return out, nil
}

type mirrorTest struct {
	*mirror
	// lately are those who were active, by portal.
	lately  map[string][]string
	tenant  *fakeTenant
	rooms   *fakeRooms
	history []string
	mu      sync.Mutex
	now     time.Time
}

func newMirrorTest(t *testing.T) *mirrorTest {
	db := testDB(t)
	mt := &mirrorTest{now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), rooms: newFakeRooms(), tenant: &fakeTenant{
		teams: []teams.Team{{ID: "sales", DisplayName: "Sales", Description: "Selling"}},
		channels: map[string][]teams.Channel{"sales": {
			{ID: "gen", TeamID: "sales", DisplayName: "General", MembershipType: "standard", General: true},
			{ID: "board", TeamID: "sales", DisplayName: "Board", MembershipType: "private"},
		}},
		members: map[string][]teams.Member{"sales": {{UserID: "ann"}, {UserID: "bob"}, {UserID: "xguest"}}},
		private: map[string][]teams.Member{"board": {{UserID: "ann"}}},
	}}
	catalog := newCatalog(db.Conversations)
	mt.mirror = &mirror{
		reader: mt.tenant, db: db, catalog: catalog, rooms: mt.rooms, people: &fakePeople{},
		cfg:   SelectionConfig{Include: []string{"*"}, MembershipTypes: []string{"standard", "private", "shared"}},
		facts: newFacts(mt.tenant, nil), changed: func() {}, relay: func() *bridgev2.UserLogin { return nil },
		health: newHealth(func(context.Context) error { return nil }, func() time.Time { return mt.now }),
		pace:   rate.NewLimiter(rate.Inf, 1), interval: 24 * time.Hour, now: func() time.Time { return mt.now },
		dirty: map[string]time.Time{}, waits: map[string]time.Duration{}, wake: make(chan struct{}, 1), wakeFull: make(chan struct{}, 1),
		locks: map[string]*sync.Mutex{}, lively: map[string]map[string]bool{}, brought: map[string]map[string]bool{}, wakeActive: make(chan struct{}, 1),
		active: func(_ context.Context, portalID string, _ time.Time) ([]string, error) {
			return mt.lately[portalID], nil
		},
		history: func(_ context.Context, ch teams.ChannelRef) error {
			if !catalog.wanted(ch) { // the ledger would take nothing of it
				return mt.did("lose " + ch.ChannelID)
			}
			return mt.did("read " + ch.ChannelID)
		},
		putAside: func(_ context.Context, portalID string) error { return mt.did("put aside " + portalID) },
		deliver:  func(_ context.Context, ch teams.ChannelRef) error { return mt.did("deliver " + ch.ChannelID) },
	}
	return mt
}

func (mt *mirrorTest) did(what string) error {
	mt.mu.Lock()
	defer mt.mu.Unlock()
	mt.history = append(mt.history, what)
	return nil
}

func (mt *mirrorTest) pass(t *testing.T) []string {
	t.Helper()
	require.NoError(t, mt.sync(t.Context(), false))
	log := mt.rooms.taken()
	slices.Sort(log)
	return log
}

func TestMirrorMakesEverythingOnceAndThenNothing(t *testing.T) {
	mt := newMirrorTest(t)
	require.Equal(t, []string{
		`create c:sales/board "Board"`, `create c:sales/gen "Sales – General"`, `create t:sales "Sales"`,
		"join ann to c:sales/board", "join ann to c:sales/gen", "join ann to t:sales",
		"join bob to c:sales/gen", "join bob to t:sales",
	}, mt.pass(t))
	require.ElementsMatch(t, []string{"read gen", "deliver gen", "read board", "deliver board"}, mt.history)
	require.Less(t, slices.Index(mt.history, "read gen"), slices.Index(mt.history, "deliver gen"))

	mt.tenant.taken()
	require.Empty(t, mt.pass(t), "a second pass changes nothing")
	require.Equal(t, []string{"teams"}, mt.tenant.taken(), "and asks once, not per team or room")

	// A restart: nothing is remembered but the database.
	restarted := newCatalog(mt.db.Conversations)
	require.NoError(t, restarted.load(t.Context()))
	mt.catalog = restarted
	require.Empty(t, mt.pass(t))
	require.Equal(t, []string{"teams"}, mt.tenant.taken())
}

// Proves S2.
func TestMirrorFollowsChanges(t *testing.T) {
	mt := newMirrorTest(t)
	mt.pass(t)
	again := func() []string {
		t.Helper()
		require.NoError(t, mt.syncTeams(t.Context(), []string{"sales"}))
		log := mt.rooms.taken()
		slices.Sort(log)
		return log
	}
	require.Empty(t, again())

	mt.tenant.channels["sales"][1].DisplayName = "Directors"
	require.Equal(t, []string{`update c:sales/board "Directors"`}, again())

	mt.tenant.members["sales"] = []teams.Member{{UserID: "ann"}, {UserID: "cem"}}
	require.Equal(t, []string{"join cem to c:sales/gen", "join cem to t:sales", "remove bob from c:sales/gen", "remove bob from t:sales"}, again())

	mt.tenant.private["board"] = nil
	require.Equal(t, []string{"remove ann from c:sales/board"}, again(), "somebody removed from a private channel leaves its room")

	mt.tenant.channels["sales"][1].Archived = true
	require.Equal(t, []string{"notice c:sales/board: " + texts.Texts{}.Say(texts.RoomArchived), `update c:sales/board "Directors"`}, again())
	require.Equal(t, "[archived in Teams] ", mt.rooms.topics["c:sales/board"])
	require.Empty(t, again())
	mt.tenant.channels["sales"][1].Archived = false
	require.Equal(t, []string{"notice c:sales/board: " + texts.Texts{}.Say(texts.RoomUnarchived), `update c:sales/board "Directors"`}, again())

	mt.tenant.channels["sales"] = mt.tenant.channels["sales"][:1]
	require.Equal(t, []string{"detach c:sales/board: " + reasonDeleted}, again(), "the room of a deleted channel stays and says so")
	require.Empty(t, again())
	conv, _ := mt.catalog.get("c:sales/board")
	require.Equal(t, database.ConversationDetached, conv.State)
	require.False(t, mt.catalog.wanted(teams.ChannelRef{TeamID: "sales", ChannelID: "board"}))
}

func TestMirrorFollowsTeams(t *testing.T) {
	mt := newMirrorTest(t)
	mt.pass(t)
	mt.tenant.teams[0].DisplayName = "Sales EMEA"
	require.Equal(t, []string{`update c:sales/board "Board"`, `update c:sales/gen "Sales EMEA – General"`, `update t:sales "Sales EMEA"`}, mt.pass(t))
	mt.tenant.teams = append(mt.tenant.teams, teams.Team{ID: "it", DisplayName: "IT"})
	require.Equal(t, []string{`create t:it "IT"`}, mt.pass(t))
	mt.tenant.teams = mt.tenant.teams[1:]
	require.Equal(t, []string{"detach c:sales/board: " + reasonDeleted, "detach c:sales/gen: " + reasonDeleted, "detach t:sales: " + reasonDeleted}, mt.pass(t))
	require.Empty(t, mt.pass(t))
}

func TestMirrorFollowsTheBotsChoices(t *testing.T) {
	mt := newMirrorTest(t)
	mt.pass(t)
	require.NoError(t, mt.db.Selections.Set(t.Context(), database.Selection{TeamID: "sales", ChannelID: "board", By: "@admin:x"}))
	require.Equal(t, []string{"detach c:sales/board: @admin:x said unmirror"}, mt.pass(t))
	require.Empty(t, mt.pass(t))
	mt.history = nil
	require.NoError(t, mt.db.Selections.Set(t.Context(), database.Selection{TeamID: "sales", ChannelID: "board", Mirror: true, By: "@admin:x"}))
	require.Equal(t, []string{`update c:sales/board "Board"`}, mt.pass(t))
	require.Equal(t, []string{"read board", "deliver board"}, mt.history, "what was missed meanwhile comes along")
}

func TestMirrorWithoutGraphFailsAndGoesOn(t *testing.T) {
	mt := newMirrorTest(t)
	mt.tenant.err = &teams.Error{Op: "GET", Kind: teams.KindUnavailable}
	require.Error(t, mt.sync(t.Context(), false))
	require.Empty(t, mt.rooms.taken())
	mt.tenant.err = nil
	require.NotEmpty(t, mt.pass(t))
}

func TestMirrorOneRefusedRoomDoesNotHoldUpOthers(t *testing.T) {
	mt := newMirrorTest(t)
	mt.rooms.failOn = "c:sales/gen"
	require.ErrorContains(t, mt.sync(t.Context(), false), "homeserver says no")
	require.Contains(t, mt.rooms.taken(), `create c:sales/board "Board"`)
	mt.rooms.failOn = ""
	require.Equal(t, []string{`create c:sales/gen "Sales – General"`, "join ann to c:sales/gen", "join bob to c:sales/gen"}, mt.pass(t))
}

func TestMirrorTriesMissingPeopleAgainEverMoreRarely(t *testing.T) {
	mt := newMirrorTest(t)
	mt.tenant.private["board"] = []teams.Member{{UserID: "ghostly"}}
	mt.pass(t)
	ids, next := mt.due()
	require.Empty(t, ids)
	require.Equal(t, missingRetryMin, next)
	mt.now = mt.now.Add(next)
	ids, _ = mt.due()
	require.Equal(t, []string{"sales"}, ids)
	require.NoError(t, mt.syncTeams(t.Context(), ids))
	_, next = mt.due()
	require.Equal(t, 2*missingRetryMin, next)
}

func TestMirrorRecordsRefusals(t *testing.T) {
	mt := newMirrorTest(t)
	mt.mirror.history = func(context.Context, teams.ChannelRef) error {
		return &teams.Error{Op: "GET messages", Kind: teams.KindPermission}
	}
	mt.pass(t)
	conv, _ := mt.catalog.get("c:sales/gen")
	require.Equal(t, database.ConversationRefused, conv.State)
	require.Contains(t, conv.Reason, "permission missing")
}

func TestAnnouncedChangesAreGathered(t *testing.T) {
	mt := newMirrorTest(t)
	for range 5 {
		mt.DirectoryChanged("sales", "member")
	}
	ids, next := mt.due()
	require.Empty(t, ids, "a change rests, because it is announced several times")
	require.Equal(t, changeDebounce, next)
	mt.now = mt.now.Add(changeDebounce)
	ids, _ = mt.due()
	require.Equal(t, []string{"sales"}, ids)
}

func TestFailedChangesAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mt := newMirrorTest(t)
		mt.mirror.now = time.Now
		mt.tenant.err = &teams.Error{Op: "GET", Kind: teams.KindUnavailable}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = mt.runAnnounced(ctx)
		}()
		mt.DirectoryChanged("sales", "member")
		time.Sleep(time.Hour)
		tries := len(mt.tenant.taken())
		require.Greater(t, tries, 10)
		require.Less(t, tries, 60, "ever more rarely")
		mt.tenant.mu.Lock()
		mt.tenant.err = nil
		mt.tenant.mu.Unlock()
		mt.kick()
		time.Sleep(time.Second)
		require.Contains(t, mt.tenant.taken(), "members sales", "at once when Graph is back")
		cancel()
		<-done
	})
}

func TestUnknownChannelsOfMirroredTeamsAreKept(t *testing.T) {
	mt := newMirrorTest(t)
	var asked []teams.ChannelRef
	mt.catalog.unknown = func(ref teams.ChannelRef) { asked = append(asked, ref) }
	mt.pass(t)
	fresh := teams.ChannelRef{TeamID: "sales", ChannelID: "fresh"}
	require.True(t, mt.catalog.wanted(fresh))
	require.False(t, mt.catalog.wanted(teams.ChannelRef{TeamID: "nobody knows", ChannelID: "x"}))
	require.Contains(t, asked, fresh)
}

// The room of what is no longer mirrored is told why in its language; the
// database has it in English.
func TestUnmirroredRoomIsToldWhyInItsLanguage(t *testing.T) {
	for language, want := range map[string]string{
		"en": "This room is no longer connected to Microsoft Teams: its team is not mirrored: teams.include does not name it.",
		"de": "Dieser Raum ist nicht mehr mit Microsoft Teams verbunden: das Team wird nicht gespiegelt: in teams.include nicht genannt.",
		"fr": "Ce salon n’est plus relié à Microsoft Teams\u00a0: son équipe n’est pas synchronisée\u00a0: absence dans teams.include.",
	} {
		mt := newMirrorTest(t)
		x, err := texts.For(language, nil)
		require.NoError(t, err)
		mt.texts = x
		mt.pass(t)
		mt.cfg.Include = []string{"IT"}
		mt.pass(t)
		require.Equal(t, []string{want, want}, mt.rooms.told)
		conv, _ := mt.catalog.get("c:sales/gen")
		require.Equal(t, "its team is not mirrored: teams.include does not name it", conv.Reason)
	}
}

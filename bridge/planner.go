package bridge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"go.mau.fi/util/dbutil"
	"golang.org/x/time/rate"
	"maunium.net/go/mautrix/bridgev2"
	mxdb "maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"

	"teamsbridge/bridge/plan"
	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
)

// planner finds out what the next look at the tenant would do: it is the mirror
// itself, over a copy of the tables that it reads and with rooms that only take
// notes. So a plan cannot differ from what is done.
type planner struct {
	mirror *mirror
	rooms  *notedRooms
	people *notedPeople
	plan   *plan.Plan
}

// planInput is what a plan is made from.
type planInput struct {
	reader  teams.Reader
	cfg     *Config
	domain  string
	catalog []database.Conversation
	choices []database.Selection
	staff   []database.Staff
	optOuts []database.OptOut
	// rooms are the portals' rooms, placed who was put into them.
	rooms  map[string]id.RoomID
	placed map[string][]string
	// active returns who was active in a conversation since a time.
	active func(ctx context.Context, portalID string, since time.Time) ([]string, error)
	// relay is the id of the login that relays.
	relay networkid.UserLoginID
}

// newPlanner makes a planner; copied is an empty database of its own.
func newPlanner(ctx context.Context, in planInput, copied *database.Database) (*planner, error) {
	if err := copyTables(ctx, in, copied); err != nil {
		return nil, fmt.Errorf("copy the tables: %w", err)
	}
	mapper, err := newMapper(in.cfg.Mapping, in.domain)
	if err != nil {
		return nil, err
	}
	p := &planner{plan: &plan.Plan{}}
	cat := newCatalog(copied.Conversations)
	if err = cat.load(ctx); err != nil {
		return nil, err
	}
	dir := newDirectory(copied, mapper, func(string) id.UserID { return "" })
	if err = dir.load(ctx); err != nil {
		return nil, err
	}
	p.rooms = &notedRooms{plan: p.plan, catalog: cat, dir: dir, rooms: in.rooms, placed: in.placed, names: map[string]string{}}
	for _, c := range in.catalog {
		p.rooms.names[c.Portal] = c.Name
	}
	p.people = &notedPeople{plan: p.plan, rooms: p.rooms, staffing: staffing{db: copied, catalog: cat, dir: dir, reader: in.reader, domain: in.domain, now: time.Now}}
	nothing := func(context.Context, teams.ChannelRef) error { return nil }
	relay := &bridgev2.UserLogin{UserLogin: &mxdb.UserLogin{ID: in.relay}}
	x, err := in.cfg.texts()
	if err != nil {
		return nil, err
	}
	p.mirror = &mirror{
		reader: in.reader, db: copied, catalog: cat, rooms: p.rooms, people: p.people, cfg: in.cfg.Teams, facts: newFacts(in.reader, in.cfg.Teams.Rules), roomsCfg: in.cfg.Rooms, active: in.active,
		history: nothing, deliver: nothing, putAside: func(context.Context, string) error { return nil },
		changed: func() {}, relay: func() *bridgev2.UserLogin { return relay }, texts: x,
		health: newHealth(func(context.Context) error { return nil }, time.Now),
		pace:   rate.NewLimiter(rate.Inf, 1), interval: in.cfg.DirectoryInterval, now: time.Now,
		dirty: map[string]time.Time{}, waits: map[string]time.Duration{}, locks: map[string]*sync.Mutex{},
		wake: make(chan struct{}, 1), wakeFull: make(chan struct{}, 1),
		lively: map[string]map[string]bool{}, brought: map[string]map[string]bool{}, wakeActive: make(chan struct{}, 1),
	}
	cat.unknown = func(teams.ChannelRef) {}
	return p, nil
}

func copyTables(ctx context.Context, in planInput, to *database.Database) error {
	var errs []error
	for _, c := range in.catalog {
		errs = append(errs, to.Conversations.Upsert(ctx, c))
	}
	for _, s := range in.choices {
		errs = append(errs, to.Selections.Set(ctx, s))
	}
	if len(in.staff) > 0 {
		errs = append(errs, to.Staff.Upsert(ctx, in.staff...))
	}
	for _, o := range in.optOuts {
		errs = append(errs, to.OptOuts.Add(ctx, o.MXID, o.RoomID))
	}
	return errors.Join(errs...)
}

// run makes the plan.
func (p *planner) run(ctx context.Context) (*plan.Plan, error) {
	err := p.mirror.sync(ctx, true)
	for _, c := range p.mirror.catalog.all(func(c database.Conversation) bool { return c.State == database.ConversationRefused }) {
		p.rooms.note(c.Portal, plan.Step{Verb: plan.Refused, Why: c.Reason})
	}
	p.rooms.name()
	p.plan.Sort()
	return p.plan, err
}

// scratch is a database of its own for a plan, which is deleted again.
func scratch(ctx context.Context) (*database.Database, func(), error) {
	dir, err := os.MkdirTemp("", "teamsbridge-plan-*")
	if err != nil {
		return nil, nil, fmt.Errorf("make a folder: %w", err)
	}
	done := func() { _ = os.RemoveAll(dir) }
	raw, err := dbutil.NewFromConfig("teamsbridge plan", dbutil.Config{PoolConfig: dbutil.PoolConfig{
		Type: "sqlite3-fk-wal", URI: "file:" + filepath.Join(dir, "plan.db") + "?_txlock=immediate", MaxOpenConns: 2, MaxIdleConns: 2,
	}}, dbutil.NoopLogger)
	if err != nil {
		done()
		return nil, nil, fmt.Errorf("open a database: %w", err)
	}
	db := database.New(raw, zerolog.Nop(), nil)
	closeAll := func() {
		_ = raw.Close()
		done()
	}
	if err = db.Upgrade(ctx); err != nil {
		closeAll()
		return nil, nil, fmt.Errorf("make the tables: %w", err)
	}
	return db, closeAll, nil
}

// notedRooms is rooms that only note what would be done to them.
type notedRooms struct {
	catalog *catalog
	dir     *directory

	mu     sync.Mutex
	plan   *plan.Plan
	notes  []noted
	rooms  map[string]id.RoomID
	placed map[string][]string
	// names are what conversations were called before.
	names map[string]string
}

// noted is a step of a conversation, which gets its names at the end: what a
// conversation is called now may be learned after its room is looked at.
type noted struct {
	portal string
	step   plan.Step
}

var _ rooms = (*notedRooms)(nil)

// note notes a step about a conversation.
func (n *notedRooms) note(portalID string, s plan.Step) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.notes = append(n.notes, noted{portalID, s})
}

// name puts the steps into the plan, with the names of what they are about.
func (n *notedRooms) name() {
	for _, note := range n.notes {
		s := note.step
		conv, _ := n.catalog.get(note.portal)
		if s.Team = n.catalog.teamName(conv.TeamID); s.Team == "" {
			s.Team = conv.TeamID
		}
		if conv.Kind == database.ConversationChannel {
			s.Channel = conv.Name
		}
		if before := n.names[note.portal]; s.Verb == plan.Update && before != "" && before != conv.Name {
			s.Verb, s.Why = plan.Rename, "was "+before
		}
		n.plan.Add(s)
	}
}

// person names somebody.
func (n *notedRooms) person(userID string) string {
	staff, known := n.dir.staff(userID)
	switch {
	case !known:
		return userID
	case staff.MXID != "":
		return staff.MXID
	default:
		return staff.UPN
	}
}

// Room implements rooms.
func (n *notedRooms) Room(_ context.Context, key networkid.PortalKey) (id.RoomID, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rooms[string(key.ID)], nil
}

// Ensure implements rooms.
func (n *notedRooms) Ensure(_ context.Context, key networkid.PortalKey, _ *bridgev2.ChatInfo) (id.RoomID, error) {
	portalID := string(key.ID)
	n.mu.Lock()
	room, exists := n.rooms[portalID]
	if !exists {
		room = id.RoomID("!new-" + portalID)
		n.rooms[portalID] = room
	}
	n.mu.Unlock()
	conv, _ := n.catalog.get(portalID)
	switch {
	case !exists && conv.Kind == database.ConversationTeam:
		n.note(portalID, plan.Step{Verb: plan.CreateSpace})
	case !exists:
		n.note(portalID, plan.Step{Verb: plan.CreateRoom})
	default:
		n.note(portalID, plan.Step{Verb: plan.Update})
	}
	return room, nil
}

// Notice implements rooms.
func (n *notedRooms) Notice(context.Context, networkid.PortalKey, string) error { return nil }

// Detach implements rooms.
func (n *notedRooms) Detach(_ context.Context, key networkid.PortalKey, reason, _ string) error {
	n.mu.Lock()
	_, exists := n.rooms[string(key.ID)]
	n.mu.Unlock()
	if exists {
		n.note(string(key.ID), plan.Step{Verb: plan.Detach, Why: reason})
	}
	return nil
}

// Placed implements rooms.
func (n *notedRooms) Placed(_ context.Context, key networkid.PortalKey) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.placed[string(key.ID)]), nil
}

// Unplace implements rooms.
func (n *notedRooms) Unplace(_ context.Context, key networkid.PortalKey, userID, _ string) error {
	n.mu.Lock()
	before := n.placed[string(key.ID)]
	after := slices.DeleteFunc(slices.Clone(before), func(placed string) bool { return placed == userID })
	n.placed[string(key.ID)] = after
	n.mu.Unlock()
	if len(after) == len(before) {
		return nil // they may have been there all the same, which only the room knows
	}
	n.note(string(key.ID), plan.Step{Verb: plan.Leave, Person: n.person(userID)})
	return nil
}

// Settle implements rooms.
func (n *notedRooms) Settle(_ context.Context, key networkid.PortalKey, userIDs []string, how settling) ([]string, error) {
	verb := plan.Join
	switch how {
	case settlePuppets:
		return nil, nil // all of them are noted when the others are settled
	case settleInvitations:
		verb = plan.Invite
	}
	n.mu.Lock()
	there := map[string]bool{}
	for _, userID := range n.placed[string(key.ID)] {
		there[userID] = true
	}
	n.mu.Unlock()
	for _, userID := range userIDs {
		if !there[userID] {
			n.note(string(key.ID), plan.Step{Verb: verb, Person: n.person(userID)})
		}
	}
	return nil, nil
}

// Adopt implements rooms. What the database does not know of is not known here.
func (n *notedRooms) Adopt(context.Context, networkid.PortalKey, []string) error { return nil }

// Set implements rooms.
func (n *notedRooms) Set(_ context.Context, key networkid.PortalKey, s roomSettings) error {
	n.note(string(key.ID), plan.Step{Verb: plan.Set, Why: s.words()})
	return nil
}

// Empower implements rooms.
func (n *notedRooms) Empower(context.Context, networkid.PortalKey, []id.UserID, int) error {
	return nil
}

// notedPeople decides who is who as staffing does, and notes what changes.
type notedPeople struct {
	staffing
	plan  *plan.Plan
	rooms *notedRooms
}

var _ people = (*notedPeople)(nil)

// refresh implements people.
func (n *notedPeople) refresh(ctx context.Context, _ bool) error {
	users, err := n.reader.Users(ctx)
	if err != nil {
		return fmt.Errorf("listing people: %w", err)
	}
	if err := n.dir.mapper.listAllowed(ctx, n.reader); err != nil {
		return err
	}
	changes, err := n.dir.apply(ctx, users)
	if err != nil {
		return err
	}
	fresh := false
	for _, c := range changes {
		if c.before.MXID != "" {
			n.gone(c)
		}
		if c.after.Status == database.StaffMapped {
			fresh = true
			n.plan.Add(plan.Step{Verb: plan.Map, Person: c.after.MXID, Why: c.after.UPN})
		}
	}
	if fresh {
		return n.forgetMembers(ctx, isMirrored)
	}
	return nil
}

// gone notes that an account leaves every room that it was put into.
func (n *notedPeople) gone(c change) {
	n.plan.Add(plan.Step{Verb: plan.Unmap, Person: c.before.MXID, Why: c.after.Reason})
	for portalID, placed := range n.rooms.placed {
		kept := make([]string, 0, len(placed))
		for _, userID := range placed {
			if userID == c.after.UserID {
				n.rooms.note(portalID, plan.Step{Verb: plan.Leave, Person: c.before.MXID})
			} else {
				kept = append(kept, userID)
			}
		}
		n.rooms.placed[portalID] = kept
	}
}

// place implements people.
func (n *notedPeople) place(ctx context.Context, members []teams.Member, room string) (out []portal.RoomMember, err error) {
	seen := map[string]bool{}
	for _, m := range members {
		if m.UserID == "" || seen[m.UserID] {
			continue
		}
		seen[m.UserID] = true
		if _, belongs, err := n.belongs(ctx, m, room); err != nil {
			return nil, err
		} else if belongs {
			out = append(out, portal.RoomMember{UserID: m.UserID, Mapped: true})
		}
	}
	return out, nil
}

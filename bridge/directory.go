package bridge

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// directory knows who is who. It is filled from the staff table at start and
// from Graph when Graph can be reached; looking something up never waits.
type directory struct {
	db     *database.Database
	mapper *mapper
	ghost  func(userID string) id.UserID
	// leaving is told whose account is taken from them, before that is stored.
	leaving func(ctx context.Context, userIDs []string) error

	mu      sync.RWMutex
	byID    map[string]database.Staff
	byMXID  map[id.UserID]string
	byUPN   map[string]string
	foreign map[string]string
}

// maxForeign bounds the names remembered of people outside the directory.
const maxForeign = 20000

func newDirectory(db *database.Database, m *mapper, ghost func(string) id.UserID) *directory {
	return &directory{db: db, mapper: m, ghost: ghost,
		byID: map[string]database.Staff{}, byMXID: map[id.UserID]string{}, byUPN: map[string]string{}, foreign: map[string]string{}}
}

// load fills the directory from the staff table.
func (d *directory) load(ctx context.Context) error {
	all, err := d.db.Staff.All(ctx)
	if err != nil {
		return fmt.Errorf("loading staff: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range all {
		d.put(s)
	}
	return nil
}

// put replaces a person; the caller holds the lock.
func (d *directory) put(s database.Staff) {
	old := d.byID[s.UserID]
	if old.MXID != "" && d.byMXID[id.UserID(old.MXID)] == s.UserID {
		delete(d.byMXID, id.UserID(old.MXID))
	}
	if upn := strings.ToLower(old.UPN); d.byUPN[upn] == s.UserID {
		delete(d.byUPN, upn)
	}
	d.byID[s.UserID] = s
	if s.UPN != "" && s.Status != database.StaffDisabled {
		d.byUPN[strings.ToLower(s.UPN)] = s.UserID
	}
	if s.Status == database.StaffMapped {
		d.byMXID[id.UserID(s.MXID)] = s.UserID
	}
}

// change is a person whose account is not what it was.
type change struct{ before, after database.Staff }

// apply takes over what Graph lists and returns who has another account, or
// none any more. People whom Graph does not list any more count as disabled.
func (d *directory) apply(ctx context.Context, users []teams.User) ([]change, error) {
	users = slices.Clone(users)
	slices.SortFunc(users, func(a, b teams.User) int { return strings.Compare(a.ID, b.ID) })
	d.mu.RLock()
	rows, changes := d.decide(users)
	d.mu.RUnlock()
	var leaving []string
	for _, c := range changes {
		if c.before.MXID != "" {
			leaving = append(leaving, c.after.UserID)
		}
	}
	if len(leaving) > 0 && d.leaving != nil {
		if err := d.leaving(ctx, leaving); err != nil {
			return nil, err
		}
	}
	if len(rows) > 0 {
		if err := d.db.Staff.Upsert(ctx, rows...); err != nil {
			return nil, fmt.Errorf("storing staff: %w", err)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, row := range rows {
		d.put(row)
	}
	zerolog.Ctx(ctx).Info().Int("people", len(users)).Int("changed", len(rows)).Msg("Read the directory")
	return changes, nil
}

// add takes over one person who is new in the directory.
func (d *directory) add(ctx context.Context, u teams.User) (database.Staff, error) {
	m := d.mapper.person(u)
	d.mu.RLock()
	owner := d.byMXID[m.mxid]
	d.mu.RUnlock()
	if m.status == database.StaffMapped && owner != "" && owner != u.ID {
		m = mapped{status: database.StaffUnmapped, reason: inEnglish(texts.MappedTaken, "account", string(m.mxid), "owner", owner)}
	}
	row := staffRow(u, m)
	if err := d.db.Staff.Upsert(ctx, row); err != nil {
		return row, fmt.Errorf("storing staff: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.put(row)
	return row, nil
}

func staffRow(u teams.User, m mapped) database.Staff {
	return database.Staff{UserID: u.ID, UPN: u.UPN, Mail: u.Mail, DisplayName: u.DisplayName,
		MXID: string(m.mxid), Status: m.status, Reason: m.reason}
}

// decide returns the rows that differ from what is known.
func (d *directory) decide(users []teams.User) (rows []database.Staff, changes []change) {
	taken := make(map[string]string, len(users))
	seen := make(map[string]bool, len(users))
	for _, one := range d.inTurn(users) {
		u, m := one.user, one.mapped
		seen[u.ID] = true
		if owner := taken[string(m.mxid)]; m.status == database.StaffMapped && owner != "" {
			m = mapped{status: database.StaffUnmapped, reason: inEnglish(texts.MappedTaken, "account", string(m.mxid), "owner", owner)}
		}
		if m.status == database.StaffMapped {
			taken[string(m.mxid)] = u.ID
		}
		after := staffRow(u, m)
		if before := d.byID[u.ID]; before != after {
			rows = append(rows, after)
			if before.MXID != after.MXID {
				changes = append(changes, change{before, after})
			}
		}
	}
	for userID, before := range d.byID {
		if seen[userID] || before.Status == database.StaffDisabled {
			continue
		}
		after := before
		after.MXID, after.Status, after.Reason = "", database.StaffDisabled, "not in the directory any more"
		rows = append(rows, after)
		if before.MXID != "" {
			changes = append(changes, change{before, after})
		}
	}
	return rows, changes
}

// candidate is somebody with the account that the configuration gives them.
type candidate struct {
	user   teams.User
	mapped mapped
}

// inTurn puts those first who have the better claim to an account that several people
// would get: whom an exception names, and then who has it. Otherwise whoever is new,
// and whose id happens to come first, would get somebody's account and their rooms.
func (d *directory) inTurn(users []teams.User) []candidate {
	out := make([]candidate, 0, len(users))
	for _, u := range users {
		out = append(out, candidate{u, d.mapper.person(u)})
	}
	turn := func(c candidate) int {
		switch {
		case c.mapped.exception:
			return 0
		case c.mapped.mxid != "" && d.byMXID[c.mapped.mxid] == c.user.ID:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(out, func(a, b candidate) int { return turn(a) - turn(b) })
	return out
}

// staff returns a person of the directory.
func (d *directory) staff(userID string) (database.Staff, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	s, ok := d.byID[userID]
	return s, ok
}

// size returns how many people are known and how many of them are mapped.
func (d *directory) size() (people, mappedPeople int) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.byID), len(d.byMXID)
}

// learn remembers the name of somebody outside the directory, such as a person
// of another tenant in a shared channel.
func (d *directory) learn(userID, name string) {
	if userID == "" {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.byID[userID]; !known && len(d.foreign) < maxForeign {
		d.foreign[userID] = name
	}
}

// isForeign reports whether somebody is known to be outside the directory.
func (d *directory) isForeign(userID string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	_, ok := d.foreign[userID]
	return ok
}

// name returns a person's display name.
func (d *directory) name(userID string) (string, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if s, ok := d.byID[userID]; ok && s.DisplayName != "" {
		return s.DisplayName, true
	}
	name := d.foreign[userID]
	return name, name != ""
}

// Mention returns the Matrix account to name when a person is mentioned in
// Teams: their own, or their ghost.
func (d *directory) Mention(userID string) (mxid id.UserID, name string, ok bool) {
	name, ok = d.name(userID)
	if s, known := d.staff(userID); known && s.Status == database.StaffMapped {
		return id.UserID(s.MXID), s.DisplayName, true
	}
	if !ok {
		return "", "", false
	}
	return d.ghost(userID), name, true
}

// ByUPN returns who signs in by a name, which is the same in any case.
func (d *directory) ByUPN(upn string) (userID string, ok bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	userID, ok = d.byUPN[strings.ToLower(upn)]
	return userID, ok
}

// Person returns whom in Teams a Matrix account belongs to.
func (d *directory) Person(mxid id.UserID) (userID, name string, ok bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	userID, ok = d.byMXID[mxid]
	return userID, d.byID[userID].DisplayName, ok
}

// Mapped reports whether a person has a Matrix account of their own.
func (d *directory) Mapped(userID string) bool {
	s, ok := d.staff(userID)
	return ok && s.Status == database.StaffMapped
}

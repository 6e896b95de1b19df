package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

const (
	// teamsAtOnce is how many teams are brought up to date at the same time.
	teamsAtOnce = 4
	// channelsAtOnce is the same for the channels of one team.
	channelsAtOnce = 4
	// changeDebounce is how long a team rests after a change was announced,
	// because Teams announces one change several times.
	changeDebounce = 2 * time.Second
	// missingRetryMin is the first wait until people who could not be let into
	// a room are tried again.
	missingRetryMin = 5 * time.Minute
	// The wait after a pass that did not succeed.
	mirrorRetryMin = 5 * time.Second
	mirrorRetryMax = 2 * time.Minute
)

// mirror makes rooms equal to what Graph lists: which teams and channels there
// are, what they are called and who is in them. It does not touch messages.
type mirror struct {
	reader  teams.Reader
	db      *database.Database
	catalog *catalog
	rooms   rooms
	people  people
	cfg     SelectionConfig
	facts   *facts
	// texts is what rooms are told in.
	texts texts.Texts
	// roomsCfg says how rooms are and who is brought into them; active who was
	// active in a conversation since a time.
	roomsCfg RoomsConfig
	active   func(ctx context.Context, portalID string, since time.Time) ([]string, error)
	// history reads a channel's recent messages into the ledger; deliver wakes
	// its lane and waits until they are in the room.
	history func(ctx context.Context, ch teams.ChannelRef) error
	deliver func(ctx context.Context, ch teams.ChannelRef) error
	// putAside takes what waits for a conversation out of its lane.
	putAside func(ctx context.Context, portalID string) error
	// changed is told after the set of mirrored conversations has changed.
	changed  func()
	relay    func() *bridgev2.UserLogin
	health   *health
	pace     *rate.Limiter
	interval time.Duration
	now      func() time.Time

	mu    sync.Mutex
	dirty map[string]time.Time
	waits map[string]time.Duration
	locks map[string]*sync.Mutex
	wake  chan struct{}
	// wakeFull wakes the pass over everything, full makes it look at all teams.
	wakeFull chan struct{}
	full     bool
	nextFull time.Time
	// lively are those who became active and are yet to be brought in, brought
	// those with whom that was done, by portal.
	lively, brought map[string]map[string]bool
	wakeActive      chan struct{}
}

// people is what the mirror needs to know about people.
type people interface {
	// refresh lists the directory anew where that is due.
	refresh(ctx context.Context, force bool) error
	// place returns who of members belongs into the room, after making sure
	// that they have logins.
	place(ctx context.Context, members []teams.Member, room string) ([]portal.RoomMember, error)
}

// DirectoryChanged implements teams.ChangeSink: the team is looked at again
// shortly. An empty id means any team.
func (m *mirror) DirectoryChanged(teamID, _ string) {
	m.mu.Lock()
	at := m.now().Add(changeDebounce)
	if planned, waiting := m.dirty[teamID]; !waiting || planned.After(at) {
		m.dirty[teamID] = at
	}
	m.mu.Unlock()
	wakeUp(m.wake)
}

// requestFull asks for everything to be looked at again now.
func (m *mirror) requestFull() {
	m.mu.Lock()
	m.full = true
	m.mu.Unlock()
	wakeUp(m.wakeFull)
}

// takeFull reports whether everything was asked for, once.
func (m *mirror) takeFull() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	full := m.full
	m.full = false
	return full
}

// postpone plans another look at a team where somebody is missing.
func (m *mirror) postpone(teamID string, incomplete bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !incomplete {
		delete(m.waits, teamID)
		return false
	}
	wait := min(max(2*m.waits[teamID], missingRetryMin), m.interval)
	m.waits[teamID] = wait
	if _, waiting := m.dirty[teamID]; !waiting {
		m.dirty[teamID] = m.now().Add(wait)
	}
	return true
}

// kick makes everything that failed be tried again now.
func (m *mirror) kick() {
	m.mu.Lock()
	for id := range m.dirty {
		m.dirty[id] = m.now()
	}
	m.mu.Unlock()
	wakeUp(m.wake)
	wakeUp(m.wakeFull)
}

func wakeUp(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// putBack plans another try for teams that could not be brought up to date.
func (m *mirror) putBack(ids []string, wait time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		if _, planned := m.dirty[id]; !planned {
			m.dirty[id] = m.now().Add(wait)
		}
	}
}

// due takes the teams whose rest is over, and says when the next one's is.
func (m *mirror) due() (ids []string, next time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	next = m.interval
	for id, at := range m.dirty {
		if wait := at.Sub(m.now()); wait > 0 {
			next = min(next, wait)
			continue
		}
		ids = append(ids, id)
		delete(m.dirty, id)
	}
	return ids, next
}

// run looks at everything: at start, and once per interval. The first pass
// lists the tenant and looks closer only at teams that changed or were not
// looked at for an interval, so that a restart costs one request and not one
// per team.
func (m *mirror) run(ctx context.Context) error {
	return m.loop(ctx, m.wakeFull, func() (time.Duration, error) {
		force := m.takeFull()
		if wait := m.nextFull.Sub(m.now()); !force && wait > 0 {
			return wait, nil
		}
		if err := m.sync(ctx, force); err != nil {
			return 0, err
		}
		m.nextFull = m.now().Add(m.interval)
		return m.interval, nil
	})
}

// runAnnounced follows announced changes. It does not wait for a pass over
// everything, which takes long the first time: somebody who is removed from a
// team must not read on meanwhile.
func (m *mirror) runAnnounced(ctx context.Context) error {
	retry := mirrorRetryMin
	return m.loop(ctx, m.wake, func() (time.Duration, error) {
		ids, next := m.due()
		err := m.syncTeams(ctx, ids)
		if err != nil {
			m.putBack(ids, retry)
			retry = min(2*retry, mirrorRetryMax)
		} else if len(ids) > 0 {
			retry = mirrorRetryMin
		}
		return next, err
	})
}

// loop calls work again and again: after the time that it asks for, when woken,
// and ever more rarely while it fails.
func (m *mirror) loop(ctx context.Context, wake <-chan struct{}, work func() (time.Duration, error)) error {
	retry := mirrorRetryMin
	for {
		sleep, err := work()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		m.health.report(err)
		if err == nil {
			retry = mirrorRetryMin
		} else {
			zerolog.Ctx(ctx).Warn().Err(err).Stringer("next_try_in", retry).Msg("Mirroring is incomplete")
			sleep, retry = retry, min(2*retry, mirrorRetryMax)
		}
		timer := time.NewTimer(max(sleep, 10*time.Millisecond))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		case <-wake:
			timer.Stop()
		}
	}
}

// lockTeam keeps two looks at one team apart.
func (m *mirror) lockTeam(teamID string) (unlock func()) {
	m.mu.Lock()
	lock := m.locks[teamID]
	if lock == nil {
		lock = &sync.Mutex{}
		m.locks[teamID] = lock
	}
	m.mu.Unlock()
	lock.Lock()
	return lock.Unlock
}

// syncTeams brings announced teams up to date.
func (m *mirror) syncTeams(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	sel, err := m.selector(ctx, slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == "" })...)
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		if id == "" {
			errs = append(errs, m.sync(ctx, false))
			continue
		}
		errs = append(errs, m.syncTeam(ctx, sel, teams.Team{ID: id}))
	}
	m.changed()
	return errors.Join(errs...)
}

// selector decides about teams, of which those that are named are looked up where
// nothing is known of them.
func (m *mirror) selector(ctx context.Context, teamIDs ...string) (*selector, error) {
	stored, err := m.db.Selections.All(ctx)
	if err != nil {
		return nil, fmt.Errorf("loading selections: %w", err)
	}
	choices := make([]choice, len(stored))
	for i, s := range stored {
		choices[i] = choice{TeamID: s.TeamID, ChannelID: s.ChannelID, Mirror: s.Mirror, By: s.By}
	}
	if err := m.facts.need(ctx, teamIDs...); err != nil {
		return nil, err
	}
	return newSelector(m.cfg, choices, m.facts.snapshot()), nil
}

// sync lists the tenant's teams and brings those up to date that need it: all
// of them with force.
func (m *mirror) sync(ctx context.Context, force bool) error {
	peopleErr := m.people.refresh(ctx, force)
	list, err := m.reader.Teams(ctx)
	if err != nil {
		return errors.Join(peopleErr, fmt.Errorf("listing teams: %w", err))
	}
	if err := m.facts.refresh(ctx); err != nil {
		return errors.Join(peopleErr, err)
	}
	ids := make([]string, len(list))
	for i, t := range list {
		ids[i] = t.ID
	}
	sel, err := m.selector(ctx, ids...)
	if err != nil {
		return errors.Join(peopleErr, err)
	}
	byTeam := make(map[string][]database.Conversation)
	for _, c := range m.catalog.all(nil) {
		byTeam[c.TeamID] = append(byTeam[c.TeamID], c)
	}
	group, groupCtx := errgroup.WithContext(context.WithoutCancel(ctx))
	groupCtx, cancel := context.WithCancel(groupCtx)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	group.SetLimit(teamsAtOnce)
	var mu sync.Mutex
	errs := []error{peopleErr}
	note := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		errs = append(errs, err)
	}
	listed := make(map[string]bool, len(list))
	for _, t := range list {
		listed[t.ID] = true
		if !force && !m.needsSync(sel, t, byTeam[t.ID]) {
			continue
		}
		group.Go(func() error {
			note(m.syncTeam(groupCtx, sel, t))
			return nil
		})
	}
	for teamID, convs := range byTeam {
		if !listed[teamID] && anyAlive(convs) {
			note(m.syncTeam(ctx, sel, teams.Team{ID: teamID}))
		}
	}
	_ = group.Wait()
	m.changed()
	return errors.Join(append(errs, ctx.Err())...)
}

func anyAlive(convs []database.Conversation) bool {
	for _, c := range convs {
		if c.State == database.ConversationMirrored || c.State == database.ConversationWanted {
			return true
		}
	}
	return false
}

// needsSync reports whether a team has to be looked at closer.
func (m *mirror) needsSync(sel *selector, t teams.Team, known []database.Conversation) bool {
	wanted := sel.team(t).mirror || sel.anyChannelChosen(t.ID)
	var own *database.Conversation
	stamp := m.roomsCfg.rules(t.ID, t.DisplayName).stamp()
	for i, c := range known {
		if isMirrored(c) && parseInfoHash(c.InfoHash).stamp != stamp {
			return true
		}
		if c.Kind == database.ConversationTeam {
			own = &known[i]
		} else if c.State == database.ConversationWanted || (c.State == database.ConversationMirrored && c.MembersHash == "") {
			return true
		} else if sel.channel(t, channelOf(c)).mirror != (c.State != database.ConversationExcluded) && c.State != database.ConversationDetached {
			return true
		}
	}
	switch {
	case own == nil:
		return true
	case !wanted:
		return own.State != database.ConversationExcluded
	case own.State != database.ConversationMirrored && own.State != database.ConversationRefused:
		return true
	default:
		return own.Name != t.DisplayName || m.now().Sub(own.SyncedAt) >= m.interval
	}
}

// channelOf is what is remembered of a channel, enough for the selection.
func channelOf(c database.Conversation) teams.Channel {
	return teams.Channel{ID: c.ChannelID, TeamID: c.TeamID, DisplayName: c.Name, MembershipType: c.Membership}
}

// conversationKey returns the key of a conversation's portal.
func conversationKey(c database.Conversation) networkid.PortalKey {
	return networkid.PortalKey{ID: networkid.PortalID(c.Portal)}
}

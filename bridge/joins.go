package bridge

import (
	"context"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
)

// joinsAtOnce is how many people join one room at the same time.
const joinsAtOnce = 4

// The outcomes of bringing somebody into a room.
const (
	joinJoined  = "joined"
	joinInvited = "invited"
	joinRefused = "refused"
)

func joinOutcomes() []string { return []string{joinJoined, joinInvited, joinRefused} }

// joins counts who is being brought into rooms. What is left to do after a
// restart is known from the catalog: the rooms whose members are not complete.
type joins struct {
	mu sync.Mutex
	// waiting is how many people are yet to come, by portal; done what became of
	// those before, by outcome.
	waiting map[string]int
	done    map[string]int
}

func newJoins() *joins { return &joins{waiting: map[string]int{}, done: map[string]int{}} }

// begin notes that people are yet to come into a room; end is called when no
// more do.
func (j *joins) begin(portalID string, people int) (end func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.waiting[portalID] = people
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		delete(j.waiting, portalID)
	}
}

// count notes what became of somebody.
func (j *joins) count(portalID, outcome string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.done[outcome]++
	j.waiting[portalID]--
}

// state returns how many people are being brought into rooms, and what became of
// those before, by outcome.
func (j *joins) state() (people int, done map[string]int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, n := range j.waiting {
		people += n
	}
	done = make(map[string]int, len(j.done))
	for _, outcome := range joinOutcomes() {
		done[outcome] = j.done[outcome]
	}
	return people, done
}

// Settle implements rooms. It works outside the portal's loop: hundreds of
// people joining must not hold up what is said. Nobody is asked for who is in
// the room already, so that what was interrupted goes on where it was.
func (m *matrixRooms) Settle(ctx context.Context, key networkid.PortalKey, userIDs []string, how settling) (missing []string, err error) {
	p, err := m.br.GetExistingPortalByKey(ctx, key)
	if err != nil || p == nil || p.MXID == "" || len(userIDs) == 0 {
		return nil, err
	}
	members, err := m.br.Matrix.GetMembers(ctx, p.MXID)
	if err != nil {
		return nil, fmt.Errorf("listing members: %w", err)
	}
	logins := make([]*bridgev2.UserLogin, 0, len(userIDs))
	var coming []*bridgev2.UserLogin
	for _, userID := range userIDs {
		login := m.br.GetCachedUserLoginByID(networkid.UserLoginID(userID))
		if login == nil {
			continue
		}
		speaks := how != settleInvitations && login.User.DoublePuppet(ctx) != nil
		if how == settlePuppets && !speaks {
			continue
		}
		// The row comes before the person can write: with it, what they write
		// is theirs and not relayed.
		if _, err := m.br.DB.UserPortal.GetOrCreate(ctx, login.UserLogin, key); err != nil {
			return nil, fmt.Errorf("noting person in room: %w", err)
		}
		logins = append(logins, login)
		if member := members[login.UserMXID]; !isIn(member) && (speaks || !isInvited(member)) {
			coming = append(coming, login)
		}
	}
	if len(coming) > 0 {
		defer m.joins.begin(string(key.ID), len(coming))()
	}
	var group errgroup.Group
	group.SetLimit(joinsAtOnce)
	for _, login := range coming {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			if outcome := m.join(ctx, p, login, how); outcome != "" {
				m.joins.count(string(key.ID), outcome)
			}
			return nil
		})
	}
	_ = group.Wait()
	if ctx.Err() != nil || how == settlePuppets {
		return nil, ctx.Err()
	}
	if len(coming) > 0 {
		if members, err = m.br.Matrix.GetMembers(ctx, p.MXID); err != nil {
			return nil, fmt.Errorf("listing members: %w", err)
		}
	}
	for _, login := range logins {
		if member := members[login.UserMXID]; !isIn(member) && !isInvited(member) {
			missing = append(missing, string(login.ID))
		}
	}
	return missing, nil
}

func isIn(m *event.MemberEventContent) bool {
	return m != nil && m.Membership == event.MembershipJoin
}

func isInvited(m *event.MemberEventContent) bool {
	return m != nil && m.Membership == event.MembershipInvite
}

// join brings a person's account into a room: it is invited, and joins itself
// where it can be spoken for and is not only to be invited. The outcome is empty
// where the bridge is stopping.
func (m *matrixRooms) join(ctx context.Context, p *bridgev2.Portal, login *bridgev2.UserLogin, how settling) (outcome string) {
	if err := m.pace.Wait(ctx); err != nil {
		return ""
	}
	release, err := m.take(ctx)
	if err != nil {
		return ""
	}
	defer release()
	ctx, cancel := context.WithTimeout(ctx, roomTimeout)
	defer cancel()
	outcome = joinInvited
	err = m.br.Bot.EnsureInvited(ctx, p.MXID, login.UserMXID)
	if how != settleInvitations {
		if puppet := login.User.DoublePuppet(ctx); puppet != nil && err == nil {
			outcome, err = joinJoined, puppet.EnsureJoined(ctx, p.MXID)
		}
	}
	if err != nil {
		if ctx.Err() != nil {
			return ""
		}
		zerolog.Ctx(ctx).Warn().Err(err).Stringer("user_mxid", login.UserMXID).Stringer("room_id", p.MXID).Msg("Somebody could not be let into a room")
		return joinRefused
	}
	if how != settleInvitations {
		login.MarkInPortal(ctx, p)
	}
	return outcome
}

// Adopt implements rooms.
func (m *matrixRooms) Adopt(ctx context.Context, key networkid.PortalKey, userIDs []string) error {
	p, err := m.br.GetExistingPortalByKey(ctx, key)
	if err != nil || p == nil || p.MXID == "" || len(userIDs) == 0 {
		return err
	}
	members, err := m.br.Matrix.GetMembers(ctx, p.MXID)
	if err != nil {
		return fmt.Errorf("listing members: %w", err)
	}
	for _, userID := range userIDs {
		login := m.br.GetCachedUserLoginByID(networkid.UserLoginID(userID))
		if login == nil || !isIn(members[login.UserMXID]) {
			continue
		}
		if _, err := m.br.DB.UserPortal.GetOrCreate(ctx, login.UserLogin, key); err != nil {
			return fmt.Errorf("noting person in room: %w", err)
		}
	}
	return nil
}

// filled counts the mirrored rooms and spaces, and those of them that have all
// their people.
func (m *mirror) filled() (done, all int) {
	for _, conv := range m.catalog.all(isMirrored) {
		all++
		if conv.MembersHash != "" && parseInfoHash(conv.InfoHash).stamp == m.rulesOf(conv).stamp() {
			done++
		}
	}
	return done, all
}

// collectJoins tells who is brought into rooms.
func (s *stateCollector) collectJoins(out chan<- prometheus.Metric) {
	desc := stateDescriptions()
	people, outcomes := s.r.rooms.joins.state()
	for outcome, n := range outcomes {
		out <- prometheus.MustNewConstMetric(desc["joins"], prometheus.CounterValue, float64(n), outcome)
	}
	out <- prometheus.MustNewConstMetric(desc["coming"], prometheus.GaugeValue, float64(people))
	done, all := s.r.mirror.filled()
	out <- prometheus.MustNewConstMetric(desc["rooms"], prometheus.GaugeValue, float64(done), "complete")
	out <- prometheus.MustNewConstMetric(desc["rooms"], prometheus.GaugeValue, float64(all-done), "incomplete")
}

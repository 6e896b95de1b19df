package bridge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
)

// rulesOf returns what holds for a conversation's room.
func (m *mirror) rulesOf(conv database.Conversation) roomRules {
	return m.roomsCfg.rules(conv.TeamID, m.catalog.teamName(conv.TeamID))
}

// spoke is told who said something in a conversation as a ghost. Where those are
// brought into the room who are active there, they are.
func (m *mirror) spoke(portalID, userID string, at time.Time) {
	conv, known := m.catalog.get(portalID)
	if !known || !isMirroredChannel(conv) {
		return
	}
	rules := m.rulesOf(conv)
	if rules.join != JoinActive || m.now().Sub(at) > rules.active {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.brought[portalID][userID] {
		return
	}
	if m.lively[portalID] == nil {
		m.lively[portalID] = map[string]bool{}
	}
	m.lively[portalID][userID] = true
	wakeUp(m.wakeActive)
}

// runActive brings those into rooms who become active there. It begins with
// everybody who is so by what is stored: the last process may have ended before
// it could bring somebody in.
func (m *mirror) runActive(ctx context.Context) error {
	stored := false
	return m.loop(ctx, m.wakeActive, func() (time.Duration, error) {
		if !stored {
			if err := m.joinStored(ctx); err != nil {
				return 0, err
			}
			stored = true
		}
		m.mu.Lock()
		lively := m.lively
		m.lively = map[string]map[string]bool{}
		m.mu.Unlock()
		var errs []error
		for portalID, people := range lively {
			active := slices.Collect(maps.Keys(people))
			if err := m.joinActive(ctx, portalID, active); err != nil {
				errs = append(errs, err)
				m.again(portalID, active)
			}
		}
		return m.interval, errors.Join(errs...)
	})
}

// joinStored brings in who is active by what is stored. A room for which that does
// not work is tried again and holds up no other.
func (m *mirror) joinStored(ctx context.Context) error {
	for _, conv := range m.catalog.all(isMirroredChannel) {
		rules := m.rulesOf(conv)
		if rules.join != JoinActive {
			continue
		}
		people, err := m.active(ctx, conv.Portal, m.now().Add(-rules.active))
		if err != nil {
			return err
		}
		if err := m.joinActive(ctx, conv.Portal, people); err != nil {
			zerolog.Ctx(ctx).Warn().Err(err).Str("portal_id", conv.Portal).Msg("Who is active could not be brought in yet")
			m.again(conv.Portal, people)
		}
	}
	return ctx.Err()
}

// again has people brought in with the next who become active.
func (m *mirror) again(portalID string, people []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lively[portalID] == nil {
		m.lively[portalID] = map[string]bool{}
	}
	for _, userID := range people {
		m.lively[portalID][userID] = true
	}
}

// joinActive brings people into a conversation's room who are active there, as
// far as they are members and did not leave it. Who is a member is known from
// whom the bridge has put into the team's space, or invited into the room.
func (m *mirror) joinActive(ctx context.Context, portalID string, people []string) error {
	conv, known := m.catalog.get(portalID)
	if !known || !isMirroredChannel(conv) || len(people) == 0 {
		return nil
	}
	defer m.lockTeam(conv.TeamID)()
	key, belong := conversationKey(conv), conversationKey(conv)
	if conv.Membership == teams.MembershipStandard {
		belong = portal.TeamPortal(conv.TeamID)
	}
	room, err := m.rooms.Room(ctx, key)
	if err != nil || room == "" {
		return err
	}
	members, err := m.rooms.Placed(ctx, belong)
	if err != nil {
		return err
	}
	slices.Sort(members)
	var list []teams.Member
	for _, userID := range both(people, members) {
		list = append(list, teams.Member{UserID: userID})
	}
	wanted, err := m.people.place(ctx, list, string(room))
	if err != nil {
		return fmt.Errorf("placing who is active in %s: %w", portalID, err)
	}
	ids := make([]string, len(wanted))
	for i, w := range wanted {
		ids[i] = w.UserID
	}
	missing, err := m.rooms.Settle(ctx, key, ids, settleEverybody)
	if err != nil {
		return fmt.Errorf("bringing in who is active in %s: %w", portalID, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.brought[portalID] == nil {
		m.brought[portalID] = map[string]bool{}
	}
	for _, userID := range people {
		if !slices.Contains(missing, userID) {
			m.brought[portalID][userID] = true
		}
	}
	return nil
}

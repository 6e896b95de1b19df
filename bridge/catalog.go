package bridge

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
)

// catalog is the table of conversations, with a copy in memory for those who
// may not wait: every message asks whether its channel is mirrored.
type catalog struct {
	store *database.Conversations
	// unknown is told of a channel that messages come from and that nobody
	// has seen yet.
	unknown func(ref teams.ChannelRef)

	mu   sync.RWMutex
	byID map[string]database.Conversation
}

func newCatalog(store *database.Conversations) *catalog {
	return &catalog{store: store, byID: map[string]database.Conversation{}, unknown: func(teams.ChannelRef) {}}
}

// load reads the table.
func (c *catalog) load(ctx context.Context) error {
	all, err := c.store.All(ctx)
	if err != nil {
		return fmt.Errorf("loading conversations: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conv := range all {
		c.byID[conv.Portal] = conv
	}
	return nil
}

// put stores a conversation.
func (c *catalog) put(ctx context.Context, conv database.Conversation) error {
	if err := c.store.Upsert(ctx, conv); err != nil {
		return fmt.Errorf("storing conversation: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byID[conv.Portal] = conv
	return nil
}

func (c *catalog) get(portalID string) (database.Conversation, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	conv, ok := c.byID[portalID]
	return conv, ok
}

// all returns the conversations for which which holds, in no order.
func (c *catalog) all(which func(database.Conversation) bool) []database.Conversation {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var out []database.Conversation
	for _, conv := range c.byID {
		if which == nil || which(conv) {
			out = append(out, conv)
		}
	}
	return out
}

// teamName returns a team's name, empty where it is not known.
func (c *catalog) teamName(teamID string) string {
	conv, _ := c.get(string(portal.TeamPortal(teamID).ID))
	return conv.Name
}

// ofTeam returns a team and its channels.
func (c *catalog) ofTeam(teamID string) []database.Conversation {
	return c.all(func(conv database.Conversation) bool { return conv.TeamID == teamID })
}

func isMirrored(conv database.Conversation) bool { return conv.State == database.ConversationMirrored }

func isMirroredChannel(conv database.Conversation) bool {
	return conv.Kind == database.ConversationChannel && isMirrored(conv)
}

// wanted reports whether messages of a channel are to be kept. Messages of a
// channel that is new in a mirrored team are kept until its room is made.
func (c *catalog) wanted(ref teams.ChannelRef) bool {
	conv, known := c.get(string(portal.ChannelPortal(ref).ID))
	if known {
		return conv.State == database.ConversationMirrored || conv.State == database.ConversationWanted
	}
	team, known := c.get(string(portal.TeamPortal(ref.TeamID).ID))
	if known && team.State != database.ConversationMirrored && team.State != database.ConversationWanted {
		return false
	}
	c.unknown(ref)
	return known
}

// polled returns what the poller is to read. The export of a team is documented
// for public and private channels only, so every other channel is read by itself.
func (c *catalog) polled() []teams.PolledTeam {
	byTeam := map[string]teams.PolledTeam{}
	for _, conv := range c.all(isMirroredChannel) {
		team := byTeam[conv.TeamID]
		team.ID = conv.TeamID
		if isShared(conv) {
			team.Separate = append(team.Separate, conv.ChannelID)
		} else {
			team.Channels = append(team.Channels, conv.ChannelID)
		}
		byTeam[conv.TeamID] = team
	}
	return slices.Collect(maps.Values(byTeam))
}

// isShared reports whether what is asked for a team or the tenant as a whole
// may leave a channel out. A membership that Graph has not told is one of those.
func isShared(conv database.Conversation) bool {
	return conv.Membership != teams.MembershipStandard && conv.Membership != teams.MembershipPrivate
}

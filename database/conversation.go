package database

import (
	"context"
	"time"

	"go.mau.fi/util/dbutil"
)

// Kinds and states of conversations.
const (
	ConversationTeam    = "team"
	ConversationChannel = "channel"

	ConversationWanted   = "wanted"   // is to be mirrored, has no room yet
	ConversationMirrored = "mirrored" // has a room that is kept up to date
	ConversationDetached = "detached" // gone in Teams; the room stays
	ConversationExcluded = "excluded" // not selected
	ConversationRefused  = "refused"  // Graph does not let us read it
)

// Conversation is a team or a channel, whether it is mirrored, and why not.
type Conversation struct {
	Portal, Kind, TeamID, ChannelID, Name, Membership, State, Reason string
	// InfoHash and MembersHash are what was last brought to the room, so that a
	// second start changes nothing.
	InfoHash, MembersHash                         string
	SyncedAt, MembersAt, HistoryAt, LastMessageAt time.Time
}

// Conversations keeps what is mirrored.
type Conversations struct{ base }

const conversationColumns = `portal, kind, team_id, channel_id, name, membership, state, reason, info_hash, members_hash,
	synced_at, members_at, history_at, last_message_at`

// Upsert stores a conversation. LastMessageAt only ever grows.
func (s *Conversations) Upsert(ctx context.Context, c Conversation) error {
	_, err := s.exec(ctx, "store conversation", `
		INSERT INTO teams_conversation (portal, kind, team_id, channel_id, name, membership, state, reason, info_hash, members_hash,
			synced_at, members_at, history_at, last_message_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
		ON CONFLICT (portal) DO UPDATE SET kind = excluded.kind, team_id = excluded.team_id, channel_id = excluded.channel_id,
			name = excluded.name, membership = excluded.membership, state = excluded.state, reason = excluded.reason,
			info_hash = excluded.info_hash, members_hash = excluded.members_hash, synced_at = excluded.synced_at,
			members_at = excluded.members_at, history_at = excluded.history_at,
			last_message_at = CASE WHEN excluded.last_message_at > teams_conversation.last_message_at
				THEN excluded.last_message_at ELSE teams_conversation.last_message_at END`,
		c.Portal, c.Kind, c.TeamID, c.ChannelID, c.Name, c.Membership, c.State, c.Reason, c.InfoHash, c.MembersHash,
		ms(c.SyncedAt), ms(c.MembersAt), ms(c.HistoryAt), ms(c.LastMessageAt))
	return err
}

// Touch records that a message of this time passed, without touching the rest.
func (s *Conversations) Touch(ctx context.Context, portal string, at time.Time) error {
	_, err := s.exec(ctx, "touch conversation",
		`UPDATE teams_conversation SET last_message_at = $2 WHERE portal = $1 AND last_message_at < $2`, portal, ms(at))
	return err
}

// SetState changes the state and its reason only; an unknown portal changes nothing.
func (s *Conversations) SetState(ctx context.Context, portal, state, reason string) error {
	_, err := s.exec(ctx, "set conversation state", `UPDATE teams_conversation SET state = $2, reason = $3 WHERE portal = $1`, portal, state, reason)
	return err
}

// Get returns a conversation, nil where unknown.
func (s *Conversations) Get(ctx context.Context, portal string) (*Conversation, error) {
	return one(ctx, s.base, "conversation", scanConversation, `SELECT `+conversationColumns+` FROM teams_conversation WHERE portal = $1`, portal)
}

// All returns every conversation.
func (s *Conversations) All(ctx context.Context) ([]Conversation, error) {
	return list(ctx, s.base, "list conversations", scanConversation, `SELECT `+conversationColumns+` FROM teams_conversation ORDER BY portal`)
}

// ByTeam returns a team and its channels.
func (s *Conversations) ByTeam(ctx context.Context, teamID string) ([]Conversation, error) {
	return list(ctx, s.base, "conversations of team", scanConversation,
		`SELECT `+conversationColumns+` FROM teams_conversation WHERE team_id = $1 ORDER BY portal`, teamID)
}

// Delete forgets a conversation.
func (s *Conversations) Delete(ctx context.Context, portal string) error {
	_, err := s.exec(ctx, "delete conversation", `DELETE FROM teams_conversation WHERE portal = $1`, portal)
	return err
}

func scanConversation(row dbutil.Scannable) (c Conversation, err error) {
	var synced, members, history, last int64
	err = row.Scan(&c.Portal, &c.Kind, &c.TeamID, &c.ChannelID, &c.Name, &c.Membership, &c.State, &c.Reason, &c.InfoHash, &c.MembersHash,
		&synced, &members, &history, &last)
	c.SyncedAt, c.MembersAt, c.HistoryAt, c.LastMessageAt = fromMS(synced), fromMS(members), fromMS(history), fromMS(last)
	return c, err
}

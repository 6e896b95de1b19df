package database

import (
	"context"
	"time"

	"go.mau.fi/util/dbutil"
)

// SentReaction is a Matrix reaction that Teams has, under the name of the
// account that set it. Several people's reactions through one relay account
// are a single reaction in Teams.
type SentReaction struct {
	EventID, Portal, TargetID, Emoji, AccountID, SenderMXID string
	SentAt                                                  time.Time
}

// SentReactions says whose reactions stand behind an account's reaction.
type SentReactions struct{ base }

const sentReactionColumns = `event_id, portal, target_id, emoji, account_id, sender_mxid, sent_at`

// Add records a reaction; adding it again changes nothing.
func (s *SentReactions) Add(ctx context.Context, r SentReaction) error {
	_, err := s.exec(ctx, "add reaction", `
		INSERT INTO teams_sent_reaction (event_id, portal, target_id, emoji, account_id, sender_mxid, sent_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (event_id) DO NOTHING`,
		r.EventID, r.Portal, r.TargetID, r.Emoji, r.AccountID, r.SenderMXID, ms(s.orNow(r.SentAt)))
	return err
}

// Remove forgets a reaction; forgetting an unknown one changes nothing.
func (s *SentReactions) Remove(ctx context.Context, eventID string) error {
	_, err := s.exec(ctx, "remove reaction", `DELETE FROM teams_sent_reaction WHERE event_id = $1`, eventID)
	return err
}

// ByEvent returns a reaction, nil where there is none.
func (s *SentReactions) ByEvent(ctx context.Context, eventID string) (*SentReaction, error) {
	return one(ctx, s.base, "sent reaction", scanSentReaction,
		`SELECT `+sentReactionColumns+` FROM teams_sent_reaction WHERE event_id = $1`, eventID)
}

// CountOthers counts the other events that stand behind the same reaction of
// the same account: only the last one to go takes the reaction away in Teams.
func (s *SentReactions) CountOthers(ctx context.Context, r SentReaction) (int, error) {
	n, err := one(ctx, s.base, "count reactions", dbutil.ScanSingleColumn[int], `
		SELECT COUNT(*) FROM teams_sent_reaction
		WHERE portal = $1 AND target_id = $2 AND emoji = $3 AND account_id = $4 AND event_id <> $5`,
		r.Portal, r.TargetID, r.Emoji, r.AccountID, r.EventID)
	if err != nil {
		return 0, err
	}
	return *n, nil
}

// ByTarget returns the reactions on a Teams message.
func (s *SentReactions) ByTarget(ctx context.Context, portal, targetID string) ([]SentReaction, error) {
	return list(ctx, s.base, "reactions of message", scanSentReaction,
		`SELECT `+sentReactionColumns+` FROM teams_sent_reaction WHERE portal = $1 AND target_id = $2 ORDER BY sent_at, event_id`,
		portal, targetID)
}

func scanSentReaction(row dbutil.Scannable) (r SentReaction, err error) {
	var at int64
	err = row.Scan(&r.EventID, &r.Portal, &r.TargetID, &r.Emoji, &r.AccountID, &r.SenderMXID, &at)
	r.SentAt = fromMS(at)
	return r, err
}

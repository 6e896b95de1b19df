package database

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"go.mau.fi/util/dbutil"
)

// Poll is a poll of Matrix that is in Teams, or on its way there.
type Poll struct {
	EventID, Portal, RoomID string
	// SenderMXID, SenderUserID and SenderName are its author, as in the outbox row.
	SenderMXID, SenderUserID, SenderName string
	// Content is what it asks, in the caller's own form and sealed at rest, ContentAt
	// when that was said.
	Content   []byte
	ContentAt time.Time
	// Unreadable is why the content can't be opened, nil where it can.
	Unreadable error
	// EndedAt is when it was ended, zero while it goes on.
	EndedAt time.Time
	// DirtyAt is since when Teams does not show its votes, zero where it does, and
	// LastEvent the event that made it so last.
	DirtyAt   time.Time
	LastEvent string
}

// PollVote is a vote. All votes are kept: which of a person's counts depends on
// when the poll ended, of which one may hear later.
type PollVote struct {
	EventID, PollID, Portal, Voter string
	// Answers are the ids that were chosen, as they came, sealed at rest.
	Answers []string
	VotedAt time.Time
	// Unreadable is why the answers can't be opened, nil where they can.
	Unreadable error
}

// Polls keeps polls and their votes. A vote may be there before its poll.
type Polls struct{ base }

const (
	pollColumns     = `event_id, portal, room_id, sender_mxid, sender_user_id, sender_name, content, content_at, ended_at, dirty_at, last_event`
	pollVoteColumns = `event_id, poll_id, portal, voter, answers, voted_at`
)

// Start stores a poll. Where votes were there before, it is dirty at once; early
// says so. Call it in the transaction that queues the poll's message.
func (s *Polls) Start(ctx context.Context, p Poll) (early bool, err error) {
	now := ms(s.now())
	content, err := s.sealValue(pollContent, p.Content, p.EventID)
	if err != nil {
		return false, fmt.Errorf("store poll: %w", err)
	}
	_, err = s.exec(ctx, "store poll", `INSERT INTO teams_poll (`+pollColumns+`, active_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0, '', $9) ON CONFLICT (event_id) DO NOTHING`,
		p.EventID, p.Portal, p.RoomID, p.SenderMXID, p.SenderUserID, p.SenderName, content, ms(p.ContentAt), now)
	if err != nil {
		return false, err
	}
	last, err := one(ctx, s.base, "look for early votes", dbutil.ScanSingleColumn[string],
		`SELECT event_id FROM teams_poll_vote WHERE poll_id = $1 AND portal = $2 ORDER BY seen_at DESC, event_id LIMIT 1`, p.EventID, p.Portal)
	if err != nil || last == nil {
		return false, err
	}
	return true, s.Touch(ctx, p.EventID, *last)
}

// Get returns a poll, nil where there is none.
func (s *Polls) Get(ctx context.Context, eventID string) (*Poll, error) {
	return one(ctx, s.base, "poll", s.scanPoll, `SELECT `+pollColumns+` FROM teams_poll WHERE event_id = $1`, eventID)
}

// SetContent stores what a poll asks since its author edited it; ok is false
// where something newer stands there.
func (s *Polls) SetContent(ctx context.Context, eventID string, content []byte, at time.Time) (ok bool, err error) {
	sealed, err := s.sealValue(pollContent, content, eventID)
	if err != nil {
		return false, fmt.Errorf("edit poll: %w", err)
	}
	n, err := s.exec(ctx, "edit poll", `UPDATE teams_poll SET content = $2, content_at = $3 WHERE event_id = $1 AND content_at <= $3`,
		eventID, sealed, ms(at))
	return n > 0, err
}

// Vote stores a vote; news is false where it was there before.
func (s *Polls) Vote(ctx context.Context, v PollVote) (news bool, err error) {
	answers, err := s.sealAnswers(v)
	if err != nil {
		return false, fmt.Errorf("store vote: %w", err)
	}
	n, err := s.exec(ctx, "store vote", `INSERT INTO teams_poll_vote (`+pollVoteColumns+`, seen_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (event_id) DO NOTHING`,
		v.EventID, v.PollID, v.Portal, v.Voter, answers, ms(v.VotedAt), ms(s.now()))
	return n > 0, err
}

// GetVote returns a vote, nil where there is none.
func (s *Polls) GetVote(ctx context.Context, eventID string) (*PollVote, error) {
	return one(ctx, s.base, "vote", s.scanPollVote, `SELECT `+pollVoteColumns+` FROM teams_poll_vote WHERE event_id = $1`, eventID)
}

// Votes returns the votes in a poll.
func (s *Polls) Votes(ctx context.Context, p *Poll) ([]PollVote, error) {
	return list(ctx, s.base, "list votes", s.scanPollVote,
		`SELECT `+pollVoteColumns+` FROM teams_poll_vote WHERE poll_id = $1 AND portal = $2 ORDER BY voted_at, event_id`, p.EventID, p.Portal)
}

// Retract forgets a vote; ok is false where it was not there.
func (s *Polls) Retract(ctx context.Context, eventID string) (ok bool, err error) {
	n, err := s.exec(ctx, "retract vote", `DELETE FROM teams_poll_vote WHERE event_id = $1`, eventID)
	return n > 0, err
}

// End ends a poll at a time; ok is false where it ended before that.
func (s *Polls) End(ctx context.Context, eventID string, at time.Time) (ok bool, err error) {
	n, err := s.exec(ctx, "end poll", `UPDATE teams_poll SET ended_at = $2 WHERE event_id = $1 AND (ended_at = 0 OR ended_at > $2)`, eventID, ms(at))
	return n > 0, err
}

// Touch makes a poll dirty, by an event that no other call was made with.
func (s *Polls) Touch(ctx context.Context, eventID, by string) error {
	_, err := s.exec(ctx, "mark poll", `UPDATE teams_poll SET dirty_at = CASE WHEN dirty_at = 0 THEN $2 ELSE dirty_at END, last_event = $3, active_at = $2
		WHERE event_id = $1`, eventID, ms(s.now()), by)
	return err
}

// Claim makes a poll clean that has been dirty since a time or longer, and
// returns it; nil where that is not so. Read its votes after that, in the same
// transaction: who casts another one waits for it, or comes to be read.
func (s *Polls) Claim(ctx context.Context, eventID string, since time.Time) (*Poll, error) {
	return one(ctx, s.base, "claim poll", s.scanPoll, `UPDATE teams_poll SET dirty_at = 0
		WHERE event_id = $1 AND dirty_at <> 0 AND dirty_at <= $2 RETURNING `+pollColumns, eventID, ms(since))
}

// Postpone makes a poll that was claimed dirty again, from a time on.
func (s *Polls) Postpone(ctx context.Context, eventID string, until time.Time) error {
	_, err := s.exec(ctx, "postpone poll", `UPDATE teams_poll SET dirty_at = $2 WHERE event_id = $1 AND dirty_at = 0`, eventID, ms(until))
	return err
}

// Dirty returns polls that Teams does not show as they are, those first that
// have waited longest.
func (s *Polls) Dirty(ctx context.Context, limit int) ([]Poll, error) {
	return list(ctx, s.base, "list dirty polls", s.scanPoll,
		`SELECT `+pollColumns+` FROM teams_poll WHERE dirty_at <> 0 ORDER BY dirty_at, event_id LIMIT $1`, limit)
}

// Purge forgets polls in which nothing has happened since a time, with their
// votes, and votes from before it whose poll is not known.
func (s *Polls) Purge(ctx context.Context, before time.Time) error {
	if _, err := s.exec(ctx, "purge polls", `DELETE FROM teams_poll WHERE active_at < $1`, ms(before)); err != nil {
		return err
	}
	_, err := s.exec(ctx, "purge votes", `DELETE FROM teams_poll_vote WHERE seen_at < $1
		AND NOT EXISTS (SELECT 1 FROM teams_poll WHERE teams_poll.event_id = teams_poll_vote.poll_id)`, ms(before))
	return err
}

func (b base) scanPoll(row dbutil.Scannable) (p Poll, err error) {
	var content, ended, dirty int64
	err = row.Scan(&p.EventID, &p.Portal, &p.RoomID, &p.SenderMXID, &p.SenderUserID, &p.SenderName, &p.Content, &content, &ended, &dirty, &p.LastEvent)
	p.ContentAt, p.EndedAt, p.DirtyAt = fromMS(content), fromMS(ended), fromMS(dirty)
	if err == nil {
		p.Content, p.Unreadable = b.openValue(pollContent, p.Content, p.EventID)
	}
	return p, err
}

func (b base) scanPollVote(row dbutil.Scannable) (v PollVote, err error) {
	var answers string
	var at int64
	if err = row.Scan(&v.EventID, &v.PollID, &v.Portal, &v.Voter, &answers, &at); err != nil {
		return v, err
	}
	v.VotedAt = fromMS(at)
	if answers, v.Unreadable = b.openText(pollVoteAnswers, answers, v.EventID); v.Unreadable != nil {
		return v, nil
	}
	return v, json.Unmarshal([]byte(answers), &v.Answers)
}

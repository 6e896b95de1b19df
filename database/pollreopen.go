package database

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

func (b base) sealAnswers(v PollVote) (string, error) {
	answers, err := json.Marshal(v.Answers)
	if err != nil {
		return "", err
	}
	return b.sealText(pollVoteAnswers, string(answers), v.EventID)
}

// Unreadable returns the polls whose content, and the votes whose answers, can't
// be opened. It reads all of them.
func (s *Polls) Unreadable(ctx context.Context) (polls []Poll, votes []PollVote, err error) {
	if polls, err = list(ctx, s.base, "list polls", s.scanPoll, `SELECT `+pollColumns+` FROM teams_poll ORDER BY event_id`); err != nil {
		return nil, nil, err
	}
	votes, err = list(ctx, s.base, "list votes", s.scanPollVote, `SELECT `+pollVoteColumns+` FROM teams_poll_vote ORDER BY event_id`)
	return slices.DeleteFunc(polls, func(p Poll) bool { return p.Unreadable == nil }),
		slices.DeleteFunc(votes, func(v PollVote) bool { return v.Unreadable == nil }), err
}

// Restore puts back what a poll asks that can't be opened, unless it was edited
// meanwhile.
func (s *Polls) Restore(ctx context.Context, p Poll) error {
	content, err := s.sealValue(pollContent, p.Content, p.EventID)
	if err != nil {
		return fmt.Errorf("restore poll: %w", err)
	}
	_, err = s.exec(ctx, "restore poll", `UPDATE teams_poll SET content = $2 WHERE event_id = $1 AND content_at = $3`, p.EventID, content, ms(p.ContentAt))
	return err
}

// RestoreVote puts back the answers of a vote that can't be opened.
func (s *Polls) RestoreVote(ctx context.Context, v PollVote) error {
	answers, err := s.sealAnswers(v)
	if err != nil {
		return fmt.Errorf("restore vote: %w", err)
	}
	_, err = s.exec(ctx, "restore vote", `UPDATE teams_poll_vote SET answers = $2 WHERE event_id = $1`, v.EventID, answers)
	return err
}

// Forget forgets a poll: its votes are not counted any more.
func (s *Polls) Forget(ctx context.Context, eventID string) error {
	_, err := s.exec(ctx, "forget poll", `DELETE FROM teams_poll WHERE event_id = $1`, eventID)
	return err
}

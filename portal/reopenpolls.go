package portal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
)

// What MetricReopened counts of polls.
const (
	reopenedPoll = "poll asked of the homeserver"
	lostPoll     = "poll lost"
	lostVote     = "vote lost"
)

// reopen gets back the polls and votes that the encryption key does not open, once.
// What the homeserver does not have either counts no more.
func (t *Tally) reopen(ctx context.Context) error {
	if t.reopened {
		return nil
	}
	polls, votes, err := t.o.DB.Polls.Unreadable(ctx)
	if err != nil {
		return err
	}
	var failed []error // one that can't be had now holds up no other
	for _, p := range polls {
		if err = t.reopenPoll(ctx, p); err != nil {
			failed = append(failed, fmt.Errorf("ask for poll %s again: %w", p.EventID, err))
		}
	}
	for _, v := range votes {
		if err = t.reopenVote(ctx, v); err != nil {
			failed = append(failed, fmt.Errorf("ask for vote %s again: %w", v.EventID, err))
		}
	}
	t.reopened = len(failed) == 0
	return errors.Join(failed...)
}

func (t *Tally) reopenPoll(ctx context.Context, p database.Poll) error {
	content, err := t.asked(ctx, p)
	if isLostAtHomeserver(err) {
		zerolog.Ctx(ctx).Error().Err(err).AnErr("unreadable", p.Unreadable).Str("event_id", p.EventID).
			Msg("Lost a poll: the encryption key does not open it, and the homeserver does not have it")
		t.o.Metrics.Count(MetricReopened, lostPoll)
		return t.o.DB.Polls.Forget(ctx, p.EventID)
	} else if err != nil {
		return err
	}
	p.Content = content
	t.o.Metrics.Count(MetricReopened, reopenedPoll)
	return t.o.DB.Polls.Restore(ctx, p)
}

// asked returns what a poll asks, since its author edited it last.
func (t *Tally) asked(ctx context.Context, p database.Poll) ([]byte, error) {
	said := p.EventID
	if edit, err := t.o.DB.Outbox.LastEdit(ctx, p.EventID); err != nil {
		return nil, err
	} else if edit != "" {
		said = edit
	}
	evt, err := ask(ctx, t.o.Bridge, t.o.Texts, p.RoomID, said)
	if err != nil {
		return nil, err
	}
	var raw map[string]any
	var message event.MessageEventContent
	if json.Unmarshal(evt.Content, &raw) != nil || json.Unmarshal(evt.Content, &message) != nil {
		return nil, errNothingLeft
	}
	if message.NewContent != nil {
		message = *message.NewContent
	}
	content, err := contentOfPoll(&event.Event{Content: event.Content{Raw: raw}}, &message)
	if err == nil && content == nil {
		err = errNothingLeft
	}
	return content, err
}

func (t *Tally) reopenVote(ctx context.Context, v database.PollVote) error {
	answers, err := t.voted(ctx, v)
	if isLostAtHomeserver(err) {
		zerolog.Ctx(ctx).Error().Err(err).AnErr("unreadable", v.Unreadable).Str("event_id", v.EventID).
			Msg("Lost a vote: the encryption key does not open it, and the homeserver does not have it")
		t.o.Metrics.Count(MetricReopened, lostVote)
		_, err = t.o.DB.Polls.Retract(ctx, v.EventID)
		return err
	} else if err != nil {
		return err
	}
	v.Answers = answers
	t.o.Metrics.Count(MetricReopened, reopenedPoll)
	return t.o.DB.Polls.RestoreVote(ctx, v)
}

func (t *Tally) voted(ctx context.Context, v database.PollVote) ([]string, error) {
	portal, err := t.o.Bridge.GetExistingPortalByKey(ctx, networkid.PortalKey{ID: networkid.PortalID(v.Portal)})
	if err != nil {
		return nil, fmt.Errorf("look for a room: %w", err)
	} else if portal == nil || portal.MXID == "" {
		return nil, errNothingLeft
	}
	evt, err := ask(ctx, t.o.Bridge, t.o.Texts, string(portal.MXID), v.EventID)
	if err != nil {
		return nil, err
	}
	var raw map[string]any
	if json.Unmarshal(evt.Content, &raw) != nil {
		return nil, errNothingLeft
	}
	mark := msgconv.PollMarkOf(raw)
	if mark == nil || mark.Kind != msgconv.PollVote || mark.Of != v.PollID {
		return nil, errNothingLeft
	}
	return mark.Answers, nil
}

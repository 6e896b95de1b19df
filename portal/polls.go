package portal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
	"teamsbridge/texts"
)

// The reasons of MetricIgnored for votes in polls, and ends of polls, that do
// not count.
const (
	IgnoredPollUnnamed  = "it does not say which poll it is for"
	IgnoredPollUnknown  = "a poll that is not known"
	IgnoredPollEnded    = "a vote after the poll's end"
	IgnoredPollNotYours = "somebody else's poll or vote"
	IgnoredPollDetached = "a poll in a room that is not mirrored"
	IgnoredPollRepeated = "it was counted before"
)

// pollContent is what the poll's table says about a poll.
type pollContent struct {
	Poll msgconv.Poll `json:"poll"`
	// Message is the poll's message without its text, which Poll says.
	Message *event.MessageEventContent `json:"message"`
}

// startedPoll returns what to store of a poll whose message is being queued, nil
// where the message is none.
func startedPoll(msg *bridgev2.MatrixMessage, row *database.OutboxRow) (*database.Poll, error) {
	content, err := contentOfPoll(msg.Event, msg.Content)
	if err != nil || content == nil {
		return nil, err
	}
	return &database.Poll{
		EventID: row.EventID, Portal: row.Portal, RoomID: row.RoomID,
		SenderMXID: row.SenderMXID, SenderUserID: row.SenderUserID, SenderName: row.SenderName,
		Content: content, ContentAt: row.EventAt,
	}, nil
}

// contentOfPoll returns what to store of a poll's start, or of an edit of it; nil
// where the event is neither.
func contentOfPoll(evt *event.Event, message *event.MessageEventContent) ([]byte, error) {
	mark := msgconv.PollMarkOf(evt.Content.Raw)
	if mark == nil || mark.Kind != msgconv.PollStart || mark.Poll == nil {
		return nil, nil
	}
	bare := *message
	bare.Body, bare.RelatesTo, bare.NewContent = "", nil, nil
	raw, err := json.Marshal(pollContent{Poll: *mark.Poll, Message: &bare})
	if err != nil {
		return nil, fmt.Errorf("write down a poll: %w", err)
	}
	return raw, nil
}

// editPoll takes an author's edit of a poll over and returns what its message
// says then: the votes stay. nil means that the edit is of no poll. It belongs
// into the edit's transaction.
func (b *Outbox) editPoll(ctx context.Context, edit *bridgev2.MatrixEdit, row *database.OutboxRow) ([]byte, error) {
	content, err := contentOfPoll(edit.Event, edit.Content)
	if err != nil || content == nil {
		return nil, err
	}
	if _, err = b.o.DB.Polls.SetContent(ctx, row.TargetEventID, content, row.EventAt); err != nil {
		return nil, err
	}
	p, err := b.o.DB.Polls.Get(ctx, row.TargetEventID)
	if err != nil || p == nil {
		return nil, err
	}
	return pollPayload(ctx, b.o.DB, b.o.Texts, p)
}

// pollPayload returns the payload of a poll's message with the votes as they
// are, in the caller's transaction.
func pollPayload(ctx context.Context, db *database.Database, x texts.Texts, p *database.Poll) ([]byte, error) {
	if p.Unreadable != nil {
		// Tally asks for it; until then it is as if the database did not have it yet.
		return nil, fmt.Errorf("read poll: %w", errors.Join(bridgev2.ErrDatabaseError, p.Unreadable))
	}
	var content pollContent
	if err := json.Unmarshal(p.Content, &content); err != nil || content.Message == nil {
		return nil, fmt.Errorf("read poll: %w", errors.Join(errUnreadable, err))
	}
	votes, err := db.Polls.Votes(ctx, p)
	if err != nil {
		return nil, err
	}
	ballots := make([]msgconv.Ballot, len(votes))
	for i, v := range votes {
		if v.Unreadable != nil {
			return nil, fmt.Errorf("read vote: %w", errors.Join(bridgev2.ErrDatabaseError, v.Unreadable))
		}
		ballots[i] = msgconv.Ballot{Event: v.EventID, Voter: v.Voter, At: v.VotedAt, Answers: v.Answers}
	}
	content.Message.Body = content.Poll.Text(x, content.Poll.Tally(ballots, p.EndedAt))
	payload, err := json.Marshal(content.Message)
	if err != nil {
		return nil, fmt.Errorf("write poll: %w", err)
	}
	return payload, nil
}

// ballot is a vote, its retraction, or the end of a poll.
type ballot struct {
	mark   *msgconv.PollMark
	event  string
	portal string
	sender string
	at     time.Time
	// may says that the sender may do that to what is not theirs.
	may bool
}

// ballotOf reads what an event that stands for one is, nil where it is a message.
func ballotOf(msg *bridgev2.MatrixMessage, now time.Time) *ballot {
	mark := msgconv.PollMarkOf(msg.Event.Content.Raw)
	if mark == nil || mark.Kind == msgconv.PollStart {
		return nil
	}
	at := now
	if msg.Event.Timestamp > 0 {
		at = time.UnixMilli(msg.Event.Timestamp)
	}
	return &ballot{mark: mark, event: msg.Event.ID.String(), portal: string(msg.Portal.ID), sender: msg.Event.Sender.String(), at: at}
}

// handleBallot counts a vote or ends a poll, and ends the journal row, in one
// transaction: what Teams shows is brought up to date by Tally. Nobody is told
// what became of it: everybody in the room sees it there.
func (b *Outbox) handleBallot(ctx context.Context, msg *bridgev2.MatrixMessage, v *ballot) (*bridgev2.MatrixMessageResponse, error) {
	if meta, ok := msg.Portal.Metadata.(*PortalMetadata); ok && meta != nil && meta.Detached != "" {
		return b.ignoreBallot(ctx, v, IgnoredPollDetached)
	}
	if !isEventID(v.mark.Of) {
		return b.ignoreBallot(ctx, v, IgnoredPollUnnamed)
	}
	if err := b.powers(ctx, msg, v); err != nil {
		return nil, err
	}
	why := ""
	err := b.o.DB.DoTxn(ctx, nil, func(ctx context.Context) (err error) {
		if why, err = b.count(ctx, v); err != nil {
			return err
		}
		return b.o.DB.Journal.Done(ctx, v.event)
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("count a vote: %w", err)
	case why != "":
		return b.ignoreBallot(ctx, v, why)
	}
	b.o.Metrics.Count(MetricPolls, v.mark.Kind)
	b.o.Voted()
	return &bridgev2.MatrixMessageResponse{Pending: true}, nil
}

// isEventID keeps out what no event can be called, and a database could not store.
func isEventID(s string) bool {
	return strings.HasPrefix(s, "$") && len(s) <= 255 && !strings.ContainsRune(s, 0)
}

// ignoreBallot drops what does not count.
func (b *Outbox) ignoreBallot(ctx context.Context, v *ballot, why string) (*bridgev2.MatrixMessageResponse, error) {
	if err := b.o.DB.Journal.Done(ctx, v.event); err != nil {
		return nil, err
	}
	b.o.Metrics.Count(MetricIgnored, why)
	zerolog.Ctx(ctx).Debug().Str("reason", why).Str("poll_id", v.mark.Of).Msg("Ignoring an event of a poll")
	return &bridgev2.MatrixMessageResponse{Pending: true}, nil
}

// powers finds out whether the sender may end somebody else's poll, or retract
// somebody else's vote: who may redact them may.
func (b *Outbox) powers(ctx context.Context, msg *bridgev2.MatrixMessage, v *ballot) error {
	owner := ""
	switch v.mark.Kind {
	case msgconv.PollEnd:
		p, err := b.o.DB.Polls.Get(ctx, v.mark.Of)
		if err != nil || p == nil {
			return err
		}
		owner = p.SenderMXID
	case msgconv.PollRetract:
		vote, err := b.o.DB.Polls.GetVote(ctx, v.mark.Of)
		if err != nil || vote == nil {
			return err
		}
		owner = vote.Voter
	default:
		return nil
	}
	if owner == v.sender {
		return nil
	}
	levels, err := b.o.Bridge.Matrix.GetPowerLevels(ctx, msg.Portal.MXID)
	if err != nil {
		// The journal tries again what failed like the database.
		return fmt.Errorf("see who may do that to a poll: %w", errors.Join(bridgev2.ErrDatabaseError, err))
	}
	v.may = levels != nil && levels.GetUserLevel(msg.Event.Sender) >= levels.Redact()
	return nil
}

// count writes a vote or an end down, and that Teams is to see it; it returns
// why it does not count. A vote that is there before its poll counts from then on.
func (b *Outbox) count(ctx context.Context, v *ballot) (why string, err error) {
	polls := b.o.DB.Polls
	if v.mark.Kind == msgconv.PollRetract {
		return b.retract(ctx, v)
	}
	p, err := polls.Get(ctx, v.mark.Of)
	if err != nil {
		return "", err
	}
	unknown := p == nil || p.Portal != v.portal
	news := false
	switch {
	case v.mark.Kind == msgconv.PollVote && !unknown && !p.EndedAt.IsZero() && v.at.After(p.EndedAt):
		return IgnoredPollEnded, nil
	case v.mark.Kind == msgconv.PollVote:
		news, err = polls.Vote(ctx, database.PollVote{
			EventID: v.event, PollID: v.mark.Of, Portal: v.portal, Voter: v.sender, Answers: v.mark.Answers, VotedAt: v.at,
		})
	case unknown:
	case p.SenderMXID != v.sender && !v.may:
		return IgnoredPollNotYours, nil
	default:
		news, err = polls.End(ctx, p.EventID, v.at)
	}
	switch {
	case err != nil:
		return "", err
	case unknown:
		return IgnoredPollUnknown, nil
	case !news:
		return IgnoredPollRepeated, nil
	}
	return "", polls.Touch(ctx, p.EventID, v.event)
}

// retract forgets a vote that was redacted.
func (b *Outbox) retract(ctx context.Context, v *ballot) (why string, err error) {
	vote, err := b.o.DB.Polls.GetVote(ctx, v.mark.Of)
	if err != nil {
		return "", err
	} else if vote == nil || vote.Portal != v.portal {
		return IgnoredPollUnknown, nil
	} else if vote.Voter != v.sender && !v.may {
		return IgnoredPollNotYours, nil
	}
	if _, err = b.o.DB.Polls.Retract(ctx, vote.EventID); err != nil {
		return "", err
	}
	return "", b.o.DB.Polls.Touch(ctx, vote.PollID, v.event)
}

package portal

import (
	"context"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2"

	"teamsbridge/portal/msgconv"
)

// The reasons of MetricIgnored. Teams has no polls for an application to take
// part in, so the question goes there as a text and votes stay in Matrix.
const (
	IgnoredPollVote = "votes of polls stay in Matrix"
	IgnoredPollEnd  = "ends of polls stay in Matrix"
)

// HandlePoll queues a poll as a message that lists its question and answers.
func (b *Outbox) HandlePoll(ctx context.Context, poll *bridgev2.MatrixPollStart, by Actor) (*bridgev2.MatrixMessageResponse, error) {
	msg := poll.MatrixMessage
	msg.Content = msgconv.FromPoll(b.o.Texts, poll.Content)
	return b.HandleMessage(ctx, &msg, by)
}

// HandleVote ignores a vote. Nothing was promised about it: the journal does
// not keep votes, and everybody in the room sees it where it counts.
func (b *Outbox) HandleVote(ctx context.Context, _ *bridgev2.MatrixPollVote) (*bridgev2.MatrixMessageResponse, error) {
	b.o.Metrics.Count(MetricIgnored, IgnoredPollVote)
	zerolog.Ctx(ctx).Debug().Msg("Ignoring a vote in a poll")
	return &bridgev2.MatrixMessageResponse{Pending: true}, nil
}

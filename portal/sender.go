package portal

import (
	"context"
)

// Sender brings what is in the outbox to Teams.
type Sender struct {
	o SenderOptions
}

// NewSender makes a Sender; it sends while Run runs.
func NewSender(o SenderOptions) *Sender {
	o.setDefaults()
	return &Sender{o: o}
}

// Wake makes a portal's lane look again now.
func (s *Sender) Wake(portal string) {}

// Kick makes all waiting rows due now, for example because Teams is back.
func (s *Sender) Kick(ctx context.Context) error { return nil }

// Run sends until ctx ends, and returns when every lane has stopped.
func (s *Sender) Run(ctx context.Context) { <-ctx.Done() }

// Busy returns how many portals have rows on their way to Teams.
func (s *Sender) Busy() int { return 0 }

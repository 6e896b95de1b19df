package portal

import (
	"context"
	"sync"
	"time"

	"teamsbridge/database"
)

const (
	// maxScouts is how many conversations try at once: a post that hangs must not
	// keep the others from seeing that Teams is back, and one without an answer is
	// looked for besides. With 8 it is seen within about ten seconds.
	maxScouts = 8
	// scoutRetry is the longest wait of what is tried while nothing can be written:
	// where only one conversation has something to say, nobody else finds out.
	scoutRetry = 20 * time.Second
)

// scouts are the conversations that try, in turn, while it is known that Teams takes
// nothing. All the others wait: each try is a request that Teams can't use now, and
// each that ends without an answer leaves a post to be looked for. Once one of them
// goes through, all go.
type scouts struct {
	down func() bool
	wake func(portal string)

	mu     sync.Mutex
	turn   []string // who waits, the longest first
	waits  map[string]struct{}
	chosen string // whose turn it is
	trying int
}

// run lets one conversation after the other try until ctx ends.
func (s *scouts) run(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.next()
		case <-ctx.Done():
			return
		}
	}
}

// next chooses who tries. A conversation that has nothing to try any more does not
// come back, and its turn is over with the next one's.
func (s *scouts) next() {
	if !s.down() {
		s.relieve()
		return
	}
	s.mu.Lock()
	s.chosen = ""
	if s.trying < maxScouts && len(s.turn) > 0 {
		s.chosen, s.turn = s.turn[0], s.turn[1:]
		delete(s.waits, s.chosen)
	}
	chosen := s.chosen
	s.mu.Unlock()
	if chosen != "" {
		s.wake(chosen)
	}
}

// enter reports whether it is a conversation's turn to try; leave has to be called
// after that. Where it is not, the conversation is woken when it is.
func (s *scouts) enter(portal string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.chosen == portal {
		s.chosen = ""
		s.trying++
		return true
	}
	if _, waits := s.waits[portal]; !waits {
		s.waits[portal] = struct{}{}
		s.turn = append(s.turn, portal)
	}
	return false
}

func (s *scouts) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trying--
}

// relieve wakes all who wait for their turn: Teams is back.
func (s *scouts) relieve() {
	s.mu.Lock()
	turn := s.turn
	s.turn, s.waits, s.chosen = nil, map[string]struct{}{}, ""
	s.mu.Unlock()
	for _, portal := range turn {
		s.wake(portal)
	}
}

// try sends a row that is due. While Teams takes nothing it does so only when it is
// the conversation's turn.
func (s *Sender) try(ctx context.Context, row *database.OutboxRow) time.Time {
	if s.o.Down() {
		if !s.scouts.enter(row.Portal) {
			return s.o.Now().Add(s.o.RetryMax)
		}
		defer s.scouts.leave()
	}
	next := s.step(ctx, row)
	if !s.o.Down() {
		s.scouts.relieve()
	}
	return next
}

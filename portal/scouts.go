package portal

import (
	"context"
	"errors"
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
// each that ends without an answer leaves a post to be looked for. Where one gets
// through, it goes on and the next one tries at once; where Teams is back, all go.
type scouts struct {
	down func() bool
	wake func(portal string)

	mu sync.Mutex
	// fresh and turn are who waits, the longest first: those with a message that was
	// never tried come before the others, as Teams may well take what is theirs.
	fresh, turn []string
	waits       map[string]struct{}
	chosen      string // whose turn it is
	trying      map[string]struct{}
	// through are who got through when they last tried: they need no turn.
	through map[string]struct{}
}

func newScouts(down func() bool, wake func(portal string)) *scouts {
	s := &scouts{down: down, wake: wake}
	s.clear()
	return s
}

// clear forgets everybody. mu is held, or nobody else has s.
func (s *scouts) clear() {
	s.fresh, s.turn, s.chosen = nil, nil, ""
	s.waits, s.trying, s.through = map[string]struct{}{}, map[string]struct{}{}, map[string]struct{}{}
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
	if len(s.trying) < maxScouts {
		for _, queue := range []*[]string{&s.fresh, &s.turn} {
			if len(*queue) > 0 {
				s.chosen, *queue = (*queue)[0], (*queue)[1:]
				delete(s.waits, s.chosen)
				break
			}
		}
	}
	chosen := s.chosen
	s.mu.Unlock()
	if chosen != "" {
		s.wake(chosen)
	}
}

// mayTry reports whether a row may be tried; tried has to be called after that.
// Where it is not its conversation's turn, that is woken when it is.
func (s *scouts) mayTry(row *database.OutboxRow) bool {
	if !s.down() {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, through := s.through[row.Portal]; through {
		return true
	}
	if s.chosen == row.Portal {
		s.chosen = ""
		s.trying[row.Portal] = struct{}{}
		return true
	}
	if _, waits := s.waits[row.Portal]; !waits {
		s.waits[row.Portal] = struct{}{}
		if row.Attempts == 0 {
			s.fresh = append(s.fresh, row.Portal)
		} else {
			s.turn = append(s.turn, row.Portal)
		}
	}
	return false
}

// tried says what came of a try: whether the conversation goes on, and whether
// Teams was asked at all.
func (s *scouts) tried(portal string, through, asked bool) {
	if !s.down() {
		s.relieve()
		return
	}
	s.mu.Lock()
	delete(s.trying, portal)
	if through {
		s.through[portal] = struct{}{}
	} else {
		delete(s.through, portal)
	}
	s.mu.Unlock()
	if through || !asked {
		s.next()
	}
}

// pass lets a conversation try without a turn: it is known what became of its post.
func (s *scouts) pass(portal string) {
	if !s.down() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.through[portal] = struct{}{}
}

// relieve wakes all who wait for their turn: Teams is back.
func (s *scouts) relieve() {
	s.mu.Lock()
	waiting := append(s.fresh, s.turn...)
	if len(waiting)+len(s.trying)+len(s.through) > 0 {
		s.clear()
	}
	s.mu.Unlock()
	for _, portal := range waiting {
		s.wake(portal)
	}
}

// try sends a row that is due and may be tried.
func (s *Sender) try(ctx context.Context, row *database.OutboxRow) time.Time {
	next, err := s.step(ctx, row)
	s.scouts.tried(row.Portal, next.IsZero(), !errors.Is(err, ErrNoAccount))
	return next
}

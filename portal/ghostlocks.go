package portal

import (
	"context"
	"hash/crc32"

	"maunium.net/go/mautrix/bridgev2/networkid"
)

// ghostLocks let one delivery at a time look at or change a ghost's name. A person
// speaks in many conversations at once, whose loops share the ghost, and the
// framework has no lock for it. Several ghosts share one of these: it is held over
// requests at a ghost's first appearance only.
type ghostLocks [64]chan struct{}

func newGhostLocks() *ghostLocks {
	var l ghostLocks
	for i := range l {
		l[i] = make(chan struct{}, 1)
	}
	return &l
}

// lock waits until nobody else holds the ghost, and returns what lets go of it.
// It fails only when ctx ends.
func (l *ghostLocks) lock(ctx context.Context, ghost networkid.UserID) (unlock func(), err error) {
	lock := l[crc32.ChecksumIEEE([]byte(ghost))%uint32(len(l))]
	select {
	case lock <- struct{}{}:
		return func() { <-lock }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

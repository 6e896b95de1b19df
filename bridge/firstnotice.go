package bridge

import (
	"sync"
	"time"

	"teamsbridge/teams"
)

// reasonFirstNotice is why a channel is read when its first notification comes.
const reasonFirstNotice = "first_notification"

// firstNotices has a channel read when the first notification of it comes since
// the start, or since this instance was not ready, unless it was read since
// notifications get here. What was written between the read at the start and the
// moment from which the load balancer leads calls to this instance Graph announces
// much later, behind what came after it; the message that the first notification
// tells of rests until the read is over.
type firstNotices struct {
	teams.Arrivals
	wanted func(teams.ChannelRef) bool
	// covered is when the last complete read of a channel began.
	covered func(teams.ChannelRef) time.Time
	read    func(reason string, scopes ...teams.Scope)
	now     func() time.Time

	mu sync.Mutex
	// since is when the first notification of all came.
	since time.Time
	seen  map[teams.ChannelRef]struct{}
}

// Announced implements teams.Arrivals.
func (f *firstNotices) Announced(refs []teams.MessageRef) {
	f.ask(refs)
	f.Arrivals.Announced(refs)
}

// ask has the channels read that are to be. It holds the lock meanwhile, so that
// a second notification of a channel does not pass by the first one's request.
func (f *firstNotices) ask(refs []teams.MessageRef) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fresh := f.fresh(refs); len(fresh) > 0 {
		f.read(reasonFirstNotice, fresh...)
	}
}

// again forgets what has come: calls may not have got here.
func (f *firstNotices) again() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.since = time.Time{}
	clear(f.seen)
}

// fresh returns the channels that are to be read. mu is held.
func (f *firstNotices) fresh(refs []teams.MessageRef) (fresh []teams.Scope) {
	if f.since.IsZero() && len(refs) > 0 {
		f.since = f.now()
	}
	for _, ref := range refs {
		if _, seen := f.seen[ref.ChannelRef]; seen || !f.wanted(ref.ChannelRef) {
			continue
		}
		f.seen[ref.ChannelRef] = struct{}{}
		if f.covered(ref.ChannelRef).Before(f.since) {
			fresh = append(fresh, teams.Scope(ref.ChannelRef))
		}
	}
	return fresh
}

// newFirstNotices tells the ledger's arrivals of what the receiver announces.
func (r *runtime) newFirstNotices() *firstNotices {
	return &firstNotices{
		Arrivals: r.ingest, wanted: r.catalog.wanted, now: r.now, seen: map[teams.ChannelRef]struct{}{},
		covered: func(ch teams.ChannelRef) time.Time { return r.poller.Covered(ch) },
		read:    func(reason string, scopes ...teams.Scope) { r.poller.Request(reason, scopes...) },
	}
}

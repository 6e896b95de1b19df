package portal

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"maunium.net/go/mautrix/bridgev2/networkid"

	"teamsbridge/teams"
)

// Bounds of what is remembered of messages that are on their way.
const (
	// announcePatience is how long a message is waited for after it was last
	// announced.
	announcePatience = time.Minute
	// readPatience is how long a message waits for its conversation to be read,
	// failingPatience the same while reading fails: it may take hours to come
	// back, or be about to.
	readPatience    = 30 * time.Second
	failingPatience = 10 * time.Second
	// arrivedKept is how many messages are remembered that have arrived, so that
	// what another way has brought meanwhile is not waited for.
	arrivedKept = 4096
	// lagSamples and lagAge bound the sample within which lags are compared.
	lagSamples = 256
	lagAge     = 30 * time.Second
)

// arrivals is what is known of Teams messages that the ledger does not have yet.
// Graph keeps no order among notifications, and what a notification announces
// may still have to be stored, opened or fetched; so a message rests while one
// that was written before it is known to be on its way. It is memory only: after
// a restart every conversation is behind until it was read.
type arrivals struct {
	now    func() time.Time
	behind func(teams.ChannelRef) (behind, failing bool)
	wake   func(portal string)

	mu sync.Mutex
	// announced are the messages on their way, by portal and message id.
	announced map[string]map[string]announcement
	// resting are the portals whose lane waits for one of them, or to be read.
	resting map[string]bool
	// recent are the messages that arrived last; next is the place in ring of
	// the oldest of them.
	recent map[arrival]bool
	ring   []arrival
	next   int
	lags   []lagSample
	spread time.Duration
}

type arrival struct{ portal, message string }

type announcement struct{ created, until time.Time }

type lagSample struct {
	at  time.Time
	lag time.Duration
}

var _ teams.Arrivals = (*Ingest)(nil)

// Announced implements teams.Arrivals.
func (in *Ingest) Announced(refs []teams.MessageRef) {
	for _, ref := range refs {
		if in.o.Wanted(ref.ChannelRef) {
			in.arrivals.announce(string(ChannelPortal(ref.ChannelRef).ID), ref)
		}
	}
}

// GivenUp implements teams.Arrivals.
func (in *Ingest) GivenUp(refs []teams.MessageRef) {
	for _, ref := range refs {
		in.arrivals.arrived(string(ChannelPortal(ref.ChannelRef).ID), ref.ID)
	}
}

// Read tells that a scope was read completely.
func (in *Ingest) Read(scope teams.Scope) { in.arrivals.read(scope) }

func newArrivals(now func() time.Time, behind func(teams.ChannelRef) (behind, failing bool), wake func(portal string)) *arrivals {
	return &arrivals{now: now, behind: behind, wake: wake,
		announced: map[string]map[string]announcement{}, resting: map[string]bool{},
		recent: map[arrival]bool{}, ring: make([]arrival, arrivedKept)}
}

// announce notes that a message is on its way.
func (a *arrivals) announce(portal string, ref teams.MessageRef) {
	created := ref.Created()
	if created.IsZero() {
		return
	}
	until := a.now().Add(announcePatience)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.recent[arrival{portal, ref.ID}] {
		return
	}
	coming := a.announced[portal]
	if coming == nil {
		coming = map[string]announcement{}
		a.announced[portal] = coming
	}
	coming[ref.ID] = announcement{created, until}
}

// arrived notes that a message is in the ledger, or will not come.
func (a *arrivals) arrived(portal, id string) {
	a.mu.Lock()
	coming := a.announced[portal]
	before := len(coming)
	delete(coming, id)
	if one := (arrival{portal, id}); !a.recent[one] {
		delete(a.recent, a.ring[a.next])
		a.ring[a.next], a.recent[one] = one, true
		a.next = (a.next + 1) % len(a.ring)
	}
	if len(coming) == 0 {
		delete(a.announced, portal)
	}
	wake := before != len(coming) && a.resting[portal]
	if wake {
		delete(a.resting, portal)
	}
	a.mu.Unlock()
	if wake {
		a.wake(portal)
	}
}

// read notes that a conversation was read, or all conversations of a team.
func (a *arrivals) read(scope teams.Scope) {
	var wake []string
	a.mu.Lock()
	for portal := range a.resting {
		if ref, ok := ParsePortal(networkid.PortalID(portal)); ok && ref.TeamID == scope.TeamID && (scope.ChannelID == "" || scope.ChannelID == ref.ChannelID) {
			delete(a.resting, portal)
			wake = append(wake, portal)
		}
	}
	a.mu.Unlock()
	for _, portal := range wake {
		a.wake(portal)
	}
}

// rest returns until when a message that the ledger got at received waits at
// most for those that were written before it, the zero time if it waits for
// none. Whoever is told to wait is woken when that changes.
func (a *arrivals) rest(portal string, created, received time.Time) (until time.Time) {
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	// Noted before anything is asked: what changes meanwhile wakes the lane.
	a.resting[portal] = true
	if ref, ok := ParsePortal(networkid.PortalID(portal)); ok && received.Add(readPatience).After(now) {
		switch behind, failing := a.behind(ref); {
		case behind && failing:
			until = received.Add(failingPatience)
		case behind:
			until = received.Add(readPatience)
		}
	}
	for id, one := range a.announced[portal] {
		switch {
		case !one.until.After(now):
			delete(a.announced[portal], id)
		case one.created.Before(created) && one.until.After(until):
			until = one.until
		}
	}
	if !until.After(now) {
		delete(a.resting, portal)
		return time.Time{}
	}
	return until
}

// delayed notes how long after a change its notification came. Clocks may
// differ: only differences between lags say anything.
func (a *arrivals) delayed(lag, most time.Duration) {
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lags = append(a.lags, lagSample{now, lag})
	a.lags = slices.Delete(a.lags, 0, max(0, len(a.lags)-lagSamples))
	a.measure(now, most)
}

// measure works out how much later than the fastest the others came. Lags of
// more than most above it are not of the ordinary way, such as repetitions, and
// foretell nothing. a.mu is held.
func (a *arrivals) measure(now time.Time, most time.Duration) {
	old := 0
	for old < len(a.lags) && now.Sub(a.lags[old].at) > lagAge {
		old++
	}
	a.lags = slices.Delete(a.lags, 0, old)
	a.spread = 0
	if len(a.lags) == 0 {
		return
	}
	least := slices.MinFunc(a.lags, func(x, y lagSample) int { return cmp.Compare(x.lag, y.lag) }).lag
	for _, one := range a.lags {
		if d := one.lag - least; d <= most && d > a.spread {
			a.spread = d
		}
	}
}

// lagSpread returns how far apart notifications come at present.
func (a *arrivals) lagSpread(most time.Duration) time.Duration {
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.lags) > 0 && now.Sub(a.lags[0].at) > lagAge {
		a.measure(now, most)
	}
	return a.spread
}

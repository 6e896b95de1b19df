package bridge

import (
	"context"
	"hash/fnv"
	"sync"
	"time"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
)

// accountRest is how long an account rests between two posts, as Graph's limits
// have it.
const accountRest = 1250 * time.Millisecond

// pool knows how busy the accounts are that write, so that a backlog is spread
// over all of them: a user may post once a second, and conversations of which
// each had an account of its own would leave some accounts idle.
type pool struct {
	now func() time.Time

	mu   sync.Mutex
	busy map[string]*workload
}

// workload is how busy an account is.
type workload struct {
	// waiting is how many posts wait for their turn or their answer.
	waiting int
	// last is when a post ended last, and lastPortal where it was.
	last       time.Time
	lastPortal string
}

func newPool() *pool { return &pool{now: time.Now, busy: map[string]*workload{}} }

func (p *pool) of(key string) *workload {
	l := p.busy[key]
	if l == nil {
		l = &workload{}
		p.busy[key] = l
	}
	return l
}

func (p *pool) begin(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.of(key).waiting++
}

func (p *pool) end(key, portalID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.of(key)
	l.waiting--
	l.last, l.lastPortal = p.now(), portalID
}

// choose returns the account that can post first for a conversation. Of several
// it is always the same one, so that a conversation keeps its account while
// that costs nothing.
func (p *pool) choose(conversation string, accounts []database.Account) database.Account {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, least := p.now(), -1
	var best []database.Account
	for _, a := range accounts {
		cost := 0
		if l := p.busy[a.Key]; l != nil {
			cost = 2 * l.waiting
			// The conversation's own last post holds it up with any account.
			if l.lastPortal != conversation && now.Sub(l.last) < accountRest {
				cost++
			}
		}
		switch {
		case least < 0 || cost < least:
			least, best = cost, append(best[:0], a)
		case cost == least:
			best = append(best, a)
		}
	}
	return pickFor(conversation, best)
}

// pooledWriter tells the pool while it posts.
type pooledWriter struct {
	teams.Writer
	pool *pool
	key  string
}

// Post implements teams.Writer.
func (w *pooledWriter) Post(ctx context.Context, ch teams.ChannelRef, rootID string, d teams.Draft) (teams.Message, error) {
	w.pool.begin(w.key)
	defer w.pool.end(w.key, string(portal.ChannelPortal(ch).ID))
	return w.Writer.Post(ctx, ch, rootID, d)
}

// pickFor spreads conversations over accounts so that an account that comes or
// goes moves only its share of them (highest random weight).
func pickFor(conversation string, accounts []database.Account) database.Account {
	best, bestWeight := accounts[0], uint64(0)
	for _, a := range accounts {
		h := fnv.New64a()
		_, _ = h.Write([]byte(conversation + "\x00" + a.Key))
		weight := mix(h.Sum64())
		if weight >= bestWeight {
			best, bestWeight = a, weight
		}
	}
	return best
}

// mix spreads FNV's output, whose high bits hardly depend on the last bytes.
func mix(v uint64) uint64 {
	v ^= v >> 33
	v *= 0xff51afd7ed558ccd
	v ^= v >> 33
	return v
}

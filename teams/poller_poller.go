package teams

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
)

// Defaults of the poller.
const (
	DefaultOverlap        = 2 * time.Minute
	DefaultPollInterval   = 30 * time.Second
	DefaultReconcileEvery = 24 * time.Hour

	pollerWorkers    = 8
	pollerTurnPages  = 20
	pollerReplan     = 30 * time.Second
	pollerSinkTime   = time.Minute
	pollerSinkChunk  = 1000
	pollerStoreTime  = 15 * time.Second
	pollerFirstRetry = time.Second
	pollerLastRetry  = 5 * time.Minute
	// pollerPauseMax bounds how late an outage's end is noticed.
	pollerPauseMax    = time.Minute
	pollerRefusalLife = 24 * time.Hour
	// pollerUnreadableRetry is when a channel that every reader was refused
	// for is tried again: a consent may have been given meanwhile.
	pollerUnreadableRetry = 15 * time.Minute
	// pollerOddFailures is how many failures in a row that are neither an
	// outage nor a refusal make one.
	pollerOddFailures = 5
	// reconcileMargin keeps the seam between two reconciliations closed even
	// if our clock is off: FullAt is our time, the rest is Graph's.
	reconcileMargin = time.Hour
)

// PolledTeam is a team of which at least one channel is to be read.
type PolledTeam struct {
	ID       string
	Channels []string
	// Separate holds channels of which it is not certain that the team's
	// export includes them, such as shared ones: they are read one by one.
	Separate []string
}

// PollerOptions configures NewPoller.
type PollerOptions struct {
	Source  MessageSource
	Sink    Sink
	Cursors CursorStore
	// Teams returns what is to be read now. It must not block; what is read of
	// a team may include channels that are not in it, the sink knows which.
	Teams func() []PolledTeam
	// Readers is the order of preference; default export, delta, list.
	Readers []string
	// Continuous reads every scope each Interval within RequestsPerSecond.
	// Without it, scopes are read at start, on request and for the daily
	// reconciliation.
	Continuous bool
	// Doubtful may be nil; the scopes that it returns are read as if Continuous
	// were set. Whoever begins to doubt requests them.
	Doubtful          func() []Scope
	Interval          time.Duration
	RequestsPerSecond float64
	// Overlap is read again each time, ReplyDepth is how old a post may be and
	// still get a reply that the list reader finds.
	Overlap        time.Duration
	ReplyDepth     time.Duration
	ReconcileEvery time.Duration
	// Start is where a scope without a cursor begins; default is now.
	Start func(Scope) time.Time
	// Changes may be nil; it is told of system messages and of lost scopes.
	Changes ChangeSink
	// Read may be nil; it is told of every scope that was read completely, and
	// must not block.
	Read     func(Scope)
	Counters Counters
	Logger   zerolog.Logger
	Now      func() time.Time
}

// Poller reads what Graph lists. A cursor moves only after the sink has taken
// everything before it, so what is missed once is read the next time.
type Poller struct {
	opts    PollerOptions
	readers map[string]reader
	budget  MessageSource
	wake    chan struct{}

	// mu guards all below. No other lock is taken and nothing is waited for
	// while it is held.
	mu       sync.Mutex
	units    map[Scope]*unit
	refusals map[refusalKey]Refusal
	// unreadable holds the wanted channels that no reader is left for.
	unreadable map[Scope]bool
	// separate holds the channels that are not read with their team.
	separate map[Scope]bool
	// parked holds the units whose scope is read by another one for now; carry
	// names teams whose refused unit was asked to read.
	parked  map[Scope]*unit
	carry   map[string]bool
	planned time.Time
	replan  bool
	outages int
	pause   time.Time
	lastErr error
	// requests counts the requests, to tell which reads came after one.
	requests int64
	// changed is closed and replaced whenever a read ends.
	changed chan struct{}
}

// unit is a scope that is read, by one reader.
type unit struct {
	scope  Scope
	reader reader
	// due is when it is to be read; asked, that somebody asked for it, which
	// comes before routine and is not held to the budget.
	due   time.Time
	asked bool
	again bool // asked for while it was being read
	// waiting is since when it could have been read, zero if nothing is due.
	waiting time.Time
	running bool
	read    *readState
	// covered is when the last complete read began, answered the last request
	// that was made before.
	covered  time.Time
	answered int64
	fullAt   time.Time
	failures int
	odd      int
	err      error
}

// NewPoller returns a poller; Run works.
func NewPoller(opts PollerOptions) (*Poller, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	setDefault(&opts.Overlap, DefaultOverlap)
	setDefault(&opts.Interval, DefaultPollInterval)
	setDefault(&opts.ReconcileEvery, DefaultReconcileEvery)
	setDefault(&opts.ReplyDepth, defaultDepth)
	if len(opts.Readers) == 0 {
		opts.Readers = []string{SourceExport, SourceDelta, SourceList}
	}
	opts.Counters = countersOr(opts.Counters)
	p := &Poller{
		opts:       opts,
		readers:    newReaders(opts.Now),
		budget:     opts.Source,
		wake:       make(chan struct{}, 1),
		units:      map[Scope]*unit{},
		refusals:   map[refusalKey]Refusal{},
		unreadable: map[Scope]bool{},
		separate:   map[Scope]bool{},
		parked:     map[Scope]*unit{},
		carry:      map[string]bool{},
		changed:    make(chan struct{}),
	}
	for _, name := range opts.Readers {
		if p.readers[name] == nil {
			return nil, errors.New("poller: no reader is called " + name)
		}
	}
	if opts.RequestsPerSecond > 0 {
		burst := max(1, int(opts.RequestsPerSecond))
		p.budget = budgetSource{opts.Source, rate.NewLimiter(rate.Limit(opts.RequestsPerSecond), burst)}
	}
	return p, nil
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d <= 0 {
		*d = value
	}
}

// Run reads everything once, then what becomes due, until ctx ends.
func (p *Poller) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	free := make(chan struct{}, pollerWorkers)
	for {
		p.plan(pollerReplan)
		for len(free) < cap(free) {
			u := p.pick()
			if u == nil {
				break
			}
			free <- struct{}{}
			wg.Go(func() {
				done, err := p.turn(ctx, u)
				p.finish(ctx, u, done, err)
				<-free
				p.kick()
			})
		}
		if !waitFor(ctx, p.untilNext(len(free) == cap(free)), p.wake) {
			return ctx.Err()
		}
	}
}

// Wake makes a change of what Teams returns take effect now; it never blocks.
func (p *Poller) Wake() {
	p.mu.Lock()
	p.replan = true
	p.mu.Unlock()
	p.kick()
}

// kick makes Run look for work.
func (p *Poller) kick() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Request asks for the scopes to be read now, all of them if none is named;
// for the zero Scope too. It never blocks and never gives up. Asking for all
// of them ends waiting after failures too, as Resume does.
func (p *Poller) Request(reason string, scopes ...Scope) {
	p.request(reason, scopes)
}

func (p *Poller) request(reason string, scopes []Scope) int64 {
	if len(scopes) == 0 {
		p.Resume()
	}
	p.plan(time.Second)
	p.mu.Lock()
	p.requests++
	number := p.requests
	n := p.ask(scopes)
	p.mu.Unlock()
	p.opts.Logger.Debug().Str("reason", reason).Int("scopes", n).Msg("Catch-up requested")
	p.kick()
	return number
}

// ask marks the units that cover the scopes. p.mu is held.
func (p *Poller) ask(scopes []Scope) int {
	now := p.opts.Now()
	n := 0
	for _, u := range p.units {
		if !u.covers(scopes) {
			continue
		}
		n++
		if u.running || u.read != nil {
			u.again = true
			continue
		}
		if !u.asked && u.failures == 0 {
			u.due = now
		}
		u.asked = true
		if u.waiting.IsZero() {
			u.waiting = now
		}
	}
	return n
}

// Resume ends all waiting after failures, because Graph is known to be back.
func (p *Poller) Resume() {
	p.mu.Lock()
	now := p.opts.Now()
	p.outages, p.pause = 0, time.Time{}
	for _, u := range p.units {
		if u.failures > 0 && !u.running && u.due.After(now) {
			u.failures, u.due = 0, now
		}
	}
	p.mu.Unlock()
	p.kick()
}

// covers reports whether reading the unit reads one of the scopes, or a part.
func (u *unit) covers(scopes []Scope) bool {
	if len(scopes) == 0 {
		return true
	}
	for _, s := range scopes {
		switch {
		case s == Scope{}:
			return true
		case s.TeamID != u.scope.TeamID:
		case s.ChannelID == "" || u.scope.ChannelID == "" || s.ChannelID == u.scope.ChannelID:
			return true
		}
	}
	return false
}

// doubted reports whether the unit reads what there is a doubt about. p.mu is
// held.
func (p *Poller) doubted(u *unit, scopes []Scope) bool {
	for _, s := range scopes {
		if u.covers([]Scope{s}) && (u.scope == s || !p.separate[s]) {
			return true
		}
	}
	return false
}

// ErrUnreadable means that every reader was refused for a channel.
var ErrUnreadable = errors.New("no reader is allowed to read the channel")

// CatchUp asks for the scopes (none means all) and waits until each has been
// read completely since, which takes as long as an outage lasts. Run must be
// running. The error is ctx's, or wraps ErrUnreadable.
func (p *Poller) CatchUp(ctx context.Context, scopes []Scope, reason string) error {
	asked := p.request(reason, scopes)
	for {
		p.mu.Lock()
		complete, err := p.caughtUp(scopes, asked)
		changed := p.changed
		p.mu.Unlock()
		if complete {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// caughtUp reports whether all that covers the scopes was read since the
// request. p.mu is held.
func (p *Poller) caughtUp(scopes []Scope, request int64) (bool, error) {
	for _, u := range p.units {
		if u.answered < request && u.covers(scopes) {
			return false, nil
		}
	}
	if p.replan {
		return false, nil // a refusal came in, other units are to take over
	}
	var errs []error
	for scope := range p.unreadable {
		if (&unit{scope: scope}).covers(scopes) {
			errs = append(errs, &Error{Op: "read " + scope.String(), Kind: KindPermission, Err: ErrUnreadable})
		}
	}
	return true, errors.Join(errs...)
}

// pick takes the unit to be read next: what was asked for before routine, and
// what waits longest first.
func (p *Poller) pick() *unit {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.opts.Now()
	if now.Before(p.pause) {
		return nil
	}
	var best *unit
	for _, u := range p.units {
		if u.running || u.due.IsZero() || u.due.After(now) {
			continue
		}
		if best == nil || u.asked && !best.asked || u.asked == best.asked && u.due.Before(best.due) {
			best = u
		}
	}
	if best != nil {
		best.running = true
		if best.waiting.IsZero() {
			best.waiting = best.due
		}
	}
	return best
}

// untilNext returns how long there is nothing to do.
func (p *Poller) untilNext(busy bool) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.opts.Now()
	next := p.planned.Add(pollerReplan)
	if !busy {
		for _, u := range p.units {
			if !u.running && !u.due.IsZero() && u.due.Before(next) {
				next = u.due
			}
		}
		if next.Before(p.pause) {
			next = p.pause
		}
	}
	return max(next.Sub(now), time.Millisecond)
}

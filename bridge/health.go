package bridge

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"

	vitals "teamsbridge/bridge/health"
	"teamsbridge/texts"
)

const (
	outagesKept = 20
	// healthTick is how often time is let pass, where nothing happens.
	healthTick = 5 * time.Second
	// changeAfter is how long another cause of a running outage must hold before
	// it is told: in its first seconds an outage shows from several sides.
	changeAfter = 15 * time.Second
)

// outage is a time in which messages could not be read from Teams or written
// to it.
type outage struct {
	Began, Ended time.Time
	// Kind is the cause, Detail what was met, in English.
	Kind   vitals.Cause
	Detail string
	// NoReading and NoWriting say what can't be done.
	NoReading, NoWriting bool
	// Unreadable and Unwritable are since when.
	Unreadable, Unwritable time.Time
}

// health knows what can be used of what the bridge depends on. It learns that
// from what the others' requests meet, and asks itself only where they met
// trouble. The judgement is package bridge/health's; here are the clock, the
// probes, and the word to the others.
type health struct {
	monitor *vitals.Monitor
	// probe asks Graph; pokeGraph and pokeSignIn only see if something answers.
	probe                 func(ctx context.Context) error
	pokeGraph, pokeSignIn func(ctx context.Context)
	// askHomeserver may be nil.
	askHomeserver func(ctx context.Context) error
	// subscriptions says how the subscriptions are, Unknown where there are none.
	subscriptions func() (vitals.State, string)
	// down, changed and up are told of an outage's beginning, of another cause
	// while it goes on, and of its end, in order and one at a time.
	down    func(ctx context.Context, o outage)
	changed func(ctx context.Context, o outage)
	up      func(ctx context.Context, o outage)
	// stepped sees each change of a dependency's state. It must not block.
	stepped func(vitals.Change)
	now     func() time.Time
	started time.Time

	suspect, suspectHome, moved chan struct{}

	mu      sync.Mutex
	outages []outage
	isDown  bool
	known   bool
	steps   []vitals.Change // to be logged
	// other is what the running outage has become, since when.
	other      outage
	otherSince time.Time
}

func newHealth(probe func(ctx context.Context) error, now func() time.Time) *health {
	nothing := func(context.Context, outage) {}
	quiet := func(context.Context) {}
	return &health{
		monitor: vitals.NewMonitor(now), probe: probe, now: now, started: now(), down: nothing, changed: nothing, up: nothing,
		pokeGraph: quiet, pokeSignIn: quiet, stepped: func(vitals.Change) {},
		subscriptions: func() (vitals.State, string) { return vitals.Unknown, "" },
		suspect:       make(chan struct{}, 1), suspectHome: make(chan struct{}, 1), moved: make(chan struct{}, 1),
	}
}

// observe takes the outcome of a use of a dependency into account.
func (h *health) observe(o vitals.Observation) { h.note(h.monitor.Observe(o)) }

// note passes on what the monitor's machines did.
func (h *health) note(changes []vitals.Change) {
	if len(changes) == 0 {
		return
	}
	for _, c := range changes {
		h.stepped(c)
	}
	h.mu.Lock()
	h.steps = append(h.steps, changes...)
	h.mu.Unlock()
	wake(h.moved)
}

// wake signals without waiting.
func wake(signal chan struct{}) {
	select {
	case signal <- struct{}{}:
	default:
	}
}

// run asks and tells until ctx ends.
func (h *health) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	loops := []func(context.Context) error{h.watch, h.graphInquiry().run, h.homeserverInquiry().run}
	errs := make(chan error, len(loops))
	for _, loop := range loops {
		go func() { errs <- guarded(ctx, loop) }()
	}
	first := <-errs
	cancel()
	for range len(loops) - 1 {
		<-errs
	}
	return first
}

// watch tells the others what has become of it all.
func (h *health) watch(ctx context.Context) error {
	ticker := time.NewTicker(healthTick)
	defer ticker.Stop()
	for {
		h.note(h.monitor.Tick())
		h.lookAtSubscriptions()
		h.logSteps(ctx)
		h.announce(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		case <-h.moved:
		}
	}
}

func (h *health) logSteps(ctx context.Context) {
	h.mu.Lock()
	steps := h.steps
	h.steps = nil
	h.mu.Unlock()
	for _, c := range steps {
		level := zerolog.InfoLevel
		if c.To >= vitals.Degraded {
			level = zerolog.WarnLevel
		}
		zerolog.Ctx(ctx).WithLevel(level).Str("dependency", string(c.Dependency)).Stringer("from", c.From).Stringer("state", c.To).
			Str("cause", string(c.Cause)).Msg("What the bridge depends on has changed")
	}
}

// verdict is the outage that there is, as far as it can be told now.
func (h *health) verdict() (o outage, broken, known bool) {
	reading, writing := h.monitor.Reading(), h.monitor.Writing()
	o.NoReading, o.NoWriting = !reading.OK, !writing.OK
	why := writing
	if writing.OK {
		why = reading
	} else {
		o.Unwritable = writing.Since
	}
	if o.NoReading {
		o.Unreadable = reading.Since
	}
	o.Began, o.Kind, o.Detail = why.Since, why.Cause, why.Detail
	if o.NoReading && o.NoWriting && reading.Since.Before(o.Began) {
		o.Began = reading.Since
	}
	return o, o.NoReading || o.NoWriting, reading.Known || writing.Known
}

// announce tells of an outage that has begun, changed or ended. It runs in one
// goroutine.
func (h *health) announce(ctx context.Context) {
	seen, broken, known := h.verdict()
	h.mu.Lock()
	first := known && !h.known
	h.known = h.known || known
	switch {
	case broken && !h.isDown:
		h.isDown, h.otherSince = true, time.Time{}
		if h.outages = append(h.outages, seen); len(h.outages) > outagesKept {
			h.outages = h.outages[1:]
		}
		h.mu.Unlock()
		zerolog.Ctx(ctx).Error().Str("kind", string(seen.Kind)).Str("cause", causeSentence(texts.Texts{}, seen.Kind, seen.Detail)).Bool("reading", !seen.NoReading).Bool("writing", !seen.NoWriting).
			Msg("Microsoft Teams can't be used")
		h.down(ctx, seen)
	case broken:
		o, changed := h.change(seen)
		h.mu.Unlock()
		if changed {
			zerolog.Ctx(ctx).Warn().Str("kind", string(o.Kind)).Str("cause", causeSentence(texts.Texts{}, o.Kind, o.Detail)).Bool("reading", !o.NoReading).Bool("writing", !o.NoWriting).
				Msg("Microsoft Teams still can't be used, for another reason")
			h.changed(ctx, o)
		}
	case h.isDown:
		h.isDown = false
		last := &h.outages[len(h.outages)-1]
		last.Ended = h.now()
		o := *last
		h.mu.Unlock()
		zerolog.Ctx(ctx).Info().Stringer("lasted", o.Ended.Sub(o.Began).Round(time.Second)).Msg("Microsoft Teams can be used again")
		h.up(ctx, o)
	default:
		h.mu.Unlock()
		if first {
			zerolog.Ctx(ctx).Info().Msg("Microsoft Graph answers")
		}
	}
}

// change notes what the running outage has become, once that has held for a
// while. mu is held.
func (h *health) change(seen outage) (outage, bool) {
	last := &h.outages[len(h.outages)-1]
	same := func(a, b outage) bool {
		return a.Kind == b.Kind && a.NoReading == b.NoReading && a.NoWriting == b.NoWriting
	}
	if same(seen, *last) {
		h.otherSince = time.Time{}
		return outage{}, false
	}
	if h.otherSince.IsZero() || !same(seen, h.other) {
		h.other, h.otherSince = seen, h.now()
	}
	if h.now().Sub(h.otherSince) < changeAfter {
		return outage{}, false
	}
	h.otherSince = time.Time{}
	last.Detail, last.Kind, last.NoReading, last.NoWriting = seen.Detail, seen.Kind, seen.NoReading, seen.NoWriting
	last.Unreadable, last.Unwritable = seen.Unreadable, seen.Unwritable
	return *last, true
}

// noWriting reports whether there is an outage in which nothing can be written.
// It is over with the first message that goes through, which may be well before
// the outage's end is certain and told.
func (h *health) noWriting() bool {
	if !h.monitor.Unproven(vitals.GraphWrite) {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.isDown && len(h.outages) > 0 && h.outages[len(h.outages)-1].NoWriting
}

// writingRevoked returns since when Graph may refuse to let the bridge write at
// all, because a permission was taken away; the zero time where it does not. That
// is since the last message that went through, or since this process began:
// what was refused since then was refused for that.
func (h *health) writingRevoked() time.Time {
	writing := h.monitor.Writing()
	if writing.OK || writing.Cause != vitals.PermissionRevoked {
		return time.Time{}
	}
	return latest(h.monitor.CoreAt(vitals.GraphWrite), h.started)
}

// state returns whether there is an outage, whether anything is known yet, and
// the outages of this run, the newest last.
func (h *health) state() (down, known bool, outages []outage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.isDown, h.known, append([]outage(nil), h.outages...)
}

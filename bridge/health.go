package bridge

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"teamsbridge/teams"
)

// How health asks whether Graph is there.
const (
	probeTimeout   = 20 * time.Second
	probeMin       = 2 * time.Second
	probeMax       = 15 * time.Second
	outagesKept    = 20
	downAfterFails = 2
)

// outage is a time in which Graph could not be used.
type outage struct {
	Began, Ended time.Time
	// Kind is the cause, one of a fixed set; Cause says it to operators.
	Kind, Cause string
}

// health knows whether Graph can be used. It learns from what the others'
// requests meet, and asks itself only where they met trouble.
type health struct {
	probe func(ctx context.Context) error
	// down, changed and up are told of an outage's beginning, of another cause,
	// and of its end, in order.
	down, changed, up func(ctx context.Context, o outage)

	now func() time.Time

	suspect chan struct{}

	mu      sync.Mutex
	outages []outage
	isDown  bool
	known   bool
}

func newHealth(probe func(ctx context.Context) error, now func() time.Time) *health {
	nothing := func(context.Context, outage) {}
	return &health{probe: probe, now: now, down: nothing, changed: nothing, up: nothing, suspect: make(chan struct{}, 1)}
}

// isOutage reports whether an error says that Graph as a whole can't be used
// with our credential, rather than that one request was wrong.
func isOutage(err error) bool {
	switch teams.KindOf(err) {
	case teams.KindUnavailable, teams.KindSignInExpired:
		return true
	default:
		return false
	}
}

// report takes the outcome of work with Graph into account.
func (h *health) report(err error) {
	if err != nil && isOutage(err) {
		h.doubt()
	}
}

// GraphRequest implements a part of teams.HTTPMetrics: trouble is looked into.
func (h *health) GraphRequest(_ string, status int, _ time.Duration) {
	if status == 0 || status >= 500 {
		h.doubt()
	}
}

func (h *health) doubt() {
	select {
	case h.suspect <- struct{}{}:
	default:
	}
}

// run asks once at start, and then whenever somebody met trouble, until Graph
// answers.
func (h *health) run(ctx context.Context) error {
	for {
		if err := h.settle(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-h.suspect:
		}
	}
}

// settle asks until Graph answers.
func (h *health) settle(ctx context.Context) error {
	wait := probeMin
	for fails := 1; ; fails++ {
		probeCtx, cancel := context.WithTimeout(ctx, probeTimeout)
		err := h.probe(probeCtx)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil || !isOutage(err) {
			h.recovered(ctx)
			return nil
		}
		if fails >= downAfterFails {
			h.failed(ctx, err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		wait = min(2*wait, probeMax)
	}
}

func (h *health) failed(ctx context.Context, err error) {
	h.mu.Lock()
	h.known = true
	if h.isDown {
		last := &h.outages[len(h.outages)-1]
		last.Kind, last.Cause = causeKind(err), causeText(err)
		o := *last
		h.mu.Unlock()
		h.changed(ctx, o)
		return
	}
	h.isDown = true
	o := outage{Began: h.now(), Kind: causeKind(err), Cause: causeText(err)}
	h.outages = append(h.outages, o)
	if len(h.outages) > outagesKept {
		h.outages = h.outages[1:]
	}
	h.mu.Unlock()
	zerolog.Ctx(ctx).Error().Err(err).Msg("Microsoft Graph can't be used")
	h.down(ctx, o)
}

// causeKind is an error as one of the causes.
func causeKind(err error) string {
	if teams.KindOf(err) == teams.KindSignInExpired {
		return causeCredential
	}
	return causeTeams
}

// causeText is an error in a sentence for people; the log has all of it.
func causeText(err error) string {
	var e *teams.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	brief := &teams.Error{Op: e.Op, Kind: e.Kind, Status: e.Status, Code: e.Code}
	if e.Hint == "" {
		return brief.Error()
	}
	return brief.Error() + ": " + e.Hint
}

func (h *health) recovered(ctx context.Context) {
	h.mu.Lock()
	first := !h.known
	h.known = true
	if !h.isDown {
		h.mu.Unlock()
		if first {
			zerolog.Ctx(ctx).Info().Msg("Microsoft Graph answers")
		}
		return
	}
	h.isDown = false
	last := &h.outages[len(h.outages)-1]
	last.Ended = h.now()
	o := *last
	h.mu.Unlock()
	zerolog.Ctx(ctx).Info().Stringer("lasted", o.Ended.Sub(o.Began).Round(time.Second)).Msg("Microsoft Graph answers again")
	h.up(ctx, o)
}

// state returns whether Graph is known to be down, whether anything is known
// yet, and the outages of this run, the newest last.
func (h *health) state() (down, known bool, outages []outage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.isDown, h.known, append([]outage(nil), h.outages...)
}

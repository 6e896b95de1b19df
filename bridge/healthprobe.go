package bridge

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	vitals "teamsbridge/bridge/health"
	"teamsbridge/database"
	"teamsbridge/teams"
)

// How health asks whether something is there.
const (
	// probeTimeout bounds one probe: with those before it, the slow request that
	// gave rise to them and the pauses, an outage that shows as silence is known
	// in less than a minute.
	probeTimeout = 10 * time.Second
	probeMin     = 2 * time.Second
	// probeMax is the longest pause while it is down: people wait that long for
	// the first message after an outage.
	probeMax = 10 * time.Second
	// probeRefused is the pause where a credential is refused: only somebody's
	// hand can change that.
	probeRefused = time.Minute
	// probeBack is the pause while it recovers, when people wait for it.
	probeBack = time.Second
)

// inquiry asks a service while there is doubt about it.
type inquiry struct {
	suspect chan struct{}
	atStart bool
	// ask asks once; what came of it has been observed when it returns.
	ask func(ctx context.Context)
	// more reports whether to ask again after so many times, and when.
	more func(asked int) (wait time.Duration, again bool)
}

// run asks once at start if wanted, and then whenever somebody met trouble,
// until there is no doubt left.
func (q *inquiry) run(ctx context.Context) error {
	if q.atStart {
		wake(q.suspect)
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-q.suspect:
		}
		for asked, again := 1, true; again; asked++ {
			began := time.Now()
			q.ask(ctx)
			var wait time.Duration
			wait, again = q.more(asked)
			// Counted from when it was asked: silence has taken its time already.
			if err := sleepFor(ctx, max(wait-time.Since(began), probeBack)); err != nil {
				return err
			}
		}
	}
}

func sleepFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// graphInquiry asks Graph and the sign-in service.
func (h *health) graphInquiry() *inquiry {
	return &inquiry{suspect: h.suspect, atStart: true, ask: h.askGraph, more: func(asked int) (time.Duration, bool) {
		return h.pause(asked, vitals.GraphRead, vitals.SignIn), h.monitor.Doubtful(vitals.GraphRead) || h.monitor.Doubtful(vitals.SignIn)
	}}
}

// homeserverInquiry asks the homeserver; where nobody can, it waits for ever.
func (h *health) homeserverInquiry() *inquiry {
	ask := func(ctx context.Context) {
		if h.askHomeserver == nil {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		_ = h.askHomeserver(ctx) // observed where all requests to it are
	}
	return &inquiry{suspect: h.suspectHome, ask: ask, more: func(asked int) (time.Duration, bool) {
		return h.pause(asked, vitals.Homeserver), h.askHomeserver != nil && h.monitor.Doubtful(vitals.Homeserver)
	}}
}

// pause is how long to wait before asking again: quickly until it is certain,
// more and more rarely while it is down, quickly when it is coming back.
func (h *health) pause(asked int, of ...vitals.Dependency) time.Duration {
	pause := probeMin
	for _, s := range h.monitor.Status() {
		switch {
		case !slices.Contains(of, s.Dependency):
		case s.State == vitals.Recovering:
			return probeBack
		case s.State == vitals.Down && s.Cause == vitals.CredentialExpired:
			pause = probeRefused
		case s.State == vitals.Down:
			pause = max(pause, min(probeMin<<min(max(asked-2, 0), 4), probeMax))
		}
	}
	return pause
}

// askGraph is one probe. Where it meets silence, the other service is poked, to
// tell whose silence that is.
func (h *health) askGraph(ctx context.Context) {
	probeCtx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := h.probe(probeCtx)
	var held *teams.Error
	if ctx.Err() != nil || errors.As(err, &held) && held.Unsent {
		// What an announced pause has held back was not asked: taken for an
		// answer, it would end an outage in which Graph announces pauses.
		return
	}
	outcome := probeOutcome(err)
	switch {
	case outcome == vitals.NoToken:
		h.poke(ctx, h.pokeGraph)
	case outcome == vitals.Unreachable, h.monitor.Doubtful(vitals.SignIn):
		h.poke(ctx, h.pokeSignIn)
	}
	if ctx.Err() != nil {
		return
	}
	h.observe(vitals.Observation{Dependency: vitals.GraphRead, Op: "probe", Probe: true, Outcome: outcome, Detail: detailOf(err)})
}

func (h *health) poke(ctx context.Context, poke func(context.Context)) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	poke(ctx)
}

// probeOutcome is what a probe says. What Graph refuses to tell us, it refuses
// because it is there.
func probeOutcome(err error) vitals.Outcome {
	var e *teams.Error
	switch outcome := outcomeOf(err); {
	case err == nil:
		return vitals.OK
	case errors.As(err, &e) && e.Op == teams.OpAppSignIn && outcome != vitals.Refused:
		if outcome == vitals.Unreachable || outcome == vitals.ServerError {
			return vitals.NoToken
		}
		return vitals.Fault
	case outcome == vitals.Forbidden || outcome == vitals.Throttled || outcome == vitals.Fault:
		return vitals.OK
	default:
		return outcome
	}
}

// outcomeOf tells what an error says about the service.
func outcomeOf(err error) vitals.Outcome {
	var e *teams.Error
	if err == nil {
		return vitals.OK
	}
	if !errors.As(err, &e) {
		return vitals.Fault
	}
	switch e.Kind {
	case teams.KindUnavailable:
		// An answer that broke off keeps its status; a proxy's own refusal is no
		// word of the service.
		if e.Status < http.StatusBadRequest || e.Status == http.StatusProxyAuthRequired {
			return vitals.Unreachable
		}
		return vitals.ServerError
	case teams.KindSignInExpired:
		return vitals.Refused
	case teams.KindThrottled:
		return vitals.Throttled
	case teams.KindPermission:
		return vitals.Forbidden
	default:
		return vitals.Fault
	}
}

// detailOf is an error in a few words for operators; the log has all of it.
func detailOf(err error) string {
	var e *teams.Error
	if !errors.As(err, &e) {
		return ""
	}
	brief := &teams.Error{Op: e.Op, Kind: e.Kind, Status: e.Status, Code: e.Code}
	if e.Hint == "" {
		return brief.Error()
	}
	return brief.Error() + ": " + e.Hint
}

// probe asks Graph for next to nothing: at first who the tenant is, later a
// team, because the organisation is told by others than Teams.
func (r *runtime) probe(ctx context.Context) error {
	known := r.c.tenantName.Load() != nil
	mirrored := inOrder(r.catalog.all(func(c database.Conversation) bool { return isMirrored(c) && c.Kind == database.ConversationTeam }))
	if known && len(mirrored) > 0 {
		team := mirrored[int(r.probes.Add(1))%len(mirrored)]
		_, err := r.graph.reader.Team(ctx, team.TeamID)
		return err
	}
	name, err := r.graph.reader.Organization(ctx)
	if err == nil {
		r.c.tenantName.Store(&name)
	}
	return err
}

// poke sends a request that needs no sign-in. What came of it is seen where
// all requests to Graph and the sign-in service are.
func (r *runtime) poke(url string) func(ctx context.Context) {
	return func(ctx context.Context) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return
		}
		if resp, err := r.graph.http.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}
}

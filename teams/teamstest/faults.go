package teamstest

import (
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// FaultKind names what goes wrong.
type FaultKind string

// Faults that strike before anything was done.
const (
	// FaultRefuse cuts the connection without an answer. Go's own transport
	// repeats a GET at once when that happens on a connection that it had used
	// before; Times counts every attempt.
	FaultRefuse FaultKind = "refuse"
	// FaultHang never answers: the connection is held until the client gives
	// up, the fault is cleared or the tenant comes up again.
	FaultHang FaultKind = "hang"
	// FaultSlow answers after Fault.Delay, by the wall clock.
	FaultSlow FaultKind = "slow"
	// FaultThrottled answers 429, with Retry-After only where
	// Fault.RetryAfter is set.
	FaultThrottled FaultKind = "429"
	// FaultInternalError answers 500.
	FaultInternalError FaultKind = "500"
	// FaultBadGateway answers 502.
	FaultBadGateway FaultKind = "502"
	// FaultUnavailable answers 503, with Retry-After where it is set.
	FaultUnavailable FaultKind = "503"
	// FaultGatewayTimeout answers 504.
	FaultGatewayTimeout FaultKind = "504"
	// FaultHTML answers with the HTML page of a gateway and status 502.
	FaultHTML FaultKind = "html"
	// FaultNotFound answers 404, as a read that comes before the service has
	// become consistent does.
	FaultNotFound FaultKind = "404"
	// FaultForbidden answers 403, as for a permission that was revoked.
	FaultForbidden FaultKind = "403"
	// FaultExpireToken lets the request's access token expire at once.
	FaultExpireToken FaultKind = "expire-token"
	// FaultClaimsChallenge answers 401 with a claims challenge (continuous
	// access evaluation).
	FaultClaimsChallenge FaultKind = "claims-challenge"
	// FaultRevokeRefresh revokes every refresh token of the request's user
	// and lets the request fail with the sign-in service.
	FaultRevokeRefresh FaultKind = "revoke-refresh"
	// FaultDeltaGone answers a delta query that carries a token with 410 and
	// a Location to start from.
	FaultDeltaGone FaultKind = "delta-gone"
	// FaultDeltaRefused answers any delta query with 400, as application
	// tokens have been seen to get.
	FaultDeltaRefused FaultKind = "delta-refused"
	// FaultSyncStateNotFound answers a delta query that carries a token with
	// 400 syncStateNotFound.
	FaultSyncStateNotFound FaultKind = "sync-state-not-found"
)

// Faults that strike when the request was carried out.
const (
	// FaultCut sends half of the answer and cuts the connection.
	FaultCut FaultKind = "cut"
	// FaultAcceptLose carries the request out and cuts the connection.
	FaultAcceptLose FaultKind = "accept-lose"
	// FaultAcceptHang carries the request out and never answers.
	FaultAcceptHang FaultKind = "accept-hang"
	// FaultAcceptBadGateway carries the request out and answers 502.
	FaultAcceptBadGateway FaultKind = "accept-502"
	// FaultAcceptUnavailable carries the request out and answers 503.
	FaultAcceptUnavailable FaultKind = "accept-503"
	// FaultAcceptTimeout carries the request out and answers 504.
	FaultAcceptTimeout FaultKind = "accept-504"
	// FaultNotifyEarly holds the answer of a write back until every
	// notification of it was delivered.
	FaultNotifyEarly FaultKind = "notify-early"
)

// Faults of notifications. Match.Path is matched against the notification's
// resource, Match.Op is ignored.
const (
	// FaultNotifyNever loses a notification for good.
	FaultNotifyNever FaultKind = "notify-never"
	// FaultNotifyTwice delivers a notification twice.
	FaultNotifyTwice FaultKind = "notify-twice"
	// FaultNotifyLate delivers a notification Fault.Delay later, on the
	// tenant's clock.
	FaultNotifyLate FaultKind = "notify-late"
	// FaultNotifyReorder delivers a notification after the next one of its
	// subscription, or after Fault.Delay (2 s where not set) if none comes.
	FaultNotifyReorder FaultKind = "notify-reorder"
	// FaultRemoveSubscription removes the subscription instead of notifying,
	// and tells its lifecycle URL.
	FaultRemoveSubscription FaultKind = "remove-subscription"
)

// Service is a part of the tenant that can fail on its own.
type Service string

const (
	// ServiceGraph is everything below /v1.0.
	ServiceGraph Service = "graph"
	// ServiceSignIn is everything else: tokens, keys, sign-in pages.
	ServiceSignIn Service = "sign-in"
)

// CallerApp as Match.Caller matches requests with the application's own token.
const CallerApp = "app"

// Match says which requests a fault concerns. The zero Match is every request.
type Match struct {
	Service Service
	Op      Op
	Method  string
	// Path is a regular expression over the decoded path, without /v1.0.
	Path string
	// Caller is CallerApp, a user's id, or a user's sign-in name.
	Caller string
}

// Fault is something that goes wrong on demand.
type Fault struct {
	Match Match
	Kind  FaultKind
	// Times is how often it strikes, 0 until it is cleared.
	Times int
	// Skip lets that many matching requests pass first.
	Skip int
	// Chance makes it strike with that probability, 0 means always. The
	// draws are the same in every run of a seed and sequence of requests.
	Chance float64
	// RetryAfter is announced by FaultThrottled and FaultUnavailable. With
	// Options.Limits it is enforced too.
	RetryAfter time.Duration
	// Delay is used by FaultSlow, FaultNotifyLate and FaultNotifyReorder.
	Delay time.Duration
}

// Injected is a fault in place.
type Injected struct {
	set     *Faults
	fault   Fault
	path    *regexp.Regexp
	seen    int
	hits    int
	struck  []Struck
	cleared chan struct{}
}

// Struck is a message whose notification met a fault.
type Struck struct{ ChannelID, MessageID string }

// Faults is the set of faults of a tenant. The first that matches strikes.
type Faults struct {
	mu   sync.Mutex
	rng  *rand.Rand
	list []*Injected
	user func(key string) string
}

func newFaults(seed uint64, user func(string) string) *Faults {
	return &Faults{rng: rand.New(rand.NewPCG(seed, 0x7ea35)), user: user}
}

// Add puts a fault in place. Faults that only make sense for some requests
// wait for one of those: delta faults for a delta query, token and permission
// faults for Graph, FaultNotFound for a read. It panics on a Match.Path that is
// no regular expression.
func (s *Faults) Add(f Fault) *Injected {
	if f.Match.Op == "" {
		switch f.Kind {
		case FaultDeltaGone, FaultDeltaRefused, FaultSyncStateNotFound:
			f.Match.Op = OpMessagesDelta
		case FaultNotFound:
			f.Match.Service, f.Match.Method = ServiceGraph, http.MethodGet
		case FaultExpireToken, FaultClaimsChallenge, FaultForbidden:
			f.Match.Service = ServiceGraph
		}
	}
	in := &Injected{set: s, fault: f, cleared: make(chan struct{})}
	if f.Match.Path != "" {
		in.path = regexp.MustCompile(f.Match.Path)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, in)
	return in
}

// Clear removes every fault; what hangs is cut.
func (s *Faults) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range s.list {
		in.end()
	}
	s.list = nil
}

// Clear removes the fault; what hangs in it is cut.
func (in *Injected) Clear() {
	in.set.mu.Lock()
	defer in.set.mu.Unlock()
	in.end()
	in.set.list = slices.DeleteFunc(in.set.list, func(other *Injected) bool { return other == in })
}

// Hits is how often the fault has struck.
func (in *Injected) Hits() int {
	in.set.mu.Lock()
	defer in.set.mu.Unlock()
	return in.hits
}

// Struck lists the messages whose notifications met the fault, one entry for
// each notification.
func (in *Injected) Struck() []Struck {
	in.set.mu.Lock()
	defer in.set.mu.Unlock()
	return slices.Clone(in.struck)
}

func (in *Injected) note(s Struck) {
	in.set.mu.Lock()
	defer in.set.mu.Unlock()
	in.struck = append(in.struck, s)
}

// end closes cleared once. The set's lock is held.
func (in *Injected) end() {
	select {
	case <-in.cleared:
	default:
		close(in.cleared)
	}
}

// phase is the point in a request's life at which faults are looked up.
type phase int

const (
	phaseBefore phase = iota
	phaseAfter
	phaseNotify
)

func phaseOf(k FaultKind) phase {
	switch k {
	case FaultCut, FaultAcceptLose, FaultAcceptHang, FaultAcceptBadGateway, FaultAcceptUnavailable, FaultAcceptTimeout, FaultNotifyEarly:
		return phaseAfter
	case FaultNotifyNever, FaultNotifyTwice, FaultNotifyLate, FaultNotifyReorder, FaultRemoveSubscription:
		return phaseNotify
	}
	return phaseBefore
}

// target is what faults are matched against.
type target struct {
	service      Service
	op           Op
	method, path string
	query        string
	app          bool
	userID       string
}

// strike returns the fault that strikes a target in a phase, nil for none.
func (s *Faults) strike(p phase, g target) *Injected {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range s.list {
		if phaseOf(in.fault.Kind) != p || in.spent() || !s.matches(in, p, g) {
			continue
		}
		in.seen++
		if in.seen <= in.fault.Skip || in.fault.Chance > 0 && s.rng.Float64() >= in.fault.Chance {
			continue
		}
		in.hits++
		return in
	}
	return nil
}

func (in *Injected) spent() bool { return in.fault.Times > 0 && in.hits >= in.fault.Times }

func (s *Faults) matches(in *Injected, p phase, g target) bool {
	m := in.fault.Match
	if in.path != nil && !in.path.MatchString(g.path) {
		return false
	}
	if p == phaseNotify {
		return true
	}
	switch {
	case m.Service != "" && m.Service != g.service,
		m.Op != "" && m.Op != g.op,
		m.Method != "" && !strings.EqualFold(m.Method, g.method):
		return false
	case m.Caller == CallerApp:
		return g.app
	case m.Caller != "" && (g.userID == "" || s.user(m.Caller) != g.userID):
		return false
	}
	if in.fault.Kind == FaultNotifyEarly && g.method == http.MethodGet {
		return false
	}
	if in.fault.Kind == FaultDeltaGone || in.fault.Kind == FaultSyncStateNotFound {
		return strings.Contains(g.query, "token=")
	}
	return true
}

// Faults is the tenant's set of faults.
func (t *Tenant) Faults() *Faults { return t.edge.faults }

package teamstest

import (
	"slices"
	"sync"
	"time"
)

// requestLogSize bounds the request log; the oldest half goes when it is full.
const requestLogSize = 200_000

// Request is one request that the tenant received, Graph or sign-in. Steps of
// a $batch are listed on their own, after the $batch itself.
type Request struct {
	// At is the tenant's time of arrival.
	At time.Time
	// Took is how long the answer took on the wall clock.
	Took   time.Duration
	Method string
	// Path is the decoded path without the version prefix; Query is as sent.
	Path  string
	Query string
	// Op names the operation.
	Op Op
	// Status is the status that was sent; 0 where no answer was.
	Status int
	// AppID is the calling application, Account the signed-in user's id
	// (empty for the application's own token).
	AppID   string
	Account string
	// RetryAfterGiven is the Retry-After of the answer, 0 for none.
	RetryAfterGiven time.Duration
	// Fault names the injected fault that the request met, if any.
	Fault FaultKind
	// Applied says that a write took effect, whatever the answer was.
	Applied bool
	// Batched says that the request was a step of a $batch.
	Batched bool
}

// ViolationKind says which rule a client broke.
type ViolationKind string

const (
	// ViolationLimit is a documented limit exceeded beyond the burst that is
	// tolerated. It is found with and without Options.Limits.
	ViolationLimit ViolationKind = "limit"
	// ViolationEarly is a request in a scope before its announced Retry-After
	// was over.
	ViolationEarly ViolationKind = "early"
	// ViolationRepeatedWrite is a write sent again although the tenant had
	// accepted it.
	ViolationRepeatedWrite ViolationKind = "repeated-write"
	// ViolationTokenLeak is an Authorization header sent to an address that
	// must not get one: upload sessions, pre-authenticated downloads, hosts
	// that are not Graph.
	ViolationTokenLeak ViolationKind = "token-leak"
	// ViolationPolling is a listing of a Teams resource begun more than once
	// within a day, which the terms of use do not allow. A bridge that was
	// told to poll breaks it knowingly.
	ViolationPolling ViolationKind = "polling"
	// ViolationReauthorize is reauthorize and PATCH of one subscription
	// within ten minutes of each other.
	ViolationReauthorize ViolationKind = "reauthorize"
)

// Violation is a rule of Graph that a client broke.
type Violation struct {
	Kind ViolationKind
	At   time.Time
	// Scope is the limit, resource or host concerned.
	Scope   string
	Method  string
	Path    string
	Account string
}

// violationLogSize bounds the violation log; what goes beyond is counted.
const violationLogSize = 20_000

// requestLog keeps requests and violations, cheap enough for load tests.
type requestLog struct {
	mu         sync.Mutex
	requests   []Request
	dropped    int
	violations []Violation
	counts     map[ViolationKind]int
}

func newRequestLog() *requestLog {
	return &requestLog{counts: map[ViolationKind]int{}}
}

func (l *requestLog) add(r Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.requests) >= requestLogSize {
		half := len(l.requests) / 2
		l.dropped += half
		l.requests = append(l.requests[:0], l.requests[half:]...)
	}
	l.requests = append(l.requests, r)
}

func (l *requestLog) violation(v Violation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[v.Kind]++
	if len(l.violations) < violationLogSize {
		l.violations = append(l.violations, v)
	}
}

// Requests returns the requests that match, oldest first; a nil match returns
// all of them.
func (t *Tenant) Requests(match func(Request) bool) []Request {
	l := t.edge.log
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []Request
	for _, r := range l.requests {
		if match == nil || match(r) {
			found = append(found, r)
		}
	}
	return found
}

// CountRequests counts the requests that match without copying them.
func (t *Tenant) CountRequests(match func(Request) bool) int {
	l := t.edge.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if match == nil {
		return l.dropped + len(l.requests)
	}
	n := 0
	for i := range l.requests {
		if match(l.requests[i]) {
			n++
		}
	}
	return n
}

// Violations returns the violations of the given kinds, of all kinds where
// none is given.
func (t *Tenant) Violations(kinds ...ViolationKind) []Violation {
	l := t.edge.log
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []Violation
	for _, v := range l.violations {
		if len(kinds) == 0 || slices.Contains(kinds, v.Kind) {
			found = append(found, v)
		}
	}
	return found
}

// CountViolations counts every violation of a kind, also those beyond what
// the log keeps.
func (t *Tenant) CountViolations(kind ViolationKind) int {
	l := t.edge.log
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[kind]
}

// ResetRequests forgets requests and violations.
func (t *Tenant) ResetRequests() {
	l := t.edge.log
	l.mu.Lock()
	l.requests, l.violations, l.dropped = nil, nil, 0
	clear(l.counts)
	l.mu.Unlock()
	t.edge.audit.reset()
}

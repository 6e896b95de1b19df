package teamstest

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// edgeState is what the edge keeps in a Tenant: the sign-in service, limits,
// faults, subscriptions and the request log, each with a lock of its own. Where
// two are held, Tenant.mu is the inner one: nothing of the edge is called with
// it held.
type edgeState struct {
	t      *Tenant
	ctx    context.Context
	cancel context.CancelFunc

	app         *App
	tokens      *tokens
	devices     devices
	codes       authCodes
	signer      signer
	signIn      []compiledRoute
	publisherID string

	throttle *throttle
	faults   *Faults
	outages  *outages
	notifier *notifier
	log      *requestLog
	audit    *audit
	foreign  foreign
}

// installEdge fills t.seams. It runs before the server accepts requests, when
// t.url, t.clock, t.ids and t.opts are set.
func (t *Tenant) installEdge() {
	e := &t.edge
	e.t = t
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.app = newApp(t.ids)
	e.tokens = newTokens(t.clock.Now, t.opts.SignIn.filled())
	e.codes.codes = map[string]*authCode{}
	e.publisherID = t.ids.guid()
	e.signIn = e.compileSignIn()
	e.throttle = newThrottle(t.clock.Now, t.opts.Limits)
	e.faults = newFaults(t.opts.Seed, func(key string) string {
		if u := e.findUser(key); u != nil {
			return u.ID
		}
		return ""
	})
	e.outages = newOutages()
	e.log = newRequestLog()
	e.audit = newAudit()
	e.notifier = newNotifier(e, t.opts.Notify)
	t.seams.authenticate = e.authenticate
	t.seams.throttle = e.throttleCall
	t.seams.before = e.before
	t.seams.after = e.after
	t.seams.onChange = e.notifier.onChange
	t.seams.serveOther = http.HandlerFunc(e.serveOther)
	t.seams.routes = append(t.seams.routes, e.subscriptionRoutes()...)
	t.seams.close = e.close
}

func (e *edgeState) close() {
	e.cancel()
	e.faults.Clear()
	e.notifier.close()
	e.foreign.close()
}

// findUser finds a person by id or sign-in name.
func (e *edgeState) findUser(key string) *User {
	e.t.mu.Lock()
	defer e.t.mu.Unlock()
	return e.t.user(key)
}

// enabled reports whether a person exists and may sign in.
func (e *edgeState) enabled(userID string) bool {
	e.t.mu.Lock()
	defer e.t.mu.Unlock()
	u := e.t.user(userID)
	return u != nil && u.enabled
}

// trace is what the edge notes about a request on its way.
type trace struct {
	began    time.Time
	caller   caller
	fault    FaultKind
	answered bool // by a fault or an outage, not by the tenant
}

type traceKey struct{}

func traceOf(x *exchange) *trace {
	tr, ok := x.r.Context().Value(traceKey{}).(*trace)
	if !ok {
		return &trace{began: time.Now()}
	}
	return tr
}

// before is the seam: outages and the faults that strike first.
func (e *edgeState) before(x *exchange) (*response, bool) {
	tr := &trace{began: time.Now()}
	tr.caller, _ = e.tokens.peek(bearer(x.r))
	x.r = x.r.WithContext(context.WithValue(x.r.Context(), traceKey{}, tr))
	service := serviceOf(x.op)
	if mode, changed := e.outages.mode(service); mode != "" {
		tr.fault, tr.answered = FaultKind("down-"+string(mode)), true
		if x.w != nil && (mode == DownRefuse || mode == DownHang) {
			e.record(x, tr, nil, false)
		}
		return e.outage(x, mode, changed)
	}
	in := e.faults.strike(phaseBefore, e.targetOf(x, tr))
	if in == nil {
		return nil, false
	}
	tr.fault = in.fault.Kind
	if unanswered(x, in.fault.Kind) {
		e.record(x, tr, nil, false)
	}
	resp, handled := e.strikeBefore(x, in)
	tr.answered = resp != nil
	return resp, handled
}

func (e *edgeState) targetOf(x *exchange, tr *trace) target {
	return target{
		service: serviceOf(x.op), op: x.op, method: x.r.Method, path: x.path, query: x.r.URL.RawQuery,
		app: tr.caller.App, userID: tr.caller.UserID,
	}
}

// outage answers for a service that is down.
func (e *edgeState) outage(x *exchange, mode DownMode, changed <-chan struct{}) (*response, bool) {
	switch mode {
	case DownRefuse:
		return e.cut(x)
	case DownHang:
		return e.hang(x, changed)
	case DownHTML:
		return gatewayPage(), false
	}
	return e.falseAnswer(x, Fault{Kind: FaultUnavailable}), false
}

// after is the seam: the audit, the faults that strike last, the log.
func (e *edgeState) after(x *exchange, resp *response) (handled bool) {
	tr := traceOf(x)
	applied := !tr.answered && x.r.Method != http.MethodGet && resp.status < 300 && serviceOf(x.op) == ServiceGraph && x.op != OpBatch
	listed := !tr.answered && x.r.Method == http.MethodGet && resp.status < 300
	var in *Injected
	if !tr.answered {
		in = e.faults.strike(phaseAfter, e.targetOf(x, tr))
	}
	if applied && e.audit.write(x, in == nil || in.fault.Kind == FaultNotifyEarly) {
		e.violate(x, ViolationRepeatedWrite, x.path)
	}
	if listed && e.audit.poll(x) {
		e.violate(x, ViolationPolling, x.path)
	}
	if in != nil {
		tr.fault = in.fault.Kind
		if unanswered(x, tr.fault) {
			e.record(x, tr, nil, applied)
		}
		if e.strikeAfter(x, resp, in) {
			return true
		}
	}
	e.record(x, tr, resp, applied)
	return false
}

// unanswered reports whether a fault leaves the request without a whole
// answer. Such a request is in the log before the client notices.
func unanswered(x *exchange, kind FaultKind) bool {
	return x.w != nil && slices.Contains([]FaultKind{FaultRefuse, FaultHang, FaultCut, FaultAcceptLose, FaultAcceptHang}, kind)
}

// record writes the request log; a nil response is one that was never sent.
func (e *edgeState) record(x *exchange, tr *trace, resp *response, applied bool) {
	c := tr.caller
	if x.caller.AppID != "" {
		c = x.caller
	}
	r := Request{
		At: x.received, Took: time.Since(tr.began), Method: x.r.Method, Path: x.path, Query: x.r.URL.RawQuery, Op: x.op,
		AppID: c.AppID, Account: c.UserID, Fault: tr.fault, Applied: applied, Batched: x.batch,
	}
	if resp != nil {
		r.Status = resp.status
		if seconds, err := strconv.Atoi(strings.TrimSpace(resp.header.Get("Retry-After"))); err == nil {
			r.RetryAfterGiven = time.Duration(seconds) * time.Second
		}
	}
	e.log.add(r)
}

// violate books a violation.
func (e *edgeState) violate(x *exchange, kind ViolationKind, scope string) {
	e.log.violation(Violation{
		Kind: kind, At: e.t.clock.Now(), Scope: scope, Method: x.r.Method, Path: x.path, Account: traceOf(x).caller.UserID,
	})
}

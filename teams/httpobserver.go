package teams

import (
	"context"
	"errors"
	"net/http"
	"time"
)

const (
	// slowAfter is when a request without an answer is reported as slow.
	slowAfter = 10 * time.Second
	// gaveUpEarly is how long a request must have waited before the end of its
	// caller's patience says anything about the service.
	gaveUpEarly = 5 * time.Second
)

// Attempt is a request that was sent once, and what came of it.
type Attempt struct {
	// Op is the operation, as in the metrics; Scope, the channel or team that it
	// was about, if any.
	Op, Scope string
	// SignIn marks requests to the sign-in service; Write, those to Graph that
	// change something.
	SignIn, Write bool
	// Account is the signed-in account that it was sent as, "" for the
	// application.
	Account string
	// Status is 0 without an answer.
	Status int
	// Err is nil for success, and for every answer of the sign-in service.
	Err *Error
	// Pause is what a refusal for the rate announced.
	Pause time.Duration
}

// HTTPObserver is told how requests went, to judge whether the services can be
// used. Its calls must not block. Unlike the labels of HTTPMetrics, an Attempt
// has ids.
type HTTPObserver interface {
	// GraphAttempt is called after each attempt that says something about the
	// service, so not for those whose caller gave up.
	GraphAttempt(Attempt)
	// GraphSlow is called when a request waits for its answer for long.
	GraphSlow(op string)
}

// watchSlow reports the request when it waits for long, until stopped.
func (s *stack) watchSlow(c call) (stop func() bool) {
	if s.opts.Observer == nil || c.file {
		return func() bool { return true }
	}
	return time.AfterFunc(slowAfter, func() { s.opts.Observer.GraphSlow(c.op) }).Stop
}

// judge hands an attempt to the observer.
func (s *stack) judge(ctx context.Context, c call, status int, failed *Error, started time.Time) {
	if s.opts.Observer == nil || c.file {
		return // SharePoint is not Graph
	}
	if err := ctx.Err(); err != nil && status == 0 &&
		(errors.Is(err, context.Canceled) || time.Since(started) < gaveUpEarly) {
		return
	}
	a := Attempt{Op: c.op, Scope: c.scope, SignIn: c.login, Write: c.write && !c.login, Account: c.user, Status: status, Err: failed}
	if a.Scope == "" {
		a.Scope = c.resource
	}
	if failed != nil && status == http.StatusTooManyRequests {
		a.Pause = failed.RetryAfter
	}
	s.opts.Observer.GraphAttempt(a)
}

package teams

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind says what class of failure an Error is, and with it what can be done.
type Kind int

// The kinds of failure.
const (
	KindUnknown       Kind = iota
	KindThrottled          // 429
	KindUnavailable        // network, timeout, 5xx
	KindSignInExpired      // the credential is no longer accepted
	KindPermission         // 403: a permission or consent is missing
	KindNotFound           // 404
	KindGone               // 410, or a token whose state is lost
	KindConflict           // 409
	KindTooLarge           // 413
	KindBadRequest         // 400 and other 4xx
	KindPrecondition       // 412: wrong kind of token for this call
	KindForeignHost        // refused by us: not a Graph host
)

var kindNames = [...]string{"unknown", "throttled", "unavailable", "sign-in expired", "permission missing",
	"not found", "gone", "conflict", "too large", "bad request", "precondition failed", "foreign host"}

// String returns the name used in logs and metrics.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return "unknown"
	}
	return kindNames[k]
}

// Error is a failed call of Graph or the sign-in service.
type Error struct {
	// Op is what was tried, such as "POST channel message".
	Op     string
	Kind   Kind
	Status int // HTTP status, 0 if there was no answer
	// Code and Message are the service's own; Message is never shown to staff.
	Code, Message string
	RequestID     string
	// Hint tells an operator how to mend it.
	Hint string
	// RetryAfter is what the service announced, 0 if it announced nothing.
	RetryAfter time.Duration
	// Location is set on 410: where to start again.
	Location string
	// Ambiguous marks a write of which nobody knows whether it was accepted.
	Ambiguous bool
	// Unsent marks a request that was never sent, because a limit or an announced
	// pause held it back: it says nothing about the service.
	Unsent bool
	Err    error
}

// Error implements error. It holds no body, token or query.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	b.WriteString(": ")
	b.WriteString(e.Kind.String())
	if e.Status != 0 {
		fmt.Fprintf(&b, " (HTTP %d", e.Status)
		if e.Code != "" {
			b.WriteString(" ")
			b.WriteString(e.Code)
		}
		b.WriteString(")")
	}
	if e.Message != "" {
		b.WriteString(": ")
		b.WriteString(e.Message)
	}
	if e.RetryAfter > 0 {
		fmt.Fprintf(&b, ", retry after %s", e.RetryAfter)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the first *Error in err's chain.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return KindUnknown
}

// IsAmbiguous reports whether err leaves open if a write was accepted.
func IsAmbiguous(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Ambiguous
}

// RetryAfter returns what the service announced with err, or 0.
func RetryAfter(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}

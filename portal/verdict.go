package portal

import (
	"errors"
	"time"

	"teamsbridge/teams"
)

// failure is a row that never will be in Teams, with what its author is told.
type failure struct {
	reason  string
	message string
	err     error
}

func (f *failure) Error() string {
	if f.err != nil {
		return f.reason + ": " + f.err.Error()
	}
	return f.reason
}

func (f *failure) Unwrap() error { return f.err }

var (
	errUnsettled = errors.New("nobody knows yet if Teams has it")
	errNotThere  = errors.New("posting had no effect, so it is tried again")
	errBehind    = errors.New("the message it belongs to is not in Teams yet")
)

// verdict is what becomes of a row after an error.
type verdict struct {
	final      bool
	reason     string
	message    string
	retryAfter time.Duration
}

// The most attempts at something that may pass, but should not take long.
const (
	maxConflicts = 5
	maxPanics    = 3
)

// judge decides between waiting and giving up. What is not known to be the
// event's own fault is waited for, however long it takes.
func judge(err error, attempts int) verdict {
	var f *failure
	var pan *panicError
	switch {
	case errors.As(err, &f):
		return verdict{final: true, reason: f.reason, message: f.message}
	case errors.As(err, &pan):
		return verdict{final: attempts >= maxPanics, reason: "panic", message: failPanic}
	case errors.Is(err, ErrOwnAccount):
		return verdict{final: true, reason: reasonOwnAccount, message: failOwnAccount}
	case errors.Is(err, ErrNoAccount):
		return verdict{reason: "no account"}
	case errors.Is(err, errUnsettled):
		return verdict{reason: "in doubt", retryAfter: teams.RetryAfter(err)}
	case errors.Is(err, errBehind):
		return verdict{reason: "waits for what it belongs to"}
	case errors.Is(err, errYoungTarget):
		return verdict{reason: "Teams does not show yet what it belongs to"}
	case errors.Is(err, errNotThere):
		return verdict{reason: "lost on the way", retryAfter: teams.RetryAfter(err)}
	}
	kind := teams.KindOf(err)
	v := verdict{reason: kind.String(), retryAfter: teams.RetryAfter(err)}
	switch kind {
	case teams.KindPermission:
		v.final, v.message = true, failPermission
	case teams.KindNotFound, teams.KindGone:
		v.final, v.message = true, failNotThere
	case teams.KindTooLarge:
		v.final, v.message = true, failTooLarge
	case teams.KindBadRequest, teams.KindPrecondition:
		v.final, v.message = true, failRefused
	case teams.KindForeignHost:
		v.final, v.message = true, failForeign
	case teams.KindConflict:
		v.final, v.message = attempts >= maxConflicts, failRefused
	case teams.KindUnknown:
		v.reason = "error"
	}
	return v
}

// needsRelay reports whether an error means that the sender's own account can't
// write, so that a relay account has to.
func needsRelay(err error) bool {
	kind := teams.KindOf(err)
	return kind == teams.KindSignInExpired || kind == teams.KindPermission
}

// isAccounts reports whether an error is that of the one account that could do
// something: it is signed in again some day, or gets its permission back.
func isAccounts(err error) bool { return errors.Is(err, ErrOwnAccount) || needsRelay(err) }

// isAmbiguous reports whether a write may have happened. An error that did not
// come from Graph says nothing about what Graph did.
func isAmbiguous(err error) bool {
	var e *teams.Error
	return !errors.As(err, &e) || e.Ambiguous
}

// doesNotFit reports whether Graph says that something can't be done with what
// is there.
func doesNotFit(err error) bool {
	kind := teams.KindOf(err)
	return kind == teams.KindBadRequest || kind == teams.KindConflict || kind == teams.KindPrecondition
}

// isMissing reports whether Graph says that something is not there.
func isMissing(err error) bool {
	kind := teams.KindOf(err)
	return kind == teams.KindNotFound || kind == teams.KindGone
}

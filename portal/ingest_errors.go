package portal

import (
	"context"
	"errors"

	"maunium.net/go/mautrix"

	"teamsbridge/teams"
)

// refusal is a failure that lies in the message itself, so that trying again
// does not help for ever.
type refusal struct {
	reason string
	err    error
}

func (r *refusal) Error() string { return r.reason + ": " + r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// reasonOf names a failed delivery for the ledger and the metrics, and tells
// whether it lies in the message itself. Everything that is not known to do so
// is waited for.
func reasonOf(err error) (reason string, own bool) {
	var ref *refusal
	var pan *panicError
	var hs mautrix.HTTPError
	switch {
	case errors.As(err, &ref):
		return ref.reason, true
	case errors.As(err, &pan):
		return "panic", true
	case errors.Is(err, errNoRoom):
		return "no room yet", false
	case errors.Is(err, errNoSource):
		return "bridge starting", false
	case errors.Is(err, errStopping), errors.Is(err, context.Canceled):
		return "stopping", false
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout", false
	case errors.Is(err, errOwnEdit):
		return "own edit on its way", false
	case errors.Is(err, errUndecided):
		return "in doubt", false
	case errors.As(err, &hs):
		return homeserverReason(hs)
	}
	if kind := teams.KindOf(err); kind != teams.KindUnknown {
		return "teams " + kind.String(), false
	}
	return "error", false
}

// homeserverReason judges what a homeserver answered: a request that is wrong
// stays wrong, everything else passes.
func homeserverReason(err mautrix.HTTPError) (reason string, own bool) {
	if err.Response == nil {
		return "homeserver unreachable", false
	}
	switch status := err.Response.StatusCode; {
	case status == 429:
		return "homeserver throttles", false
	case status == 401:
		return "homeserver refuses the bridge", false
	case status == 403:
		return "homeserver forbids", true
	case status == 413, errors.Is(err, mautrix.MTooLarge):
		return "too large for the homeserver", true
	case status >= 400 && status < 500:
		return "homeserver refuses the event", true
	}
	return "homeserver fails", false
}

// isForbidden reports whether the homeserver said that the sender may not.
func isForbidden(err error) bool {
	var hs mautrix.HTTPError
	return errors.Is(err, mautrix.MForbidden) || errors.As(err, &hs) && hs.Response != nil && hs.Response.StatusCode == 403
}

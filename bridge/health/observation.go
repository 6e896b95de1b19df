package health

import "time"

// Dependency is something that the bridge can't do its work without.
type Dependency string

// The dependencies.
const (
	GraphRead  Dependency = "graph_read"
	GraphWrite Dependency = "graph_write"
	SignIn     Dependency = "sign_in"
	Webhook    Dependency = "webhook"
	Homeserver Dependency = "homeserver"
)

// Dependencies lists them in the order in which people are shown them.
func Dependencies() []Dependency {
	return []Dependency{GraphRead, GraphWrite, SignIn, Webhook, Homeserver}
}

// Outcome is what came of one use of a dependency.
type Outcome int

// The outcomes.
const (
	// OK is a success.
	OK Outcome = iota
	// Unreachable is no answer: refused, reset, timed out, no route, no name.
	Unreachable
	// ServerError is an answer that says that the service has failed (5xx).
	ServerError
	// Throttled is a refusal for the rate (429).
	Throttled
	// Refused is a credential that is not accepted: the application's secret
	// or certificate, or its token. One account's sign-in is none.
	Refused
	// NoToken is a request that could not be made, because the sign-in service
	// gave no access token and said nothing against the credential.
	NoToken
	// Forbidden is a missing permission (403).
	Forbidden
	// Fault is the request's own fault, or that of what it names (400, 404,
	// 409, 413): the service is none the worse for it.
	Fault
	// Missed is a change in Teams of which a notification ought to have told.
	Missed
)

// failed reports whether an outcome speaks against the dependency.
func (o Outcome) failed() bool {
	switch o {
	case Unreachable, ServerError, Refused, NoToken, Missed:
		return true
	default:
		return false
	}
}

// Observation is one use of a dependency and what came of it.
type Observation struct {
	Dependency Dependency
	Outcome    Outcome
	// Op names the operation, out of a fixed set.
	Op string
	// Scope is the conversation, team or operation that it was about, ""
	// where it speaks for the dependency as a whole.
	Scope string
	// Core marks operations that carry messages, such as posting one.
	Core bool
	// Probe marks what was asked only to know whether the dependency is there.
	Probe bool
	// Pause is how long a Throttled answer wants us to wait.
	Pause time.Duration
	// Detail is a few words for operators, without ids or texts.
	Detail string
	At     time.Time
}

package teamstest

import (
	"net/http"
	"net/url"
	"time"
)

// This file is where the core (state, wire format, routes) and the edge
// (sign-in, throttling, faults, notifications, request log) of the tenant meet.
// The edge fills the fields of seams in installEdge (edge.go); the core calls
// them. Nothing else crosses.
//
// A Graph request passes: route -> before -> inflate body -> authenticate ->
// permission table -> throttle -> handler -> after -> bytes on the wire. Every
// answer is held in memory until after has seen it, so that a fault can apply
// a write and then lose, cut or falsify its answer. The steps of a $batch pass
// the same way, one by one, with exchange.batch set and exchange.w nil.
type seams struct {
	// authenticate says who calls, from the Authorization header of x.r.
	authenticate func(x *exchange) (caller, *apiError)
	// throttle refuses a call that is over a limit: x.op, x.caller and
	// x.vars (team, channel) say which buckets it draws from.
	throttle func(x *exchange) *apiError
	// before runs as soon as the operation is known and nothing else is. It
	// may return the answer (the request is then not carried out), or report
	// handled when it has dealt with x.w itself (hijacked, cut, hung).
	before func(x *exchange) (resp *response, handled bool)
	// after runs when the answer is ready and everything was applied. It may
	// change resp, or report handled when it has dealt with x.w itself. It is
	// the place for the request log too: it runs for every Graph request.
	after func(x *exchange, resp *response) (handled bool)
	// onChange hears of every committed change, in commit order, outside the
	// lock. It must not block and must not change the tenant; it may read.
	onChange func(c change)
	// serveOther answers every request outside /v1.0: sign-in, keys, OpenID
	// configuration, demo controls.
	serveOther http.Handler
	// routes are further Graph routes, such as /subscriptions.
	routes []route
	// close stops what the edge started. It runs before the server stops.
	close func()
}

// caller is who a Graph request acts for, taken from its access token.
type caller struct {
	// App is true for an application-only token (client credentials).
	App bool
	// AppID is the client id of the app registration.
	AppID string
	// UserID is the signed-in person of a delegated token.
	UserID string
	// Scopes are the delegated permissions of the token.
	Scopes map[string]bool
	// Roles are the application permissions of the token.
	Roles map[string]bool
}

// exchange is one Graph request on its way through the tenant.
type exchange struct {
	t *Tenant
	r *http.Request
	// w is the connection, nil for a step of a $batch.
	w     http.ResponseWriter
	batch bool

	op     Op
	perm   permission
	handle func(x *exchange) (*response, *apiError)
	// path is the request path without /v1.0, decoded, for logs and faults.
	path string
	// vars are the decoded path parameters: team, channel, message, reply,
	// user, content, size, and what the edge's own routes name.
	vars  map[string]string
	query url.Values
	// body is the whole request body, inflated. Set before authenticate.
	body []byte

	caller          caller
	requestID       string
	clientRequestID string
	received        time.Time
}

// prefersUnknownEnumMembers reports whether the client asked to be shown enum
// values that Microsoft added after the first version of a type.
func (x *exchange) prefersUnknownEnumMembers() bool {
	return prefersUnknown(x.r.Header)
}

// response is an answer held in memory.
type response struct {
	status int
	header http.Header
	body   []byte
}

// changeKind names what happened to what.
type changeKind string

const (
	changeMessageCreated changeKind = "message.created"
	changeMessageUpdated changeKind = "message.updated"
	changeMessageDeleted changeKind = "message.deleted"
	changeChannelCreated changeKind = "channel.created"
	changeChannelUpdated changeKind = "channel.updated"
	changeChannelDeleted changeKind = "channel.deleted"
	changeTeamCreated    changeKind = "team.created"
	changeTeamUpdated    changeKind = "team.updated"
	changeTeamDeleted    changeKind = "team.deleted"
	changeMemberCreated  changeKind = "member.created"
	changeMemberUpdated  changeKind = "member.updated"
	changeMemberDeleted  changeKind = "member.deleted"
)

// change is one committed change, as onChange hears of it.
type change struct {
	Kind changeKind
	At   time.Time
	// TeamID is always set. ChannelID is empty for changes of the team and
	// of its members; it is set for members of private and shared channels.
	TeamID, ChannelID string
	// RootID is set for replies only. MessageID is set for messages.
	RootID, MessageID string
	// UserID is the member concerned, MemberID the opaque id of the
	// membership in URLs.
	UserID, MemberID string
	// Resource is the notification's resource: no leading slash, OData key
	// syntax, ids raw.
	Resource string

	object any
}

// resourceJSON is the changed object as Graph encrypts it into a rich
// notification: the state right after the change. unknownMembers is the
// subscription's Prefer: include-unknown-enum-members. Nil when there is none.
func (c change) resourceJSON(unknownMembers bool) []byte {
	return encodeForNotification(c.object, unknownMembers)
}

// defaultSeams refuses every token and does nothing else: the tenant's core
// stands without the edge.
func defaultSeams() seams {
	return seams{
		authenticate: func(*exchange) (caller, *apiError) { return caller{}, errUnauthenticated() },
		throttle:     func(*exchange) *apiError { return nil },
		before:       func(*exchange) (*response, bool) { return nil, false },
		after:        func(*exchange, *response) bool { return false },
		onChange:     func(change) {},
		serveOther:   http.NotFoundHandler(),
		close:        func() {},
	}
}

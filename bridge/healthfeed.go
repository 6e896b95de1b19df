package bridge

import (
	"context"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	vitals "teamsbridge/bridge/health"
	"teamsbridge/database"
	"teamsbridge/matrix"
	"teamsbridge/teams"
)

// opPoke is the operation of a request that only sees if Graph answers.
const opPoke = "GET root"

// opPost is the operation that posts a message or reply.
const opPost = "POST channel message"

// writtenLately is how far back it is asked at the start which conversations are
// in use.
const writtenLately = 10 * time.Minute

// remember has health know in which conversations something was posted before this
// process began: a refusal there is news.
func (h *health) remember(ctx context.Context, sent *database.Sent) error {
	written, err := sent.Written(ctx, h.now().Add(-writtenLately))
	for _, w := range written {
		h.monitor.Worked(vitals.GraphWrite, opPost, w.ChannelID, w.LastAt)
	}
	return err
}

// coreOps are the operations that carry messages.
var coreOps = map[string]bool{
	"GET channel messages": true, "GET team messages export": true, opPost: true,
}

var _ teams.HTTPObserver = (*health)(nil)

// GraphAttempt implements teams.HTTPObserver.
func (h *health) GraphAttempt(a teams.Attempt) {
	if a.Op == opPoke && a.Account == "" {
		h.monitor.GraphReached(a.Status != 0)
		return
	}
	o := vitals.Observation{Op: a.Op, Scope: a.Scope, Core: coreOps[a.Op], Pause: a.Pause}
	switch {
	case a.SignIn:
		o.Dependency, o.Outcome = vitals.SignIn, signInOutcome(a)
	case a.Write && a.Account != "":
		o.Dependency = vitals.GraphWrite
	default:
		o.Dependency = vitals.GraphRead
	}
	if !a.SignIn {
		if o.Outcome = attemptOutcome(a); o.Scope == "" {
			o.Scope = a.Op
		}
	}
	if a.Err != nil {
		o.Detail = detailOf(a.Err)
	}
	h.observe(o)
	switch o.Outcome {
	case vitals.Unreachable, vitals.ServerError, vitals.Refused:
		h.doubt()
	}
}

// attemptOutcome is what an attempt says about Graph.
func attemptOutcome(a teams.Attempt) vitals.Outcome {
	outcome := vitals.OK
	switch {
	case a.Err != nil:
		outcome = outcomeOf(a.Err)
	case a.Status == http.StatusUnauthorized:
		outcome = vitals.Refused
	}
	if outcome == vitals.Refused && a.Account != "" {
		return vitals.Fault // that account's problem
	}
	return outcome
}

// signInOutcome is what an attempt says about the sign-in service: whether it
// works, and nothing about who signs in.
func signInOutcome(a teams.Attempt) vitals.Outcome {
	switch {
	case a.Status == 0 || a.Err != nil || a.Status == http.StatusProxyAuthRequired:
		return vitals.Unreachable
	case a.Status >= 500 || a.Status == http.StatusRequestTimeout:
		return vitals.ServerError
	case a.Status == http.StatusTooManyRequests:
		return vitals.Throttled
	case a.Status >= 400:
		return vitals.Fault
	default:
		return vitals.OK
	}
}

// GraphSlow implements teams.HTTPObserver: silence is looked into before it is
// over.
func (h *health) GraphSlow(string) { h.doubt() }

// report takes the outcome of work with Graph into account.
func (h *health) report(err error) {
	switch outcomeOf(err) {
	case vitals.Unreachable, vitals.ServerError, vitals.Refused:
		h.doubt()
	}
}

// doubt has Graph and the sign-in service asked.
func (h *health) doubt() { wake(h.suspect) }

// watchedCredential lets health see when a sign-in gives no token.
type watchedCredential struct {
	Credential
	failed func(err error)
}

// GetToken implements azcore.TokenCredential.
func (w *watchedCredential) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, err := w.Credential.GetToken(ctx, o)
	if err != nil && ctx.Err() == nil {
		w.failed(err)
	}
	return token, err
}

// appSignInFailed takes into account that the application got no token.
func (h *health) appSignInFailed(err error) {
	h.signInFailed(vitals.GraphRead, err)
	h.doubt()
}

// accountSignInFailed takes into account that a person's or relay account's
// sign-in gave no token. What is refused is that account's problem.
func (h *health) accountSignInFailed(err error) {
	if outcomeOf(err) != vitals.Refused {
		h.signInFailed(vitals.GraphWrite, err)
		h.doubt()
	}
}

func (h *health) signInFailed(d vitals.Dependency, err error) {
	outcome := outcomeOf(err)
	if outcome == vitals.Unreachable || outcome == vitals.ServerError {
		outcome = vitals.NoToken
	}
	h.observe(vitals.Observation{Dependency: d, Op: "sign-in", Outcome: outcome, Detail: detailOf(err)})
}

// homeserverAnswer takes into account how a request to the homeserver ended.
func (h *health) homeserverAnswer(a matrix.Answer) {
	o := vitals.Observation{Dependency: vitals.Homeserver, Op: "request", Scope: string(a.RoomID)}
	switch {
	case a.Status == 0:
		o.Outcome = vitals.Unreachable
	case a.Status >= 500:
		o.Outcome = vitals.ServerError
	case a.Status == http.StatusTooManyRequests:
		o.Outcome = vitals.Throttled
	case a.Status >= 400:
		o.Outcome = vitals.Fault
	}
	h.observe(o)
	if o.Outcome == vitals.Unreachable || o.Outcome == vitals.ServerError {
		wake(h.suspectHome)
	}
}

// homeserverSpoke takes into account that the homeserver has sent something.
func (h *health) homeserverSpoke() {
	h.observe(vitals.Observation{Dependency: vitals.Homeserver, Op: "transaction"})
}

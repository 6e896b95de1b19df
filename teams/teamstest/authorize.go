package teamstest

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// authCodeLife is how long an authorization code lives.
const authCodeLife = 10 * time.Minute

// authCode is an issued authorization code.
type authCode struct {
	session   *session
	redirect  string
	challenge string
	method    string
	expires   time.Time
	used      bool
}

// authCodes is every code that is out.
type authCodes struct {
	mu    sync.Mutex
	codes map[string]*authCode
}

// confidential reports whether a code is of a confidential client.
func (c *authCodes) confidential(h string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	code := c.codes[h]
	return code != nil && code.session.confidential
}

// serveAuthorize is the page of the authorization code grant. The person is
// chosen with a form; login_hint with prompt=none answers without a page, as a
// browser with one signed-in account does.
func (e *edgeState) serveAuthorize(x *exchange) *response {
	q := x.query
	app, refused := e.findApp(q.Get("client_id"))
	if refused == nil && !app.redirectAllowed(q.Get("redirect_uri")) {
		refused = &signInError{code: 50011, kind: "invalid_request", text: "The redirect URI '" + q.Get("redirect_uri") + "' specified in the request does not match the redirect URIs configured for the application."}
	}
	if refused != nil {
		// Never redirected: the address may not be the client's.
		resp := e.page("Sign in", "<p>AADSTS"+fmt.Sprint(refused.code)+": "+html.EscapeString(refused.text)+"</p>")
		resp.status = http.StatusBadRequest
		return resp
	}
	if q.Get("response_type") != "code" {
		return e.authorizeError(q, "unsupported_response_type", 700054, "response_type is not enabled for the application.")
	}
	names, _, refused := e.userScopes(app, q.Get("scope"))
	if refused != nil {
		kind := refused.kind
		if refused.code == 65001 {
			kind = "access_denied"
		}
		return e.authorizeError(q, kind, refused.code, refused.text)
	}
	login := q.Get("login_hint")
	if x.r.Method == http.MethodPost {
		form := formOf(x)
		if form.Get("decision") == "deny" {
			return e.authorizeError(q, "access_denied", 65004, "The resource owner or authorization server denied the request.")
		}
		login = form.Get("login")
	} else if q.Get("prompt") != "none" {
		return e.page("Sign in", `<form method="post">`+e.peopleForm()+`</form>`)
	}
	user := e.findUser(login)
	if user == nil || !e.enabled(user.ID) {
		return e.authorizeError(q, "login_required", 50058, "A silent sign-in request was sent but no user is signed in.")
	}
	code := handle("1.AX", 500)
	// A challenge without a method is plain.
	method := q.Get("code_challenge_method")
	e.codes.mu.Lock()
	e.codes.codes[code] = &authCode{
		session: &session{
			app: app, userID: user.ID, scopes: names, nonce: q.Get("nonce"), confidential: app.isWebRedirect(q.Get("redirect_uri")),
		},
		redirect: q.Get("redirect_uri"), challenge: q.Get("code_challenge"), method: method,
		expires: e.t.clock.Now().Add(authCodeLife),
	}
	e.codes.mu.Unlock()
	return redirect(q, url.Values{"code": {code}, "session_state": {e.t.ids.guid()}})
}

func (e *edgeState) authorizeError(q url.Values, kind string, code int, text string) *response {
	return redirect(q, url.Values{"error": {kind}, "error_description": {fmt.Sprintf("AADSTS%d: %s", code, text)}})
}

// redirect sends the browser back to the client.
func redirect(q, answer url.Values) *response {
	if state := q.Get("state"); state != "" {
		answer.Set("state", state)
	}
	target := q.Get("redirect_uri")
	switch q.Get("response_mode") {
	case "form_post":
		var b strings.Builder
		fmt.Fprintf(&b, `<!DOCTYPE html><html lang="en"><title>Working</title><form method="post" action="%s">`, html.EscapeString(target))
		for name := range answer {
			fmt.Fprintf(&b, `<input type="hidden" name="%s" value="%s">`, html.EscapeString(name), html.EscapeString(answer.Get(name)))
		}
		b.WriteString(`<button>Continue</button></form></html>`)
		return &response{status: http.StatusOK, header: http.Header{"Content-Type": {"text/html; charset=utf-8"}}, body: []byte(b.String())}
	case "fragment":
		target += "#" + answer.Encode()
	default:
		glue := "?"
		if strings.Contains(target, "?") {
			glue = "&"
		}
		target += glue + answer.Encode()
	}
	return &response{status: http.StatusFound, header: http.Header{"Location": {target}}}
}

// codeGrant exchanges an authorization code.
func (e *edgeState) codeGrant(app *App, form url.Values) (*response, *signInError) {
	h := form.Get("code")
	if h == "" {
		return nil, missing("code")
	}
	if refused := e.authenticateFor(e.codes.confidential(h), app, form); refused != nil {
		return nil, refused
	}
	code, refused := e.takeCode(h, form)
	if refused != nil {
		return nil, refused
	}
	return e.userAnswer(code.session, form.Get("scope"), nil)
}

func (e *edgeState) takeCode(h string, form url.Values) (*authCode, *signInError) {
	e.codes.mu.Lock()
	defer e.codes.mu.Unlock()
	code := e.codes.codes[h]
	switch {
	case code == nil:
		return nil, &signInError{code: 9002313, kind: "invalid_grant", text: "Invalid request. Request is malformed or invalid."}
	case code.used:
		return nil, &signInError{code: 54005, kind: "invalid_grant", text: "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token."}
	case !e.t.clock.Now().Before(code.expires):
		return nil, &signInError{code: 70008, kind: "invalid_grant", text: "The provided authorization code or refresh token has expired due to inactivity."}
	case code.redirect != form.Get("redirect_uri"):
		return nil, &signInError{code: 500112, kind: "invalid_grant", text: "The reply address does not match the reply address provided when requesting Authorization code."}
	case !verifies(code, form.Get("code_verifier")):
		return nil, &signInError{code: 501481, kind: "invalid_grant", text: "The Code_Verifier does not match the code_challenge supplied in the authorization request."}
	}
	code.used = true
	return code, nil
}

// verifies checks the proof key of a code.
func verifies(code *authCode, verifier string) bool {
	if code.challenge == "" {
		return true
	}
	if code.method != "S256" {
		return verifier == code.challenge
	}
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:]) == code.challenge
}

// serveAdminConsent answers the admin consent page at once with yes: the
// permissions that were granted are those of App.
func (e *edgeState) serveAdminConsent(x *exchange) *response {
	q := x.query
	app, refused := e.findApp(q.Get("client_id"))
	if refused == nil && !app.redirectAllowed(q.Get("redirect_uri")) {
		refused = &signInError{code: 50011, kind: "invalid_request", text: "The redirect URI does not match."}
	}
	if refused != nil {
		return refused.response(e)
	}
	return redirect(q, url.Values{"admin_consent": {"True"}, "tenant": {e.t.TenantID}})
}

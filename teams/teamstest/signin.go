package teamstest

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// The operations of the sign-in service, as the request log and faults name
// them.
const (
	OpToken         Op = "signin.token"
	OpDeviceCode    Op = "signin.deviceCode"
	OpDeviceLogin   Op = "signin.deviceLogin"
	OpAuthorize     Op = "signin.authorize"
	OpAdminConsent  Op = "signin.adminConsent"
	OpOpenID        Op = "signin.openid"
	OpKeys          Op = "signin.keys"
	OpSignInUnknown Op = "signin.unknown"
)

func serviceOf(op Op) Service {
	if strings.HasPrefix(string(op), "signin.") {
		return ServiceSignIn
	}
	return ServiceGraph
}

// signInError is a refusal of the sign-in service.
type signInError struct {
	code   int    // the AADSTS number
	kind   string // OAuth's error
	text   string
	status int // 0 for 400
	// suberror tells apart what needs consent or a person.
	suberror string
}

func (s *signInError) response(e *edgeState) *response {
	at := e.t.clock.Now().Format("2006-01-02 15:04:05Z")
	trace, correlation := e.t.ids.guid(), e.t.ids.guid()
	body := struct {
		Error         string `json:"error"`
		Description   string `json:"error_description"`
		Codes         []int  `json:"error_codes"`
		Timestamp     string `json:"timestamp"`
		TraceID       string `json:"trace_id"`
		CorrelationID string `json:"correlation_id"`
		ErrorURI      string `json:"error_uri"`
		Suberror      string `json:"suberror,omitempty"`
	}{
		s.kind,
		fmt.Sprintf("AADSTS%d: %s\r\nTrace ID: %s\r\nCorrelation ID: %s\r\nTimestamp: %s", s.code, s.text, trace, correlation, at),
		[]int{s.code}, at, trace, correlation,
		fmt.Sprintf("%s/error?code=%d", e.t.url, s.code), s.suberror,
	}
	status := s.status
	if status == 0 {
		status = http.StatusBadRequest
	}
	resp := signInJSON(body)
	resp.status = status
	return resp
}

// signInUnavailable is an injected failure in the sign-in service's format.
func (e *edgeState) signInUnavailable(cause *apiError) *response {
	s := &signInError{code: 90033, kind: "temporarily_unavailable", text: "A transient error has occurred. Please try again.", status: cause.Status}
	resp := s.response(e)
	if cause.RetryAfter > 0 {
		resp.header.Set("Retry-After", fmt.Sprint(int(wholeSeconds(cause.RetryAfter).Seconds())))
	}
	return resp
}

func (e *edgeState) compileSignIn() []compiledRoute {
	type handler = func(x *exchange) (*response, *apiError)
	plain := func(h func(x *exchange) *response) handler {
		return func(x *exchange) (*response, *apiError) { return h(x), nil }
	}
	return compileRoutes([]route{
		{op: OpToken, method: "POST", path: "/{tenant}/oauth2/v2.0/token", handle: plain(e.serveToken)},
		{op: OpDeviceCode, method: "POST", path: "/{tenant}/oauth2/v2.0/devicecode", handle: plain(e.serveDeviceCode)},
		{op: OpAuthorize, method: "GET", path: "/{tenant}/oauth2/v2.0/authorize", handle: plain(e.serveAuthorize)},
		{op: OpAuthorize, method: "POST", path: "/{tenant}/oauth2/v2.0/authorize", handle: plain(e.serveAuthorize)},
		{op: OpAdminConsent, method: "GET", path: "/{tenant}/adminconsent", handle: plain(e.serveAdminConsent)},
		{op: OpOpenID, method: "GET", path: "/{tenant}/v2.0/.well-known/openid-configuration", handle: plain(e.serveOpenID)},
		{op: OpOpenID, method: "GET", path: "/{tenant}/.well-known/openid-configuration", handle: plain(e.serveOpenID)},
		{op: OpKeys, method: "GET", path: "/{tenant}/discovery/v2.0/keys", handle: plain(e.serveKeys)},
		{op: OpKeys, method: "GET", path: "/{tenant}/discovery/keys", handle: plain(e.serveKeys)},
		{op: OpDeviceLogin, method: "GET", path: "/devicelogin", handle: plain(e.serveDeviceLogin)},
		{op: OpDeviceLogin, method: "POST", path: "/devicelogin", handle: plain(e.serveDeviceLogin)},
	})
}

// serveOther is the seam for everything outside Graph.
func (e *edgeState) serveOther(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, filesPath) {
		e.serveFiles(w, r)
		return
	}
	x := &exchange{
		t: e.t, r: r, w: w, op: OpSignInUnknown, path: r.URL.Path, vars: map[string]string{},
		requestID: e.t.ids.guid(), received: e.t.clock.Now(),
	}
	x.query, _ = url.ParseQuery(r.URL.RawQuery) // what can be parsed of it
	if segments, err := splitPath(r.URL.EscapedPath()); err == nil {
		if found, vars, _ := match(e.signIn, r.Method, segments); found != nil {
			x.op, x.handle, x.vars = found.op, found.handle, vars
		}
	}
	resp, handled := e.before(x)
	if handled {
		return
	}
	if resp == nil {
		resp = e.runSignIn(x)
	}
	if !e.after(x, resp) {
		resp.writeTo(w)
	}
}

func (e *edgeState) runSignIn(x *exchange) *response {
	if bearer(x.r) != "" {
		e.violate(x, ViolationTokenLeak, x.path)
	}
	if refused := x.readBody(); refused != nil {
		return refused.response(x)
	}
	if x.handle == nil {
		return errNotFound("There is nothing here.").response(x)
	}
	if tenant, ok := x.vars["tenant"]; ok && !e.knowsTenant(tenant) {
		return (&signInError{code: 90002, kind: "invalid_request", text: "Tenant '" + tenant + "' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."}).response(e)
	}
	resp, _ := x.handle(x)
	return resp
}

func (e *edgeState) knowsTenant(name string) bool {
	return name == e.t.TenantID || strings.EqualFold(name, e.t.opts.Domain) || name == "common" || name == "organizations"
}

// formOf is the form that a request carries.
func formOf(x *exchange) url.Values {
	_ = x.readBody() // an unreadable body is an empty form
	form, _ := url.ParseQuery(string(x.body))
	return form
}

// serveToken is the token endpoint.
func (e *edgeState) serveToken(x *exchange) *response {
	form := formOf(x)
	resp, refused := e.token(x, form)
	if refused != nil {
		return refused.response(e)
	}
	return resp
}

func (e *edgeState) token(x *exchange, form url.Values) (*response, *signInError) {
	if form.Get("grant_type") == "" {
		return nil, missing("grant_type")
	}
	id, secret, basic := x.r.BasicAuth()
	if basic {
		// RFC 6749: both parts are form-encoded before they are joined.
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
		form.Set("client_id", id)
		form.Set("client_secret", secret)
	}
	app, refused := e.findApp(form.Get("client_id"))
	if refused != nil {
		return nil, refused
	}
	switch form.Get("grant_type") {
	case "client_credentials":
		return e.clientCredentials(x, app, form)
	case "refresh_token":
		return e.refreshGrant(app, form)
	case "authorization_code":
		return e.codeGrant(app, form)
	// The short name is what Microsoft's own client sends.
	case "urn:ietf:params:oauth:grant-type:device_code", "device_code":
		return e.deviceGrant(app, form)
	}
	return nil, &signInError{code: 70003, kind: "unsupported_grant_type", text: "The app requested an unsupported grant type '" + form.Get("grant_type") + "'."}
}

func missing(name string) *signInError {
	return &signInError{code: 900144, kind: "invalid_request", text: "The request body must contain the following parameter: '" + name + "'."}
}

func (e *edgeState) findApp(clientID string) (*App, *signInError) {
	if clientID == "" {
		return nil, missing("client_id")
	}
	if clientID != e.app.ClientID {
		return nil, &signInError{code: 700016, kind: "unauthorized_client", text: "Application with identifier '" + clientID + "' was not found in the directory."}
	}
	return e.app, nil
}

// authenticateFor checks the client of a person's sign-in. A confidential one
// must prove itself; a public one must not (Microsoft documents the number for
// that, not in which cases it comes: here always where public clients may call).
func (e *edgeState) authenticateFor(confidential bool, app *App, form url.Values) *signInError {
	if !confidential && app.allowsPublic() && (form.Get("client_secret") != "" || form.Get("client_assertion") != "") {
		return &signInError{code: 700025, kind: "invalid_client", status: http.StatusUnauthorized, text: "Client is public so neither 'client_assertion' nor 'client_secret' should be presented."}
	}
	return e.authenticateApp(app, form, confidential)
}

// authenticateApp checks the secret or certificate of a confidential client.
// required is false where a public client may call.
func (e *edgeState) authenticateApp(app *App, form url.Values, required bool) *signInError {
	if assertion := form.Get("client_assertion"); assertion != "" {
		if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
			return missing("client_assertion_type")
		}
		return e.checkAssertion(app, assertion)
	}
	secret := form.Get("client_secret")
	app.mu.Lock()
	defer app.mu.Unlock()
	if secret == "" {
		if !required && app.public {
			return nil
		}
		return &signInError{code: 7000218, kind: "invalid_client", status: http.StatusUnauthorized, text: "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."}
	}
	for _, known := range app.secrets {
		if subtle.ConstantTimeCompare([]byte(known), []byte(secret)) == 1 {
			return nil
		}
	}
	return &signInError{code: 7000215, kind: "invalid_client", status: http.StatusUnauthorized, text: "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID."}
}

// clientCredentials issues the application's own token.
func (e *edgeState) clientCredentials(x *exchange, app *App, form url.Values) (*response, *signInError) {
	if tenant := x.vars["tenant"]; tenant == "common" || tenant == "organizations" {
		return nil, &signInError{code: 50194, kind: "invalid_request", text: "The application is not configured as a multi-tenant application. Usage of the /common endpoint is not supported for such apps."}
	}
	if refused := e.authenticateApp(app, form, true); refused != nil {
		return nil, refused
	}
	if form.Get("scope") == "" {
		return nil, missing("scope")
	}
	// Microsoft's own client adds openid, offline_access and profile here and
	// refuses an answer that does not name the .default scope it asked for.
	var requested string
	for _, s := range strings.Fields(form.Get("scope")) {
		if slices.Contains(protocolScopes(), s) {
			continue
		}
		resource, ok := strings.CutSuffix(s, "/.default")
		if !ok {
			return nil, &signInError{code: 1002012, kind: "invalid_scope", text: "The provided value for scope " + s + " is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI)."}
		}
		if !e.isGraphResource(resource) {
			return nil, unknownResource(resource)
		}
		requested = s
	}
	if requested == "" {
		return nil, &signInError{code: 70011, kind: "invalid_scope", text: "The provided request must include a 'scope' input parameter."}
	}
	life := int(e.tokens.opts.AccessTokenLife.Seconds())
	return tokenResponse(tokenAnswer{
		TokenType: "Bearer", ExpiresIn: life, ExtExpiresIn: life, Scope: requested,
		AccessToken: e.tokens.issueApp(app),
	}), nil
}

// tokenAnswer is a successful answer of the token endpoint.
type tokenAnswer struct {
	TokenType    string `json:"token_type"`
	Scope        string `json:"scope,omitempty"`
	ExpiresIn    int    `json:"expires_in"`
	ExtExpiresIn int    `json:"ext_expires_in"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	ClientInfo   string `json:"client_info,omitempty"`
}

func tokenResponse(a tokenAnswer) *response {
	resp := signInJSON(a)
	resp.header.Set("Pragma", "no-cache")
	return resp
}

package teamstest

import (
	"crypto/rand"
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Rotation says what becomes of a refresh token that was used.
type Rotation int

const (
	// RotateOnUse revokes the old token as soon as its successor, or an
	// access token that came with it, is used for the first time. Microsoft
	// documents less ("not revoked at once, but throw it away"); this is the
	// hardest reading that a client which stores the new token before it uses
	// anything always survives.
	RotateOnUse Rotation = iota
	// RotateLenient leaves old tokens valid, as documented.
	RotateLenient
	// RotateAtOnce revokes the old token with the answer that carries the new
	// one: a lost answer then costs the sign-in.
	RotateAtOnce
)

// SignInOptions sets the sign-in service up.
type SignInOptions struct {
	// Rotation of refresh tokens.
	Rotation Rotation
	// AccessTokenLife is how long access tokens live, 0 for 3,599 s.
	AccessTokenLife time.Duration
	// RefreshTokenLife is how long refresh tokens live, 0 for 90 days.
	RefreshTokenLife time.Duration
	// DeviceInterval is the pace at which a device may ask whether its code
	// was approved, in whole seconds, 0 for 5 s.
	DeviceInterval time.Duration
}

func (o SignInOptions) filled() SignInOptions {
	if o.AccessTokenLife == 0 {
		o.AccessTokenLife = 3599 * time.Second
	}
	if o.RefreshTokenLife == 0 {
		o.RefreshTokenLife = 90 * 24 * time.Hour
	}
	if o.DeviceInterval == 0 {
		o.DeviceInterval = 5 * time.Second
	}
	return o
}

// session is what one person's sign-in has granted.
type session struct {
	app     *App
	userID  string
	scopes  []string
	revoked bool
	// nonce is what the client wants to read in the id token.
	nonce string
	// confidential is the sign-in of a client that has to prove itself.
	confidential bool
}

// accessToken is an issued access token. The string itself looks like Microsoft's:
// three parts, of which the second says what was granted
// (https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference).
// Clients must not decide anything by it, and nothing checks it: what counts is
// the random last part.
type accessToken struct {
	caller  caller
	expires time.Time
	session *session // nil for the application's own
	spends  *refreshToken
}

// refreshToken is an issued refresh token.
type refreshToken struct {
	session *session
	expires time.Time
	revoked bool
	spends  *refreshToken // the token it replaces
}

// tokens is every token that is out.
type tokens struct {
	now  func() time.Time
	opts SignInOptions

	mu      sync.Mutex
	access  map[string]*accessToken
	refresh map[string]*refreshToken
}

func newTokens(now func() time.Time, opts SignInOptions) *tokens {
	return &tokens{now: now, opts: opts, access: map[string]*accessToken{}, refresh: map[string]*refreshToken{}}
}

// handle makes a random token of a length that Microsoft's have.
func handle(prefix string, n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return prefix + base64.RawURLEncoding.EncodeToString(b)
}

// issueApp issues an application's own token with the roles of the moment.
func (k *tokens) issueApp(app *App) string {
	roles := map[string]bool{}
	for _, r := range app.Roles() {
		roles[r] = true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.put(&accessToken{caller: caller{App: true, AppID: app.ClientID, Roles: roles}})
}

// issueUser issues an access token for scopes of a session and, where the
// session has offline_access, a refresh token that replaces old.
func (k *tokens) issueUser(s *session, scopes []string, old *refreshToken) (access, refresh string) {
	held := map[string]bool{}
	for _, name := range scopes {
		held[name] = true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch k.opts.Rotation {
	case RotateAtOnce:
		if old != nil {
			old.revoked = true
		}
		old = nil
	case RotateLenient:
		old = nil
	}
	access = k.put(&accessToken{caller: caller{AppID: s.app.ClientID, UserID: s.userID, Scopes: held}, session: s, spends: old})
	for _, name := range s.scopes {
		if name == "offline_access" {
			refresh = handle("1.AX", 800)
			k.refresh[refresh] = &refreshToken{session: s, expires: k.now().Add(k.opts.RefreshTokenLife), spends: old}
		}
	}
	return access, refresh
}

// claims returns the first two parts of a token's string.
func (a *accessToken) claims(now time.Time) string {
	claims := map[string]any{"appid": a.caller.AppID, "iat": now.Unix(), "exp": a.expires.Unix(), "ver": "1.0"}
	if a.caller.App {
		claims["idtyp"], claims["roles"] = "app", slices.Sorted(maps.Keys(a.caller.Roles))
	} else {
		claims["idtyp"], claims["oid"], claims["scp"] = "user", a.caller.UserID, strings.Join(slices.Sorted(maps.Keys(a.caller.Scopes)), " ")
	}
	part := func(v any) string { return base64.RawURLEncoding.EncodeToString(mustJSON(v)) }
	return part(map[string]string{"typ": "JWT", "alg": "RS256"}) + "." + part(claims)
}

// put stores an access token under a new handle. The lock is held.
func (k *tokens) put(a *accessToken) string {
	now := k.now()
	if len(k.access) > 5000 {
		for h, old := range k.access {
			// Tokens that are long over are no longer told apart from foreign ones.
			if now.Sub(old.expires) > 24*time.Hour {
				delete(k.access, h)
			}
		}
	}
	a.expires = now.Add(k.opts.AccessTokenLife)
	h := handle(a.claims(now)+".", 700)
	k.access[h] = a
	return h
}

// spend revokes what a token replaces, now that it is used. The lock is held.
func spend(old **refreshToken) {
	if *old != nil {
		(*old).revoked = true
		*old = nil
	}
}

// use returns the caller of an access token for a Graph request.
func (k *tokens) use(h string) (c caller, known, valid bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	a := k.access[h]
	if a == nil {
		return caller{}, false, false
	}
	if !k.now().Before(a.expires) {
		return a.caller, true, false
	}
	spend(&a.spends)
	return a.caller, true, true
}

// peek returns whose token it is, or was, without using it.
func (k *tokens) peek(h string) (caller, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a := k.access[h]; a != nil {
		return a.caller, true
	}
	return caller{}, false
}

// confidential reports whether a refresh token is of a confidential client.
func (k *tokens) confidential(h string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.refresh[h]
	return r != nil && r.session.confidential
}

// redeem looks a refresh token up for use. problem says why it is refused.
func (k *tokens) redeem(h string) (r *refreshToken, problem *signInError) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r = k.refresh[h]
	switch {
	case r == nil:
		return nil, &signInError{code: 9002313, kind: "invalid_grant", text: "Invalid request. Request is malformed or invalid."}
	case r.session.revoked:
		return nil, &signInError{code: 50173, kind: "invalid_grant", text: "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have changed or reset their password."}
	case r.revoked:
		return nil, &signInError{code: 70000, kind: "invalid_grant", text: "The provided value for the input parameter 'refresh_token' is not valid."}
	case !k.now().Before(r.expires):
		return nil, &signInError{code: 700082, kind: "invalid_grant", text: "The refresh token has expired due to inactivity."}
	}
	spend(&r.spends)
	return r, nil
}

// expireAccess lets one access token expire.
func (k *tokens) expireAccess(h string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a := k.access[h]; a != nil {
		a.expires = k.now()
	}
}

// revokeRefresh revokes one refresh token.
func (k *tokens) revokeRefresh(h string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r := k.refresh[h]; r != nil {
		r.revoked = true
	}
}

// revokeUser ends every sign-in of a person.
func (k *tokens) revokeUser(userID string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range k.refresh {
		if r.session.userID == userID {
			r.session.revoked = true
		}
	}
}

// ExpireTokens lets every access token that is out expire at once. Refresh
// tokens stay.
func (t *Tenant) ExpireTokens() {
	k := t.edge.tokens
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	for _, a := range k.access {
		if a.expires.After(now) {
			a.expires = now
		}
	}
}

// RevokeSessions ends every sign-in of a person: refresh tokens are refused.
// Access tokens live on until they expire (see ExpireTokens), as those of
// clients without continuous access evaluation do.
func (t *Tenant) RevokeSessions(u *User) { t.edge.tokens.revokeUser(u.ID) }

// bearer is the access token of a request, "" for none.
func bearer(r *http.Request) string {
	kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(kind, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// authenticate is the seam: it says who calls Graph.
func (e *edgeState) authenticate(x *exchange) (caller, *apiError) {
	h := bearer(x.r)
	if h == "" {
		return caller{}, e.unauthenticated("Access token is empty.")
	}
	c, known, valid := e.tokens.use(h)
	switch {
	case !known:
		return caller{}, e.unauthenticated("IDX14100: JWT is not well formed, there are no dots (.).")
	case !valid:
		return caller{}, e.unauthenticated("Lifetime validation failed, the token is expired.")
	case c.UserID != "" && !e.enabled(c.UserID):
		return caller{}, e.unauthenticated("Continuous access evaluation resulted in challenge: the user is disabled or deleted.")
	}
	return c, nil
}

func (e *edgeState) unauthenticated(message string) *apiError {
	return &apiError{
		Status: http.StatusUnauthorized, Code: "InvalidAuthenticationToken", Message: message,
		Header: http.Header{"Www-Authenticate": {`Bearer realm="", authorization_uri="` + e.t.url + `/common/oauth2/authorize", client_id="00000003-0000-0000-c000-000000000000"`}},
	}
}

// claimsChallenge is the refusal of continuous access evaluation.
func claimsChallenge(t *Tenant) *apiError {
	claims := base64.StdEncoding.EncodeToString([]byte(`{"access_token":{"nbf":{"essential":true,"value":"` + t.clock.Now().Format("20060102150405") + `"}}}`))
	return &apiError{
		Status: http.StatusUnauthorized, Code: "InvalidAuthenticationToken",
		Message: "Continuous access evaluation resulted in challenge with result: InteractionRequired and code: TokenIssuedBeforeRevocationTimestamp",
		Header:  http.Header{"Www-Authenticate": {`Bearer realm="", authorization_uri="` + t.url + `/common/oauth2/authorize", error="insufficient_claims", claims="` + claims + `"`}},
	}
}

// AppToken issues an access token of the application, with the permissions
// that it has now, for tests that do not look at signing in.
func (t *Tenant) AppToken() string { return t.edge.tokens.issueApp(t.edge.app) }

// UserToken issues a person's access token in the same way.
func (t *Tenant) UserToken(u *User) string {
	app := t.edge.app
	access, _ := t.edge.tokens.issueUser(&session{app: app, userID: u.ID, scopes: app.Scopes()}, app.Scopes(), nil)
	return access
}

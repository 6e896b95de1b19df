package teamstest

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
)

// protocolScopes belong to sign-in itself, not to Graph.
func protocolScopes() []string { return []string{"openid", "profile", "email", "offline_access"} }

// isGraphResource reports whether a scope's prefix is this tenant's Graph.
// Another cloud's Graph is another resource, so nothing else will do; clients
// that drop the port of a local address are let pass.
func (e *edgeState) isGraphResource(resource string) bool {
	resource = strings.TrimSuffix(resource, "/")
	if resource == e.t.url {
		return true
	}
	u, err := url.Parse(e.t.url)
	return err == nil && resource == u.Scheme+"://"+u.Hostname()
}

func unknownResource(resource string) *signInError {
	return &signInError{code: 500011, kind: "invalid_resource", text: "The resource principal named " + resource + " was not found in the tenant. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant."}
}

// userScopes resolves the scopes that a client asks of a person: short names
// of the permissions, only those consented to. echo holds requests that
// Microsoft's client wants to read back word by word.
func (e *edgeState) userScopes(app *App, asked string) (names, echo []string, refused *signInError) {
	for _, s := range strings.Fields(asked) {
		name := s
		if cut := strings.LastIndex(s, "/"); cut >= 0 {
			if !e.isGraphResource(s[:cut]) {
				return nil, nil, unknownResource(s[:cut])
			}
			name = s[cut+1:]
		}
		switch {
		case name == ".default":
			echo = append(echo, s)
			for _, granted := range app.Scopes() {
				if !slices.Contains(protocolScopes(), granted) {
					names = append(names, granted)
				}
			}
		case slices.Contains(protocolScopes(), name):
			names = append(names, name)
		case !app.hasScope(name):
			return nil, nil, &signInError{
				code: 65001, kind: "invalid_grant", suberror: "consent_required",
				text: "The user or administrator has not consented to use the application with ID '" + app.ClientID + "'. Send an interactive authorization request for this user and resource.",
			}
		default:
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), echo, nil
}

// answerScopes writes granted scopes as the token endpoint does: with the
// resource in front, whatever form they were asked in.
func (e *edgeState) answerScopes(names, echo []string) string {
	out := make([]string, 0, len(names)+len(echo))
	for _, name := range names {
		switch {
		case name == "offline_access":
			// Never listed in answers.
		case slices.Contains(protocolScopes(), name):
			out = append(out, name)
		default:
			out = append(out, e.t.url+"/"+name)
		}
	}
	return strings.Join(append(out, echo...), " ")
}

// userAnswer issues tokens of a session for the scopes asked for.
func (e *edgeState) userAnswer(s *session, asked string, old *refreshToken) (*response, *signInError) {
	if !e.enabled(s.userID) {
		return nil, &signInError{code: 50057, kind: "invalid_grant", text: "The user account is disabled."}
	}
	names, echo := s.scopes, []string(nil)
	if asked != "" {
		var refused *signInError
		if names, echo, refused = e.userScopes(s.app, asked); refused != nil {
			return nil, refused
		}
	}
	// A permission that was taken back meanwhile is left out.
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		return !slices.Contains(protocolScopes(), n) && (!s.app.hasScope(n) || !slices.Contains(s.scopes, n))
	})
	access, refresh := e.tokens.issueUser(s, names, old)
	life := int(e.tokens.opts.AccessTokenLife.Seconds())
	answer := tokenAnswer{
		TokenType: "Bearer", Scope: e.answerScopes(names, echo), ExpiresIn: life, ExtExpiresIn: life,
		AccessToken: access, RefreshToken: refresh,
		ClientInfo: base64.RawURLEncoding.EncodeToString([]byte(`{"uid":"` + s.userID + `","utid":"` + e.t.TenantID + `"}`)),
	}
	if slices.Contains(s.scopes, "openid") {
		answer.IDToken = e.idToken(s)
	}
	return tokenResponse(answer), nil
}

// refreshGrant exchanges a refresh token.
func (e *edgeState) refreshGrant(app *App, form url.Values) (*response, *signInError) {
	h := form.Get("refresh_token")
	if h == "" {
		return nil, missing("refresh_token")
	}
	if refused := e.authenticateFor(e.tokens.confidential(h), app, form); refused != nil {
		return nil, refused
	}
	old, refused := e.tokens.redeem(h)
	if refused != nil {
		return nil, refused
	}
	return e.userAnswer(old.session, form.Get("scope"), old)
}

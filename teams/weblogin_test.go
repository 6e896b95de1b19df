package teams_test

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"teamsbridge/teams"
	"teamsbridge/teams/teamstest"
)

const webRedirect = "https://bridge.example.org/callback"

// oneToken is a TokenStore for one person.
type oneToken struct {
	mu    sync.Mutex
	token string
}

func (s *oneToken) LoadToken(context.Context, string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.token, nil
}

func (s *oneToken) RotateToken(_ context.Context, _, older, token string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token != older {
		return false, nil
	}
	s.token = token
	return true, nil
}

type webWorld struct {
	*testing.T
	sim   *teamstest.Tenant
	ann   *teamstest.User
	store *oneToken
	cfg   teams.DelegatedConfig
}

// newWebWorld has an application with a secret, or with a certificate.
func newWebWorld(t *testing.T, certificate bool) *webWorld {
	t.Helper()
	sim, err := teamstest.Start(teamstest.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = sim.Close() })
	sim.App().AddWebRedirect(webRedirect)
	w := &webWorld{T: t, sim: sim, ann: sim.AddUser(teamstest.UserSpec{DisplayName: "Ann"}), store: &oneToken{}}
	endpoints, err := teams.ResolveEndpoints("global", sim.URL(), sim.GraphURL(), nil)
	require.NoError(t, err)
	ca, err := sim.CAFile(t.TempDir())
	require.NoError(t, err)
	client, err := teams.NewHTTPClient(teams.HTTPOptions{Endpoints: endpoints, CAFile: ca, Logger: zerolog.Nop()})
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	app := teams.AppConfig{Endpoints: endpoints, TenantID: sim.TenantID, ClientID: sim.App().ClientID, HTTP: client}
	if certificate {
		cert, key, err := sim.App().NewCertificate()
		require.NoError(t, err)
		app.CertificateFile = filepath.Join(t.TempDir(), "app.pem")
		require.NoError(t, os.WriteFile(app.CertificateFile, append(cert, key...), 0o600))
	} else {
		app.ClientSecret = sim.App().Secret()
	}
	credential, err := teams.NewAppCredential(app)
	require.NoError(t, err)
	w.cfg = teams.DelegatedConfig{Endpoints: endpoints, TenantID: sim.TenantID, ClientID: sim.App().ClientID, Prove: credential.Prove,
		HTTP: client, Store: w.store}
	return w
}

func (w *webWorld) login() *teams.WebLogin {
	w.Helper()
	login, err := teams.NewWebLogin(w.cfg, webRedirect, "")
	require.NoError(w, err)
	return login
}

// visit signs Ann in at an address and returns what comes back.
func (w *webWorld) visit(address string, change ...func(url.Values)) url.Values {
	w.Helper()
	to, err := url.Parse(address)
	require.NoError(w, err)
	q := to.Query()
	for _, f := range change {
		f(q)
	}
	to.RawQuery = q.Encode()
	client := w.sim.HTTPClient()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.PostForm(to.String(), url.Values{"login": {w.ann.UPN()}, "decision": {"accept"}})
	require.NoError(w, err)
	require.NoError(w, resp.Body.Close())
	require.Equal(w, http.StatusFound, resp.StatusCode)
	back, err := resp.Location()
	require.NoError(w, err)
	require.True(w, strings.HasPrefix(back.String(), webRedirect+"?"))
	return back.Query()
}

func TestWebLogin(t *testing.T) {
	for name, certificate := range map[string]bool{"with the secret": false, "with the certificate": true} {
		t.Run(name, func(t *testing.T) {
			w := newWebWorld(t, certificate)
			login := w.login()
			answer := w.visit(login.URL())
			require.Equal(t, login.State, answer.Get("state"))
			got, err := login.Finish(t.Context(), answer)
			require.NoError(t, err)
			require.Equal(t, teams.Account{UserID: w.ann.ID, UPN: w.ann.UPN(), DisplayName: "Ann"}, got.Account)

			// The refresh token is worth something to the application only, now and
			// after each renewal.
			w.store.token = got.RefreshToken
			credential, err := teams.NewDelegatedCredential(w.cfg, "ann")
			require.NoError(t, err)
			seen := map[string]bool{}
			for range 3 {
				token, err := credential.GetToken(t.Context(), policy.TokenRequestOptions{})
				require.NoError(t, err)
				require.True(t, credential.Invalidate(token.Token))
				require.False(t, seen[w.store.token], "rotated")
				seen[w.store.token] = true
			}

			_, err = login.Finish(t.Context(), answer)
			require.Equal(t, teams.KindSignInExpired, teams.KindOf(err), "a code is good for once")
		})
	}
}

func TestWebLoginSendsTheBrowserWithAProofKey(t *testing.T) {
	w := newWebWorld(t, false)
	asked := func(account string) url.Values {
		login, err := teams.NewWebLogin(w.cfg, webRedirect, account)
		require.NoError(t, err)
		to, err := url.Parse(login.URL())
		require.NoError(t, err)
		require.Equal(t, "/"+w.sim.TenantID+"/oauth2/v2.0/authorize", to.Path)
		return to.Query()
	}
	q, other := asked("ann@example.org"), asked("")
	require.Equal(t, "S256", q.Get("code_challenge_method"))
	require.Equal(t, "query", q.Get("response_mode"))
	require.Equal(t, "ann@example.org", q.Get("login_hint"))
	require.Equal(t, "select_account", other.Get("prompt"))
	for _, secret := range []string{"state", "nonce", "code_challenge"} {
		require.Len(t, q.Get(secret), 43, secret)
		require.NotEqual(t, q.Get(secret), other.Get(secret), secret)
	}
	require.NotContains(t, q.Encode(), "client_secret")
}

// Whatever belongs to another sign-in, or was made up, does not sign anybody in.
func TestWebLoginRefuses(t *testing.T) {
	w := newWebWorld(t, false)
	for name, c := range map[string]struct {
		answer func(login *teams.WebLogin) url.Values
		kind   teams.Kind
		hint   string
	}{
		"the code of another sign-in": {func(*teams.WebLogin) url.Values { return w.visit(w.login().URL()) }, teams.KindSignInExpired, "belongs to another"},
		"another nonce": {func(l *teams.WebLogin) url.Values {
			return w.visit(l.URL(), func(q url.Values) { q.Set("nonce", "x") })
		}, teams.KindBadRequest, "belongs to another"},
		"no id token": {func(l *teams.WebLogin) url.Values {
			return w.visit(l.URL(), func(q url.Values) { q.Set("scope", strings.ReplaceAll(q.Get("scope"), "openid", "")) })
		}, teams.KindBadRequest, "belongs to another"},
		"no refresh token": {func(l *teams.WebLogin) url.Values {
			return w.visit(l.URL(), func(q url.Values) { q.Set("scope", strings.ReplaceAll(q.Get("scope"), "offline_access", "")) })
		}, teams.KindPermission, "no refresh token"},
		"a code that was made up": {func(*teams.WebLogin) url.Values { return url.Values{"code": {strings.Repeat("x", 5000)}} }, teams.KindSignInExpired, ""},
		"no code":                 {func(*teams.WebLogin) url.Values { return url.Values{} }, teams.KindBadRequest, "belongs to another"},
		"a policy": {func(*teams.WebLogin) url.Values {
			return url.Values{"error": {"interaction_required"}, "error_description": {"AADSTS53003: blocked"}}
		}, teams.KindSignInExpired, "a policy"},
		"no consent of an administrator": {func(*teams.WebLogin) url.Values {
			return url.Values{"error": {"access_denied"}, "error_description": {"AADSTS65001: no"}, "code": {"x"}}
		}, teams.KindSignInExpired, "consent"},
		"an outage": {func(*teams.WebLogin) url.Values { return url.Values{"error": {"server_error"}} }, teams.KindUnavailable, "can't be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			login := w.login()
			_, err := login.Finish(t.Context(), c.answer(login))
			var e *teams.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, c.kind, e.Kind, err)
			require.Contains(t, e.Hint, c.hint)
			require.NotContains(t, err.Error(), "xxxx", "errors hold nothing of the answer")
		})
	}
	_, err := w.login().Finish(t.Context(), url.Values{"error": {"access_denied"}, "error_description": {"AADSTS65004: no"}})
	require.ErrorIs(t, err, teams.ErrDeclined)
}

func TestWebLoginThroughARedirectOfTheWrongPlatform(t *testing.T) {
	w := newWebWorld(t, false)
	const public = "http://localhost/callback"
	login, err := teams.NewWebLogin(w.cfg, public, w.ann.UPN())
	require.NoError(t, err)
	to, err := url.Parse(login.URL() + "&prompt=none")
	require.NoError(t, err)
	client := w.sim.HTTPClient()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Get(to.String())
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	back, err := resp.Location()
	require.NoError(t, err)
	_, err = login.Finish(t.Context(), back.Query())
	var e *teams.Error
	require.ErrorAs(t, err, &e)
	require.Contains(t, e.Hint, "platform Web")
}

func TestWebLoginNeedsAConfidentialClient(t *testing.T) {
	w := newWebWorld(t, false)
	w.cfg.Prove = nil
	_, err := teams.NewWebLogin(w.cfg, webRedirect, "")
	require.Error(t, err)
}

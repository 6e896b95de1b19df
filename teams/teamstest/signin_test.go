package teamstest_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"teamsbridge/teams/teamstest"
)

func TestClientCredentialsWithSecret(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	a := b.token(b.secretForm())
	require.Equal(t, http.StatusOK, a.status)
	require.Equal(t, "Bearer", a.json["token_type"])
	require.EqualValues(t, 3599, a.json["expires_in"])
	require.Equal(t, b.URL()+"/.default", a.json["scope"], "Microsoft's client wants its scope back")
	require.NotContains(t, a.json, "refresh_token")
	require.Equal(t, http.StatusOK, b.get(a.str("access_token"), "/organization").status)

	// HTTP Basic is accepted too.
	form := b.secretForm()
	form.Del("client_id")
	form.Del("client_secret")
	req, err := http.NewRequest(http.MethodPost, b.URL()+"/"+b.TenantID+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	require.NoError(t, err)
	req.SetBasicAuth(url.QueryEscape(b.App().ClientID), url.QueryEscape(b.App().Secret()))
	basic, err := b.roundTrip(req)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, basic.status, string(basic.raw))
}

func TestSignInRefusals(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	for name, c := range map[string]struct {
		change func(url.Values)
		tenant string
		status int
		error  string
		code   float64
	}{
		"wrong secret":     {change: func(f url.Values) { f.Set("client_secret", "wrong") }, status: 401, error: "invalid_client", code: 7000215},
		"no secret":        {change: func(f url.Values) { f.Del("client_secret") }, status: 401, error: "invalid_client", code: 7000218},
		"unknown app":      {change: func(f url.Values) { f.Set("client_id", "nobody") }, status: 400, error: "unauthorized_client", code: 700016},
		"no grant":         {change: func(f url.Values) { f.Del("grant_type") }, status: 400, error: "invalid_request", code: 900144},
		"unknown grant":    {change: func(f url.Values) { f.Set("grant_type", "password") }, status: 400, error: "unsupported_grant_type", code: 70003},
		"no .default":      {change: func(f url.Values) { f.Set("scope", b.URL()+"/User.Read") }, status: 400, error: "invalid_scope", code: 1002012},
		"other cloud":      {change: func(f url.Values) { f.Set("scope", "https://graph.microsoft.us/.default") }, status: 400, error: "invalid_resource", code: 500011},
		"unknown tenant":   {tenant: "elsewhere", status: 400, error: "invalid_request", code: 90002},
		"not for common":   {tenant: "common", status: 400, error: "invalid_request", code: 50194},
		"broken assertion": {change: func(f url.Values) { f.Set("client_assertion", "x.y.z") }, status: 400, error: "invalid_request", code: 900144},
	} {
		t.Run(name, func(t *testing.T) {
			form, tenant := b.secretForm(), b.TenantID
			if c.change != nil {
				c.change(form)
			}
			if c.tenant != "" {
				tenant = c.tenant
			}
			a := b.form("/"+tenant+"/oauth2/v2.0/token", form)
			require.Equal(t, c.status, a.status, string(a.raw))
			require.Equal(t, c.error, a.str("error"))
			require.Equal(t, []any{c.code}, a.json["error_codes"])
			require.Contains(t, a.str("error_description"), "\r\nTrace ID: ")
			require.NotEmpty(t, a.str("timestamp"))
			require.NotEmpty(t, a.str("trace_id"))
			require.NotEmpty(t, a.str("correlation_id"))
		})
	}
}

func TestRolesAreThoseOfTheTokensBirth(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	before := b.app()
	b.App().RevokeRoles("ChannelMessage.Read.All")
	after := b.app()
	require.Equal(t, http.StatusOK, b.get(before, b.channelPath()+"/messages").status, "the old token keeps its roles")
	a := b.get(after, b.channelPath()+"/messages")
	require.Equal(t, http.StatusForbidden, a.status)
	require.Equal(t, "Forbidden", a.code())
	require.Contains(t, a.message(), "ChannelMessage.Read.All")
	b.App().GrantRoles("ChannelMessage.Read.All")
	require.Equal(t, http.StatusOK, b.get(b.app(), b.channelPath()+"/messages").status)
}

func TestAccessTokensExpireOnTheTenantsClock(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	token := b.app()
	require.Equal(t, http.StatusOK, b.get(token, "/organization").status)
	b.Clock().Advance(time.Hour)
	a := b.get(token, "/organization")
	require.Equal(t, http.StatusUnauthorized, a.status)
	require.Equal(t, "InvalidAuthenticationToken", a.code())
	require.Contains(t, a.header.Get("WWW-Authenticate"), "authorization_uri")

	token = b.app()
	b.ExpireTokens()
	require.Equal(t, http.StatusUnauthorized, b.get(token, "/organization").status)
	require.Equal(t, http.StatusUnauthorized, b.get("", "/organization").status)
	require.Equal(t, http.StatusUnauthorized, b.get("made-up", "/organization").status)
}

func TestDeviceCode(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	begin := func(scope string) answer {
		return b.form("/"+b.TenantID+"/oauth2/v2.0/devicecode", url.Values{"client_id": {b.App().ClientID}, "scope": {scope}})
	}
	begun := begin(writeScopes)
	require.EqualValues(t, 900, begun.json["expires_in"])
	require.EqualValues(t, 5, begun.json["interval"])
	require.Contains(t, begun.str("message"), begun.str("user_code"))
	require.Len(t, b.PendingDevices(), 1)
	form := deviceForm(b, begun.str("device_code"))

	require.Equal(t, "authorization_pending", b.token(form).str("error"))
	require.Equal(t, "slow_down", b.token(form).str("error"), "asked again at once")
	b.Clock().Advance(6 * time.Second)
	require.Equal(t, "slow_down", b.token(form).str("error"), "the interval has grown by five seconds")
	b.Clock().Advance(16 * time.Second)
	require.Equal(t, "authorization_pending", b.token(form).str("error"))

	require.ErrorIs(t, b.ApproveDevice("WRONG", b.ann), teamstest.ErrNoSuchCode)
	require.NoError(t, b.ApproveDevice(begun.str("user_code"), b.ann))
	require.Empty(t, b.PendingDevices())
	a := b.token(form)
	require.Equal(t, http.StatusOK, a.status, string(a.raw))
	require.NotEmpty(t, a.str("refresh_token"))
	require.NotEmpty(t, a.str("id_token"))
	require.Contains(t, a.str("scope"), b.URL()+"/ChannelMessage.Send")
	require.Equal(t, "bad_verification_code", b.token(form).str("error"), "redeemed")

	posted, err := b.post(a.str("access_token"), "hello")
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, posted.status, string(posted.raw))
	require.Equal(t, []string{"hello"}, b.texts())

	denied := begin(writeScopes)
	require.NoError(t, b.DenyDevice(denied.str("user_code")))
	require.Equal(t, "authorization_declined", b.token(deviceForm(b, denied.str("device_code"))).str("error"))

	late := begin(writeScopes)
	b.Clock().Advance(901 * time.Second)
	require.ErrorIs(t, b.ApproveDevice(late.str("user_code"), b.ann), teamstest.ErrNoSuchCode)
	require.Equal(t, "expired_token", b.token(deviceForm(b, late.str("device_code"))).str("error"))

	require.EqualValues(t, []any{65001.0}, begin("Mail.Send").json["error_codes"], "not consented to")
	require.EqualValues(t, []any{500011.0}, begin("https://graph.microsoft.com/User.Read").json["error_codes"])
}

func TestDevicePageInABrowser(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	begun := b.form("/"+b.TenantID+"/oauth2/v2.0/devicecode", url.Values{"client_id": {b.App().ClientID}, "scope": {writeScopes}})
	req, err := http.NewRequest(http.MethodGet, begun.str("verification_uri"), nil)
	require.NoError(t, err)
	page, err := b.roundTrip(req)
	require.NoError(t, err)
	require.Contains(t, string(page.raw), b.ann.UPN())
	require.Equal(t, 400, b.form("/devicelogin", url.Values{"user_code": {"NOPE"}, "login": {b.ann.UPN()}}).status)
	require.Equal(t, 200, b.form("/devicelogin", url.Values{"user_code": {begun.str("user_code")}, "login": {b.ann.UPN()}}).status)
	require.Equal(t, 200, b.token(deviceForm(b, begun.str("device_code"))).status)
}

func TestRefreshTokensRotate(t *testing.T) {
	refresh := func(b *bench, token string) answer {
		return b.token(url.Values{"grant_type": {"refresh_token"}, "client_id": {b.App().ClientID}, "refresh_token": {token}})
	}
	t.Run("the old one dies when the new one is used", func(t *testing.T) {
		b := newBench(t, teamstest.Options{})
		first := b.signIn(b.ann, writeScopes).str("refresh_token")
		// An answer that got lost does no harm.
		lost := refresh(b, first)
		require.Equal(t, 200, lost.status)
		second := refresh(b, first)
		require.Equal(t, 200, second.status)
		require.NotEqual(t, first, second.str("refresh_token"))
		require.Equal(t, 200, refresh(b, first).status, "nothing new was used yet")
		_, err := b.post(second.str("access_token"), "hi")
		require.NoError(t, err)
		a := refresh(b, first)
		require.Equal(t, 400, a.status)
		require.Equal(t, "invalid_grant", a.str("error"))
		require.Equal(t, 200, refresh(b, second.str("refresh_token")).status)
	})
	t.Run("at once", func(t *testing.T) {
		b := newBench(t, teamstest.Options{SignIn: teamstest.SignInOptions{Rotation: teamstest.RotateAtOnce}})
		first := b.signIn(b.ann, writeScopes).str("refresh_token")
		require.Equal(t, 200, refresh(b, first).status)
		require.Equal(t, "invalid_grant", refresh(b, first).str("error"))
	})
	t.Run("lenient", func(t *testing.T) {
		b := newBench(t, teamstest.Options{SignIn: teamstest.SignInOptions{Rotation: teamstest.RotateLenient}})
		first := b.signIn(b.ann, writeScopes).str("refresh_token")
		for range 3 {
			a := refresh(b, first)
			require.Equal(t, 200, a.status)
			require.Equal(t, 200, refresh(b, a.str("refresh_token")).status)
		}
	})
	t.Run("ends", func(t *testing.T) {
		b := newBench(t, teamstest.Options{})
		require.Equal(t, "invalid_grant", refresh(b, "made-up").str("error"))
		tired := b.signIn(b.ann, writeScopes).str("refresh_token")
		b.Clock().Advance(91 * 24 * time.Hour)
		require.Equal(t, []any{700082.0}, refresh(b, tired).json["error_codes"])

		revoked := b.signIn(b.ann, writeScopes)
		other := b.signIn(b.bob, writeScopes)
		b.RevokeSessions(b.ann)
		require.Equal(t, []any{50173.0}, refresh(b, revoked.str("refresh_token")).json["error_codes"])
		require.Equal(t, 200, refresh(b, other.str("refresh_token")).status)
		posted, err := b.post(revoked.str("access_token"), "still valid")
		require.NoError(t, err)
		require.Equal(t, 201, posted.status, "access tokens live on")

		require.Empty(t, b.signIn(b.bob, "ChannelMessage.Send").str("refresh_token"), "needs offline_access")
	})
	t.Run("a scope taken back", func(t *testing.T) {
		b := newBench(t, teamstest.Options{})
		first := b.signIn(b.ann, writeScopes).str("refresh_token")
		b.App().RevokeScopes("ChannelMessage.Send")
		a := refresh(b, first)
		require.NotContains(t, a.str("scope"), "ChannelMessage.Send")
		posted, err := b.post(a.str("access_token"), "no")
		require.NoError(t, err)
		require.Equal(t, 403, posted.status)
		asked := b.token(url.Values{
			"grant_type": {"refresh_token"}, "client_id": {b.App().ClientID},
			"refresh_token": {a.str("refresh_token")}, "scope": {"ChannelMessage.Send"},
		})
		require.Equal(t, "consent_required", asked.str("suberror"))
	})
}

func TestAuthorizationCodeWithProofKey(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	verifier := "a-verifier-that-is-long-enough-for-the-rules-1234567890"
	sum := sha256.Sum256([]byte(verifier))
	query := url.Values{
		"client_id": {b.App().ClientID}, "response_type": {"code"}, "redirect_uri": {"http://localhost:7777/back"},
		"scope": {writeScopes}, "state": {"s1"}, "prompt": {"none"}, "login_hint": {b.ann.UPN()},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	authorize := func(q url.Values) url.Values {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, b.URL()+"/"+b.TenantID+"/oauth2/v2.0/authorize?"+q.Encode(), nil)
		require.NoError(t, err)
		a, err := b.roundTrip(req)
		require.NoError(t, err)
		require.Equal(t, http.StatusFound, a.status, string(a.raw))
		back, err := url.Parse(a.header.Get("Location"))
		require.NoError(t, err)
		require.Equal(t, "localhost:7777", back.Host)
		require.Equal(t, "s1", back.Query().Get("state"))
		return back.Query()
	}
	redeem := func(code, verifier, redirect string) answer {
		return b.token(url.Values{
			"grant_type": {"authorization_code"}, "client_id": {b.App().ClientID}, "code": {code},
			"redirect_uri": {redirect}, "code_verifier": {verifier},
		})
	}
	code := authorize(query).Get("code")
	require.Equal(t, []any{501481.0}, redeem(code, "wrong", "http://localhost:7777/back").json["error_codes"])
	require.Equal(t, []any{500112.0}, redeem(code, verifier, "http://localhost:7777/other").json["error_codes"])
	a := redeem(code, verifier, "http://localhost:7777/back")
	require.Equal(t, 200, a.status, string(a.raw))
	require.NotEmpty(t, a.str("refresh_token"))
	require.Equal(t, []any{54005.0}, redeem(code, verifier, "http://localhost:7777/back").json["error_codes"], "single use")

	old := authorize(query).Get("code")
	b.Clock().Advance(11 * time.Minute)
	require.Equal(t, []any{70008.0}, redeem(old, verifier, "http://localhost:7777/back").json["error_codes"])

	query.Set("login_hint", "nobody@example.org")
	require.Equal(t, "login_required", authorize(query).Get("error"))
	query.Set("redirect_uri", "https://elsewhere.example/")
	req, err := http.NewRequest(http.MethodGet, b.URL()+"/"+b.TenantID+"/oauth2/v2.0/authorize?"+query.Encode(), nil)
	require.NoError(t, err)
	refused, err := b.roundTrip(req)
	require.NoError(t, err)
	require.Equal(t, 400, refused.status, "never redirected to an unknown address")
}

func TestAWebRedirectIsAConfidentialClient(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	const back, verifier = "https://bridge.example.org/callback", "a-verifier-that-is-long-enough-for-the-rules-1234567890"
	b.App().AddWebRedirect(back)
	sum := sha256.Sum256([]byte(verifier))
	req, err := http.NewRequest(http.MethodGet, b.URL()+"/"+b.TenantID+"/oauth2/v2.0/authorize?"+url.Values{
		"client_id": {b.App().ClientID}, "response_type": {"code"}, "redirect_uri": {back}, "scope": {"openid " + writeScopes},
		"state": {"s1"}, "nonce": {"n1"}, "prompt": {"none"}, "login_hint": {b.ann.UPN()},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}.Encode(), nil)
	require.NoError(t, err)
	answered, err := b.roundTrip(req)
	require.NoError(t, err)
	to, err := url.Parse(answered.header.Get("Location"))
	require.NoError(t, err)
	form := url.Values{
		"grant_type": {"authorization_code"}, "client_id": {b.App().ClientID}, "code": {to.Query().Get("code")},
		"redirect_uri": {back}, "code_verifier": {verifier},
	}
	require.Equal(t, []any{7000218.0}, b.token(form).json["error_codes"], "the code alone")
	form.Set("client_secret", "wrong")
	require.Equal(t, []any{7000215.0}, b.token(form).json["error_codes"])
	form.Set("client_secret", b.App().Secret())
	a := b.token(form)
	require.Equal(t, 200, a.status, string(a.raw))
	claims := jwt.MapClaims{}
	_, _, err = jwt.NewParser().ParseUnverified(a.str("id_token"), claims)
	require.NoError(t, err)
	require.Equal(t, "n1", claims["nonce"])

	refresh := url.Values{"grant_type": {"refresh_token"}, "client_id": {b.App().ClientID}, "refresh_token": {a.str("refresh_token")}}
	require.Equal(t, []any{7000218.0}, b.token(refresh).json["error_codes"], "the refresh token alone")
	refresh.Set("client_secret", b.App().Secret())
	require.Equal(t, 200, b.token(refresh).status)

	public := url.Values{
		"grant_type": {"refresh_token"}, "client_id": {b.App().ClientID}, "client_secret": {b.App().Secret()},
		"refresh_token": {b.signIn(b.ann, writeScopes).str("refresh_token")},
	}
	require.Equal(t, []any{700025.0}, b.token(public).json["error_codes"], "a public client has no secret")
}

func TestIDTokenVerifiesWithThePublishedKeys(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	idToken := b.signIn(b.ann, writeScopes).str("id_token")
	for _, authority := range []string{"common", b.TenantID} {
		for _, version := range []string{"/v2.0", ""} {
			req, err := http.NewRequest(http.MethodGet, b.URL()+"/"+authority+version+"/.well-known/openid-configuration", nil)
			require.NoError(t, err)
			config, err := b.roundTrip(req)
			require.NoError(t, err)
			require.Equal(t, 200, config.status)
			require.NotEmpty(t, config.str("issuer"))
			req, err = http.NewRequest(http.MethodGet, config.str("jwks_uri"), nil)
			require.NoError(t, err)
			keys, err := b.roundTrip(req)
			require.NoError(t, err)
			set, err := keyfunc.NewJWKSetJSON(keys.raw)
			require.NoError(t, err)
			claims := jwt.MapClaims{}
			_, err = jwt.ParseWithClaims(idToken, claims, set.Keyfunc, jwt.WithAudience(b.App().ClientID), jwt.WithValidMethods([]string{"RS256"}))
			require.NoError(t, err)
			require.Equal(t, b.ann.ID, claims["oid"])
			require.Equal(t, b.ann.UPN(), claims["preferred_username"])
		}
	}
}

func TestDisabledPeopleAreOut(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	eve := b.AddUser(teamstest.UserSpec{DisplayName: "Eve", Disabled: true})
	begun := b.form("/"+b.TenantID+"/oauth2/v2.0/devicecode", url.Values{"client_id": {b.App().ClientID}, "scope": {writeScopes}})
	require.Error(t, b.ApproveDevice(begun.str("user_code"), eve))
}

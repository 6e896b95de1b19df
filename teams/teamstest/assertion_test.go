package teamstest_test

import (
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"teamsbridge/teams/teamstest"
)

func TestClientAssertions(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	certPEM, keyPEM, err := b.App().NewCertificate()
	require.NoError(t, err)
	certBlock, _ := pem.Decode(certPEM)
	keyBlock, _ := pem.Decode(keyPEM)
	parsed, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	require.NoError(t, err)
	key := parsed.(*rsa.PrivateKey)
	long, short := sha256.Sum256(certBlock.Bytes), sha1.Sum(certBlock.Bytes)
	endpoint := b.URL() + "/" + b.TenantID + "/oauth2/v2.0/token"

	type change struct {
		method jwt.SigningMethod
		header map[string]any
		claims jwt.MapClaims
	}
	good := func() change {
		now := time.Now()
		return change{
			method: jwt.SigningMethodPS256, header: map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(long[:])},
			claims: jwt.MapClaims{
				"aud": endpoint, "iss": b.App().ClientID, "sub": b.App().ClientID, "jti": "1",
				"nbf": now.Unix(), "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
			},
		}
	}
	for name, c := range map[string]struct {
		alter func(c *change)
		code  float64 // 0 for accepted
	}{
		"PS256 and x5t#S256": {alter: func(*change) {}},
		"standard alphabet":  {alter: func(c *change) { c.header["x5t#S256"] = base64.StdEncoding.EncodeToString(long[:]) }},
		"RS256 and x5t": {alter: func(c *change) {
			c.method, c.header = jwt.SigningMethodRS256, map[string]any{"x5t": base64.RawURLEncoding.EncodeToString(short[:])}
		}},
		"hexadecimal x5t":      {alter: func(c *change) { c.header = map[string]any{"x5t": hex.EncodeToString(short[:])} }},
		"other thumbprint":     {alter: func(c *change) { c.header["x5t#S256"] = "AAAA" }, code: 700027},
		"no thumbprint":        {alter: func(c *change) { c.header = map[string]any{} }, code: 700027},
		"expired":              {alter: func(c *change) { c.claims["exp"] = time.Now().Add(-time.Hour).Unix() }, code: 700027},
		"without expiry":       {alter: func(c *change) { delete(c.claims, "exp") }, code: 700027},
		"for somebody else":    {alter: func(c *change) { c.claims["aud"] = "https://login.microsoftonline.com/x/oauth2/v2.0/token" }, code: 700023},
		"of somebody else":     {alter: func(c *change) { c.claims["iss"] = "nobody" }, code: 700027},
		"about somebody else":  {alter: func(c *change) { c.claims["sub"] = "nobody" }, code: 700027},
		"without an identity":  {alter: func(c *change) { delete(c.claims, "jti") }, code: 50027},
		"unsuitable algorithm": {alter: func(c *change) { c.method = jwt.SigningMethodRS512 }, code: 700027},
	} {
		t.Run(name, func(t *testing.T) {
			ch := good()
			c.alter(&ch)
			token := jwt.NewWithClaims(ch.method, ch.claims)
			for k, v := range ch.header {
				token.Header[k] = v
			}
			assertion, err := token.SignedString(key)
			require.NoError(t, err)
			a := b.token(url.Values{
				"grant_type": {"client_credentials"}, "client_id": {b.App().ClientID}, "scope": {b.URL() + "/.default"},
				"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertion},
			})
			if c.code == 0 {
				require.Equal(t, http.StatusOK, a.status, string(a.raw))
				return
			}
			require.Equal(t, http.StatusUnauthorized, a.status)
			require.Equal(t, "invalid_client", a.str("error"))
			require.Equal(t, []any{c.code}, a.json["error_codes"])
		})
	}
}

func TestConfidentialClientsMustAuthenticate(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	refresh := b.signIn(b.ann, writeScopes).str("refresh_token")
	b.App().AllowPublicClient(false)
	form := url.Values{"grant_type": {"refresh_token"}, "client_id": {b.App().ClientID}, "refresh_token": {refresh}}
	require.Equal(t, []any{7000218.0}, b.token(form).json["error_codes"])
	form.Set("client_secret", b.App().Secret())
	require.Equal(t, 200, b.token(form).status)
	b.App().AddSecret("next")
	form.Set("client_secret", "next")
	require.Equal(t, 200, b.token(form).status, "a second secret beside the first")
}

func TestAuthorizeAnswersInEveryMode(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	b.App().AddRedirect("https://bridge.example.org/back?x=1")
	query := url.Values{
		"client_id": {b.App().ClientID}, "response_type": {"code"}, "redirect_uri": {"https://bridge.example.org/back?x=1"},
		"scope": {writeScopes}, "state": {`"><script>`}, "prompt": {"none"}, "login_hint": {b.ann.UPN()},
	}
	page := "/" + b.TenantID + "/oauth2/v2.0/authorize"
	ask := func(q url.Values) answer {
		req, err := http.NewRequest(http.MethodGet, b.URL()+page+"?"+q.Encode(), nil)
		require.NoError(t, err)
		a, err := b.roundTrip(req)
		require.NoError(t, err)
		return a
	}
	location := func(a answer) *url.URL {
		u, err := url.Parse(a.header.Get("Location"))
		require.NoError(t, err)
		return u
	}
	back := location(ask(query))
	require.Equal(t, "1", back.Query().Get("x"))
	require.NotEmpty(t, back.Query().Get("code"))
	query.Set("response_mode", "fragment")
	require.Contains(t, location(ask(query)).Fragment, "code=")
	query.Set("response_mode", "form_post")
	a := ask(query)
	require.Contains(t, string(a.raw), `name="code"`)
	require.NotContains(t, string(a.raw), "<script>")
	query.Del("response_mode")

	// Without prompt=none there is a page, and a person who decides.
	query.Del("prompt")
	require.Contains(t, string(ask(query).raw), b.bob.UPN())
	decided := b.form(page+"?"+query.Encode(), url.Values{"login": {b.bob.UPN()}, "decision": {"accept"}})
	code := location(decided).Query().Get("code")
	token := b.token(url.Values{
		"grant_type": {"authorization_code"}, "client_id": {b.App().ClientID}, "code": {code}, "redirect_uri": query["redirect_uri"],
	})
	require.Equal(t, 200, token.status, string(token.raw))
	denied := b.form(page+"?"+query.Encode(), url.Values{"decision": {"deny"}})
	require.Equal(t, "access_denied", location(denied).Query().Get("error"))
	query.Set("response_type", "token")
	require.Equal(t, "unsupported_response_type", location(ask(query)).Query().Get("error"))
	query.Set("response_type", "code")
	query.Set("scope", "Mail.Send")
	require.Equal(t, "access_denied", location(ask(query)).Query().Get("error"))

	req, err := http.NewRequest(http.MethodGet, b.URL()+"/"+b.TenantID+"/adminconsent?"+query.Encode(), nil)
	require.NoError(t, err)
	consent, err := b.roundTrip(req)
	require.NoError(t, err)
	require.Equal(t, "True", location(consent).Query().Get("admin_consent"))
	require.Equal(t, b.TenantID, location(consent).Query().Get("tenant"))
}

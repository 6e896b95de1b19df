package teams

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

// tokenAnswer answers as the sign-in service does: with the scope echoed, or
// with one of its errors.
func tokenAnswer(w http.ResponseWriter, r *http.Request, token string, expires int, refresh string) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"token_type": "Bearer", "scope": r.PostFormValue("scope"),
		"expires_in": expires, "access_token": token, "refresh_token": refresh})
}

func tokenError(w http.ResponseWriter, status int, code string, aadsts int) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": code, "error_description": fmt.Sprintf("AADSTS%d: no", aadsts),
		"error_codes": []int{aadsts}, "trace_id": "trace-1"})
}

// loginServer is a graphServer that also has the document in which the
// sign-in library looks the endpoints up; it does not count as a hit.
func loginServer(t *testing.T, h http.HandlerFunc) *graphServer {
	t.Helper()
	var g *graphServer
	g = newGraphServer(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration") {
			g.hits.Add(-1)
			tenant := g.URL + "/tenant-1"
			_ = json.NewEncoder(w).Encode(map[string]string{"issuer": tenant + "/v2.0",
				"authorization_endpoint": tenant + "/oauth2/v2.0/authorize", "token_endpoint": tenant + "/oauth2/v2.0/token"})
			return
		}
		h(w, r)
	})
	return g
}

func newApp(t *testing.T, g *graphServer, change ...func(*AppConfig)) *AppCredential {
	t.Helper()
	cfg := AppConfig{Endpoints: g.endpoints, TenantID: "tenant-1", ClientID: "app-1", ClientSecret: "hush", HTTP: g.client(t)}
	for _, f := range change {
		f(&cfg)
	}
	c, err := NewAppCredential(cfg)
	require.NoError(t, err)
	return c
}

func TestAppSecret(t *testing.T) {
	var n atomic.Int64
	g := loginServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/tenant-1/oauth2/v2.0/token" || r.PostFormValue("client_secret") != "hush" || r.PostFormValue("grant_type") != "client_credentials" {
			tokenError(w, 400, "invalid_request", 900144)
			return
		}
		tokenAnswer(w, r, fmt.Sprint("token-", n.Add(1)), 3600, "")
	})
	c := newApp(t, g)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			token, err := c.GetToken(t.Context(), policy.TokenRequestOptions{})
			require.NoError(t, err)
			require.Equal(t, "token-1", token.Token)
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, n.Load(), "one sign-in for all callers")
	require.False(t, c.Invalidate("another"))
	require.True(t, c.Invalidate("token-1"))
	token, err := c.GetToken(t.Context(), policy.TokenRequestOptions{})
	require.NoError(t, err)
	require.Equal(t, "token-2", token.Token)
	token, err = c.GetToken(t.Context(), policy.TokenRequestOptions{Claims: `{"access_token":{}}`})
	require.NoError(t, err)
	require.Equal(t, "token-3", token.Token, "a claims challenge gets a new token")
}

func TestAppCertificate(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "app"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	dir := t.TempDir()
	write := func(name string, blocks ...*pem.Block) string {
		var out []byte
		for _, b := range blocks {
			out = append(out, pem.EncodeToMemory(b)...)
		}
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, out, 0o600))
		return path
	}
	certBlock, keyBlock := &pem.Block{Type: "CERTIFICATE", Bytes: der}, &pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}
	both, certOnly, keyOnly := write("both.pem", certBlock, keyBlock), write("cert.pem", certBlock), write("key.pem", keyBlock)

	var assertion atomic.Value
	g := loginServer(t, func(w http.ResponseWriter, r *http.Request) {
		assertion.Store(r.PostFormValue("client_assertion"))
		tokenAnswer(w, r, "token", 3600, "")
	})
	for name, files := range map[string]AppConfig{
		"one file":  {CertificateFile: both},
		"two files": {CertificateFile: certOnly, KeyFile: keyOnly},
		"pfx":       {CertificateFile: "testdata/app.pfx", CertificatePassword: "open"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newApp(t, g, func(cfg *AppConfig) {
				cfg.ClientSecret, cfg.CertificateFile, cfg.KeyFile, cfg.CertificatePassword = "", files.CertificateFile, files.KeyFile, files.CertificatePassword
			})
			_, err := c.GetToken(t.Context(), policy.TokenRequestOptions{})
			require.NoError(t, err)
			raw, _ := assertion.Load().(string)
			claims := jwt.MapClaims{}
			if name == "pfx" {
				_, _, err = jwt.NewParser().ParseUnverified(raw, claims)
			} else {
				_, err = jwt.ParseWithClaims(raw, claims, func(*jwt.Token) (any, error) { return key.Public(), nil })
			}
			require.NoError(t, err)
			require.Equal(t, "app-1", claims["iss"])
			require.Equal(t, g.endpoints.TokenURL("tenant-1"), claims["aud"])
		})
	}
	for name, files := range map[string]AppConfig{
		"network.certificate_file":     {CertificateFile: filepath.Join(dir, "missing")},
		"network.certificate_file: ":   {CertificateFile: certOnly},
		"network.certificate_key_file": {CertificateFile: certOnly, KeyFile: filepath.Join(dir, "missing")},
	} {
		files.TenantID, files.ClientID, files.Endpoints, files.HTTP = "tenant-1", "app-1", g.endpoints, g.client(t)
		_, err := NewAppCredential(files)
		require.ErrorContains(t, err, name)
	}
}

func TestAppConfigNamesTheSetting(t *testing.T) {
	e, err := Cloud("")
	require.NoError(t, err)
	for setting, cfg := range map[string]AppConfig{
		"network.tenant_id":                  {ClientID: "a", ClientSecret: "s", HTTP: http.DefaultClient},
		"network.client_id":                  {TenantID: "t", ClientSecret: "s", HTTP: http.DefaultClient},
		"no HTTP client":                     {TenantID: "t", ClientID: "a", ClientSecret: "s"},
		"one of them is needed":              {TenantID: "t", ClientID: "a", HTTP: http.DefaultClient},
		"only one of them":                   {TenantID: "t", ClientID: "a", ClientSecret: "s", CertificateFile: "f", HTTP: http.DefaultClient},
		"network.tenant_id, network.client_": {TenantID: "not a tenant!", ClientID: "a", ClientSecret: "s", HTTP: http.DefaultClient},
	} {
		cfg.Endpoints = e
		_, err := NewAppCredential(cfg)
		require.ErrorContains(t, err, setting)
	}
}

func TestAppSignInErrors(t *testing.T) {
	var answer atomic.Pointer[http.HandlerFunc]
	g := loginServer(t, func(w http.ResponseWriter, r *http.Request) { (*answer.Load())(w, r) })
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		kind   Kind
		hint   string
	}{
		"wrong secret":   {func(w http.ResponseWriter, _ *http.Request) { tokenError(w, 401, "invalid_client", 7000215) }, KindSignInExpired, "network.client_secret"},
		"expired secret": {func(w http.ResponseWriter, _ *http.Request) { tokenError(w, 401, "invalid_client", 7000222) }, KindSignInExpired, "expired"},
		"unknown app":    {func(w http.ResponseWriter, _ *http.Request) { tokenError(w, 400, "unauthorized_client", 700016) }, KindSignInExpired, "network.client_id"},
		"unknown tenant": {func(w http.ResponseWriter, _ *http.Request) { tokenError(w, 400, "invalid_request", 90002) }, KindSignInExpired, "network.tenant_id"},
		"certificate":    {func(w http.ResponseWriter, _ *http.Request) { tokenError(w, 401, "invalid_client", 700027) }, KindSignInExpired, "network.certificate_file"},
		"down":           {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, KindUnavailable, ""},
		"temporarily":    {func(w http.ResponseWriter, _ *http.Request) { tokenError(w, 400, "temporarily_unavailable", 90033) }, KindUnavailable, ""},
		"a portal": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(403)
			_, _ = io.WriteString(w, "<html>pay for the network</html>")
		}, KindUnavailable, "network.proxy"},
		"garbage":   {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, KindUnavailable, ""},
		"throttled": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) }, KindThrottled, ""},
	} {
		t.Run(name, func(t *testing.T) {
			answer.Store(&c.answer)
			_, err := newApp(t, g).GetToken(t.Context(), policy.TokenRequestOptions{})
			e := typedError(t, err)
			require.Equal(t, c.kind, e.Kind, err)
			require.Contains(t, e.Hint, c.hint)
			require.NotContains(t, err.Error(), "hush")
		})
	}
	t.Run("network", func(t *testing.T) {
		c := newApp(t, g)
		g.Close()
		_, err := c.GetToken(t.Context(), policy.TokenRequestOptions{})
		require.Equal(t, KindUnavailable, KindOf(err))
	})
}

func TestTokenSurvivesAShortOutageOfSignIn(t *testing.T) {
	var down atomic.Bool
	g := loginServer(t, func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			w.WriteHeader(503)
			return
		}
		tokenAnswer(w, r, "token", 200, "") // so short-lived that it is renewed at once
	})
	c := newApp(t, g)
	_, err := c.GetToken(t.Context(), policy.TokenRequestOptions{})
	require.NoError(t, err)
	down.Store(true)
	c.inner, err = c.build(c.proof) // the library's own cache must not hide the outage
	require.NoError(t, err)
	token, err := c.GetToken(t.Context(), policy.TokenRequestOptions{})
	require.NoError(t, err)
	require.Equal(t, "token", token.Token)
}

func TestTokenWaitEndsWithItsContext(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	g := loginServer(t, func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-release
		tokenAnswer(w, r, "token", 3600, "")
	})
	c := newApp(t, g)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-entered; cancel() }()
	_, err := c.GetToken(ctx, policy.TokenRequestOptions{})
	require.ErrorIs(t, err, context.Canceled)
	close(release)
	token, err := c.GetToken(t.Context(), policy.TokenRequestOptions{})
	require.NoError(t, err)
	require.Equal(t, "token", token.Token, "the sign-in that was under way is used")
	require.EqualValues(t, 1, g.hits.Load())
}

func TestTokenURLForms(t *testing.T) {
	e, err := ResolveEndpoints("", "https://login.example", "", nil)
	require.NoError(t, err)
	u, err := url.Parse(e.DeviceURL("t"))
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(u.Path, "/oauth2/v2.0/devicecode"))
}

// The secret's file can be replaced while the bridge runs: what it holds counts
// from the next sign-in on, and what can't be read changes nothing.
func TestAppSecretIsReplacedWhileItRuns(t *testing.T) {
	valid := atomic.Pointer[string]{}
	set := func(s string) { valid.Store(&s) }
	set("first")
	g := loginServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("client_secret") != *valid.Load() {
			tokenError(w, 401, "invalid_client", 7000222)
			return
		}
		tokenAnswer(w, r, "token-"+r.PostFormValue("client_secret"), 3600, "")
	})
	file := filepath.Join(t.TempDir(), "secret")
	write := func(s string) { require.NoError(t, os.WriteFile(file, []byte(s), 0o600)) }
	write("first\n")
	var changes []error
	c := newApp(t, g, func(cfg *AppConfig) {
		cfg.ClientSecret, cfg.ClientSecretFile = "", file
		cfg.Changed = func(err error) { changes = append(changes, err) }
	})
	get := func() (string, error) {
		token, err := c.GetToken(t.Context(), policy.TokenRequestOptions{})
		return token.Token, err
	}
	token, err := get()
	require.NoError(t, err)
	require.Equal(t, "token-first", token)

	set("second") // at Microsoft, and Graph takes the old token no more
	require.True(t, c.Invalidate(token))
	_, err = get()
	require.Equal(t, KindSignInExpired, KindOf(err))
	require.Empty(t, changes)
	write("second\n")
	token, err = get()
	require.NoError(t, err, "without a restart")
	require.Equal(t, "token-second", token)
	require.Equal(t, []error{nil}, changes)

	write("")
	require.True(t, c.Invalidate(token))
	token, err = get()
	require.NoError(t, err)
	require.Equal(t, "token-second", token)
	require.Len(t, changes, 2)
	require.ErrorContains(t, changes[1], "network.client_secret_file: is empty")
}

package teams

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

const (
	testTenant = "11111111-1111-1111-1111-111111111111"
	testClient = "22222222-2222-2222-2222-222222222222"
)

// testKeys are made once: RSA keys are slow to make.
var testKeys = sync.OnceValue(func() [2]*rsa.PrivateKey {
	var out [2]*rsa.PrivateKey
	for i := range out {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		out[i] = key
	}
	return out
})

// signInService publishes signing keys like the sign-in service.
type signInService struct {
	*httptest.Server
	mu    sync.Mutex
	keys  map[string]*rsa.PrivateKey
	down  atomic.Bool
	asked atomic.Int32
}

func newSignInService(t *testing.T) *signInService {
	s := &signInService{keys: map[string]*rsa.PrivateKey{"k1": testKeys()[0]}}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		switch r.URL.Path {
		case "/common/.well-known/openid-configuration":
			_ = json.NewEncoder(w).Encode(map[string]string{
				"issuer": "https://issuer.example/{tenantid}/", "jwks_uri": s.URL + "/keys",
			})
		case "/keys":
			s.asked.Add(1)
			s.mu.Lock()
			defer s.mu.Unlock()
			keys := []map[string]string{{"kty": "EC", "kid": "other"}}
			for id, key := range s.keys {
				keys = append(keys, map[string]string{
					"kty": "RSA", "use": "sig", "kid": id, "x5t": id, "x5c": "nonsense",
					"n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
					"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
				})
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"keys": keys})
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *signInService) add(id string, key *rsa.PrivateKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[id] = key
}

func (s *signInService) verifier(now func() time.Time) *TokenVerifier {
	return NewTokenVerifier(TokenVerifierOptions{
		LoginURL: s.URL, ClientID: testClient, TenantIDs: []string{testTenant}, Client: s.Client(), Now: now,
	})
}

func goodClaims(now time.Time) jwt.MapClaims {
	return jwt.MapClaims{
		"aud": testClient, "iss": "https://sts.windows.net/" + testTenant + "/", "tid": testTenant,
		"appid": NotificationPublisher, "ver": "1.0",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
}

func signed(t *testing.T, method jwt.SigningMethod, kid string, key any, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	if kid != "" {
		token.Header["kid"] = kid
	}
	out, err := token.SignedString(key)
	require.NoError(t, err)
	return out
}

func TestTokens(t *testing.T) {
	t.Parallel()
	now := time.Now()
	service := newSignInService(t)
	key, other := testKeys()[0], testKeys()[1]
	with := func(change func(jwt.MapClaims)) string {
		c := goodClaims(now)
		change(c)
		return signed(t, jwt.SigningMethodRS256, "k1", key, c)
	}
	set := func(name string, value any) string { return with(func(c jwt.MapClaims) { c[name] = value }) }
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	require.NoError(t, err)
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	good := with(func(jwt.MapClaims) {})

	for name, tc := range map[string]struct {
		tokens []string
		reason string
	}{
		"good v1":          {[]string{good}, ""},
		"good v2":          {[]string{with(func(c jwt.MapClaims) { v2(c, service.URL) })}, ""},
		"good, own issuer": {[]string{set("iss", "https://issuer.example/"+testTenant+"/")}, ""},
		"two good":         {[]string{good, good}, ""},
		"missing":          {nil, TokenMissing},
		"not a token":      {[]string{"a.b"}, TokenMalformed},
		"not base64":       {[]string{"%.%.%"}, TokenMalformed},
		"empty":            {[]string{""}, TokenMalformed},
		"wrong aud":        {[]string{set("aud", "somebody else")}, TokenAudience},
		"no aud":           {[]string{with(func(c jwt.MapClaims) { delete(c, "aud") })}, TokenAudience},
		"wrong iss":        {[]string{set("iss", "https://sts.windows.net/other/")}, TokenIssuer},
		"iss of nobody":    {[]string{set("iss", "https://evil.example/"+testTenant+"/")}, TokenIssuer},
		"no iss":           {[]string{with(func(c jwt.MapClaims) { delete(c, "iss") })}, TokenIssuer},
		"wrong tid":        {[]string{set("tid", "33333333-3333-3333-3333-333333333333")}, TokenTenant},
		"no tid":           {[]string{with(func(c jwt.MapClaims) { delete(c, "tid") })}, TokenTenant},
		"wrong appid":      {[]string{set("appid", testClient)}, TokenPublisher},
		"v2 with appid only": {[]string{with(func(c jwt.MapClaims) {
			v2(c, service.URL)
			c["appid"] = c["azp"]
			delete(c, "azp")
		})}, TokenPublisher},
		"v1 with azp only": {[]string{with(func(c jwt.MapClaims) { c["azp"] = c["appid"]; delete(c, "appid") })}, TokenPublisher},
		"expired":          {[]string{set("exp", now.Add(-time.Hour).Unix())}, TokenExpired},
		"never expires":    {[]string{with(func(c jwt.MapClaims) { delete(c, "exp") })}, TokenExpired},
		"not yet":          {[]string{set("nbf", now.Add(time.Hour).Unix())}, TokenExpired},
		"alg none":         {[]string{signed(t, jwt.SigningMethodNone, "k1", jwt.UnsafeAllowNoneSignatureType, goodClaims(now))}, TokenAlgorithm},
		"HS256 with key":   {[]string{signed(t, jwt.SigningMethodHS256, "k1", publicPEM, goodClaims(now))}, TokenAlgorithm},
		"RS512":            {[]string{signed(t, jwt.SigningMethodRS512, "k1", key, goodClaims(now))}, TokenAlgorithm},
		"signed by other":  {[]string{signed(t, jwt.SigningMethodRS256, "k1", other, goodClaims(now))}, TokenSignature},
		"unknown kid":      {[]string{signed(t, jwt.SigningMethodRS256, "k9", key, goodClaims(now))}, TokenKey},
		"no kid":           {[]string{signed(t, jwt.SigningMethodRS256, "", key, goodClaims(now))}, TokenKey},
		"one of two bad":   {[]string{good, set("aud", "x")}, TokenAudience},
		"cut":              {[]string{good[:len(good)-10]}, TokenSignature},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := service.verifier(time.Now).Verify(t.Context(), tc.tokens, now)
			if tc.reason == "" {
				require.NoError(t, err)
				return
			}
			var forged *TokenError
			require.ErrorAs(t, err, &forged)
			require.Equal(t, tc.reason, forged.Reason, "%v", err)
		})
	}
}

func v2(c jwt.MapClaims, login string) {
	c["ver"], c["iss"], c["azp"] = "2.0", login+"/"+testTenant+"/v2.0", c["appid"]
	delete(c, "appid")
}

func TestTokenKeptInTheLogStaysGood(t *testing.T) {
	t.Parallel()
	now := time.Now()
	token := signed(t, jwt.SigningMethodRS256, "k1", testKeys()[0], goodClaims(now))
	later := func() time.Time { return now.Add(20 * time.Hour) }
	v := newSignInService(t).verifier(later)
	require.NoError(t, v.Verify(t.Context(), []string{token}, now), "received when it was good")
	var forged *TokenError
	require.ErrorAs(t, v.Verify(t.Context(), []string{token}, later()), &forged)
	require.Equal(t, TokenExpired, forged.Reason)
}

func TestSigningKeys(t *testing.T) {
	t.Parallel()
	service := newSignInService(t)
	now := time.Now()
	clock := now
	v := service.verifier(func() time.Time { return clock })
	k1 := signed(t, jwt.SigningMethodRS256, "k1", testKeys()[0], goodClaims(now))
	k2 := signed(t, jwt.SigningMethodRS256, "k2", testKeys()[1], goodClaims(now))

	// Unreachable keys are nobody's fault, and asked for again soon.
	service.down.Store(true)
	err := v.Verify(t.Context(), []string{k1}, clock)
	require.Equal(t, KindUnavailable, KindOf(err))
	clock = clock.Add(jwksRetry)
	require.Error(t, v.Verify(t.Context(), []string{k1}, clock))
	service.down.Store(false)
	err = v.Verify(t.Context(), []string{k1}, clock)
	require.Equal(t, 2*jwksRetry, RetryAfter(err), "each time it waits longer")
	clock = clock.Add(2 * jwksRetry)
	require.NoError(t, v.Verify(t.Context(), []string{k1}, clock))
	require.EqualValues(t, 1, service.asked.Load())
	require.NoError(t, v.Verify(t.Context(), []string{k1}, clock))
	require.EqualValues(t, 1, service.asked.Load(), "cached")

	// A new key is fetched, but not each time somebody invents one.
	service.add("k2", testKeys()[1])
	clock = clock.Add(time.Second)
	err = v.Verify(t.Context(), []string{k2}, clock)
	require.Equal(t, KindUnavailable, KindOf(err), "asked a moment ago: later")
	require.Positive(t, RetryAfter(err))
	clock = clock.Add(2 * time.Minute)
	require.NoError(t, v.Verify(t.Context(), []string{k2}, clock))

	// Old keys go on while the service is away.
	clock = clock.Add(48 * time.Hour)
	service.down.Store(true)
	require.NoError(t, v.Verify(t.Context(), []string{k1}, now))
	var forged *TokenError
	require.False(t, errors.As(v.Verify(t.Context(), []string{signed(t, jwt.SigningMethodRS256, "k3", testKeys()[1], goodClaims(clock))}, clock), &forged))
}

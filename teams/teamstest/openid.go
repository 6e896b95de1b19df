package teamstest

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"math/big"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// signer signs what the tenant's sign-in service signs. Its key is made when
// it is first needed: most tests never do.
type signer struct {
	once sync.Once
	key  *rsa.PrivateKey
	kid  string
}

func (s *signer) load() {
	s.once.Do(func() {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic("teamstest: " + err.Error())
		}
		s.key, s.kid = key, handle("", 20)
	})
}

// sign makes a JWT with RS256.
func (s *signer) sign(claims jwt.MapClaims) string {
	s.load()
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	token.Header["kid"] = s.kid
	token.Header["x5t"] = s.kid
	signed, err := token.SignedString(s.key)
	if err != nil {
		panic("teamstest: " + err.Error())
	}
	return signed
}

// lifetime is nbf and exp of a token that clients check by the real clock
// although the tenant's may be far from it: it is valid by both.
func (e *edgeState) lifetime(life time.Duration) (from, until int64) {
	real, own := time.Now(), e.t.clock.Now()
	if own.Before(real) {
		real, own = own, real
	}
	return real.Add(-5 * time.Minute).Unix(), own.Add(life).Unix()
}

// idToken says who signed in.
func (e *edgeState) idToken(s *session) string {
	from, until := e.lifetime(time.Hour)
	e.t.mu.Lock()
	u := e.t.user(s.userID)
	claims := jwt.MapClaims{
		"iss": e.t.url + "/" + e.t.TenantID + "/v2.0", "aud": s.app.ClientID, "tid": e.t.TenantID, "ver": "2.0",
		"iat": from, "nbf": from, "exp": until,
		"oid": s.userID, "sub": base64.RawURLEncoding.EncodeToString([]byte(s.app.ClientID[:8] + s.userID[:8])),
	}
	if s.nonce != "" {
		claims["nonce"] = s.nonce
	}
	if u != nil {
		claims["name"], claims["preferred_username"] = u.displayName, u.upn
	}
	e.t.mu.Unlock()
	return e.signer.sign(claims)
}

// serveOpenID is the OpenID configuration, of the v1 and the v2 endpoint.
func (e *edgeState) serveOpenID(x *exchange) *response {
	tenant := x.vars["tenant"]
	issuerTenant := tenant
	if tenant == "common" || tenant == "organizations" {
		issuerTenant = "{tenantid}"
	}
	base := e.t.url + "/" + tenant
	issuer, keys := e.t.url+"/"+issuerTenant+"/v2.0", base+"/discovery/v2.0/keys"
	if x.r.URL.Path == "/"+tenant+"/.well-known/openid-configuration" {
		issuer, keys = "https://sts.windows.net/"+issuerTenant+"/", base+"/discovery/keys"
	}
	return signInJSON(map[string]any{
		"issuer": issuer, "jwks_uri": keys,
		"authorization_endpoint":        base + "/oauth2/v2.0/authorize",
		"token_endpoint":                base + "/oauth2/v2.0/token",
		"device_authorization_endpoint": base + "/oauth2/v2.0/devicecode",
		"end_session_endpoint":          base + "/oauth2/v2.0/logout",
		"response_types_supported":      []string{"code", "id_token", "code id_token", "id_token token"},
		"response_modes_supported":      []string{"query", "fragment", "form_post"},
		"scopes_supported":              protocolScopes(),
		"subject_types_supported":       []string{"pairwise"},

		"id_token_signing_alg_values_supported": []string{"RS256"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt", "client_secret_basic"},
		"msgraph_host":                          x.r.Host,
	})
}

// serveKeys is the key set that tokens are signed with.
func (e *edgeState) serveKeys(*exchange) *response {
	e.signer.load()
	public := e.signer.key.PublicKey
	return signInJSON(map[string]any{"keys": []map[string]any{{
		"kty": "RSA", "use": "sig", "kid": e.signer.kid, "x5t": e.signer.kid,
		"n": base64.RawURLEncoding.EncodeToString(public.N.Bytes()),
		"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(public.E)).Bytes()),
	}}})
}

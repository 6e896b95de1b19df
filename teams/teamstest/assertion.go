package teamstest

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// certificateKey finds the registered certificate that an assertion's header
// names, by x5t#S256 or by the older x5t.
func (a *App) certificateKey(header map[string]any) (*rsa.PublicKey, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, cert := range a.certificates {
		long, short := sha256.Sum256(cert.Raw), sha1.Sum(cert.Raw)
		named, _ := header["x5t#S256"].(string)
		want := long[:]
		if named == "" {
			named, _ = header["x5t"].(string)
			want = short[:]
		}
		if !sameThumbprint(named, want) {
			continue
		}
		key, ok := cert.PublicKey.(*rsa.PublicKey)
		if !ok {
			return nil, errors.New("the certificate's key is not RSA")
		}
		return key, nil
	}
	return nil, errors.New("the key was not found by its thumbprint")
}

// sameThumbprint compares a thumbprint as clients write it: in either base64
// alphabet, padded or not (Microsoft's own client uses the standard one), or
// in hexadecimal.
func sameThumbprint(named string, want []byte) bool {
	plain := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(named, "="))
	if got, err := base64.RawStdEncoding.DecodeString(plain); err == nil && bytes.Equal(got, want) {
		return true
	}
	got, err := hex.DecodeString(named)
	return err == nil && bytes.Equal(got, want)
}

// checkAssertion checks a client assertion signed with a certificate's key.
func (e *edgeState) checkAssertion(app *App, assertion string) *signInError {
	invalid := func(code int, text string) *signInError {
		return &signInError{code: code, kind: "invalid_client", status: http.StatusUnauthorized, text: text}
	}
	var failed *signInError
	// Client assertions are made by the real clock; the tenant's may have
	// been moved. Either will do.
	clocks := []time.Time{e.t.clock.Now(), time.Now()}
	for _, now := range clocks {
		parser := jwt.NewParser(
			jwt.WithValidMethods([]string{"PS256", "RS256"}), jwt.WithExpirationRequired(), jwt.WithLeeway(5*time.Minute),
			jwt.WithTimeFunc(func() time.Time { return now }), jwt.WithIssuer(app.ClientID), jwt.WithSubject(app.ClientID),
		)
		claims := jwt.MapClaims{}
		_, err := parser.ParseWithClaims(assertion, claims, func(t *jwt.Token) (any, error) { return app.certificateKey(t.Header) })
		if err == nil {
			if aud, _ := claims.GetAudience(); len(aud) != 1 || !e.isTokenEndpoint(aud[0]) {
				return invalid(700023, "Client assertion audience claim does not match Realm issuer.")
			}
			if id, _ := claims["jti"].(string); id == "" {
				return invalid(50027, "JWT token is invalid or malformed.")
			}
			return nil
		}
		failed = invalid(700027, fmt.Sprintf("The certificate used to sign the client assertion is not registered on application, or the assertion is invalid. [Reason - %v]", err))
	}
	return failed
}

func (e *edgeState) isTokenEndpoint(aud string) bool {
	for _, tenant := range []string{e.t.TenantID, e.t.opts.Domain} {
		for _, tail := range []string{"/oauth2/v2.0/token", "/v2.0", "/oauth2/token", "/"} {
			if aud == e.t.url+"/"+tenant+tail {
				return true
			}
		}
	}
	return false
}

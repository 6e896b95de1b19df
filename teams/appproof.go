package teams

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// assertionLife is how long a client assertion may be used.
const assertionLife = 10 * time.Minute

// Prove returns with what the application proves to be itself in the form of a
// token request: its secret, or an assertion that its certificate's key signs.
// The library that does so for the application's own sign-in keeps people's
// refresh tokens to itself, so their requests are not made by it.
func (c *AppCredential) Prove() (url.Values, error) {
	c.mu.Lock()
	c.reread()
	p := c.proof
	c.mu.Unlock()
	if p.secret != "" {
		return url.Values{"client_secret": {p.secret}}, nil
	}
	assertion, err := p.assertion(c.cfg.ClientID, c.cfg.Endpoints.TokenURL(c.cfg.TenantID), time.Now())
	if err != nil {
		return nil, fmt.Errorf("network.certificate_file: %w", err)
	}
	return url.Values{
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {assertion},
	}, nil
}

// assertion signs that the application calls the token endpoint.
func (p *proof) assertion(clientID, audience string, now time.Time) (string, error) {
	key, ok := p.key.(*rsa.PrivateKey)
	if !ok {
		return "", errors.New("the key is not RSA")
	}
	cert := p.certificate(key)
	if cert == nil {
		return "", errors.New("no certificate is of the key")
	}
	token := jwt.NewWithClaims(jwt.SigningMethodPS256, jwt.MapClaims{
		"aud": audience, "iss": clientID, "sub": clientID, "jti": rand.Text(),
		"nbf": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	})
	sum := sha256.Sum256(cert.Raw)
	token.Header["x5t#S256"] = base64.RawURLEncoding.EncodeToString(sum[:])
	return token.SignedString(key)
}

// certificate is the key's, of those in the file.
func (p *proof) certificate(key *rsa.PrivateKey) *x509.Certificate {
	for _, cert := range p.certs {
		if public, ok := cert.PublicKey.(*rsa.PublicKey); ok && public.Equal(key.Public()) {
			return cert
		}
	}
	return nil
}

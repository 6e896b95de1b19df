package teamstest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// publisherAppID is the application of Microsoft's that publishes change
// notifications; validation tokens name it.
const publisherAppID = "0bf30f3b-4a52-48df-9a82-234910c4a086"

// encryptedContent is the resource data of a rich notification.
type encryptedContent struct {
	Data                  string `json:"data"`
	DataKey               string `json:"dataKey"`
	DataSignature         string `json:"dataSignature"`
	CertificateID         string `json:"encryptionCertificateId"`
	CertificateThumbprint string `json:"encryptionCertificateThumbprint"`
}

// encrypt seals a resource for a certificate: a key of its own for every item,
// AES-256-CBC with the key's first half as IV, HMAC-SHA256 over the result,
// and the key under RSA-OAEP with SHA-1.
func encrypt(plain []byte, cert *certificate) (*encryptedContent, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	wrapped, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, cert.key, key, nil)
	if err != nil {
		return nil, fmt.Errorf("wrap data key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	padding := aes.BlockSize - len(plain)%aes.BlockSize
	data := append([]byte(nil), plain...)
	for range padding {
		data = append(data, byte(padding))
	}
	cipher.NewCBCEncrypter(block, key[:aes.BlockSize]).CryptBlocks(data, data)
	mac := hmac.New(sha256.New, key)
	mac.Write(data)
	encode := base64.StdEncoding.EncodeToString
	return &encryptedContent{
		Data: encode(data), DataKey: encode(wrapped), DataSignature: encode(mac.Sum(nil)),
		CertificateID: cert.id, CertificateThumbprint: cert.thumbprint,
	}, nil
}

// validationTokens makes the tokens that prove who sent a rich notification.
// Both forms of issuer are in use and take turns.
type validationTokens struct {
	made   time.Time
	cached map[string][2]string // by application
	turn   int
}

// validationToken returns the token for an application. The notifier's lock is
// held.
func (n *notifier) validationToken(appID string) string {
	v := &n.tokens
	now := n.e.t.clock.Now()
	if v.cached == nil || now.Sub(v.made) > 10*time.Minute || now.Before(v.made) {
		v.made, v.cached = now, map[string][2]string{}
	}
	pair, ok := v.cached[appID]
	if !ok {
		pair = [2]string{n.e.validationClaims(appID, false), n.e.validationClaims(appID, true)}
		v.cached[appID] = pair
	}
	v.turn++
	return pair[v.turn%2]
}

func (e *edgeState) validationClaims(appID string, v2 bool) string {
	from, until := e.lifetime(24 * time.Hour)
	claims := jwt.MapClaims{
		"aud": appID, "iat": from, "nbf": from, "exp": until, "tid": e.t.TenantID,
		"oid": e.publisherID, "sub": e.publisherID, "uti": handle("", 16),
	}
	if v2 {
		claims["ver"], claims["iss"] = "2.0", e.t.url+"/"+e.t.TenantID+"/v2.0"
		claims["azp"], claims["azpacr"] = publisherAppID, "2"
	} else {
		claims["ver"], claims["iss"] = "1.0", "https://sts.windows.net/"+e.t.TenantID+"/"
		claims["appid"], claims["appidacr"], claims["idp"] = publisherAppID, "2", "https://sts.windows.net/"+e.t.TenantID+"/"
	}
	return e.signer.sign(claims)
}

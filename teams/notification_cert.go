package teams

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Lifetimes of the notification certificate. Graph does not check expiry, but
// a key that is replaced regularly is a key whose replacement works.
const (
	certificateLife   = 365 * 24 * time.Hour
	certificateRotate = 30 * 24 * time.Hour
	certificateBits   = 2048
)

// NotificationCertificate is a key pair to which Graph encrypts the messages
// in notifications. Its ID names it in subscriptions and notifications.
type NotificationCertificate struct {
	ID       string
	NotAfter time.Time
	der      []byte
	key      *rsa.PrivateKey
}

// GenerateCertificate makes a self-signed RSA certificate.
func GenerateCertificate(now time.Time) (*NotificationCertificate, error) {
	key, err := rsa.GenerateKey(rand.Reader, certificateBits)
	if err != nil {
		return nil, fmt.Errorf("notification key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("notification certificate: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "teamsbridge notifications"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(certificateLife),
		KeyUsage:     x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("notification certificate: %w", err)
	}
	return newCertificate(der, key)
}

func newCertificate(der []byte, key *rsa.PrivateKey) (*NotificationCertificate, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("notification certificate: %w", err)
	}
	if pub, ok := cert.PublicKey.(*rsa.PublicKey); !ok || !pub.Equal(&key.PublicKey) {
		return nil, errors.New("notification certificate: does not belong to its key")
	}
	sum := sha256.Sum256(der)
	return &NotificationCertificate{
		ID:       "tb-" + hex.EncodeToString(sum[:12]),
		NotAfter: cert.NotAfter,
		der:      der,
		key:      key,
	}, nil
}

// Base64 returns the public certificate as a subscription wants it.
func (c *NotificationCertificate) Base64() string {
	return base64.StdEncoding.EncodeToString(c.der)
}

// MarshalPEM returns certificate and private key; the caller seals them.
func (c *NotificationCertificate) MarshalPEM() ([]byte, error) {
	key, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		return nil, fmt.Errorf("notification key: %w", err)
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.der})
	return append(out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...), nil
}

// ParseCertificatePEM reads what MarshalPEM wrote.
func ParseCertificatePEM(data []byte) (*NotificationCertificate, error) {
	var der, pkcs8 []byte
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		switch block.Type {
		case "CERTIFICATE":
			der = block.Bytes
		case "PRIVATE KEY":
			pkcs8 = block.Bytes
		}
	}
	if der == nil || pkcs8 == nil {
		return nil, errors.New("notification certificate: certificate or private key missing")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return nil, fmt.Errorf("notification key: %w", err)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("notification key: not an RSA key")
	}
	return newCertificate(der, key)
}

// CertSet is the certificate that subscriptions are to use, and the one they
// used before: Graph repeats notifications for hours, in the old key too.
type CertSet struct {
	Current, Previous *NotificationCertificate
}

// Find returns the certificate with the id, nil if it is neither.
func (s CertSet) Find(id string) *NotificationCertificate {
	for _, c := range []*NotificationCertificate{s.Current, s.Previous} {
		if c != nil && c.ID == id {
			return c
		}
	}
	return nil
}

// Rotate returns a set whose current certificate is good for a while yet, and
// whether it differs from s and has to be stored before it is used.
func (s CertSet) Rotate(now time.Time) (CertSet, bool, error) {
	if s.Current != nil && now.Add(certificateRotate).Before(s.Current.NotAfter) {
		return s, false, nil
	}
	fresh, err := GenerateCertificate(now)
	if err != nil {
		return s, false, err
	}
	return CertSet{Current: fresh, Previous: s.Current}, true, nil
}

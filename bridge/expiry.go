package bridge

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"time"

	"teamsbridge/matrix"
)

// homeserverAnswer hands on how a request to the homeserver ended.
func (r *runtime) homeserverAnswer(a matrix.Answer) {
	r.health.homeserverAnswer(a)
	r.metrics.homeserverAnswer(a)
}

// The credentials whose end is measured.
const (
	credentialSecret       = "client_secret"
	credentialCertificate  = "certificate"
	credentialNotification = "notification_certificate"
)

// expiries tells until when credentials can be used, as far as that is known:
// when a client secret ends only the operator can say (client_secret_expires).
func (r *runtime) expiries() map[string]time.Time {
	out := map[string]time.Time{}
	cfg := &r.c.Config
	if at, err := cfg.secretExpires(); err == nil && !at.IsZero() {
		out[credentialSecret] = at
	}
	if cert, err := certificateOf(cfg.CertificateFile); err == nil && cert != nil {
		out[credentialCertificate] = cert.NotAfter
	}
	if set := r.keys.set.Load(); set != nil && set.Current != nil {
		out[credentialNotification] = set.Current.NotAfter
	}
	return out
}

// secretExpires is when the client secret ends, the zero time where nobody said so.
func (c *Config) secretExpires() (time.Time, error) {
	if c.ClientSecretExpires == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.DateOnly, c.ClientSecretExpires)
}

// certificateOf returns the first certificate of a PEM file, nil where there is
// none: a PFX opens with its password only.
func certificateOf(file string) (*x509.Certificate, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return nil, nil
		}
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
}

package teams

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// AppConfig is the application's own sign-in: a client secret or a certificate.
type AppConfig struct {
	Endpoints Endpoints
	TenantID  string
	ClientID  string
	// ClientSecret is the secret's value, ClientSecretFile a file that holds it;
	// the certificate is used where both are empty.
	ClientSecret, ClientSecretFile string
	// CertificateFile has a certificate and key in PEM, or a PFX.
	CertificateFile string
	// KeyFile has the key, where it is not in CertificateFile (PEM only).
	KeyFile string
	// CertificatePassword opens a PFX.
	CertificatePassword string
	// HTTP is a client of NewHTTPClient.
	HTTP *http.Client
	// Changed may be nil. It is told that the files hold something else than
	// before, which counts from now on, or why they can't be used: then what they
	// held before goes on being used.
	Changed func(err error)
}

// AppCredential is the application's credential: an azcore.TokenCredential
// whose errors are *Error, with one renewal for all callers. Files are read
// again whenever a token is asked for, so that a secret or certificate can be
// replaced while the bridge runs.
type AppCredential struct {
	cfg   AppConfig
	cache tokenCache

	mu    sync.Mutex
	proof proof
	inner azcore.TokenCredential
}

// proof is with what the application proves to be itself.
type proof struct {
	secret string
	certs  []*x509.Certificate
	key    crypto.PrivateKey
	// sum tells whether it is another one than before.
	sum [sha256.Size]byte
}

// NewAppCredential checks the configuration; nothing is sent yet.
func NewAppCredential(cfg AppConfig) (*AppCredential, error) {
	hasSecret := cfg.ClientSecret != "" || cfg.ClientSecretFile != ""
	switch {
	case cfg.TenantID == "":
		return nil, errors.New("network.tenant_id: is missing")
	case cfg.ClientID == "":
		return nil, errors.New("network.client_id: is missing")
	case cfg.HTTP == nil:
		return nil, errors.New("application sign-in: no HTTP client")
	case !hasSecret && cfg.CertificateFile == "":
		return nil, errors.New("network.client_secret or network.certificate_file: one of them is needed")
	case hasSecret && cfg.CertificateFile != "":
		return nil, errors.New("network.client_secret and network.certificate_file: only one of them can be used")
	}
	if cfg.Changed == nil {
		cfg.Changed = func(error) {}
	}
	c := &AppCredential{cfg: cfg}
	var err error
	if c.proof, err = cfg.read(); err != nil {
		return nil, err
	}
	if c.inner, err = c.build(c.proof); err != nil {
		return nil, fmt.Errorf("application sign-in (network.tenant_id, network.client_id): %w", err)
	}
	c.cache = tokenCache{op: OpAppSignIn, fetch: c.fetch}
	return c, nil
}

// read reads the files.
func (cfg *AppConfig) read() (p proof, err error) {
	switch {
	case cfg.ClientSecret != "":
		p.secret = cfg.ClientSecret
	case cfg.ClientSecretFile != "":
		data, err := os.ReadFile(cfg.ClientSecretFile)
		if err != nil {
			return p, fmt.Errorf("network.client_secret_file: %w", err)
		}
		if p.secret = strings.TrimSpace(string(data)); p.secret == "" {
			return p, errors.New("network.client_secret_file: is empty")
		}
	default:
		data, err := readCertificate(cfg.CertificateFile, cfg.KeyFile)
		if err != nil {
			return p, err
		}
		var password []byte
		if cfg.CertificatePassword != "" {
			password = []byte(cfg.CertificatePassword)
		}
		if p.certs, p.key, err = azidentity.ParseCertificates(data, password); err != nil {
			return p, fmt.Errorf("network.certificate_file: %w", err)
		}
		p.sum = sha256.Sum256(data)
		return p, nil
	}
	p.sum = sha256.Sum256([]byte(p.secret))
	return p, nil
}

// build makes the library's credential. Instance discovery would ask another
// host whether ours may be trusted; the endpoints are a fixed table or the
// operator's own word.
func (c *AppCredential) build(p proof) (azcore.TokenCredential, error) {
	options := azcore.ClientOptions{
		Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: c.cfg.Endpoints.Login + "/"},
		Transport: c.cfg.HTTP,
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Telemetry: policy.TelemetryOptions{Disabled: true},
	}
	if p.secret != "" {
		return azidentity.NewClientSecretCredential(c.cfg.TenantID, c.cfg.ClientID, p.secret,
			&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	}
	return azidentity.NewClientCertificateCredential(c.cfg.TenantID, c.cfg.ClientID, p.certs, p.key,
		&azidentity.ClientCertificateCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
}

// current returns the library's credential for what the files hold now.
func (c *AppCredential) current() azcore.TokenCredential {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reread()
	return c.inner
}

// reread takes over what the files hold now. c.mu is held.
func (c *AppCredential) reread() {
	now, err := c.cfg.read()
	if err == nil && now.sum == c.proof.sum {
		return
	}
	var inner azcore.TokenCredential
	if err == nil {
		inner, err = c.build(now)
	}
	c.cfg.Changed(err)
	if err == nil {
		c.proof, c.inner = now, inner
	}
}

// OpAppSignIn is the Op of errors of the application's own sign-in.
const OpAppSignIn = "application sign-in"

func readCertificate(certFile, keyFile string) ([]byte, error) {
	data, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("network.certificate_file: %w", err)
	}
	if keyFile == "" {
		return data, nil
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("network.certificate_key_file: %w", err)
	}
	return append(append(data, '\n'), key...), nil
}

// GetToken implements azcore.TokenCredential. The scope is always that of the
// configured cloud.
func (c *AppCredential) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return c.cache.get(ctx, o.Claims)
}

// Invalidate forgets an access token that Graph did not accept and reports
// whether a new one is worth trying.
func (c *AppCredential) Invalidate(token string) bool {
	if !c.cache.drop(token) {
		return false
	}
	// The library keeps tokens of its own; only a new credential forgets them.
	c.mu.Lock()
	defer c.mu.Unlock()
	inner, err := c.build(c.proof)
	if err != nil {
		return false
	}
	c.inner = inner
	return true
}

func (c *AppCredential) fetch(ctx context.Context, claims string) (azcore.AccessToken, error) {
	token, err := c.current().GetToken(ctx, policy.TokenRequestOptions{
		Scopes: []string{c.cfg.Endpoints.Scope}, Claims: claims, EnableCAE: true,
	})
	if err != nil {
		return azcore.AccessToken{}, signInError(OpAppSignIn, err)
	}
	return token, nil
}

package teams

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
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
	// ClientSecret is the secret's value; the certificate is used where it is empty.
	ClientSecret string
	// CertificateFile has a certificate and key in PEM, or a PFX.
	CertificateFile string
	// KeyFile has the key, where it is not in CertificateFile (PEM only).
	KeyFile string
	// CertificatePassword opens a PFX.
	CertificatePassword string
	// HTTP is a client of NewHTTPClient.
	HTTP *http.Client
}

// AppCredential is the application's credential: an azcore.TokenCredential
// whose errors are *Error, with one renewal for all callers.
type AppCredential struct {
	cfg   AppConfig
	build func() (azcore.TokenCredential, error)
	cache tokenCache

	mu    sync.Mutex
	inner azcore.TokenCredential
}

// NewAppCredential checks the configuration; nothing is sent yet.
func NewAppCredential(cfg AppConfig) (*AppCredential, error) {
	switch {
	case cfg.TenantID == "":
		return nil, errors.New("network.tenant_id: is missing")
	case cfg.ClientID == "":
		return nil, errors.New("network.client_id: is missing")
	case cfg.HTTP == nil:
		return nil, errors.New("application sign-in: no HTTP client")
	case cfg.ClientSecret == "" && cfg.CertificateFile == "":
		return nil, errors.New("network.client_secret or network.certificate_file: one of them is needed")
	case cfg.ClientSecret != "" && cfg.CertificateFile != "":
		return nil, errors.New("network.client_secret and network.certificate_file: only one of them can be used")
	}
	c := &AppCredential{cfg: cfg}
	options := azcore.ClientOptions{
		Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: cfg.Endpoints.Login + "/"},
		Transport: cfg.HTTP,
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Telemetry: policy.TelemetryOptions{Disabled: true},
	}
	// Instance discovery would ask another host whether ours may be trusted;
	// the endpoints are a fixed table or the operator's own word.
	if cfg.ClientSecret != "" {
		c.build = func() (azcore.TokenCredential, error) {
			return azidentity.NewClientSecretCredential(cfg.TenantID, cfg.ClientID, cfg.ClientSecret,
				&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
		}
	} else {
		data, err := readCertificate(cfg.CertificateFile, cfg.KeyFile)
		if err != nil {
			return nil, err
		}
		var password []byte
		if cfg.CertificatePassword != "" {
			password = []byte(cfg.CertificatePassword)
		}
		certs, key, err := azidentity.ParseCertificates(data, password)
		if err != nil {
			return nil, fmt.Errorf("network.certificate_file: %w", err)
		}
		c.build = func() (azcore.TokenCredential, error) {
			return azidentity.NewClientCertificateCredential(cfg.TenantID, cfg.ClientID, certs, key,
				&azidentity.ClientCertificateCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
		}
	}
	inner, err := c.build()
	if err != nil {
		return nil, fmt.Errorf("application sign-in (network.tenant_id, network.client_id): %w", err)
	}
	c.inner = inner
	c.cache = tokenCache{op: OpAppSignIn, fetch: c.fetch}
	return c, nil
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
	inner, err := c.build()
	if err != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inner = inner
	return true
}

func (c *AppCredential) fetch(ctx context.Context, claims string) (azcore.AccessToken, error) {
	c.mu.Lock()
	inner := c.inner
	c.mu.Unlock()
	token, err := inner.GetToken(ctx, policy.TokenRequestOptions{
		Scopes: []string{c.cfg.Endpoints.Scope}, Claims: claims, EnableCAE: true,
	})
	if err != nil {
		return azcore.AccessToken{}, signInError(OpAppSignIn, err)
	}
	return token, nil
}

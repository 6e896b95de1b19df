package teamstest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"
)

// App is the app registration of the bridge, with what an administrator has
// consented to. Changes show in the tokens that are issued afterwards; tokens
// that are out keep what they carry, as Microsoft's do.
type App struct {
	// ClientID is the application id, ObjectID the service principal's.
	ClientID string
	ObjectID string

	mu           sync.Mutex
	secrets      []string
	certificates []*x509.Certificate
	roles        map[string]bool
	scopes       map[string]bool
	redirects    []string
	web          map[string]bool // redirects of the platform "Web"
	public       bool
}

// defaultRoles are the application permissions that a tenant starts with:
// what reading a tenant's channels takes.
func defaultRoles() []string {
	return []string{
		"Organization.Read.All", "User.Read.All", "Team.ReadBasic.All", "TeamMember.Read.All",
		"Channel.ReadBasic.All", "ChannelMember.Read.All", "ChannelMessage.Read.All", "Files.Read.All",
	}
}

// defaultScopes are the delegated permissions that a tenant starts with: what
// writing as a signed-in person takes.
func defaultScopes() []string {
	return []string{
		"openid", "profile", "email", "offline_access", "User.Read",
		"ChannelMessage.Send", "ChannelMessage.ReadWrite", "ChannelMessage.Read.All",
		"Team.ReadBasic.All", "Channel.ReadBasic.All", "Files.ReadWrite.All",
	}
}

func newApp(ids *ids) *App {
	a := &App{
		ClientID: ids.guid(), ObjectID: ids.guid(),
		// Characters that a form must encode show whether it was.
		secrets:   []string{"sim8Q~" + ids.hex(12) + "+/=&._-"},
		roles:     map[string]bool{},
		scopes:    map[string]bool{},
		redirects: []string{"http://localhost"},
		web:       map[string]bool{},
		public:    true,
	}
	a.GrantRoles(defaultRoles()...)
	a.GrantScopes(defaultScopes()...)
	return a
}

// App is the tenant's app registration.
func (t *Tenant) App() *App { return t.edge.app }

// Secret is the newest client secret, "" when there is none.
func (a *App) Secret() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.secrets) == 0 {
		return ""
	}
	return a.secrets[len(a.secrets)-1]
}

// AddSecret adds a client secret; the others stay valid.
func (a *App) AddSecret(secret string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.secrets = append(a.secrets, secret)
}

// RemoveSecrets removes every client secret.
func (a *App) RemoveSecrets() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.secrets = nil
}

// AddCertificate lets the app sign in with the certificate's key.
func (a *App) AddCertificate(cert *x509.Certificate) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.certificates = append(a.certificates, cert)
}

// RemoveCertificates removes every certificate.
func (a *App) RemoveCertificates() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.certificates = nil
}

// NewCertificate makes a key and a self-signed certificate, registers it, and
// returns both as PEM (key in PKCS #8).
func (a *App) NewCertificate() (certPEM, keyPEM []byte, err error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, fmt.Errorf("generate key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "Bridge of the simulated tenant"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, fmt.Errorf("create certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("parse certificate: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("marshal key: %w", err)
	}
	a.AddCertificate(cert)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), nil
}

// GrantRoles consents to application permissions. Resource-specific ones
// (ChannelMessage.Read.Group) are granted here too; which team granted them is
// not simulated.
func (a *App) GrantRoles(names ...string) { a.grant(a.roles, true, names) }

// RevokeRoles takes application permissions back, from the next token on.
func (a *App) RevokeRoles(names ...string) { a.grant(a.roles, false, names) }

// GrantScopes consents to delegated permissions for everybody.
func (a *App) GrantScopes(names ...string) { a.grant(a.scopes, true, names) }

// RevokeScopes takes delegated permissions back, from the next token on.
func (a *App) RevokeScopes(names ...string) { a.grant(a.scopes, false, names) }

func (a *App) grant(set map[string]bool, granted bool, names []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range names {
		if granted {
			set[name] = true
		} else {
			delete(set, name)
		}
	}
}

// Roles lists the application permissions, sorted.
func (a *App) Roles() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(maps.Keys(a.roles))
}

// Scopes lists the delegated permissions, sorted.
func (a *App) Scopes() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(maps.Keys(a.scopes))
}

// AddRedirect registers a redirect URI; http://localhost is registered from
// the start and matches with any port.
func (a *App) AddRedirect(uri string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.redirects = append(a.redirects, uri)
}

// AddWebRedirect registers a redirect URI of the platform "Web": what is signed
// in through it is a confidential client, whose codes and refresh tokens are
// worth nothing without the application's secret or certificate.
func (a *App) AddWebRedirect(uri string) {
	a.AddRedirect(uri)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.web[uri] = true
}

func (a *App) isWebRedirect(uri string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.web[uri]
}

// AllowPublicClient says whether device code works without a client secret
// ("Allow public client flows" in the portal). It does from the start.
func (a *App) AllowPublicClient(allow bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.public = allow
}

func (a *App) allowsPublic() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.public
}

func (a *App) hasScope(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.scopes[name]
}

func (a *App) redirectAllowed(uri string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, known := range a.redirects {
		if known == uri || known == "http://localhost" && isLocalhost(uri) {
			return true
		}
	}
	return false
}

func isLocalhost(uri string) bool {
	rest, ok := strings.CutPrefix(uri, "http://localhost")
	return ok && (rest == "" || rest[0] == ':' || rest[0] == '/')
}

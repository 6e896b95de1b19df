package teams

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"golang.org/x/oauth2"
)

// DelegatedConfig is what people's sign-ins need besides the person.
type DelegatedConfig struct {
	Endpoints Endpoints
	TenantID  string
	ClientID  string
	// Prove returns what a confidential client adds to its token requests, fresh
	// each time. Web sign-ins need it; the others are of a public client, which
	// must not prove anything.
	Prove func() (url.Values, error)
	// Files asks for the permission to put files into channels, too.
	Files bool
	// HTTP is a client of NewHTTPClient.
	HTTP *http.Client
	// Store keeps the refresh tokens.
	Store TokenStore
}

func (c DelegatedConfig) oauth() *oauth2.Config {
	scopes := c.Endpoints.DelegatedScopes()
	if c.Files {
		scopes = append(scopes, c.Endpoints.FileScope())
	}
	return &oauth2.Config{
		ClientID: c.ClientID,
		Scopes:   scopes,
		Endpoint: oauth2.Endpoint{
			AuthURL:       c.Endpoints.AuthorizeURL(c.TenantID),
			TokenURL:      c.Endpoints.TokenURL(c.TenantID),
			DeviceAuthURL: c.Endpoints.DeviceURL(c.TenantID),
			// Without a fixed style the library tries both, and the second try
			// would use up a device code.
			AuthStyle: oauth2.AuthStyleInParams,
		},
	}
}

// client is the HTTP client for token requests of one kind of sign-in.
func (c DelegatedConfig) client(web bool, extra url.Values) (*http.Client, error) {
	form := url.Values{}
	maps.Copy(form, extra)
	if web {
		if c.Prove == nil {
			return nil, errors.New("sign-in: a web sign-in needs the application's secret or certificate")
		}
		proof, err := c.Prove()
		if err != nil {
			return nil, err
		}
		maps.Copy(form, proof)
	}
	return withForm(c.HTTP, form), nil
}

// webMark stands in front of refresh tokens of web sign-ins where they are kept:
// only a client that proves itself can use them. Microsoft's begin with a
// version number and a dot.
const webMark = "web:"

func (c DelegatedConfig) check() error {
	switch {
	case c.TenantID == "":
		return errors.New("network.tenant_id: is missing")
	case c.ClientID == "":
		return errors.New("network.client_id: is missing")
	case c.HTTP == nil:
		return errors.New("sign-in: no HTTP client")
	}
	return nil
}

// DelegatedCredential is one person's sign-in: an azcore.TokenCredential whose
// errors are *Error. All writers of an account must share one.
type DelegatedCredential struct {
	cfg   DelegatedConfig
	key   string
	cache tokenCache

	// renewing keeps renewals with and without claims apart: each uses up the
	// stored refresh token.
	renewing sync.Mutex

	mu sync.Mutex
	// dead is a refresh token that is no longer accepted, and why.
	dead    string
	deadErr *Error
}

// NewDelegatedCredential returns the credential whose refresh token the store
// has under key; nothing is sent yet.
func NewDelegatedCredential(cfg DelegatedConfig, key string) (*DelegatedCredential, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.Store == nil {
		return nil, errors.New("sign-in: no token store")
	}
	c := &DelegatedCredential{cfg: cfg, key: key}
	c.cache = tokenCache{op: opRefresh, fetch: c.refresh}
	return c, nil
}

const opRefresh = "renew sign-in"

// GetToken implements azcore.TokenCredential.
func (c *DelegatedCredential) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return c.cache.get(ctx, o.Claims)
}

// Invalidate forgets an access token that Graph did not accept and reports
// whether a new one is worth trying.
func (c *DelegatedCredential) Invalidate(token string) bool { return c.cache.drop(token) }

// refresh gets a new access token. The sign-in service rotates the refresh
// token; the new one is durable before the access token is handed out. claims
// is what a resource has asked for in a challenge, empty for nothing.
func (c *DelegatedCredential) refresh(ctx context.Context, claims string) (azcore.AccessToken, error) {
	c.renewing.Lock()
	defer c.renewing.Unlock()
	kept, err := c.cfg.Store.LoadToken(ctx, c.key)
	if err != nil {
		return azcore.AccessToken{}, &Error{Op: opRefresh, Kind: KindUnavailable, Hint: "the token store can't be read", Err: err}
	}
	if kept == "" {
		return azcore.AccessToken{}, &Error{Op: opRefresh, Kind: KindSignInExpired, Hint: "nobody is signed in: sign in first"}
	}
	if err := c.deadError(kept); err != nil {
		return azcore.AccessToken{}, err
	}
	refresh, web := strings.CutPrefix(kept, webMark)
	extra := url.Values{}
	if claims != "" {
		extra.Set("claims", claims)
	}
	client, err := c.cfg.client(web, extra)
	if err != nil {
		return azcore.AccessToken{}, &Error{Op: opRefresh, Kind: KindUnavailable, Err: err}
	}
	octx := context.WithValue(ctx, oauth2.HTTPClient, client)
	token, err := c.cfg.oauth().TokenSource(octx, &oauth2.Token{RefreshToken: refresh}).Token()
	if err != nil {
		e := signInError(opRefresh, err)
		c.bury(kept, e)
		return azcore.AccessToken{}, e
	}
	if token.RefreshToken != "" && token.RefreshToken != refresh {
		next := token.RefreshToken
		if web {
			next = webMark + next
		}
		switch ok, err := c.cfg.Store.RotateToken(ctx, c.key, kept, next); {
		case err != nil:
			return azcore.AccessToken{}, &Error{Op: opRefresh, Kind: KindUnavailable, Hint: "the new refresh token can't be stored", Err: err}
		case !ok:
			// What came is of a sign-in that has ended; the next try meets the
			// new one, or none.
			return azcore.AccessToken{}, &Error{Op: opRefresh, Kind: KindUnavailable, Hint: "the sign-in has changed while it was renewed"}
		}
	}
	return azcore.AccessToken{Token: token.AccessToken, ExpiresOn: token.Expiry.UTC()}, nil
}

// deadError returns why this refresh token is known to be useless. A new
// sign-in stores another one, with which everything starts afresh.
func (c *DelegatedCredential) deadError(kept string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deadErr != nil && c.dead == kept {
		return c.deadErr
	}
	return nil
}

func (c *DelegatedCredential) bury(kept string, e *Error) {
	final := []string{"invalid_grant", "interaction_required", "consent_required", "login_required"}
	if e.Kind != KindSignInExpired || !slices.Contains(final, e.Code) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead, c.deadErr = kept, e
}

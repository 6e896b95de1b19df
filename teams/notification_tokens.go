package teams

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// NotificationPublisher is the application id of Graph's change notification
// service, the only one that may sign validation tokens.
const NotificationPublisher = "0bf30f3b-4a52-48df-9a82-234910c4a086"

// tokenLeeway is how far clocks may be apart.
const tokenLeeway = 5 * time.Minute

// TokenError says why a validation token is not trusted.
type TokenError struct {
	// Reason is one of the token_… names under which it is quarantined.
	Reason string
	Err    error
}

// Error implements error; it holds nothing of the token.
func (e *TokenError) Error() string {
	if e.Err == nil {
		return "validation token: " + e.Reason
	}
	return "validation token: " + e.Reason + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *TokenError) Unwrap() error { return e.Err }

// The reasons of a TokenError.
const (
	TokenMissing   = "token_missing"
	TokenMalformed = "token_malformed"
	TokenAlgorithm = "token_algorithm"
	TokenKey       = "token_key_unknown"
	TokenSignature = "token_signature"
	TokenExpired   = "token_expired"
	TokenAudience  = "token_audience"
	TokenIssuer    = "token_issuer"
	TokenTenant    = "token_tenant"
	TokenPublisher = "token_publisher"
)

// TokenVerifierOptions configures NewTokenVerifier.
type TokenVerifierOptions struct {
	// LoginURL is the sign-in service, such as https://login.microsoftonline.com.
	LoginURL string
	// MetadataURL defaults to the sign-in service's openid-configuration.
	MetadataURL string
	// Issuers are accepted besides the well-known ones; "{tenantid}" stands
	// for the token's tenant.
	Issuers []string
	// ClientID is our application, the only audience.
	ClientID  string
	TenantIDs []string
	// Publisher defaults to NotificationPublisher.
	Publisher string
	Client    *http.Client
	Now       func() time.Time
}

// TokenVerifier checks the signed tokens that come with resource data.
type TokenVerifier struct {
	opts TokenVerifierOptions
	keys *signingKeys
}

// NewTokenVerifier returns a verifier; keys are fetched at first use.
func NewTokenVerifier(opts TokenVerifierOptions) *TokenVerifier {
	opts.LoginURL = strings.TrimRight(opts.LoginURL, "/")
	if opts.MetadataURL == "" {
		opts.MetadataURL = opts.LoginURL + "/common/.well-known/openid-configuration"
	}
	if opts.Publisher == "" {
		opts.Publisher = NotificationPublisher
	}
	if opts.Client == nil {
		opts.Client = http.DefaultClient
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &TokenVerifier{opts: opts, keys: &signingKeys{
		url: opts.MetadataURL, client: opts.Client, now: opts.Now,
	}}
}

// Verify checks every token as of the time it was received: a token that was
// good then stays good while the notification waits in the log. A *TokenError
// is final; any other error is the sign-in service's and worth another try.
func (v *TokenVerifier) Verify(ctx context.Context, tokens []string, receivedAt time.Time) error {
	if len(tokens) == 0 {
		return &TokenError{Reason: TokenMissing}
	}
	for _, token := range tokens {
		if err := v.verify(ctx, token, receivedAt); err != nil {
			return err
		}
	}
	return nil
}

type validationClaims struct {
	jwt.RegisteredClaims
	TenantID string `json:"tid"`
	AppID    string `json:"appid"`
	AZP      string `json:"azp"`
	Version  string `json:"ver"`
}

func (v *TokenVerifier) verify(ctx context.Context, token string, receivedAt time.Time) error {
	header, _, err := jwt.NewParser().ParseUnverified(token, &validationClaims{})
	if err != nil && !errors.Is(err, jwt.ErrTokenUnverifiable) {
		return &TokenError{Reason: TokenMalformed, Err: err}
	}
	// Nothing but the one algorithm: neither "none", nor a MAC whose secret
	// would be the public key.
	if header == nil || header.Header["alg"] != jwt.SigningMethodRS256.Alg() {
		return &TokenError{Reason: TokenAlgorithm}
	}
	kid, _ := header.Header["kid"].(string)
	key, err := v.keys.find(ctx, kid, receivedAt)
	if err != nil {
		return err
	}
	claims := &validationClaims{}
	_, err = jwt.ParseWithClaims(token, claims, key.Keyfunc.Keyfunc,
		jwt.WithValidMethods([]string{jwt.SigningMethodRS256.Alg()}),
		jwt.WithAudience(v.opts.ClientID),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(tokenLeeway),
		jwt.WithTimeFunc(func() time.Time { return receivedAt }))
	if err != nil {
		return &TokenError{Reason: tokenReason(err, claims), Err: err}
	}
	return v.checkOrigin(claims, key.issuer)
}

func tokenReason(err error, claims *validationClaims) string {
	switch {
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable):
		return TokenSignature
	case errors.Is(err, jwt.ErrTokenInvalidAudience), len(claims.Audience) == 0:
		return TokenAudience
	case errors.Is(err, jwt.ErrTokenExpired), errors.Is(err, jwt.ErrTokenNotValidYet),
		errors.Is(err, jwt.ErrTokenRequiredClaimMissing), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return TokenExpired
	default:
		return TokenMalformed
	}
}

// checkOrigin checks who issued the token, for which tenant and to whom.
func (v *TokenVerifier) checkOrigin(c *validationClaims, metadataIssuer string) error {
	if !slices.ContainsFunc(v.opts.TenantIDs, func(t string) bool { return strings.EqualFold(t, c.TenantID) }) {
		return &TokenError{Reason: TokenTenant}
	}
	issuers := append([]string{
		"https://sts.windows.net/{tenantid}/",
		"https://sts.chinacloudapi.cn/{tenantid}/",
		v.opts.LoginURL + "/{tenantid}/v2.0",
		metadataIssuer,
	}, v.opts.Issuers...)
	if c.Issuer == "" || !slices.ContainsFunc(issuers, func(template string) bool {
		return c.Issuer == strings.ReplaceAll(template, "{tenantid}", c.TenantID)
	}) {
		return &TokenError{Reason: TokenIssuer}
	}
	publisher := c.AppID
	if c.Version == "2.0" || (c.Version == "" && publisher == "") {
		publisher = c.AZP
	}
	if !strings.EqualFold(publisher, v.opts.Publisher) {
		return &TokenError{Reason: TokenPublisher, Err: fmt.Errorf("version %q", c.Version)}
	}
	return nil
}

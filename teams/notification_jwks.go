package teams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/MicahParks/keyfunc/v3"
)

const (
	jwksMaxAge = 24 * time.Hour
	// jwksMinRefresh is the pause between two requests, because anybody can send
	// a token with a key that nobody knows. After failures it begins at
	// jwksRetry and doubles: notifications wait for the keys.
	jwksMinRefresh = time.Minute
	jwksRetry      = time.Second
	jwksTimeout    = 10 * time.Second
	jwksMaxBytes   = 1 << 20
)

// errKeysTooFresh means that a key is unknown and that asking again has to wait.
var errKeysTooFresh = errors.New("signing keys: asked a moment ago")

// signingKeys caches the keys of the sign-in service.
type signingKeys struct {
	url    string
	client *http.Client
	now    func() time.Time

	mu      sync.Mutex
	set     *keySet
	fetched time.Time
	tried   time.Time
	failed  int // requests in a row
}

// pause is how long to wait after the last request. k.mu is held.
func (k *signingKeys) pause() time.Duration {
	if k.failed == 0 {
		return jwksMinRefresh
	}
	return min(jwksRetry<<min(k.failed-1, 10), jwksMinRefresh)
}

// keySet is what the sign-in service published at one time.
type keySet struct {
	keyfunc.Keyfunc
	ids    map[string]bool
	issuer string
}

// find returns the set that has the key. An unknown key is final only if the
// set was fetched after the token was received, since keys are published
// before they are used.
func (k *signingKeys) find(ctx context.Context, kid string, receivedAt time.Time) (*keySet, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	known := k.set != nil && k.set.ids[kid]
	if known && now.Sub(k.fetched) < jwksMaxAge {
		return k.set, nil
	}
	if k.set != nil && !known && k.fetched.After(receivedAt) {
		return nil, &TokenError{Reason: TokenKey}
	}
	if !k.tried.IsZero() && now.Sub(k.tried) < k.pause() {
		if known {
			return k.set, nil
		}
		return nil, &Error{Op: "GET signing keys", Kind: KindUnavailable,
			RetryAfter: k.tried.Add(k.pause()).Sub(now), Err: errKeysTooFresh}
	}
	k.tried = now
	set, err := k.fetch(ctx)
	if k.failed++; err == nil {
		k.failed = 0
	}
	switch {
	case err != nil && known:
		return k.set, nil // old keys beat none while the service is away
	case err != nil:
		return nil, &Error{Op: "GET signing keys", Kind: KindUnavailable, Err: err}
	}
	k.set, k.fetched = set, now
	if !set.ids[kid] {
		return nil, &TokenError{Reason: TokenKey}
	}
	return set, nil
}

func (k *signingKeys) fetch(ctx context.Context) (*keySet, error) {
	ctx, cancel := context.WithTimeout(ctx, jwksTimeout)
	defer cancel()
	var metadata struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := k.get(ctx, k.url, &metadata); err != nil {
		return nil, err
	}
	from, err := url.Parse(k.url)
	if err != nil {
		return nil, fmt.Errorf("openid-configuration: %w", err)
	}
	to, err := url.Parse(metadata.JWKSURI)
	if err != nil || to.Host == "" || to.Scheme != from.Scheme {
		return nil, errors.New("openid-configuration: no usable jwks_uri")
	}
	var published struct {
		Keys []struct {
			KeyType string `json:"kty"`
			Use     string `json:"use"`
			ID      string `json:"kid"`
			N       string `json:"n"`
			E       string `json:"e"`
		} `json:"keys"`
	}
	if err := k.get(ctx, metadata.JWKSURI, &published); err != nil {
		return nil, err
	}
	// Only what is needed is handed on: one key of another kind, or with an
	// odd certificate, must not cost us all of them.
	set := &keySet{ids: map[string]bool{}, issuer: metadata.Issuer}
	keep := make([]map[string]string, 0, len(published.Keys))
	for _, key := range published.Keys {
		if key.KeyType != "RSA" || key.ID == "" || (key.Use != "" && key.Use != "sig") || set.ids[key.ID] {
			continue
		}
		set.ids[key.ID] = true
		keep = append(keep, map[string]string{"kty": "RSA", "kid": key.ID, "n": key.N, "e": key.E})
	}
	raw, err := json.Marshal(map[string]any{"keys": keep})
	if err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	if set.Keyfunc, err = keyfunc.NewJWKSetJSON(raw); err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	return set, nil
}

func (k *signingKeys) get(ctx context.Context, from string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, http.NoBody)
	if err != nil {
		return fmt.Errorf("signing keys: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := k.client.Do(req)
	if err != nil {
		return fmt.Errorf("signing keys: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("signing keys: HTTP %d", resp.StatusCode)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, jwksMaxBytes))
	if err != nil {
		return fmt.Errorf("signing keys: %w", err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("signing keys: %w", err)
	}
	return nil
}

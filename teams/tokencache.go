package teams

import (
	"context"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"golang.org/x/sync/singleflight"
)

const (
	// renewBefore is how long before its end a token is renewed.
	renewBefore = 5 * time.Minute
	// usableBefore is how long before its end a token is still sent when its
	// renewal fails, so that a short outage of the sign-in service goes unseen.
	usableBefore = 30 * time.Second
	// fetchTimeout bounds one sign-in, whoever waits for it.
	fetchTimeout = 90 * time.Second
)

// tokenCache holds one access token and lets all callers share one renewal.
// A renewal goes on when the caller that began it gives up: others wait for
// it, and a rotated refresh token must not get lost halfway.
type tokenCache struct {
	op    string
	fetch func(ctx context.Context, claims string) (azcore.AccessToken, error)

	flight singleflight.Group
	mu     sync.Mutex
	token  azcore.AccessToken
	claims string // for which token was got
}

func (t *tokenCache) get(ctx context.Context, claims string) (azcore.AccessToken, error) {
	seen := t.cached()
	left := time.Until(seen.ExpiresOn)
	if claims == "" && seen.Token != "" && left > renewBefore {
		return seen, nil
	}
	if err := ctx.Err(); err != nil {
		return azcore.AccessToken{}, canceled(call{op: t.op}, err, false)
	}
	token, err := t.renew(ctx, claims, seen.Token)
	if err != nil && claims == "" && seen.Token != "" && left > usableBefore && ctx.Err() == nil && KindOf(err) != KindSignInExpired {
		return seen, nil
	}
	return token, err
}

// renew gets another token than the one that the caller has seen. Whoever looked
// before a renewal ended, and comes here after it, gets what that one brought.
func (t *tokenCache) renew(ctx context.Context, claims, seen string) (azcore.AccessToken, error) {
	done := t.flight.DoChan(claims, func() (any, error) {
		if token, ok := t.renewed(claims, seen); ok {
			return token, nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
		defer cancel()
		token, err := t.fetch(ctx, claims)
		if err == nil {
			t.mu.Lock()
			t.token, t.claims = token, claims
			t.mu.Unlock()
		}
		return token, err
	})
	select {
	case <-ctx.Done():
		return azcore.AccessToken{}, canceled(call{op: t.op}, ctx.Err(), false)
	case r := <-done:
		if r.Err != nil {
			return azcore.AccessToken{}, r.Err
		}
		return r.Val.(azcore.AccessToken), nil
	}
}

// renewed returns the token that is held if it came after the one that was seen,
// for the same claims or where none are asked for.
func (t *tokenCache) renewed(claims, seen string) (azcore.AccessToken, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ok := t.token.Token != "" && t.token.Token != seen && (claims == "" || claims == t.claims) && time.Until(t.token.ExpiresOn) > renewBefore
	return t.token, ok
}

func (t *tokenCache) cached() azcore.AccessToken {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.token
}

// drop forgets token if it is the one that is held, and reports if it was.
func (t *tokenCache) drop(token string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if token == "" || t.token.Token != token {
		return false
	}
	t.token = azcore.AccessToken{}
	return true
}

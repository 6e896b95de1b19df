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
}

func (t *tokenCache) get(ctx context.Context, claims string) (azcore.AccessToken, error) {
	cached := t.cached()
	left := time.Until(cached.ExpiresOn)
	if claims == "" && cached.Token != "" && left > renewBefore {
		return cached, nil
	}
	if err := ctx.Err(); err != nil {
		return azcore.AccessToken{}, canceled(call{op: t.op}, err, false)
	}
	done := t.flight.DoChan(claims, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
		defer cancel()
		token, err := t.fetch(ctx, claims)
		if err == nil {
			t.mu.Lock()
			t.token = token
			t.mu.Unlock()
		}
		return token, err
	})
	select {
	case <-ctx.Done():
		return azcore.AccessToken{}, canceled(call{op: t.op}, ctx.Err(), false)
	case r := <-done:
		if r.Err == nil {
			return r.Val.(azcore.AccessToken), nil
		}
		if claims == "" && cached.Token != "" && left > usableBefore && KindOf(r.Err) != KindSignInExpired {
			return cached, nil
		}
		return azcore.AccessToken{}, r.Err
	}
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

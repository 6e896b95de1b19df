package teams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/stretchr/testify/require"
)

// memoryStore is a TokenStore that records in which order things happened.
type memoryStore struct {
	mu     sync.Mutex
	tokens map[string]string
	fail   error
	log    *[]string
}

func (s *memoryStore) LoadToken(_ context.Context, key string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens[key], nil
}

func (s *memoryStore) RotateToken(_ context.Context, key, older, token string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return false, s.fail
	}
	if s.tokens[key] != older {
		return false, nil
	}
	s.tokens[key] = token
	if s.log != nil {
		*s.log = append(*s.log, "saved "+token)
	}
	return true, nil
}

// set is a sign-in, or a sign-out with an empty token.
func (s *memoryStore) set(key, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[key] = token
}

func newDelegated(t *testing.T, g *graphServer, store TokenStore) *DelegatedCredential {
	t.Helper()
	c, err := NewDelegatedCredential(DelegatedConfig{Endpoints: g.endpoints, TenantID: "tenant-1", ClientID: "app-1",
		Prove: func() (url.Values, error) { return url.Values{"client_secret": {"hush"}}, nil }, HTTP: g.client(t), Store: store}, "key-1")
	require.NoError(t, err)
	return c
}

func TestRefreshRotatesAndSavesFirst(t *testing.T) {
	var n atomic.Int64
	var forms sync.Map
	g := newGraphServer(t, func(w http.ResponseWriter, r *http.Request) {
		i := n.Add(1)
		_ = r.ParseForm()
		forms.Store(i, r.PostForm)
		if r.PostFormValue("refresh_token") != fmt.Sprint("refresh-", i-1) {
			tokenError(w, 400, "invalid_grant", 70008)
			return
		}
		tokenAnswer(w, r, fmt.Sprint("access-", i), 3600, fmt.Sprint("refresh-", i))
	})
	var log []string
	store := &memoryStore{tokens: map[string]string{"key-1": "refresh-0"}, log: &log}
	c := newDelegated(t, g, store)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			token, err := c.GetToken(t.Context(), policy.TokenRequestOptions{})
			require.NoError(t, err)
			require.Equal(t, "access-1", token.Token)
			store.mu.Lock()
			defer store.mu.Unlock()
			require.Equal(t, "refresh-1", store.tokens["key-1"], "saved before the access token is handed out")
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, n.Load())
	require.True(t, c.Invalidate("access-1"))
	token, err := c.GetToken(t.Context(), policy.TokenRequestOptions{})
	require.NoError(t, err)
	require.Equal(t, "access-2", token.Token)
	require.Equal(t, []string{"saved refresh-1", "saved refresh-2"}, log)
	form, _ := forms.Load(int64(1))
	require.NotContains(t, form, "client_secret", "of a public client")
}

// What Graph asks for in a claims challenge is asked of the sign-in service, by
// whoever comes with it, and only then.
func TestRefreshPassesClaimsOn(t *testing.T) {
	const claims = `{"access_token":{"nbf":{"essential":true,"value":"1700000000"}}}`
	var forms []url.Values
	g := newGraphServer(t, func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		forms = append(forms, r.PostForm)
		tokenAnswer(w, r, fmt.Sprint("access-", len(forms)), 3600, fmt.Sprint("refresh-", len(forms)))
	})
	store := &memoryStore{tokens: map[string]string{"key-1": "web:refresh-0"}}
	c := newDelegated(t, g, store)
	for want, o := range []policy.TokenRequestOptions{{}, {Claims: claims}, {}} {
		token, err := c.GetToken(t.Context(), o)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint("access-", min(want+1, 2)), token.Token)
	}
	require.Len(t, forms, 2)
	require.False(t, forms[0].Has("claims"))
	require.Equal(t, claims, forms[1].Get("claims"))
	for i, form := range forms {
		require.Equal(t, "refresh_token", form.Get("grant_type"))
		require.Equal(t, fmt.Sprint("refresh-", i), form.Get("refresh_token"))
		require.Equal(t, "hush", form.Get("client_secret"))
	}
}

func TestRefreshThatCannotBeSavedIsNotUsed(t *testing.T) {
	g := newGraphServer(t, func(w http.ResponseWriter, r *http.Request) { tokenAnswer(w, r, "access", 3600, "refresh-1") })
	store := &memoryStore{tokens: map[string]string{"key-1": "refresh-0"}, fail: errors.New("disk full")}
	c := newDelegated(t, g, store)
	_, err := c.GetToken(t.Context(), policy.TokenRequestOptions{})
	require.ErrorContains(t, err, "disk full")
	store.mu.Lock()
	store.fail = nil
	store.mu.Unlock()
	_, err = c.GetToken(t.Context(), policy.TokenRequestOptions{})
	require.NoError(t, err)
}

// Proves S5.
func TestSignedOutOrAnewWhileRenewing(t *testing.T) {
	for _, now := range []string{"", "refresh-new"} {
		t.Run("now "+now, func(t *testing.T) {
			store := &memoryStore{tokens: map[string]string{"key-1": "refresh-0"}}
			var log []string
			store.log = &log
			g := newGraphServer(t, func(w http.ResponseWriter, r *http.Request) {
				_ = r.ParseForm()
				if r.PostFormValue("refresh_token") == "refresh-new" {
					tokenAnswer(w, r, "access-new", 3600, "")
					return
				}
				store.set("key-1", now)
				tokenAnswer(w, r, "access-1", 3600, "refresh-1")
			})
			c := newDelegated(t, g, store)
			_, err := c.GetToken(t.Context(), policy.TokenRequestOptions{})
			require.Equal(t, KindUnavailable, KindOf(err), "nothing is done with what came for the old sign-in")
			require.False(t, IsAmbiguous(err))
			require.Empty(t, log)
			require.Equal(t, now, store.tokens["key-1"])
			token, err := c.GetToken(t.Context(), policy.TokenRequestOptions{})
			if now == "" {
				require.Equal(t, KindSignInExpired, KindOf(err))
				return
			}
			require.NoError(t, err)
			require.Equal(t, "access-new", token.Token)
		})
	}
}

func TestExpiredSignInStaysExpired(t *testing.T) {
	for _, code := range []string{"invalid_grant", "interaction_required"} {
		t.Run(code, func(t *testing.T) {
			var good atomic.Bool
			g := newGraphServer(t, func(w http.ResponseWriter, r *http.Request) {
				if good.Load() {
					tokenAnswer(w, r, "access", 3600, "")
					return
				}
				tokenError(w, 400, code, 50173)
			})
			store := &memoryStore{tokens: map[string]string{"key-1": "refresh-0"}}
			c := newDelegated(t, g, store)
			for range 3 {
				_, err := c.GetToken(t.Context(), policy.TokenRequestOptions{})
				e := typedError(t, err)
				require.Equal(t, KindSignInExpired, e.Kind)
				require.Contains(t, e.Hint, "sign in again")
				require.NotContains(t, err.Error(), "refresh-0")
			}
			require.EqualValues(t, 1, g.hits.Load(), "asked once, then known")
			good.Store(true)
			store.set("key-1", "refresh-new")
			_, err := c.GetToken(t.Context(), policy.TokenRequestOptions{})
			require.NoError(t, err, "a new sign-in starts afresh")
		})
	}
}

func TestRefreshTroubleIsNotExpiry(t *testing.T) {
	var n atomic.Int64
	g := newGraphServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch n.Add(1) {
		case 1:
			w.WriteHeader(503)
		case 2:
			_, _ = io.WriteString(w, "<html>")
		case 3:
			cut(w)
		case 4:
			tokenError(w, 401, "invalid_client", 7000222)
		default:
			tokenAnswer(w, r, "access", 3600, "refresh-1")
		}
	})
	c := newDelegated(t, g, &memoryStore{tokens: map[string]string{"key-1": "refresh-0"}})
	for range 3 {
		_, err := c.GetToken(t.Context(), policy.TokenRequestOptions{})
		require.Equal(t, KindUnavailable, KindOf(err), err)
	}
	_, err := c.GetToken(t.Context(), policy.TokenRequestOptions{})
	require.Contains(t, typedError(t, err).Hint, "client secret has expired")
	_, err = c.GetToken(t.Context(), policy.TokenRequestOptions{})
	require.NoError(t, err, "the application's trouble is not the person's expiry")
}

func TestNobodySignedIn(t *testing.T) {
	g := newGraphServer(t, func(w http.ResponseWriter, r *http.Request) {})
	_, err := newDelegated(t, g, &memoryStore{tokens: map[string]string{}}).GetToken(t.Context(), policy.TokenRequestOptions{})
	require.Equal(t, KindSignInExpired, KindOf(err))
	require.Zero(t, g.hits.Load())
}

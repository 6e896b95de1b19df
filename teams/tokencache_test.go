package teams

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/stretchr/testify/require"
)

// A caller may look before a renewal ends and ask for one after it has ended.
func TestRenewalIsSharedWithWhoLookedBeforeItEnded(t *testing.T) {
	n := 0
	cache := tokenCache{op: opRefresh, fetch: func(context.Context, string) (azcore.AccessToken, error) {
		n++
		return azcore.AccessToken{Token: fmt.Sprint("access-", n), ExpiresOn: time.Now().Add(time.Hour)}, nil
	}}
	renew := func(claims, seen, want string) {
		t.Helper()
		token, err := cache.renew(t.Context(), claims, seen)
		require.NoError(t, err)
		require.Equal(t, want, token.Token)
	}
	renew("", "", "access-1")
	renew("", "", "access-1") // saw nothing, while the first one was under way
	require.Equal(t, 1, n)

	renew("c", "access-1", "access-2")
	renew("c", "access-1", "access-2")
	renew("", "access-1", "access-2")
	renew("d", "access-1", "access-3") // other claims are not met by it
	renew("", "access-3", "access-4")  // and what was seen is not what is wanted
	require.True(t, cache.drop("access-4"))
	renew("", "access-3", "access-5")
	require.Equal(t, 5, n)
}

package database_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
)

func TestSealer(t *testing.T) {
	first, err := database.NewSealer("the first secret!")
	require.NoError(t, err)
	rotated, err := database.NewSealer("the second secret", "the first secret!")
	require.NoError(t, err)
	other, err := database.NewSealer("the second secret")
	require.NoError(t, err)

	sealed, err := first.Seal([]byte("token"), "account:1")
	require.NoError(t, err)
	require.False(t, bytes.Contains(sealed, []byte("token")))
	again, err := first.Seal([]byte("token"), "account:1")
	require.NoError(t, err)
	require.NotEqual(t, sealed, again, "the nonce is never reused")
	for name, s := range map[string]database.Sealer{"same": first, "rotated": rotated} {
		plain, err := s.Open(sealed, "account:1")
		require.NoError(t, err, name)
		require.Equal(t, "token", string(plain), name)
	}
	_, err = other.Open(sealed, "account:1")
	require.ErrorIs(t, err, database.ErrUnknownKey)
	_, err = first.Open(sealed, "account:2")
	require.ErrorIs(t, err, database.ErrUnsealable)
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		_, err = first.Open(bad, "account:1")
		require.Error(t, err, "byte %d", i)
		_, err = first.Open(sealed[:i], "account:1")
		require.Error(t, err, "cut at %d", i)
	}
	_, err = database.NewSealer("short")
	require.ErrorIs(t, err, database.ErrWeakKey)
	_, err = database.NewSealer("the first secret!", "short")
	require.ErrorIs(t, err, database.ErrWeakKey)
}

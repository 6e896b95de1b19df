package bridge

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
)

// fakeWriter is a writer that only says whose it is.
type fakeWriter struct {
	teams.Writer
	account database.Account
}

func testWriters(t *testing.T) (*writers, *[]string) {
	t.Helper()
	w := newWriters(testDB(t), func(a database.Account) (teams.Writer, error) { return &fakeWriter{account: a}, nil })
	told := &[]string{}
	w.expired = func(_ context.Context, a database.Account, _ string) { *told = append(*told, a.Key) }
	return w, told
}

func signIn(t *testing.T, w *writers, kind, userID string) {
	t.Helper()
	account := teams.Account{UserID: userID, UPN: userID + "@corp.example", DisplayName: userID}
	require.NoError(t, w.signedIn(t.Context(), kind, account, "@"+userID+":hs.example", "token of "+userID))
}

func keyOf(t *testing.T, w teams.Writer) string {
	t.Helper()
	pooled, ok := w.(*pooledWriter)
	require.True(t, ok)
	fw, ok := pooled.Writer.(*fakeWriter)
	require.True(t, ok)
	return fw.account.Key
}

func TestOwnSignInGoesBeforeTheRelay(t *testing.T) {
	w, _ := testWriters(t)
	row := &database.OutboxRow{Portal: "c:t/1", SenderUserID: "ann"}
	_, _, err := w.For(t.Context(), row, "")
	require.ErrorIs(t, err, portal.ErrNoAccount, "without any account it waits")

	signIn(t, w, database.AccountRelay, "relay1")
	writer, relayed, err := w.For(t.Context(), row, "")
	require.NoError(t, err)
	require.True(t, relayed)
	require.Equal(t, "relay:relay1", keyOf(t, writer))

	signIn(t, w, database.AccountUser, "ann")
	writer, relayed, err = w.For(t.Context(), row, "")
	require.NoError(t, err)
	require.False(t, relayed)
	require.Equal(t, "user:ann", keyOf(t, writer))

	writer, relayed, err = w.For(t.Context(), row, "relay1")
	require.NoError(t, err)
	require.True(t, relayed, "what was begun with an account goes on with it")
	require.Equal(t, "relay:relay1", keyOf(t, writer))

	other := &database.OutboxRow{Portal: "c:t/1"}
	_, relayed, err = w.For(t.Context(), other, "ann")
	require.NoError(t, err)
	require.True(t, relayed, "nobody writes with somebody else's own account")
}

func TestRelayIsStickyAndSpread(t *testing.T) {
	w, _ := testWriters(t)
	for i := range 4 {
		signIn(t, w, database.AccountRelay, fmt.Sprintf("relay%d", i))
	}
	before, used := map[string]string{}, map[string]int{}
	for i := range 400 {
		row := &database.OutboxRow{Portal: fmt.Sprintf("c:team/channel%d", i)}
		writer, err := w.Relay(t.Context(), row, "")
		require.NoError(t, err)
		before[row.Portal] = keyOf(t, writer)
		used[keyOf(t, writer)]++
	}
	for key, n := range used {
		require.InDelta(t, 100, n, 40, key)
	}
	require.NoError(t, w.signedOut(t.Context(), "relay:relay3"))
	for p, key := range before {
		writer, err := w.Relay(t.Context(), &database.OutboxRow{Portal: p}, "")
		require.NoError(t, err)
		if key != "relay:relay3" {
			require.Equal(t, key, keyOf(t, writer), "only the lost account's conversations move")
		}
	}
}

func TestExpiredSignInIsToldOnceAndNotUsed(t *testing.T) {
	w, told := testWriters(t)
	signIn(t, w, database.AccountUser, "ann")
	signIn(t, w, database.AccountRelay, "relay1")
	w.Failed(t.Context(), "ann", &teams.Error{Op: "POST", Kind: teams.KindUnavailable})
	require.Empty(t, *told, "an outage is no reason to sign in again")
	for range 3 {
		w.Failed(t.Context(), "ann", &teams.Error{Op: "POST", Kind: teams.KindSignInExpired})
	}
	require.Equal(t, []string{"user:ann"}, *told)

	row := &database.OutboxRow{Portal: "c:t/1", SenderUserID: "ann"}
	_, relayed, err := w.For(t.Context(), row, "")
	require.NoError(t, err)
	require.True(t, relayed)
	_, err = w.Exactly(t.Context(), row, "ann")
	require.ErrorIs(t, err, portal.ErrOwnAccount)

	again := newWriters(w.db, w.open)
	require.NoError(t, again.load(t.Context()))
	a, ok := again.account("user:ann")
	require.True(t, ok)
	require.Equal(t, database.AccountExpired, a.State, "a restart remembers it")
	signIn(t, again, database.AccountUser, "ann")
	_, relayed, err = again.For(t.Context(), row, "")
	require.NoError(t, err)
	require.False(t, relayed)
}

// Proves S5.
func TestTokensAreKeptSealedAndForgotten(t *testing.T) {
	w, _ := testWriters(t)
	signIn(t, w, database.AccountUser, "ann")
	token, err := w.db.Accounts.LoadToken(t.Context(), "user:ann")
	require.NoError(t, err)
	require.Equal(t, "token of ann", token)
	require.NoError(t, w.signedOut(t.Context(), "user:ann"))
	token, err = w.db.Accounts.LoadToken(t.Context(), "user:ann")
	require.NoError(t, err)
	require.Empty(t, token)
	require.False(t, w.IsRelay("ann"))
}

package bridge

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"teamsbridge/database"
	"teamsbridge/teams"
)

// loaded is what a start reads with an encryption key.
type loaded struct {
	keys    *keyring
	writers *writers
	subs    subscriptionRecords
	log     bytes.Buffer
}

func load(t *testing.T, path, key string) *loaded {
	t.Helper()
	db := openDB(t, path, key)
	l := &loaded{
		keys:    &keyring{store: db.Keys, now: time.Now},
		writers: newWriters(db, func(a database.Account) (teams.Writer, error) { return &fakeWriter{account: a}, nil }),
		subs:    subscriptionRecords{db.Subscriptions},
	}
	l.writers.lost = l.keys.noteLoss
	ctx := zerolog.New(&l.log).WithContext(t.Context())
	require.NoError(t, l.writers.load(ctx))
	require.NoError(t, l.keys.load(ctx))
	return l
}

func (l *loaded) lost(t *testing.T) bool {
	t.Helper()
	lost, err := l.keys.lost(t.Context())
	require.NoError(t, err)
	return lost
}

func (l *loaded) states() map[string]string {
	states := map[string]string{}
	for _, kind := range []string{database.AccountUser, database.AccountRelay} {
		for _, a := range l.writers.list(kind) {
			states[a.Key] = a.State
		}
	}
	return states
}

// A start with another encryption key succeeds: its own secrets are new, the
// accounts have to sign in again, and somebody is told, once.
func TestStartWithAnotherEncryptionKey(t *testing.T) {
	const keyA, keyB = "the first encryption key of all", "the second encryption key of all"
	path := filepath.Join(t.TempDir(), "test.db")
	a := load(t, path, keyA)
	require.False(t, a.lost(t))
	signIn(t, a.writers, database.AccountUser, "ann")
	signIn(t, a.writers, database.AccountRelay, "relay")
	require.NoError(t, a.subs.SaveSubscription(t.Context(), teams.SubscriptionRecord{ID: "one", Resource: "/teams/getAllMessages", ClientState: "digest"}))

	b := load(t, path, keyB)
	require.True(t, b.lost(t))
	require.Contains(t, b.log.String(), `"level":"error"`)
	require.NotEqual(t, a.keys.clientState, b.keys.clientState)
	require.NotEqual(t, a.keys.certificates().Current.ID, b.keys.certificates().Current.ID)
	require.Nil(t, b.keys.certificates().Previous)
	require.Equal(t, map[string]string{"user:ann": database.AccountExpired, "relay:relay": database.AccountExpired}, b.states())
	require.Len(t, b.writers.sealed(), 2)
	records, err := b.subs.LoadSubscriptions(t.Context())
	require.NoError(t, err)
	require.Len(t, records, 1, "it is known as ours, so that it is replaced")
	require.Empty(t, records[0].ClientState)
	signIn(t, b.writers, database.AccountRelay, "relay")

	again := load(t, path, keyB)
	require.True(t, again.lost(t), "until somebody has been told")
	require.NoError(t, again.keys.forgetLoss(t.Context()))
	again = load(t, path, keyB)
	require.False(t, again.lost(t), "not at every start")
	require.Empty(t, again.log.String())
	require.Equal(t, b.keys.clientState, again.keys.clientState)
	require.Equal(t, b.keys.certificates().Current.ID, again.keys.certificates().Current.ID)
	require.Equal(t, map[string]string{"user:ann": database.AccountExpired, "relay:relay": database.AccountOK}, again.states())

	back := load(t, path, keyA)
	require.Equal(t, map[string]string{"user:ann": database.AccountOK, "relay:relay": database.AccountExpired}, back.states(), "what is sealed with a key is good with it")
}

// A database that can't be read is no lost key: the start fails.
func TestBrokenDatabaseIsNoLostKey(t *testing.T) {
	db := testDB(t)
	keys := &keyring{store: db.Keys, now: time.Now}
	require.NoError(t, keys.load(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, keys.load(ctx))
	require.NoError(t, keys.load(t.Context()))
}

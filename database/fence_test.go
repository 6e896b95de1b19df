package database_test

import (
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mau.fi/util/dbutil"

	"teamsbridge/database"
	"teamsbridge/database/databasetest"
)

// instance is one instance's way to the database: its lease, and its pool.
type instance struct {
	*database.Contender
	pool *sql.DB
}

func newInstance(t *testing.T, uri, name string, clock func() time.Duration) *instance {
	t.Helper()
	uri += "&application_name=" + name // a process is one instance otherwise
	contender, err := database.NewContender(dbutil.PoolConfig{Type: "postgres", URI: uri})
	require.NoError(t, err)
	cfg := database.FencedPostgres(uri)
	pool, err := sql.Open(cfg.Type, cfg.URI)
	require.NoError(t, err)
	t.Cleanup(func() { _ = pool.Close() })
	return &instance{database.ShortLease(contender, clock), pool}
}

func (i *instance) lead(t *testing.T) *database.Lock {
	t.Helper()
	var lock *database.Lock
	require.Eventually(t, func() bool {
		var err error
		lock, err = i.Try(t.Context())
		if err != nil {
			require.ErrorIs(t, err, database.ErrLocked)
		}
		return err == nil
	}, 20*time.Second, 50*time.Millisecond)
	t.Cleanup(func() { _ = lock.Close() })
	return lock
}

// TestFence: an instance whose clock stands still believes for ever that it
// leads. It can't write all the same, once another one has taken over: not what
// it has begun to write, and nothing new.
func TestFence(t *testing.T) {
	ctx := t.Context()
	uri := databasetest.Postgres(t).URI(t)
	stopped := database.BootTime()
	first := newInstance(t, uri, "first", func() time.Duration { return stopped })
	second := newInstance(t, uri, "second", database.BootTime)
	require.ErrorContains(t, first.pool.PingContext(ctx), "does not have the database")
	lock := first.lead(t)
	_, err := first.pool.ExecContext(ctx, "CREATE TABLE said (who TEXT)")
	require.NoError(t, err)
	_, err = second.pool.ExecContext(ctx, "INSERT INTO said VALUES ('waiting')")
	require.ErrorContains(t, err, "does not have the database")
	tx, err := first.pool.BeginTx(ctx, nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(ctx, "INSERT INTO said VALUES ('begun')")
	require.NoError(t, err)

	admin := databasetest.OpenPostgres(t, uri)
	for _, query := range []string{
		`CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN IF current_setting('application_name') = 'first' THEN RAISE 'stopped'; END IF; RETURN NULL; END $$`,
		"CREATE TRIGGER stop BEFORE UPDATE ON teams_lease FOR EACH STATEMENT EXECUTE FUNCTION stop()",
	} {
		_, err = admin.Exec(ctx, query)
		require.NoError(t, err)
	}
	_, err = first.pool.ExecContext(ctx, "INSERT INTO said VALUES ('before')")
	require.NoError(t, err)
	second.lead(t)
	_, err = second.pool.ExecContext(ctx, "INSERT INTO said VALUES ('after')")
	require.NoError(t, err)

	require.True(t, lock.Held(), "this test wants one that does not know")
	require.Error(t, tx.Commit())
	for range 10 {
		_, err = first.pool.ExecContext(ctx, "INSERT INTO said VALUES ('late')")
		require.Error(t, err)
	}
	var said string
	require.NoError(t, second.pool.QueryRowContext(ctx, "SELECT string_agg(who, ' ') FROM said").Scan(&said))
	require.Equal(t, "before after", said)
}

// TestLeaseOutlastsItsConnections: a server that ends every connection, as in a
// restart, ends no lease.
func TestLeaseOutlastsItsConnections(t *testing.T) {
	ctx := t.Context()
	uri := databasetest.Postgres(t).URI(t)
	leader := newInstance(t, uri, "leader", database.BootTime)
	lock := leader.lead(t)
	admin := databasetest.OpenPostgres(t, uri)
	for range 5 {
		_, err := admin.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'leader'")
		require.NoError(t, err)
		time.Sleep(400 * time.Millisecond)
		require.True(t, lock.Held())
		_, err = leader.pool.ExecContext(ctx, "SELECT 1")
		require.NoError(t, err)
	}
	require.Empty(t, lock.Lost())
	var beat int
	require.NoError(t, admin.QueryRow(ctx, "SELECT beat FROM teams_lease").Scan(&beat))
	require.Greater(t, beat, 5)
}

// TestLeaseOfAnother: whoever sees another holder has lost it.
func TestLeaseOfAnother(t *testing.T) {
	ctx := t.Context()
	uri := databasetest.Postgres(t).URI(t)
	leader := newInstance(t, uri, "leader", database.BootTime)
	lock := leader.lead(t)
	admin := databasetest.OpenPostgres(t, uri)
	_, err := admin.Exec(ctx, "UPDATE teams_lease SET term = term + 1, holder = 'somebody'")
	require.NoError(t, err)
	require.ErrorContains(t, lost(t, lock), "has taken the lease")
	require.False(t, lock.Held())
}

// TestInUseOnPostgres: who only looks leaves nothing behind.
func TestInUseOnPostgres(t *testing.T) {
	uri := databasetest.Postgres(t).URI(t)
	admin := databasetest.OpenPostgres(t, uri)
	cfg := dbutil.PoolConfig{Type: "postgres", URI: uri}
	used, err := database.InUse(t.Context(), cfg)
	require.NoError(t, err)
	require.False(t, used)
	var tables int
	require.NoError(t, admin.QueryRow(t.Context(), "SELECT count(*) FROM pg_tables WHERE tablename = 'teams_lease'").Scan(&tables))
	require.Zero(t, tables)
	lock := taken(t, cfg)
	used, err = database.InUse(t.Context(), cfg)
	require.NoError(t, err)
	require.True(t, used)
	require.NoError(t, lock.Close())
}

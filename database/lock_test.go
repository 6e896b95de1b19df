package database_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mau.fi/util/dbutil"

	"teamsbridge/database"
	"teamsbridge/database/databasetest"
)

// lockEnv makes the test binary take the lock of the database that it names
// ("type uri"), say so, and hold it until it is killed.
const lockEnv = "TEAMSBRIDGE_TEST_HOLD_LOCK"

func TestMain(m *testing.M) {
	if what := os.Getenv(leadEnv); what != "" {
		leadAndWrite(what)
	}
	if held := os.Getenv(lockEnv); held != "" {
		holdLock(held)
	}
	os.Exit(m.Run())
}

func holdLock(held string) {
	var cfg dbutil.PoolConfig
	if _, err := fmt.Sscan(held, &cfg.Type, &cfg.URI); err != nil {
		panic(err)
	}
	contender, err := database.NewContender(cfg)
	if err != nil {
		panic(err)
	}
	lock, err := contender.Try(context.Background())
	fmt.Println("lock:", err)
	if err == nil {
		fmt.Println("lost:", <-lock.Lost())
	}
	os.Exit(0)
}

func sqliteLock(path string) dbutil.PoolConfig {
	return dbutil.PoolConfig{Type: databasetest.SQLiteType, URI: databasetest.SQLiteURI(path)}
}

func contend(t *testing.T, cfg dbutil.PoolConfig) *database.Contender {
	t.Helper()
	c, err := database.NewContender(cfg)
	require.NoError(t, err)
	return c
}

func taken(t *testing.T, cfg dbutil.PoolConfig) *database.Lock {
	t.Helper()
	lock, err := contend(t, cfg).Try(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = lock.Close() })
	return lock
}

func refused(t *testing.T, cfg dbutil.PoolConfig) {
	t.Helper()
	c := contend(t, cfg)
	defer c.Close()
	_, err := c.Try(t.Context())
	require.ErrorIs(t, err, database.ErrLocked)
}

// eventually waits for the lock: a lease that was not given back has to end.
func eventually(t *testing.T, cfg dbutil.PoolConfig) *database.Lock {
	t.Helper()
	var lock *database.Lock
	c := contend(t, cfg)
	require.Eventually(t, func() bool {
		var err error
		if lock, err = c.Try(t.Context()); err != nil {
			require.ErrorIs(t, err, database.ErrLocked)
		}
		return err == nil
	}, 20*time.Second, 10*time.Millisecond)
	t.Cleanup(func() { _ = lock.Close() })
	return lock
}

// holder is another process that has the lock.
func holder(t *testing.T, cfg dbutil.PoolConfig) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), lockEnv+"="+cfg.Type+" "+cfg.URI)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "lock: <nil>\n", line)
	return cmd
}

func lost(t *testing.T, lock *database.Lock) error {
	t.Helper()
	select {
	case err := <-lock.Lost():
		require.Error(t, err)
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("the loss was not noticed")
		return nil
	}
}

// testLock is what every kind of lock promises. other is a database that is
// like the first, but not it.
func testLock(t *testing.T, first, other dbutil.PoolConfig) {
	t.Run("OneAtATime", func(t *testing.T) {
		lock := taken(t, first)
		refused(t, first)
		taken(t, other)
		select {
		case err := <-lock.Lost():
			require.NoError(t, err)
		default:
		}
		require.NoError(t, lock.Close())
		require.NoError(t, lock.Close(), "closing twice")
		require.NoError(t, eventually(t, first).Close())
	})
	t.Run("EndsWithTheProcess", func(t *testing.T) {
		cmd := holder(t, first)
		refused(t, first)
		require.NoError(t, cmd.Process.Kill()) // kill -9
		_ = cmd.Wait()
		eventually(t, first)
	})
}

func TestLockOnSQLite(t *testing.T) {
	dir := t.TempDir()
	testLock(t, sqliteLock(filepath.Join(dir, "a.db")), sqliteLock(filepath.Join(dir, "b.db")))
}

func TestLockOnPostgres(t *testing.T) {
	cluster := databasetest.Postgres(t)
	config := func(uri string) dbutil.PoolConfig { return dbutil.PoolConfig{Type: "postgres", URI: uri} }
	uri := cluster.URI(t)
	t.Run("Databases", func(t *testing.T) { testLock(t, config(uri), config(cluster.URI(t))) })
	t.Run("Schemas", func(t *testing.T) {
		admin := databasetest.OpenPostgres(t, uri)
		_, err := admin.Exec(t.Context(), "CREATE SCHEMA second")
		require.NoError(t, err)
		testLock(t, config(uri), config(uri+"&search_path=second"))
	})
	t.Run("SettingsOfTheRole", func(t *testing.T) {
		// A role whose sessions must not idle: the lock's own does all the same.
		admin := databasetest.OpenPostgres(t, uri)
		for _, query := range []string{"CREATE ROLE hurried LOGIN", "ALTER ROLE hurried SET idle_session_timeout = '100ms'", "GRANT ALL ON teams_lease TO hurried"} {
			_, err := admin.Exec(t.Context(), query)
			require.NoError(t, err)
		}
		lock := taken(t, config(uri+"&user=hurried"))
		select {
		case err := <-lock.Lost():
			require.NoError(t, err)
		case <-time.After(1500 * time.Millisecond): // longer than the limit and a renewal
		}
		require.NoError(t, lock.Close())
	})
}

// TestLockNamesTheFile: one lock for one file, however it is called.
func TestLockNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "the bridge.db")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, os.Symlink(dir, filepath.Join(dir, "folder")))
	require.NoError(t, os.Symlink(path, filepath.Join(dir, "link.db")))
	taken(t, dbutil.PoolConfig{Type: "sqlite3-fk-wal", URI: path})
	for _, uri := range []string{
		path + "?_txlock=immediate",
		"file:" + path + "?_txlock=immediate",
		"file://" + dir + "/the%20bridge.db?cache=private",
		"file:" + dir + "/folder/the bridge.db",
		dir + "/folder/../link.db",
	} {
		refused(t, dbutil.PoolConfig{Type: databasetest.SQLiteType, URI: uri})
	}
	for _, uri := range []string{":memory:", "file::memory:?cache=shared", "file:shared?mode=memory&cache=shared"} {
		taken(t, dbutil.PoolConfig{Type: databasetest.SQLiteType, URI: uri})
		taken(t, dbutil.PoolConfig{Type: databasetest.SQLiteType, URI: uri})
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 4, "the database, its lock and two links")
}

// TestLockFileRemoved: whoever removes the file makes room for a second
// instance, so the first one must know.
func TestLockFileRemoved(t *testing.T) {
	cfg := sqliteLock(filepath.Join(t.TempDir(), "a.db"))
	lock := taken(t, cfg)
	path := filepath.Join(filepath.Dir(cfg.URI[len("file:"):]), "a.db"+database.LockSuffix)
	require.NoError(t, os.Remove(path))
	require.ErrorContains(t, lost(t, lock), "removed or replaced")
}

// TestLockWhereItCannotBe says why, instead of waiting for ever.
func TestLockWhereItCannotBe(t *testing.T) {
	for _, cfg := range []dbutil.PoolConfig{
		sqliteLock(filepath.Join(t.TempDir(), "missing", "a.db")),
		{Type: "postgres", URI: "postgres://127.0.0.1:1/none?sslmode=disable"},
	} {
		c, err := database.NewContender(cfg)
		if err == nil {
			_, err = c.Try(t.Context())
		}
		require.Error(t, err)
		require.NotErrorIs(t, err, database.ErrLocked)
	}
}

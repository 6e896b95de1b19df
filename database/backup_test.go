package database_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mau.fi/util/dbutil"

	"teamsbridge/database"
	"teamsbridge/database/databasetest"
)

// A backup that is made while the database is written to has each transaction
// whole or not at all, everything that was committed before it began, and is no
// less private than the database. It never replaces a file.
func TestBackupWhileTheDatabaseIsWrittenTo(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	pool := dbutil.PoolConfig{Type: databasetest.SQLiteType, URI: "file:" + filepath.Join(dir, "bridge.db") + "?_txlock=immediate", MaxOpenConns: 2, MaxIdleConns: 1}
	raw, err := dbutil.NewFromConfig("test", dbutil.Config{PoolConfig: pool}, dbutil.NoopLogger)
	require.NoError(t, err)
	defer func() { _ = raw.Close() }()
	_, err = raw.Exec(ctx, `CREATE TABLE pairs (n INTEGER, side TEXT)`)
	require.NoError(t, err)
	write := func(ctx context.Context, n int) error {
		return raw.DoTxn(ctx, nil, func(ctx context.Context) error {
			for _, side := range []string{"left", "right"} {
				if _, err := raw.Exec(ctx, `INSERT INTO pairs VALUES ($1, $2)`, n, side); err != nil {
					return err
				}
			}
			return nil
		})
	}
	const before = 50
	for n := range before {
		require.NoError(t, write(ctx, n))
	}
	busy, stop := context.WithCancel(ctx)
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := before; busy.Err() == nil; n++ {
			_ = write(busy, n)
		}
	})
	var paths []string
	for i := range 10 {
		path := filepath.Join(dir, fmt.Sprintf("copy-%d.db", i))
		require.NoError(t, database.Backup(ctx, pool, path))
		paths = append(paths, path)
	}
	stop()
	writer.Wait()
	for _, path := range paths {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		// Nothing beside it is needed.
		copied, err := sql.Open("sqlite3", "file:"+path+"?mode=ro&immutable=1")
		require.NoError(t, err)
		var left, right int
		var sound string
		require.NoError(t, copied.QueryRow(`SELECT COUNT(*) FILTER (WHERE side = 'left'), COUNT(*) FILTER (WHERE side = 'right') FROM pairs`).Scan(&left, &right))
		require.NoError(t, copied.QueryRow(`PRAGMA integrity_check`).Scan(&sound))
		require.NoError(t, copied.Close())
		require.Equal(t, left, right)
		require.GreaterOrEqual(t, left, before)
		require.Equal(t, "ok", sound)
	}
	require.ErrorContains(t, database.Backup(ctx, pool, paths[0]), "is there already")
	left, err := filepath.Glob(filepath.Join(dir, ".backup-*"))
	require.NoError(t, err)
	require.Empty(t, left)

	gone := pool
	gone.URI = "file:" + filepath.Join(dir, "none.db")
	require.ErrorIs(t, database.Backup(ctx, gone, filepath.Join(dir, "new.db")), os.ErrNotExist)
	_, err = os.Stat(filepath.Join(dir, "none.db"))
	require.ErrorIs(t, err, os.ErrNotExist, "nothing is made")
	require.ErrorIs(t, database.Backup(ctx, dbutil.PoolConfig{Type: "postgres", URI: "postgres://x/y"}, filepath.Join(dir, "new.db")), database.ErrNotSQLite)
}

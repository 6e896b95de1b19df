package databasetest

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mau.fi/util/dbutil"
	_ "go.mau.fi/util/dbutil/litestream" // registers the sqlite3-fk-wal-fullsync driver
)

// SQLiteType is the database type that the bridge uses by default: WAL with a
// full sync on every commit.
const SQLiteType = "sqlite3-fk-wal-fullsync"

// SQLiteURI returns the connection string for a file, as the bridge's example
// config has it.
func SQLiteURI(path string) string {
	return "file:" + path + "?_txlock=immediate"
}

// SQLite opens an empty database in a temporary directory.
func SQLite(t testing.TB) *dbutil.Database {
	t.Helper()
	return OpenSQLite(t, filepath.Join(t.TempDir(), "teamsbridge.db"))
}

// OpenSQLite opens the database in a file, so that a test can close it and
// open it again as a restart would.
func OpenSQLite(t testing.TB, path string) *dbutil.Database {
	t.Helper()
	db, err := dbutil.NewFromConfig("teamsbridge-test", dbutil.Config{
		PoolConfig: dbutil.PoolConfig{Type: SQLiteType, URI: SQLiteURI(path), MaxOpenConns: 5, MaxIdleConns: 5},
	}, dbutil.NoopLogger)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

package databasetest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mau.fi/util/dbutil"

	"teamsbridge/internal/pgserver"
)

const (
	// EnvURI names a PostgreSQL server to test on, by URI. Every test makes a
	// database of its own there, so the user needs CREATEDB.
	EnvURI = "TEAMSBRIDGE_TEST_POSTGRES"
	// EnvRequire makes a missing PostgreSQL a failure.
	EnvRequire = "TEAMSBRIDGE_REQUIRE_POSTGRES"

	adminTimeout = 60 * time.Second
)

// Cluster is a PostgreSQL server on which tests make databases.
type Cluster struct {
	uri     *url.URL
	counter atomic.Int64
}

// Postgres returns a cluster that is gone when the test ends. Without any
// PostgreSQL it skips the test with the reason, or fails it where EnvRequire is set.
func Postgres(t testing.TB) *Cluster {
	t.Helper()
	if text := os.Getenv(EnvURI); text != "" {
		uri, err := url.Parse(text)
		require.NoError(t, err, "%s is not a URI", EnvURI)
		return &Cluster{uri: uri}
	}
	server, err := pgserver.Start()
	if err == nil {
		t.Cleanup(func() {
			if err := server.Stop(); err != nil {
				t.Errorf("stop PostgreSQL: %v", err)
			}
		})
		return &Cluster{uri: server.URI()}
	}
	const reason = "NOT TESTED ON POSTGRESQL: %v. Install the PostgreSQL server programs (initdb and pg_ctl; package postgresql), or set %s to a server's URI."
	if os.Getenv(EnvRequire) == "1" {
		t.Fatalf(reason, err, EnvURI)
	}
	fmt.Fprintf(os.Stderr, "%s: "+reason+"\n", t.Name(), err, EnvURI)
	t.Skipf(reason, err, EnvURI)
	return nil
}

// URI returns the connection string of a new, empty database.
func (c *Cluster) URI(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("teamsbridge_test_%d_%d", os.Getpid(), c.counter.Add(1))
	c.admin(t, "CREATE DATABASE "+name)
	t.Cleanup(func() { c.admin(t, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	uri := *c.uri
	uri.Path = "/" + name
	return uri.String()
}

// Open opens a new, empty database.
func (c *Cluster) Open(t testing.TB) *dbutil.Database {
	t.Helper()
	return OpenPostgres(t, c.URI(t))
}

// OpenPostgres opens a database by its URI, so that a test can close it and
// open it again as a restart would.
func OpenPostgres(t testing.TB, uri string) *dbutil.Database {
	t.Helper()
	db, err := dbutil.NewFromConfig("teamsbridge-test", dbutil.Config{
		PoolConfig: dbutil.PoolConfig{Type: "postgres", URI: uri, MaxOpenConns: 10, MaxIdleConns: 10},
	}, dbutil.NoopLogger)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func (c *Cluster) admin(t testing.TB, query string) {
	t.Helper()
	db, err := dbutil.NewWithDialect(c.uri.String(), "postgres")
	require.NoError(t, err)
	defer func() { _ = db.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), adminTimeout)
	defer cancel()
	_, err = db.Exec(ctx, query)
	require.NoError(t, err)
}

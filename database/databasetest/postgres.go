package databasetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/lib/pq" // registers the postgres driver
	"github.com/stretchr/testify/require"
	"go.mau.fi/util/dbutil"
)

const (
	// EnvURI names a PostgreSQL server to test on, by URI. Every test makes a
	// database of its own there, so the user needs CREATEDB.
	EnvURI = "TEAMSBRIDGE_TEST_POSTGRES"
	// EnvRequire makes a missing PostgreSQL a failure.
	EnvRequire = "TEAMSBRIDGE_REQUIRE_POSTGRES"

	startTimeout = 60 * time.Second
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
	tools, err := findTools()
	if err == nil {
		var uri *url.URL
		if uri, err = startCluster(t, tools); err == nil {
			return &Cluster{uri: uri}
		}
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
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	_, err = db.Exec(ctx, query)
	require.NoError(t, err)
}

type pgTools struct{ initdb, pgCtl string }

// findTools looks in the PATH and where distributions keep the server programs.
func findTools() (tools pgTools, err error) {
	if tools.initdb, err = exec.LookPath("initdb"); err == nil {
		if tools.pgCtl, err = exec.LookPath("pg_ctl"); err == nil {
			return tools, nil
		}
	}
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return tools, fmt.Errorf("look for PostgreSQL: %w", err)
	}
	sort.Sort(sort.Reverse(sort.StringSlice(dirs)))
	for _, dir := range dirs {
		tools = pgTools{initdb: filepath.Join(dir, "initdb"), pgCtl: filepath.Join(dir, "pg_ctl")}
		if _, err := os.Stat(tools.initdb); err != nil {
			continue
		}
		if _, err := os.Stat(tools.pgCtl); err == nil {
			return tools, nil
		}
	}
	return tools, errors.New("initdb and pg_ctl were not found")
}

// startCluster makes a cluster in a temporary directory on a free port of the
// loopback interface and stops it when the test ends.
func startCluster(t testing.TB, tools pgTools) (*url.URL, error) {
	dir, err := os.MkdirTemp("", "teamsbridge-postgres-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cred, err := unprivileged()
	if err != nil {
		return nil, err
	}
	if cred != nil {
		if err := os.Chown(dir, int(cred.Uid), int(cred.Gid)); err != nil {
			return nil, fmt.Errorf("hand the directory to an unprivileged user: %w", err)
		}
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	if err := run(dir, cred, tools.initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"); err != nil {
		return nil, err
	}
	options := fmt.Sprintf("-c listen_addresses=127.0.0.1 -c port=%d -c unix_socket_directories= -c max_connections=200", port)
	if err := run(dir, cred, tools.pgCtl, "-D", data, "-o", options, "-l", filepath.Join(dir, "log"), "-w", "-t", "60", "start"); err != nil {
		return nil, err
	}
	var once sync.Once
	t.Cleanup(func() {
		once.Do(func() {
			if err := run(dir, cred, tools.pgCtl, "-D", data, "-m", "immediate", "-w", "stop"); err != nil {
				t.Errorf("stop PostgreSQL: %v", err)
			}
		})
	})
	return &url.URL{
		Scheme: "postgres", User: url.User("postgres"), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		Path: "/postgres", RawQuery: "sslmode=disable",
	}, nil
}

// unprivileged returns whom to run the server as: PostgreSQL refuses root.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			continue
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			continue
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("running as root, and there is no user postgres or nobody to run the server as")
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func run(dir string, cred *syscall.Credential, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*startTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	// The server inherits the output, so it goes to a file: a pipe would never end.
	out, err := os.CreateTemp("", "teamsbridge-postgres-out-")
	if err != nil {
		return fmt.Errorf("capture output: %w", err)
	}
	defer func() { _ = out.Close(); _ = os.Remove(out.Name()) }()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(out.Name())
		return fmt.Errorf("%s: %w: %.500s", filepath.Base(name), err, text)
	}
	return nil
}

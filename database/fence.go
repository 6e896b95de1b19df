package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/lib/pq"
	"go.mau.fi/util/dbutil"
)

// The fence keeps an instance that has lost its lease from writing, whether it
// knows of its loss or not. Each connection of the pool that works takes a shared
// advisory lock, then looks whether the term still is its own. Who takes the
// lease over first begins the next term, then ends every session that has such a
// lock (tenure.expel), and only then begins. So a connection is either seen and
// ended, or sees the new term and is refused; a statement costs nothing.

// fencedDriver is the name of the driver behind the fence. The framework takes
// it for PostgreSQL by how it begins.
const fencedDriver = "postgres-fenced"

// errNotLeading refuses a connection.
var errNotLeading = errors.New("this instance does not have the database")

// leaders are this process's tenures (*tenure) by the URI of their database.
var leaders sync.Map

func init() { sql.Register(fencedDriver, fence{}) }

// Fenced returns the configuration with which the pool of the instance that has
// the lock is opened. It may be opened before; until the lock has been taken
// (Contender.Try), it gives no connections.
func Fenced(cfg dbutil.PoolConfig) dbutil.PoolConfig {
	if dialect, err := dbutil.ParseDialect(cfg.Type); err == nil && dialect == dbutil.Postgres {
		cfg.Type = fencedDriver
	}
	return cfg
}

type fence struct{}

// Open implements driver.Driver.
func (f fence) Open(uri string) (driver.Conn, error) {
	connector, err := f.OpenConnector(uri)
	if err != nil {
		return nil, err
	}
	return connector.Connect(context.Background())
}

// OpenConnector implements driver.DriverContext.
func (fence) OpenConnector(uri string) (driver.Connector, error) {
	connector, err := pq.NewConnector(uri)
	if err != nil {
		return nil, err
	}
	return &fenced{connector, func() *tenure {
		t, _ := leaders.Load(uri)
		leader, _ := t.(*tenure)
		return leader
	}}, nil
}

// fenced connects as long as the lease is held.
type fenced struct {
	*pq.Connector
	leader func() *tenure
}

// Driver implements driver.Connector.
func (f *fenced) Driver() driver.Driver { return fence{} }

// Connect implements driver.Connector.
func (f *fenced) Connect(ctx context.Context) (driver.Conn, error) {
	leader := f.leader()
	if leader == nil || !leader.held() {
		return nil, errNotLeading
	}
	conn, err := f.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if err = admit(ctx, conn, leader); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// admit lets a connection work in the leader's term. The lock goes first, in a
// statement of its own: a statement sees the rows as they were when it began.
func admit(ctx context.Context, conn driver.Conn, leader *tenure) error {
	if _, err := ask(ctx, conn, "SELECT pg_advisory_lock_shared($1)", leader.fence); err != nil {
		return fmt.Errorf("take a place behind the database's fence: %w", err)
	}
	_, err := ask(ctx, conn, "SELECT holder FROM teams_lease WHERE id = 1 AND term = $1 AND holder = $2", leader.term, leader.holder)
	if errors.Is(err, io.EOF) {
		return errNotLeading
	} else if err != nil {
		return fmt.Errorf("look whose term it is: %w", err)
	}
	return nil
}

// ask returns the one text of the one row of an answer, io.EOF without a row.
func ask(ctx context.Context, conn driver.Conn, query string, args ...any) (answer string, err error) {
	asker, ok := conn.(driver.QueryerContext)
	if !ok {
		return "", errors.ErrUnsupported
	}
	named := make([]driver.NamedValue, len(args))
	for i, arg := range args {
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: arg}
	}
	rows, err := asker.QueryContext(ctx, query, named)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	values := make([]driver.Value, 1)
	if err = rows.Next(values); err != nil {
		return "", err
	}
	switch v := values[0].(type) { // of bytes only until the rows are closed
	case string:
		return v, nil
	case []byte:
		return string(v), nil
	default:
		return "", nil
	}
}

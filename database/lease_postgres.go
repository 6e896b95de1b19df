package database

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/lib/pq"
)

// leaseTable is made by whoever contends first, and not by an upgrade: an
// instance that waits must not upgrade the tables under the one that leads. Both
// may be of different versions, so its columns stay as they are.
const leaseTable = `CREATE TABLE IF NOT EXISTS teams_lease (
	id         INTEGER PRIMARY KEY CHECK (id = 1),
	term       BIGINT NOT NULL,
	beat       BIGINT NOT NULL,
	holder     TEXT NOT NULL,
	released   BOOLEAN NOT NULL,
	renewed_at TIMESTAMPTZ NOT NULL -- for people
)`

// leaseSettings keep settings of the role or database from ending the session.
// A server that does not know one of them, does without.
const leaseSettings = `SELECT set_config(known.name, '0', false) FROM pg_settings known
	WHERE known.name IN ('statement_timeout', 'lock_timeout', 'idle_session_timeout', 'transaction_timeout')`

var errShared = errors.New("the connection to the database is shared with others: database.uri must lead to PostgreSQL itself or to a pooler by session")

// postgresLease keeps the lease in a row of the database that it is for. It has
// a connection of its own, outside of any pool.
type postgresLease struct {
	uri string
	// onlyLook makes no table.
	onlyLook bool
	session  *leaseSession // nil where it has to be made
	key      int64         // of the fence, once it has been asked
}

func newPostgresLease(uri string) (*postgresLease, error) {
	if _, err := pq.NewConnector(uri); err != nil {
		return nil, fmt.Errorf("open the database for its lease: %w", err)
	}
	return &postgresLease{uri: uri}, nil
}

func (p *postgresLease) read(ctx context.Context) (row leaseRow, err error) {
	err = p.do(ctx, func(ctx context.Context, s *leaseSession) error {
		if !s.there {
			row.Released = true
			return nil
		}
		return s.db.QueryRowContext(ctx, "SELECT term, beat, holder, released FROM teams_lease WHERE id = 1").Scan(&row.Term, &row.Beat, &row.Holder, &row.Released)
	})
	return row, err
}

func (p *postgresLease) take(ctx context.Context, seen leaseRow, holder string) (taken bool, err error) {
	err = p.do(ctx, func(ctx context.Context, s *leaseSession) error {
		taken, err = s.update(ctx, `UPDATE teams_lease SET term = term + 1, beat = 0, holder = $1, released = false, renewed_at = now()
			WHERE id = 1 AND term = $2 AND beat = $3 AND holder = $4 AND released = $5 RETURNING pg_backend_pid()`,
			holder, seen.Term, seen.Beat, seen.Holder, seen.Released)
		return err
	})
	return taken, err
}

func (p *postgresLease) renew(ctx context.Context, term int64, holder string) (renewed bool, err error) {
	err = p.do(ctx, func(ctx context.Context, s *leaseSession) error {
		renewed, err = s.update(ctx, `UPDATE teams_lease SET beat = beat + 1, renewed_at = now()
			WHERE id = 1 AND term = $1 AND holder = $2 RETURNING pg_backend_pid()`, term, holder)
		return err
	})
	return renewed, err
}

// expel ends what the fence has admitted (fence.go). No session of the new term
// is among them yet.
func (p *postgresLease) expel(ctx context.Context, term int64, holder string) (found int, err error) {
	err = p.do(ctx, func(ctx context.Context, s *leaseSession) error {
		return s.db.QueryRowContext(ctx, `SELECT count(pg_terminate_backend(l.pid)) FROM pg_locks l, teams_lease
			WHERE id = 1 AND term = $1 AND holder = $2 AND l.locktype = 'advisory' AND l.objsubid = 1
			AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
			AND (l.classid::bigint << 32) | l.objid::bigint = $3 AND l.pid <> pg_backend_pid()`, term, holder, s.key).Scan(&found)
	})
	return found, err
}

func (p *postgresLease) release(ctx context.Context, term int64, holder string) error {
	return p.do(ctx, func(ctx context.Context, s *leaseSession) error {
		_, err := s.db.ExecContext(ctx, "UPDATE teams_lease SET released = true WHERE id = 1 AND term = $1 AND holder = $2", term, holder)
		return err
	})
}

func (p *postgresLease) fence() int64 { return p.key }

func (p *postgresLease) close() {
	if p.session != nil {
		p.session.close()
		p.session = nil
	}
}

// do runs a query on the session, which is cut when the context ends: the driver
// itself would wait for the answer of a silent server for ever.
func (p *postgresLease) do(ctx context.Context, query func(context.Context, *leaseSession) error) error {
	if p.session == nil {
		p.session = &leaseSession{}
	}
	s := p.session
	stop := context.AfterFunc(ctx, s.cut)
	defer stop()
	uncut := context.WithoutCancel(ctx)
	err := s.open(uncut, p.uri, p.onlyLook)
	if err == nil {
		err = query(uncut, s)
	}
	if err == nil {
		p.key = s.key
		return nil
	}
	p.close()
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	return err
}

// leaseSession is one connection to the server.
type leaseSession struct {
	db *sql.DB
	// pid is the server's process, key the number of the fence.
	pid int
	key int64
	// there: the table is.
	there bool

	mu   sync.Mutex
	conn net.Conn
	// made: it has been connected; gone: it has been cut.
	made, gone bool
}

func (s *leaseSession) open(ctx context.Context, uri string, onlyLook bool) error {
	if s.db != nil {
		return nil
	}
	connector, err := pq.NewConnector(uri)
	if err != nil {
		return err
	}
	connector.Dialer(leaseDialer{s})
	s.db = sql.OpenDB(connector)
	s.db.SetMaxOpenConns(1)
	if _, err = s.db.ExecContext(ctx, leaseSettings); err != nil {
		return err
	}
	s.mu.Lock()
	s.made = true
	s.mu.Unlock()
	var schema sql.NullString
	if err = s.db.QueryRowContext(ctx, "SELECT current_schema(), pg_backend_pid()").Scan(&schema, &s.pid); err != nil {
		return err
	}
	s.key = fenceKey(schema.String)
	err = s.db.QueryRowContext(ctx, "SELECT to_regclass('teams_lease') IS NOT NULL").Scan(&s.there)
	if err != nil || s.there || onlyLook {
		return err
	}
	return s.prepare(ctx)
}

// prepare makes the table, one contender at a time.
func (s *leaseSession) prepare(ctx context.Context) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	// The key is the fence's: there is nobody behind it before there is a table.
	if _, err = tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", s.key); err != nil {
		return err
	}
	for _, query := range []string{leaseTable, "INSERT INTO teams_lease VALUES (1, 0, 0, '', true, now()) ON CONFLICT DO NOTHING"} {
		if _, err = tx.ExecContext(ctx, query); err != nil {
			return err
		}
	}
	if err = tx.Commit(); err != nil {
		return err
	}
	s.there = true
	return nil
}

// update runs an update of the lease, and reports whether there was something to
// update. It makes sure that the session still is the same one: where a pooler
// hands out connections by transaction, there is no fence.
func (s *leaseSession) update(ctx context.Context, query string, args ...any) (bool, error) {
	var pid int
	err := s.db.QueryRowContext(ctx, query, args...).Scan(&pid)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, err
	case pid != s.pid:
		return false, errShared
	default:
		return true, nil
	}
}

func (s *leaseSession) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
	if s.conn != nil {
		_ = s.conn.Close()
	}
}

func (s *leaseSession) close() {
	s.cut()
	if s.db != nil {
		_ = s.db.Close()
	}
}

// leaseDialer connects a session once: what the pool of database/sql would mend
// by itself, has to be begun afresh with the session's number and settings.
type leaseDialer struct{ s *leaseSession }

var errSessionOver = errors.New("the connection is gone")

// DialContext implements pq.DialerContext.
func (d leaseDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	d.s.mu.Lock()
	over := d.s.gone || d.s.made
	d.s.mu.Unlock()
	if over {
		return nil, errSessionOver
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	if d.s.gone {
		_ = conn.Close()
		return nil, errSessionOver
	}
	d.s.conn = conn
	return conn, nil
}

// Dial implements pq.Dialer.
func (d leaseDialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialTimeout implements pq.Dialer.
func (d leaseDialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

// fenceKey is the number of a schema's fence.
func fenceKey(schema string) int64 {
	sum := sha256.Sum256([]byte("teamsbridge fence\x00" + schema))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

package database

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.mau.fi/util/dbutil"
)

// watchTimes say how a lock's connection is watched.
type watchTimes struct {
	// every is how often the server is asked, timeout how long its answer may take.
	every, timeout time.Duration
}

// A connection that is gone is noticed within a second, a server that does not
// answer within eleven. The server itself gives up on a silent client later
// (serverPatience), and who takes over then waits for another while (Grace), so
// that the one before has noticed in any case.
var defaultWatch = watchTimes{every: time.Second, timeout: 10 * time.Second}

const postgresGrace = 3 * time.Second

// serverPatience makes the server notice within half a minute that the machine
// of a client is gone, which by default takes it two hours; and keeps settings
// of the role or database from ending the connection. A server that does not
// know one of them, does without.
const serverPatience = `SELECT set_config(known.name, wanted.value, false)
	FROM pg_settings known JOIN (VALUES
		('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'), ('tcp_user_timeout', '25000'),
		('statement_timeout', '0'), ('idle_session_timeout', '0'), ('transaction_timeout', '0')
	) AS wanted (name, value) ON known.name = wanted.name`

// errSilent says that the server did not answer in time.
var errSilent = errors.New("the server does not answer")

// postgresLock is an advisory lock, which its session has until it ends.
type postgresLock struct {
	db   *sql.DB
	conn *sql.Conn
	// pid is the server's process of the session that has the lock.
	pid   int
	times watchTimes
}

// lockPostgres takes the lock on a connection of its own, outside of any pool.
// PostgreSQL keeps advisory locks apart by database; the key keeps schemas apart.
func lockPostgres(ctx context.Context, cfg dbutil.PoolConfig, times watchTimes) (*Lock, error) {
	db, err := sql.Open(cfg.Type, cfg.URI)
	if err != nil {
		return nil, fmt.Errorf("open the database for its lock: %w", err)
	}
	p := &postgresLock{db: db, times: times}
	closed := func() { _ = p.close() }
	if err = within(ctx, times.timeout, p.take, closed); errors.Is(err, ErrLocked) {
		return nil, err
	} else if err != nil {
		return nil, fmt.Errorf("take the database's lock: %w", err)
	}
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	l := newLock(postgresGrace, sync.OnceValue(func() error {
		stop()
		return p.close()
	}))
	go func() {
		if err := p.watch(watching); watching.Err() == nil {
			l.lost <- err
		}
	}()
	return l, nil
}

func (p *postgresLock) take(ctx context.Context) (err error) {
	if p.conn, err = p.db.Conn(ctx); err != nil {
		return err
	}
	if _, err = p.conn.ExecContext(ctx, serverPatience); err != nil {
		return err
	}
	var schema sql.NullString
	if err = p.conn.QueryRowContext(ctx, "SELECT current_schema(), pg_backend_pid()").Scan(&schema, &p.pid); err != nil {
		return err
	}
	var got bool
	if err = p.conn.QueryRowContext(ctx, "SELECT pg_try_advisory_lock($1)", lockKey(schema.String)).Scan(&got); err != nil {
		return err
	}
	if !got {
		return ErrLocked
	}
	return nil
}

// lockKey is the number of a schema's lock.
func lockKey(schema string) int64 {
	sum := sha256.Sum256([]byte("teamsbridge instance\x00" + schema))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// watch returns when the session is gone, or the context is.
func (p *postgresLock) watch(ctx context.Context) error {
	ticker := time.NewTicker(p.times.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		if err := within(ctx, p.times.timeout, p.check, func() {}); err != nil {
			return fmt.Errorf("the connection that holds the database's lock: %w", err)
		}
	}
}

// check makes sure that the session lives and still is the same one: a pooler
// that hands out its connections by transaction would have another client use
// ours, lock and all.
func (p *postgresLock) check(ctx context.Context) error {
	var pid int
	if err := p.conn.QueryRowContext(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		return err
	}
	if pid != p.pid {
		return fmt.Errorf("is shared: the server's process was %d and is %d; database.uri must lead to PostgreSQL itself or to a pooler by session", p.pid, pid)
	}
	return nil
}

func (p *postgresLock) close() error {
	var err error
	if p.conn != nil {
		err = p.conn.Close()
	}
	return errors.Join(err, p.db.Close())
}

// within gives up on a call after a time. The driver can't: with a silent
// server it waits for the answer even when the context has ended. failed runs
// when the call has failed, or has ended after it was given up.
func within(ctx context.Context, limit time.Duration, call func(context.Context) error, failed func()) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errSilent)
	done := make(chan error, 1)
	go func() { done <- call(ctx) }()
	select {
	case err := <-done:
		cancel()
		if err != nil {
			failed()
		}
		return err
	case <-ctx.Done():
		go func() {
			defer cancel()
			<-done
			failed()
		}()
		return context.Cause(ctx)
	}
}

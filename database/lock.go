package database

import (
	"context"
	"errors"
	"time"

	"go.mau.fi/util/dbutil"
)

// ErrLocked says that another process works on the database.
var ErrLocked = errors.New("another instance has the database")

// Lock is the right of this process to work on a database, which one process
// has at a time. It has no lease to renew: the operating system (SQLite) or the
// server (PostgreSQL) takes it back when the process ends, however it ends.
type Lock struct {
	grace   time.Duration
	lost    chan error
	release func() error
}

// TryLock takes the lock of the database that the configuration names, or fails
// at once, with ErrLocked where another process has it. It opens no table and
// writes nothing into the database. A database in memory has no lock to take.
func TryLock(ctx context.Context, cfg dbutil.PoolConfig) (*Lock, error) {
	dialect, err := dbutil.ParseDialect(cfg.Type)
	if err != nil {
		return nil, err
	}
	if dialect == dbutil.Postgres {
		return lockPostgres(ctx, cfg, defaultWatch)
	}
	path, err := sqlitePath(cfg.URI)
	if err != nil {
		return nil, err
	}
	if path == "" {
		return newLock(0, func() error { return nil }), nil
	}
	return lockFile(path + LockSuffix)
}

func newLock(grace time.Duration, release func() error) *Lock {
	return &Lock{grace: grace, lost: make(chan error, 1), release: release}
}

// Lost gives one error when the lock is gone although nobody gave it back:
// another process may have it by now, and this one has to stop at once.
func (l *Lock) Lost() <-chan error { return l.lost }

// Grace is how long a process that took the lock over from another one should
// wait before it acts: a process that is cut off from the server notices a
// little later than the server that its lock is gone.
func (l *Lock) Grace() time.Duration { return l.grace }

// Close gives the lock back. A process that ends needs not to.
func (l *Lock) Close() error { return l.release() }

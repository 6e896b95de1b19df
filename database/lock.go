package database

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mau.fi/util/dbutil"
)

// ErrLocked says that another process works on the database.
var ErrLocked = errors.New("another instance has the database")

// LockedError is ErrLocked with what is known of it.
type LockedError struct {
	// Holder names the process that has the database, where that is known.
	Holder string
	// Again is when the lock is free at the earliest, if its holder is gone; 0
	// where that can be at any moment.
	Again time.Duration
}

// Error implements error.
func (e *LockedError) Error() string {
	if e.Holder == "" {
		return ErrLocked.Error()
	}
	return fmt.Sprintf("%s: %s", ErrLocked, e.Holder)
}

// Unwrap makes it ErrLocked.
func (e *LockedError) Unwrap() error { return ErrLocked }

// Lock is the right of this process to work on a database, which one process
// has at a time. On SQLite the operating system takes it back when the process
// ends, however it ends. On PostgreSQL it is a lease (lease.go).
type Lock struct {
	held    func() bool
	lost    chan error
	release func() error
}

func newLock(held func() bool, release func() error) *Lock {
	return &Lock{held: held, lost: make(chan error, 1), release: release}
}

func always() bool { return true }

// Held reports whether this process may act. Ask right before each act: between
// two of them the process may have been stopped for any time.
func (l *Lock) Held() bool { return l.held() }

// Lost gives one error when the lock is gone although nobody gave it back:
// another process may have it by now, and this one has to stop at once.
func (l *Lock) Lost() <-chan error { return l.lost }

// Close gives the lock back: from then on it is not held. A process that ends
// needs not to, but on PostgreSQL the next one has to wait then.
func (l *Lock) Close() error { return l.release() }

// Contender tries to get the lock of one database. It is for one goroutine.
type Contender struct {
	uri   string
	path  string
	lease *lease
}

// NewContender makes one for the database that the configuration names. It
// connects to nothing yet.
func NewContender(cfg dbutil.PoolConfig) (*Contender, error) {
	dialect, err := dbutil.ParseDialect(cfg.Type)
	if err != nil {
		return nil, err
	}
	if dialect == dbutil.Postgres {
		store, err := newPostgresLease(cfg.URI)
		if err != nil {
			return nil, err
		}
		return &Contender{uri: cfg.URI, lease: newLease(store, leaseDefaults, bootTime)}, nil
	}
	path, err := sqlitePath(cfg.URI)
	return &Contender{path: path}, err
}

// Try takes the lock, or fails at once, with ErrLocked where another process has
// it. It touches no table but that of the lease. A database in memory has no lock
// to take.
func (c *Contender) Try(ctx context.Context) (*Lock, error) {
	switch {
	case c.lease != nil:
		lock, err := c.lease.try(ctx)
		if err == nil {
			leaders.Store(c.uri, c.lease.leading)
		}
		return lock, err
	case c.path == "":
		return newLock(always, func() error { return nil }), nil
	default:
		return lockFile(c.path + LockSuffix)
	}
}

// Close ends what a contender that did not get the lock keeps open.
func (c *Contender) Close() {
	if c.lease != nil {
		c.lease.store.close()
	}
}

// InUse reports whether a process works on the database, without getting into
// its way: on PostgreSQL it looks for a while whether somebody renews the lease,
// and changes nothing.
func InUse(ctx context.Context, cfg dbutil.PoolConfig) (bool, error) {
	c, err := NewContender(cfg)
	if err != nil {
		return false, err
	}
	defer c.Close()
	if c.lease != nil {
		if store, ok := c.lease.store.(*postgresLease); ok {
			store.onlyLook = true
		}
		return c.lease.inUse(ctx)
	}
	lock, err := c.Try(ctx)
	if errors.Is(err, ErrLocked) {
		return true, nil
	} else if err != nil {
		return false, err
	}
	return false, lock.Close()
}

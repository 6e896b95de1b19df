package crashtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/lib/pq"
	_ "github.com/mattn/go-sqlite3" // registers the sqlite3 driver
)

// databaseBusy holds the bridge's database from another process for a while, as
// a backup or a careless administrator does.
func (r *run) databaseBusy(rng *rand.Rand) trouble {
	length := time.Duration(500+rng.IntN(8000)) * time.Millisecond
	return trouble{name: "database busy", want: 1, least: length, most: length, begin: func(ctx context.Context) (func() int, func(context.Context) error, error) {
		release, err := r.holdDatabase(ctx)
		if err != nil {
			return nil, nil, err
		}
		return always, func(context.Context) error { return release() }, nil
	}}
}

// holdDatabase takes the locks that keep everybody else from writing.
func (r *run) holdDatabase(ctx context.Context) (release func() error, err error) {
	driver, source := "sqlite3", "file:"+r.stack.Bridge.DatabasePath()+"?_txlock=immediate&_busy_timeout=20000"
	lock := "SELECT 1" // the transaction has begun with the lock
	if uri := r.stack.Bridge.DatabaseURI; uri != "" {
		driver, source = "postgres", uri
		lock = "LOCK TABLE teams_outbox, teams_inbox, teams_journal, message IN ACCESS EXCLUSIVE MODE"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		return nil, fmt.Errorf("open the bridge's database: %w", err)
	}
	tx, err := takeLock(ctx, db, lock)
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("hold the bridge's database: %w", err)
	}
	return func() error {
		_ = tx.Rollback() // ctx may have ended it
		return db.Close()
	}, nil
}

// lockTries is how often the locks are asked for: several tables are not locked at
// once, and PostgreSQL ends one of two that wait for each other.
const lockTries = 20

func takeLock(ctx context.Context, db *sql.DB, lock string) (*sql.Tx, error) {
	for try := 1; ; try++ {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return nil, err
		}
		if _, err = tx.ExecContext(ctx, lock); err == nil {
			return tx, nil
		}
		_ = tx.Rollback()
		var refused *pq.Error
		if try == lockTries || !errors.As(err, &refused) || refused.Code.Name() != "deadlock_detected" {
			return nil, err
		}
	}
}

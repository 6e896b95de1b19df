package crashtest

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"time"

	_ "github.com/lib/pq"           // registers the postgres driver
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
	tx, err := db.BeginTx(ctx, nil)
	if err == nil {
		_, err = tx.ExecContext(ctx, lock)
	}
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("hold the bridge's database: %w", err)
	}
	return func() error {
		_ = tx.Rollback() // ctx may have ended it
		return db.Close()
	}, nil
}

package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"go.mau.fi/util/dbutil"

	"teamsbridge/database/upgrades"
)

// VersionTable is where the schema version of the bridge's own tables stands,
// beside bridgev2's.
const VersionTable = "teams_version"

// Database is the set of stores. It embeds the dbutil database, so DoTxn spans
// these stores and those of bridgev2.
type Database struct {
	*dbutil.Database

	Journal       *Journal
	Outbox        *Outbox
	Sent          *Sent
	SentReactions *SentReactions
	Inbox         *Inbox
	Notifications *Notifications
	Cursors       *Cursors
	Subscriptions *Subscriptions
	Staff         *StaffStore
	Conversations *Conversations
	Selections    *Selections
	OptOuts       *OptOuts
	Accounts      *Accounts
	Keys          *Keys
	Echoes        *Echoes
	Late          *Late
	Holds         *Holds
	Outages       *Outages
	Drills        *Drills
	Digests       *Digests
	Uploads       *Uploads
	Polls         *Polls
	Sealing       *Sealing
	Restores      *Restores
}

// New makes the stores on top of bridgev2's database. Call Upgrade before
// using them. The sealer encrypts secrets and what people wrote; without one,
// storing or reading these fails with ErrNoSealer.
func New(parent *dbutil.Database, log zerolog.Logger, seal Sealer) *Database {
	return NewWithClock(parent, log, seal, time.Now)
}

// NewWithClock is New with a clock of the caller's, for tests.
func NewWithClock(parent *dbutil.Database, log zerolog.Logger, seal Sealer, now func() time.Time) *Database {
	child := parent.Child(VersionTable, upgrades.Table(), dbutil.ZeroLogger(log))
	if seal == nil {
		seal = noSealer{}
	}
	b := base{db: child, now: now, seal: seal}
	return &Database{
		Database:      child,
		Journal:       &Journal{b},
		Outbox:        &Outbox{base: b},
		Sent:          &Sent{b},
		SentReactions: &SentReactions{b},
		Inbox:         &Inbox{b},
		Notifications: &Notifications{b},
		Cursors:       &Cursors{b},
		Subscriptions: &Subscriptions{b},
		Staff:         &StaffStore{b},
		Conversations: &Conversations{b},
		Selections:    &Selections{b},
		OptOuts:       &OptOuts{b},
		Accounts:      &Accounts{b},
		Keys:          &Keys{b},
		Echoes:        &Echoes{b},
		Late:          &Late{b},
		Holds:         &Holds{b},
		Outages:       &Outages{b},
		Drills:        &Drills{b},
		Digests:       &Digests{b},
		Uploads:       &Uploads{b},
		Polls:         &Polls{b},
		Sealing:       &Sealing{b},
		Restores:      &Restores{b},
	}
}

// Upgrade brings the tables to the newest schema; it refuses a database that a
// newer version has upgraded incompatibly.
func (d *Database) Upgrade(ctx context.Context) error {
	if err := d.Database.Upgrade(ctx); err != nil {
		return fmt.Errorf("upgrade %s: %w", VersionTable, err)
	}
	return nil
}

// DoTxn runs fn in a transaction of these stores and bridgev2's, or in the one
// that the context has. A panic in fn rolls back before it goes on: dbutil
// would leave the transaction open, and with SQLite every later write would
// wait for it in vain.
func (d *Database) DoTxn(ctx context.Context, opts *dbutil.TxnOptions, fn func(ctx context.Context) error) error {
	var panicked any
	err := d.Database.DoTxn(ctx, opts, func(ctx context.Context) (err error) {
		defer func() {
			if p := recover(); p != nil {
				panicked = p
				err = errPanicked
			}
		}()
		return fn(ctx)
	})
	if panicked != nil {
		panic(panicked)
	}
	return err
}

var errPanicked = errors.New("panic in transaction")

// base is what every store needs.
type base struct {
	db   *dbutil.Database
	now  func() time.Time
	seal Sealer
}

// exec runs a statement and returns how many rows it changed.
func (b base) exec(ctx context.Context, op, query string, args ...any) (int64, error) {
	res, err := b.db.Exec(ctx, query, args...)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", op, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, fmt.Errorf("%s: rows affected: %w", op, err)
	}
	return n, nil
}

// list runs a query and scans every row.
func list[T any](ctx context.Context, b base, op string, scan func(dbutil.Scannable) (T, error), query string, args ...any) ([]T, error) {
	out, err := dbutil.ConvertRowFn[T](scan).NewRowIter(b.db.Query(ctx, query, args...)).AsList()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	return out, nil
}

// one runs a query for at most one row; no row is nil without an error.
func one[T any](ctx context.Context, b base, op string, scan func(dbutil.Scannable) (T, error), query string, args ...any) (*T, error) {
	out, err := scan(b.db.QueryRow(ctx, query, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	return &out, nil
}

// inTxn runs fn in the context's transaction, or in a new one.
func (b base) inTxn(ctx context.Context, fn func(ctx context.Context) error) error {
	return b.db.DoTxn(ctx, nil, fn)
}

// ms is a time as it is stored.
func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// fromMS is the reverse of ms.
func fromMS(v int64) time.Time {
	if v == 0 {
		return time.Time{}
	}
	return time.UnixMilli(v).UTC()
}

// orNow is t, or the clock's time where t is not set.
func (b base) orNow(t time.Time) time.Time {
	if t.IsZero() {
		return b.now()
	}
	return t
}

// blob keeps nil out of NOT NULL columns.
func blob(v []byte) []byte {
	if v == nil {
		return []byte{}
	}
	return v
}

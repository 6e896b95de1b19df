package matrix

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net"

	"github.com/lib/pq"
	"github.com/mattn/go-sqlite3"
	"go.mau.fi/util/dbutil"
	"maunium.net/go/mautrix/bridgev2"
)

// ErrNotStored marks an error after which an event could not be taken into the
// outbox although it should be: the journal keeps the event and tries again.
var ErrNotStored = errors.New("event could not be stored")

// transient reports whether an event was not handled for a reason that lies
// with us and will pass: the database, or the bridge stopping.
func transient(err error) bool {
	if err == nil {
		return false
	}
	for _, target := range []error{
		ErrNotStored, bridgev2.ErrDatabaseError, dbutil.ErrTxn, context.Canceled, context.DeadlineExceeded,
		sql.ErrConnDone, sql.ErrTxDone, driver.ErrBadConn,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	if pgErr := (*pq.Error)(nil); errors.As(err, &pgErr) {
		return true
	}
	if liteErr := (sqlite3.Error{}); errors.As(err, &liteErr) {
		return true
	}
	netErr := (*net.OpError)(nil)
	return errors.As(err, &netErr)
}

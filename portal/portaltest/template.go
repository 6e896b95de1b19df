package portaltest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/rs/zerolog"
	"go.mau.fi/util/dbutil"
	brdb "maunium.net/go/mautrix/bridgev2/database"

	"teamsbridge/database"
	"teamsbridge/portal"
)

// open opens the rig's database.
func (r *Rig) open() (*dbutil.Database, error) {
	path, driver := filepath.Join(r.dir, "bridge.db"), "sqlite3-fk-wal-fullsync"
	if r.Fast {
		driver = "sqlite3-fk-wal"
		if _, err := os.Stat(path); os.IsNotExist(err) {
			image, err := template()
			if err == nil {
				err = os.WriteFile(path, image, 0o600)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return openDatabase(path, driver, queryLog{r.crashHook()})
}

func openDatabase(path, driver string, log dbutil.DatabaseLogger) (*dbutil.Database, error) {
	return dbutil.NewFromConfig("teamsbridge", dbutil.Config{PoolConfig: dbutil.PoolConfig{
		Type: driver, URI: "file:" + path + "?_txlock=immediate&_stmt_cache_size=100", MaxOpenConns: 5, MaxIdleConns: 5,
	}}, log)
}

// template is an empty database with its schema, made once per process.
var template = sync.OnceValues(func() (image []byte, err error) {
	dir, err := os.MkdirTemp("", "portaltest-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "bridge.db")
	raw, err := openDatabase(path, "sqlite3-fk-wal", queryLog{func(string) {}})
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	if err = brdb.New("", portal.MetaTypes(), raw).Upgrade(ctx); err == nil {
		err = database.New(raw, zerolog.Nop(), nil).Upgrade(ctx)
	}
	if closeErr := raw.Close(); err == nil {
		err = closeErr // which leaves everything in the one file
	}
	if err != nil {
		return nil, fmt.Errorf("make the template: %w", err)
	}
	return os.ReadFile(path)
})

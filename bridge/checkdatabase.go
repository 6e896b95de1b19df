package bridge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rs/zerolog"
	"go.mau.fi/util/dbutil"
	mxupgrades "maunium.net/go/mautrix/bridgev2/database/upgrades"

	"teamsbridge/bridge/check"
	"teamsbridge/database"
	"teamsbridge/database/upgrades"
)

// minPostgres is the oldest major version that is tested.
const minPostgres = 13

// checkDatabase opens the database and returns it where its tables can be read,
// and whether there is one at all. It changes nothing in it, and makes no file.
func (c *Connector) checkDatabase(ctx context.Context, seal database.Sealer, area *check.Area) (db *database.Database, exists bool, done func()) {
	cfg := c.main.Config.Database
	nothing := func() {}
	if cfg.Type == "sqlite3" {
		area.Wrong("type", "database.type is sqlite3", "write sqlite3-fk-wal-fullsync")
		return nil, false, nothing
	}
	dialect, err := dbutil.ParseDialect(cfg.Type)
	if err != nil {
		area.Wrong("type", fmt.Sprintf("database.type is %q", cfg.Type), "write postgres, or sqlite3-fk-wal-fullsync")
		return nil, false, nothing
	}
	if dialect == dbutil.SQLite && !c.checkSQLiteFile(area) {
		return nil, false, nothing
	}
	raw, err := dbutil.NewFromConfig(c.main.Name, cfg, dbutil.NoopLogger)
	if err == nil {
		err = raw.RawDB.PingContext(ctx)
	}
	if err != nil {
		area.Wrong("open", fmt.Sprintf("the database can't be opened: %v", withoutURI(err, cfg.URI)), "check database.type and database.uri, that the server runs, and the password")
		return nil, false, nothing
	}
	closeIt := func() { _ = raw.Close() }
	if dialect == dbutil.Postgres {
		checkPostgres(ctx, raw, area)
		checkPool(cfg.PoolConfig, area)
	} else {
		checkSQLite(ctx, raw, area)
	}
	if !area.OK() || !checkVersions(ctx, raw, area) {
		closeIt()
		return nil, area.OK(), nothing
	}
	return database.New(raw, zerolog.Nop(), seal), true, closeIt
}

// withoutURI keeps a password that stands in the address out of a text.
func withoutURI(err error, uri string) string {
	return strings.ReplaceAll(err.Error(), uri, "database.uri")
}

// checkSQLiteFile looks at the file before anything opens it, which would make it.
func (c *Connector) checkSQLiteFile(area *check.Area) (exists bool) {
	cfg := c.main.Config.Database
	path := strings.TrimPrefix(cfg.URI, "file:")
	path, _, _ = strings.Cut(path, "?")
	switch {
	case path == "" || path == ":memory:" || strings.Contains(cfg.URI, "mode=memory"):
		area.Wrong("memory", "the database is in memory: everything would be lost with the process", "name a file in database.uri, or use PostgreSQL")
		return false
	case cfg.Type != "sqlite3-fk-wal-fullsync":
		area.Doubt("sync", fmt.Sprintf("database.type %s does not write every commit to the disk: a power cut may lose what was acknowledged", cfg.Type), "write sqlite3-fk-wal-fullsync")
	}
	dir := filepath.Dir(path)
	probe, err := os.CreateTemp(dir, ".teamsbridge-check-*")
	if err != nil {
		area.Wrong("folder", fmt.Sprintf("the database's folder %s can't be written to: %v", dir, errors.Unwrap(err)), "make the folder, and let the bridge's user write in it")
		return false
	}
	_ = probe.Close()
	_ = os.Remove(probe.Name())
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		area.Right("new", "%s does not exist yet: the first start makes it", path)
		return false
	} else if err != nil {
		area.Wrong("file", fmt.Sprintf("%s can't be written to: %v", path, errors.Unwrap(err)), "let the bridge's user write to it and to the files beside it")
		return false
	}
	_ = file.Close()
	looseMode(path, area)
	return true
}

func checkPostgres(ctx context.Context, db *dbutil.Database, area *check.Area) {
	var number int
	var version, encoding string
	err := db.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_version'), current_setting('server_encoding')`).Scan(&number, &version, &encoding)
	if err != nil {
		area.Wrong("version", fmt.Sprintf("PostgreSQL does not tell its version: %v", err), "check that database.uri names a PostgreSQL server and not a pooler of single statements")
		return
	}
	if number/10000 < minPostgres {
		area.Doubt("version", fmt.Sprintf("PostgreSQL is version %s, which is not tested", version), fmt.Sprintf("use %d or newer", minPostgres))
	}
	if encoding != "UTF8" {
		area.Wrong("encoding", fmt.Sprintf("the database's encoding is %s", encoding), "create the database with ENCODING 'UTF8'")
	}
	var may bool
	if err = db.QueryRow(ctx, `SELECT COALESCE(has_schema_privilege(current_schema(), 'CREATE'), false)`).Scan(&may); err != nil || !may {
		area.Wrong("privileges", "the database's user may not create tables", "make it the owner of the database, or GRANT CREATE ON SCHEMA public TO it")
	}
	var async string
	if err = db.QueryRow(ctx, `SELECT current_setting('synchronous_commit')`).Scan(&async); err == nil && async == "off" {
		area.Doubt("sync", "synchronous_commit is off: a crash of the server may lose what was acknowledged", "set it to on for this user or database")
	}
	if area.OK() {
		area.Right("server", "PostgreSQL %s", version)
	}
}

// checkPool says where connections are closed that are needed again at once.
func checkPool(cfg dbutil.PoolConfig, area *check.Area) {
	if most, kept := cfg.MaxOpenConns, cfg.MaxIdleConns; kept < most {
		area.Doubt("idle", fmt.Sprintf("database.max_idle_conns is %d and max_open_conns %d: connections are opened and closed all the time, and each costs the server a process", kept, most),
			fmt.Sprintf("write max_idle_conns: %d (configurations of earlier versions say 1)", most))
	}
}

func checkSQLite(ctx context.Context, db *dbutil.Database, area *check.Area) {
	var verdict string
	if err := db.QueryRow(ctx, `PRAGMA quick_check(1)`).Scan(&verdict); err != nil {
		area.Wrong("damaged", fmt.Sprintf("the file can't be read as a database: %v", err), "name the right file, or restore it from a backup")
	} else if verdict != "ok" {
		area.Wrong("damaged", "SQLite finds the file damaged: "+verdict, "restore it from a backup")
	} else {
		area.Right("file", "the file is sound")
	}
}

// checkVersions compares the tables' versions with what this program knows.
func checkVersions(ctx context.Context, db *dbutil.Database, area *check.Area) (usable bool) {
	usable = true
	for _, tables := range []struct {
		name, table string
		latest      int
	}{{"the framework's tables", "version", len(mxupgrades.Table)}, {"the bridge's tables", database.VersionTable, len(upgrades.Table())}} {
		exists, err := db.TableExists(ctx, tables.table)
		if err != nil {
			area.Wrong("version", fmt.Sprintf("%s can't be read: %v", tables.name, err), "let the bridge's user read and write all tables")
			return false
		} else if !exists {
			area.Right("new", "%s are made at the first start", tables.name)
			usable = false
			continue
		}
		var version, compatible int
		if err = db.QueryRow(ctx, `SELECT version, COALESCE(compat, 0) FROM `+tables.table).Scan(&version, &compatible); err != nil {
			area.Wrong("version", fmt.Sprintf("the version of %s can't be read: %v", tables.name, err), "restore the database from a backup")
			return false
		}
		if compatible == 0 {
			compatible = version
		}
		switch {
		case compatible > tables.latest:
			area.Wrong("newer", fmt.Sprintf("%s are of a newer version of the program (%d, this one knows %d)", tables.name, version, tables.latest),
				"run that version, or restore the backup from before the upgrade")
			return false
		case version < tables.latest:
			area.Right("upgrade", "%s are of version %d and become %d at the next start; make a backup before", tables.name, version, tables.latest)
			usable = false
		}
	}
	if usable {
		area.Right("version", "the tables are those of this version")
	}
	return usable
}

// checkInstance says whether a bridge works on the database now.
func (c *Connector) checkInstance(ctx context.Context, area *check.Area) (running bool) {
	running, err := database.InUse(ctx, c.main.Config.Database.PoolConfig)
	switch {
	case err != nil:
		area.Doubt("lock", fmt.Sprintf("whether a bridge runs on this database can't be told: %v", err), "let the bridge's user write beside the database")
		return false
	case running:
		area.Right("running", "a bridge is running on this database")
		return true
	}
	area.Right("free", "no bridge is running on this database")
	return false
}

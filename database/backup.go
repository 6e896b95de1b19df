package database

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.mau.fi/util/dbutil"
)

// ErrNotSQLite says that a database has backups of its own.
var ErrNotSQLite = errors.New("only an SQLite database is a file that the bridge can copy")

// Backup writes a copy of the SQLite database to a new file: what was committed
// at one moment, while a bridge works on it. The file is there whole, and on the
// disk, or not at all.
func Backup(ctx context.Context, pool dbutil.PoolConfig, path string) error {
	if dialect, err := dbutil.ParseDialect(pool.Type); err != nil {
		return fmt.Errorf("back up: %w", err)
	} else if dialect != dbutil.SQLite {
		return ErrNotSQLite
	}
	source, err := sqlitePath(pool.URI)
	if err != nil {
		return err
	} else if source == "" {
		return fmt.Errorf("back up: %w", ErrNotSQLite)
	}
	// Opening would make an empty one.
	if _, err = os.Stat(source); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	if _, err = os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("back up: %s is there already", path)
	}
	raw, err := dbutil.NewFromConfig("backup", dbutil.Config{PoolConfig: pool}, dbutil.NoopLogger)
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	defer func() { _ = raw.Close() }()
	// Its own folder keeps others from the copy while that is made.
	temp, err := os.MkdirTemp(filepath.Dir(path), ".backup-*")
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	defer func() { _ = os.RemoveAll(temp) }()
	copied, began := filepath.Join(temp, "copy.db"), time.Now()
	if _, err = raw.RawDB.ExecContext(ctx, `VACUUM INTO $1`, copied); err != nil {
		return fmt.Errorf("copy the database: %w", err)
	}
	if err = markCopy(ctx, copied, began); err != nil {
		return fmt.Errorf("mark the copy: %w", err)
	}
	if err = keep(copied); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	// A link fails where a rename would replace what somebody else has put there.
	if err = os.Link(copied, path); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	return keepFolder(filepath.Dir(path))
}

// markCopy says in a copy that it is one, and when it was begun: what came while it
// was made is not in it. Whoever starts on it has to look first at what has happened
// since. A copy of a version that does not know of that has no place for it.
func markCopy(ctx context.Context, path string, began time.Time) error {
	raw, err := dbutil.NewFromConfig("copy", dbutil.Config{PoolConfig: dbutil.PoolConfig{
		Type: "sqlite3-fk-wal", URI: "file:" + path + "?_txlock=immediate", MaxOpenConns: 1, MaxIdleConns: 1,
	}}, dbutil.NoopLogger)
	if err != nil {
		return err
	}
	exists, err := raw.TableExists(ctx, "teams_restore")
	if err == nil && exists {
		_, err = raw.Exec(ctx, `INSERT INTO teams_restore (since_at, until_at, done_at) VALUES ($1, 0, 0) ON CONFLICT (since_at) DO NOTHING`, began.UnixMilli())
	}
	// The last connection that is closed brings everything into the one file.
	return errors.Join(err, raw.Close())
}

// keep makes a file its owner's alone and writes it to the disk.
func keep(path string) error {
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// keepFolder writes a folder's list of files to the disk.
func keepFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	if err = errors.Join(folder.Sync(), folder.Close()); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	return nil
}

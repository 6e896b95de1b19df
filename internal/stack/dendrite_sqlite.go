package stack

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"

	_ "github.com/mattn/go-sqlite3" // registers the sqlite3 driver
)

// dendriteDatabases are the databases that Dendrite keeps, each a file of its own.
var dendriteDatabases = [...]string{"federationapi", "mediaapi", "roomserver", "keyserver", "relayapi", "mscs", "syncapi", "userapi"}

// makeWAL makes Dendrite's databases, empty and with a write-ahead log, which
// SQLite keeps as a property of the file. Dendrite has no setting for it; with
// the rollback journal it takes two thirds more time for each event.
func makeWAL(dir string) error {
	for _, name := range dendriteDatabases {
		if err := inSQLite(context.Background(), filepath.Join(dir, name+".db"), "PRAGMA journal_mode = WAL"); err != nil {
			return fmt.Errorf("make Dendrite's database %s: %w", name, err)
		}
	}
	return nil
}

// addIndexes gives Dendrite's sync database the indexes whose lack makes it look
// at every event of the server for each page of a room's history: 20 ms with
// 17,000 events, and ten times that at the end of a long crash test. They change
// no answer.
func addIndexes(ctx context.Context, dir string) error {
	err := inSQLite(ctx, filepath.Join(dir, "syncapi.db"),
		"CREATE INDEX IF NOT EXISTS stack_topology ON syncapi_output_room_events_topology(room_id, topological_position, stream_position)",
		"CREATE INDEX IF NOT EXISTS stack_recent ON syncapi_output_room_events(room_id, exclude_from_sync)")
	if err != nil {
		return fmt.Errorf("add indexes to Dendrite's sync database: %w", err)
	}
	return nil
}

func inSQLite(ctx context.Context, path string, statements ...string) error {
	db, err := sql.Open("sqlite3", "file:"+path+"?_busy_timeout=20000")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	for _, statement := range statements {
		if _, err = db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

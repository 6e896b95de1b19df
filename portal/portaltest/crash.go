package portaltest

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"

	"github.com/stretchr/testify/require"
)

var errCrashed = errors.New("the bridge has crashed")

// CrashAfter makes the bridge that is started next crash after so many SQL
// statements, counted from CountFromHere: from then on nothing that it sends
// arrives anywhere, and what its database has committed at that instant is what
// Recover starts from, as after a power cut.
func (r *Rig) CrashAfter(statements int) { r.crashAt.Store(int64(statements)) }

// CrashIn makes the bridge that runs crash after so many more statements.
func (r *Rig) CrashIn(statements int) { r.crashAt.Store(r.statements.Load() + int64(statements)) }

// CountFromHere starts counting statements anew.
func (r *Rig) CountFromHere() { r.statements.Store(0) }

// Statements returns how many statements were counted.
func (r *Rig) Statements() int { return int(r.statements.Load()) }

// Crashed reports whether the bridge has crashed.
func (r *Rig) Crashed() bool { return r.crashed.Load() }

// Crashing reports whether the bridge has crashed or is just about to.
func (r *Rig) Crashing() bool { return r.dead.Load() }

// Recover starts a bridge from the crashed one's files, or restarts one that
// has not crashed.
func (r *Rig) Recover() {
	r.t.Helper()
	r.Halt()
	r.Start()
}

// Halt is the first half of Recover: the bridge is gone, its files are what
// the crash has left, if there was one.
func (r *Rig) Halt() {
	r.t.Helper()
	r.crashAt.Store(0)
	if r.Crashing() {
		r.Eventually(r.Crashed)
	}
	r.Stop()
	if r.Crashed() {
		r.dir = r.image
	}
}

// crashHook returns the function that is told about every statement.
func (r *Rig) crashHook() func(query string) {
	dead, crashed, statements, at, queries, dir, torn := r.dead, r.crashed, r.statements, r.crashAt, r.Queries, r.dir, r.Torn
	image := filepath.Join(r.t.TempDir(), "image")
	r.image = image
	return func(query string) {
		if queries != nil {
			queries(query)
		}
		// Some of the framework's statements come while it stops.
		if n, limit := statements.Add(1), at.Load(); limit == 0 || n < limit || !dead.CompareAndSwap(false, true) {
			return
		}
		require.NoError(r.t, os.MkdirAll(image, 0o700))
		if torn != nil {
			r.tear(dir, image, torn)
		} else {
			r.snapshot(dir, image)
		}
		crashed.Store(true)
		if r.OnCrash != nil {
			r.OnCrash()
		}
	}
}

// snapshot takes what is committed. Copying the files would tear them, because
// others write meanwhile.
func (r *Rig) snapshot(dir, image string) {
	db, err := sql.Open("sqlite3-fk-wal-fullsync", "file:"+filepath.Join(dir, "bridge.db"))
	require.NoError(r.t, err)
	defer db.Close()
	_, err = db.Exec("VACUUM INTO ?", filepath.Join(image, "bridge.db"))
	require.NoError(r.t, err)
}

// tear takes the files as they are, with the log's end as torn makes it. While
// somebody reads, the log is not begun anew, so whatever goes into the database
// meanwhile is in the copy of the log too.
func (r *Rig) tear(dir, image string, torn func(log []byte) []byte) {
	ctx := context.Background()
	db, err := sql.Open("sqlite3-fk-wal-fullsync", "file:"+filepath.Join(dir, "bridge.db"))
	require.NoError(r.t, err)
	defer db.Close()
	reader, err := db.Conn(ctx)
	require.NoError(r.t, err)
	defer reader.Close()
	_, err = reader.ExecContext(ctx, "BEGIN")
	require.NoError(r.t, err)
	var n int
	require.NoError(r.t, reader.QueryRowContext(ctx, "SELECT COUNT(*) FROM sqlite_schema").Scan(&n))
	main, err := os.ReadFile(filepath.Join(dir, "bridge.db"))
	require.NoError(r.t, err)
	log, err := os.ReadFile(filepath.Join(dir, "bridge.db-wal"))
	require.NoError(r.t, err)
	require.NoError(r.t, os.WriteFile(filepath.Join(image, "bridge.db"), main, 0o600))
	require.NoError(r.t, os.WriteFile(filepath.Join(image, "bridge.db-wal"), torn(log), 0o600))
}

package portaltest

import (
	"database/sql"
	"os"
	"path/filepath"

	"github.com/stretchr/testify/require"
)

// CrashAfter makes the bridge that is started next crash after so many SQL
// statements, counted from CountFromHere: from then on nothing that it sends
// arrives anywhere, and what its database has committed at that instant is what
// Recover starts from, as after a power cut.
func (r *Rig) CrashAfter(statements int) { r.crashAt = int64(statements) }

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
	r.crashAt = 0
	if r.Crashing() {
		r.Eventually(r.Crashed)
	}
	r.Stop()
	if r.Crashed() {
		r.dir = r.image
	}
	r.Start()
}

// crashHook returns the function that is told about every statement.
func (r *Rig) crashHook() func(query string) {
	dead, crashed, statements, at, queries, dir := r.dead, r.crashed, r.statements, r.crashAt, r.Queries, r.dir
	image := filepath.Join(r.t.TempDir(), "image")
	r.image = image
	return func(query string) {
		if queries != nil {
			queries(query)
		}
		if n := statements.Add(1); at == 0 || n != at || dead.Load() {
			return
		}
		dead.Store(true)
		require.NoError(r.t, os.MkdirAll(image, 0o700))
		// A snapshot of what is committed. Copying the files would tear them,
		// because others write meanwhile.
		db, err := sql.Open("sqlite3-fk-wal-fullsync", "file:"+filepath.Join(dir, "bridge.db"))
		require.NoError(r.t, err)
		defer db.Close()
		_, err = db.Exec("VACUUM INTO ?", filepath.Join(image, "bridge.db"))
		require.NoError(r.t, err)
		crashed.Store(true)
	}
}

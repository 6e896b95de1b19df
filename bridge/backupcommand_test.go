package bridge

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/bridgev2/matrix/mxmain"
)

// `backup` copies the database of the configuration, and says what else to do
// where it can't.
func TestBackupSubcommand(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yaml")
	run := func(args ...string) (int, string) {
		var out bytes.Buffer
		c := New(Graph{})
		c.main = &mxmain.BridgeMain{}
		code := runBackup(c, append([]string{"-c", config}, args...), &out, &out)
		return code, out.String()
	}
	write := func(kind, uri string) {
		require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, "database:\n    type: %s\n    uri: %s\n", kind, uri), 0o600))
	}
	copied := filepath.Join(dir, "copy.db")
	write("sqlite3-fk-wal-fullsync", "file:"+filepath.Join(dir, "bridge.db")+"?_txlock=immediate")
	code, said := run(copied)
	require.Equal(t, 1, code)
	require.Contains(t, said, "There is no backup")
	require.NoFileExists(t, copied)
	require.NoFileExists(t, filepath.Join(dir, "bridge.db"), "a mistake makes no database")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bridge.db"), nil, 0o600))
	code, said = run(copied)
	require.Equal(t, 0, code, said)
	require.FileExists(t, copied)
	code, _ = run()
	require.Equal(t, exitUsage, code)
	code, _ = run(copied, copied)
	require.Equal(t, exitUsage, code)
	code, said = run("-h")
	require.Equal(t, 0, code)
	require.Contains(t, said, "pg_dump")
	write("postgres", "postgres://teamsbridge:hush@db.test/teamsbridge")
	code, said = run(filepath.Join(dir, "other.db"))
	require.Equal(t, 1, code)
	require.Contains(t, said, "pg_dump")
	require.NotContains(t, said, "hush")
}

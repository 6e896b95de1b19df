package stack

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What somebody else started is started again: the same program, arguments,
// folder and environment.
func TestStartedAgain(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("/proc is Linux's")
	}
	dir := t.TempDir()
	script := `echo "$0 $1 in $(pwd) with $TEST_VALUE"; exec sleep 60`
	first, err := startProcess("the first", filepath.Join(dir, "first.log"), processOptions{
		program: "/bin/sh", args: []string{"-c", script, "one", "two"}, dir: dir, env: append(os.Environ(), "TEST_VALUE=a b"),
	})
	require.NoError(t, err)
	said := func(log, want string) {
		require.NoError(t, Eventually(t.Context(), 10*time.Second, func(context.Context) error {
			text, err := os.ReadFile(filepath.Join(dir, log))
			if err == nil && !strings.Contains(string(text), want) {
				err = os.ErrNotExist
			}
			return err
		}))
	}
	said("first.log", "one two in "+dir+" with a b")
	// The shell has become sleep by now, or will in a moment: take it before or after, both are commands.
	c, err := commandOf(first.cmd.Process.Pid)
	require.NoError(t, err)
	require.Equal(t, "/", c.root)
	require.Equal(t, dir, c.dir)
	require.Contains(t, c.env, "TEST_VALUE=a b")
	first.stop(5 * time.Second)

	c.program, c.args = "/bin/sh", []string{"sh", "-c", script, "one", "two"}
	again, err := c.start("the second", filepath.Join(dir, "again.log"))
	require.NoError(t, err)
	said("again.log", "one two in "+dir+" with a b")
	again.stop(5 * time.Second)
	_, err = commandOf(1 << 30)
	require.Error(t, err)
}

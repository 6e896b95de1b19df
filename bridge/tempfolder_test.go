//go:build unix && !solaris && !aix

package bridge

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// tempHolder names the folder in which the test's own program, started again,
// makes a folder with a file and lives until it is killed.
const tempHolder = "TEAMSBRIDGE_TEST_TEMP_HOLDER"

func TestTempFolderHolder(t *testing.T) {
	base := os.Getenv(tempHolder)
	if base == "" {
		t.Skip("is started by TestTempFilesOfAKilledBridgeAreRemoved")
	}
	f, err := newTempFolder(base)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(f.path, "mautrix-upload-1"), []byte("x"), 0o600))
	fmt.Println("ready")
	select {}
}

// holder starts a process that has a folder with a file below base.
func holder(t *testing.T, base string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestTempFolderHolder$", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), tempHolder+"="+base)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	require.Equal(t, "ready", lines.Text())
	return cmd
}

func tempFiles(t *testing.T, base string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(base, tempPrefix+"*", "*"))
	require.NoError(t, err)
	return files
}

// What a killed bridge has left goes at the next start; another one that lives
// on the same machine loses nothing, nor does anybody else.
func TestTempFilesOfAKilledBridgeAreRemoved(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	killed := holder(t, base)
	holder(t, base)
	require.Len(t, tempFiles(t, base), 2)
	other := filepath.Join(base, "mautrix-upload-of-somebody")
	target := t.TempDir()
	require.NoError(t, os.WriteFile(other, nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(base, tempPrefix+"file"), nil, 0o600))
	require.NoError(t, os.Symlink(target, filepath.Join(base, tempPrefix+"link")))

	require.NoError(t, killed.Process.Kill())
	_ = killed.Wait()
	f, err := newTempFolder(base)
	require.NoError(t, err)
	require.Len(t, tempFiles(t, base), 1, "the killed one's is gone, the other one's is there")
	require.FileExists(t, other)
	require.FileExists(t, filepath.Join(base, tempPrefix+"file"))
	require.DirExists(t, target)
	info, err := os.Stat(f.path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())

	require.NoError(t, os.WriteFile(filepath.Join(f.path, "a"), nil, 0o600))
	f.remove()
	require.NoDirExists(t, f.path)
	require.Len(t, tempFiles(t, base), 1)
	f.remove()
	require.NoError(t, f.keep(time.Now()), "it does not come back")
	require.NoDirExists(t, f.path)
}

// Many processes that start at once and clear up take nothing from each other.
func TestTempFoldersAtOnce(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	made := make(chan *tempFolder)
	for range 20 {
		go func() {
			f, err := newTempFolder(base)
			if err != nil {
				t.Error(err)
			}
			made <- f
		}()
	}
	for range 20 {
		if f := <-made; f != nil {
			require.DirExists(t, f.path)
			defer f.remove()
		}
	}
	removeLeftFolders(base)
	dirs, err := os.ReadDir(base)
	require.NoError(t, err)
	require.Len(t, dirs, 20)
}

// A folder that somebody has cleared up is made anew, and is nobody else's.
func TestTempFolderIsKept(t *testing.T) {
	t.Parallel()
	f, err := newTempFolder(t.TempDir())
	require.NoError(t, err)
	defer f.remove()
	now := time.Now().Add(time.Hour).Truncate(time.Second)
	require.NoError(t, f.keep(now))
	info, err := os.Stat(f.path)
	require.NoError(t, err)
	require.True(t, info.ModTime().Equal(now))
	require.NoError(t, os.RemoveAll(f.path))
	require.NoError(t, f.keep(now))
	require.DirExists(t, f.path)
	_, err = lockFolder(f.path)
	require.ErrorIs(t, err, errFolderTaken)
	require.NoError(t, (*tempFolder)(nil).keep(now))
	(*tempFolder)(nil).remove()
}

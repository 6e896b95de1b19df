package bridge

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// tempPrefix is what the folders for temporary files begin with.
const tempPrefix = "teamsbridge-tmp-"

var (
	// errFolderTaken says that a folder is another process's, or is gone.
	errFolderTaken = errors.New("the folder is another process's or gone")
	// errNoFolderLocks is the answer of systems without flock.
	errNoFolderLocks = errors.New("this system can't lock folders")
)

// tempFolder is a folder for this process's temporary files, of which the
// framework makes one for each file on its way. Files that a process which was
// killed has left can't be told from those of another bridge on the machine; a
// folder can, because whoever lives has its own locked, and the system gives the
// lock back however a process ends.
type tempFolder struct {
	path string

	mu   sync.Mutex
	lock *os.File
}

// newTempFolder removes what killed processes have left below base, and makes a
// folder there for this one.
func newTempFolder(base string) (*tempFolder, error) {
	base, err := filepath.Abs(base)
	if err != nil {
		return nil, fmt.Errorf("folder for temporary files: %w", err)
	}
	removeLeftFolders(base)
	for range 100 {
		path, err := os.MkdirTemp(base, tempPrefix)
		if err != nil {
			return nil, fmt.Errorf("folder for temporary files: %w", err)
		}
		lock, err := lockFolder(path)
		if errors.Is(err, errFolderTaken) {
			continue // another process clears up, and took it for one that was left
		} else if err != nil {
			_ = os.Remove(path)
			return nil, fmt.Errorf("folder for temporary files: %w", err)
		}
		return &tempFolder{path: path, lock: lock}, nil
	}
	return nil, fmt.Errorf("folder for temporary files: %w", errFolderTaken)
}

// removeLeftFolders removes the folders that no living process has. What can't
// be removed stays for the next start.
func removeLeftFolders(base string) {
	left, _ := filepath.Glob(filepath.Join(base, tempPrefix+"*"))
	for _, path := range left {
		lock, err := lockFolder(path)
		if err != nil {
			continue
		}
		_ = os.RemoveAll(path)
		_ = lock.Close()
	}
}

// keep shows those who clear up folders by age that this one is in use, and
// makes it anew where they did not see it.
func (f *tempFolder) keep(now time.Time) error {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lock == nil {
		return nil
	}
	err := os.Chtimes(f.path, now, now)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err = os.Mkdir(f.path, 0o700); err != nil {
		return fmt.Errorf("folder for temporary files: %w", err)
	}
	lock, err := lockFolder(f.path)
	if err != nil {
		return fmt.Errorf("folder for temporary files: %w", err)
	}
	_ = f.lock.Close()
	f.lock = lock
	return nil
}

// remove is the folder's end.
func (f *tempFolder) remove() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lock != nil {
		_ = os.RemoveAll(f.path)
		_ = f.lock.Close()
		f.lock = nil
	}
}

// ownTempFiles makes this process's temporary files go into a folder of its own.
// The framework takes no other advice about that than the environment's.
func (c *Connector) ownTempFiles() {
	log := c.br.Log.With().Str("component", "instance").Logger()
	folder, err := newTempFolder(os.TempDir())
	if errors.Is(err, errNoFolderLocks) {
		return
	} else if err == nil {
		err = os.Setenv("TMPDIR", folder.path)
	}
	if err != nil {
		log.Warn().Err(err).Msg("Temporary files will stay where the bridge is killed")
		return
	}
	c.temp = folder
}

//go:build unix && !solaris && !aix

package bridge

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockFolder locks a folder until the file is closed, or the process ends.
func lockFolder(path string) (*os.File, error) {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() {
		return nil, errFolderTaken
	}
	dir, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errFolderTaken
	} else if err != nil {
		return nil, err
	}
	if err = syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = dir.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errFolderTaken
		}
		return nil, fmt.Errorf("lock folder: %w", err)
	}
	// Whoever had it before may have removed it.
	have, err := dir.Stat()
	named, nameErr := os.Lstat(path)
	if err != nil || nameErr != nil || !os.SameFile(have, named) {
		_ = dir.Close()
		return nil, errFolderTaken
	}
	return dir, nil
}

//go:build unix && !solaris && !aix

package database

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// fileWatch is how often the holder looks whether the lock's file still is the
// one that it has locked.
const fileWatch = time.Second

// lockFile locks a file, which stays when the lock is given back: a file that
// is removed could be locked twice, once by its name and once by who has it open.
func lockFile(path string) (*Lock, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the database's lock: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		err = isAt(file, path)
	}
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK), errors.Is(err, errReplaced):
		_ = file.Close()
		return nil, ErrLocked
	case err != nil:
		_ = file.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	stop := make(chan struct{})
	var over atomic.Bool
	l := newLock(func() bool { return !over.Load() }, sync.OnceValue(func() error {
		over.Store(true)
		close(stop)
		return file.Close()
	}))
	go func() {
		ticker := time.NewTicker(fileWatch)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
			}
			if err := isAt(file, path); errors.Is(err, errReplaced) {
				over.Store(true)
				l.lost <- err
				return
			}
		}
	}()
	return l, nil
}

var errReplaced = errors.New("the lock's file was removed or replaced")

// isAt checks that the open file is the one that the path leads to: with
// another one there, another process can have a lock of its own.
func isAt(file *os.File, path string) error {
	have, err := file.Stat()
	if err != nil {
		return fmt.Errorf("look at the database's lock: %w", err)
	}
	named, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && !os.SameFile(have, named) {
		return fmt.Errorf("%w: %s", errReplaced, path)
	} else if err != nil {
		return fmt.Errorf("look at the database's lock: %w", err)
	}
	return nil
}

package database

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"
)

// LockSuffix is what the lock's file is called after the database file. It is
// a file of its own, because SQLite's locks on the database are the process's,
// and closing the file a second time would drop them.
const LockSuffix = ".lock"

// sqlitePath returns the file that a connection string names, as one name for
// one file whatever links lead to it; it is empty for a database in memory.
func sqlitePath(uri string) (string, error) {
	path, query, _ := strings.Cut(uri, "?")
	if rest, ok := strings.CutPrefix(path, "file:"); ok {
		rest, _, _ = strings.Cut(rest, "#")
		if authority, ok := strings.CutPrefix(rest, "//"); ok {
			_, rest, _ = strings.Cut(authority, "/")
			rest = "/" + rest
		}
		var err error
		if path, err = url.PathUnescape(rest); err != nil {
			return "", fmt.Errorf("database URI: %w", err)
		}
		params, err := url.ParseQuery(query)
		if err != nil {
			return "", fmt.Errorf("database URI: %w", err)
		}
		if params.Get("mode") == "memory" {
			return "", nil
		}
	}
	if path == "" || path == ":memory:" {
		return "", nil
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("path of the database: %w", err)
	}
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) { // the file is made at the first start
		var dir string
		dir, err = filepath.EvalSymlinks(filepath.Dir(path))
		real = filepath.Join(dir, filepath.Base(path))
	}
	if err != nil {
		return "", fmt.Errorf("path of the database: %w", err)
	}
	return real, nil
}

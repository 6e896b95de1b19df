//go:build !unix || solaris || aix

package bridge

import "os"

// lockFolder locks nothing: without flock nobody can tell whose a folder is.
func lockFolder(string) (*os.File, error) { return nil, errNoFolderLocks }

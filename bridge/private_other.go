//go:build !unix

package bridge

// keepFilesPrivate does nothing where there is no umask: the folder's own rights
// decide there.
func keepFilesPrivate() {}

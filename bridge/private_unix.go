//go:build unix

package bridge

import "syscall"

// keepFilesPrivate lets nobody else on the machine read the files that the bridge
// makes: SQLite's are made with what the umask allows, and hold what people wrote.
func keepFilesPrivate() { syscall.Umask(0o077) }

package database

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootTime is the time since the machine was started. Other than Go's own
// monotonic clock it goes on while the machine sleeps, as the others' clocks do.
func bootTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return time.Since(processStart)
	}
	return time.Duration(t.Nano())
}

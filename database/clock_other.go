//go:build !linux

package database

import "time"

// bootTime is the time since the process began. Where the machine sleeps, it may
// stand still; what is written afterwards meets the fence.
func bootTime() time.Duration { return time.Since(processStart) }

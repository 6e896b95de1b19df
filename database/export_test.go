package database

import (
	"time"

	"go.mau.fi/util/dbutil"
)

// ShortLease makes a contender's lease 3 seconds long, by the clock.
func ShortLease(c *Contender, now func() time.Duration) *Contender {
	c.lease.now = now
	c.lease.times = leaseTimes{length: 3 * time.Second, margin: 500 * time.Millisecond, every: 200 * time.Millisecond, retry: 50 * time.Millisecond, timeout: time.Second, patience: 10 * time.Second}
	return c
}

// BootTime is the clock.
var BootTime = bootTime

// FencedPostgres is the configuration of a pool behind the fence.
func FencedPostgres(uri string) dbutil.PoolConfig {
	return Fenced(dbutil.PoolConfig{Type: "postgres", URI: uri})
}

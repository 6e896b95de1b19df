package teams

import (
	"context"
	"math/rand/v2"
	"time"
)

// retryWait returns the wait after the attempt-th failure (from 0): doubling
// from first up to last, shortened by up to a fifth at random so that many
// that failed together don't come back together.
func retryWait(attempt int, first, last time.Duration) time.Duration {
	wait := last
	if attempt < 32 {
		if d := first << attempt; d > 0 && d < last {
			wait = d
		}
	}
	return wait - time.Duration(rand.Int64N(int64(wait)/5+1))
}

// waitFor waits for the time to pass, negative meaning for ever, or for wake.
// It returns false when ctx has ended.
func waitFor(ctx context.Context, wait time.Duration, wake <-chan struct{}) bool {
	var after <-chan time.Time
	if wait >= 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		after = timer.C
	}
	select {
	case <-ctx.Done():
		return false
	case <-after:
	case <-wake:
	}
	return ctx.Err() == nil
}

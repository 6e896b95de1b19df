package teamstest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		c := NewClock(start)
		time.Sleep(time.Second)
		require.Equal(t, start.Add(time.Second), c.Now())
		c.Advance(time.Hour)
		require.Equal(t, start.Add(time.Hour+time.Second), c.Now())
		c.Freeze()
		time.Sleep(time.Second)
		require.Equal(t, start.Add(time.Hour+time.Second), c.Now())
		c.Resume()
		c.Resume()
		time.Sleep(time.Second)
		require.Equal(t, start.Add(time.Hour+2*time.Second), c.Now())
	})
}

func TestClockWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClock(time.Time{})
		before := time.Now()
		require.NoError(t, c.Wait(t.Context(), time.Minute))
		require.Equal(t, time.Minute, time.Since(before), "it runs with the real clock")

		done := make(chan error, 1)
		go func() { done <- c.Wait(t.Context(), 12*time.Hour) }()
		synctest.Wait()
		c.Advance(12 * time.Hour)
		require.NoError(t, <-done)
		require.Equal(t, time.Minute, time.Since(before), "moving it takes no time")

		c.Freeze()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.ErrorIs(t, c.Wait(ctx, time.Second), context.DeadlineExceeded, "a frozen clock does not run")
	})
}

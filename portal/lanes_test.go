package portal

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Proves M5 and T5.
func TestLanes(t *testing.T) {
	t.Run("a long backlog does not keep the others waiting", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var order []string
			left := map[string]int{"long": 100, "short": 1}
			l := newLanes(1, time.Now, func(_ context.Context, key string) time.Time {
				time.Sleep(time.Second) // the slot is held; both lanes want it
				mu.Lock()
				defer mu.Unlock()
				order = append(order, key)
				if left[key]--; left[key] == 0 {
					return time.Time{}
				}
				return giveWay
			})
			ctx, cancel := context.WithCancel(t.Context())
			l.start(ctx)
			l.wake("long")
			synctest.Wait()
			l.wake("short")
			time.Sleep(200 * time.Second)
			mu.Lock()
			defer mu.Unlock()
			require.Contains(t, order[:3], "short", "it had to wait for one row and not for a hundred")
			require.Len(t, order, 101)
			cancel()
			l.stop()
		})
	})
	t.Run("one stuck key holds up no other", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			done := map[string]int{}
			l := newLanes(4, time.Now, func(ctx context.Context, key string) time.Time {
				if key == "stuck" {
					<-ctx.Done()
					return time.Time{}
				}
				mu.Lock()
				defer mu.Unlock()
				done[key]++
				return time.Time{}
			})
			ctx, cancel := context.WithCancel(t.Context())
			l.start(ctx)
			l.wake("stuck")
			l.wake("a")
			l.wake("b")
			synctest.Wait()
			mu.Lock()
			require.Equal(t, map[string]int{"a": 1, "b": 1}, done)
			mu.Unlock()
			require.Equal(t, 1, l.busy(), "a lane without work is gone")
			cancel()
			l.stop()
			require.Zero(t, l.busy())
			l.wake("a")
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			require.Equal(t, 1, done["a"], "nothing runs after stop")
		})
	})
	t.Run("a wake during the work is not lost", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var n atomic.Int32
			gate := make(chan struct{})
			l := newLanes(1, time.Now, func(context.Context, string) time.Time {
				n.Add(1)
				<-gate
				return time.Time{}
			})
			ctx, cancel := context.WithCancel(t.Context())
			l.start(ctx)
			l.wake("a")
			synctest.Wait()
			l.wake("a")
			l.wake("a")
			close(gate)
			synctest.Wait()
			require.EqualValues(t, 2, n.Load())
			cancel()
			l.stop()
		})
	})
	t.Run("looks again at the time that the work names, or when woken", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var at []time.Duration
			began := time.Now()
			l := newLanes(1, time.Now, func(context.Context, string) time.Time {
				mu.Lock()
				defer mu.Unlock()
				at = append(at, time.Since(began))
				if len(at) < 3 {
					return time.Now().Add(time.Hour)
				}
				return time.Time{}
			})
			ctx, cancel := context.WithCancel(t.Context())
			l.start(ctx)
			l.wakeAfter("a", time.Minute)
			time.Sleep(2 * time.Minute)
			l.wake("a")
			time.Sleep(2 * time.Hour)
			mu.Lock()
			defer mu.Unlock()
			require.Equal(t, []time.Duration{time.Minute, 2 * time.Minute, time.Hour + 2*time.Minute}, at)
			require.Zero(t, l.busy())
			cancel()
			l.stop()
		})
	})
	t.Run("no more than the limit at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var now, most atomic.Int32
			l := newLanes(3, time.Now, func(context.Context, string) time.Time {
				most.Store(max(most.Load(), now.Add(1)))
				time.Sleep(time.Second)
				now.Add(-1)
				return time.Time{}
			})
			ctx, cancel := context.WithCancel(t.Context())
			l.start(ctx)
			for i := range 20 {
				l.wake(string(rune('a' + i)))
			}
			time.Sleep(time.Minute)
			require.EqualValues(t, 3, most.Load())
			cancel()
			l.stop()
		})
	})
}

func TestBackoff(t *testing.T) {
	var got []time.Duration
	for i := range 6 {
		got = append(got, backoff(i, time.Second, 10*time.Second))
	}
	require.Equal(t, []time.Duration{1e9, 2e9, 4e9, 8e9, 10e9, 10e9}, got)
	require.Equal(t, 10*time.Second, backoff(1000, time.Second, 10*time.Second))
}

package bridge

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/teams"
)

// Proves S4.
func TestHealthAnnouncesAnOutageOnceAndItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		var began, ended, probes atomic.Int32
		h := newHealth(func(context.Context) error {
			probes.Add(1)
			if broken.Load() {
				return &teams.Error{Op: "GET organization", Kind: teams.KindUnavailable}
			}
			return nil
		}, time.Now)
		h.down = func(context.Context, outage) { began.Add(1) }
		h.up = func(_ context.Context, o outage) {
			ended.Add(1)
			require.GreaterOrEqual(t, o.Ended.Sub(o.Began), 12*time.Hour)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			require.ErrorIs(t, h.run(ctx), context.Canceled)
		}()
		synctest.Wait()
		require.EqualValues(t, 1, probes.Load(), "asked once at start")
		time.Sleep(time.Hour)
		require.EqualValues(t, 1, probes.Load(), "and never again without a reason")
		down, known, _ := h.state()
		require.False(t, down)
		require.True(t, known)

		broken.Store(true)
		h.GraphRequest("GET messages", 503, time.Second)
		time.Sleep(12*time.Hour + time.Minute)
		down, _, outages := h.state()
		require.True(t, down)
		require.Len(t, outages, 1)
		require.EqualValues(t, 1, began.Load())

		broken.Store(false)
		time.Sleep(probeMax + time.Second)
		down, _, outages = h.state()
		require.False(t, down)
		require.False(t, outages[0].Ended.IsZero())
		require.EqualValues(t, 1, ended.Load())
		cancel()
		<-done
	})
}

func TestOneFailedRequestIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHealth(func(context.Context) error { return nil }, time.Now)
		h.down = func(context.Context, outage) { t.Error("announced an outage that was none") }
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = h.run(ctx) }()
		synctest.Wait()
		h.GraphRequest("GET messages", 0, time.Second)
		h.report(&teams.Error{Kind: teams.KindPermission})
		time.Sleep(time.Hour)
		cancel()
		synctest.Wait()
	})
}

func TestServicesStartAgainAndStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServices(t.Context())
		var starts, panics atomic.Int32
		s.start("fails", func(context.Context) error {
			starts.Add(1)
			return errors.New("broken")
		})
		s.start("panics", func(context.Context) error {
			panics.Add(1)
			panic("ouch")
		})
		s.start("runs", func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		time.Sleep(10 * time.Second)
		require.Greater(t, starts.Load(), int32(2))
		require.Greater(t, panics.Load(), int32(2))
		require.True(t, s.stop(time.Second))
		require.True(t, s.stop(time.Second), "stopping twice does no harm")
	})
}

package bridge

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// The wait before a service that ended with an error is started again.
const (
	restartMin = time.Second
	restartMax = time.Minute
)

// services runs the background loops of the bridge. All of them stop when its
// context ends; one that fails or panics is started again, so that no loop is
// ever missing without being seen in the log.
type services struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func newServices(ctx context.Context) *services {
	s := &services{}
	s.ctx, s.cancel = context.WithCancel(ctx)
	return s
}

// start runs a loop under a name.
func (s *services) start(name string, loop func(ctx context.Context) error) {
	log := zerolog.Ctx(s.ctx).With().Str("service", name).Logger()
	ctx := log.WithContext(s.ctx)
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		wait := restartMin
		for {
			began := time.Now()
			err := guarded(ctx, loop)
			if ctx.Err() != nil || err == nil {
				return
			}
			if time.Since(began) > restartMax {
				wait = restartMin
			}
			log.Err(err).Stringer("restart_in", wait).Msg("Service failed")
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-timer.C:
			}
			wait = min(2*wait, restartMax)
		}
	}()
}

// guarded turns a panic into an error.
func guarded(ctx context.Context, loop func(ctx context.Context) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			zerolog.Ctx(ctx).Error().Bytes(zerolog.ErrorStackFieldName, debug.Stack()).Msg("Service panicked")
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return loop(ctx)
}

// stop ends all loops and waits for them, at most for the given time.
func (s *services) stop(timeout time.Duration) bool {
	s.cancel()
	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-time.After(timeout):
		return false
	}
}

// every calls fn now and at each interval.
func every(interval time.Duration, fn func(ctx context.Context) error) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			if err := fn(ctx); err != nil && ctx.Err() == nil {
				zerolog.Ctx(ctx).Warn().Err(err).Msg("Periodic work failed")
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-ticker.C:
			}
		}
	}
}

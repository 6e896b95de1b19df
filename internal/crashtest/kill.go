package crashtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// stuck is how long something that waits for arrivals waits when none come.
const stuck = 15 * time.Second

// await waits until that many more messages have arrived, or none do any more.
func (r *run) await(ctx context.Context, more int) error {
	target, last, since := r.book.progress()+more, -1, time.Now()
	for {
		now := r.book.progress()
		if now >= target {
			return nil
		}
		if now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) > stuck {
			return nil
		}
		if err := r.pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

func (r *run) pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// killing kills the bridge again and again.
func (r *run) killing(ctx context.Context, rng *rand.Rand) error {
	between := 2 * r.o.Messages * 9 / 10 / max(1, r.o.Kills)
	for r.report.Kills < r.o.Kills {
		if err := r.await(ctx, 1+rng.IntN(max(1, 2*between))); err != nil {
			return err
		}
		if err := r.killOnce(ctx, rng); err != nil {
			return err
		}
	}
	return nil
}

// killOnce kills the bridge and starts it again; now and then it is killed once
// more while it starts.
func (r *run) killOnce(ctx context.Context, rng *rand.Rand) error {
	r.calm.Lock()
	defer r.calm.Unlock()
	for {
		r.stack.Bridge.Kill()
		r.report.Kills++
		r.out.detail("killed the bridge (%d)", r.report.Kills)
		if err := r.pause(ctx, time.Duration(rng.IntN(1200))*time.Millisecond); err != nil {
			return err
		}
		again := rng.IntN(5) == 0 && r.report.Kills < r.o.Kills
		instant := time.Duration(rng.IntN(1000)) * time.Millisecond
		if !again {
			return r.startBridge(ctx)
		}
		if err := r.stack.Bridge.Start(); err != nil {
			return err
		}
		if err := r.pause(ctx, instant); err != nil {
			return err
		}
	}
}

// startBridge starts the bridge and waits until it is ready, as a service
// manager does that starts it again when it ends. r.calm is held.
func (r *run) startBridge(ctx context.Context) error {
	var err error
	for range 60 {
		if err = r.stack.Bridge.Start(); err != nil {
			return err
		}
		if err = r.stack.Bridge.WaitReady(ctx); err == nil {
			return nil
		}
		if ended, how := r.stack.Bridge.Exited(); !ended {
			return err
		} else {
			r.report.Ended++
			r.out.detail("the bridge ended while it started: %v", how)
		}
		if err := r.pause(ctx, time.Second); err != nil {
			return err
		}
	}
	return fmt.Errorf("the bridge does not start: %w", err)
}

// restartBridge restarts the bridge as an operator does, with changed settings.
func (r *run) restartBridge(ctx context.Context, settings map[string]any) error {
	r.calm.Lock()
	defer r.calm.Unlock()
	began := time.Now()
	r.stack.Bridge.Stop()
	if took := time.Since(began); took > 20*time.Second {
		r.out.line("the bridge took %s to stop", took.Round(time.Second))
	}
	r.report.Restarts++
	if err := r.stack.Bridge.Configure(settings); err != nil {
		return err
	}
	return r.startBridge(ctx)
}

// supervise starts a bridge again that has ended by itself.
func (r *run) supervise(ctx context.Context) error {
	for r.pause(ctx, 300*time.Millisecond) == nil {
		if !r.calm.TryLock() {
			continue
		}
		err := func() error {
			defer r.calm.Unlock()
			ended, how := r.stack.Bridge.Exited()
			if !ended || ctx.Err() != nil {
				return nil
			}
			r.report.Ended++
			r.out.line("the bridge has ended by itself: %v", how)
			return r.startBridge(ctx)
		}()
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

package bridge

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"teamsbridge/database"
)

const (
	// exitNoDatabase is the framework's exit code for a database that cannot be opened.
	exitNoDatabase = 14
	// exitLostDatabase is ours: another instance may have the database now.
	exitLostDatabase = 30

	lockRetry  = time.Second
	lockRemind = time.Minute
)

// instance sees to it that one process at a time works on a database.
type instance struct {
	try  func(ctx context.Context) (*database.Lock, error)
	log  zerolog.Logger
	exit func(code int)
}

// alone returns when this process is the only one that works on the database.
// It runs before anything acts: before tables are upgraded, a port is opened or
// the homeserver or Graph hears of us. A signal ends the program meanwhile.
func (c *Connector) alone() {
	pool := c.main.Config.Database.PoolConfig
	i := &instance{
		try:  func(ctx context.Context) (*database.Lock, error) { return database.TryLock(ctx, pool) },
		log:  c.br.Log.With().Str("component", "instance").Logger(),
		exit: os.Exit,
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	lock, err := i.wait(ctx)
	switch {
	case err == nil:
		go i.guard(lock)
	case ctx.Err() != nil:
		i.log.Info().Msg("Stopped while waiting for the database")
		i.exit(0)
	default:
		i.log.WithLevel(zerolog.FatalLevel).Err(err).Msg("Could not lock the database")
		i.exit(exitNoDatabase)
	}
}

// wait takes the lock, and waits as long as another process has it. Anything
// else that is wrong with the first try is an error; later it passes, because
// a server that restarts is what makes the other process give up the lock.
func (i *instance) wait(ctx context.Context) (*database.Lock, error) {
	lock, err := i.try(ctx)
	if err == nil || !errors.Is(err, database.ErrLocked) {
		return lock, err
	}
	i.log.Warn().Msg("Another instance has the database; waiting for it to end")
	retry, remind := time.NewTicker(lockRetry), time.NewTicker(lockRemind)
	defer retry.Stop()
	defer remind.Stop()
	began := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-remind.C:
			i.log.Warn().Err(err).Stringer("waiting", time.Since(began).Round(time.Second)).Msg("Still waiting for the database")
			continue
		case <-retry.C:
		}
		if lock, err = i.try(ctx); err != nil {
			continue
		}
		if err = i.settle(ctx, lock); err == nil {
			i.log.Info().Stringer("waited", time.Since(began).Round(time.Second)).Msg("This instance has the database now")
			return lock, nil
		}
		_ = lock.Close()
	}
}

// settle gives the process before the time to notice that it lost the lock.
func (i *instance) settle(ctx context.Context, lock *database.Lock) error {
	timer := time.NewTimer(lock.Grace())
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-lock.Lost():
		return err
	case <-timer.C:
		return nil
	}
}

// guard ends the program when the lock is lost. At once, as a crash would: what
// a graceful stop still finished, the process that has the database now would
// do a second time, and nothing is lost by a crash.
func (i *instance) guard(lock *database.Lock) {
	err := <-lock.Lost()
	i.log.WithLevel(zerolog.FatalLevel).Err(err).Msg("Lost the lock of the database, another instance may have it; ending at once")
	i.exit(exitLostDatabase)
}

package bridge

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync/atomic"
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

	lockRetry  = 500 * time.Millisecond
	lockRemind = time.Minute
)

// instance sees to it that one process at a time works on a database.
type instance struct {
	try  func(ctx context.Context) (*database.Lock, error)
	log  zerolog.Logger
	exit func(code int)
	// lock is nil until this process may work.
	lock atomic.Pointer[database.Lock]
}

func newInstance(log zerolog.Logger) *instance {
	return &instance{log: log.With().Str("component", "instance").Logger(), exit: os.Exit}
}

// alone returns when this process is the only one that works on the database.
// It runs before anything acts: before tables are upgraded or the homeserver or
// Graph hears of us. Meanwhile whoever calls is told to come back (standby), and
// a signal ends the program.
func (c *Connector) alone() {
	i := c.instance
	contender, err := database.NewContender(c.main.Config.Database.PoolConfig)
	if err != nil {
		i.log.WithLevel(zerolog.FatalLevel).Err(err).Msg("Could not lock the database")
		i.exit(exitNoDatabase)
		return
	}
	i.try = contender.Try
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	desk := newStandby(c.standbyAddresses(), i.log)
	lock, err := i.wait(ctx, desk.open)
	desk.close()
	switch {
	case err == nil:
		i.lock.Store(lock)
		go i.guard(lock)
	case ctx.Err() != nil:
		i.log.Info().Msg("Stopped while waiting for the database")
		i.exit(0)
	default:
		i.log.WithLevel(zerolog.FatalLevel).Err(err).Msg("Could not lock the database")
		i.exit(exitNoDatabase)
	}
}

// wait takes the lock, and waits as long as another process has it, which it
// tells standBy. Anything else that is wrong with the first try is an error;
// later it passes, because a server that restarts may be what makes the other
// process give up the lock.
func (i *instance) wait(ctx context.Context, standBy func()) (*database.Lock, error) {
	lock, err := i.try(ctx)
	if err == nil || !errors.Is(err, database.ErrLocked) {
		return lock, err
	}
	i.log.Warn().Str("holder", holderOf(err)).Msg("Another instance has the database; waiting for it to end")
	standBy()
	remind := time.NewTicker(lockRemind)
	defer remind.Stop()
	began := time.Now()
	retry := time.NewTimer(again(err))
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-remind.C:
			i.log.Warn().Err(err).Stringer("waiting", time.Since(began).Round(time.Second)).Msg("Still waiting for the database")
			continue
		case <-retry.C:
		}
		if lock, err = i.try(ctx); err == nil {
			i.log.Info().Stringer("waited", time.Since(began).Round(time.Second)).Msg("This instance has the database now")
			return lock, nil
		}
		retry.Reset(again(err))
	}
}

// again is when to try again: soon, and at the moment at which it may be free.
func again(err error) time.Duration {
	if locked := new(database.LockedError); errors.As(err, &locked) && locked.Again > 0 {
		return min(lockRetry, locked.Again)
	}
	return lockRetry
}

func holderOf(err error) string {
	locked := new(database.LockedError)
	if errors.As(err, &locked) {
		return locked.Holder
	}
	return ""
}

// guard ends the program when the lock is lost. At once, as a crash would: what
// a graceful stop still finished, the process that has the database now would
// do a second time, and nothing is lost by a crash.
func (i *instance) guard(lock *database.Lock) {
	err := <-lock.Lost()
	i.log.WithLevel(zerolog.FatalLevel).Err(err).Msg("Lost the lock of the database, another instance may have it; ending at once")
	i.exit(exitLostDatabase)
}

// leave gives the lock back when everything has ended, so that another instance
// need not wait for the end of the lease.
func (i *instance) leave() {
	if lock := i.lock.Load(); lock != nil {
		if err := lock.Close(); err != nil {
			i.log.Warn().Err(err).Msg("Could not give the database back, the next instance has to wait for some seconds")
		}
	}
}

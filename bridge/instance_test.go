package bridge

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"go.mau.fi/util/dbutil"

	"teamsbridge/database"
)

// waiting is an instance whose tries for the lock the test answers.
func waiting(log *bytes.Buffer, try func(ctx context.Context) (*database.Lock, error)) *instance {
	return &instance{try: try, log: zerolog.New(log), exit: func(int) {}}
}

func memoryLock(ctx context.Context) (*database.Lock, error) {
	return database.TryLock(ctx, dbutil.PoolConfig{Type: "sqlite3-fk-wal", URI: ":memory:"})
}

// A second instance says so once and each minute, tries each second, and goes
// on when the lock is free, also where the server was away in between.
func TestInstanceWaitsForTheDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		tries := 0
		i := waiting(&log, func(ctx context.Context) (*database.Lock, error) {
			switch tries++; {
			case tries > 151:
				return memoryLock(ctx)
			case tries == 100:
				return nil, errors.New("the server restarts")
			default:
				return nil, database.ErrLocked
			}
		})
		began := time.Now()
		lock, err := i.wait(t.Context())
		require.NoError(t, err)
		require.NotNil(t, lock)
		require.Equal(t, 151*time.Second, time.Since(began))
		require.Equal(t, 1, strings.Count(log.String(), "Another instance has the database"))
		require.Equal(t, 2, strings.Count(log.String(), "Still waiting"))
	})
}

func TestWaitingInstanceStopsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(90*time.Second, cancel)
		began := time.Now()
		i := waiting(&bytes.Buffer{}, func(context.Context) (*database.Lock, error) { return nil, database.ErrLocked })
		_, err := i.wait(ctx)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, 90*time.Second, time.Since(began))
	})
}

// What is wrong from the start is no reason to wait.
func TestInstanceDoesNotWaitForABrokenDatabase(t *testing.T) {
	broken := errors.New("no such host")
	tries := 0
	_, err := waiting(&bytes.Buffer{}, func(context.Context) (*database.Lock, error) {
		tries++
		return nil, broken
	}).wait(t.Context())
	require.ErrorIs(t, err, broken)
	require.Equal(t, 1, tries)
}

// Whoever has lost the lock must not go on: another one may have begun.
func TestInstanceEndsWhenTheLockIsLost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	lock, err := database.TryLock(t.Context(), dbutil.PoolConfig{Type: "sqlite3-fk-wal", URI: path})
	require.NoError(t, err)
	require.NoError(t, os.Remove(path+database.LockSuffix))
	var log bytes.Buffer
	i, code := waiting(&log, nil), 0
	i.exit = func(c int) { code = c }
	i.guard(lock)
	require.Equal(t, exitLostDatabase, code)
	require.Contains(t, log.String(), "another instance may have it")
}

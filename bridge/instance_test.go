package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
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

func sqliteLock(t *testing.T, uri string) *database.Lock {
	contender, err := database.NewContender(dbutil.PoolConfig{Type: "sqlite3-fk-wal", URI: uri})
	require.NoError(t, err)
	lock, err := contender.Try(t.Context())
	require.NoError(t, err)
	return lock
}

// A second instance says so once and each minute, tries twice a second and at the
// moment at which a lease ends, and goes on when the lock is free, also where the
// server was away in between.
func TestInstanceWaitsForTheDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		tries, asked := 0, 0
		i := waiting(&log, func(ctx context.Context) (*database.Lock, error) {
			switch tries++; {
			case tries > 302:
				return sqliteLock(t, ":memory:"), nil
			case tries == 302:
				return nil, &database.LockedError{Again: 100 * time.Millisecond}
			case tries == 101:
				return nil, &database.LockedError{Again: time.Hour}
			case tries == 100:
				return nil, errors.New("the server restarts")
			default:
				return nil, database.ErrLocked
			}
		})
		began := time.Now()
		lock, err := i.wait(t.Context(), func() { asked++ })
		require.NoError(t, err)
		require.NotNil(t, lock)
		require.Equal(t, 150*time.Second+600*time.Millisecond, time.Since(began))
		require.Equal(t, 1, asked)
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
		_, err := i.wait(ctx, func() {})
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
	}).wait(t.Context(), func() { t.Error("it waits") })
	require.ErrorIs(t, err, broken)
	require.Equal(t, 1, tries)
}

// Whoever has lost the lock must not go on: another one may have begun.
func TestInstanceEndsWhenTheLockIsLost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	lock := sqliteLock(t, path)
	require.NoError(t, os.Remove(path+database.LockSuffix))
	var log bytes.Buffer
	i, code := waiting(&log, nil), 0
	i.exit = func(c int) { code = c }
	i.guard(lock)
	require.Equal(t, exitLostDatabase, code)
	require.Contains(t, log.String(), "another instance may have it")
}

// TestLeash: what a request had waited for does not count, only whether the
// instance may act at the moment at which it says something.
func TestLeash(t *testing.T) {
	i := waiting(&bytes.Buffer{}, nil)
	var said bytes.Buffer
	dial := i.leash(func(context.Context, string, string) (net.Conn, error) { return &recorded{said: &said}, nil })
	conn, err := dial(t.Context(), "tcp", "graph")
	require.NoError(t, err)
	say := func(text string) error {
		_, err := conn.Write([]byte(text))
		return err
	}
	require.ErrorIs(t, say("before it has the database"), errNotLeading)
	lock := sqliteLock(t, filepath.Join(t.TempDir(), "a.db"))
	i.lock.Store(lock)
	require.NoError(t, say("while it has it"))
	i.leave()
	require.ErrorIs(t, say("afterwards"), errNotLeading)
	require.Equal(t, "while it has it", said.String())
}

type recorded struct {
	net.Conn
	said *bytes.Buffer
}

func (r *recorded) Write(data []byte) (int, error) { return r.said.Write(data) }

// Whoever calls an instance that waits is told to come back, and an address that
// somebody else has is left to them.
func TestStandbyAnswers(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := free.Addr().String()
	require.NoError(t, free.Close())
	taken := listener.Addr().String()
	desk := newStandby([]string{taken, address}, zerolog.Nop())
	desk.open()
	for path, status := range map[string]int{"/_matrix/app/v1/transactions/1": 503, "/notifications": 503, "/healthz": 503, "/_matrix/mau/ready": 503, "/_matrix/mau/live": 200} {
		resp, err := http.Post("http://"+address+path, "application/json", strings.NewReader("{}"))
		require.NoError(t, err)
		require.Equal(t, status, resp.StatusCode, path)
		if status != 200 {
			require.Equal(t, "5", resp.Header.Get("Retry-After"))
			require.True(t, json.NewDecoder(resp.Body).Decode(&struct{}{}) == nil)
		}
		require.NoError(t, resp.Body.Close())
	}
	desk.close()
	require.NoError(t, listener.Close())
	again, err := net.Listen("tcp", address)
	require.NoError(t, err, "there is room for the real listener")
	require.NoError(t, again.Close())
}

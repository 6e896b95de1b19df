package databasetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mau.fi/util/dbutil"

	"teamsbridge/database"
)

// cutLog cuts its user off when so many statements have been made.
type cutLog struct {
	dbutil.DatabaseLogger
	left int
	cut  func()
}

// QueryTiming implements dbutil.DatabaseLogger.
func (l *cutLog) QueryTiming(context.Context, string, string, []any, int, time.Duration, error) {
	if l.left--; l.left == 0 {
		l.cut()
	}
}

// testSealingIsCutOff cuts the sealing off after each statement, as a kill does, and
// goes on with stores of a new process, while messages come, are edited and go.
func testSealingIsCutOff(t *testing.T, ctx context.Context, e *env) {
	const before = 4
	for n := range before {
		plant(t, ctx, e.db, n)
	}
	inTheClear(t, ctx, e, 2)
	cuts, edited := 0, map[int]bool{}
	for n, done := 1, false; !done; n++ {
		require.Less(t, n, 500, "it comes to its end")
		now := withKeys(t, e, otherSecret, Secret)
		cutOff, cut := context.WithCancel(ctx)
		e.parent.Log = &cutLog{dbutil.NoopLogger, n, cut}
		var err error
		for err == nil && !done {
			_, done, err = now.Sealing.Step(cutOff, 3)
		}
		cut()
		e.parent.Log = dbutil.NoopLogger
		if err != nil {
			cuts++
			done = false
		}
		if n > before {
			continue
		}
		// Traffic goes on: a message comes, an older one is edited.
		plant(t, ctx, now, before+n-1)
		r, err := now.Outbox.ByEvent(ctx, fmt.Sprintf("$out%d", n-1))
		require.NoError(t, err)
		require.NoError(t, r.Unreadable)
		ok, err := now.Outbox.ReplacePayload(ctx, r.ID, fmt.Appendf(nil, "edited %d", n-1))
		require.NoError(t, err)
		require.True(t, ok)
		edited[n-1] = true
	}
	require.Greater(t, cuts, 10)
	require.Len(t, edited, before)
	alone := withKeys(t, e, otherSecret)
	requireMissing(t, ctx, alone, 0)
	status, err := alone.Sealing.Status(ctx)
	require.NoError(t, err)
	require.Equal(t, database.SealStatus{Done: true}, status)
	queue, err := alone.Outbox.Queue(ctx, "c:1", 99)
	require.NoError(t, err)
	require.Len(t, queue, 2*before, "none is lost, none is there twice")
	for i, r := range queue {
		require.Equal(t, fmt.Sprintf("$out%d", i), r.EventID, "the order is what it was")
		require.NoError(t, r.Unreadable)
		if edited[i] {
			require.Equal(t, fmt.Sprintf("edited %d", i), string(r.Payload))
		} else {
			harvest(t, ctx, alone, i)
		}
	}
	RequireSealed(t, ctx, e.db.Database, secretWord)
}

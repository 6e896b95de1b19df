package database_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"teamsbridge/database"
	"teamsbridge/database/databasetest"
)

// TestSealingInAnyOrder has a writer change rows in another order than that in which
// they are sealed anew, as PostgreSQL lets it: neither is given up for the other.
func TestSealingInAnyOrder(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	const secret = "the key that comes after the first"
	parent := databasetest.Postgres(t).Open(t)
	db := databasetest.New(t, parent)
	event := func(n int) string { return fmt.Sprint("$out", n) }
	for n := range 3 {
		_, err := db.Outbox.Enqueue(ctx, &database.OutboxRow{EventID: event(n), Portal: "c:1", Kind: database.KindMessage, Payload: []byte(event(n) + " waits")})
		require.NoError(t, err)
	}
	change := func(ctx context.Context, n int) {
		var id int64
		require.NoError(t, db.QueryRow(ctx, `SELECT id FROM teams_outbox WHERE event_id = $1 FOR UPDATE NOWAIT`, event(n)).Scan(&id), "who writes does not wait for it")
		_, err := db.Exec(ctx, `UPDATE teams_outbox SET attempts = attempts + 1 WHERE event_id = $1`, event(n))
		require.NoError(t, err)
	}
	with := func(keys ...string) *database.Database {
		seal, err := database.NewSealer(keys[0], keys[1:]...)
		require.NoError(t, err)
		return database.New(parent, zerolog.Nop(), seal)
	}
	now := with(secret, databasetest.Secret)
	sealed := make(chan error, 1)
	require.NoError(t, db.DoTxn(ctx, nil, func(txn context.Context) error {
		change(txn, 2)
		go func() {
			var err error
			for done := false; !done && err == nil; {
				_, done, err = now.Sealing.Step(ctx, 9)
			}
			sealed <- err
		}()
		require.Eventually(t, func() bool {
			var waiting int
			err := db.QueryRow(ctx, `SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting)
			return err == nil && waiting > 0
		}, 30*time.Second, 10*time.Millisecond, "the sealing waits for the row")
		change(txn, 0)
		change(txn, 1)
		return nil
	}))
	require.NoError(t, <-sealed)
	queue, err := with(secret).Outbox.Queue(ctx, "c:1", 9)
	require.NoError(t, err)
	require.Len(t, queue, 3)
	for n, r := range queue {
		require.NoError(t, r.Unreadable)
		require.Equal(t, event(n)+" waits", string(r.Payload))
		require.Equal(t, 1, r.Attempts, "what the other one wrote stays")
	}
}

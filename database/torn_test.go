package database_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
	"teamsbridge/database/databasetest"
)

// stored is how much a database has.
type stored struct{ events, inbox, notifications int }

func storedIn(t *testing.T, db *database.Database) (s stored) {
	t.Helper()
	ctx := context.Background()
	events, err := db.Journal.Pending(ctx, 0, 10_000)
	require.NoError(t, err)
	for i, e := range events {
		require.Equal(t, fmt.Sprint("$", i), e.EventID, "nothing is there without what was stored before it")
	}
	stats, err := db.Inbox.Stats(ctx)
	require.NoError(t, err)
	s.notifications, _, err = db.Notifications.Count(ctx)
	require.NoError(t, err)
	s.events, s.inbox = len(events), stats.ByState[database.StatePending]
	return s
}

// TestTornStorage cuts SQLite's log where a power cut may: at each end of a
// frame, within frames, and with half a transaction or noise behind. What was
// acknowledged before is there, what was not is there as a whole or not at all,
// and the database opens and takes what comes.
func TestTornStorage(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "db")
	first := databasetest.OpenSQLite(t, path)
	db := databasetest.New(t, first)
	_, err := first.Exec(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	require.NoError(t, err)
	main, err := os.ReadFile(path)
	require.NoError(t, err)
	// Who reads keeps the log as it is: nothing of it goes into the database.
	reader := databasetest.OpenSQLite(t, path)
	pin, err := reader.RawDB.Conn(ctx)
	require.NoError(t, err)
	_, err = pin.ExecContext(ctx, "BEGIN")
	require.NoError(t, err)
	var n int
	require.NoError(t, pin.QueryRowContext(ctx, "SELECT COUNT(*) FROM teams_journal").Scan(&n))

	size := func() int {
		info, err := os.Stat(path + "-wal")
		require.NoError(t, err)
		return int(info.Size())
	}
	// What is there after each acknowledgement, by how long the log was then.
	acknowledged := map[int]stored{}
	var now stored
	rng := rand.New(rand.NewPCG(1, 0))
	for range 25 {
		switch rng.IntN(3) {
		case 0:
			require.NoError(t, db.Journal.Append(ctx, []database.JournalEntry{{EventID: fmt.Sprint("$", now.events), Raw: []byte(strings.Repeat("x", rng.IntN(9000)))}}))
			now.events++
		case 1:
			require.NoError(t, db.Notifications.AppendNotification(ctx, []byte(strings.Repeat("x", rng.IntN(9000))), time.Unix(1, 0)))
			now.notifications++
		default: // several tables in one transaction
			require.NoError(t, db.DoTxn(ctx, nil, func(ctx context.Context) error {
				var rows []database.InboxRow
				for i := range 10 {
					rows = append(rows, database.InboxRow{Portal: "c:1", MessageID: fmt.Sprint(now.inbox + i), Version: 1, Payload: []byte(strings.Repeat("x", 900))})
				}
				if _, err := db.Inbox.Accept(ctx, rows); err != nil {
					return err
				}
				return db.Journal.Append(ctx, []database.JournalEntry{{EventID: fmt.Sprint("$", now.events), Raw: []byte("{}")}})
			}))
			now.inbox, now.events = now.inbox+10, now.events+1
		}
		acknowledged[size()] = now
	}
	log, err := os.ReadFile(path + "-wal")
	require.NoError(t, err)
	require.NoError(t, pin.Close())
	frames := databasetest.LogFrames(log)
	require.Equal(t, size(), frames[len(frames)-1].End)
	require.Greater(t, len(frames), 3*len(acknowledged), "transactions take several frames")

	until := func(cut int) (s stored) {
		at := 0
		for end, there := range acknowledged {
			if end <= cut && end > at {
				at, s = end, there
			}
		}
		return s
	}
	check := func(name string, cut int, log []byte) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "db")
		databasetest.WriteDatabase(t, path, main, log)
		raw := databasetest.OpenSQLite(t, path)
		db := databasetest.New(t, raw) // upgrades
		require.Equal(t, until(cut), storedIn(t, db), "%s, cut at %d", name, cut)
		var sound string
		require.NoError(t, raw.QueryRow(ctx, "PRAGMA integrity_check").Scan(&sound))
		require.Equal(t, "ok", sound)
		before := storedIn(t, db)
		require.NoError(t, db.Journal.Append(ctx, []database.JournalEntry{{EventID: fmt.Sprint("$", before.events), Raw: []byte("{}")}}))
		before.events++
		require.NoError(t, raw.Close())
		again := databasetest.New(t, databasetest.OpenSQLite(t, path))
		require.Equal(t, before, storedIn(t, again))
		require.NoError(t, again.Database.Close())
	}
	cuts := []int{0, 10, 32}
	for _, f := range frames {
		cuts = append(cuts, f.End, f.End-rng.IntN(4096)-1)
	}
	for i, cut := range cuts {
		check("cut", cut, log[:cut])
		if i%4 == 0 {
			check("half a transaction", cut, databasetest.HalfTransaction(log[:cut], rng, 3))
		}
	}
}

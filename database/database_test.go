package database_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mau.fi/util/dbutil"

	"teamsbridge/database"
	"teamsbridge/database/databasetest"
)

func TestSQLite(t *testing.T) {
	databasetest.Run(t, func(t *testing.T) *dbutil.Database { return databasetest.SQLite(t) })
}

func TestPostgres(t *testing.T) {
	cluster := databasetest.Postgres(t)
	databasetest.Run(t, func(t *testing.T) *dbutil.Database { return cluster.Open(t) })
}

// TestSurvivesReopen closes the file without any farewell, as a crash would.
func TestSurvivesReopen(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "db")
	first := databasetest.OpenSQLite(t, path)
	db := databasetest.New(t, first)
	require.NoError(t, db.Journal.Append(ctx, []database.JournalEntry{{EventID: "$a", Raw: []byte("{}")}}))
	require.NoError(t, first.Close())
	db = databasetest.New(t, databasetest.OpenSQLite(t, path))
	got, err := db.Journal.Pending(ctx, 0, 10)
	require.NoError(t, err)
	require.Len(t, got, 1)
}

// TestUpgradeFromFirstVersion upgrades a database of the first schema.
func TestUpgradeFromFirstVersion(t *testing.T) {
	ctx := context.Background()
	raw := databasetest.SQLite(t)
	databasetest.New(t, raw)
	for _, query := range []string{
		"DROP TABLE teams_drill_look", "DROP TABLE teams_drill_room", "DROP TABLE teams_drill_place", "DROP TABLE teams_doubled", "DROP TABLE teams_hold", "DROP TABLE teams_outage", "DROP TABLE teams_outage_span", "DROP TABLE teams_outage_room",
		"DROP TABLE teams_digest", "DROP TABLE teams_digest_entry", "DROP TABLE teams_digest_write", "DROP TABLE teams_late", "DROP TABLE teams_upload", "DROP TABLE teams_poll", "DROP TABLE teams_poll_vote", "DROP TABLE teams_reseal", "DROP TABLE teams_restore", "DROP TABLE teams_restored",
		"DROP INDEX teams_outbox_edits_idx", "DROP INDEX teams_outbox_aside_idx", "ALTER TABLE teams_outbox DROP COLUMN aside_at", "DROP INDEX teams_outbox_parked_idx", "DROP INDEX teams_outbox_untold_idx", "DROP INDEX teams_outbox_marked_idx",
		"ALTER TABLE teams_outbox DROP COLUMN detail", "ALTER TABLE teams_outbox DROP COLUMN told_at", "ALTER TABLE teams_outbox DROP COLUMN digest",
		"ALTER TABLE teams_outbox DROP COLUMN mark", "ALTER TABLE teams_sent DROP COLUMN doubt_at", "ALTER TABLE teams_sent DROP COLUMN attachment",
		"ALTER TABLE teams_sent DROP COLUMN content_hash", "DROP INDEX teams_sent_overtaken_idx", "ALTER TABLE teams_sent DROP COLUMN overtaken", "ALTER TABLE teams_outbox DROP COLUMN held_until",
		"ALTER TABLE teams_inbox DROP COLUMN first_at", "ALTER TABLE teams_inbox DROP COLUMN shown_at",
		"DROP INDEX teams_inbox_again_idx", "ALTER TABLE teams_inbox DROP COLUMN again_at",
		"UPDATE " + database.VersionTable + " SET version = 1, compat = 1",
	} {
		_, err := raw.Exec(ctx, query)
		require.NoError(t, err)
	}
	db := databasetest.New(t, raw)
	require.NoError(t, db.Echoes.KeepDoubled(ctx, []database.Echo{{SourceKey: "k", EventID: "$1"}}))
	_, err := db.Outbox.Untold(ctx, 0, 1)
	require.NoError(t, err)
	_, err = db.Outbox.Marked(ctx, "c:1")
	require.NoError(t, err)
	_, err = db.Outages.Open(ctx)
	require.NoError(t, err)
	_, err = db.Outages.Spans(ctx, database.SpanRead, 1)
	require.NoError(t, err)
	_, err = db.Holds.All(ctx)
	require.NoError(t, err)
	_, err = db.Uploads.IsTaken(ctx, "x")
	require.NoError(t, err)
	_, err = db.Restores.Doubts(ctx, "c:1")
	require.NoError(t, err)
	_, err = db.Sent.ByEvent(ctx, "$1")
	require.NoError(t, err)
	_, err = db.Digests.Writes(ctx, "~digest:1", 1)
	require.NoError(t, err)
	_, err = db.Digests.Overtaken(ctx, "c:1")
	require.NoError(t, err)
	_, err = db.Inbox.LateRooms(ctx, 1, 0, 0)
	require.NoError(t, err)
	_, err = db.Polls.Dirty(ctx, 1)
	require.NoError(t, err)
	_, err = db.Polls.GetVote(ctx, "$1")
	require.NoError(t, err)
	_, err = db.Drills.Rooms(ctx, 1, "", 1, 0)
	require.NoError(t, err)
	_, _, err = db.Drills.Absent(ctx, 1, 1)
	require.NoError(t, err)
	_, err = db.Drills.Look(ctx, 1, database.DrillBegan)
	require.NoError(t, err)
	_, err = db.Sealing.Status(ctx)
	require.NoError(t, err)
}

// TestFullSync guards the promise that accepted means on the disk.
func TestFullSync(t *testing.T) {
	db := databasetest.SQLite(t)
	var synchronous int
	var journal string
	require.NoError(t, db.QueryRow(context.Background(), "PRAGMA synchronous").Scan(&synchronous))
	require.NoError(t, db.QueryRow(context.Background(), "PRAGMA journal_mode").Scan(&journal))
	require.Equal(t, 2, synchronous)
	require.Equal(t, "wal", journal)
}

// TestHotQueriesUseIndexes keeps the queues fast with a long history behind them.
func TestHotQueriesUseIndexes(t *testing.T) {
	db := databasetest.New(t, databasetest.SQLite(t))
	for query, index := range map[string]string{
		"SELECT id FROM teams_outbox WHERE portal = 'p' AND done_at = 0 AND state <> 'sent' ORDER BY id LIMIT 1":                                                 "teams_outbox_queue_idx",
		"SELECT id FROM teams_outbox WHERE portal = 'p' AND done_at = 0 AND id > 7 AND state <> 'sent' AND kind = 'message' AND told_at = 0 ORDER BY id LIMIT 5": "teams_outbox_queue_idx",
		"SELECT DISTINCT portal FROM teams_outbox WHERE done_at = 0 AND state <> 'sent' ORDER BY portal":                                                         "teams_outbox_queue_idx",
		"SELECT id FROM teams_outbox WHERE target_event_id = '$' AND done_at = 0 ORDER BY id":                                                                    "teams_outbox_target_idx",
		"SELECT COUNT(*) FROM teams_outbox WHERE kind = 'edit' AND target_event_id = '$' AND root_event_id = ''":                                                 "teams_outbox_edits_idx",
		"SELECT state, COUNT(*), 0 FROM teams_outbox WHERE state = 'failed' GROUP BY state":                                                                      "teams_outbox_failed_idx",
		"SELECT state, COUNT(*), 0 FROM teams_outbox WHERE state = 'parked' GROUP BY state":                                                                      "teams_outbox_parked_idx",
		"SELECT id FROM teams_outbox WHERE told_at = 0 AND state IN ('parked', 'failed') ORDER BY id LIMIT 5":                                                    "teams_outbox_untold_idx",
		"SELECT event_id FROM teams_poll WHERE dirty_at <> 0 ORDER BY dirty_at, event_id LIMIT 5":                                                                "teams_poll_dirty_idx",
		"SELECT event_id FROM teams_poll_vote WHERE poll_id = '$'":                                                                                               "teams_poll_vote_poll_idx",
		"SELECT event_id FROM teams_doubled WHERE healed_at = 0 ORDER BY seen_at LIMIT 5":                                                                        "teams_doubled_open_idx",
		"SELECT payload FROM teams_inbox WHERE portal = 'p' AND state = 'pending' ORDER BY created_at, message_id LIMIT 50":                                      "teams_inbox_due_idx",
		"SELECT DISTINCT portal FROM teams_inbox WHERE state = 'pending'":                                                                                        "teams_inbox_due_idx",
		"SELECT part FROM teams_sent WHERE portal = 'p' AND remote_id = '1' AND remote_id <> ''":                                                                 "teams_sent_remote_idx",
		"SELECT part FROM teams_sent WHERE state = 'sending' AND portal = 'p' ORDER BY started_at":                                                               "teams_sent_doubt_idx",
		"SELECT seq FROM teams_notification WHERE quarantined = '' ORDER BY seq LIMIT 5":                                                                         "teams_notification_pending_idx",
		"SELECT user_id FROM teams_staff WHERE mxid = '@a:b' AND mxid <> '' AND status = 'mapped' LIMIT 1":                                                       "teams_staff_mxid_idx",
		"SELECT COUNT(*) FROM teams_sent_reaction WHERE portal = 'p' AND target_id = '1' AND emoji = 'x' AND account_id = 'a' AND event_id <> ''":                "teams_sent_reaction_target_idx",
	} {
		rows, err := db.Query(context.Background(), "EXPLAIN QUERY PLAN "+query)
		plan, err := dbutil.ConvertRowFn[string](func(row dbutil.Scannable) (detail string, err error) {
			var a, b, c any
			err = row.Scan(&a, &b, &c, &detail)
			return detail, err
		}).NewRowIter(rows, err).AsList()
		require.NoError(t, err)
		text := strings.Join(plan, "; ")
		require.Contains(t, text, index, query)
		require.NotContains(t, text, "TEMP B-TREE", query)
	}
}

// TestUpgradeInAnOutage upgrades from before there were spans: what was said until
// then in an outage that goes on counts as said in it, as before.
func TestUpgradeInAnOutage(t *testing.T) {
	ctx := context.Background()
	raw := databasetest.SQLite(t)
	db := databasetest.New(t, raw)
	began := time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC)
	at := func(minutes int) time.Time { return began.Add(time.Duration(minutes) * time.Minute) }
	begin := func(o database.Outage) int64 {
		o.Began = began
		require.NoError(t, db.Outages.Begin(ctx, &o))
		require.NoError(t, db.Outages.Update(ctx, &o))
		return o.ID
	}
	begin(database.Outage{Kind: database.OutageDetected, Ended: at(2), Drained: at(3)})
	begin(database.Outage{Kind: database.OutageDrill})
	waits := begin(database.Outage{Kind: database.OutageDetected, Ended: at(4)})
	open := begin(database.Outage{Kind: database.OutageDeclared})
	back := func(version int, queries ...string) {
		queries = append(queries, "DROP TABLE teams_drill_look", "DROP TABLE teams_drill_room", "DROP TABLE teams_drill_place", "DROP TABLE teams_restore", "DROP TABLE teams_restored", "DROP TABLE teams_reseal", "DROP TABLE teams_digest_write", "DROP INDEX teams_sent_overtaken_idx",
			"ALTER TABLE teams_sent DROP COLUMN overtaken", "DROP INDEX teams_outbox_edits_idx", "DROP INDEX teams_outbox_aside_idx", "ALTER TABLE teams_outbox DROP COLUMN aside_at")
		for _, query := range append(queries, fmt.Sprintf("UPDATE %s SET version = %d, compat = 5", database.VersionTable, version)) {
			_, err := raw.Exec(ctx, query)
			require.NoError(t, err)
		}
		db = databasetest.New(t, raw)
	}
	back(11, "DROP TABLE teams_outage_span", "ALTER TABLE teams_outage_room DROP COLUMN gap_told_at", "ALTER TABLE teams_outbox DROP COLUMN held_until",
		"ALTER TABLE teams_inbox DROP COLUMN first_at", "ALTER TABLE teams_inbox DROP COLUMN shown_at",
		"DROP INDEX teams_inbox_again_idx", "ALTER TABLE teams_inbox DROP COLUMN again_at")
	spans := func() []database.OutageSpan {
		all, err := db.Outages.Spans(ctx, database.SpanWrite, 10)
		require.NoError(t, err)
		return all
	}
	want := []database.OutageSpan{{OutageID: open, From: began}, {OutageID: waits, From: began, To: at(4)}}
	require.Equal(t, want, spans())

	// Where there are spans they are right: an outage of reading alone has none of writing.
	reading := begin(database.Outage{Kind: database.OutageDetected})
	require.NoError(t, db.Outages.Block(ctx, reading, database.SpanRead, at(5)))
	back(13, "DROP INDEX teams_inbox_again_idx", "ALTER TABLE teams_inbox DROP COLUMN again_at")
	require.Equal(t, want, spans())
}

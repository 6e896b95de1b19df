package portal_test

import (
	"context"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/portal/portaltest"
)

// history are 40,000 rows that are done with in each table that grows with what
// is said.
var history = []string{
	`INSERT INTO teams_outbox (event_id, portal, room_id, kind, target_event_id, root_event_id, sender_mxid, sender_user_id, sender_name, payload, event_at, created_at, next_at, done_at, state, attempts, reason, told_at)
	 SELECT '$old' || n, $1, '!r', 'message', '', '', '@a:b', 'a', 'A', x'', n, n, 0, n, 'done', 1, '', 1 FROM many`,
	`INSERT INTO teams_sent (event_id, part, portal, team_id, channel_id, root_id, remote_id, account_id, fingerprint, state, started_at, sent_at)
	 SELECT '$old' || n, 0, $1, 'team', 'c', '', 'old' || n, 'alice', 'f', 'sent', n, n FROM many`,
	`INSERT INTO teams_sent_reaction (event_id, portal, target_id, emoji, account_id, sender_mxid, sent_at)
	 SELECT '$old' || n, $1, 'old' || n, 'x', 'alice', '@a:b', n FROM many`,
	`INSERT INTO teams_inbox (portal, message_id, root_id, version, delivered, created_at, payload, state, attempts, next_at, received_at, delivered_at, reason, source)
	 SELECT $1, 'old' || n, '', 1, 1, n, x'', 'done', 1, 0, n, n, '', 'list' FROM many`,
}

// grown are the tables of which no statement may read all rows.
var grown = regexp.MustCompile(`^SCAN (teams_outbox|teams_sent|teams_sent_reaction|teams_inbox|teams_echo|message|reaction)\b`)

// open are the indexes that have only what is not done with; it is what there is
// to read.
var open = regexp.MustCompile(`USING (COVERING )?INDEX teams_\w+_idx`)

var statement = regexp.MustCompile(`(?i)^\s*(SELECT|UPDATE|DELETE|INSERT|WITH)\s`)

// TestStatementsUseIndexes takes every statement that the bridge makes while a bit
// of everything happens and while nothing does, with a long history in the tables,
// and asks SQLite how it finds the rows.
func TestStatementsUseIndexes(t *testing.T) {
	ctx := context.Background()
	var mu sync.Mutex
	seen := map[string]bool{}
	r := started(t, func(r *portaltest.Rig) {
		r.Queries = func(query string) {
			mu.Lock()
			defer mu.Unlock()
			seen[query] = true
		}
	})
	for _, table := range history {
		_, err := r.DB.Exec(ctx, `WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 40000) `+table, r.Portal())
		require.NoError(t, err)
	}
	mu.Lock()
	clear(seen)
	mu.Unlock()
	r.Restart()
	scenario(r, func(f func()) { f(); r.Settled() })
	r.Quiet()
	time.Sleep(200 * time.Millisecond) // sweeps with nothing to do
	r.Quiet()
	mu.Lock()
	defer mu.Unlock()
	require.Greater(t, len(seen), 40)
	placeholder := regexp.MustCompile(`[$?]\d+`)
	for query := range seen {
		if !statement.MatchString(query) {
			continue // a transaction's beginning or end
		}
		distinct := map[string]bool{}
		for _, p := range placeholder.FindAllString(query, -1) {
			distinct[p] = true
		}
		rows, err := r.DB.RawDB.QueryContext(ctx, "EXPLAIN QUERY PLAN "+query, make([]any, len(distinct))...)
		require.NoError(t, err, query)
		for rows.Next() {
			var a, b, c any
			var detail string
			require.NoError(t, rows.Scan(&a, &b, &c, &detail))
			if grown.MatchString(detail) && !open.MatchString(detail) {
				t.Errorf("%s:\n%s", detail, query)
			}
		}
		require.NoError(t, rows.Close())
	}
}

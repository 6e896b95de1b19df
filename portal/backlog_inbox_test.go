package portal_test

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// What waits for the homeserver is in the database too, and not in memory.
func TestMemoryDoesNotGrowWithTheInbox(t *testing.T) {
	const few, many, size = 2_000, 40_000, 500
	r := started(t)
	r.HS.SetSends(func(portaltest.Send) portaltest.SendFault { return portaltest.SendFault{Refuse: portaltest.Down()} })
	ctx := context.Background()
	waiting := 0
	heapWith := func(messages int) uint64 {
		var rows []database.InboxRow
		for ; waiting < messages; waiting++ {
			at := time.UnixMilli(1_700_000_000_000 + int64(waiting)).UTC()
			m := teams.Message{Channel: portaltest.Channel, ID: strconv.FormatInt(at.UnixMilli(), 10), ETag: 1, Type: teams.TypeMessage, Created: at, Modified: at,
				BodyType: teams.BodyHTML, Body: fmt.Sprint(waiting, strings.Repeat("x", size)), From: teams.Identity{ID: portaltest.Dave, Kind: "user", UserType: "aadUser"}}
			payload, err := json.Marshal(m)
			require.NoError(t, err)
			rows = append(rows, database.InboxRow{Portal: r.Portal(), MessageID: m.ID, Version: 1, CreatedAt: at, ReceivedAt: at, Source: "list", Payload: payload})
		}
		_, err := r.DB.Inbox.Accept(ctx, rows)
		require.NoError(t, err)
		before := r.Counts.Get(portal.MetricIngestRetry, "homeserver unreachable")
		r.Restart() // everything that a start reads
		r.Eventually(func() bool {
			r.Ingest.Wake(r.Portal())
			return r.Counts.Get(portal.MetricIngestRetry, "homeserver unreachable") > before
		})
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	small := heapWith(few)
	large := heapWith(many)
	t.Logf("heap with %d messages waiting: %.1f MB, with %d: %.1f MB", few, float64(small)/1e6, many, float64(large)/1e6)
	require.Less(t, int64(large)-int64(small), int64((many-few)*size/8), "in bytes")
	stats, err := r.DB.Inbox.Stats(ctx)
	require.NoError(t, err)
	require.Equal(t, many, stats.ByState[database.StatePending])
	r.Stop()
}

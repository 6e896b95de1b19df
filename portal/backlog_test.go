package portal_test

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
)

// What waits is in the database and not in memory: a backlog that is twenty times
// as long takes no more of it.
func TestMemoryDoesNotGrowWithTheBacklog(t *testing.T) {
	const few, many, size = 2_000, 40_000, 500
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) {
			out.RetryMin, out.RetryMax = time.Hour, time.Hour
		}
	})
	outage(r)
	ctx := context.Background()
	queued := 0
	heapWith := func(rows int) uint64 {
		require.NoError(t, r.DB.DoTxn(ctx, nil, func(ctx context.Context) error {
			for ; queued < rows; queued++ {
				if _, err := r.DB.Outbox.Enqueue(ctx, &database.OutboxRow{
					EventID: fmt.Sprint("$waits", queued), Portal: string(portal.ChannelPortal(portaltest.Channel).ID), RoomID: r.Room.String(),
					Kind: database.KindMessage, SenderMXID: portaltest.AliceMXID.String(), SenderUserID: portaltest.Alice, EventAt: time.Now(),
					Payload: []byte(`{"msgtype":"m.text","body":"` + strings.Repeat("x", size) + `"}`),
				}); err != nil {
					return err
				}
			}
			return nil
		}))
		r.Restart() // everything that a start reads
		require.NoError(t, r.Sender.Kick(ctx))
		before := r.Counts.Get(portal.MetricSendRetry, "unavailable")
		require.NoError(t, r.Sender.Kick(ctx))
		r.Eventually(func() bool { return r.Counts.Get(portal.MetricSendRetry, "unavailable") > before })
		// Of several looks the least counts: what is at work meanwhile, such as
		// marking, uses some memory for a moment.
		least := uint64(math.MaxUint64)
		for range 20 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			least = min(least, m.HeapAlloc)
		}
		return least
	}
	small := heapWith(few)
	large := heapWith(many)
	t.Logf("heap with %d messages queued: %.1f MB, with %d: %.1f MB", few, float64(small)/1e6, many, float64(large)/1e6)
	require.Less(t, int64(large)-int64(small), int64((many-few)*size/8), "in bytes")
}

package portal_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
)

// costs counts what a message costs besides time.
type costs struct {
	statements, commits atomic.Int64
	graph, writes, hs   int
}

func benchRig(b *testing.B) (*portaltest.Rig, *costs) {
	b.Helper()
	r := portaltest.New(b)
	c := &costs{}
	r.Queries = func(query string) {
		switch {
		case strings.HasPrefix(query, "COMMIT"), strings.HasPrefix(query, "commit"):
			c.commits.Add(1)
		case !strings.HasPrefix(query, "BEGIN"), strings.HasPrefix(query, "SAVEPOINT"):
			c.statements.Add(1)
		}
	}
	r.Tune = func(in *portal.IngestOptions, out *portal.SenderOptions) {
		in.Settle, in.Sweep, out.Sweep = -1, time.Hour, time.Hour
	}
	r.Start()
	// The first message makes ghosts and caches.
	r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "warm")
	r.Say(portaltest.AliceMXID, "warm")
	r.Quiet()
	return r, c
}

func (c *costs) start(r *portaltest.Rig) {
	c.statements.Store(0)
	c.commits.Store(0)
	c.graph, c.writes = r.Tenant.Requests()
	c.hs = r.HS.Requests()
}

func (c *costs) report(b *testing.B, r *portaltest.Rig) {
	graph, writes := r.Tenant.Requests()
	n := float64(b.N)
	b.ReportMetric(float64(c.statements.Load())/n, "statements/op")
	b.ReportMetric(float64(graph-c.graph-(writes-c.writes))/n, "graphreads/op")
	b.ReportMetric(float64(writes-c.writes)/n, "graphwrites/op")
	b.ReportMetric(float64(r.HS.Requests()-c.hs)/n, "hsrequests/op")
}

func BenchmarkTeamsToMatrix(b *testing.B) {
	r, c := benchRig(b)
	arrived := make(chan struct{}, 1)
	r.HS.SetFaults(nil, func(id.UserID, event.Type, map[string]any) error {
		arrived <- struct{}{}
		return nil
	})
	c.start(r)
	b.ResetTimer()
	for i := range b.N {
		r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, fmt.Sprint("message ", i))
		<-arrived
	}
	b.StopTimer()
	r.Settled()
	c.report(b, r)
}

func BenchmarkMatrixToTeams(b *testing.B) {
	r, c := benchRig(b)
	toTeams(b, r, c)
}

// BenchmarkMatrixToTeamsOfYears is the same after 200,000 messages.
func BenchmarkMatrixToTeamsOfYears(b *testing.B) {
	r, c := benchRig(b)
	_, err := r.DB.Exec(b.Context(), `
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 200000)
		INSERT INTO message (bridge_id, id, part_id, mxid, room_id, room_receiver, sender_id, sender_mxid, timestamp, edit_count, metadata)
		SELECT m.bridge_id, 'old' || i, '', '$old' || i, m.room_id, m.room_receiver, m.sender_id, m.sender_mxid, i, 0, m.metadata
		FROM n, (SELECT * FROM message LIMIT 1) m`)
	require.NoError(b, err)
	toTeams(b, r, c)
}

func toTeams(b *testing.B, r *portaltest.Rig, c *costs) {
	r.Tenant.SetChanged(nil)
	posted := make(chan struct{}, 1)
	r.Tenant.SetFault(func(string, string) portaltest.Fault {
		posted <- struct{}{}
		return portaltest.Fault{}
	})
	c.start(r)
	b.ResetTimer()
	for i := range b.N {
		r.Say(portaltest.AliceMXID, fmt.Sprint("message ", i))
		<-posted
	}
	b.StopTimer()
	r.Settled()
	c.report(b, r)
}

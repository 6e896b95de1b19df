package teamstest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRequestLogIsBounded(t *testing.T) {
	tenant := &Tenant{}
	tenant.edge.log = newRequestLog()
	for i := range requestLogSize + 5 {
		tenant.edge.log.add(Request{Status: i})
	}
	require.Equal(t, requestLogSize+5, tenant.CountRequests(nil))
	kept := tenant.Requests(nil)
	require.Len(t, kept, requestLogSize/2+5)
	require.Equal(t, requestLogSize+4, kept[len(kept)-1].Status)
	for range violationLogSize + 3 {
		tenant.edge.log.violation(Violation{Kind: ViolationLimit})
	}
	require.Len(t, tenant.Violations(), violationLogSize)
	require.Equal(t, violationLogSize+3, tenant.CountViolations(ViolationLimit))
}

func TestTokenBucketHoldsItsRate(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	th := newThrottle(func() time.Time { return now }, true)
	for _, rate := range []float64{0.5, 1, 4, 30, 200} {
		passed := 0
		scope := []scopeLimit{{"x", rate}}
		clear(th.buckets)
		clear(th.pauses)
		for range 1000 { // 100 s, ten tries a second per unit of rate
			for range int(rate) + 1 {
				if th.take(scope[0], now) == 0 {
					passed++
				}
			}
			now = now.Add(100 * time.Millisecond)
		}
		require.InDelta(t, 100*rate, passed, max(2, rate)+1, "rate %v", rate)
	}
}

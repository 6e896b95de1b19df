package bridge

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.mau.fi/util/dbutil"

	"teamsbridge/bridge/check"
)

// A configuration of an earlier version keeps one connection: check says what to write.
func TestCheckPool(t *testing.T) {
	report := &check.Report{}
	area := report.Area("database")
	checkPool(dbutil.PoolConfig{MaxOpenConns: 5, MaxIdleConns: 5}, area)
	require.Empty(t, report.Findings)
	checkPool(dbutil.PoolConfig{MaxOpenConns: 5, MaxIdleConns: 1}, area)
	require.True(t, area.OK(), "it works all the same")
	require.Len(t, report.Findings, 1)
	require.Contains(t, report.Findings[0].Text, "max_idle_conns is 1")
	require.Contains(t, report.Findings[0].Fix, "max_idle_conns: 5")
}

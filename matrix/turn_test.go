package matrix

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/id"
)

// While an event can't be stored, those behind it in its room wait for it; then
// all of them go in order. Proves M5.
func TestEventsWaitForTheirTurn(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{network: &network{refuse: map[id.EventID]int{"$a": 2}}})
	push := func(txn string, events ...map[string]any) {
		code, _ := hs.push(ctx, hsToken, txn, txnBody(t, events...))
		require.Equal(t, 200, code)
	}
	push("1", evt("$a", "x"), evt("$b", "x"))
	push("2", evt("$c", "x"))
	b.eventually("all were tried", func() bool { return len(b.statusList()) == 3 })
	require.Empty(t, b.queue())
	require.Equal(t, 3, b.journalCount())
	require.NoError(t, b.conn.journal.retry(ctx))
	require.Equal(t, 3, b.network.callCount(), "not before their time")

	// It fails again, so they fail again.
	b.clock.Advance(retryMin)
	require.NoError(t, b.conn.journal.retry(ctx))
	b.eventually("tried again", func() bool { return b.network.callCount() == 6 })
	push("3", evt("$d", "x"))
	b.eventually("the fourth was tried", func() bool { return len(b.statusList()) == 7 })
	require.Empty(t, b.queue())

	b.clock.Advance(2 * retryMin)
	require.NoError(t, b.conn.journal.retry(ctx))
	b.eventually("in order", func() bool { return fmt.Sprint(b.queue()) == "[$a $b $c $d]" })
	b.eventually("closed", func() bool { return b.journalCount() == 0 })
	require.NoError(t, b.conn.journal.sweep(ctx))
	require.Empty(t, b.conn.journal.late)
}

// What fails for ever does not hold its room for ever.
func TestTurnPatience(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{network: &network{refuse: map[id.EventID]int{"$a": 1000}}})
	code, _ := hs.push(ctx, hsToken, "1", txnBody(t, evt("$a", "x"), evt("$b", "x")))
	require.Equal(t, 200, code)
	b.eventually("tried", func() bool { return len(b.statusList()) == 2 })
	b.clock.Advance(turnPatience)
	require.NoError(t, b.conn.journal.retry(ctx))
	b.eventually("the second went", func() bool { return fmt.Sprint(b.queue()) == "[$b]" })
	require.Equal(t, 1, b.journalCount(), "the first is kept")
}

// After a restart everything comes again in the order in which it came.
func TestTurnAfterARestart(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	path := t.TempDir() + "/db"
	b := startBridge(t, hs, bridgeOptions{path: path, network: &network{refuse: map[id.EventID]int{"$a": 1000}}})
	code, _ := hs.push(ctx, hsToken, "1", txnBody(t, evt("$a", "x"), evt("$b", "x")))
	require.Equal(t, 200, code)
	b.eventually("tried", func() bool { return len(b.statusList()) == 2 })
	b.stop()
	b = startBridge(t, hs, bridgeOptions{path: path})
	code, _ = hs.push(ctx, hsToken, "2", txnBody(t, evt("$c", "x")))
	require.Equal(t, 200, code)
	b.eventually("in order", func() bool { return fmt.Sprint(b.queue()) == "[$a $b $c]" })
}

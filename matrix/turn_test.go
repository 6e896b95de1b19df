package matrix

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
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

// reply is a message in the thread of another one.
func reply(eventID, root string) map[string]any {
	return evt(eventID, "x", map[string]any{"content": map[string]any{"msgtype": "m.text", "body": "x",
		"m.relates_to": map[string]any{"rel_type": "m.thread", "event_id": root}}})
}

// TestReplyThatWaitsIsNotOvertaken: the homeserver tells of a thread's root behind a
// reply to it, and of others between them. The reply waits for its root, and those
// that were said after it wait for the reply.
func TestReplyThatWaitsIsNotOvertaken(t *testing.T) {
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{network: &network{
		roots: map[id.EventID]id.EventID{"$a": "$r1", "$c": "$r2"}, refuse: map[id.EventID]int{"$r1": 1},
	}})
	tried := 0
	settled := func(more int) {
		tried += more
		b.eventually("all were tried", func() bool { return len(b.statusList())+len(b.queue()) == tried })
	}
	b.push(hs, "1", reply("$a", "$r1"), evt("$b", "x"), reply("$c", "$r2"))
	settled(3)
	require.Empty(t, b.queue())
	b.push(hs, "2", evt("$r1", "x"), evt("$d", "x"), evt("$r2", "x"))
	settled(3)
	require.Empty(t, b.queue())
	for _, want := range []string{"[$r1 $a $b $r2]", "[$r1 $a $b $r2 $c $d]"} {
		b.clock.Advance(retryDelay)
		due := len(b.conn.journal.due())
		require.NoError(t, b.conn.journal.retry(context.Background()))
		settled(due)
		require.Equal(t, want, fmt.Sprint(b.queue()))
	}
	require.Zero(t, b.journalCount())
	b.clock.Advance(time.Second)
	require.NoError(t, b.conn.journal.sweep(context.Background()))
	require.Empty(t, b.conn.journal.late)
	require.Empty(t, b.conn.journal.awaited)
}

// TestReplyToWhatBecameNothingHoldsNobody: the root was told of and is no message of
// Teams, so it is not on its way.
func TestReplyToWhatBecameNothingHoldsNobody(t *testing.T) {
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{network: &network{roots: map[id.EventID]id.EventID{"$a": "$order"}}})
	b.push(hs, "1", evt("$order", "!teams help"))
	b.push(hs, "2", reply("$a", "$order"), evt("$b", "x"))
	b.eventually("the next one went", func() bool { return fmt.Sprint(b.queue()) == "[$b]" })
	require.Equal(t, 1, b.journalCount(), "the reply is kept")
}

// TestWhatComesInAReplayStandsBehindIt: a transaction is stored while the events of
// the run before are still to be handed over, and its request breaks off. One of those
// fails, so what the homeserver sends again waits for it.
func TestWhatComesInAReplayStandsBehindIt(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{network: &network{refuse: map[id.EventID]int{"$a": 1}}})
	j := b.conn.journal
	<-j.gate
	a, err := json.Marshal(evt("$a", "x"))
	require.NoError(t, err)
	before := []database.JournalEntry{{EventID: "$a", RoomID: portalRoom, Type: "m.room.message", Raw: a, ReceivedAt: b.clock.Now()}}
	require.NoError(t, b.db.Journal.Append(ctx, before))
	body := txnBody(t, evt("$b", "x"))
	txn, err := parseTransaction(body)
	require.NoError(t, err)
	_, err = j.take(ctx, txn, body)
	require.NoError(t, err)
	require.NoError(t, j.hand(ctx, before))
	b.push(hs, "1", evt("$b", "x"))
	b.eventually("both were tried", func() bool { return len(b.statusList())+len(b.queue()) == 2 })
	require.Empty(t, b.queue())
	b.clock.Advance(retryDelay)
	require.NoError(t, j.retry(ctx))
	b.inQueue("$a", "$b")
}

package matrix

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

// redact is a person's redaction.
func redact(eventID, target string, fields ...map[string]any) map[string]any {
	out := evt(eventID, "", append([]map[string]any{{"type": redactionType, "redacts": target, "content": map[string]any{}}}, fields...)...)
	return out
}

// startFeed starts a bridge that follows /sync and waits until it does.
func startFeed(t *testing.T, hs *homeserver, o bridgeOptions) *bridge {
	t.Helper()
	o.redactions = RedactionsSync
	if o.network == nil {
		o.network = &network{rows: true}
	}
	b := startBridge(t, hs, o)
	b.eventually("the feed runs", func() bool { return b.conn.feed.isReady() })
	return b
}

func (b *bridge) count(reason string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.counted[reason]
}

func (b *bridge) push(hs *homeserver, txnID string, events ...map[string]any) {
	b.t.Helper()
	code, text := hs.push(context.Background(), hsToken, txnID, txnBody(b.t, events...))
	require.Equal(b.t, http.StatusOK, code, text)
}

func (b *bridge) inQueue(want ...string) {
	b.t.Helper()
	defer func() {
		if b.t.Failed() {
			b.t.Log("the queue is", b.queue())
		}
	}()
	b.eventually(fmt.Sprint("the queue is ", want), func() bool { return fmt.Sprint(b.queue()) == fmt.Sprint(want) })
	b.eventually("the journal is empty", func() bool { return b.journalCount() == 0 })
}

func TestRedactionByFeed(t *testing.T) {
	hs := newHomeserver(t)
	hs.feed.add(redact("$old", "$x")) // from before the first start
	b := startFeed(t, hs, bridgeOptions{})
	b.push(hs, "1", evt("$a", "one"))
	hs.feed.add(evt("$a", "one"), redact("$r", "$a"))
	b.inQueue("$a", "$r")
	require.Zero(t, b.count(RedactionEarly))
	require.Equal(t, 1, b.count(RedactionFollowed))
	state := b.conn.Redactions()
	require.Equal(t, RedactionsSync, state.Source)
	require.Empty(t, state.LastError)
}

// TestRedactionInContent: room version 11 puts the target into the content.
func TestRedactionInContent(t *testing.T) {
	hs := newHomeserver(t)
	b := startFeed(t, hs, bridgeOptions{})
	hs.feed.add(redact("$r", "", map[string]any{"content": map[string]any{"redacts": "$a"}}))
	b.eventually("it waits", func() bool { return b.conn.Redactions().Waiting == 1 })
	b.push(hs, "1", evt("$a", "one"))
	b.inQueue("$a", "$r")
}

// TestRedactionBeforeItsTarget: the feed is faster than the transactions.
func TestRedactionBeforeItsTarget(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startFeed(t, hs, bridgeOptions{})
	hs.feed.add(redact("$r", "$b"))
	b.eventually("it waits", func() bool { return b.conn.Redactions().Waiting == 1 })
	b.clock.Advance(settle)
	require.NoError(t, b.conn.journal.sweep(ctx))
	require.NoError(t, b.conn.journal.settleHeld(ctx))
	require.Equal(t, 1, b.journalCount(), "it stays in the journal")
	require.Empty(t, b.statusList(), "the framework has not seen it")
	b.push(hs, "1", evt("$a", "one"), evt("$b", "two"))
	b.inQueue("$a", "$b", "$r")
	require.Equal(t, 1, b.count(RedactionEarly))
	require.Zero(t, b.conn.Redactions().Waiting)
}

// TestRedactionAcrossRestart: what waits, waits on after a restart, and what
// was redacted while the bridge was away is not missed.
func TestRedactionAcrossRestart(t *testing.T) {
	hs := newHomeserver(t)
	path := filepath.Join(t.TempDir(), "db")
	b := startFeed(t, hs, bridgeOptions{path: path})
	hs.feed.add(redact("$r1", "$a"))
	b.eventually("it waits", func() bool { return b.journalCount() == 1 && b.conn.Redactions().Waiting == 1 })
	b.stop()
	hs.feed.add(redact("$r2", "$b"), redact("$r3", "$c"))
	b = startFeed(t, hs, bridgeOptions{path: path})
	b.eventually("all wait", func() bool { return b.conn.Redactions().Waiting == 3 })
	b.push(hs, "1", evt("$a", "one"), evt("$b", "two"))
	b.push(hs, "2", evt("$c", "three"))
	b.eventually("all are queued", func() bool { return len(b.queue()) == 6 && b.journalCount() == 0 })
	queue := b.queue()
	for _, pair := range [][2]string{{"$a", "$r1"}, {"$b", "$r2"}, {"$c", "$r3"}} {
		require.Less(t, slices.Index(queue, pair[0]), slices.Index(queue, pair[1]))
	}
}

// TestTransactionsWaitForTheFeed: after downtime the homeserver sends what it
// has at once. What was taken back meanwhile must be known by then.
func TestTransactionsWaitForTheFeed(t *testing.T) {
	hs := newHomeserver(t)
	path := filepath.Join(t.TempDir(), "db")
	startFeed(t, hs, bridgeOptions{path: path}).stop()
	hs.feed.add(redact("$r", "$a"))
	hs.feed.change(func(f *fakeFeed) { f.status = http.StatusBadGateway })
	b := startBridge(t, hs, bridgeOptions{path: path, redactions: RedactionsSync, network: &network{rows: true}})
	answered := make(chan int, 1)
	go func() {
		body, _ := json.Marshal(map[string]any{"events": []any{evt("$a", "one")}})
		code, _ := hs.push(context.Background(), hsToken, "1", body)
		answered <- code
	}()
	b.eventually("the transaction is stored", func() bool { return b.journalCount() == 1 })
	select {
	case <-answered:
		t.Fatal("the transaction did not wait")
	case <-time.After(50 * time.Millisecond):
	}
	hs.feed.change(func(f *fakeFeed) { f.status = 0 })
	require.Equal(t, http.StatusOK, <-answered)
	b.inQueue("$a", "$r")
}

// TestTokenAndRedactionsAreOne: the token never gets ahead of what it stands for.
func TestTokenAndRedactionsAreOne(t *testing.T) {
	ctx := context.Background()
	for name, table := range map[string]string{"token": "teams_cursor", "redaction": "teams_journal"} {
		t.Run(name, func(t *testing.T) {
			hs := newHomeserver(t)
			b := startFeed(t, hs, bridgeOptions{})
			b.push(hs, "1", evt("$a", "one"))
			b.inQueue("$a")
			before, err := b.db.Cursors.LoadCursor(ctx, feedScope)
			require.NoError(t, err)
			_, err = b.db.Exec(ctx, `CREATE TRIGGER broken BEFORE INSERT ON `+table+` BEGIN SELECT RAISE(ABORT, 'disk'); END`)
			require.NoError(t, err)
			hs.feed.add(redact("$r", "$a"))
			b.eventually("storing failed", func() bool { return b.conn.Redactions().LastError != "" })
			require.Zero(t, b.journalCount())
			now, err := b.db.Cursors.LoadCursor(ctx, feedScope)
			require.NoError(t, err)
			require.Equal(t, before.Link, now.Link)
			require.Equal(t, []string{"$a"}, b.queue())
			_, err = b.db.Exec(ctx, `DROP TRIGGER broken`)
			require.NoError(t, err)
			b.inQueue("$a", "$r")
			b.eventually("no error", func() bool { return b.conn.Redactions().LastError == "" })
		})
	}
}

// TestGap: more redactions than an answer holds. Reading the rest goes on where
// it was after a restart, and the feed does not wait for it.
func TestGap(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	hs.feed.change(func(f *fakeFeed) { f.limit, f.page = 2, 2 })
	for i := range 10 {
		hs.feed.add(evt(fmt.Sprintf("$older%d", i), "long before", map[string]any{"origin_server_ts": 1}))
	}
	path := filepath.Join(t.TempDir(), "db")
	b := startFeed(t, hs, bridgeOptions{path: path})
	at := b.clock.Now().UnixMilli()
	var targets, redactions []map[string]any
	for i := range 9 {
		targets = append(targets, evt(fmt.Sprintf("$m%d", i), "x"))
		redactions = append(redactions, redact(fmt.Sprintf("$r%d", i), fmt.Sprintf("$m%d", i), map[string]any{"origin_server_ts": at}))
	}
	b.push(hs, "1", append(targets, evt("$another", "x"))...)
	b.eventually("queued", func() bool { return len(b.queue()) == 10 })
	b.stop()
	hs.feed.add(redactions...)
	hs.feed.change(func(f *fakeFeed) { f.msgs = http.StatusBadGateway })
	b = startFeed(t, hs, bridgeOptions{path: path})
	b.eventually("the newest are there", func() bool { return len(b.queue()) == 12 })
	gaps, err := b.db.Cursors.ListCursors(ctx, gapScope)
	require.NoError(t, err)
	require.Len(t, gaps, 2, "one gap is read twice")
	hs.feed.add(redact("$unrelated", "$another"))
	b.eventually("the feed goes on meanwhile", func() bool { return slices.Contains(b.queue(), "$unrelated") })
	b.stop()

	_, before := hs.feed.counts()
	hs.feed.change(func(f *fakeFeed) { f.msgs = 0 })
	b = startFeed(t, hs, bridgeOptions{path: path})
	b.eventually("everything is there", func() bool {
		n := 0
		for _, queued := range b.queue() {
			if queued[:2] == "$r" {
				n++
			}
		}
		return n == 9
	})
	b.eventually("the gap is closed", func() bool {
		gaps, err := b.db.Cursors.ListCursors(ctx, gapScope)
		return err == nil && len(gaps) == 0
	})
	_, after := hs.feed.counts()
	// Five pages, and six from the room's end, and one request of the bridge before
	// that was still on its way; on to the beginning of the room it would be twice that.
	require.LessOrEqual(t, after-before, 12, "reading ends behind the gap")
}

// What a homeserver loses where two pages of a gap meet, or where the first one meets
// what came with the feed, is found in pages that meet elsewhere.
func TestGapLosesNothingAtASeam(t *testing.T) {
	for _, seam := range []string{"older", "newer"} {
		hs := newHomeserver(t)
		path := filepath.Join(t.TempDir(), "db")
		b := startFeed(t, hs, bridgeOptions{path: path})
		b.eventually("ready", func() bool { syncs, _ := hs.feed.counts(); return syncs > 0 })
		const n = 330
		var targets, redactions []map[string]any
		at := b.clock.Now().UnixMilli()
		for i := range n {
			targets = append(targets, evt(fmt.Sprintf("$m%d", i), "x"))
			redactions = append(redactions, redact(fmt.Sprintf("$r%d", i), fmt.Sprintf("$m%d", i), map[string]any{"origin_server_ts": at}))
		}
		b.push(hs, "1", targets...)
		b.eventually("queued", func() bool { return len(b.queue()) == n })
		b.stop()
		hs.feed.change(func(f *fakeFeed) { f.limit, f.page, f.seam = 3, 100, seam })
		hs.feed.add(redactions...)
		b = startFeed(t, hs, bridgeOptions{path: path})
		b.eventually("everything is there "+seam, func() bool {
			found := map[string]bool{}
			for _, queued := range b.queue() {
				found[queued] = true
			}
			for i := range n {
				if !found[fmt.Sprintf("$r%d", i)] {
					return false
				}
			}
			return true
		})
		b.eventually("the gap is closed", func() bool {
			gaps, err := b.db.Cursors.ListCursors(t.Context(), gapScope)
			return err == nil && len(gaps) == 0
		})
		b.stop()
	}
}

func TestHomeserverDown(t *testing.T) {
	hs := newHomeserver(t)
	b := startFeed(t, hs, bridgeOptions{})
	b.push(hs, "1", evt("$a", "one"))
	b.inQueue("$a")
	hs.feed.change(func(f *fakeFeed) { f.status = http.StatusServiceUnavailable })
	b.eventually("it is told", func() bool { return b.conn.Redactions().LastError != "" })
	hs.feed.add(redact("$r", "$a"))
	from, _ := hs.feed.counts()
	hs.feed.change(func(f *fakeFeed) { f.status = 0 })
	b.inQueue("$a", "$r")
	hs.feed.mu.Lock()
	defer hs.feed.mu.Unlock()
	require.Equal(t, "s0", hs.feed.syncs[from], "it went on from the same place")
}

// TestTokenRefused: the homeserver lost its memory; what came since the last
// stored position is read from the rooms.
func TestTokenRefused(t *testing.T) {
	for name, status := range map[string]int{"readable": 0, "forbidden": http.StatusForbidden} {
		t.Run(name, func(t *testing.T) {
			hs := newHomeserver(t)
			path := filepath.Join(t.TempDir(), "db")
			b := startFeed(t, hs, bridgeOptions{path: path})
			b.push(hs, "1", evt("$a", "one"), evt("$b", "two"))
			b.inQueue("$a", "$b")
			b.stop()
			hs.feed.add(redact("$r", "$a", map[string]any{"origin_server_ts": b.clock.Now().UnixMilli()}), evt("$later", "x"))
			hs.feed.change(func(f *fakeFeed) { f.forgot, f.msgs = 2, status })
			b = startFeed(t, hs, bridgeOptions{path: path})
			if status == 0 {
				b.inQueue("$a", "$b", "$r")
			} else {
				b.eventually("the loss is counted", func() bool { return b.count(RedactionGapLost) == 1 })
			}
			hs.feed.add(redact("$again", "$b"))
			b.eventually("the feed goes on", func() bool { return slices.Contains(b.queue(), "$again") })
		})
	}
}

// TestOwnRedactions: what the bridge redacts is gone in Teams.
func TestOwnRedactions(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startFeed(t, hs, bridgeOptions{})
	b.push(hs, "1", evt("$a", "one"), evt("$b", "two"), evt("$c", "three"))
	b.inQueue("$a", "$b", "$c")
	puppet := *b.main.Matrix.AS.Client("@alice:example.com")
	_, err := puppet.RedactEvent(WithKey(ctx, "k1"), portalRoom, "$a", mautrix.ReqRedact{Reason: "deleted in Teams"})
	require.NoError(t, err)
	_, err = puppet.SendMessageEvent(WithKey(ctx, "k2"), portalRoom, event.EventRedaction, &event.RedactionEventContent{Redacts: "$b"})
	require.NoError(t, err)
	hs.feed.add(
		redact("$r1", "$a"), redact("$r2", "$b"),
		redact("$bot", "$c", map[string]any{"sender": "@teamsbot:example.com"}),
		redact("$ghost", "$c", map[string]any{"sender": "@teams_1:example.com"}),
		redact("$marked", "$c", map[string]any{"content": map[string]any{"fi.mau.double_puppet_source": "teamsbridge"}}),
		redact("$elsewhere", "$c", map[string]any{"state_key": ""}),
		redact("$r3", "$c"),
	)
	b.inQueue("$a", "$b", "$c", "$r3")
	require.Equal(t, 2, b.count(RedactionOwn))
}

// TestRefusedOwnRedaction: a redaction that the homeserver refused is nobody's.
func TestRefusedOwnRedaction(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startFeed(t, hs, bridgeOptions{})
	own := b.conn.feed.own
	undo, err := own.begin(ctx, portalRoom, "$a", "@alice:example.com")
	require.NoError(t, err)
	has, err := own.has(ctx, portalRoom, "$a")
	require.NoError(t, err)
	require.True(t, has)
	again, err := own.begin(ctx, portalRoom, "$a", "@alice:example.com")
	require.NoError(t, err)
	again()
	has, err = own.has(ctx, portalRoom, "$a")
	require.NoError(t, err)
	require.True(t, has, "who comes second forgets nothing")
	undo()
	has, err = own.has(ctx, portalRoom, "$a")
	require.NoError(t, err)
	require.False(t, has)
}

// TestTargetNeverComes: a redaction does not wait for ever, and its time only
// runs while nothing can be on its way.
func TestTargetNeverComes(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startFeed(t, hs, bridgeOptions{})
	hs.feed.add(redact("$r", "$from before the bridge"))
	b.eventually("it waits", func() bool { return b.conn.Redactions().Waiting == 1 })
	b.clock.Advance(defaultRedactionWait - time.Second)
	late := map[string]any{"origin_server_ts": b.clock.Now().Add(-2 * behindLag).UnixMilli()}
	b.push(hs, "1", evt("$late", "the transactions are behind", late))
	b.clock.Advance(time.Minute)
	require.NoError(t, b.conn.journal.settleHeld(ctx))
	require.Equal(t, 1, b.conn.Redactions().Waiting)
	b.clock.Advance(defaultRedactionWait)
	require.NoError(t, b.conn.journal.settleHeld(ctx))
	b.inQueue("$late")
	require.Zero(t, b.conn.Redactions().Waiting)
	require.Equal(t, 1, b.count(RedactionTargetNeverCame))
}

// TestRedactionWaitsForARow: somebody redacts what the bridge is just sending.
func TestRedactionWaitsForARow(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startFeed(t, hs, bridgeOptions{})
	hs.feed.add(redact("$r", "$x"))
	b.eventually("it waits", func() bool { return b.conn.Redactions().Waiting == 1 })
	_, err := b.db.Outbox.Enqueue(ctx, &database.OutboxRow{EventID: "$x", Portal: "c:2", Kind: database.KindMessage})
	require.NoError(t, err)
	b.clock.Advance(holdLook)
	require.NoError(t, b.conn.journal.settleHeld(ctx))
	require.Zero(t, b.conn.Redactions().Waiting)
	b.eventually("the framework had it", func() bool { return b.journalCount() == 0 })
}

// TestReactionToWhatHasNoRow: the event was sent by the bridge, but its delivery
// was cut off before its row was written. A reaction to it waits; one to an
// event that nobody knows does not.
func TestReactionToWhatHasNoRow(t *testing.T) {
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{redactions: RedactionsPush, network: &network{rows: true}})
	_, err := b.db.Echoes.Record(context.Background(), []database.Echo{{SourceKey: "t/c/1/0/new:", EventID: "$sent", RoomID: portalRoom, At: b.clock.Now()}})
	require.NoError(t, err)
	keeps := func(eventID, target string, age time.Duration) bool {
		entry := database.JournalEntry{EventID: eventID, RoomID: portalRoom, Type: "m.reaction", ReceivedAt: b.clock.Now().Add(-age),
			Raw: []byte(`{"content":{"m.relates_to":{"rel_type":"m.annotation","event_id":"` + target + `"}}}`)}
		require.NoError(t, b.db.Journal.Append(context.Background(), []database.JournalEntry{entry}))
		status := &bridgev2.MessageStatus{InternalError: fmt.Errorf("reaction %w", bridgev2.ErrTargetMessageNotFound)}
		return b.conn.waitsForTarget(context.Background(), status, eventID)
	}
	require.True(t, keeps("$known", "$sent", 0))
	require.False(t, keeps("$unknown", "$nothing", 0))
	require.False(t, keeps("$old", "$sent", 2*unclaimedWait), "it does not wait for ever")

	message := func(eventID, relType, target string, age time.Duration) bool {
		entry := database.JournalEntry{EventID: eventID, RoomID: portalRoom, Type: "m.room.message", ReceivedAt: b.clock.Now().Add(-age),
			Raw: []byte(`{"content":{"m.relates_to":{"rel_type":"` + relType + `","event_id":"` + target + `"}}}`)}
		require.NoError(t, b.db.Journal.Append(context.Background(), []database.JournalEntry{entry}))
		return b.conn.waitsForTarget(context.Background(), &bridgev2.MessageStatus{InternalError: bridgev2.ErrTargetMessageNotFound}, eventID)
	}
	require.True(t, message("$reply", "m.thread", "$root", 0), "the network side says that the root is on its way")
	require.False(t, message("$late reply", "m.thread", "$root", 2*comingWait))
	require.True(t, message("$edit", "m.replace", "$reply", 0), "what it edits waits itself")
	require.True(t, message("$early edit", "m.replace", "$not told", 0), "the homeserver may tell of its message later")
	require.False(t, message("$edit of nothing", "m.replace", "$nothing", 2*comingWait))
	_, err = b.db.Echoes.Record(context.Background(), []database.Echo{{SourceKey: goneKey("$gone"), RoomID: portalRoom, At: b.clock.Now()}})
	require.NoError(t, err)
	require.False(t, message("$edit of what came redacted", "m.replace", "$gone", 0), "its message never comes")
}

// TestRedactionOfWhatIsTriedAgain: the target's handling failed because of us
// and will be repeated. Its redaction must not be forgotten meanwhile.
func TestRedactionOfWhatIsTriedAgain(t *testing.T) {
	ctx := context.Background()
	for _, mode := range []string{RedactionsPush, RedactionsSync} {
		t.Run(mode, func(t *testing.T) {
			hs := newHomeserver(t)
			b := startBridge(t, hs, bridgeOptions{redactions: mode, network: &network{rows: true, err: fmt.Errorf("enqueue: %w", ErrNotStored)}})
			if mode == RedactionsPush {
				b.push(hs, "1", evt("$a", "x"), redact("$r", "$a"))
			} else {
				b.eventually("the feed runs", func() bool { return b.conn.feed.isReady() })
				b.push(hs, "1", evt("$a", "x"))
				hs.feed.add(redact("$r", "$a"))
			}
			b.eventually("both failed", func() bool { return len(b.statusList()) == 2 })
			require.Equal(t, 2, b.journalCount())
			require.Equal(t, event.MessageStatusPending, b.statusList()[1].Status)
			b.network.mu.Lock()
			b.network.err = nil
			b.network.mu.Unlock()
			b.clock.Advance(retryDelay)
			require.NoError(t, b.conn.journal.retry(ctx))
			b.inQueue("$a", "$r")
		})
	}
}

// TestWeave: where a redaction goes among the events of a transaction.
func TestWeave(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startFeed(t, hs, bridgeOptions{})
	at := func(eventID string, ts int, fields ...map[string]any) map[string]any {
		return evt(eventID, "", append([]map[string]any{{"origin_server_ts": ts}}, fields...)...)
	}
	other := map[string]any{"room_id": "!other:example.com"}
	for name, tc := range map[string]struct {
		redactedAt int
		events     []map[string]any
		want       string
	}{
		"made again":         {20, []map[string]any{at("$t", 10), at("$x", 30)}, "[$t $r $x]"},
		"something between":  {20, []map[string]any{at("$a", 5), at("$t", 10), at("$x", 15), at("$y", 30)}, "[$a $t $x $r $y]"},
		"other rooms":        {20, []map[string]any{at("$t", 10), at("$x", 1, other), at("$y", 30)}, "[$t $r $x $y]"},
		"target at the end":  {20, []map[string]any{at("$x", 10), at("$t", 15)}, "[$x $t $r]"},
		"a clock that jumps": {1, []map[string]any{at("$t", 10), at("$x", 15)}, "[$t $r $x]"},
		"not its target":     {20, []map[string]any{at("$x", 10)}, "[$x]"},
	} {
		t.Run(name, func(t *testing.T) {
			j := b.conn.journal
			j.handMu.Lock()
			defer j.handMu.Unlock()
			j.hold = newHolding(0)
			redaction := redact("$r", "$t", map[string]any{"origin_server_ts": tc.redactedAt})
			require.NoError(t, j.db.Journal.Done(ctx, "$r"))
			require.NoError(t, j.db.Journal.Append(ctx, []database.JournalEntry{{EventID: "$r", RoomID: portalRoom, Type: redactionType, Raw: mustJSON(t, redaction)}}))
			j.hold.add("$r", &held{target: "$t"})
			var raw []json.RawMessage
			for _, e := range tc.events {
				raw = append(raw, mustJSON(t, e))
			}
			out, _ := j.weave(ctx, raw)
			var ids []string
			for _, e := range out {
				var evt struct {
					EventID string `json:"event_id"`
				}
				require.NoError(t, json.Unmarshal(e, &evt))
				ids = append(ids, evt.EventID)
			}
			require.Equal(t, tc.want, fmt.Sprint(ids))
		})
	}
}

func TestRecentIsBounded(t *testing.T) {
	r := newRecent(passedSize)
	for i := range 2*passedSize + 1 {
		r.add(fmt.Sprint(i))
	}
	require.Len(t, r.ids, passedSize)
	require.False(t, r.has("0"))
	require.True(t, r.has(fmt.Sprint(2*passedSize)))
	require.True(t, r.has(fmt.Sprint(passedSize+1)))
}

// TestDecision: who pushes redactions and who has to be asked.
func TestDecision(t *testing.T) {
	dendriteFeatures := `{"versions":["v1.2"],"unstable_features":{"org.matrix.e2e_cross_signing":true,"org.matrix.msc2285.stable":true,"org.matrix.msc3916.stable":true}}`
	synapseFeatures := `{"versions":["v1.11"],"unstable_features":{"org.matrix.label_based_filtering":true,"org.matrix.e2e_cross_signing":true}}`
	for name, tc := range map[string]struct{ software, versions, source, homeserver string }{
		"Dendrite":              {software: `{"server":{"name":"Dendrite","version":"0.15.2+abc"}}`, source: RedactionsSync, homeserver: "Dendrite 0.15.2+abc"},
		"Synapse":               {software: `{"server":{"name":"Synapse","version":"1.150"}}`, source: RedactionsPush, homeserver: "Synapse 1.150"},
		"another":               {software: `{"server":{"name":"Conduit"}}`, source: RedactionsPush, homeserver: "Conduit"},
		"nonsense":              {software: `<html>`, source: RedactionsPush},
		"nothing":               {source: RedactionsPush},
		"Dendrite's client API": {versions: dendriteFeatures, source: RedactionsSync, homeserver: "Dendrite"},
		"Synapse's client API":  {versions: synapseFeatures, source: RedactionsPush, homeserver: "Synapse"},
	} {
		t.Run(name, func(t *testing.T) {
			hs := newHomeserver(t)
			hs.feed.change(func(f *fakeFeed) { f.software, f.versions = tc.software, tc.versions })
			b := startBridge(t, hs, bridgeOptions{redactions: RedactionsAuto})
			b.eventually("decided", func() bool { return b.conn.Redactions().Source != "" })
			require.Equal(t, tc.source, b.conn.Redactions().Source)
			require.Equal(t, tc.homeserver, b.conn.Redactions().Homeserver)
			if tc.source == RedactionsPush {
				syncs, _ := hs.feed.counts()
				require.Zero(t, syncs)
			}
		})
	}
}

// TestDecisionIsRemembered: an earlier answer counts while there is none, and
// without one the question is asked again.
func TestDecisionIsRemembered(t *testing.T) {
	hs := newHomeserver(t)
	path := filepath.Join(t.TempDir(), "db")
	hs.feed.change(func(f *fakeFeed) {
		f.software, f.status = `{"server":{"name":"Dendrite","version":"1"}}`, http.StatusBadGateway
	})
	b := startBridge(t, hs, bridgeOptions{path: path, redactions: RedactionsAuto})
	b.eventually("asked in vain", func() bool { return b.conn.Redactions().LastError != "" })
	require.Empty(t, b.conn.Redactions().Source)
	hs.feed.change(func(f *fakeFeed) { f.status = 0 })
	b.eventually("decided", func() bool { return b.conn.Redactions().Source == RedactionsSync })
	b.eventually("it runs", func() bool { return b.conn.feed.isReady() })
	b.stop()
	hs.feed.change(func(f *fakeFeed) { f.status = http.StatusBadGateway })
	b = startBridge(t, hs, bridgeOptions{path: path, redactions: RedactionsAuto})
	b.eventually("known from before", func() bool { return b.conn.Redactions().Source == RedactionsSync })
	require.Equal(t, "Dendrite 1", b.conn.Redactions().Homeserver)
}

func TestPushFollowsNothing(t *testing.T) {
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{network: &network{rows: true}})
	b.push(hs, "1", evt("$a", "one"), redact("$r", "$a"))
	b.inQueue("$a", "$r")
	require.Equal(t, RedactionState{Source: RedactionsPush}, b.conn.Redactions())
	syncs, _ := hs.feed.counts()
	require.Zero(t, syncs)
	_, err := b.main.Matrix.AS.Client("@alice:example.com").RedactEvent(WithKey(context.Background(), "k"), portalRoom, id.EventID("$a"))
	require.NoError(t, err)
}

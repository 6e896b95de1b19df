package matrix

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

func TestMessageReachesOutbox(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	code, text := hs.push(ctx, hsToken, "1", txnBody(t, evt("$a", "one"), evt("$b", "two")))
	require.Equal(t, 200, code, text)
	b.eventually("both messages are queued in order", func() bool { return fmt.Sprint(b.queue()) == "[$a $b]" })
	b.eventually("the outbox owns them", func() bool { return b.journalCount() == 0 })
}

// TestRedelivery: a homeserver may send a transaction any number of times, and
// Dendrite more events under the same id.
func TestRedelivery(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	first, more := txnBody(t, evt("$a", "one")), txnBody(t, evt("$a", "one"), evt("$b", "two"))
	for _, body := range [][]byte{first, first, more, more} {
		code, text := hs.push(ctx, hsToken, "1", body)
		require.Equal(t, 200, code, text)
	}
	code, _ := hs.push(ctx, hsToken, "2", txnBody(t, evt("$c", "three")))
	require.Equal(t, 200, code)
	b.eventually("each event once, in order", func() bool { return fmt.Sprint(b.queue()) == "[$a $b $c]" })
	require.Zero(t, b.journalCount(), "what the outbox has is not journalled again")
}

// TestCrashBetweenAppendAndHandling: acknowledged, not handled, process gone.
func TestCrashBetweenAppendAndHandling(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	path := filepath.Join(t.TempDir(), "db")
	stuck := &network{block: make(chan struct{})}
	b := startBridge(t, hs, bridgeOptions{path: path, network: stuck})
	var want []string
	for i := range 5 {
		id := fmt.Sprintf("$m%d", i)
		want = append(want, id)
		code, text := hs.push(ctx, hsToken, id, txnBody(t, evt(id, "hello")))
		require.Equal(t, 200, code, text)
	}
	require.Empty(t, b.queue())
	require.Equal(t, 5, b.journalCount())
	b.stop()

	b = startBridge(t, hs, bridgeOptions{path: path, noStart: true})
	// A new transaction is stored but does not overtake what is replayed.
	done := make(chan int)
	go func() {
		code, _ := hs.push(ctx, hsToken, "new", txnBody(t, evt("$new", "later")))
		done <- code
	}()
	b.eventually("the new event is durable", func() bool { return b.journalCount() == 6 })
	require.Empty(t, b.queue())
	b.main.PostStart()
	b.main.PostStart()
	require.Equal(t, 200, <-done)
	want = append(want, "$new")
	b.eventually("everything in order, once", func() bool { return fmt.Sprint(b.queue()) == fmt.Sprint(want) })
	b.eventually("the journal is empty", func() bool { return b.journalCount() == 0 })
}

// TestStopWhileWaiting: a stop does not hold the homeserver.
func TestStopWhileWaiting(t *testing.T) {
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{noStart: true})
	done := make(chan int)
	go func() {
		code, _ := hs.push(context.Background(), hsToken, "1", txnBody(t, evt("$a", "one")))
		done <- code
	}()
	b.eventually("stored", func() bool { return b.journalCount() == 1 })
	b.conn.PreStop()
	require.Equal(t, 503, <-done)
}

// TestDatabaseFailure: what is not durable is not acknowledged.
func TestDatabaseFailure(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	_, err := b.db.Exec(ctx, "ALTER TABLE teams_journal RENAME TO gone")
	require.NoError(t, err)
	body := txnBody(t, evt("$a", "one"))
	code, text := hs.push(ctx, hsToken, "1", body)
	require.Equal(t, 500, code)
	require.Equal(t, "M_UNKNOWN", errcode(text))
	require.Empty(t, b.queue(), "the framework did not see it either")
	_, err = b.db.Exec(ctx, "ALTER TABLE gone RENAME TO teams_journal")
	require.NoError(t, err)
	code, _ = hs.push(ctx, hsToken, "1", body)
	require.Equal(t, 200, code)
	b.eventually("the second try counts", func() bool { return fmt.Sprint(b.queue()) == "[$a]" })
}

func TestRefusals(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{maxBody: 10_000})
	good := txnBody(t, evt("$a", "one"))
	for _, test := range []struct {
		name, token string
		body        []byte
		code        int
		errcode     string
	}{
		{"no token", "", good, 401, "M_MISSING_TOKEN"},
		{"wrong token", "guess", good, 401, "M_UNKNOWN_TOKEN"},
		{"the other token", asToken, good, 401, "M_UNKNOWN_TOKEN"},
		{"prefix of the token", hsToken[:5], good, 401, "M_UNKNOWN_TOKEN"},
		{"too large", hsToken, txnBody(t, evt("$a", strings.Repeat("x", 10_000))), 413, "M_TOO_LARGE"},
		{"empty", hsToken, nil, 400, "M_BAD_JSON"},
		{"not JSON", hsToken, []byte("hello"), 400, "M_BAD_JSON"},
		{"cut", hsToken, good[:len(good)-5], 400, "M_BAD_JSON"},
		{"a list", hsToken, []byte("[]"), 400, "M_BAD_JSON"},
		{"events is no list", hsToken, []byte(`{"events":7}`), 400, "M_BAD_JSON"},
		{"event is no object", hsToken, []byte(`{"events":["x"]}`), 400, "M_BAD_JSON"},
		{"event is null", hsToken, []byte(`{"events":[null]}`), 400, "M_BAD_JSON"},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, text := hs.push(ctx, test.token, "1", test.body)
			require.Equal(t, test.code, code, text)
			require.Equal(t, test.errcode, errcode(text))
		})
	}
	require.Zero(t, b.journalCount())
	code, _ := hs.push(ctx, hsToken, "1", []byte(`{}`))
	require.Equal(t, 200, code, "a transaction may have no events")
}

// TestWhatIsJournalled uses a network that takes nothing, so that what was
// journalled stays to be seen.
func TestWhatIsJournalled(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{network: &network{silent: true}})
	content := func(fields map[string]any) map[string]any { return map[string]any{"content": fields} }
	puppet := map[string]any{"msgtype": "m.text", "body": "x", "fi.mau.double_puppet_source": "teamsbridge"}
	for _, test := range []struct {
		name string
		evt  map[string]any
		want bool
	}{
		{"message", evt("$1", "x"), true},
		{"encrypted", evt("$2", "", map[string]any{"type": "m.room.encrypted", "content": map[string]any{"algorithm": "m.megolm.v1.aes-sha2"}}), true},
		{"sticker", evt("$3", "x", map[string]any{"type": "m.sticker"}), true},
		{"reaction", evt("$4", "", map[string]any{"type": "m.reaction"}, content(map[string]any{"m.relates_to": map[string]any{"event_id": "$1", "rel_type": "m.annotation", "key": "+"}})), true},
		{"redaction", evt("$5", "", map[string]any{"type": "m.room.redaction", "redacts": "$1"}), true},
		{"content is nonsense", evt("$6", "", map[string]any{"content": map[string]any{"body": 7}}), true},
		{"other room", evt("$7", "x", map[string]any{"room_id": "!other:example.com"}), false},
		{"state", evt("$8", "", map[string]any{"type": "m.room.topic", "state_key": "", "content": map[string]any{"topic": "x"}}), false},
		{"command", evt("$9", "!teams help"), false},
		{"bot", evt("$10", "x", map[string]any{"sender": "@teamsbot:example.com"}), false},
		{"ghost", evt("$11", "x", map[string]any{"sender": "@teams_1:example.com"}), false},
		{"double puppet", evt("$12", "", content(puppet)), false},
		{"someone else's double puppet", evt("$13", "", content(map[string]any{"msgtype": "m.text", "body": "x", "fi.mau.double_puppet_source": "other"})), true},
		{"ephemeral", evt("$14", "", map[string]any{"type": "m.typing"}), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var txn transaction
			txn.Events = append(txn.Events, bytes.TrimSpace(mustJSON(t, test.evt)))
			got := b.conn.journal.sort(ctx, &txn, b.clock.Now())
			require.Equal(t, test.want, len(got.entries) == 1)
		})
	}
}

// What was said and redacted while the bridge was away comes without content: it
// is no message, and its author is not told that it could not be sent.
func TestRedactedBeforeItCame(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	path := filepath.Join(t.TempDir(), "bridge.db")
	b := startBridge(t, hs, bridgeOptions{path: path})
	gone := map[string]any{"content": map[string]any{}, "unsigned": map[string]any{"redacted_because": map[string]any{"event_id": "$r"}}}
	code, text := hs.push(ctx, hsToken, "1", txnBody(t, evt("$gone", "", gone), evt("$there", "one")))
	require.Equal(t, 200, code, text)
	code, text = hs.push(ctx, hsToken, "2", txnBody(t, evt("$bare", "", map[string]any{"content": map[string]any{}})))
	require.Equal(t, 200, code, text)
	code, text = hs.push(ctx, hsToken, "3", txnBody(t, evt("$last", "two")))
	require.Equal(t, 200, code, text)
	b.eventually("the others are queued", func() bool { return fmt.Sprint(b.queue()) == "[$there $last]" })
	require.Equal(t, 2, b.count(RedactedBefore))
	b.eventually("the journal is empty", func() bool { return b.journalCount() == 0 })

	// Their redactions wait for nothing, also those that a bridge had taken when it died.
	redaction := func(eventID, target string) map[string]any {
		return evt(eventID, "", map[string]any{"type": "m.room.redaction", "redacts": target})
	}
	code, text = hs.push(ctx, hsToken, "4", txnBody(t, redaction("$r", "$gone")))
	require.Equal(t, 200, code, text)
	b.eventually("the journal is empty", func() bool { return b.journalCount() == 0 })
	left := redaction("$r2", "$bare")
	raw, err := json.Marshal(left)
	require.NoError(t, err)
	require.NoError(t, b.db.Journal.Append(ctx, []database.JournalEntry{
		{EventID: "$r2", RoomID: left["room_id"].(string), Type: redactionType, Raw: raw, ReceivedAt: b.clock.Now()}}))
	b.stop()
	b = startBridge(t, hs, bridgeOptions{path: path})
	b.eventually("it is done with", func() bool { return b.count(RedactionOfGone) == 1 && b.journalCount() == 0 })
	require.Zero(t, b.count(RedactionEarly))
	b.conn.journal.mu.Lock()
	defer b.conn.journal.mu.Unlock()
	require.Empty(t, b.conn.journal.open, "nothing waits for its turn")
}

// TestEveryEntryIsClosed: whatever the framework does with an event, a sweep or
// two later the journal is empty.
func TestEveryEntryIsClosed(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{network: &network{silent: true}})
	relates := map[string]any{"m.relates_to": map[string]any{"event_id": "$none", "rel_type": "m.annotation", "key": "+"}}
	events := []map[string]any{
		evt("$taken silently", "x"),
		evt("$reaction of a relayed user", "", map[string]any{"type": "m.reaction", "content": relates}),
		evt("$redaction of nothing", "", map[string]any{"type": "m.room.redaction", "redacts": "$none"}),
		evt("$notice", "", map[string]any{"content": map[string]any{"msgtype": "m.notice", "body": "x"}}),
		evt("$no permission", "x", map[string]any{"sender": "@stranger:elsewhere.com"}),
		evt("$nonsense", "", map[string]any{"content": map[string]any{"body": 7}}),
		evt("$poll", "", map[string]any{"type": "org.matrix.msc3381.poll.start", "content": map[string]any{}}),
	}
	code, text := hs.push(ctx, hsToken, "1", txnBody(t, events...))
	require.Equal(t, 200, code, text)
	b.eventually("everything went through the framework", func() bool {
		b.conn.journal.mu.Lock()
		defer b.conn.journal.mu.Unlock()
		for _, open := range b.conn.journal.open {
			if !open.dispatched {
				return false
			}
		}
		return true
	})
	require.NoError(t, b.conn.journal.sweep(ctx))
	require.Positive(t, b.journalCount(), "the sweeper leaves young entries alone")
	b.clock.Advance(settle)
	require.NoError(t, b.conn.journal.sweep(ctx))
	b.eventually("closed", func() bool { return b.journalCount() == 0 })
	require.NoError(t, b.conn.journal.sweep(ctx))
	require.Empty(t, b.conn.journal.open)
}

// TestEntryStaysWhileHandled: an event that is being handled is not closed by
// the sweeper, however long that takes.
func TestEntryStaysWhileHandled(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{network: &network{block: make(chan struct{})}})
	code, _ := hs.push(ctx, hsToken, "1", txnBody(t, evt("$a", "x")))
	require.Equal(t, 200, code)
	b.eventually("in the handler", func() bool { return b.network.callCount() == 1 })
	state := func() openEvent {
		b.conn.journal.mu.Lock()
		defer b.conn.journal.mu.Unlock()
		return *b.conn.journal.open["$a"]
	}
	b.eventually("through the framework", func() bool { return state().dispatched })
	b.clock.Advance(settle)
	require.NoError(t, b.conn.journal.sweep(ctx))
	require.True(t, state().waiting, "the marker is in the queue behind the event")
	require.NoError(t, b.conn.journal.sweep(ctx))
	require.Equal(t, 1, b.journalCount())
	b.network.release()
	b.eventually("the marker passed", func() bool { return !state().waiting })
	require.Equal(t, 1, b.journalCount(), "handling was cancelled, so the event is kept")
}

// TestFailureOfOursIsTriedAgain: a database error in the handler must not cost the message.
func TestFailureOfOursIsTriedAgain(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{network: &network{err: fmt.Errorf("enqueue: %w", ErrNotStored)}})
	code, _ := hs.push(ctx, hsToken, "1", txnBody(t, evt("$a", "x")))
	require.Equal(t, 200, code)
	b.eventually("a status was sent", func() bool { return len(b.statusList()) == 1 })
	status := b.statusList()[0]
	require.Equal(t, event.MessageStatusPending, status.Status)
	require.False(t, status.SendNotice)
	require.Equal(t, 1, b.journalCount())
	require.NoError(t, b.conn.journal.retry(ctx))
	require.Equal(t, 1, b.network.callCount(), "not before its time")
	b.network.mu.Lock()
	b.network.err = nil
	b.network.mu.Unlock()
	b.clock.Advance(retryDelay)
	require.NoError(t, b.conn.journal.retry(ctx))
	b.eventually("queued", func() bool { return fmt.Sprint(b.queue()) == "[$a]" })
	require.Zero(t, b.journalCount())
}

// TestFinalFailureCloses: an answer to the person ends the bridge's duty.
func TestFinalFailureCloses(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{network: &network{err: fmt.Errorf("not like this")}})
	code, _ := hs.push(ctx, hsToken, "1", txnBody(t, evt("$a", "x")))
	require.Equal(t, 200, code)
	b.eventually("told", func() bool { return len(b.statusList()) == 1 })
	b.eventually("closed", func() bool { return b.journalCount() == 0 })
	b.eventually("the status event is in the room", func() bool { return len(hs.events("com.beeper.message_send_status")) == 1 })
}

// TestStuckEvent: what never comes out of the framework is handed again and
// given up in the end, with an error in the log.
func TestStuckEvent(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	encrypted := evt("$e", "", map[string]any{"type": "m.room.encrypted", "content": map[string]any{"algorithm": "m.megolm.v1.aes-sha2"}})
	code, _ := hs.push(ctx, hsToken, "1", txnBody(t, encrypted))
	require.Equal(t, 200, code)
	for range maxStuck {
		b.clock.Advance(stuckAfter)
		require.Equal(t, 1, b.journalCount())
		require.NoError(t, b.conn.journal.sweep(ctx))
	}
	entries, err := b.db.Journal.Pending(ctx, 0, 1)
	require.NoError(t, err)
	require.Equal(t, maxStuck, entries[0].Attempts)
	b.clock.Advance(stuckAfter)
	require.NoError(t, b.conn.journal.sweep(ctx))
	require.Zero(t, b.journalCount())
}

// The framework sends a status beside whoever reports it, whose context may be
// over by then.
func TestStatusOutlivesItsContext(t *testing.T) {
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b.conn.SendMessageStatus(ctx, &bridgev2.MessageStatus{Status: event.MessageStatusSuccess},
		&bridgev2.MessageStatusEventInfo{RoomID: portalRoom, SourceEventID: "$a", EventType: event.EventMessage})
	b.eventually("the status event is in the room", func() bool { return len(hs.events("com.beeper.message_send_status")) == 1 })
}

// What is in Teams before its handler has said that it is queued is not shown as
// waiting any more.
func TestDeliveredIsNotPendingAgain(t *testing.T) {
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	send := func(eventID id.EventID, status event.MessageStatus) {
		b.conn.SendMessageStatus(context.Background(), &bridgev2.MessageStatus{Status: status},
			&bridgev2.MessageStatusEventInfo{RoomID: portalRoom, SourceEventID: eventID, EventType: event.EventMessage})
	}
	send("$a", event.MessageStatusSuccess)
	send("$a", event.MessageStatusPending)
	send("$b", event.MessageStatusRetriable)
	send("$b", event.MessageStatusPending) // it is tried again
	b.eventually("all are in the room", func() bool { return len(hs.events("com.beeper.message_send_status")) == 3 })
	for _, status := range hs.events("com.beeper.message_send_status") {
		if of, _ := status.Content["m.relates_to"].(map[string]any); of["event_id"] == "$a" {
			require.Equal(t, "SUCCESS", status.Content["status"])
		}
	}
}

func TestStateEventsGetNoStatus(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	topic := evt("$t", "", map[string]any{"type": "m.room.topic", "state_key": "", "content": map[string]any{"topic": "x"}})
	code, _ := hs.push(ctx, hsToken, "1", txnBody(t, topic, evt("$a", "x")))
	require.Equal(t, 200, code)
	b.eventually("handled", func() bool { return fmt.Sprint(b.queue()) == "[$a]" })
	for _, status := range b.statusList() {
		require.True(t, status.DisableMSS)
	}
	require.NotEmpty(t, b.statusList())
}

func TestEchoes(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	prove := newProver(asToken)
	own := func(eventID, key string) map[string]any {
		return evt(eventID, "", map[string]any{"sender": "@teams_1:example.com", "content": map[string]any{
			"msgtype": "m.text", "body": "x", SourceField: key, ProofField: prove.proof(portalRoom, key),
		}})
	}
	forged := evt("$forged", "", map[string]any{"content": map[string]any{
		"msgtype": "m.text", "body": "x", SourceField: "k2", ProofField: "guess", "fi.mau.double_puppet_source": "teamsbridge",
	}})
	puppet := evt("$puppet", "", map[string]any{"content": map[string]any{
		"msgtype": "m.text", "body": "x", SourceField: "k3", ProofField: prove.proof(portalRoom, "k3"), "fi.mau.double_puppet_source": "teamsbridge",
	}})
	code, text := hs.push(ctx, hsToken, "1", txnBody(t, own("$1", "k1"), forged, puppet, own("$2", "k1")))
	require.Equal(t, 200, code, text)
	for key, want := range map[string]string{"k1": "$1", "k2": "", "k3": "$puppet"} {
		echo, err := b.db.Echoes.Get(ctx, key)
		require.NoError(t, err)
		if want == "" {
			require.Nil(t, echo, "nobody but the bridge confirms")
			continue
		}
		require.NotNil(t, echo, key)
		require.Equal(t, want, echo.EventID)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Len(t, b.doubled, 1)
	require.Equal(t, "$2", b.doubled[0].EventID)
	require.Zero(t, b.journalCount())
	b.clock.Advance(echoTTL + time.Second)
	require.NoError(t, b.conn.journal.sweep(ctx))
	echo, err := b.db.Echoes.Get(ctx, "k1")
	require.NoError(t, err)
	require.Nil(t, echo)
}

// TestLargeTransaction is the size that Synapse sends after an outage.
func TestLargeTransaction(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	var events []map[string]any
	var want []string
	for i := range 100 {
		id := fmt.Sprintf("$%03d", i)
		want = append(want, id)
		events = append(events, evt(id, strings.Repeat("x", 20_000)))
	}
	code, text := hs.push(ctx, hsToken, "1", txnBody(t, events...))
	require.Equal(t, 200, code, text)
	b.eventually("all in order", func() bool { return fmt.Sprint(b.queue()) == fmt.Sprint(want) })
	require.Zero(t, b.journalCount())
}

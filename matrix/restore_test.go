package matrix

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

// status is what the bot says of an event.
func (b *bridge) status(of, status string, delivered map[string]any) map[string]any {
	content := map[string]any{"m.relates_to": map[string]any{"rel_type": "m.reference", "event_id": of}, "status": status}
	if delivered != nil {
		content[DeliveredField] = delivered
	}
	return b.said("$status of "+of+status, time.Minute, map[string]any{"type": "com.beeper.message_send_status", "sender": "@teamsbot:example.com", "content": content})
}

// TestDatabaseThatWasSetBack: the homeserver knows a later sign of life than the
// database, so the rooms are read before anything passes.
func TestDatabaseThatWasSetBack(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	path := filepath.Join(t.TempDir(), "db")
	before := startBridge(t, hs, bridgeOptions{path: path})
	<-before.conn.journal.gate
	before.push(hs, "1", before.said("$known", time.Minute))
	before.inQueue("$known")
	before.stop()
	require.NotEmpty(t, hs.alive)

	hs.feed.change(func(f *fakeFeed) { f.page = 3 })
	key := "19:x/1/0/new:"
	source := map[string]any{"msgtype": "m.text", "body": "from Teams", SourceField: key, ProofField: newProver(asToken).proof(portalRoom, key)}
	for i := range 9 {
		hs.feed.add(before.said(fmt.Sprintf("$old %d", i), 24*time.Hour))
	}
	again := func(status map[string]any) map[string]any {
		status["event_id"] = fmt.Sprint(status["event_id"], " again")
		return status
	}
	hs.feed.add(
		before.said("$known", time.Minute),
		before.said("$echo", 48*time.Hour, map[string]any{"sender": "@teams_1:example.com", "content": source}),
		before.said("$delivered", time.Minute), before.status("$delivered", "PENDING", nil), before.status("$delivered", "SUCCESS", map[string]any{"parts": []any{}}),
		// Two that came late, of which the second has nothing to say.
		again(before.status("$delivered", "PENDING", nil)), again(before.status("$delivered", "SUCCESS", nil)),
		before.said("$refused", time.Minute), before.status("$refused", "FAIL_PERMANENT", nil),
		before.said("$doubtful", time.Minute),
		before.said("$edit", time.Minute, map[string]any{"content": map[string]any{"msgtype": "m.text", "body": "* x", "m.new_content": map[string]any{"msgtype": "m.text", "body": "x"},
			"m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": "$delivered"}}}),
		before.said("$gone", time.Minute, map[string]any{"content": map[string]any{}, "unsigned": map[string]any{"redacted_because": map[string]any{"event_id": "$redaction", "sender": "@alice:example.com"}}}),
		before.status("$gone", "SUCCESS", map[string]any{"parts": []any{}}),
		before.said("$forged", time.Minute, map[string]any{"type": "com.beeper.message_send_status", "content": map[string]any{
			"m.relates_to": map[string]any{"event_id": "$doubtful"}, "status": "SUCCESS"}}),
	)
	for i := range 9 { // a backlog that came last, with the times that it has in Teams
		late := fmt.Sprintf("19:x/late%d/0/new:", i)
		hs.feed.add(before.said(fmt.Sprintf("$late %d", i), 48*time.Hour, map[string]any{"sender": "@teams_1:example.com",
			"content": map[string]any{"msgtype": "m.text", "body": "late", SourceField: late, ProofField: newProver(asToken).proof(portalRoom, late)}}))
	}
	hs.alive = fmt.Sprintf(`{"at":%d}`, before.clock.Now().Add(10*time.Minute).UnixMilli())
	after := startBridge(t, hs, bridgeOptions{path: path})
	after.inQueue("$known", "$delivered", "$doubtful")
	<-after.conn.Restored()
	after.mu.Lock()
	defer after.mu.Unlock()
	require.Len(t, after.delivered, 2)
	require.Equal(t, "$delivered", after.delivered[0].EventID.String())
	require.JSONEq(t, `{"parts":[]}`, string(after.delivered[0].What))
	require.Equal(t, "$gone", after.delivered[1].EventID.String())
	require.Equal(t, "$redaction", after.delivered[1].Redaction.String())
	require.Equal(t, after.delivered[1].Sender, after.delivered[1].By)
	require.Equal(t, []string{"$known", "$doubtful", "$edit"}, eventNames(after.doubted))
	echo, err := after.db.Echoes.Get(ctx, key)
	require.NoError(t, err)
	require.NotNil(t, echo, "what is old in Teams and came late counts as well")
	require.Equal(t, "$echo", echo.EventID)
	open, err := after.db.Restores.Open(ctx)
	require.NoError(t, err)
	require.Nil(t, open)
}

// TestClocksThatDifferAreNoRestore: the next instance's clock is behind that of the
// one before, and it dies when it has noted in the database that it works, and not
// yet at the homeserver.
func TestClocksThatDifferAreNoRestore(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	path := filepath.Join(t.TempDir(), "db")
	ahead := startBridge(t, hs, bridgeOptions{path: path})
	<-ahead.conn.journal.gate
	ahead.clock.Advance(90 * time.Second)
	require.NoError(t, ahead.conn.alive.tell(ctx))
	ahead.stop()
	told := hs.alive
	behind := startBridge(t, hs, bridgeOptions{path: path})
	<-behind.conn.journal.gate
	require.True(t, behind.clock.Now().Before(ahead.clock.Now()))
	behind.stop()
	hs.alive = told
	after := startBridge(t, hs, bridgeOptions{path: path})
	<-after.conn.Restored()
	restored, err := after.db.Restores.Any(ctx)
	require.NoError(t, err)
	require.False(t, restored)
}

func eventNames[T ~string](events []T) (out []string) {
	for _, e := range events {
		out = append(out, string(e))
	}
	return out
}

// TestTransactionsWaitForARestoredDatabase: what was said before a transaction has
// to be journalled before it, so it is not taken until the rooms were read.
func TestTransactionsWaitForARestoredDatabase(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	path := filepath.Join(t.TempDir(), "db")
	before := startBridge(t, hs, bridgeOptions{path: path})
	<-before.conn.journal.gate
	require.NoError(t, before.db.Restores.Begin(ctx, database.Restore{Since: before.clock.Now()}))
	before.stop()
	hs.feed.change(func(f *fakeFeed) { f.msgs = 502 })
	hs.feed.add(before.said("$earlier", time.Minute))

	after := startBridge(t, hs, bridgeOptions{path: path})
	impatient, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	code, _ := hs.push(impatient, hsToken, "2", txnBody(t, after.said("$later", 0)))
	require.NotEqual(t, 200, code)
	require.Empty(t, after.queue())
	require.Zero(t, after.journalCount(), "it would be in front of what was said before it")
	select {
	case <-after.conn.Restored():
		require.Fail(t, "nothing was read")
	default:
	}
	hs.feed.change(func(f *fakeFeed) { f.msgs = 0 })
	<-after.conn.Restored()
	after.push(hs, "2", after.said("$later", 0))
	after.inQueue("$earlier", "$later")
}

// TestToldLateBeforeARestore: the homeserver was minutes behind when the copy was made,
// so it has told the bridge before of what was said earlier; and its clock is ahead of
// the one by which that worked.
func TestToldLateBeforeARestore(t *testing.T) {
	hs := newHomeserver(t)
	path := filepath.Join(t.TempDir(), "db")
	before := startBridge(t, hs, bridgeOptions{path: path})
	<-before.conn.journal.gate
	now := before.clock.Now()
	require.NoError(t, before.db.Restores.Begin(context.Background(), database.Restore{Since: now, Until: now}))
	before.stop()
	hs.feed.add(before.said("$told late", 5*time.Minute), before.said("$by a clock ahead", -90*time.Second), before.said("$after it", -time.Hour))
	after := startBridge(t, hs, bridgeOptions{path: path})
	after.inQueue("$told late", "$by a clock ahead", "$after it")
	<-after.conn.Restored()
	after.mu.Lock()
	defer after.mu.Unlock()
	require.Equal(t, []string{"$told late", "$by a clock ahead"}, eventNames(after.doubted))
}

// TestRoomsThatARestoredDatabaseDoesNotKnow are taken over where the bot made them
// and says what they mirror. Into a room of somebody else anybody can invite it.
func TestRoomsThatARestoredDatabaseDoesNotKnow(t *testing.T) {
	state := func(creator, teller, bot string) []map[string]any {
		return []map[string]any{
			{"type": "m.room.create", "state_key": "", "sender": creator, "content": map[string]any{}},
			{"type": "m.bridge", "state_key": "k", "sender": teller, "content": map[string]any{"bridgebot": bot, "channel": map[string]any{"id": "c:t/new"}}},
		}
	}
	const bot, mallory = "@teamsbot:example.com", "@mallory:example.com"
	hs := newHomeserver(t)
	hs.made = map[string][]map[string]any{
		"!made:example.com": state(bot, bot, bot), "!else:example.com": state(mallory, mallory, bot), "!told:example.com": state(bot, mallory, bot), "!foreign:example.com": state(mallory, bot, bot),
		"!other:example.com": state(bot, bot, "@otherbot:example.com"), "!chat:example.com": state(bot, bot, bot)[:1],
	}
	path := filepath.Join(t.TempDir(), "db")
	before := startBridge(t, hs, bridgeOptions{path: path})
	<-before.conn.journal.gate
	require.Empty(t, before.rooms)
	require.NoError(t, before.db.Restores.Begin(context.Background(), database.Restore{Since: before.clock.Now()}))
	before.stop()
	after := startBridge(t, hs, bridgeOptions{path: path})
	<-after.conn.Restored()
	require.Equal(t, map[id.RoomID]string{"!made:example.com": "c:t/new"}, after.rooms)
}

// TestRoomThatCanNotBeRead holds up nothing: the bot was removed from it, or there is
// no such room any more.
func TestRoomThatCanNotBeRead(t *testing.T) {
	for _, status := range []int{403, 404} {
		hs := newHomeserver(t)
		path := filepath.Join(t.TempDir(), "db")
		before := startBridge(t, hs, bridgeOptions{path: path})
		<-before.conn.journal.gate
		require.NoError(t, before.db.Restores.Begin(context.Background(), database.Restore{Since: before.clock.Now()}))
		before.stop()
		hs.feed.change(func(f *fakeFeed) { f.msgs = status })
		after := startBridge(t, hs, bridgeOptions{path: path})
		<-after.conn.Restored()
		after.push(hs, "1", after.said("$later", 0))
		after.inQueue("$later")
		after.stop()
	}
}

// TestNothingIsReadWithoutReason: a start that nothing was lost before reads no room.
func TestNothingIsReadWithoutReason(t *testing.T) {
	hs := newHomeserver(t)
	path := filepath.Join(t.TempDir(), "db")
	for range 2 {
		b := startBridge(t, hs, bridgeOptions{path: path})
		<-b.conn.Restored()
		<-b.conn.journal.gate
		_, pages := hs.feed.counts()
		require.Zero(t, pages)
		var alive aliveContent
		require.NoError(t, json.Unmarshal([]byte(hs.alive), &alive))
		require.Equal(t, b.clock.Now().UnixMilli(), alive.At)
		b.stop()
	}
}

// TestStatusSaysWhatBecameOfAnEvent: only statuses do, and only where it is given.
func TestStatusSaysWhatBecameOfAnEvent(t *testing.T) {
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	what := json.RawMessage(`{"parts":[{"part":0,"id":"1"}]}`)
	for _, ctx := range []context.Context{WithDelivered(context.Background(), what), context.Background()} {
		_, err := b.conn.Bot.SendMessageEvent(ctx, portalRoom, eventStatus, map[string]any{"status": "SUCCESS"})
		require.NoError(t, err)
		_, err = b.conn.Bot.SendText(ctx, portalRoom, "words")
		require.NoError(t, err)
	}
	statuses := hs.events(eventStatus.Type)
	require.Len(t, statuses, 2)
	require.Equal(t, map[string]any{"status": "SUCCESS", DeliveredField: map[string]any{"parts": []any{map[string]any{"part": 0.0, "id": "1"}}}}, statuses[0].Content)
	require.NotContains(t, statuses[1].Content, DeliveredField)
	for _, said := range hs.events("m.room.message") {
		require.NotContains(t, said.Content, DeliveredField)
	}
}

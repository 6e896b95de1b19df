package databasetest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"teamsbridge/database"
)

// secretWord is in everything that people wrote, and in every secret, of these tests.
const secretWord = "Rumpelstilzchen"

// otherSecret is an encryption key that comes after Secret.
const otherSecret = "the key that comes after the first"

// withKeys are stores on the same database with other keys, as after a restart.
func withKeys(t *testing.T, e *env, secret string, previous ...string) *database.Database {
	t.Helper()
	seal, err := database.NewSealer(secret, previous...)
	require.NoError(t, err)
	return database.NewWithClock(e.db.Database, zerolog.Nop(), seal, e.clock.Now)
}

// plant puts words into everything that waits, numbered, and checks that they come
// out again.
func plant(t *testing.T, ctx context.Context, db *database.Database, n int) {
	t.Helper()
	word := func(what string) []byte { return fmt.Appendf(nil, `{"body":"%s %s %d"}`, secretWord, what, n) }
	r := row(fmt.Sprintf("$out%d", n), "c:1")
	r.Payload = word("outbox")
	_, err := db.Outbox.Enqueue(ctx, r)
	require.NoError(t, err)
	parked := row(fmt.Sprintf("$parked%d", n), "c:1")
	parked.Payload = word("parked")
	_, err = db.Outbox.Enqueue(ctx, parked)
	require.NoError(t, err)
	require.NoError(t, db.Outbox.Park(ctx, parked.ID, "refused", "Teams refused it"))
	_, err = db.Inbox.Accept(ctx, []database.InboxRow{{Portal: "c:1", MessageID: fmt.Sprint("in", n), Version: int64(n + 1), Payload: word("inbox")}})
	require.NoError(t, err)
	part := database.InboxRow{Portal: "c:1", MessageID: fmt.Sprint("part", n), Version: int64(n + 1), Payload: word("in part")}
	_, err = db.Inbox.Accept(ctx, []database.InboxRow{part})
	require.NoError(t, err)
	require.NoError(t, db.Inbox.DeliveredInPart(ctx, "c:1", part.MessageID, part.Version, time.UnixMilli(int64(1)<<50)))
	require.NoError(t, db.Journal.Append(ctx, []database.JournalEntry{{EventID: fmt.Sprintf("$journal%d", n), RoomID: "!r", Type: "m.room.message", Raw: word("journal")}}))
	require.NoError(t, db.Accounts.SaveToken(ctx, fmt.Sprint("account", n), string(word("token"))))
	require.NoError(t, db.Keys.Set(ctx, fmt.Sprint("key", n), word("key")))
	require.NoError(t, db.Subscriptions.Upsert(ctx, database.Subscription{ID: fmt.Sprint("sub", n), ClientState: string(word("state"))}))
	require.NoError(t, db.Uploads.Begin(ctx, database.Upload{EventID: fmt.Sprintf("$out%d", n), URI: "mxc://a/b", Session: word("session")}))
	require.NoError(t, db.Uploads.Finish(ctx, database.Upload{EventID: fmt.Sprintf("$parked%d", n), URI: "mxc://a/b", Attachment: word("attachment")}))
	require.NoError(t, db.Notifications.AppendNotification(ctx, word("notification"), time.UnixMilli(int64(n+1))))
	_, err = db.Polls.Start(ctx, database.Poll{EventID: fmt.Sprintf("$poll%d", n), Portal: "c:1", RoomID: "!r", Content: word("poll")})
	require.NoError(t, err)
	_, err = db.Polls.Vote(ctx, database.PollVote{EventID: fmt.Sprintf("$vote%d", n), PollID: fmt.Sprintf("$poll%d", n), Portal: "c:1", Answers: []string{string(word("answer"))}})
	require.NoError(t, err)
	require.NoError(t, db.Digests.Plan(ctx, database.Digest{ID: fmt.Sprint("digest", n), Portal: "c:1", Head: string(word("head")), Notice: string(word("notice"))},
		[]database.DigestEntry{{EventID: fmt.Sprintf("$entry%d", n), HTML: string(word("html")), Reactions: string(word("reactions"))}}))
	harvest(t, ctx, db, n)
}

// harvest checks that what was planted is there.
func harvest(t *testing.T, ctx context.Context, db *database.Database, n int) {
	t.Helper()
	word := func(what string) string { return fmt.Sprintf(`{"body":"%s %s %d"}`, secretWord, what, n) }
	for event, what := range map[string]string{"$out": "outbox", "$parked": "parked"} {
		r, err := db.Outbox.ByEvent(ctx, fmt.Sprint(event, n))
		require.NoError(t, err)
		require.NoError(t, r.Unreadable)
		require.Equal(t, word(what), string(r.Payload))
	}
	in, err := db.Inbox.Get(ctx, "c:1", fmt.Sprint("in", n))
	require.NoError(t, err)
	require.NoError(t, in.Unreadable)
	require.Equal(t, word("inbox"), string(in.Payload))
	in, err = db.Inbox.Get(ctx, "c:1", fmt.Sprint("part", n))
	require.NoError(t, err)
	require.NoError(t, in.Unreadable)
	require.Equal(t, word("in part"), string(in.Payload))
	entry, err := db.Journal.Get(ctx, fmt.Sprintf("$journal%d", n))
	require.NoError(t, err)
	require.NoError(t, entry.Unreadable)
	require.Equal(t, word("journal"), string(entry.Raw))
	token, err := db.Accounts.LoadToken(ctx, fmt.Sprint("account", n))
	require.NoError(t, err)
	require.Equal(t, word("token"), token)
	key, err := db.Keys.Get(ctx, fmt.Sprint("key", n))
	require.NoError(t, err)
	require.Equal(t, word("key"), string(key))
	up, err := db.Uploads.Get(ctx, fmt.Sprintf("$out%d", n), "mxc://a/b")
	require.NoError(t, err)
	require.Equal(t, word("session"), string(up.Session))
	up, err = db.Uploads.Get(ctx, fmt.Sprintf("$parked%d", n), "mxc://a/b")
	require.NoError(t, err)
	require.Equal(t, word("attachment"), string(up.Attachment))
	notes, err := db.Notifications.PendingNotifications(ctx, 99)
	require.NoError(t, err)
	i := slices.IndexFunc(notes, func(x database.RawNotification) bool { return x.ReceivedAt.UnixMilli() == int64(n+1) })
	require.NoError(t, notes[i].Unreadable)
	require.Equal(t, word("notification"), string(notes[i].Body))
	poll, err := db.Polls.Get(ctx, fmt.Sprintf("$poll%d", n))
	require.NoError(t, err)
	require.NoError(t, poll.Unreadable)
	require.Equal(t, word("poll"), string(poll.Content))
	vote, err := db.Polls.GetVote(ctx, fmt.Sprintf("$vote%d", n))
	require.NoError(t, err)
	require.NoError(t, vote.Unreadable)
	require.Equal(t, []string{word("answer")}, vote.Answers)
	digest, err := db.Digests.Get(ctx, fmt.Sprint("digest", n))
	require.NoError(t, err)
	require.NoError(t, digest.Unreadable)
	require.Equal(t, word("head")+word("notice"), digest.Head+digest.Notice)
	entry2, err := db.Digests.ByEvent(ctx, fmt.Sprintf("$entry%d", n))
	require.NoError(t, err)
	require.NoError(t, entry2.Unreadable)
	require.Equal(t, word("html")+word("reactions"), entry2.HTML+entry2.Reactions)
	subs, err := db.Subscriptions.All(ctx)
	require.NoError(t, err)
	require.Contains(t, fmt.Sprint(subs), word("state"))
}

func testSealed(t *testing.T, ctx context.Context, e *env) {
	for n := range 3 {
		plant(t, ctx, e.db, n)
	}
	RequireSealed(t, ctx, e.db.Database, secretWord)
	harvest(t, ctx, e.other, 1)

	// An edit's text that replaces a queued one, and what is brought back.
	r, err := e.db.Outbox.ByEvent(ctx, "$out1")
	require.NoError(t, err)
	ok, err := e.db.Outbox.ReplacePayload(ctx, r.ID, []byte(secretWord+" edited"))
	require.NoError(t, err)
	require.True(t, ok)
	ok, err = e.db.Outbox.MarkSending(ctx, r)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, secretWord+" edited", string(r.Payload))
	_, err = e.db.Inbox.Redeliver(ctx, []database.InboxRow{{Portal: "c:1", MessageID: "in1", Version: 9, Payload: []byte(secretWord + " again")}})
	require.NoError(t, err)
	due, err := e.db.Inbox.Due(ctx, "c:1", e.clock.Now(), 9)
	require.NoError(t, err)
	require.Len(t, due, 3)
	for _, in := range due {
		require.Contains(t, string(in.Payload), secretWord)
	}
	RequireSealed(t, ctx, e.db.Database, secretWord)
	_, err = e.db.Exec(ctx, `UPDATE teams_outbox SET detail = $1`, secretWord)
	require.NoError(t, err)
	require.Contains(t, Dump(t, ctx, e.db.Database), secretWord, "the walk finds what is there")
}

// testSealsAreBound swaps values between rows and columns.
func testSealsAreBound(t *testing.T, ctx context.Context, e *env) {
	plant(t, ctx, e.db, 0)
	plant(t, ctx, e.db, 1)
	for _, swap := range []string{
		`UPDATE teams_outbox SET payload = (SELECT payload FROM teams_outbox WHERE event_id = '$out1') WHERE event_id = '$out0'`,
		`UPDATE teams_outbox SET payload = (SELECT raw FROM teams_journal WHERE event_id = '$journal1') WHERE event_id = '$parked0'`,
		`UPDATE teams_inbox SET payload = (SELECT payload FROM teams_inbox WHERE message_id = 'in1') WHERE message_id = 'in0'`,
		`UPDATE teams_inbox SET version = version + 1 WHERE message_id = 'in1'`,
		`UPDATE teams_notification SET body = (SELECT body FROM teams_notification WHERE received_at = 2) WHERE received_at = 1`,
		`UPDATE teams_upload SET attachment = (SELECT attachment FROM teams_upload WHERE event_id = '$parked1') WHERE event_id = '$parked0'`,
		`UPDATE teams_poll SET content = (SELECT content FROM teams_poll WHERE event_id = '$poll1') WHERE event_id = '$poll0'`,
		`UPDATE teams_poll_vote SET answers = (SELECT answers FROM teams_poll_vote WHERE event_id = '$vote1') WHERE event_id = '$vote0'`,
		`UPDATE teams_digest SET head = notice WHERE id = 'digest0'`,
		`UPDATE teams_digest_entry SET html = (SELECT html FROM teams_digest_entry WHERE event_id = '$entry1') WHERE event_id = '$entry0'`,
		`UPDATE teams_journal SET raw = (SELECT raw FROM teams_journal WHERE event_id = '$journal1') WHERE event_id = '$journal0'`,
	} {
		n, err := e.db.Exec(ctx, swap)
		require.NoError(t, err, swap)
		changed, err := n.RowsAffected()
		require.NoError(t, err)
		require.EqualValues(t, 1, changed, swap)
	}
	for _, event := range []string{"$out0", "$parked0"} {
		r, err := e.other.Outbox.ByEvent(ctx, event)
		require.NoError(t, err)
		require.ErrorIs(t, r.Unreadable, database.ErrUnsealable, event)
		require.Empty(t, r.Payload)
	}
	for _, id := range []string{"in0", "in1"} {
		in, err := e.other.Inbox.Get(ctx, "c:1", id)
		require.NoError(t, err)
		require.ErrorIs(t, in.Unreadable, database.ErrUnsealable, id)
		require.Empty(t, in.Payload)
	}
	notes, err := e.other.Notifications.PendingNotifications(ctx, 9)
	require.NoError(t, err)
	require.ErrorIs(t, notes[0].Unreadable, database.ErrUnsealable)
	require.NoError(t, notes[1].Unreadable)
	up, err := e.other.Uploads.Get(ctx, "$parked0", "mxc://a/b")
	require.NoError(t, err)
	require.ErrorIs(t, up.Unreadable, database.ErrUnsealable)
	polls, votes, err := e.other.Polls.Unreadable(ctx)
	require.NoError(t, err)
	require.Len(t, polls, 1)
	require.ErrorIs(t, polls[0].Unreadable, database.ErrUnsealable)
	require.Len(t, votes, 1)
	require.ErrorIs(t, votes[0].Unreadable, database.ErrUnsealable)
	digest, err := e.other.Digests.Get(ctx, "digest0")
	require.NoError(t, err)
	require.ErrorIs(t, digest.Unreadable, database.ErrUnsealable)
	entry, err := e.other.Digests.ByEvent(ctx, "$entry0")
	require.NoError(t, err)
	require.ErrorIs(t, entry.Unreadable, database.ErrUnsealable)
	entries, err := e.other.Journal.Pending(ctx, 0, 9)
	require.NoError(t, err)
	require.Len(t, entries, 2, "one value that does not open hides no other")
	require.ErrorIs(t, entries[0].Unreadable, database.ErrUnsealable)
	require.NoError(t, entries[1].Unreadable)
}

// inTheClear makes everything that was planted look as a version left it that did not
// seal what people wrote.
func inTheClear(t *testing.T, ctx context.Context, e *env, n int) {
	t.Helper()
	set := func(query string, what string) {
		_, err := e.db.Exec(ctx, query, fmt.Appendf(nil, `{"body":"%s %s %d"}`, secretWord, what, n))
		require.NoError(t, err)
	}
	set(fmt.Sprintf(`UPDATE teams_outbox SET payload = $1 WHERE event_id = '$out%d'`, n), "outbox")
	set(fmt.Sprintf(`UPDATE teams_outbox SET payload = $1 WHERE event_id = '$parked%d'`, n), "parked")
	set(fmt.Sprintf(`UPDATE teams_inbox SET payload = $1 WHERE message_id = 'in%d'`, n), "inbox")
	set(fmt.Sprintf(`UPDATE teams_journal SET raw = $1 WHERE event_id = '$journal%d'`, n), "journal")
	set(fmt.Sprintf(`UPDATE teams_upload SET attachment = $1 WHERE event_id = '$parked%d'`, n), "attachment")
	set(fmt.Sprintf(`UPDATE teams_poll SET content = $1 WHERE event_id = '$poll%d'`, n), "poll")
	setText := func(query, text string) {
		_, err := e.db.Exec(ctx, query, text)
		require.NoError(t, err)
	}
	answers, err := json.Marshal([]string{fmt.Sprintf(`{"body":"%s answer %d"}`, secretWord, n)})
	require.NoError(t, err)
	setText(fmt.Sprintf(`UPDATE teams_poll_vote SET answers = $1 WHERE event_id = '$vote%d'`, n), string(answers))
	for column, table := range map[string]string{"head": "teams_digest", "notice": "teams_digest", "html": "teams_digest_entry", "reactions": "teams_digest_entry"} {
		id := map[string]string{"teams_digest": fmt.Sprintf("id = 'digest%d'", n), "teams_digest_entry": fmt.Sprintf("event_id = '$entry%d'", n)}[table]
		setText(`UPDATE `+table+` SET `+column+` = $1 WHERE `+id, fmt.Sprintf(`{"body":"%s %s %d"}`, secretWord, column, n))
	}
	set(fmt.Sprintf(`UPDATE teams_notification SET body = $1 WHERE received_at = %d`, n+1), "notification")
}

// testClearRows reads what a version before left, and seals it in small batches
// that are cut off again and again.
func testClearRows(t *testing.T, ctx context.Context, e *env) {
	const rows = 7
	for n := range rows {
		plant(t, ctx, e.db, n)
		inTheClear(t, ctx, e, n)
		harvest(t, ctx, e.db, n)
	}
	require.Contains(t, Dump(t, ctx, e.db.Database), secretWord)
	status, err := e.db.Sealing.Status(ctx)
	require.NoError(t, err)
	require.False(t, status.Done)
	sealed, steps := 0, 0
	for done := false; !done; steps++ {
		// Every other step is rolled back, as a crash does it, and the next one is
		// another process's.
		_ = e.db.DoTxn(ctx, nil, func(ctx context.Context) error {
			_, _, err := e.db.Sealing.Step(ctx, 3)
			require.NoError(t, err)
			return fmt.Errorf("crash")
		})
		var n int
		n, done, err = withKeys(t, e, Secret).Sealing.Step(ctx, 3)
		require.NoError(t, err)
		require.LessOrEqual(t, n, 3)
		sealed += n
		require.Less(t, steps, 100)
	}
	require.Equal(t, 12*rows, sealed)
	require.Greater(t, steps, 8, "the batches are small")
	RequireSealed(t, ctx, e.db.Database, secretWord)
	require.NoError(t, e.db.Sealing.Tidy(ctx))
	for n := range rows {
		harvest(t, ctx, e.db, n)
	}
	queue, err := e.db.Outbox.Queue(ctx, "c:1", 99)
	require.NoError(t, err)
	require.Len(t, queue, rows)
	for i, r := range queue {
		require.Equal(t, fmt.Sprintf("$out%d", i), r.EventID, "the order is what it was")
	}
	status, err = e.db.Sealing.Status(ctx)
	require.NoError(t, err)
	require.Equal(t, database.SealStatus{Done: true}, status)
}

// testRotation changes the key while rows come, change and go.
func testRotation(t *testing.T, ctx context.Context, e *env) {
	const before = 9
	for n := range before {
		plant(t, ctx, e.db, n)
	}
	inTheClear(t, ctx, e, 3)
	now := withKeys(t, e, otherSecret, Secret)
	requireMissing(t, ctx, now, 0)
	status, err := now.Sealing.Status(ctx)
	require.NoError(t, err)
	require.False(t, status.Done)
	for n := range before {
		harvest(t, ctx, now, n)
	}

	var traffic sync.WaitGroup
	traffic.Go(func() {
		for n := before; n < 2*before; n++ {
			plant(t, ctx, now, n)
			r, err := now.Outbox.ByEvent(ctx, fmt.Sprintf("$out%d", n-before))
			if err != nil || r == nil {
				t.Errorf("row %d is not there: %v", n-before, err)
				return
			}
			text := strings.Replace(string(r.Payload), "outbox", "edited", 1)
			if _, err = now.Outbox.ReplacePayload(ctx, r.ID, []byte(text)); err != nil {
				t.Error(err)
			}
			if ok, err := now.Accounts.RotateToken(ctx, fmt.Sprint("account", n-before), fmt.Sprintf(`{"body":"%s token %d"}`, secretWord, n-before), "next "+secretWord); err != nil || !ok {
				t.Errorf("the token of account %d was not stored: %v", n-before, err)
			}
		}
	})
	for done := false; !done; {
		// A restart with every step.
		_, done, err = withKeys(t, e, otherSecret, Secret).Sealing.Step(ctx, 2)
		require.NoError(t, err)
	}
	traffic.Wait()
	status, err = now.Sealing.Status(ctx)
	require.NoError(t, err)
	require.Equal(t, database.SealStatus{Done: true}, status)

	alone := withKeys(t, e, otherSecret)
	for n := range before {
		r, err := alone.Outbox.ByEvent(ctx, fmt.Sprintf("$out%d", n))
		require.NoError(t, err)
		require.NoError(t, r.Unreadable)
		require.Equal(t, fmt.Sprintf(`{"body":"%s edited %d"}`, secretWord, n), string(r.Payload))
		token, err := alone.Accounts.LoadToken(ctx, fmt.Sprint("account", n))
		require.NoError(t, err)
		require.Equal(t, "next "+secretWord, token)
		harvest(t, ctx, alone, before+n)
	}
	RequireSealed(t, ctx, e.db.Database, secretWord)
	// The key before is of no use any more, and coming back to it begins anew.
	status, err = withKeys(t, e, Secret).Sealing.Status(ctx)
	require.NoError(t, err)
	require.False(t, status.Done)
}

// openHook is a sealer that says what is opened, before it is used.
type openHook struct {
	database.Sealer
	opened func(context string)
}

func (h *openHook) Open(sealed []byte, context string) ([]byte, error) {
	if h.opened != nil {
		h.opened(context)
	}
	return h.Sealer.Open(sealed, context)
}

// testChangedWhileSealed changes values between the look at them and their being
// sealed anew, and the other way round.
func testChangedWhileSealed(t *testing.T, ctx context.Context, e *env) {
	plant(t, ctx, e.db, 0)
	require.NoError(t, e.db.Accounts.SaveToken(ctx, "a", "token 0"))
	now := withKeys(t, e, otherSecret, Secret)
	seal, err := database.NewSealer(otherSecret, Secret)
	require.NoError(t, err)
	hook := &openHook{Sealer: seal}
	hooked := database.NewWithClock(e.db.Database, zerolog.Nop(), hook, e.clock.Now)

	// A token that is sealed anew between the look at it and its replacement is
	// replaced all the same: the one that came in exchange is the only good one.
	hook.opened = func(string) {
		hook.opened = nil
		_, _, err := now.Sealing.Step(ctx, 9)
		require.NoError(t, err)
	}
	ok, err := hooked.Accounts.RotateToken(ctx, "a", "token 0", "token 1")
	require.NoError(t, err)
	require.True(t, ok)
	ok, err = hooked.Accounts.RotateToken(ctx, "a", "token 0", "token x")
	require.NoError(t, err)
	require.False(t, ok)

	// What is edited while it is sealed anew says what the edit says.
	r, err := now.Outbox.ByEvent(ctx, "$out0")
	require.NoError(t, err)
	hook.opened = func(context string) {
		if !strings.HasPrefix(context, "teams_outbox.payload") {
			return
		}
		hook.opened = nil
		ok, err := now.Outbox.ReplacePayload(ctx, r.ID, []byte("edited meanwhile"))
		require.NoError(t, err)
		require.True(t, ok)
	}
	for done := false; !done; {
		_, done, err = hooked.Sealing.Step(ctx, 9)
		require.NoError(t, err)
	}
	require.Nil(t, hook.opened)
	alone := withKeys(t, e, otherSecret)
	r, err = alone.Outbox.ByEvent(ctx, "$out0")
	require.NoError(t, err)
	require.Equal(t, "edited meanwhile", string(r.Payload))
	token, err := alone.Accounts.LoadToken(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, "token 1", token)
}

// requireMissing checks that it is said which key is missing, for how many values.
func requireMissing(t *testing.T, ctx context.Context, db *database.Database, values int) {
	t.Helper()
	missing, err := db.Sealing.Missing(ctx)
	require.NoError(t, err)
	if values == 0 {
		require.Empty(t, missing)
		return
	}
	id, err := database.KeyID(Secret)
	require.NoError(t, err)
	require.Equal(t, []database.MissingKey{{ID: id, Values: values}}, missing)
}

// testLostKey has a key that opens nothing.
func testLostKey(t *testing.T, ctx context.Context, e *env) {
	for n := range 2 {
		plant(t, ctx, e.db, n)
	}
	lost := withKeys(t, e, otherSecret)
	queue, err := lost.Outbox.Queue(ctx, "c:1", 9)
	require.NoError(t, err)
	require.Len(t, queue, 2)
	for _, r := range queue {
		require.ErrorIs(t, r.Unreadable, database.ErrUnknownKey)
	}
	due, err := lost.Inbox.Due(ctx, "c:1", e.clock.Now(), 9)
	require.NoError(t, err)
	require.Len(t, due, 2)
	require.ErrorIs(t, due[0].Unreadable, database.ErrUnknownKey)
	entries, err := lost.Journal.Pending(ctx, 0, 9)
	require.NoError(t, err)
	require.Len(t, entries, 2)
	require.ErrorIs(t, entries[0].Unreadable, database.ErrUnknownKey)

	for done := false; !done; {
		_, done, err = lost.Sealing.Step(ctx, 5)
		require.NoError(t, err)
	}
	status, err := lost.Sealing.Status(ctx)
	require.NoError(t, err)
	require.Equal(t, 2*17, status.Unopened)
	require.True(t, status.Done, "no configured key helps")
	requireMissing(t, ctx, lost, 2*17)
	requireMissing(t, ctx, database.New(e.db.Database, zerolog.Nop(), nil), 2*17)

	// What is known from elsewhere is put back.
	ok, err := lost.Outbox.Restore(ctx, queue[0].ID, []byte("again"))
	require.NoError(t, err)
	require.True(t, ok)
	ok, err = lost.Outbox.Restore(ctx, queue[0].ID, []byte("twice"))
	require.NoError(t, err)
	require.False(t, ok, "it can be read by now")
	again := due[0]
	again.Payload = []byte("again")
	ok, err = lost.Inbox.Restore(ctx, again)
	require.NoError(t, err)
	require.True(t, ok)
	again.Version++
	ok, err = lost.Inbox.Restore(ctx, again)
	require.NoError(t, err)
	require.False(t, ok, "another version")
	require.NoError(t, lost.Journal.Restore(ctx, entries[0].EventID, []byte("again")))
	r, err := lost.Outbox.Next(ctx, "c:1")
	require.NoError(t, err)
	require.Equal(t, "again", string(r.Payload))
	in, err := lost.Inbox.Get(ctx, "c:1", due[0].MessageID)
	require.NoError(t, err)
	require.Equal(t, "again", string(in.Payload))
	entry, err := lost.Journal.Get(ctx, entries[0].EventID)
	require.NoError(t, err)
	require.Equal(t, "again", string(entry.Raw))

	// With the right key back, they are looked at once more.
	back := withKeys(t, e, otherSecret, Secret)
	require.NoError(t, back.Sealing.Again(ctx))
	for done := false; !done; {
		_, done, err = back.Sealing.Step(ctx, 5)
		require.NoError(t, err)
	}
	status, err = back.Sealing.Status(ctx)
	require.NoError(t, err)
	require.Equal(t, database.SealStatus{Done: true}, status)
	harvest(t, ctx, lost, 1)
	requireMissing(t, ctx, lost, 0)

	// Without any key nothing is stored, and nothing is shown.
	none := database.New(e.db.Database, zerolog.Nop(), nil)
	_, err = none.Outbox.Enqueue(ctx, row("$none", "c:1"))
	require.ErrorIs(t, err, database.ErrNoSealer)
	_, _, err = none.Sealing.Step(ctx, 5)
	require.ErrorIs(t, err, database.ErrNoSealer)
	r, err = none.Outbox.ByEvent(ctx, "$out1")
	require.NoError(t, err)
	require.ErrorIs(t, r.Unreadable, database.ErrNoSealer)
}

package bridge

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
	"teamsbridge/portal"
)

// queueRig is a database with a bit of everything in the queues, and what the
// commands have woken.
type queueRig struct {
	*queues
	woken []string
	told  int
}

func newQueueRig(t *testing.T) *queueRig {
	t.Helper()
	now := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	db := testDB(t)
	r := &queueRig{}
	cat := newCatalog(nil)
	for _, conv := range conversations() {
		cat.byID[conv.Portal] = conv
	}
	wake := func(portalID string) { r.woken = append(r.woken, portalID) }
	r.queues = &queues{db: db, catalog: cat, metrics: portal.NoMetrics{}, now: func() time.Time { return now },
		toTeams: wake, toMatrix: func(portalID string) { wake("matrix " + portalID) }, tell: func() { r.told++ },
		due: func(ctx context.Context, portalID string) {
			_, err := db.Outbox.RetryNow(ctx, portalID)
			require.NoError(t, err)
			wake(portalID)
		}}
	r.holds = newHolds(db, r.now, func() {})
	put := func(event, portalID, kind, target string, age time.Duration) *database.OutboxRow {
		row := &database.OutboxRow{EventID: event, Portal: portalID, RoomID: "!room:hs.example", Kind: kind, TargetEventID: target,
			SenderMXID: "@ann:hs.example", Payload: []byte("what nobody is to see"), CreatedAt: now.Add(-age), EventAt: now.Add(-age)}
		_, err := db.Outbox.Enqueue(t.Context(), row)
		require.NoError(t, err)
		return row
	}
	bad := put("$bad", "c:1/a", database.KindMessage, "", 3*time.Hour)
	badEdit := put("$edit", "c:1/a", database.KindEdit, "$bad", 3*time.Hour)
	require.NoError(t, db.Outbox.Park(t.Context(), bad.ID, "bad request", "Teams refused it"))
	require.NoError(t, db.Outbox.Park(t.Context(), badEdit.ID, "target not in Teams", "the message never got to Teams"))
	head := put("$head", "c:1/a", database.KindMessage, "", 2*time.Hour)
	require.NoError(t, db.Outbox.Retry(t.Context(), head.ID, now.Add(time.Minute), "unavailable"))
	put("$second", "c:1/a", database.KindMessage, "", time.Hour)
	sending := put("$sending", "c:1/b", database.KindMessage, "", time.Minute)
	_, err := db.Outbox.MarkSending(t.Context(), sending)
	require.NoError(t, err)
	_, err = db.Inbox.Accept(t.Context(), []database.InboxRow{{Portal: "c:1/b", MessageID: "1700000000000", Version: 1,
		Payload: []byte(`{"secret":"what nobody is to see"}`), CreatedAt: now.Add(-time.Hour)}})
	require.NoError(t, err)
	require.NoError(t, db.Inbox.Park(t.Context(), "c:1/b", "1700000000000", 1, "homeserver refuses the event"))
	return r
}

func (r *queueRig) say(t *testing.T, text string) string {
	t.Helper()
	answer, err := r.command(t.Context(), text, "@admin:hs.example")
	require.NoError(t, err)
	require.NotContains(t, answer, "nobody is to see", "what is said is nobody's business")
	return answer
}

func (r *queueRig) state(t *testing.T, event string) string {
	t.Helper()
	row, err := r.db.Outbox.ByEvent(t.Context(), event)
	require.NoError(t, err)
	return row.State + " " + row.Reason
}

func TestQueueShowsWhatWaitsAndWhy(t *testing.T) {
	r := newQueueRig(t)
	text := r.say(t, "")
	require.Contains(t, text, "* **Sales EMEA/General** – 2 waiting, the oldest for 2 hours, 2 parked – unavailable, tried again at 2026-03-02 10:01 UTC")
	require.Contains(t, text, `R&D \*secret\*** – 1 waiting, the oldest for 1 minute, 1 from Teams parked – being sent`)

	text = r.say(t, "show sales emea/general")
	require.Contains(t, text, "`$bad` message by @ann:hs.example in Sales EMEA/General – parked, 3 hours old: bad request – Teams refused it")
	require.Less(t, strings.Index(text, "$head"), strings.Index(text, "$second"), "in order")
	require.NotContains(t, text, "$sending")
	require.Contains(t, r.say(t, "show Sales EMEA"), "From Teams: `1700000000000` by somebody")
	require.Contains(t, r.say(t, "show $head"), "queued, 2 hours old: unavailable")
	require.Contains(t, r.say(t, "show $unknown"), "Nothing of")
	require.Contains(t, r.say(t, "show Seles EMEA"), "Did you mean “Sales EMEA”?")
	require.Contains(t, r.say(t, "show Sales EMEA/Genral"), "Did you mean “General”?")
	require.Contains(t, r.say(t, "frobnicate"), "Usage")
	require.Contains(t, r.say(t, "drop"), "Usage")
}

func TestQueueRetry(t *testing.T) {
	r := newQueueRig(t)
	require.Contains(t, r.say(t, "retry $bad"), "2 parked messages are back")
	require.Equal(t, "queued ", r.state(t, "$bad"))
	require.Equal(t, "queued ", r.state(t, "$edit"), "what was parked because of it follows")
	next, err := r.db.Outbox.Next(t.Context(), "c:1/a")
	require.NoError(t, err)
	require.Equal(t, "$bad", next.EventID, "at its place")
	require.False(t, next.HeldUntil.IsZero(), "it does not count as too old")
	require.Equal(t, []string{"c:1/a"}, r.woken)
	head, err := r.db.Outbox.ByEvent(t.Context(), "$head")
	require.NoError(t, err)
	require.True(t, head.NextAt.IsZero())

	require.Contains(t, r.say(t, "retry all"), "1 message from Teams is tried again")
	require.Contains(t, r.woken, "matrix c:1/b")
	row, err := r.db.Inbox.Get(t.Context(), "c:1/b", "1700000000000")
	require.NoError(t, err)
	require.Equal(t, database.StatePending, row.State)
	require.Contains(t, r.say(t, "retry Care"), "Nothing of")
}

// A parked edit that a newer one has overtaken would put back what that replaced.
func TestQueueRetryOfAnOvertakenEdit(t *testing.T) {
	r := newQueueRig(t)
	newer := &database.OutboxRow{EventID: "$newer", Portal: "c:1/a", RoomID: "!room:hs.example", Kind: database.KindEdit,
		TargetEventID: "$bad", SenderMXID: "@ann:hs.example", Payload: []byte("x")}
	_, err := r.db.Outbox.Enqueue(t.Context(), newer)
	require.NoError(t, err)
	require.NoError(t, r.db.Outbox.Finish(t.Context(), newer.ID, database.StateDone, ""))
	r.say(t, "retry $edit")
	require.Equal(t, "failed a newer edit is in Teams", r.state(t, "$edit"))
	require.Equal(t, "done ", r.state(t, "$newer"))
}

func TestQueueDropAsksFirst(t *testing.T) {
	r := newQueueRig(t)
	require.Contains(t, r.say(t, "drop Sales EMEA"), "6 messages of team **Sales EMEA** out of the queue for good, and tell their authors. Say `queue drop Sales EMEA --yes`")
	require.Equal(t, "parked bad request", r.state(t, "$bad"))
	require.Zero(t, r.told)

	require.Contains(t, r.say(t, "drop $head"), "1 message was dropped", "one needs no question")
	require.Equal(t, "failed dropped by an administrator", r.state(t, "$head"))
	require.Equal(t, 1, r.told)
	untold, err := r.db.Outbox.Untold(t.Context(), 0, 100)
	require.NoError(t, err)
	require.Equal(t, "$head", untold[len(untold)-1].EventID, "its author is told")
	require.Contains(t, r.say(t, "drop $sending"), "1 message was left: Teams may have a part of it")

	text := r.say(t, "drop Sales EMEA —yes")
	require.Contains(t, text, "4 messages were dropped")
	require.Contains(t, text, "1 message was left")
	require.Equal(t, "sending ", r.state(t, "$sending"))
	row, err := r.db.Inbox.Get(t.Context(), "c:1/b", "1700000000000")
	require.NoError(t, err)
	require.Equal(t, database.StateDone, row.State)
	require.Empty(t, row.Payload)
}

// What Teams has a part of is named, with the parts, whether it is dropped or left.
func TestQueueDropSaysWhatIsPartlyInTeams(t *testing.T) {
	r := newQueueRig(t)
	part := func(event string, n int, known bool) {
		require.NoError(t, r.db.Sent.Begin(t.Context(), database.SentPart{EventID: event, Part: n, Portal: "c:1/a"}))
		if known {
			require.NoError(t, r.db.Sent.Confirm(t.Context(), event, n, fmt.Sprint(event, n), ""))
		}
	}
	part("$bad", 0, true)
	part("$bad", 1, true)
	part("$bad", 2, false)
	part("$sending", 0, true)
	text := r.say(t, "drop Sales EMEA --yes")
	require.Contains(t, text, "5 messages were dropped")
	require.Contains(t, text, "1 message was left")
	require.Contains(t, text, "\n* `$bad` is partly in Teams: parts 1, 2 are there.\n* `$bad`: nobody knows yet if part 3 is in Teams.")
	require.Contains(t, text, "\n* `$sending` is partly in Teams: part 1 is there.")
	require.NotContains(t, text, "$head")

	r = newQueueRig(t)
	var events []string
	require.NoError(t, r.db.DoTxn(t.Context(), nil, func(ctx context.Context) error {
		for i := range maxListed + 7 {
			row := &database.OutboxRow{EventID: fmt.Sprint("$many", i), Portal: "c:1/a", RoomID: "!room:hs.example", Kind: database.KindMessage,
				SenderMXID: "@ann:hs.example", Payload: []byte("what nobody is to see"), EventAt: r.now()}
			if _, err := r.db.Outbox.Enqueue(ctx, row); err != nil {
				return err
			}
			events = append(events, row.EventID)
		}
		return nil
	}))
	for _, event := range events {
		part(event, 0, true)
	}
	text = r.say(t, "drop Sales EMEA --yes")
	require.Equal(t, maxListed, strings.Count(text, "is partly in Teams: part 1"))
	require.Contains(t, text, "7 more messages are partly in Teams.")
}

func TestQueuePauseAndResume(t *testing.T) {
	r := newQueueRig(t)
	require.Contains(t, r.say(t, "pause Sales EMEA/General moving house"), "Paused: channel **General** of team **Sales EMEA**")
	require.True(t, r.holds.Held("c:1/a"))
	require.False(t, r.holds.Held("c:1/b"))
	text := r.say(t, "")
	require.Contains(t, text, "paused: moving house")
	require.Contains(t, text, "* Held: **Sales EMEA/General** – paused: moving house (@admin:hs.example, since 2026-03-02 10:00 UTC)")
	require.Contains(t, r.say(t, "retry Sales EMEA"), "Held all the same: **Sales EMEA/General**")

	require.Contains(t, r.say(t, "pause all"), "Paused: everything")
	require.True(t, r.holds.Held("c:1/b"))
	require.Contains(t, r.say(t, "resume Sales EMEA"), "Still held: everything")
	require.True(t, r.holds.Held("c:1/a"))
	require.NoError(t, r.holds.set(context.Background(), database.Hold{Scope: "t:1", Kind: database.HoldDrill}))
	require.Contains(t, r.say(t, "resume all"), "Still held: **Sales EMEA** – an outage is rehearsed", "only pauses are resumed")
	require.False(t, r.holds.Held("c:3/x"))
	require.Contains(t, r.say(t, "resume Care"), "Not paused")
	require.Contains(t, r.say(t, "pause $head"), "not for a message")
	require.Contains(t, r.say(t, "pause Nowhere"), "There is no team")
}

// Commands count and handle everything, however much that is, and not the first
// rows only.
func TestQueueOfThousands(t *testing.T) {
	const many = 3*database.QueuePage + 7
	full := func(t *testing.T) *queueRig {
		r := newQueueRig(t)
		require.NoError(t, r.db.DoTxn(t.Context(), nil, func(ctx context.Context) error {
			for i := range many {
				row := &database.OutboxRow{EventID: fmt.Sprint("$many", i), Portal: "c:1/a", RoomID: "!room:hs.example", Kind: database.KindMessage,
					SenderMXID: "@ann:hs.example", Payload: []byte("what nobody is to see"), EventAt: r.now()}
				if _, err := r.db.Outbox.Enqueue(ctx, row); err != nil {
					return err
				}
				if i%2 == 0 {
					if err := r.db.Outbox.Park(ctx, row.ID, "bad request", "Teams refused it"); err != nil {
						return err
					}
				}
				in := database.InboxRow{Portal: "c:3/x", MessageID: fmt.Sprint(1600000000000 + i), Version: 1, Payload: []byte("{}"), CreatedAt: r.now().Add(-9 * time.Hour)}
				if _, err := r.db.Inbox.Accept(ctx, []database.InboxRow{in}); err != nil {
					return err
				}
				if err := r.db.Inbox.Park(ctx, in.Portal, in.MessageID, 1, "homeserver refuses the event"); err != nil {
					return err
				}
			}
			return nil
		}))
		return r
	}
	r := full(t)
	require.Contains(t, r.say(t, "show Sales EMEA"), fmt.Sprintf("and %d more", many+6-maxListed))
	require.Contains(t, r.say(t, "drop Sales EMEA"), fmt.Sprintf("%d messages of team", many+6))
	require.Contains(t, r.say(t, "retry Sales EMEA"), "1 message from Teams is tried again", "behind the older ones of another team")
	left, err := r.db.Outbox.Waiting(t.Context(), "c:1/a", true, 0, 1)
	require.NoError(t, err)
	require.Empty(t, left)

	r = full(t)
	require.Contains(t, r.say(t, "drop Sales EMEA --yes"), fmt.Sprintf("%d messages were dropped", many+5))
	left, err = r.db.Outbox.Waiting(t.Context(), "c:1/a", false, 0, 1)
	require.NoError(t, err)
	require.Empty(t, left)
}

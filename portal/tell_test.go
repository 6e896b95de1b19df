package portal_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// answers returns what the bot answered to an event.
func answers(r *portaltest.Rig, to id.EventID) []string {
	var out []string
	for _, e := range r.HS.Messages(r.Room) {
		relation, _ := e.Content["m.relates_to"].(map[string]any)
		reply, _ := relation["m.in_reply_to"].(map[string]any)
		if e.Sender == portaltest.BotID && reply["event_id"] == to.String() {
			out = append(out, e.Text())
		}
	}
	return out
}

// refuseAlice makes Teams refuse what Alice posts for good.
func refuseAlice(r *portaltest.Rig) {
	r.Tenant.SetFault(func(_, account string) portaltest.Fault {
		if account == portaltest.Alice {
			return portaltest.Fault{Refuse: portaltest.ErrBadRequest}
		}
		return portaltest.Fault{}
	})
}

// A permanent refusal parks one message, its author is told, nothing else waits,
// and once the cause is mended it can be sent again.
func TestParkedMessageIsToldOnceAndCanBeSentAgain(t *testing.T) {
	r := started(t)
	refuseAlice(r)
	bad := r.Say(portaltest.AliceMXID, "poison")
	after := r.Say(portaltest.BobMXID, "after it")
	r.Quiet()
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, after))
	require.Equal(t, event.MessageStatusFail, lastStatus(r, bad))
	require.Equal(t, []string{"⚠️ Your message was not bridged: Teams refused it"}, answers(r, bad))
	r.Restart()
	r.Quiet()
	require.Len(t, answers(r, bad), 1, "and not again after a restart")

	// Tried again in vain it is news, in the end it arrives.
	requeue(t, r, bad)
	r.Quiet()
	require.Len(t, answers(r, bad), 2)
	r.Tenant.SetFault(nil)
	requeue(t, r, bad)
	r.Quiet()
	require.Len(t, answers(r, bad), 2)
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, bad))
	texts := strings.Join(r.TeamsTexts(), "\n")
	require.Contains(t, texts, "poison")
	require.Len(t, r.TeamsTexts(), 2)
}

// ended waits until so many rows have ended in a state.
func ended(t *testing.T, r *portaltest.Rig, state string, n int) {
	t.Helper()
	r.Eventually(func() bool {
		stats, err := r.DB.Outbox.Stats(t.Context())
		return err == nil && stats.ByState[state] == n
	})
}

// Rooms in which nothing can be said keep nobody else from being told, however many
// they are and however much there is to say in them.
func TestRoomsInTroubleKeepNobodyUntold(t *testing.T) {
	const broken = 5
	var rooms []teams.ChannelRef
	for i := range broken + 1 {
		rooms = append(rooms, teams.ChannelRef{TeamID: "team", ChannelID: fmt.Sprintf("19:%d@thread.tacv2", i)})
	}
	r := started(t, func(r *portaltest.Rig) { r.Channels = rooms })
	refuseAlice(r)
	r.HS.SetSends(func(s portaltest.Send) (out portaltest.SendFault) {
		if s.Room != r.RoomOf(rooms[broken]) {
			out.Refuse = portaltest.Down()
		}
		return out
	})
	said := map[int]id.EventID{}
	for i := range rooms {
		if i == broken {
			ended(t, r, database.StateParked, 4*broken)
		}
		for range 4 {
			said[i] = r.SendIn(r.RoomOf(rooms[i]), portaltest.AliceMXID, event.EventMessage, portaltest.Text("poison"))
		}
	}
	r.Eventually(func() bool { return lastStatus(r, said[broken]) == event.MessageStatusFail })
	r.HS.SetSends(nil)
	r.Quiet()
	for i := range rooms {
		require.Equal(t, event.MessageStatusFail, lastStatus(r, said[i]))
	}
}

// The same of what a room is told in one notice.
func TestRoomsInTroubleKeepNoRoomUntold(t *testing.T) {
	const broken = 8
	var rooms []teams.ChannelRef
	for i := range broken + 1 {
		rooms = append(rooms, teams.ChannelRef{TeamID: "team", ChannelID: fmt.Sprintf("19:%d@thread.tacv2", i)})
	}
	r := started(t, func(r *portaltest.Rig) {
		r.Channels = rooms
		r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) {
			out.Policy = func(string) (string, time.Duration) { return portal.PolicyFull, time.Nanosecond }
		}
	})
	r.HS.SetSends(func(s portaltest.Send) (out portaltest.SendFault) {
		if s.Room != r.RoomOf(rooms[broken]) {
			out.Refuse = portaltest.Down()
		}
		return out
	})
	told := func(i int) func() bool {
		return func() bool {
			all := r.HS.Messages(r.RoomOf(rooms[i]))
			return len(all) > 0 && all[len(all)-1].Sender == portaltest.BotID
		}
	}
	for i := range rooms {
		if i == broken {
			ended(t, r, database.StateFailed, broken)
		}
		r.SendIn(r.RoomOf(rooms[i]), portaltest.AliceMXID, event.EventMessage, portaltest.Text("too late"))
	}
	r.Eventually(told(broken))
	r.HS.SetSends(nil)
	for i := range rooms {
		r.Eventually(told(i))
	}
}

// What comes back, and ends again, while its author is told how it ended before,
// is told of as well.
func TestWhatEndsAgainMeanwhileIsTold(t *testing.T) {
	r := started(t)
	refuseAlice(r)
	var again atomic.Bool
	r.HS.SetFaults(func(user id.UserID, kind event.Type, content map[string]any) error {
		body, _ := content["body"].(string)
		if user != portaltest.BotID || !strings.Contains(body, "refused") || again.Swap(true) {
			return nil
		}
		rows, err := r.DB.Outbox.Untold(t.Context(), 0, 10)
		if err != nil || len(rows) != 1 {
			return fmt.Errorf("%d rows are untold, %w", len(rows), err)
		}
		for !time.Now().Truncate(time.Millisecond).After(rows[0].DoneAt) { // ends are told apart by their milliseconds
			runtime.Gosched()
		}
		if ok, err := portal.BringBack(t.Context(), r.DB, rows[0], time.Time{}); !ok {
			return fmt.Errorf("it does not come back: %w", err)
		}
		return r.DB.Outbox.Fail(t.Context(), rows[0].ID, "gone", "it is gone")
	}, nil)
	bad := r.Say(portaltest.AliceMXID, "poison")
	r.Eventually(again.Load)
	r.Sender.Tell()
	r.Quiet()
	require.Equal(t, []string{
		"⚠️ Your message was not bridged: Teams refused it", "⚠️ Your message was not bridged: it is gone",
	}, answers(r, bad))
	require.Equal(t, "it is gone", r.HS.Statuses(bad)[len(r.HS.Statuses(bad))-1].Message)
}

func requeue(t *testing.T, r *portaltest.Rig, evt id.EventID) {
	t.Helper()
	row, err := r.DB.Outbox.ByEvent(context.Background(), evt.String())
	require.NoError(t, err)
	ok, err := r.DB.Outbox.Requeue(context.Background(), row.ID, time.Time{})
	require.NoError(t, err)
	require.True(t, ok)
	r.Sender.Wake(r.Portal())
}

// Who deletes a parked message does not find it in Teams later.
func TestParkedMessageThatIsDeletedIsNotSentAgain(t *testing.T) {
	r := started(t)
	refuseAlice(r)
	bad := r.Say(portaltest.AliceMXID, "poison")
	r.Quiet()
	r.Redact(portaltest.AliceMXID, bad)
	r.Quiet()
	row, err := r.DB.Outbox.ByEvent(context.Background(), bad.String())
	require.NoError(t, err)
	require.Equal(t, database.StateFailed, row.State)
	require.Empty(t, row.Payload)
}

// The homeserver may be away when a message is parked: its author is told later,
// and the conversation goes on meanwhile.
func TestNoticeWaitsForTheHomeserver(t *testing.T) {
	r := started(t)
	refuseAlice(r)
	var down atomic.Bool
	down.Store(true)
	r.HS.SetFaults(func(user id.UserID, _ event.Type, _ map[string]any) error {
		if down.Load() && user == portaltest.BotID {
			return portaltest.Down()
		}
		return nil
	}, nil)
	bad := r.Say(portaltest.AliceMXID, "poison")
	after := r.Say(portaltest.BobMXID, "after it")
	r.Eventually(func() bool { return lastStatus(r, after) == event.MessageStatusSuccess })
	require.Empty(t, answers(r, bad))
	down.Store(false)
	r.Quiet()
	require.Len(t, answers(r, bad), 1)
}

// The answer to the notice may be lost, and the homeserver restarted since.
func TestNoticeIsNotRepeatedWhenItsAnswerIsLost(t *testing.T) {
	r := started(t)
	refuseAlice(r)
	var lost atomic.Bool
	r.HS.SetFaults(nil, func(user id.UserID, kind event.Type, _ map[string]any) error {
		if user == portaltest.BotID && kind == event.EventMessage && lost.CompareAndSwap(false, true) {
			return portaltest.Down()
		}
		return nil
	})
	bad := r.Say(portaltest.AliceMXID, "poison")
	r.Eventually(lost.Load)
	r.Quiet()
	require.Len(t, answers(r, bad), 1, "the same transaction id")
}

// TestCrashWhileParking cuts the bridge off after each SQL statement while Teams
// refuses a message. Its author is told once, whatever the instant.
func TestCrashWhileParking(t *testing.T) {
	total := 0
	{
		r := started(t)
		refuseAlice(r)
		r.CountFromHere()
		r.Say(portaltest.AliceMXID, "poison")
		r.Quiet()
		total = r.Statements()
		r.Stop()
	}
	stride := 1
	if testing.Short() {
		stride = 7
	}
	for at := 1; at < total; at += stride {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			r := portaltest.New(t)
			r.Fast = true
			refuseAlice(r)
			r.Start()
			r.Stop()
			r.CrashAfter(at)
			r.Start()
			r.CountFromHere()
			bad := r.Say(portaltest.AliceMXID, "poison")
			r.Say(portaltest.BobMXID, "after it")
			r.Eventually(func() bool {
				return r.Crashed() || !r.Crashing() && r.Sender.Busy() == 0 && len(answers(r, bad)) > 0
			})
			r.Recover()
			r.Quiet()
			require.Len(t, answers(r, bad), 1)
			require.Equal(t, event.MessageStatusFail, lastStatus(r, bad))
			require.Equal(t, []string{"after it"}, withoutAuthor(r.TeamsTexts()))
		})
	}
}

// withoutAuthor takes away the names that a relay account puts in front.
func withoutAuthor(texts []string) []string {
	out := make([]string, len(texts))
	for i, text := range texts {
		out[i] = text[strings.LastIndex(text, "after"):]
	}
	return out
}

// What a whole day's room is told of in one notice is read some at a time, and is
// one notice with all of it, once.
func TestManyKeptMessagesAreOneNotice(t *testing.T) {
	const n = 2*200 + 50
	ctx := t.Context()
	var on atomic.Bool
	on.Store(true)
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) {
			out.Outage = func(context.Context, string) bool { return on.Load() }
			out.Held = func(string) bool { return true }
		}
	})
	for i := range n {
		row := &database.OutboxRow{EventID: fmt.Sprintf("$kept-%d", i), Portal: string(portal.ChannelPortal(portaltest.Channel).ID), RoomID: r.Room.String(),
			Kind: database.KindMessage, SenderMXID: string(portaltest.BobMXID), Payload: []byte("{}")}
		_, err := r.DB.Outbox.Enqueue(ctx, row)
		require.NoError(t, err)
		_, err = r.DB.Outbox.Drop(ctx, row.ID, portal.ReasonKept, "it stays")
		require.NoError(t, err)
	}
	on.Store(false)
	for i := range 2 {
		r.Restart()
		r.Eventually(func() bool { return len(botSays(r, "stay")) > 0 })
		r.Quiet()
		require.Len(t, botSays(r, "stay"), 1, i)
		require.Contains(t, botSays(r, "stay")[0], fmt.Sprint(n, " messages"))
		untold, err := r.DB.Outbox.Untold(ctx, 0, n)
		require.NoError(t, err)
		require.Empty(t, untold)
	}
}

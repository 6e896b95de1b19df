package portal_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// lastStatus is the newest status of an event, "" where there is none.
func lastStatus(r *portaltest.Rig, eventID id.EventID) event.MessageStatus {
	all := r.HS.Statuses(eventID)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1].Status
}

func failWrites(err error) func(op, account string) portaltest.Fault {
	return func(string, string) portaltest.Fault { return portaltest.Fault{Refuse: err} }
}

// outage makes Teams refuse everything until the returned function is called.
func outage(r *portaltest.Rig) (over func()) {
	r.Tenant.SetFault(failWrites(portaltest.ErrUnavailable))
	return func() { r.Tenant.SetFault(nil) }
}

func TestMessageGoesToTeams(t *testing.T) {
	r := started(t)
	e := r.Say(portaltest.AliceMXID, "Hello Teams")
	r.Quiet()
	require.Equal(t, []string{"Hello Teams"}, r.TeamsTexts())
	m := r.Tenant.Messages(portaltest.Channel)[0]
	require.Equal(t, portaltest.Alice, m.From.ID)
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, e))
	require.Len(t, r.HS.Events(r.Room), 1, "its echo is no news")

	row, err := r.Bridge.DB.Message.GetPartByMXID(context.Background(), e)
	require.NoError(t, err)
	require.Equal(t, portal.MessageID(portaltest.Channel, m.ID), row.ID)
	n, err := r.DB.Journal.Count(context.Background())
	require.NoError(t, err)
	require.Zero(t, n)
}

func TestRelayNamesTheAuthor(t *testing.T) {
	r := started(t)
	r.Say(portaltest.BobMXID, "mapped, not signed in")
	r.Say(portaltest.CarolMXID, "mapped to nobody")
	r.Quiet()
	texts := r.TeamsTexts()
	require.Len(t, texts, 2)
	require.Contains(t, texts[0], "bob")
	require.Contains(t, texts[1], "carol")
	for _, m := range r.Tenant.Messages(portaltest.Channel) {
		require.Equal(t, portaltest.Relay, m.From.ID)
	}
	require.Len(t, r.HS.Events(r.Room), 2)
}

func TestExpiredSignInFallsBackToRelay(t *testing.T) {
	r := started(t)
	r.Tenant.SetFault(func(_, account string) portaltest.Fault {
		if account == portaltest.Alice {
			return portaltest.Fault{Refuse: portaltest.ErrExpired}
		}
		return portaltest.Fault{}
	})
	r.Say(portaltest.AliceMXID, "still heard")
	r.Quiet()
	m := r.Tenant.Messages(portaltest.Channel)
	require.Len(t, m, 1)
	require.Equal(t, portaltest.Relay, m[0].From.ID)
	require.Contains(t, m[0].Body, "alice")
}

func TestThreadsToTeams(t *testing.T) {
	r := started(t)
	root := r.Say(portaltest.AliceMXID, "root")
	r.Reply(portaltest.BobMXID, root, "reply")
	r.Quiet()
	msgs := r.Tenant.Messages(portaltest.Channel)
	require.Len(t, msgs, 2)
	require.Equal(t, msgs[0].ID, msgs[1].ReplyToID)

	// A reply in Teams to the post comes into the same thread.
	r.Tenant.Post(portaltest.Channel, msgs[0].ID, portaltest.Dave, "from Teams")
	r.Quiet()
	require.Equal(t, root.String(), last(t, r).Relation("event_id"))

	// A thread under a Teams message.
	m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "Teams root")
	r.Quiet()
	r.Reply(portaltest.AliceMXID, last(t, r).ID, "answer")
	r.Quiet()
	msgs = r.Tenant.Messages(portaltest.Channel)
	require.Equal(t, m.ID, msgs[len(msgs)-1].ReplyToID)
}

// A reply to a message from Teams whose delivery was cut off after the homeserver
// had taken it: there is an event to answer, and no row for it yet.
func TestReplyToARootWithoutARow(t *testing.T) {
	r := started(t)
	m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "Teams root")
	r.Quiet()
	event := last(t, r)
	require.NoError(t, r.Echo(t.Context(), event))
	row, err := r.Bridge.DB.Message.GetPartByMXID(t.Context(), event.ID)
	require.NoError(t, err)
	require.NoError(t, r.Bridge.DB.Message.Delete(t.Context(), row.RowID))

	r.Reply(portaltest.AliceMXID, event.ID, "answer")
	r.Quiet()
	msgs := r.Tenant.Messages(portaltest.Channel)
	require.Equal(t, m.ID, msgs[len(msgs)-1].ReplyToID)
}

// Proves M3 and M5.
func TestOutageKeepsOrderAndTells(t *testing.T) {
	r := started(t)
	outage(r)
	var events []id.EventID
	for i := range 10 {
		events = append(events, r.Say(portaltest.AliceMXID, fmt.Sprint("m", i)))
	}
	root := events[3]
	r.Reply(portaltest.BobMXID, root, "in a thread")
	r.Eventually(func() bool { return lastStatus(r, events[9]) == event.MessageStatusPending })
	require.Empty(t, r.TeamsTexts())
	r.Restart()
	require.Empty(t, r.TeamsTexts())
	var failed atomic.Bool // what is behind the first one waits for it
	r.Tenant.SetWrites(func(w portaltest.Write) (out portaltest.Fault) {
		if strings.Contains(w.HTML, "m0") && !failed.Swap(true) {
			out.Refuse = portaltest.ErrUnavailable
		}
		return out
	})
	require.NoError(t, r.Sender.Kick(context.Background()))
	r.Quiet()
	texts := r.TeamsTexts()
	require.Len(t, texts, 11)
	for i := range 10 {
		require.Equal(t, fmt.Sprint("m", i), texts[i])
		require.Equal(t, event.MessageStatusSuccess, lastStatus(r, events[i]))
	}
	msgs := r.Tenant.Messages(portaltest.Channel)
	require.Equal(t, msgs[3].ID, msgs[10].ReplyToID)
	require.Len(t, r.HS.Messages(r.Room), 11, "no echo")
}

func TestRetryAfterIsHonoured(t *testing.T) {
	r := started(t)
	var first, second time.Time
	r.Tenant.SetFault(func(string, string) portaltest.Fault {
		if first.IsZero() {
			first = time.Now()
			return portaltest.Fault{Refuse: &teams.Error{Op: "post", Kind: teams.KindThrottled, Status: 429, RetryAfter: 300 * time.Millisecond}}
		}
		second = time.Now()
		return portaltest.Fault{}
	})
	r.Say(portaltest.AliceMXID, "patience")
	r.Quiet()
	require.GreaterOrEqual(t, second.Sub(first), 290*time.Millisecond)
}

// What Teams has told to wait is not sent early by the end of an outage, by an
// echo, by whoever asks for it, or after a restart, when nobody else remembers.
func TestRetryAfterSurvivesARestart(t *testing.T) {
	const pause = 600 * time.Millisecond
	for name, err := range map[string]*teams.Error{
		"throttled":            {Op: "post", Kind: teams.KindThrottled, Status: 429, RetryAfter: pause},
		"unavailable":          {Op: "post", Kind: teams.KindUnavailable, Status: 503, RetryAfter: pause},
		"nobody knows of what": {Op: "post", Kind: teams.KindUnavailable, Status: 503, RetryAfter: pause, Ambiguous: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := started(t)
			var mu sync.Mutex
			var sent []time.Time
			r.Tenant.SetFault(func(string, string) portaltest.Fault {
				mu.Lock()
				defer mu.Unlock()
				if sent = append(sent, time.Now()); len(sent) == 1 {
					return portaltest.Fault{Refuse: err}
				}
				return portaltest.Fault{}
			})
			e := r.Say(portaltest.AliceMXID, "patience")
			r.Eventually(func() bool {
				row, err := r.DB.Outbox.ByEvent(context.Background(), e.String())
				return err == nil && row != nil && row.Reason == database.ReasonAnnounced
			})
			r.Restart()
			require.NoError(t, r.Sender.Kick(context.Background()))
			r.Sender.Decided(context.Background(), r.Portal())
			r.Quiet()
			require.Len(t, sent, 2)
			require.GreaterOrEqual(t, sent[1].Sub(sent[0]), pause-10*time.Millisecond)
		})
	}
}

// Looks for a post wait as long as Teams says, too.
func TestRetryAfterOfALook(t *testing.T) {
	const pause = 400 * time.Millisecond
	r := started(t)
	var mu sync.Mutex
	var looks []time.Time
	r.Tenant.SetChanged(nil)
	r.Tenant.SetRead(func(op string) error {
		mu.Lock()
		defer mu.Unlock()
		if looks = append(looks, time.Now()); len(looks) == 1 {
			return portaltest.Throttled(pause)
		}
		return nil
	})
	r.Tenant.SetFault(onPosts(loseFirst))
	r.Say(portaltest.AliceMXID, "once")
	r.Quiet()
	require.Equal(t, []string{"once"}, r.TeamsTexts())
	require.GreaterOrEqual(t, looks[1].Sub(looks[0]), pause-10*time.Millisecond)
}

// Proves M3.
func TestPermanentFailureTellsAndOthersGoOn(t *testing.T) {
	r := started(t)
	n := 0
	r.Tenant.SetFault(func(op, _ string) portaltest.Fault {
		if n++; n == 1 {
			return portaltest.Fault{Refuse: portaltest.ErrBadRequest}
		}
		return portaltest.Fault{}
	})
	bad := r.Say(portaltest.AliceMXID, "bad")
	reply := r.Reply(portaltest.AliceMXID, bad, "reply to the bad one")
	more := r.Reply(portaltest.AliceMXID, bad, "one more")
	edit := r.Edit(portaltest.AliceMXID, bad, "better")
	r.Quiet()
	st := r.HS.Statuses(bad)
	require.Equal(t, event.MessageStatusFail, st[len(st)-1].Status)
	require.False(t, st[len(st)-1].Notice, "the framework's notice would be a second one")
	told := len(answers(r, bad))
	for _, st := range r.HS.Statuses(edit) {
		if st.Notice {
			told++ // the edit came when the message was parked, and was refused at once
		}
	}
	require.Equal(t, 2, told, "one about the message, one about its edit")
	require.Equal(t, event.MessageStatusFail, lastStatus(r, edit))
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, reply))
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, more))
	msgs := r.Tenant.Messages(portaltest.Channel)
	require.Len(t, msgs, 2)
	require.Empty(t, msgs[0].ReplyToID, "a reply without its root is not lost")
	require.Equal(t, msgs[0].ID, msgs[1].ReplyToID, "and the thread goes on under it")

	// What Teams answers there comes into the thread as Matrix has it.
	r.Tenant.Post(portaltest.Channel, msgs[0].ID, portaltest.Dave, "from Teams")
	r.Quiet()
	require.Equal(t, bad.String(), last(t, r).Relation("event_id"))
}

func TestReplyToARootThatIsGoneInTeams(t *testing.T) {
	r := started(t)
	m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "root")
	r.Quiet()
	root := last(t, r).ID
	r.Tenant.SetChanged(nil) // Matrix has not heard of the deletion
	r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetDeleted())
	e := r.Reply(portaltest.AliceMXID, root, "too late")
	r.Quiet()
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, e))
	msgs := r.Tenant.Messages(portaltest.Channel)
	require.Contains(t, msgs[1].Body, "too late")
	require.Empty(t, msgs[1].ReplyToID)
}

func TestEditDeleteToTeams(t *testing.T) {
	r := started(t)
	e := r.Say(portaltest.AliceMXID, "first")
	r.Quiet()
	edit := r.Edit(portaltest.AliceMXID, e, "second")
	r.Quiet()
	require.Equal(t, []string{"second"}, r.TeamsTexts())
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, edit))
	require.Len(t, r.HS.Events(r.Room), 2, "the echo of an edit is no edit")
	del := r.Redact(portaltest.AliceMXID, e)
	r.Quiet()
	require.Empty(t, r.TeamsTexts())
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, del))
	require.Len(t, r.HS.Events(r.Room), 3)
}

func TestEditNamesTheAuthorAfterTheRowIsPurged(t *testing.T) {
	r := started(t)
	e := r.Say(portaltest.CarolMXID, "first")
	r.Quiet()
	n, err := r.DB.Outbox.Purge(context.Background(), time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	edit := r.Edit(portaltest.CarolMXID, e, "second")
	r.Quiet()
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, edit))
	texts := r.TeamsTexts()
	require.Len(t, texts, 1)
	require.Contains(t, texts[0], "carol")
	require.Contains(t, texts[0], "second")
	require.NotContains(t, texts[0], "UTC", "it was not late")
}

// Proves M6.
func TestOnlyTheAuthorMayChange(t *testing.T) {
	r := started(t)
	byAlice := r.Say(portaltest.AliceMXID, "mine")
	byCarol := r.Say(portaltest.CarolMXID, "through the relay")
	r.Quiet()
	r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "from Teams")
	r.Quiet()
	byDave := last(t, r).ID
	before := r.TeamsTexts()
	for _, target := range []id.EventID{byAlice, byCarol, byDave} {
		edit := r.Edit(portaltest.BobMXID, target, "changed")
		r.Eventually(func() bool { return lastStatus(r, edit) == event.MessageStatusFail })
	}
	// Moderators can redact in Matrix; that does not reach Teams.
	for _, target := range []id.EventID{byAlice, byCarol, byDave} {
		redaction := r.Redact(portaltest.ModeratorMXID, target)
		r.Eventually(func() bool { return lastStatus(r, redaction) == event.MessageStatusFail })
	}
	r.Quiet()
	require.Equal(t, before, r.TeamsTexts())
}

// TestKickWhileOneFails: Teams is back in the moment in which a post that it has
// refused is written down as one that waits.
func TestKickWhileOneFails(t *testing.T) {
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) {
			out.RetryMin, out.RetryMax = time.Hour, time.Hour
		}
	})
	var once sync.Once
	r.Tenant.SetFault(func(string, string) (fault portaltest.Fault) {
		once.Do(func() { fault.Refuse = portaltest.ErrUnavailable })
		assert.NoError(t, r.Sender.Kick(context.Background()))
		return fault
	})
	r.Say(portaltest.AliceMXID, "refused in the last moment")
	r.Quiet()
	require.Equal(t, []string{"refused in the last moment"}, r.TeamsTexts())
	require.Equal(t, 1, r.Counts.Get(portal.MetricSendRetry, "unavailable"))
}

func TestCoalescing(t *testing.T) {
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) {
			out.RetryMin, out.RetryMax = time.Hour, time.Hour
		}
	})
	over := outage(r)
	r.Say(portaltest.AliceMXID, "first in the queue")
	r.Eventually(func() bool { return r.Counts.Get(portal.MetricSendRetry, "unavailable") == 1 })
	edited := r.Say(portaltest.AliceMXID, "v1")
	e1 := r.Edit(portaltest.AliceMXID, edited, "v2")
	e2 := r.Edit(portaltest.AliceMXID, edited, "v3")
	taken := r.Say(portaltest.AliceMXID, "never seen")
	takenEdit := r.Edit(portaltest.AliceMXID, taken, "never seen either")
	takenReaction := r.React(portaltest.AliceMXID, taken, "👍")
	reaction := r.React(portaltest.AliceMXID, edited, "🎉")
	r.Redact(portaltest.AliceMXID, reaction)
	stays := r.React(portaltest.AliceMXID, edited, "👀")
	r.Redact(portaltest.AliceMXID, taken)
	r.Eventually(func() bool { return len(r.HS.Statuses(stays)) > 0 })
	r.Eventually(func() bool {
		row, err := r.DB.Outbox.ByEvent(context.Background(), takenReaction.String())
		return err == nil && row != nil && row.State == database.StateCancelled
	})
	over()
	require.NoError(t, r.Sender.Kick(context.Background()))
	r.Quiet()
	require.Equal(t, []string{"first in the queue", "v3"}, r.TeamsTexts())
	m := r.Tenant.Messages(portaltest.Channel)[1]
	require.True(t, m.Edited.IsZero(), "Teams never saw the earlier texts")
	require.Len(t, m.Reactions, 1)
	for _, e := range []id.EventID{edited, e1, e2, stays} {
		require.Equal(t, event.MessageStatusSuccess, lastStatus(r, e), e)
	}
	for _, e := range []id.EventID{taken, takenEdit, takenReaction, reaction} {
		row, err := r.DB.Outbox.ByEvent(context.Background(), e.String())
		require.NoError(t, err)
		require.Equal(t, database.StateCancelled, row.State, e)
	}
}

func TestRedactionWhileThePostIsOnItsWay(t *testing.T) {
	r := started(t)
	hold := make(chan struct{})
	r.Tenant.SetFault(func(op, _ string) portaltest.Fault {
		if op == "post" {
			return portaltest.Fault{Hold: hold}
		}
		return portaltest.Fault{}
	})
	e := r.Say(portaltest.AliceMXID, "oops")
	r.Eventually(func() bool { return len(r.TeamsTexts()) == 1 })
	del := r.Redact(portaltest.AliceMXID, e)
	r.Eventually(func() bool { return lastStatus(r, del) == event.MessageStatusPending })
	close(hold)
	r.Quiet()
	require.Empty(t, r.TeamsTexts())
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, del))
}

func TestReactionsToTeams(t *testing.T) {
	r := started(t)
	m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "react")
	r.Quiet()
	target := last(t, r).ID
	reactions := func() []string {
		var out []string
		for _, x := range r.Tenant.Messages(portaltest.Channel)[0].Reactions {
			out = append(out, x.User.ID+" "+x.Type)
		}
		return out
	}
	mine := r.React(portaltest.AliceMXID, target, "👍")
	r.Quiet()
	require.Equal(t, []string{"alice 👍"}, reactions())
	bobs := r.React(portaltest.BobMXID, target, "🎉")
	r.Quiet()
	require.Equal(t, []string{"alice 👍", "relay 🎉"}, reactions())
	require.Len(t, r.HS.Reactions(r.Room, target), 2, "the relay's own is not shown, nor the echo")

	// A change of the message in Teams does not take the relayed one away.
	r.Tenant.Change(portaltest.Channel, m.ID, portaltest.AddReaction(portaltest.Dave, "❤️"))
	r.Quiet()
	require.Len(t, r.HS.Reactions(r.Room, target), 3)

	r.Redact(portaltest.BobMXID, bobs)
	r.Redact(portaltest.AliceMXID, mine)
	r.Quiet()
	require.Equal(t, []string{"dave ❤️"}, reactions())
}

// A reaction that is taken back and made again before Teams knows of it.
func TestReactionMadeAgain(t *testing.T) {
	ctx := context.Background()
	r := started(t)
	r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "react")
	r.Quiet()
	target := last(t, r).ID
	for _, who := range []id.UserID{portaltest.AliceMXID, portaltest.BobMXID} {
		reaction := r.React(who, target, "🎉")
		r.Quiet()
		over := outage(r)
		for range 2 {
			r.Redact(who, reaction)
			reaction = r.React(who, target, "🎉")
			require.Eventually(t, func() bool {
				row, err := r.DB.Outbox.ByEvent(ctx, reaction.String())
				return err == nil && row != nil
			}, 5*time.Second, time.Millisecond, "it is queued behind the removal")
		}
		over()
		r.Quiet()
		require.Len(t, r.Tenant.Messages(portaltest.Channel)[0].Reactions, 1)
		require.Len(t, r.HS.Reactions(r.Room, target), 1, "it is there once")
		r.Redact(who, reaction)
		r.Quiet()
		require.Empty(t, r.Tenant.Messages(portaltest.Channel)[0].Reactions)
		require.Empty(t, r.HS.Reactions(r.Room, target))
		message, err := r.Bridge.DB.Message.GetPartByMXID(ctx, target)
		require.NoError(t, err)
		rows, err := r.Bridge.DB.Reaction.GetAllToMessage(ctx, "", message.ID)
		require.NoError(t, err)
		require.Empty(t, rows)
	}
}

// A reaction that Teams took, although nobody saw the answer, is taken back
// before it is repeated: it does not stay in Teams.
//
// Proves M2 and M4.
func TestReactionTakenBackWhoseAnswerGotLost(t *testing.T) {
	for _, who := range []id.UserID{portaltest.AliceMXID, portaltest.BobMXID} {
		r := started(t)
		r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "react")
		r.Quiet()
		target := last(t, r).ID
		var tries atomic.Int32
		r.Tenant.SetFault(func(string, string) portaltest.Fault {
			if tries.Add(1) == 1 {
				return portaltest.Fault{Lose: portaltest.ErrAmbiguous}
			}
			return portaltest.Fault{Refuse: portaltest.ErrUnavailable}
		})
		reaction := r.React(who, target, "🎉")
		r.Eventually(func() bool { return tries.Load() > 1 })
		require.Len(t, r.Tenant.Messages(portaltest.Channel)[0].Reactions, 1)
		removal := r.Redact(who, reaction)
		r.Eventually(func() bool {
			row, err := r.DB.Outbox.ByEvent(context.Background(), removal.String())
			return err == nil && row != nil
		})
		r.Tenant.SetFault(nil)
		r.Quiet()
		require.Empty(t, r.Tenant.Messages(portaltest.Channel)[0].Reactions)
		require.Empty(t, r.HS.Reactions(r.Room, target))
	}
}

// The homeserver delivers a reaction and an edit once more after the message was
// deleted in Teams: nobody is told that they failed.
//
// Proves M3.
func TestDeliveredAgainAfterTheMessageWasDeleted(t *testing.T) {
	r := started(t)
	said := r.Say(portaltest.AliceMXID, "v1")
	r.Quiet()
	again := []id.EventID{r.Edit(portaltest.AliceMXID, said, "v2"), r.React(portaltest.BobMXID, said, "🎉")}
	r.Quiet()
	r.Tenant.Change(portaltest.Channel, r.Tenant.Messages(portaltest.Channel)[0].ID, portaltest.SetDeleted())
	r.Quiet()
	require.Empty(t, r.HS.Messages(r.Room))
	for _, e := range again {
		r.Redeliver(e)
	}
	r.Quiet()
	for _, e := range again {
		for _, s := range r.HS.Statuses(e) {
			require.NotEqual(t, event.MessageStatusFail, s.Status, "%s", s.Message)
		}
	}
}

func TestRelayReactionOfSeveralPeople(t *testing.T) {
	r := started(t)
	r.People.SignIn(portaltest.Alice, false)
	r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "react")
	r.Quiet()
	target := last(t, r).ID
	a := r.React(portaltest.AliceMXID, target, "🎉")
	b := r.React(portaltest.BobMXID, target, "🎉")
	r.Quiet()
	_, writes := r.Tenant.Requests()
	require.Equal(t, 1, writes, "one physical reaction")
	r.Redact(portaltest.AliceMXID, a)
	r.Quiet()
	require.Len(t, r.Tenant.Messages(portaltest.Channel)[0].Reactions, 1, "Bob's stays")
	r.Redact(portaltest.BobMXID, b)
	r.Quiet()
	require.Empty(t, r.Tenant.Messages(portaltest.Channel)[0].Reactions)
}

func TestTakingBackInTeamsWhatWasReactedInMatrix(t *testing.T) {
	r := started(t)
	m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "react")
	r.Quiet()
	target := last(t, r).ID
	r.React(portaltest.AliceMXID, target, "👍")
	r.Quiet()
	// Much later, in Teams.
	r.Tenant.SetChanged(nil)
	changed := r.Tenant.Change(portaltest.Channel, m.ID, portaltest.DropReaction(portaltest.Alice, "👍"))
	changed.Modified = changed.Modified.Add(time.Minute)
	changed.ETag = changed.Modified.UnixMilli()
	require.NoError(t, r.Ingest.Accept(context.Background(), "webhook", []teams.Message{changed}))
	r.Quiet()
	require.Empty(t, r.HS.Reactions(r.Room, target))
}

func longText(words int) string {
	var b strings.Builder
	for i := range words {
		fmt.Fprintf(&b, "word%d ", i)
	}
	return strings.TrimSpace(b.String())
}

func TestLongMessageGoesInParts(t *testing.T) {
	r := started(t)
	text := longText(8000)
	n := 0
	r.Tenant.SetFault(func(op, _ string) portaltest.Fault {
		if n++; n == 2 {
			return portaltest.Fault{Refuse: portaltest.ErrUnavailable}
		}
		return portaltest.Fault{}
	})
	e := r.Say(portaltest.AliceMXID, text)
	r.Quiet()
	msgs := r.Tenant.Messages(portaltest.Channel)
	require.Greater(t, len(msgs), 2)
	var all []string
	for i, m := range msgs {
		for _, word := range strings.Fields(portaltest.Plain(m.Body)) {
			if strings.HasPrefix(word, "word") { // the parts are numbered
				all = append(all, word)
			}
		}
		if i > 0 {
			require.Equal(t, msgs[0].ID, m.ReplyToID, "the rest goes under the first part")
		}
	}
	require.True(t, slices.Equal(strings.Fields(text), all), "every word once, in order")
	require.Len(t, r.HS.Events(r.Room), 1)

	// Shorter: the parts that are too many go.
	r.Edit(portaltest.AliceMXID, e, "short")
	r.Quiet()
	require.Equal(t, []string{"short"}, r.TeamsTexts())
	// And longer again.
	r.Edit(portaltest.AliceMXID, e, text)
	r.Quiet()
	require.Len(t, r.TeamsTexts(), len(msgs))
	require.Len(t, r.HS.Messages(r.Room), 1)
	r.Redact(portaltest.AliceMXID, e)
	r.Quiet()
	require.Empty(t, r.TeamsTexts())
}

func TestLateMessageCarriesItsTime(t *testing.T) {
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) { out.LateAfter = 50 * time.Millisecond }
	})
	over := outage(r)
	e := r.Say(portaltest.CarolMXID, "said during the outage")
	r.Eventually(func() bool { return lastStatus(r, e) == event.MessageStatusPending })
	at := r.HS.Event(e).At
	timer := time.NewTimer(60 * time.Millisecond)
	<-timer.C
	over()
	r.Quiet()
	body := r.Tenant.Messages(portaltest.Channel)[0].Body
	require.Contains(t, body, "carol")
	require.Contains(t, body, at.UTC().Format("15:04"))
	// An edit keeps it.
	r.Edit(portaltest.CarolMXID, e, "edited later")
	r.Quiet()
	body = r.Tenant.Messages(portaltest.Channel)[0].Body
	require.Contains(t, body, "edited later")
	require.Contains(t, body, at.UTC().Format("15:04"))
}

func TestMatrixImages(t *testing.T) {
	r := started(t)
	png := append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, 100)...)
	small := r.HS.Upload(png)
	r.Send(portaltest.AliceMXID, event.EventMessage, map[string]any{
		"msgtype": "m.image", "body": "small.png", "url": string(small), "info": map[string]any{"mimetype": "image/png", "size": len(png)},
	})
	r.Send(portaltest.AliceMXID, event.EventMessage, map[string]any{
		"msgtype": "m.image", "body": "big.png", "url": string(small), "info": map[string]any{"mimetype": "image/png", "size": 10 << 20},
	})
	r.Send(portaltest.AliceMXID, event.EventMessage, map[string]any{
		"msgtype": "m.image", "body": "gone.png", "url": "mxc://example.org/gone", "info": map[string]any{"mimetype": "image/png", "size": 10},
	})
	r.Quiet()
	msgs := r.Tenant.Messages(portaltest.Channel)
	require.Len(t, msgs, 3)
	require.Contains(t, msgs[0].Body, "hostedContents/own1")
	require.Len(t, msgs[1].Attachments, 1, "larger than what goes inline")
	require.Equal(t, "big.png", msgs[1].Attachments[0].Name)
	require.Contains(t, msgs[2].Body, "matrix.to")
}

func TestEditAndDeleteOfWhatWasWrittenInTeams(t *testing.T) {
	r := started(t)
	r.Tenant.Post(portaltest.Channel, "", portaltest.Alice, "mine, in Teams")
	r.Quiet()
	e := last(t, r)
	require.Equal(t, portaltest.AliceMXID, e.Sender)
	r.Edit(portaltest.AliceMXID, e.ID, "edited in Matrix")
	r.Quiet()
	require.Equal(t, []string{"edited in Matrix"}, r.TeamsTexts())
	require.Len(t, r.HS.Events(r.Room), 2, "no second edit by the echo")
	r.Redact(portaltest.AliceMXID, e.ID)
	r.Quiet()
	require.Empty(t, r.TeamsTexts())

	// Without her own sign-in nobody else can.
	r.Tenant.Post(portaltest.Channel, "", portaltest.Alice, "again")
	r.Quiet()
	r.People.SignIn(portaltest.Alice, false)
	edit := r.Edit(portaltest.AliceMXID, last(t, r).ID, "no")
	r.Quiet()
	require.Equal(t, event.MessageStatusFail, lastStatus(r, edit))
}

// Proves M2.
func TestRedeliveredTransactionsChangeNothing(t *testing.T) {
	r := started(t)
	e := r.Say(portaltest.AliceMXID, "once")
	edit := r.Edit(portaltest.AliceMXID, e, "edited")
	re := r.React(portaltest.AliceMXID, e, "👍")
	r.Quiet()
	_, writes := r.Tenant.Requests()
	for _, eventID := range []id.EventID{e, edit, re} {
		r.Redeliver(eventID)
	}
	r.Quiet()
	_, after := r.Tenant.Requests()
	require.Equal(t, writes, after)
	require.Equal(t, []string{"edited"}, r.TeamsTexts())
}

// A message may come once more when nothing but its row is left of it, or be one
// that the bridge wrote itself.
//
// Proves M2.
func TestKnownMessagesAreNotTakenAgain(t *testing.T) {
	r := started(t)
	said := r.Say(portaltest.AliceMXID, "said here")
	r.Tenant.Post(portaltest.Channel, "", portaltest.Alice, "said there")
	r.Quiet()
	own := last(t, r).ID
	n, err := r.DB.Outbox.Purge(context.Background(), time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	for _, eventID := range []id.EventID{said, own} {
		r.Redeliver(eventID)
	}
	r.Quiet() // the journal has let them go
	require.ElementsMatch(t, []string{"said here", "said there"}, r.TeamsTexts())
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, said))
	require.Empty(t, lastStatus(r, own))
}

// Proves M3.
func TestNoRelayWaits(t *testing.T) {
	r := started(t)
	r.People.SignIn(portaltest.Relay, false)
	e := r.Say(portaltest.BobMXID, "waits for an administrator")
	r.Eventually(func() bool { return lastStatus(r, e) == event.MessageStatusPending })
	r.People.SignIn(portaltest.Relay, true)
	r.Quiet()
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, e))
}

func TestIDs(t *testing.T) {
	key := portal.ChannelPortal(portaltest.Channel)
	ref, ok := portal.ParsePortal(key.ID)
	require.True(t, ok)
	require.Equal(t, portaltest.Channel, ref)
	ref, ok = portal.ParsePortal(portal.TeamPortal("t1").ID)
	require.True(t, ok)
	require.Equal(t, teams.ChannelRef{TeamID: "t1"}, ref)
	for _, bad := range []networkid.PortalID{"", "x", "t:", "c:", "c:team", "c:team/", "c:/channel"} {
		_, ok = portal.ParsePortal(bad)
		require.False(t, ok, bad)
	}
	ch, m, ok := portal.ParseMessageID(portal.MessageID(portaltest.Channel, "17"))
	require.True(t, ok)
	require.Equal(t, portaltest.Channel.ChannelID, ch)
	require.Equal(t, "17", m)
	_, _, ok = portal.ParseMessageID(portal.ProvisionalID("$e"))
	require.False(t, ok)
	app, ok := portal.ParseAppUserID(portal.AppUserID("x"))
	require.True(t, ok)
	require.Equal(t, "x", app)
}

// The answer to a deletion is lost. Nobody says what Graph answers to a second
// one; the message is looked at before a refusal is believed.
func TestDeletionWhoseAnswerIsLost(t *testing.T) {
	r := started(t)
	evt := r.Say(portaltest.AliceMXID, "going")
	r.Quiet()
	var lost atomic.Bool
	r.Tenant.SetFault(func(op, _ string) portaltest.Fault {
		if op == "delete" && lost.CompareAndSwap(false, true) {
			return portaltest.Fault{Lose: portaltest.ErrAmbiguous}
		}
		return portaltest.Fault{}
	})
	gone := r.Redact(portaltest.AliceMXID, evt)
	r.Quiet()
	require.True(t, lost.Load())
	require.Empty(t, r.TeamsTexts())
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, gone))
}

// Who forwards a message of the room copies it with the key of what it shows. It
// is a message of its own, also while the homeserver has not told of it.
func TestReplyToAForwardedMessageThatIsOnItsWay(t *testing.T) {
	ctx := context.Background()
	r := started(t)
	shown := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "original")
	r.Quiet()
	copied := r.HS.Messages(r.Room)[0].Content
	root := r.Write(portaltest.AliceMXID, event.EventMessage, map[string]any{
		"msgtype": "m.text", "body": "original", portal.SourceField: copied[portal.SourceField],
	})
	reply := r.Reply(portaltest.BobMXID, root, "reply")
	r.Eventually(func() bool { return lastStatus(r, reply) != "" })
	require.NoError(t, r.Deliver(ctx, r.HS.Event(root)))
	r.Quiet()
	require.NoError(t, r.Deliver(ctx, r.HS.Event(reply)))
	r.Quiet()
	all := r.Tenant.Messages(portaltest.Channel)
	require.Len(t, all, 3)
	require.NotEqual(t, shown.ID, all[1].ID)
	require.Equal(t, all[1].ID, all[2].ReplyToID)
}

// A homeserver may tell of a thread's root behind a reply to it. The reply waits,
// because it would be a post of its own for good. Proves M5.
func TestReplyWaitsForARootThatIsOnItsWay(t *testing.T) {
	ctx := context.Background()
	r := started(t)
	root := r.Write(portaltest.AliceMXID, event.EventMessage, portaltest.Text("root"))
	r.HS.RefuseReads(portaltest.Refused(503, "M_UNKNOWN")) // it is just coming up
	reply := r.Reply(portaltest.BobMXID, root, "reply")
	r.Eventually(func() bool { return lastStatus(r, reply) != "" })
	require.NotEqual(t, event.MessageStatusPending, lastStatus(r, reply))
	r.HS.RefuseReads(nil)
	require.NoError(t, r.Deliver(ctx, r.HS.Event(reply)))
	require.NotEqual(t, event.MessageStatusPending, lastStatus(r, reply))
	require.Empty(t, r.TeamsTexts())
	require.NoError(t, r.Deliver(ctx, r.HS.Event(root)))
	r.Quiet()
	require.NoError(t, r.Deliver(ctx, r.HS.Event(reply)))
	r.Quiet()
	all := r.Tenant.Messages(portaltest.Channel)
	require.Len(t, all, 2)
	require.Equal(t, all[0].ID, all[1].ReplyToID)

	// Of what was said longer ago nobody will tell any more.
	old, err := r.HS.Put(r.Room, portaltest.AliceMXID, event.EventMessage, "", time.Now().Add(-time.Hour), portaltest.Text("from before"))
	require.NoError(t, err)
	r.Reply(portaltest.BobMXID, old, "late reply")
	r.Quiet()
	all = r.Tenant.Messages(portaltest.Channel)
	require.Len(t, all, 3)
	require.Empty(t, all[2].ReplyToID)
}

// What comes once more, after it ended, is shown as it ended and not as waiting.
func TestWhatComesOnceMoreIsShownAsItEnded(t *testing.T) {
	r := started(t)
	a, b := r.Say(portaltest.AliceMXID, "one"), r.Say(portaltest.AliceMXID, "two")
	r.Quiet()
	edit, reaction := r.Edit(portaltest.AliceMXID, a, "one again"), r.React(portaltest.BobMXID, a, "👍")
	r.Quiet()
	ended := map[id.EventID]event.MessageStatus{edit: event.MessageStatusSuccess, reaction: event.MessageStatusSuccess}
	r.Tenant.SetFault(func(op, _ string) portaltest.Fault {
		if op == "edit" {
			return portaltest.Fault{Refuse: portaltest.ErrBadRequest}
		}
		return portaltest.Fault{}
	})
	ended[r.Edit(portaltest.AliceMXID, b, "too much")] = event.MessageStatusFail
	r.Quiet()
	for evt, want := range ended {
		require.Equal(t, want, lastStatus(r, evt))
		shown := len(r.HS.Statuses(evt))
		r.Redeliver(evt)
		r.Eventually(func() bool { return len(r.HS.Statuses(evt)) > shown || evt == reaction }) // bridgev2 has a reaction that it knows
		r.Quiet()
		require.Equal(t, want, lastStatus(r, evt), "%s", r.HS.Event(evt).Type.Type)
	}
}

// A homeserver may tell of an edit after one that was made later, minutes or, where
// it had not told of it at all, an hour after. Clients show the one that was made
// last, and so does Teams.
func TestOlderEditComesBehindANewerOne(t *testing.T) {
	for _, restart := range []bool{false, true} {
		for _, queued := range []bool{false, true} {
			t.Run(fmt.Sprintf("restart %v, queued %v", restart, queued), func(t *testing.T) {
				r := portaltest.New(t)
				r.Start()
				a := r.Say(portaltest.AliceMXID, "one")
				over := func() {}
				if queued {
					over = outage(r)
				}
				older, err := r.HS.Put(r.Room, portaltest.AliceMXID, event.EventMessage, "", time.Now().Add(-time.Second), portaltest.NewText(a, "older"))
				require.NoError(t, err)
				if !queued {
					r.Quiet()
				}
				newer := r.Edit(portaltest.AliceMXID, a, "newer")
				if !queued {
					r.Quiet()
				}
				if restart {
					r.Restart()
				}
				require.NoError(t, r.Deliver(context.Background(), r.HS.Event(older)))
				over()
				r.Quiet()
				require.Equal(t, []string{"newer"}, r.TeamsTexts())
				for _, edit := range []id.EventID{newer, older} {
					r.Eventually(func() bool { return lastStatus(r, edit) == event.MessageStatusSuccess })
				}
				r.Edit(portaltest.AliceMXID, a, "newest")
				r.Quiet()
				require.Equal(t, []string{"newest"}, r.TeamsTexts())
			})
		}
	}
}

package portal_test

import (
	"context"
	"fmt"
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

func onPosts(f func(n int) portaltest.Fault) func(op, account string) portaltest.Fault {
	var n atomic.Int32
	return func(op, _ string) portaltest.Fault {
		if op != "post" {
			return portaltest.Fault{}
		}
		return f(int(n.Add(1)))
	}
}

// Proves M4.
func TestEchoBeforeTheAnswer(t *testing.T) {
	r := started(t)
	hold := make(chan struct{})
	r.Tenant.SetFault(onPosts(func(int) portaltest.Fault { return portaltest.Fault{Hold: hold} }))
	e := r.Say(portaltest.AliceMXID, "fast webhook")
	r.Eventually(func() bool { return len(r.TeamsTexts()) == 1 && r.Ingest.Busy() == 1 })
	// Somebody else's message in the same conversation comes behind it, in order.
	r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "later")
	settled := time.NewTimer(100 * time.Millisecond)
	<-settled.C
	require.Len(t, r.HS.Events(r.Room), 1)
	close(hold)
	r.Quiet()
	require.Equal(t, []string{"fast webhook", "later"}, r.Texts())
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, e))
	require.Equal(t, 1, r.Counts.Get(portal.MetricEcho, "waited"))
}

func TestEchoWaitIsBounded(t *testing.T) {
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(in *portal.IngestOptions, _ *portal.SenderOptions) { in.EchoWait = 50 * time.Millisecond }
	})
	hold := make(chan struct{})
	r.Tenant.SetFault(onPosts(func(int) portaltest.Fault { return portaltest.Fault{Hold: hold} }))
	r.Say(portaltest.AliceMXID, "very slow answer")
	r.Eventually(func() bool { return r.Counts.Get(portal.MetricEcho, "doubt") == 1 })
	close(hold)
	r.Quiet()
	require.Len(t, r.HS.Events(r.Room), 1)
	require.Len(t, r.TeamsTexts(), 1)
}

func TestNativeMessageOfTheSamePersonIsNoEcho(t *testing.T) {
	r := started(t)
	hold := make(chan struct{})
	r.Tenant.SetFault(onPosts(func(int) portaltest.Fault { return portaltest.Fault{Hold: hold} }))
	r.Say(portaltest.AliceMXID, "from Matrix")
	r.Eventually(func() bool { return len(r.TeamsTexts()) == 1 })
	r.Tenant.Post(portaltest.Channel, "", portaltest.Alice, "from Teams")
	close(hold)
	r.Quiet()
	require.Equal(t, []string{"from Matrix", "from Teams"}, r.Texts())
}

// Proves M4.
func TestInDoubt(t *testing.T) {
	t.Run("accepted, the answer got lost", func(t *testing.T) {
		r := started(t)
		r.Tenant.SetFault(onPosts(func(n int) portaltest.Fault {
			if n == 1 {
				return portaltest.Fault{Lose: portaltest.ErrAmbiguous}
			}
			return portaltest.Fault{}
		}))
		e := r.Say(portaltest.AliceMXID, "once")
		r.Quiet()
		require.Equal(t, []string{"once"}, r.TeamsTexts())
		require.Len(t, r.HS.Events(r.Room), 1)
		require.Equal(t, event.MessageStatusSuccess, lastStatus(r, e))
	})
	t.Run("accepted, no webhook: found by reading back", func(t *testing.T) {
		r := started(t)
		r.Tenant.SetChanged(nil)
		r.Tenant.SetFault(onPosts(func(n int) portaltest.Fault {
			if n == 1 {
				return portaltest.Fault{Lose: portaltest.ErrAmbiguous}
			}
			return portaltest.Fault{}
		}))
		r.Say(portaltest.AliceMXID, "once")
		r.Quiet()
		require.Equal(t, []string{"once"}, r.TeamsTexts())
		require.Equal(t, 1, r.Counts.Get(portal.MetricDoubt, "found"))
	})
	t.Run("not accepted: sent again", func(t *testing.T) {
		r := started(t)
		r.Tenant.SetFault(onPosts(func(n int) portaltest.Fault {
			if n == 1 {
				return portaltest.Fault{Refuse: portaltest.ErrAmbiguous}
			}
			return portaltest.Fault{}
		}))
		r.Say(portaltest.AliceMXID, "once")
		r.Quiet()
		require.Equal(t, []string{"once"}, r.TeamsTexts())
		require.Equal(t, 1, r.Counts.Get(portal.MetricDoubt, "absent"))
	})
	t.Run("a reply", func(t *testing.T) {
		r := started(t)
		root := r.Say(portaltest.AliceMXID, "root")
		r.Quiet()
		r.Tenant.SetChanged(nil)
		r.Tenant.SetFault(onPosts(func(n int) portaltest.Fault {
			if n == 1 {
				return portaltest.Fault{Lose: portaltest.ErrAmbiguous}
			}
			return portaltest.Fault{}
		}))
		r.Reply(portaltest.BobMXID, root, "reply")
		r.Quiet()
		require.Len(t, r.TeamsTexts(), 2)
	})
	t.Run("visible late", func(t *testing.T) {
		r := started(t, func(r *portaltest.Rig) {
			r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) { out.DoubtWindow = 300 * time.Millisecond }
		})
		r.Tenant.SetChanged(nil)
		var looks atomic.Int32
		r.Tenant.SetRead(func(op string) error {
			if op == "list" && looks.Add(1) < 4 {
				return portaltest.ErrUnavailable
			}
			return nil
		})
		r.Tenant.SetFault(onPosts(func(int) portaltest.Fault { return portaltest.Fault{Lose: portaltest.ErrAmbiguous} }))
		r.Say(portaltest.AliceMXID, "once")
		r.Quiet()
		require.Equal(t, []string{"once"}, r.TeamsTexts())
	})
	t.Run("unreadable: waits and never repeats", func(t *testing.T) {
		r := started(t)
		r.Tenant.SetChanged(nil)
		r.Tenant.SetRead(func(string) error { return portaltest.ErrUnavailable })
		r.Tenant.SetFault(onPosts(func(int) portaltest.Fault { return portaltest.Fault{Lose: portaltest.ErrAmbiguous} }))
		r.Say(portaltest.AliceMXID, "once")
		r.Eventually(func() bool { return r.Counts.Get(portal.MetricDoubt, "unknown") > 2 })
		_, writes := r.Tenant.Requests()
		require.Equal(t, 1, writes)
		r.Tenant.SetRead(nil)
		r.Quiet()
		require.Equal(t, []string{"once"}, r.TeamsTexts())
	})
	t.Run("two alike", func(t *testing.T) {
		r := started(t)
		r.Tenant.SetFault(onPosts(func(n int) portaltest.Fault {
			if n <= 2 {
				return portaltest.Fault{Lose: portaltest.ErrAmbiguous}
			}
			return portaltest.Fault{}
		}))
		r.Say(portaltest.AliceMXID, "ok")
		r.Say(portaltest.AliceMXID, "ok")
		r.Quiet()
		require.Equal(t, []string{"ok", "ok"}, r.TeamsTexts())
		require.Len(t, r.HS.Events(r.Room), 2)
	})
	t.Run("the middle part of three", func(t *testing.T) {
		r := started(t)
		r.Tenant.SetFault(onPosts(func(n int) portaltest.Fault {
			if n == 2 {
				return portaltest.Fault{Lose: portaltest.ErrAmbiguous}
			}
			return portaltest.Fault{}
		}))
		r.Say(portaltest.AliceMXID, longText(8000))
		r.Quiet()
		require.Len(t, r.TeamsTexts(), 3)
		require.Len(t, r.HS.Events(r.Room), 1)
	})
}

func TestChangesMadeInTeamsToWhatWasWrittenInMatrix(t *testing.T) {
	r := started(t)
	e := r.Say(portaltest.AliceMXID, "from Matrix")
	b := r.Say(portaltest.BobMXID, "relayed")
	r.Quiet()
	msgs := r.Tenant.Messages(portaltest.Channel)
	r.Tenant.Change(portaltest.Channel, msgs[0].ID, portaltest.AddReaction(portaltest.Dave, "👍"))
	r.Quiet()
	require.Equal(t, []string{"@teams_dave:example.org 👍️"}, r.HS.Reactions(r.Room, e))

	r.Tenant.Change(portaltest.Channel, msgs[0].ID, portaltest.SetText("edited in Teams"))
	r.Quiet()
	require.Equal(t, "edited in Teams", r.HS.Messages(r.Room)[0].Text(), "by her own account")

	// Nobody edits in Bob's name.
	r.Tenant.Change(portaltest.Channel, msgs[1].ID, portaltest.SetText("somebody used the relay account"))
	r.Quiet()
	notice := last(t, r)
	require.Equal(t, portaltest.BotID, notice.Sender)
	require.Contains(t, notice.Text(), "somebody used the relay account")
	require.Equal(t, "relayed", r.HS.Messages(r.Room)[1].Text())
	events := len(r.HS.Events(r.Room))

	r.Tenant.Change(portaltest.Channel, msgs[1].ID, portaltest.AddReaction(portaltest.Dave, "👀"))
	r.Quiet()
	require.Len(t, r.HS.Events(r.Room), events+1, "the notice is sent once")

	r.Tenant.Change(portaltest.Channel, msgs[0].ID, portaltest.SetDeleted())
	r.Tenant.Change(portaltest.Channel, msgs[1].ID, portaltest.SetDeleted())
	r.Quiet()
	require.True(t, r.HS.Event(e).Redacted)
	require.True(t, r.HS.Event(b).Redacted)

	r.Tenant.Change(portaltest.Channel, msgs[0].ID, portaltest.SetUndeleted("edited in Teams"))
	r.Quiet()
	require.Equal(t, "edited in Teams", last(t, r).Text())
	r.Tenant.Change(portaltest.Channel, msgs[0].ID, portaltest.SetText("and again"))
	r.Quiet()
	require.Equal(t, "and again", last(t, r).Text())
}

func TestLateListingOfAnEarlierTextIsNoEdit(t *testing.T) {
	r := started(t)
	e := r.Say(portaltest.AliceMXID, "v1")
	r.Quiet()
	r.Edit(portaltest.AliceMXID, e, "v2")
	r.Quiet()
	old := r.Tenant.Messages(portaltest.Channel)[0]
	r.Tenant.SetChanged(nil)
	r.Edit(portaltest.AliceMXID, e, "v3")
	r.Quiet()
	old.ETag = time.Now().Add(time.Hour).UnixMilli() // as the ledger would see a version it does not know
	require.NoError(t, r.Ingest.Accept(context.Background(), "list", []teams.Message{old}))
	r.Quiet()
	require.Equal(t, []string{"v3"}, r.Texts())
}

// What a message said before its author deleted it in Matrix comes late, and is
// no news: the message stays deleted. It comes back when Teams brings it back.
//
// Proves M4 and T4.
func TestLateVersionOfADeletedMessage(t *testing.T) {
	for _, who := range []id.UserID{portaltest.AliceMXID, portaltest.BobMXID} {
		r := started(t)
		r.Tenant.SetChanged(nil) // the notifications come late
		e := r.Say(who, "regretted")
		r.Quiet()
		old := r.Tenant.Messages(portaltest.Channel)
		require.Len(t, old, 1)
		r.Redact(who, e)
		r.Quiet()
		accept(t, r, old...)
		r.Quiet()
		require.Empty(t, r.HS.Messages(r.Room))

		deleted := r.Tenant.Messages(portaltest.Channel)
		require.False(t, deleted[0].Deleted.IsZero())
		accept(t, r, deleted...)
		r.Quiet()
		require.Empty(t, r.HS.Messages(r.Room))
		accept(t, r, r.Tenant.Change(portaltest.Channel, old[0].ID, portaltest.SetUndeleted("wanted again")))
		r.Quiet()
		require.Len(t, r.HS.Messages(r.Room), 1)
	}
}

func TestAmbiguousEditsAndReactionsAreRepeated(t *testing.T) {
	r := started(t)
	e := r.Say(portaltest.AliceMXID, "v1")
	r.Quiet()
	var n atomic.Int32
	r.Tenant.SetFault(func(string, string) portaltest.Fault {
		if n.Add(1)%2 == 1 {
			return portaltest.Fault{Lose: portaltest.ErrAmbiguous}
		}
		return portaltest.Fault{}
	})
	r.Edit(portaltest.AliceMXID, e, "v2")
	re := r.React(portaltest.AliceMXID, e, "👍")
	r.Quiet()
	require.Equal(t, []string{"v2"}, r.TeamsTexts())
	require.Len(t, r.Tenant.Messages(portaltest.Channel)[0].Reactions, 1)
	r.Redact(portaltest.AliceMXID, re)
	r.Redact(portaltest.AliceMXID, e)
	r.Quiet()
	require.Empty(t, r.TeamsTexts())
	require.Equal(t, []string{"v2"}, func() []string {
		var out []string
		for _, m := range r.HS.Events(r.Room) {
			if m.Relation("rel_type") == "m.replace" {
				out = append(out, fmt.Sprint(m.Content["m.new_content"].(map[string]any)["body"]))
			}
		}
		return out
	}(), "one edit in Matrix, the author's")
}

// A crash is a bridge that stops while something is going on. Whatever the
// instant, both sides agree in the end.
//
// Proves M2 and M4.
func TestCrashes(t *testing.T) {
	ambiguousThenHang := func(accept bool) func(int, chan struct{}) portaltest.Fault {
		return func(n int, hold chan struct{}) portaltest.Fault {
			if n > 1 {
				return portaltest.Fault{}
			} else if accept {
				return portaltest.Fault{Hold: hold, Lose: portaltest.ErrAmbiguous}
			}
			return portaltest.Fault{Refuse: portaltest.ErrUnavailable}
		}
	}
	for name, accept := range map[string]bool{"while a post hangs that was accepted": true, "after a refusal": false} {
		t.Run(name, func(t *testing.T) {
			r := started(t, func(r *portaltest.Rig) {
				r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) { out.RetryMin = 200 * time.Millisecond }
			})
			hold := make(chan struct{})
			r.Tenant.SetFault(onPosts(func(n int) portaltest.Fault { return ambiguousThenHang(accept)(n, hold) }))
			e := r.Say(portaltest.AliceMXID, "survives")
			r.Say(portaltest.AliceMXID, "behind it")
			r.Eventually(func() bool { _, n := r.Tenant.Requests(); return n == 1 })
			r.Restart()
			r.Quiet()
			require.Equal(t, []string{"survives", "behind it"}, r.TeamsTexts())
			require.Len(t, r.HS.Events(r.Room), 2)
			require.Equal(t, event.MessageStatusSuccess, lastStatus(r, e))
		})
	}
	t.Run("before the event was handled", func(t *testing.T) {
		r := started(t)
		r.Write(portaltest.AliceMXID, event.EventMessage, map[string]any{"msgtype": "m.text", "body": "only in the journal"})
		r.Restart()
		r.Quiet()
		require.Equal(t, []string{"only in the journal"}, r.TeamsTexts())
	})
	t.Run("between Teams' answer and the acknowledgement", func(t *testing.T) {
		r := started(t)
		ctx := context.Background()
		e := r.Say(portaltest.AliceMXID, "sent")
		r.Quiet()
		// Put the rows back to where they are at that instant.
		m := r.Tenant.Messages(portaltest.Channel)[0]
		row, err := r.Bridge.DB.Message.GetPartByMXID(ctx, e)
		require.NoError(t, err)
		row.ID = portal.ProvisionalID(e)
		require.NoError(t, r.Bridge.DB.Message.Update(ctx, row))
		_, err = r.DB.Exec(ctx, `UPDATE teams_outbox SET state='sent', done_at=0 WHERE event_id=$1`, e)
		require.NoError(t, err)
		_, err = r.DB.Exec(ctx, `DELETE FROM teams_inbox`)
		require.NoError(t, err)
		reply := r.Reply(portaltest.BobMXID, e, "reply to the provisional one")
		r.Restart()
		require.NoError(t, r.Ingest.Accept(ctx, "list", []teams.Message{m}))
		r.Quiet()
		row, err = r.Bridge.DB.Message.GetPartByMXID(ctx, e)
		require.NoError(t, err)
		require.Equal(t, portal.MessageID(portaltest.Channel, m.ID), row.ID)
		row, err = r.Bridge.DB.Message.GetPartByMXID(ctx, reply)
		require.NoError(t, err)
		require.Equal(t, portal.MessageID(portaltest.Channel, m.ID), row.ThreadRoot, "references follow the real id")
		require.Len(t, r.TeamsTexts(), 2)
		require.Len(t, r.HS.Events(r.Room), 2)
	})
	t.Run("during a delivery to Matrix", func(t *testing.T) {
		r := started(t)
		block := make(chan struct{})
		var n atomic.Int32
		r.HS.SetFaults(func(id.UserID, event.Type, map[string]any) error {
			if n.Add(1) == 1 {
				return portaltest.Down()
			}
			return nil
		}, nil)
		close(block)
		for i := range 5 {
			r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, fmt.Sprint(i))
		}
		r.Restart()
		r.Quiet()
		require.Equal(t, []string{"0", "1", "2", "3", "4"}, r.Texts())
	})
	t.Run("with a long queue of everything", func(t *testing.T) {
		r := started(t)
		over := outage(r)
		e := r.Say(portaltest.AliceMXID, "a")
		edit := r.Edit(portaltest.AliceMXID, e, "b")
		re := r.React(portaltest.BobMXID, e, "👍")
		r.Reply(portaltest.BobMXID, e, "c")
		r.Eventually(func() bool { return len(r.HS.Statuses(re)) > 0 })
		r.Restart()
		over()
		r.Quiet()
		msgs := r.Tenant.Messages(portaltest.Channel)
		require.Len(t, msgs, 2)
		require.Contains(t, msgs[0].Body, "b")
		require.Len(t, msgs[0].Reactions, 1)
		require.Equal(t, msgs[0].ID, msgs[1].ReplyToID)
		require.Equal(t, event.MessageStatusSuccess, lastStatus(r, edit))
		require.Equal(t, event.MessageStatusSuccess, lastStatus(r, re))
		row, err := r.DB.Outbox.ByEvent(context.Background(), re.String())
		require.NoError(t, err)
		require.Equal(t, database.StateDone, row.State)
	})
}

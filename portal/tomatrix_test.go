package portal_test

import (
	"context"
	"fmt"
	"sync"
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

func started(t *testing.T, tune ...func(r *portaltest.Rig)) *portaltest.Rig {
	t.Helper()
	r := portaltest.New(t)
	debugLog(r)
	for _, f := range tune {
		f(r)
	}
	r.Start()
	return r
}

func last(t *testing.T, r *portaltest.Rig) portaltest.Event {
	t.Helper()
	all := r.HS.Messages(r.Room)
	require.NotEmpty(t, all)
	return all[len(all)-1]
}

func TestMessageGoesToMatrix(t *testing.T) {
	r := started(t)
	m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "<p>Hello</p>")
	r.Quiet()
	require.Equal(t, []string{"Hello"}, r.Texts())
	e := last(t, r)
	require.Equal(t, id.UserID("@teams_dave:example.org"), e.Sender)
	require.Equal(t, m.Created.UnixMilli(), e.At.UnixMilli(), "the original time")
	require.Equal(t, portal.SourceKey(portaltest.Channel, m.ID, 0, "new:"), e.Content[portal.SourceField])

	r.Tenant.Post(portaltest.Channel, "", portaltest.Alice, "<p>I am in both</p>")
	r.Quiet()
	require.Equal(t, portaltest.AliceMXID, last(t, r).Sender, "her own account speaks")
	r.Tenant.Post(portaltest.Channel, "", portaltest.Bob, "<p>No puppet</p>")
	r.Quiet()
	require.Equal(t, id.UserID("@teams_bob:example.org"), last(t, r).Sender)
}

func TestThreads(t *testing.T) {
	r := started(t)
	root := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "root")
	r.Tenant.Post(portaltest.Channel, root.ID, portaltest.Alice, "one")
	r.Tenant.Post(portaltest.Channel, root.ID, portaltest.Bob, "two")
	r.Quiet()
	all := r.HS.Messages(r.Room)
	require.Equal(t, []string{"root", "one", "two"}, r.Texts())
	for _, e := range all[1:] {
		require.Equal(t, "m.thread", e.Relation("rel_type"))
		require.Equal(t, all[0].ID.String(), e.Relation("event_id"))
	}
}

// Proves T5.
func TestSwappedNotificationsArriveInOrder(t *testing.T) {
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(in *portal.IngestOptions, _ *portal.SenderOptions) { in.Settle = 100 * time.Millisecond }
	})
	r.Tenant.SetChanged(nil)
	var msgs []teams.Message
	root := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "0")
	msgs = append(msgs, root)
	for i := 1; i < 5; i++ {
		msgs = append(msgs, r.Tenant.Post(portaltest.Channel, root.ID, portaltest.Dave, fmt.Sprint(i)))
	}
	for i := len(msgs) - 1; i >= 0; i-- {
		require.NoError(t, r.Ingest.Accept(context.Background(), "webhook", msgs[i:i+1]))
	}
	r.Quiet()
	require.Equal(t, []string{"0", "1", "2", "3", "4"}, r.Texts())
}

// Proves T3.
func TestSameMessageFromEverywhereOnce(t *testing.T) {
	r := started(t)
	m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "once")
	for _, source := range []string{"webhook", "export", "delta", "list", "history"} {
		require.NoError(t, r.Ingest.Accept(context.Background(), source, []teams.Message{m, m}))
	}
	r.Quiet()
	r.Restart()
	require.NoError(t, r.Ingest.Accept(context.Background(), "list", []teams.Message{m}))
	r.Quiet()
	require.Equal(t, []string{"once"}, r.Texts())
	require.Len(t, r.HS.Events(r.Room), 1)
}

func TestUnwantedAndIncompleteAreCounted(t *testing.T) {
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(in *portal.IngestOptions, _ *portal.SenderOptions) {
			in.Wanted = func(ch teams.ChannelRef) bool { return ch == portaltest.Channel }
		}
	})
	other := teams.ChannelRef{TeamID: "team", ChannelID: "19:other@thread.tacv2"}
	require.NoError(t, r.Ingest.Accept(context.Background(), "export", []teams.Message{
		{Channel: other, ID: "1", Type: teams.TypeMessage, ETag: 1}, {Channel: portaltest.Channel},
	}))
	require.Equal(t, 1, r.Counts.Get(portal.MetricDropped, "not mirrored"))
	require.Equal(t, 1, r.Counts.Get(portal.MetricDropped, "incomplete"))
}

// Proves T5.
func TestReplyWhoseRootIsMissingFetchesIt(t *testing.T) {
	r := started(t)
	r.Tenant.SetChanged(nil)
	root := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "old root")
	reply := r.Tenant.Post(portaltest.Channel, root.ID, portaltest.Dave, "reply")
	require.NoError(t, r.Ingest.Accept(context.Background(), "webhook", []teams.Message{reply}))
	r.Quiet()
	require.Equal(t, []string{"old root", "reply"}, r.Texts())
	require.Equal(t, "m.thread", last(t, r).Relation("rel_type"))
}

// The conversation stops being mirrored between a reply and its root, which the
// ledger then does not take.
func TestReplyWhoseRootIsNotTaken(t *testing.T) {
	var detached atomic.Bool
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(in *portal.IngestOptions, _ *portal.SenderOptions) {
			in.Wanted = func(teams.ChannelRef) bool { return !detached.Load() }
		}
	})
	r.Tenant.SetChanged(nil)
	root := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "root")
	reply := r.Tenant.Post(portaltest.Channel, root.ID, portaltest.Dave, "reply")
	var fetched atomic.Int32
	r.Tenant.SetRead(func(op string) error {
		detached.Store(true)
		fetched.Add(1)
		return nil
	})
	require.NoError(t, r.Ingest.Accept(context.Background(), "webhook", []teams.Message{reply}))
	r.Quiet()
	require.Equal(t, []string{"root", "reply"}, r.Texts())
	require.Equal(t, "m.thread", last(t, r).Relation("rel_type"))
	require.EqualValues(t, 1, fetched.Load())
}

func TestReplyWhoseRootIsGoneStandsAlone(t *testing.T) {
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(in *portal.IngestOptions, _ *portal.SenderOptions) { in.RootPatience = 50 * time.Millisecond }
	})
	r.Tenant.SetChanged(nil)
	root := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "gone")
	one := r.Tenant.Post(portaltest.Channel, root.ID, portaltest.Dave, "one")
	two := r.Tenant.Post(portaltest.Channel, root.ID, portaltest.Dave, "two")
	r.Tenant.Remove(portaltest.Channel, root.ID)
	require.NoError(t, r.Ingest.Accept(context.Background(), "webhook", []teams.Message{one, two}))
	r.Quiet()
	all := r.HS.Messages(r.Room)
	require.Equal(t, []string{"one", "two"}, r.Texts())
	require.Empty(t, all[0].Relation("rel_type"))
	require.Equal(t, all[0].ID.String(), all[1].Relation("event_id"), "the thread goes on under the first reply")
}

func TestRepliesToADeletedRoot(t *testing.T) {
	t.Run("deleted before it was seen", func(t *testing.T) {
		r := started(t)
		r.Tenant.SetChanged(nil)
		root := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "secret")
		reply := r.Tenant.Post(portaltest.Channel, root.ID, portaltest.Dave, "reply")
		root = r.Tenant.Change(portaltest.Channel, root.ID, portaltest.SetDeleted())
		require.NoError(t, r.Ingest.Accept(context.Background(), "export", []teams.Message{root}))
		r.Quiet()
		require.Empty(t, r.Texts(), "nothing is shown of it while nobody answers it")
		require.NoError(t, r.Ingest.Accept(context.Background(), "export", []teams.Message{reply}))
		r.Quiet()
		all := r.HS.Messages(r.Room)
		require.Len(t, all, 2)
		require.Equal(t, "This message was deleted in Teams.", all[0].Text())
		require.Equal(t, all[0].ID.String(), all[1].Relation("event_id"))

		root = r.Tenant.Change(portaltest.Channel, root.ID, portaltest.SetUndeleted("secret"))
		require.NoError(t, r.Ingest.Accept(context.Background(), "export", []teams.Message{root}))
		r.Quiet()
		require.Equal(t, []string{"secret", "reply"}, r.Texts())
	})
	t.Run("deleted afterwards", func(t *testing.T) {
		r := started(t)
		root := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "root")
		r.Quiet()
		rootEvent := last(t, r).ID
		r.Tenant.Change(portaltest.Channel, root.ID, portaltest.SetDeleted())
		r.Quiet()
		require.True(t, r.HS.Event(rootEvent).Redacted)
		r.Tenant.Post(portaltest.Channel, root.ID, portaltest.Dave, "reply")
		r.Quiet()
		require.Equal(t, rootEvent.String(), last(t, r).Relation("event_id"))
	})
}

func TestEditDeleteUndelete(t *testing.T) {
	r := started(t)
	m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "first")
	r.Quiet()
	r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetText("second"))
	r.Quiet()
	require.Equal(t, []string{"second"}, r.Texts())
	r.Tenant.Change(portaltest.Channel, m.ID, portaltest.AddReaction(portaltest.Bob, "👍"))
	r.Quiet()
	require.Len(t, r.HS.Events(r.Room), 3, "a reaction is no edit")
	r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetDeleted())
	r.Quiet()
	require.Empty(t, r.Texts())
	r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetUndeleted("second"))
	r.Quiet()
	require.Equal(t, []string{"second"}, r.Texts())
	require.Len(t, r.HS.Reactions(r.Room, last(t, r).ID), 1)
	r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetText("third"))
	r.Quiet()
	require.Equal(t, []string{"third"}, r.Texts())
}

func TestEditKeepsTheSenderAfterTheMappingChanged(t *testing.T) {
	r := started(t)
	m := r.Tenant.Post(portaltest.Channel, "", portaltest.Bob, "by the ghost")
	r.Quiet()
	ghost := last(t, r).Sender
	r.Stop()
	r.HS.AllowPuppet(portaltest.BobMXID)
	r.Start()
	r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetText("edited"))
	r.Quiet()
	require.Equal(t, []string{"edited"}, r.Texts())
	require.Equal(t, ghost, last(t, r).Sender)
}

func TestReactions(t *testing.T) {
	r := started(t)
	m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "react to me")
	r.Tenant.Change(portaltest.Channel, m.ID, portaltest.AddReaction(portaltest.Alice, "like"))
	r.Tenant.Change(portaltest.Channel, m.ID, portaltest.AddReaction(portaltest.Bob, "💯"))
	r.Tenant.Change(portaltest.Channel, m.ID, portaltest.AddReaction(portaltest.Relay, "💯"))
	r.Quiet()
	target := last(t, r).ID
	require.ElementsMatch(t, []string{"@alice:example.org 👍️", "@teams_bob:example.org 💯"}, r.HS.Reactions(r.Room, target))
	r.Tenant.Change(portaltest.Channel, m.ID, portaltest.DropReaction(portaltest.Alice, "like"))
	r.Quiet()
	require.Equal(t, []string{"@teams_bob:example.org 💯"}, r.HS.Reactions(r.Room, target))
}

// Proves T3.
func TestOlderVersionAfterNewerChangesNothing(t *testing.T) {
	r := started(t)
	r.Tenant.SetChanged(nil)
	v1 := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "v1")
	v2 := r.Tenant.Change(portaltest.Channel, v1.ID, portaltest.SetText("v2"))
	v3 := r.Tenant.Change(portaltest.Channel, v1.ID, portaltest.SetText("v3"))
	for _, m := range []teams.Message{v2, v1, v3, v2, v1} {
		require.NoError(t, r.Ingest.Accept(context.Background(), "webhook", []teams.Message{m}))
		r.Quiet()
	}
	require.Equal(t, []string{"v3"}, r.Texts())
}

func TestPortalNotYetCreatedWaits(t *testing.T) {
	r := portaltest.New(t)
	r.NoRoom = true
	r.Start()
	r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "early")
	r.Eventually(func() bool { return r.Counts.Get(portal.MetricIngestRetry, "no room yet") > 1 })
	r.MakeRoom()
	r.Ingest.Wake(r.Portal())
	r.Quiet()
	require.Equal(t, []string{"early"}, r.Texts())
}

// Proves T5.
func TestHomeserverDownKeepsOrder(t *testing.T) {
	r := started(t)
	r.HS.SetFaults(func(id.UserID, event.Type, map[string]any) error { return portaltest.Down() }, nil)
	for i := range 5 {
		r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, fmt.Sprint(i))
	}
	r.Eventually(func() bool { return r.Counts.Get(portal.MetricIngestRetry, "homeserver unreachable") > 2 })
	require.Empty(t, r.Texts())
	r.HS.SetFaults(nil, nil)
	r.Quiet()
	require.Equal(t, []string{"0", "1", "2", "3", "4"}, r.Texts())
}

func TestRefusedMessageIsParkedAndOthersGoOn(t *testing.T) {
	r := started(t)
	r.HS.SetFaults(func(_ id.UserID, _ event.Type, content map[string]any) error {
		if content["body"] == "poison" {
			return portaltest.Refused(413, "M_TOO_LARGE")
		}
		return nil
	}, nil)
	poison := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "poison")
	r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "cure")
	r.Quiet()
	require.Equal(t, []string{"cure"}, r.Texts())
	row, err := r.DB.Inbox.Get(context.Background(), r.Portal(), poison.ID)
	require.NoError(t, err)
	require.Equal(t, database.StateParked, row.State)
	require.Equal(t, "too large for the homeserver", row.Reason)
	r.Tenant.Change(portaltest.Channel, poison.ID, portaltest.SetText("healed"))
	r.Quiet()
	require.Equal(t, []string{"cure", "healed"}, r.Texts())
}

func TestPanicBeforeTheLoopIsParkedAndOthersGoOn(t *testing.T) {
	r := started(t)
	r.Tenant.SetChanged(nil)
	root := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "root")
	poison := r.Tenant.Post(portaltest.Channel, root.ID, portaltest.Dave, "poison")
	cure := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "cure")
	r.Tenant.SetRead(func(op string) error {
		if op == "message" {
			panic("while the root is fetched")
		}
		return nil
	})
	require.NoError(t, r.Ingest.Accept(context.Background(), "webhook", []teams.Message{poison, cure}))
	r.Quiet()
	require.Equal(t, []string{"cure"}, r.Texts())
	require.Equal(t, 1, r.Counts.Get(portal.MetricParked, "panic"))
	row, err := r.DB.Inbox.Get(context.Background(), r.Portal(), poison.ID)
	require.NoError(t, err)
	require.Equal(t, database.StateParked, row.State)
	require.Equal(t, "panic", row.Reason)
}

// Proves T4.
func TestLostAnswerOfTheHomeserver(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("homeserver restarted %v", restart), func(t *testing.T) {
			r := started(t)
			lost := 0
			echo := make(chan portaltest.Event, 10)
			r.HS.OnEvent = func(e portaltest.Event) { echo <- e }
			r.HS.SetFaults(nil, func(id.UserID, event.Type, map[string]any) error {
				if lost++; lost == 1 {
					return portaltest.Down()
				}
				return nil
			})
			if restart {
				// The bridge hears of its own event in a transaction, and the
				// homeserver does not know the transaction id any more.
				r.Tune = func(in *portal.IngestOptions, _ *portal.SenderOptions) { in.RetryMin = time.Second }
				r.Restart()
				r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "once")
				e := <-echo
				_, err := r.DB.Echoes.Record(context.Background(), []database.Echo{{
					SourceKey: e.Content[portal.SourceField].(string), EventID: e.ID.String(), RoomID: r.Room.String(),
				}})
				require.NoError(t, err)
				r.HS.Restart()
			} else {
				r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "once")
			}
			r.Quiet()
			require.Equal(t, []string{"once"}, r.Texts())
		})
	}
}

func TestSystemMessageIsANoticeOfTheBot(t *testing.T) {
	r := started(t)
	now := time.Now().Truncate(time.Millisecond)
	require.NoError(t, r.Ingest.Accept(context.Background(), "webhook", []teams.Message{{
		Channel: portaltest.Channel, ID: "1", ETag: now.UnixMilli(), Type: teams.TypeSystem, Created: now, Modified: now,
		BodyType: teams.BodyHTML, Body: "<systemEventMessage/>",
		Event: &teams.EventDetail{Type: "channelRenamed", Raw: []byte(`{"channelDisplayName":"New"}`)},
	}}))
	r.Quiet()
	e := last(t, r)
	require.Equal(t, portaltest.BotID, e.Sender)
	require.Equal(t, "m.notice", e.Content["msgtype"])
}

func TestApplicationsAreGhosts(t *testing.T) {
	r := started(t)
	now := time.Now().Truncate(time.Millisecond)
	require.NoError(t, r.Ingest.Accept(context.Background(), "webhook", []teams.Message{{
		Channel: portaltest.Channel, ID: "1", ETag: now.UnixMilli(), Type: teams.TypeMessage, Created: now, Modified: now,
		BodyType: teams.BodyText, Body: "build failed", From: teams.Identity{ID: "4711", DisplayName: "CI", Kind: "application"},
	}}))
	r.Quiet()
	require.Equal(t, id.UserID("@teams_app-4711:example.org"), last(t, r).Sender)
	ghost, err := r.Bridge.GetGhostByID(context.Background(), portal.AppUserID("4711"))
	require.NoError(t, err)
	require.Equal(t, "CI", ghost.Name)
}

const imageURL = "https://graph.microsoft.com/v1.0/teams/team/channels/19:one@thread.tacv2/messages/1/hostedContents/aWQ=/$value"

func imageMessage(body string) teams.Message {
	now := time.Now().Truncate(time.Millisecond)
	return teams.Message{
		Channel: portaltest.Channel, ID: "1", ETag: now.UnixMilli(), Type: teams.TypeMessage, Created: now, Modified: now,
		BodyType: teams.BodyHTML, Body: body, From: teams.Identity{ID: portaltest.Dave, Kind: "user"},
	}
}

func TestImages(t *testing.T) {
	body := `<p>look</p><img src="` + imageURL + `" alt="plan" width="10" height="20">`
	t.Run("copied once", func(t *testing.T) {
		r := started(t)
		r.Tenant.AddImage(imageURL, []byte("png"))
		m := imageMessage(body)
		require.NoError(t, r.Ingest.Accept(context.Background(), "webhook", []teams.Message{m}))
		r.Quiet()
		all := r.HS.Messages(r.Room)
		require.Len(t, all, 2)
		require.Equal(t, "m.image", all[1].Content["msgtype"])
		m.Body, m.Edited, m.ETag = `<p>look here</p><img src="`+imageURL+`" alt="plan" width="10" height="20">`, time.Now(), m.ETag+1
		require.NoError(t, r.Ingest.Accept(context.Background(), "webhook", []teams.Message{m}))
		r.Quiet()
		require.Equal(t, 1, r.HS.Media(), "an edit of the text does not copy the image again")
		require.Equal(t, "look here", r.HS.Messages(r.Room)[0].Text())
		require.Len(t, r.HS.Messages(r.Room), 2)
	})
	t.Run("waits for Graph, but not for ever", func(t *testing.T) {
		r := started(t, func(r *portaltest.Rig) {
			r.Tune = func(in *portal.IngestOptions, _ *portal.SenderOptions) { in.MediaPatience = 100 * time.Millisecond }
		})
		r.Tenant.SetRead(func(string) error { return portaltest.ErrUnavailable })
		require.NoError(t, r.Ingest.Accept(context.Background(), "webhook", []teams.Message{imageMessage(body)}))
		r.Quiet()
		require.Greater(t, r.Counts.Get(portal.MetricIngestRetry, "teams unavailable"), 0)
		require.NotEmpty(t, r.Texts(), "the text comes without the picture")
		require.Zero(t, r.HS.Media())
	})
	t.Run("picture comes back in time", func(t *testing.T) {
		r := started(t)
		r.Tenant.AddImage(imageURL, []byte("png"))
		r.Tenant.SetRead(func(string) error { return portaltest.ErrUnavailable })
		require.NoError(t, r.Ingest.Accept(context.Background(), "webhook", []teams.Message{imageMessage(body)}))
		r.Eventually(func() bool { return r.Counts.Get(portal.MetricIngestRetry, "teams unavailable") > 1 })
		r.Tenant.SetRead(nil)
		r.Quiet()
		require.Equal(t, 1, r.HS.Media())
	})
	t.Run("patience begins with the first try", func(t *testing.T) {
		r := started(t, func(r *portaltest.Rig) {
			// Whatever is in the ledger has been there for longer.
			r.Tune = func(in *portal.IngestOptions, _ *portal.SenderOptions) { in.MediaPatience = time.Nanosecond }
		})
		r.Tenant.AddImage(imageURL, []byte("png"))
		var tries atomic.Int32
		r.Tenant.SetRead(func(string) error {
			if tries.Add(1) == 1 {
				return portaltest.ErrUnavailable
			}
			return nil
		})
		require.NoError(t, r.Ingest.Accept(context.Background(), "webhook", []teams.Message{imageMessage(body)}))
		r.Quiet()
		require.Equal(t, 1, r.HS.Media())
	})
	t.Run("second part refused once", func(t *testing.T) {
		r := started(t)
		r.Tenant.AddImage(imageURL, []byte("png"))
		failed := false
		r.HS.SetFaults(func(_ id.UserID, _ event.Type, content map[string]any) error {
			if content["msgtype"] == "m.image" && !failed {
				failed = true
				return portaltest.Down()
			}
			return nil
		}, nil)
		require.NoError(t, r.Ingest.Accept(context.Background(), "webhook", []teams.Message{imageMessage(body)}))
		r.Quiet()
		require.Len(t, r.HS.Messages(r.Room), 2)
		require.Len(t, r.HS.Events(r.Room), 2, "the first part is not sent again")
	})
	t.Run("foreign and too large", func(t *testing.T) {
		r := started(t, func(r *portaltest.Rig) {
			r.Tune = func(in *portal.IngestOptions, _ *portal.SenderOptions) { in.MaxImage = 2 }
		})
		r.Tenant.AddImage(imageURL, []byte("png"))
		require.NoError(t, r.Ingest.Accept(context.Background(), "webhook", []teams.Message{
			imageMessage(body + `<img src="https://evil.example/x.png">`),
		}))
		r.Quiet()
		require.NotEmpty(t, r.Texts())
		require.Zero(t, r.HS.Media())
	})
}

// A notification that was stored late, or whose message has to be fetched, does
// not lose its place. Proves T5.
func TestAnnouncedMessageIsWaitedFor(t *testing.T) {
	r := started(t)
	r.Tenant.SetChanged(nil)
	ctx := context.Background()
	one := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "one")
	two := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "two")
	lost := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "lost")
	three := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "three")
	r.Ingest.Announced([]teams.MessageRef{one.Ref(), lost.Ref()})
	require.NoError(t, r.Ingest.Accept(ctx, "webhook", []teams.Message{three, two}))
	require.Never(t, func() bool { return len(r.Texts()) > 0 }, 100*time.Millisecond, 5*time.Millisecond)
	require.NoError(t, r.Ingest.Accept(ctx, "export", []teams.Message{one}))
	r.Eventually(func() bool { return len(r.Texts()) == 2 })
	r.Ingest.GivenUp([]teams.MessageRef{lost.Ref()})
	r.Quiet()
	require.Equal(t, []string{"one", "two", "three"}, r.Texts())
}

// What notifications bring before a channel was read does not overtake what the
// bridge has missed; a change of what is there already goes at once. Proves T5.
func TestNewMessagesWaitForTheChannelToBeRead(t *testing.T) {
	var behind atomic.Bool
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(in *portal.IngestOptions, _ *portal.SenderOptions) {
			in.Behind = func(teams.ChannelRef) (bool, bool) { return behind.Load(), false }
		}
	})
	ctx := context.Background()
	old := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "old")
	r.Quiet()
	behind.Store(true)
	r.Tenant.SetChanged(nil)
	missed := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "missed")
	fresh := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "fresh")
	edited := r.Tenant.Change(portaltest.Channel, old.ID, func(m *teams.Message, at time.Time) { m.Body, m.Edited = "old, edited", at })
	require.NoError(t, r.Ingest.Accept(ctx, "webhook", []teams.Message{fresh, edited}))
	r.Eventually(func() bool { return len(r.HS.Events(r.Room)) == 2 })
	require.NoError(t, r.Ingest.Accept(ctx, "delta", []teams.Message{missed}))
	require.Never(t, func() bool { return len(r.HS.Events(r.Room)) > 2 }, 100*time.Millisecond, 5*time.Millisecond)
	behind.Store(false)
	r.Ingest.Read(teams.Scope(portaltest.Channel))
	r.Quiet()
	require.Equal(t, []string{"old, edited", "missed", "fresh"}, r.Texts())
}

// A message that comes while others of its room are being delivered takes its
// place among those that are not yet. Proves T5.
func TestMessageTakesItsPlaceInABatch(t *testing.T) {
	r := started(t)
	r.Tenant.SetChanged(nil)
	ctx := context.Background()
	var msgs []teams.Message
	for i := range 4 {
		msgs = append(msgs, r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, fmt.Sprint(i)))
	}
	sending, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	r.HS.SetFaults(func(_ id.UserID, kind event.Type, _ map[string]any) error {
		if kind == event.EventMessage {
			once.Do(func() { close(sending); <-goOn })
		}
		return nil
	}, nil)
	require.NoError(t, r.Ingest.Accept(ctx, "webhook", []teams.Message{msgs[0], msgs[2], msgs[3]}))
	<-sending
	require.NoError(t, r.Ingest.Accept(ctx, "webhook", msgs[1:2]))
	close(goOn)
	r.Quiet()
	require.Equal(t, []string{"0", "1", "2", "3"}, r.Texts())
}

// A conversation to which messages come all the time does not keep its place
// before the others for ever. Proves T5.
func TestBusyConversationGivesWay(t *testing.T) {
	ctx := context.Background()
	busy, other := portaltest.Channel, teams.ChannelRef{TeamID: "team", ChannelID: "19:other@thread.tacv2"}
	r := started(t, func(r *portaltest.Rig) {
		r.Channels = []teams.ChannelRef{busy, other}
		r.Tune = func(in *portal.IngestOptions, _ *portal.SenderOptions) { in.Concurrency = 1 }
	})
	r.Tenant.SetChanged(nil)
	const many = 200
	var msgs []teams.Message
	for i := range many {
		msgs = append(msgs, r.Tenant.Post(busy, "", portaltest.Dave, fmt.Sprint(i)))
	}
	quiet := r.Tenant.Post(other, "", portaltest.Dave, "quiet")
	sent, quietAt := 0, 0
	r.HS.SetFaults(nil, func(_ id.UserID, kind event.Type, content map[string]any) error {
		if kind != event.EventMessage {
			return nil
		}
		if sent++; content["body"] == "quiet" {
			quietAt = sent
		} else if sent == 1 {
			require.NoError(t, r.Ingest.Accept(ctx, "webhook", []teams.Message{quiet}))
		} else if sent < many/2 { // one comes with each that is delivered
			require.NoError(t, r.Ingest.Accept(ctx, "webhook", msgs[many/2+sent:many/2+sent+1]))
		}
		return nil
	})
	require.NoError(t, r.Ingest.Accept(ctx, "webhook", msgs[:many/2]))
	r.Quiet()
	require.NotZero(t, quietAt)
	require.Less(t, quietAt, many/2)
}

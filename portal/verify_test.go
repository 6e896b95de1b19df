package portal_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
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

var hourAgo = -time.Hour

func verify(t *testing.T, r *portaltest.Rig) portal.Report {
	t.Helper()
	report, err := r.Verifier.Verify(context.Background(), portaltest.Channel, time.Now().Add(hourAgo))
	require.NoError(t, err)
	return report
}

func classes(report portal.Report) (out []portal.Class) {
	for _, f := range report.Findings {
		out = append(out, f.Class)
	}
	return out
}

// mends checks that a comparison finds exactly these classes, that a repair
// mends all of them, and that it then has nothing more to do.
func mends(t *testing.T, r *portaltest.Rig, want ...portal.Class) portal.Report {
	t.Helper()
	report := verify(t, r)
	require.Equal(t, want, classes(report))
	repaired, err := r.Verifier.Repair(context.Background(), report)
	require.NoError(t, err)
	for _, f := range repaired.Findings {
		require.True(t, f.Mended, "%s %s %s: %s", f.Class, f.Message, f.Event, f.Reason)
	}
	r.Quiet()
	clean(t, r)
	// An old report once more.
	before, events := r.Tenant.Messages(portaltest.Channel), r.HS.Events(r.Room)
	_, err = r.Verifier.Repair(context.Background(), report)
	require.NoError(t, err)
	r.Quiet()
	require.Equal(t, before, r.Tenant.Messages(portaltest.Channel), "a second repair changes nothing")
	require.Equal(t, events, r.HS.Events(r.Room), "a second repair changes nothing")
	return repaired
}

func clean(t *testing.T, r *portaltest.Rig) {
	t.Helper()
	report := verify(t, r)
	require.Empty(t, report.Findings)
	require.Zero(t, report.OnTheWay)
}

// stays checks that a comparison finds a class that a repair can't mend, and
// says why.
func stays(t *testing.T, r *portaltest.Rig, want portal.Class, reason string) {
	t.Helper()
	report := verify(t, r)
	require.Equal(t, []portal.Class{want}, classes(report))
	before, events := r.Tenant.Messages(portaltest.Channel), r.HS.Events(r.Room)
	report, err := r.Verifier.Repair(context.Background(), report)
	require.NoError(t, err)
	require.False(t, report.Findings[0].Mended)
	require.Contains(t, report.Findings[0].Reason, reason)
	require.Equal(t, before, r.Tenant.Messages(portaltest.Channel))
	require.Equal(t, events, r.HS.Events(r.Room))
}

func eventOf(t *testing.T, r *portaltest.Rig, text string) portaltest.Event {
	t.Helper()
	for _, e := range r.HS.Messages(r.Room) {
		if strings.Contains(e.Text(), text) {
			return e
		}
	}
	t.Fatalf("%q is not in the room", text)
	return portaltest.Event{}
}

func TestVerifyMissingInMatrix(t *testing.T) {
	post := func(r *portaltest.Rig, text string) teams.Message {
		return r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, text)
	}
	for name, lose := range map[string]func(t *testing.T, r *portaltest.Rig){
		"nobody told": func(_ *testing.T, r *portaltest.Rig) { r.Silently(func() { post(r, "lost") }) },
		"the event is gone": func(t *testing.T, r *portaltest.Rig) {
			post(r, "lost")
			r.Quiet()
			r.HS.Lose(eventOf(t, r, "lost").ID)
		},
		"the event and its row are gone": func(t *testing.T, r *portaltest.Rig) {
			m := post(r, "lost")
			r.Quiet()
			require.NoError(t, r.Look(context.Background(), r.Room)) // its echo was seen
			require.NoError(t, r.Bridge.DB.Message.DeleteAllParts(context.Background(), "", portal.MessageID(portaltest.Channel, m.ID)))
			r.HS.Lose(eventOf(t, r, "lost").ID)
		},
		"the bridge removed it by mistake": func(t *testing.T, r *portaltest.Rig) {
			post(r, "lost")
			r.Quiet()
			r.Secretly(portaltest.BotID, event.EventRedaction, map[string]any{"redacts": eventOf(t, r, "lost").ID.String()})
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := started(t)
			post(r, "before")
			lose(t, r)
			post(r, "after")
			r.Quiet()
			mends(t, r, portal.MissingInMatrix)
			require.Equal(t, []string{"before", "after", "lost"}, r.Texts())
			require.Equal(t, "@teams_dave:example.org", eventOf(t, r, "lost").Sender.String())
		})
	}
}

func TestVerifyMissingRootComesBackWithItsThread(t *testing.T) {
	r := started(t)
	root := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "root")
	r.Silently(func() {
		r.Tenant.Post(portaltest.Channel, root.ID, portaltest.Bob, "one")
		r.Tenant.Post(portaltest.Channel, root.ID, portaltest.Dave, "two")
		r.Tenant.Change(portaltest.Channel, root.ID, portaltest.AddReaction(portaltest.Dave, "👍"))
	})
	r.Quiet()
	r.HS.Lose(eventOf(t, r, "root").ID)
	mends(t, r, portal.MissingInMatrix, portal.MissingInMatrix, portal.MissingInMatrix)
	require.Equal(t, []string{"root", "one", "two"}, r.Texts())
	back := eventOf(t, r, "root").ID
	require.Equal(t, back.String(), eventOf(t, r, "two").Relation("event_id"))
	require.Len(t, r.HS.Reactions(r.Room, back), 1)
}

func TestVerifyEventOfAPersonIsGone(t *testing.T) {
	r := started(t)
	r.HS.Lose(r.Say(portaltest.AliceMXID, "x"))
	lost := r.Say(portaltest.AliceMXID, "mine")
	r.Quiet()
	r.HS.Lose(lost)
	mends(t, r, portal.MissingInMatrix, portal.MissingInMatrix)
	require.Contains(t, r.Texts(), "mine", "Teams had it")
}

func TestVerifyMissingInTeams(t *testing.T) {
	for name, lose := range map[string]func(t *testing.T, r *portaltest.Rig){
		"the bridge never got it": func(_ *testing.T, r *portaltest.Rig) {
			r.Secretly(portaltest.AliceMXID, event.EventMessage, map[string]any{"msgtype": "m.text", "body": "lost"})
		},
		"the outbox has lost it": func(t *testing.T, r *portaltest.Rig) {
			over := outage(r)
			e := r.Say(portaltest.AliceMXID, "lost")
			r.Eventually(func() bool {
				row, err := r.DB.Outbox.ByEvent(context.Background(), e.String())
				require.NoError(t, err)
				return row != nil && row.State == database.StateQueued
			})
			_, err := r.Bridge.DB.Exec(context.Background(), `DELETE FROM teams_outbox`)
			require.NoError(t, err)
			r.Settled() // whoever had it in hand has let it go
			over()
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := started(t)
			r.Say(portaltest.AliceMXID, "before")
			r.Quiet()
			lose(t, r)
			r.Quiet()
			mends(t, r, portal.MissingInTeams)
			require.Equal(t, []string{"before", "lost"}, r.TeamsTexts())
			require.Equal(t, []string{"before", "lost"}, r.Texts())
		})
	}
}

func TestVerifyWhatTeamsHasNoMore(t *testing.T) {
	r := started(t)
	r.Say(portaltest.AliceMXID, "said in Matrix")
	r.Quiet()
	r.Tenant.Remove(portaltest.Channel, r.Tenant.Messages(portaltest.Channel)[0].ID)
	stays(t, r, portal.GoneInTeams, "no more")
	require.Empty(t, r.TeamsTexts(), "retention is not undone")
	r = started(t)
	m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "said in Teams")
	r.Quiet()
	r.Tenant.Remove(portaltest.Channel, m.ID)
	stays(t, r, portal.GoneInTeams, "no more")
}

func TestVerifyDoubledInMatrix(t *testing.T) {
	r := started(t)
	r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "once")
	r.Tenant.Post(portaltest.Channel, "", portaltest.Alice, "by a puppet")
	r.Quiet()
	kept := eventOf(t, r, "once").ID
	twin := r.HS.Double(t, kept)
	r.HS.Double(t, eventOf(t, r, "by a puppet").ID)
	mends(t, r, portal.DoubledInMatrix, portal.DoubledInMatrix)
	require.True(t, r.HS.Event(twin).Redacted)
	require.False(t, r.HS.Event(kept).Redacted, "the one by which the bridge knows the message")
}

func TestVerifyOwnPostAsNews(t *testing.T) {
	r := started(t)
	e := r.Say(portaltest.CarolMXID, "mine")
	r.Quiet()
	m := r.Tenant.Messages(portaltest.Channel)[0]
	// A crash has left the row without its id, and the post was taken for news.
	ctx := context.Background()
	row, err := r.Bridge.DB.Message.GetPartByMXID(ctx, e)
	require.NoError(t, err)
	news := *row
	row.ID = portal.ProvisionalID(e)
	require.NoError(t, r.Bridge.DB.Message.Update(ctx, row))
	copied, err := r.HS.Put(r.Room, "@teams_relay:example.org", event.EventMessage, "", m.Created, map[string]any{
		"msgtype": "m.text", "body": "carol: mine", portal.SourceField: portal.SourceKey(portaltest.Channel, m.ID, 0, "new:")})
	require.NoError(t, err)
	news.RowID, news.MXID, news.SenderMXID, news.Metadata = 0, copied, "@teams_relay:example.org", &portal.MessageMetadata{ContentHash: "x"}
	require.NoError(t, r.Bridge.DB.Message.Insert(ctx, &news))
	mends(t, r, portal.DoubledInMatrix)
	require.Equal(t, []string{"mine"}, r.Texts())
	r.Edit(portaltest.CarolMXID, e, "better")
	r.Quiet()
	require.Contains(t, r.TeamsTexts()[0], "better", "the row has its id")
	clean(t, r)
}

func TestVerifyDoubledInTeams(t *testing.T) {
	for _, account := range []string{portaltest.Relay, portaltest.SecondRelay} {
		r := started(t)
		r.Say(portaltest.CarolMXID, "once")
		r.Quiet()
		m := r.Tenant.Messages(portaltest.Channel)[0]
		r.Silently(func() { r.Tenant.Post(portaltest.Channel, "", account, m.Body) })
		mends(t, r, portal.DoubledInTeams)
		require.Len(t, r.TeamsTexts(), 1)
		require.True(t, r.Tenant.Messages(portaltest.Channel)[0].Deleted.IsZero(), "the later one goes")
		require.Equal(t, []string{"once"}, r.Texts())
		// The same twice is no double.
		r.Say(portaltest.CarolMXID, "once")
		r.Quiet()
		clean(t, r)
		require.Len(t, r.TeamsTexts(), 2)
	}
}

// Of two that say the same somebody may have deleted one: the other is then the
// only one, also where that happens while a repair runs.
func TestVerifyKeepsTheOnlyOneOfTwo(t *testing.T) {
	twice := func(t *testing.T) (*portaltest.Rig, string) {
		r := started(t)
		r.Say(portaltest.CarolMXID, "once")
		r.Quiet()
		m := r.Tenant.Messages(portaltest.Channel)[0]
		r.Silently(func() { r.Tenant.Post(portaltest.Channel, "", portaltest.Relay, m.Body) })
		return r, m.ID
	}
	r, first := twice(t)
	r.Tenant.Change(portaltest.Channel, first, portaltest.SetDeleted())
	r.Quiet()
	require.Empty(t, r.Texts())
	mends(t, r, portal.MissingInMatrix)
	require.Len(t, liveTexts(r), 1)
	require.Len(t, r.Texts(), 1)

	r, first = twice(t)
	report := verify(t, r)
	require.Equal(t, []portal.Class{portal.DoubledInTeams}, classes(report))
	r.Tenant.SetReads(func(read portaltest.Read) error {
		if read.Op == "message" && read.Target == first {
			r.Silently(func() { r.Tenant.Change(portaltest.Channel, first, portaltest.SetDeleted()) })
		}
		return nil
	})
	report, err := r.Verifier.Repair(context.Background(), report)
	require.NoError(t, err)
	require.Contains(t, report.Findings[0].Reason, "not there any more")
	require.Len(t, liveTexts(r), 1)
}

// What comes into the queue while a repair runs goes its way, and not twice.
func TestVerifyLeavesWhatHasComeSince(t *testing.T) {
	r := started(t)
	r.Silently(func() { r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "lost in Matrix") })
	lost := r.Secretly(portaltest.AliceMXID, event.EventMessage, map[string]any{"msgtype": "m.text", "body": "lost in Teams"})
	report := verify(t, r)
	require.Equal(t, []portal.Class{portal.MissingInMatrix, portal.MissingInTeams}, classes(report))
	over := outage(r)
	var once sync.Once
	r.Tenant.SetRead(func(op string) error {
		if op == "message" {
			once.Do(func() { r.Redeliver(lost); queued(r) })
		}
		return nil
	})
	report, err := r.Verifier.Repair(context.Background(), report)
	require.NoError(t, err)
	require.Equal(t, "on its way", report.Findings[1].Reason)
	r.Tenant.SetRead(nil)
	over()
	r.Quiet()
	require.Len(t, r.TeamsTexts(), 2)
	clean(t, r)
	r.Edit(portaltest.AliceMXID, lost, "better")
	r.Quiet()
	require.Contains(t, strings.Join(r.TeamsTexts(), " "), "better", "its row is there")
}

// Events that would have to be asked for one by one are not said to be in order.
func TestVerifyTellsWhatItDoesNotAskFor(t *testing.T) {
	ctx := context.Background()
	r := started(t, func(r *portaltest.Rig) { r.Lookups = 1 })
	fromThen(r, 80, time.Now().Add(-72*time.Hour))
	_, err := r.Bridge.DB.Exec(ctx, `UPDATE teams_inbox SET delivered_at = $1`, time.Now().Add(-71*time.Hour).UnixMilli())
	require.NoError(t, err)
	for _, m := range r.Tenant.Messages(portaltest.Channel)[:3] {
		r.Tenant.Change(portaltest.Channel, m.ID, portaltest.AddReaction(portaltest.Dave, "👍"))
	}
	r.Quiet()
	report := verify(t, r)
	require.Empty(t, report.Findings)
	require.Equal(t, map[string]int{portal.UnseenOneByOne: 2}, report.Unseen)
	require.Empty(t, report.Left)
}

func TestVerifyDoubledInTeamsAndShown(t *testing.T) {
	r := started(t)
	r.Say(portaltest.CarolMXID, "once")
	r.Quiet()
	// The second post was taken for news.
	r.Tenant.Post(portaltest.Channel, "", portaltest.Relay, r.Tenant.Messages(portaltest.Channel)[0].Body)
	r.Quiet()
	require.Len(t, r.Texts(), 2)
	mends(t, r, portal.DoubledInTeams)
	require.Len(t, r.TeamsTexts(), 1)
	require.Equal(t, []string{"once"}, r.Texts())
}

func TestVerifyPostsBehindTheFirst(t *testing.T) {
	long := "it begins. " + strings.Repeat("much more of it ", 3000)
	said := func(t *testing.T) (r *portaltest.Rig, second teams.Message, e id.EventID) {
		r = started(t)
		e = r.Say(portaltest.CarolMXID, long)
		r.Quiet()
		posts := r.Tenant.Messages(portaltest.Channel)
		require.Len(t, posts, 2)
		clean(t, r)
		return r, posts[1], e
	}
	t.Run("deleted in Teams, and nobody told", func(t *testing.T) {
		r, second, _ := said(t)
		r.Silently(func() { r.Tenant.Change(portaltest.Channel, second.ID, portaltest.SetDeleted()) })
		mends(t, r, portal.DeletedInTeams)
	})
	t.Run("there though an edit took it away", func(t *testing.T) {
		r, second, e := said(t)
		r.Edit(portaltest.CarolMXID, e, "it is short")
		r.Quiet()
		clean(t, r)
		r.Silently(func() { r.Tenant.Change(portaltest.Channel, second.ID, portaltest.SetUndeleted(second.Body)) })
		mends(t, r, portal.DeletedInMatrix)
		require.Len(t, liveTexts(r), 1)
	})
	t.Run("not in Teams any more", func(t *testing.T) {
		r, second, _ := said(t)
		r.Tenant.Remove(portaltest.Channel, second.ID)
		stays(t, r, portal.GoneInTeams, "no more")
	})
	t.Run("left when the first was deleted in Teams", func(t *testing.T) {
		r, second, _ := said(t)
		r.Tenant.Change(portaltest.Channel, second.ReplyToID, portaltest.SetDeleted())
		r.Quiet()
		stays(t, r, portal.DeletedInMatrix, "one of several posts")
	})
	t.Run("refused", func(t *testing.T) {
		r, _ := partly(t)
		report := verify(t, r)
		require.Empty(t, report.Findings)
		require.Equal(t, map[string]int{"to Teams, which has a part: bad request": 1}, report.Failed)
	})
}

func TestVerifyDifferentMedia(t *testing.T) {
	posted := func(t *testing.T) (*portaltest.Rig, teams.Message, portaltest.Event) {
		r := started(t)
		for n := range 2 {
			r.Tenant.AddImage(pictureURL(n), []byte(fmt.Sprint("png", n)))
		}
		m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "<p>look</p>"+pictureTag(0))
		r.Quiet()
		clean(t, r)
		for _, e := range r.HS.Messages(r.Room) {
			if e.Content["msgtype"] == "m.image" {
				return r, m, e
			}
		}
		t.Fatal("no picture")
		return nil, m, portaltest.Event{}
	}
	shown := func(r *portaltest.Rig, e portaltest.Event) string {
		for _, now := range r.HS.Messages(r.Room) {
			if now.ID == e.ID {
				return string(r.HS.File(fmt.Sprint(now.Content["url"])))
			}
		}
		return ""
	}
	t.Run("another one in Teams, and nobody told", func(t *testing.T) {
		r, m, e := posted(t)
		r.Silently(func() { r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetText("<p>look</p>"+pictureTag(1))) })
		mends(t, r, portal.DifferentMedia)
		require.Equal(t, "png1", shown(r, e))
	})
	t.Run("the event that exchanged it is gone", func(t *testing.T) {
		r, m, e := posted(t)
		r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetText("<p>look</p>"+pictureTag(1)))
		r.Quiet()
		require.Equal(t, "png1", shown(r, e))
		require.NoError(t, r.Look(context.Background(), r.Room))
		events := r.HS.Events(r.Room)
		r.HS.Lose(events[len(events)-1].ID)
		require.Equal(t, "png0", shown(r, e))
		mends(t, r, portal.DifferentMedia)
		require.Equal(t, "png1", shown(r, e))
	})
	t.Run("a file that Teams has no more", func(t *testing.T) {
		r := started(t)
		r.Send(portaltest.AliceMXID, event.EventMessage, map[string]any{"msgtype": "m.file", "body": "a.pdf", "url": string(r.HS.Upload([]byte("first")))})
		r.Quiet()
		clean(t, r)
		m := r.Tenant.Messages(portaltest.Channel)[0]
		require.NotEmpty(t, m.Attachments)
		r.Silently(func() {
			r.Tenant.Change(portaltest.Channel, m.ID, func(m *teams.Message, _ time.Time) { m.Attachments = nil })
		})
		stays(t, r, portal.DifferentMedia, "without the file")
	})
}

func TestVerifyWhatAPersonTypesIsNoDouble(t *testing.T) {
	r := started(t)
	r.Say(portaltest.AliceMXID, "ok")
	r.Quiet()
	r.Silently(func() {
		r.Tenant.Post(portaltest.Channel, "", portaltest.Alice, r.Tenant.Messages(portaltest.Channel)[0].Body)
	})
	mends(t, r, portal.MissingInMatrix)
	require.Equal(t, []string{"ok", "ok"}, r.Texts())
	require.Len(t, r.TeamsTexts(), 2)
}

func TestVerifyDifferentText(t *testing.T) {
	ctx := context.Background()
	t.Run("an edit in Teams that nobody told of", func(t *testing.T) {
		r := started(t)
		m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "old")
		r.Quiet()
		r.Silently(func() { r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetText("new")) })
		mends(t, r, portal.DifferentText)
		require.Equal(t, []string{"new"}, r.Texts())
	})
	t.Run("the edit's event is gone", func(t *testing.T) {
		r := started(t)
		m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "old")
		r.Quiet()
		r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetText("new"))
		r.Quiet()
		require.NoError(t, r.Look(ctx, r.Room))
		events := r.HS.Events(r.Room)
		r.HS.Lose(events[len(events)-1].ID)
		require.Equal(t, []string{"old"}, r.Texts())
		mends(t, r, portal.DifferentText)
		require.Equal(t, []string{"new"}, r.Texts())
	})
	t.Run("an edit in Matrix that the bridge never got", func(t *testing.T) {
		r := started(t)
		e := r.Say(portaltest.CarolMXID, "old")
		r.Quiet()
		r.Secretly(portaltest.CarolMXID, event.EventMessage, map[string]any{
			"msgtype": "m.text", "body": "* new", "m.new_content": map[string]any{"msgtype": "m.text", "body": "new"},
			"m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": e.String()}})
		mends(t, r, portal.DifferentText)
		require.Contains(t, r.TeamsTexts()[0], "new")
	})
	t.Run("an edit in Matrix that Teams has lost", func(t *testing.T) {
		r := started(t)
		e := r.Say(portaltest.AliceMXID, "old")
		r.Quiet()
		before := r.Tenant.Messages(portaltest.Channel)[0]
		r.Edit(portaltest.AliceMXID, e, "new")
		r.Quiet()
		r.Tenant.Set(portaltest.Channel, before.ID, func(m *teams.Message) { m.Body, m.Edited = before.Body, before.Edited })
		mends(t, r, portal.DifferentText)
		require.Equal(t, []string{"new"}, r.TeamsTexts())
		require.Equal(t, []string{"new"}, r.Texts())
	})
	t.Run("an edit in Teams of what was written in Matrix", func(t *testing.T) {
		r := started(t)
		r.Say(portaltest.AliceMXID, "old")
		r.Quiet()
		m := r.Tenant.Messages(portaltest.Channel)[0]
		r.Silently(func() { r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetText("new")) })
		mends(t, r, portal.DifferentText)
		require.Equal(t, []string{"new"}, r.Texts())
	})
}

func TestVerifyDeletedOnOneSide(t *testing.T) {
	t.Run("in Teams, nobody told", func(t *testing.T) {
		r := started(t)
		m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "x")
		r.Say(portaltest.AliceMXID, "y")
		r.Quiet()
		r.Silently(func() {
			for _, m := range r.Tenant.Messages(portaltest.Channel) {
				r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetDeleted())
			}
		})
		mends(t, r, portal.DeletedInTeams, portal.DeletedInTeams)
		require.Empty(t, r.Texts())
		// And it comes back unseen.
		r.Silently(func() { r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetUndeleted("x")) })
		mends(t, r, portal.DeletedInMatrix)
		require.Equal(t, []string{"x"}, r.Texts())
	})
	t.Run("in Teams, the redaction is gone", func(t *testing.T) {
		r := started(t)
		m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "x")
		r.Quiet()
		r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetDeleted())
		r.Quiet()
		events := r.HS.Events(r.Room)
		r.HS.Lose(events[len(events)-1].ID)
		mends(t, r, portal.DeletedInTeams)
		require.Empty(t, r.Texts())
	})
	t.Run("in Matrix, the bridge never got it", func(t *testing.T) {
		r := started(t)
		e := r.Say(portaltest.AliceMXID, "x")
		r.Quiet()
		r.Secretly(portaltest.AliceMXID, event.EventRedaction, map[string]any{"redacts": e.String()})
		mends(t, r, portal.DeletedInMatrix)
		require.Empty(t, r.TeamsTexts())
	})
	t.Run("in Matrix, Teams has lost it", func(t *testing.T) {
		r := started(t)
		e := r.Say(portaltest.CarolMXID, "x")
		r.Quiet()
		m := r.Tenant.Messages(portaltest.Channel)[0]
		r.Redact(portaltest.CarolMXID, e)
		r.Quiet()
		require.Empty(t, r.TeamsTexts())
		r.Tenant.Set(portaltest.Channel, m.ID, func(now *teams.Message) { now.Body, now.Deleted = m.Body, time.Time{} })
		report := verify(t, r)
		require.Equal(t, []portal.Class{portal.DeletedInMatrix}, classes(report))
		_, err := r.Verifier.Repair(context.Background(), report)
		require.NoError(t, err)
		r.Quiet()
		clean(t, r)
	})
	t.Run("a moderator's redaction stays in Matrix", func(t *testing.T) {
		r := started(t)
		e := r.Say(portaltest.AliceMXID, "x")
		r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "y")
		r.Quiet()
		r.Redact(portaltest.ModeratorMXID, e)
		r.Redact(portaltest.ModeratorMXID, eventOf(t, r, "y").ID)
		r.Quiet()
		clean(t, r)
		require.Equal(t, 2, verify(t, r).Left[portal.LeftModerated])
		require.Len(t, r.TeamsTexts(), 2)
	})
}

func TestVerifyReactions(t *testing.T) {
	t.Run("in Teams, nobody told", func(t *testing.T) {
		r := started(t)
		m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "x")
		r.Tenant.Change(portaltest.Channel, m.ID, portaltest.AddReaction(portaltest.Dave, "🎉"))
		r.Quiet()
		r.Silently(func() {
			r.Tenant.Change(portaltest.Channel, m.ID, portaltest.AddReaction(portaltest.Dave, "👍"))
			r.Tenant.Change(portaltest.Channel, m.ID, portaltest.DropReaction(portaltest.Dave, "🎉"))
		})
		mends(t, r, portal.DifferentReactions, portal.DifferentReactions)
		require.Equal(t, []string{"@teams_dave:example.org 👍"}, plainEmoji(r, eventOf(t, r, "x").ID))
	})
	t.Run("its event is gone", func(t *testing.T) {
		r := started(t)
		m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "x")
		r.Tenant.Change(portaltest.Channel, m.ID, portaltest.AddReaction(portaltest.Dave, "🎉"))
		r.Quiet()
		require.NoError(t, r.Look(context.Background(), r.Room))
		events := r.HS.Events(r.Room)
		require.Equal(t, event.EventReaction, events[len(events)-1].Type)
		r.HS.Lose(events[len(events)-1].ID)
		mends(t, r, portal.DifferentReactions)
		require.Len(t, r.HS.Reactions(r.Room, eventOf(t, r, "x").ID), 1)
	})
	t.Run("in Matrix, the bridge never got it", func(t *testing.T) {
		r := started(t)
		r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "x")
		r.Quiet()
		e := r.Secretly(portaltest.AliceMXID, event.EventReaction, map[string]any{
			"m.relates_to": map[string]any{"rel_type": "m.annotation", "event_id": eventOf(t, r, "x").ID.String(), "key": "👍"}})
		mends(t, r, portal.DifferentReactions)
		require.Len(t, r.Tenant.Messages(portaltest.Channel)[0].Reactions, 1)
		r.Secretly(portaltest.AliceMXID, event.EventRedaction, map[string]any{"redacts": e.String()})
		mends(t, r, portal.DifferentReactions)
		require.Empty(t, r.Tenant.Messages(portaltest.Channel)[0].Reactions)
	})
	t.Run("Teams has lost a relay account's", func(t *testing.T) {
		r := started(t)
		r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "x")
		r.Quiet()
		m := r.Tenant.Messages(portaltest.Channel)[0]
		r.React(portaltest.BobMXID, eventOf(t, r, "x").ID, "👍") // Bob did not sign in
		r.Quiet()
		r.Tenant.Set(portaltest.Channel, m.ID, func(m *teams.Message) { m.Reactions = nil })
		mends(t, r, portal.DifferentReactions)
		require.Equal(t, portaltest.Relay, r.Tenant.Messages(portaltest.Channel)[0].Reactions[0].User.ID)
		// One that nobody stands behind goes.
		r.Silently(func() { r.Tenant.Change(portaltest.Channel, m.ID, portaltest.AddReaction(portaltest.Relay, "👀")) })
		mends(t, r, portal.DifferentReactions)
		require.Len(t, r.Tenant.Messages(portaltest.Channel)[0].Reactions, 1)
	})
}

func plainEmoji(r *portaltest.Rig, target id.EventID) (out []string) {
	for _, s := range r.HS.Reactions(r.Room, target) {
		out = append(out, strings.TrimSuffix(s, "\ufe0f"))
	}
	return out
}

func TestVerifyOrderAndThread(t *testing.T) {
	r := started(t)
	root := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "root")
	r.Quiet()
	r.Tenant.Post(portaltest.Channel, root.ID, portaltest.Dave, "one")
	r.Quiet()
	r.Tenant.Post(portaltest.Channel, root.ID, portaltest.Dave, "two")
	r.Quiet()
	clean(t, r)
	r.HS.Move(eventOf(t, r, "one").ID)
	stays(t, r, portal.OutOfOrder, "original time")

	r = started(t)
	root = r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "root")
	r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "another")
	r.Tenant.Post(portaltest.Channel, root.ID, portaltest.Dave, "reply")
	r.Quiet()
	eventOf(t, r, "reply").Content["m.relates_to"].(map[string]any)["event_id"] = eventOf(t, r, "another").ID.String()
	mends(t, r, portal.WrongThread)
	require.Equal(t, eventOf(t, r, "root").ID.String(), eventOf(t, r, "reply").Relation("event_id"))
	require.Len(t, r.Texts(), 3)
}

func TestVerifyWhatTheBridgeHasForgotten(t *testing.T) {
	ctx := context.Background()
	r := started(t)
	m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "x")
	r.Quiet()
	require.NoError(t, r.Bridge.DB.Message.DeleteAllParts(ctx, "", portal.MessageID(portaltest.Channel, m.ID)))
	mends(t, r, portal.Unknown)
	require.Len(t, r.HS.Messages(r.Room), 1, "what is there is claimed, not sent again")
	r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetText("y"))
	r.Quiet()
	require.Equal(t, []string{"y"}, r.Texts())

	// A database from before a message was written: nothing is doubled.
	r = started(t)
	e := r.Say(portaltest.AliceMXID, "z")
	r.Quiet()
	for _, table := range []string{"message", "teams_outbox", "teams_sent", "teams_inbox"} {
		_, err := r.Bridge.DB.Exec(ctx, `DELETE FROM `+table)
		require.NoError(t, err)
	}
	report := verify(t, r)
	require.Equal(t, []portal.Class{portal.Unknown}, classes(report))
	require.Equal(t, e, report.Findings[0].Event)
	stays(t, r, portal.Unknown, "own account")
	r = started(t)
	r.Say(portaltest.CarolMXID, "z")
	r.Quiet()
	for _, table := range []string{"message", "teams_outbox", "teams_sent", "teams_inbox"} {
		_, err := r.Bridge.DB.Exec(ctx, `DELETE FROM `+table)
		require.NoError(t, err)
	}
	report = verify(t, r)
	require.ElementsMatch(t, []portal.Class{portal.MissingInMatrix, portal.MissingInTeams}, classes(report))
	report, err := r.Verifier.Repair(ctx, report)
	require.NoError(t, err)
	for _, f := range report.Findings {
		require.Contains(t, f.Reason, "may be", "nobody can tell, so nothing is doubled")
	}
	require.Equal(t, []string{"z"}, r.Texts())
	require.Len(t, r.TeamsTexts(), 1)
}

func TestVerifyWhatIsInOrder(t *testing.T) {
	ctx := context.Background()
	r := started(t)
	// From before mirroring began.
	r.Silently(func() { r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "old") })
	r.Secretly(portaltest.AliceMXID, event.EventMessage, map[string]any{"msgtype": "m.text", "body": "before the bridge"})
	begins := r.Tenant.Messages(portaltest.Channel)[0].Created.Add(5 * time.Millisecond)
	require.NoError(t, r.DB.Conversations.Upsert(ctx, database.Conversation{Portal: r.Portal(), HistoryAt: begins}))
	r.Eventually(func() bool { return time.Now().After(begins) })
	// A notice of a bot, an order, a notice of ours, a system message, several parts, a relayed text.
	r.Send(portaltest.AliceMXID, event.EventMessage, map[string]any{"msgtype": "m.notice", "body": "beep"})
	r.Secretly(portaltest.AliceMXID, event.EventMessage, map[string]any{"msgtype": "m.text", "body": "!teams status"})
	r.Secretly(portaltest.BotID, event.EventMessage, map[string]any{"msgtype": "m.notice", "body": "outage"})
	r.Secretly(portaltest.BlockedMXID, event.EventMessage, map[string]any{"msgtype": "m.text", "body": "of a bot that may not"})
	r.Say(portaltest.CarolMXID, strings.Repeat("a long text ", 5000))
	root := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, strings.Repeat("a long text ", 8000))
	r.Tenant.Change(portaltest.Channel, root.ID, func(m *teams.Message, _ time.Time) { m.Subject = "subject" })
	r.Quiet()
	clean(t, r)
	report := verify(t, r)
	require.Equal(t, 1, report.Left[portal.LeftHistory])
	require.Equal(t, 3, report.Left[portal.LeftNotForward])
	// What waits, and what failed for a reason.
	r.Tenant.SetFault(failWrites(portaltest.ErrBadRequest))
	r.Say(portaltest.AliceMXID, "refused")
	r.Quiet()
	over := outage(r)
	r.Say(portaltest.AliceMXID, "waits")
	r.Eventually(func() bool { return verify(t, r).OnTheWay == 1 })
	report = verify(t, r)
	require.Empty(t, report.Findings)
	require.Equal(t, map[string]int{"to Teams: bad request": 1}, report.Failed)
	over()
	r.Quiet()
	clean(t, r)
}

func TestVerifyADigest(t *testing.T) {
	r, release := digesting(t, 2)
	var events []id.EventID
	for _, text := range []string{"one", "two", "three", "four"} {
		events = append(events, r.Say(portaltest.CarolMXID, text))
	}
	release()
	r.Quiet()
	clean(t, r)
	r.Edit(portaltest.CarolMXID, events[1], "better")
	r.Redact(portaltest.CarolMXID, events[2])
	r.Quiet()
	clean(t, r)
	require.NotZero(t, verify(t, r).Left[portal.LeftFinished])
}

// Teams is read the way that Graph allows, which the report tells; without single
// messages, what no list shows is told as not looked at.
func TestVerifyReadsTeamsAsItMay(t *testing.T) {
	refused := map[string]bool{}
	for _, step := range []struct{ refuse, reader string }{{"", teams.SourceList}, {"list", teams.SourceDelta}, {"delta", teams.SourceExport}} {
		refused[step.refuse] = true
		t.Run(step.reader, func(t *testing.T) {
			r := started(t)
			r.Tenant.SetRead(func(op string) error {
				if refused[op] {
					return portaltest.ErrPermission
				}
				return nil
			})
			r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "there")
			r.Quiet()
			require.Equal(t, step.reader, verify(t, r).Reader)
			clean(t, r)
			r.Silently(func() { r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "lost") })
			mends(t, r, portal.MissingInMatrix)
		})
	}
	r := started(t)
	m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "there")
	r.Quiet()
	r.Tenant.SetRead(func(op string) error {
		if op == "list" || op == "message" {
			return portaltest.ErrPermission
		}
		return nil
	})
	r.Silently(func() { r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "lost") })
	r.Tenant.Remove(portaltest.Channel, m.ID)
	stays(t, r, portal.MissingInMatrix, "permission")
	report := verify(t, r)
	require.Equal(t, map[string]int{portal.UnseenRefused: 1}, report.Unseen)
	require.Equal(t, teams.SourceDelta, report.Reader)
}

package portal_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/portal/msgconv"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// digesting starts a rig in which late backlogs of more than above messages go as
// a digest. What is said waits until the returned function is called.
func digesting(t *testing.T, above int) (r *portaltest.Rig, release func()) {
	t.Helper()
	var free atomic.Bool
	r = started(t, func(r *portaltest.Rig) {
		r.Fast, r.Tune = true, digestTune(above, free.Load)
	})
	return r, func() {
		t.Helper()
		queued(r)
		free.Store(true)
		require.NoError(t, r.Sender.Kick(context.Background()))
	}
}

// queued waits until the outbox has everything that was said.
func queued(r *portaltest.Rig) {
	r.Eventually(func() bool {
		n, err := r.DB.Journal.Count(context.Background())
		return err == nil && n == 0
	}, "the outbox has everything")
}

func digestTune(above int, free func() bool) func(*portal.IngestOptions, *portal.SenderOptions) {
	return func(_ *portal.IngestOptions, out *portal.SenderOptions) {
		out.LateAfter = time.Millisecond
		out.DigestAbove = func(string) int { return above }
		out.Held = func(string) bool { return !free() }
	}
}

// split returns the posts and the replies of the channel that are not deleted.
func split(r *portaltest.Rig) (posts, replies []teams.Message) {
	for _, m := range r.Tenant.Messages(portaltest.Channel) {
		switch {
		case !m.Deleted.IsZero():
		case m.ReplyToID == "":
			posts = append(posts, m)
		default:
			replies = append(replies, m)
		}
	}
	return posts, replies
}

// said returns how often each text is in Teams, in the order of first sight.
func said(r *portaltest.Rig, texts []string) (order []string, times map[string]int) {
	times = map[string]int{}
	all := ""
	for _, m := range r.Tenant.Messages(portaltest.Channel) {
		if m.Deleted.IsZero() {
			all += m.Body + "\n"
		}
	}
	type at struct {
		text string
		pos  int
	}
	var places []at
	for _, text := range texts {
		times[text] = strings.Count(all, text)
		if i := strings.Index(all, text); i >= 0 {
			places = append(places, at{text, i})
		}
	}
	slices.SortFunc(places, func(a, b at) int { return a.pos - b.pos })
	for _, p := range places {
		order = append(order, p.text)
	}
	return order, times
}

func requireOnceInOrder(t *testing.T, r *portaltest.Rig, texts []string) {
	t.Helper()
	order, times := said(r, texts)
	for _, text := range texts {
		require.Equal(t, 1, times[text], text)
	}
	require.Equal(t, texts, order)
}

func TestLongBacklogGoesAsDigest(t *testing.T) {
	r, release := digesting(t, 5)
	var texts []string
	var events []id.EventID
	people := []id.UserID{portaltest.AliceMXID, portaltest.BobMXID, portaltest.CarolMXID}
	for i := range 30 {
		text := fmt.Sprintf("offline-%03d.", i)
		texts = append(texts, text)
		events = append(events, r.Say(people[i%3], text))
	}
	_, before := r.Tenant.Requests()
	release()
	r.Quiet()
	_, after := r.Tenant.Requests()
	posts, replies := split(r)
	require.Len(t, posts, 1)
	require.Contains(t, posts[0].Body, "In Matrix while Teams was unavailable")
	require.Contains(t, posts[0].Body, "30 messages")
	require.Len(t, replies, 1, "short messages share a post")
	require.Equal(t, 2, after-before)
	for _, name := range []string{"<b>alice</b>", "<b>bob</b>", "carol"} {
		require.Contains(t, replies[0].Body, name)
	}
	requireOnceInOrder(t, r, texts)
	for _, e := range events {
		require.Equal(t, event.MessageStatusSuccess, lastStatus(r, e))
	}
	stats, err := r.DB.Outbox.Stats(context.Background())
	require.NoError(t, err)
	require.Empty(t, stats.ByState)

	notices := 0
	for _, e := range r.HS.Messages(r.Room) {
		if strings.Contains(e.Text(), "is in Teams as one post") {
			notices++
			require.Equal(t, portaltest.BotID, e.Sender)
		}
	}
	require.Equal(t, 1, notices)
	require.Len(t, r.HS.Messages(r.Room), 31, "nothing of it comes back")
}

func TestShortBacklogGoesOneByOne(t *testing.T) {
	r, release := digesting(t, 5)
	for i := range 5 {
		r.Say(portaltest.AliceMXID, fmt.Sprint("offline ", i))
	}
	release()
	r.Quiet()
	posts, replies := split(r)
	require.Len(t, posts, 5)
	require.Empty(t, replies)
}

// A day's outage is in Teams within minutes: as many messages to a post as fit.
func TestDigestOfADay(t *testing.T) {
	r, release := digesting(t, 50)
	var texts []string
	for i := range 600 {
		text := fmt.Sprintf("message-%04d %s", i, strings.Repeat("lorem ipsum ", 20))
		texts = append(texts, fmt.Sprintf("message-%04d ", i))
		r.Say(portaltest.BobMXID, text)
	}
	_, before := r.Tenant.Requests()
	release()
	r.Quiet()
	_, after := r.Tenant.Requests()
	require.Less(t, after-before, 20, "600 messages of 300 bytes")
	requireOnceInOrder(t, r, texts)
	for _, m := range r.Tenant.Messages(portaltest.Channel) {
		require.Less(t, len(m.Body), 28_000)
	}
}

// What is done to a message before and after it went in a digest.
func TestChangesOfDigestedMessages(t *testing.T) {
	r, release := digesting(t, 2)
	typo := r.Say(portaltest.AliceMXID, "queued-typo.")
	gone := r.Say(portaltest.BobMXID, "queued-gone.")
	liked := r.Say(portaltest.BobMXID, "liked-one.")
	later := r.Say(portaltest.AliceMXID, "later-typo.")
	doomed := r.Say(portaltest.AliceMXID, "doomed-one.")
	r.Edit(portaltest.AliceMXID, typo, "queued-right.")
	r.Redact(portaltest.BobMXID, gone)
	r.React(portaltest.AliceMXID, liked, "👍")
	unliked := r.React(portaltest.BobMXID, liked, "🎉")
	release()
	r.Quiet()
	_, replies := split(r)
	require.Len(t, replies, 1)
	body := func() string {
		_, replies := split(r)
		return replies[0].Body
	}
	require.Contains(t, body(), "queued-right.")
	require.NotContains(t, body(), "queued-typo.")
	require.NotContains(t, body(), "queued-gone.")
	require.Contains(t, body(), "👍 alice")
	require.Contains(t, body(), "🎉 bob")

	r.Edit(portaltest.AliceMXID, later, "later-right.")
	r.Redact(portaltest.AliceMXID, doomed)
	r.Redact(portaltest.BobMXID, unliked)
	r.React(portaltest.BobMXID, later, "👀")
	r.Quiet()
	require.Contains(t, body(), "later-right.")
	require.NotContains(t, body(), "later-typo.")
	require.NotContains(t, body(), "doomed-one.")
	require.Contains(t, body(), "(deleted)")
	require.NotContains(t, body(), "🎉")
	require.Contains(t, body(), "👀 bob")
	_, replies = split(r)
	require.Len(t, replies, 1, "nothing was posted a second time")
}

// TestReactionsToAFullDigest: a digest's post holds what Graph takes. Reactions for
// which there is no room are refused, rather than that a message loses its words.
func TestReactionsToAFullDigest(t *testing.T) {
	r, release := digesting(t, 2)
	liked := r.Say(portaltest.BobMXID, "liked-one. "+strings.Repeat("words ", 1000))
	other := r.Say(portaltest.AliceMXID, "other-one.")
	r.Say(portaltest.AliceMXID, "third-one.")
	release()
	r.Quiet()
	_, replies := split(r)
	require.Len(t, replies, 1)
	longer := (msgconv.MaxDraftSize - 100 - len(replies[0].Body)) / len("words ")
	r.Edit(portaltest.AliceMXID, other, "other-one. "+strings.Repeat("words ", longer))
	last := id.EventID("")
	for i := range 20 {
		last = r.React(portaltest.AliceMXID, liked, string(rune(0x1F600+i)))
	}
	r.Quiet()
	_, replies = split(r)
	require.Len(t, replies, 1)
	require.Contains(t, replies[0].Body, "liked-one.")
	require.Contains(t, replies[0].Body, "😀 alice")
	row, err := r.DB.Outbox.ByEvent(t.Context(), last.String())
	require.NoError(t, err)
	require.Equal(t, database.StateParked, row.State)
}

// Threads go on: a reply in Matrix to a digested message, and a reply in Teams
// to the digest.
func TestThreadsOfDigests(t *testing.T) {
	r, release := digesting(t, 2)
	root := r.Say(portaltest.AliceMXID, "root-one.")
	r.Reply(portaltest.BobMXID, root, "reply-one.")
	r.Say(portaltest.BobMXID, "other-one.")
	release()
	r.Quiet()
	posts, replies := split(r)
	require.Len(t, posts, 1)
	require.Len(t, replies, 1)

	r.Reply(portaltest.BobMXID, root, "late-reply.")
	r.Quiet()
	posts, replies = split(r)
	require.Len(t, posts, 1)
	require.Len(t, replies, 2)
	require.Contains(t, replies[1].Body, "late-reply.")

	r.Tenant.Post(portaltest.Channel, posts[0].ID, portaltest.Dave, "<p>from-teams.</p>")
	r.Quiet()
	var notice, reply portaltest.Event
	for _, e := range r.HS.Messages(r.Room) {
		switch {
		case strings.Contains(e.Text(), "is in Teams as one post"):
			notice = e
		case strings.Contains(e.Text(), "from-teams."):
			reply = e
		}
	}
	require.NotEmpty(t, notice.ID)
	require.Equal(t, notice.ID.String(), reply.Relation("event_id"))
}

// A post of a digest that Teams refuses for good is taken apart: one message is
// parked, the others arrive.
func TestRefusedDigestParksOneMessage(t *testing.T) {
	r, release := digesting(t, 2)
	var texts []string
	var bad id.EventID
	for i := range 6 {
		text := fmt.Sprintf("offline-%d.", i)
		if i == 3 {
			bad = r.Say(portaltest.BobMXID, "poison")
			continue
		}
		texts = append(texts, text)
		r.Say(portaltest.BobMXID, text)
	}
	r.Tenant.SetRefuseText("poison")
	release()
	r.Quiet()
	requireOnceInOrder(t, r, texts)
	parked, err := r.DB.Outbox.Waiting(context.Background(), r.Portal(), true, 0, 10)
	require.NoError(t, err)
	require.Len(t, parked, 1)
	require.Equal(t, bad.String(), parked[0].EventID)
}

// With a third of the answers lost, everything is there once.
func TestDigestWithLostAnswers(t *testing.T) {
	r, release := digesting(t, 2)
	var texts []string
	for i := range 40 {
		texts = append(texts, fmt.Sprintf("offline-%02d.", i))
		r.Say(portaltest.BobMXID, texts[i]+strings.Repeat(" filler", 400))
	}
	n := 0
	r.Tenant.SetFault(func(op, _ string) portaltest.Fault {
		if n++; op == "post" && n%3 == 0 {
			return portaltest.Fault{Lose: portaltest.ErrAmbiguous}
		}
		return portaltest.Fault{}
	})
	release()
	r.Quiet()
	requireOnceInOrder(t, r, texts)
}

// TestCrashInADigest cuts the bridge off after each SQL statement while a
// digest is planned, posted and acknowledged.
//
// Proves M2 and M4 for digests.
func TestCrashInADigest(t *testing.T) {
	var texts []string
	for i := range 8 {
		texts = append(texts, fmt.Sprintf("offline-%d.", i))
	}
	backlog := func() *portaltest.Rig {
		r, _ := digesting(t, 2)
		for _, text := range texts {
			r.Say(portaltest.BobMXID, text+strings.Repeat(" filler", 900))
		}
		r.Eventually(func() bool {
			n, err := r.DB.Outbox.CountQueued(context.Background(), r.Portal())
			return err == nil && n == len(texts)
		})
		r.Stop()
		r.Tune = digestTune(2, func() bool { return true })
		return r
	}
	total := 0
	{
		r := backlog()
		r.Start()
		r.CountFromHere()
		r.Quiet()
		total = r.Statements()
		posts, replies := split(r)
		require.Len(t, posts, 1)
		require.GreaterOrEqual(t, len(replies), 2)
	}
	stride := 6
	if testing.Short() {
		stride = 23
	}
	t.Logf("the digest takes about %d statements", total)
	for at := 1; at < total; at += stride {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			r := backlog()
			r.CrashAfter(at)
			r.Start()
			r.Eventually(func() bool { return r.Crashed() || !r.Crashing() && r.Ingest.Busy()+r.Sender.Busy() == 0 })
			r.Recover()
			r.Quiet()
			require.NoError(t, r.Ingest.Accept(context.Background(), "list", r.Tenant.Messages(portaltest.Channel)))
			r.Quiet()
			requireOnceInOrder(t, r, texts)
			heads := 0
			posts, _ := split(r)
			for _, p := range posts {
				heads += strings.Count(p.Body, "In Matrix while Teams was unavailable")
			}
			require.LessOrEqual(t, heads, 1)
			for _, e := range r.HS.Messages(r.Room) {
				require.False(t, strings.Contains(e.Text(), "offline-") && e.Sender != portaltest.BobMXID, "nothing of it comes back: %s", e.Sender)
			}
			open, err := r.DB.Outbox.Stats(context.Background())
			require.NoError(t, err)
			require.Empty(t, open.ByState)
		})
	}
}

// A message that has no place in a digest goes before it, and fails for a while.
// When it is tried again there may be another digest to begin with it.
func TestDigestBeginsTwiceWithOneMessage(t *testing.T) {
	r, release := digesting(t, 2)
	long := "offline-long." + strings.Repeat(" word", 9000)
	r.Say(portaltest.AliceMXID, long)
	texts := []string{"offline-long."}
	say := func(text string) {
		texts = append(texts, text)
		r.Say(portaltest.BobMXID, text)
	}
	for i := range 5 {
		say(fmt.Sprintf("offline-%03d.", i))
	}
	var failing atomic.Bool
	failing.Store(true)
	r.Tenant.SetFault(func(string, string) (f portaltest.Fault) {
		if failing.Load() {
			f.Refuse = portaltest.ErrUnavailable
		}
		return f
	})
	release()
	r.Eventually(func() bool { // it has been tried
		row, err := r.DB.Outbox.Next(context.Background(), r.Portal())
		return err == nil && row != nil && row.Attempts > 0
	})
	for i := range 3 {
		say(fmt.Sprintf("later-%03d.", i))
	}
	r.Eventually(func() bool {
		n, err := r.DB.Journal.Count(context.Background())
		return err == nil && n == 0
	})
	tried := func() int {
		row, err := r.DB.Outbox.Next(context.Background(), r.Portal())
		require.NoError(t, err)
		return row.Attempts
	}
	before := tried()
	r.Eventually(func() bool { return tried() > before+2 })
	failing.Store(false)
	r.Quiet()
	requireOnceInOrder(t, r, texts)
}

// What is parked does not go to Teams in the digest that it would have begun: its
// author is told that it does not, and may take it back.
func TestParkedOutOfADigest(t *testing.T) {
	r, release := digesting(t, 2)
	var texts []string
	var events []id.EventID
	for i := range 6 {
		texts = append(texts, fmt.Sprintf("offline-%03d.", i))
		events = append(events, r.Say(portaltest.AliceMXID, texts[i]))
	}
	var refused atomic.Int32
	r.Tenant.SetFault(func(op, _ string) (f portaltest.Fault) {
		if refused.Add(1) == 1 {
			f.Refuse = portaltest.ErrBadRequest
		}
		return f
	})
	release()
	r.Quiet()
	require.Equal(t, event.MessageStatusFail, lastStatus(r, events[0]))
	order, times := said(r, texts)
	require.Zero(t, times[texts[0]], "its author was told that it is not there")
	require.Equal(t, texts[1:], order)

	requeue(t, r, events[0])
	r.Quiet()
	_, times = said(r, texts)
	for _, text := range texts {
		require.Equal(t, 1, times[text], text)
	}
}

// A digest ends with the outage: what is said when Teams is back stands behind it
// and goes by itself.
func TestDigestEndsWithTheOutage(t *testing.T) {
	var free atomic.Bool
	const late = 2 * time.Second
	r := started(t, func(r *portaltest.Rig) {
		tune := digestTune(2, free.Load)
		r.Fast, r.Tune = true, func(in *portal.IngestOptions, out *portal.SenderOptions) {
			tune(in, out)
			out.LateAfter = late
		}
	})
	var texts []string
	for i := range 5 {
		texts = append(texts, fmt.Sprintf("offline-%d.", i))
		r.Say(portaltest.BobMXID, texts[i])
	}
	queued(r)
	time.Sleep(late)
	fresh := []string{"fresh-0.", "fresh-1.", "fresh-2."}
	for _, text := range fresh {
		r.Say(portaltest.BobMXID, text)
	}
	queued(r)
	free.Store(true)
	require.NoError(t, r.Sender.Kick(context.Background()))
	r.Quiet()
	posts, replies := split(r)
	require.Len(t, replies, 1)
	require.Len(t, posts, 4)
	require.Contains(t, posts[0].Body, "5 messages")
	for i, text := range fresh {
		require.NotContains(t, replies[0].Body, text)
		require.Contains(t, posts[i+1].Body, text)
	}
	requireOnceInOrder(t, r, append(texts, fresh...))
}

// Pictures, and replies into a thread that Teams has, go by themselves at their
// place in the order, so that people in Teams see them and are told in the thread.
func TestPicturesAndOldThreadsLeaveADigest(t *testing.T) {
	var held atomic.Bool
	r := started(t, func(r *portaltest.Rig) {
		r.Fast, r.Tune = true, digestTune(2, func() bool { return !held.Load() })
	})
	root := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "<p>from before</p>")
	r.Quiet()
	held.Store(true)
	rootEvent := r.HS.Messages(r.Room)[0].ID
	png := append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, 100)...)
	url := r.HS.Upload(png)
	first := r.Say(portaltest.BobMXID, "offline-0.")
	r.Say(portaltest.BobMXID, "offline-1.")
	r.Reply(portaltest.BobMXID, rootEvent, "answer-old.")
	r.Reply(portaltest.BobMXID, first, "answer-new.")
	r.Send(portaltest.BobMXID, event.EventMessage, map[string]any{
		"msgtype": "m.image", "body": "small.png", "url": string(url), "info": map[string]any{"mimetype": "image/png", "size": len(png)},
	})
	r.Say(portaltest.BobMXID, "offline-2.")
	queued(r)
	held.Store(false)
	require.NoError(t, r.Sender.Kick(context.Background()))
	r.Quiet()
	posts, replies := split(r)
	var digest, picture teams.Message
	for _, p := range posts {
		switch {
		case strings.Contains(p.Body, "4 messages"):
			digest = p
		case strings.Contains(p.Body, "small.png"):
			picture = p
		}
	}
	require.NotEmpty(t, digest.ID)
	require.Contains(t, picture.Body, "hostedContents", "shown, not linked to")
	var kinds []string
	for _, m := range replies {
		switch {
		case strings.Contains(m.Body, "answer-old."):
			require.Equal(t, root.ID, m.ReplyToID, "in its thread")
			kinds = append(kinds, "old")
		case strings.Contains(m.Body, "offline-1."):
			require.Equal(t, digest.ID, m.ReplyToID)
			kinds = append(kinds, "before")
		case strings.Contains(m.Body, "answer-new."):
			require.Equal(t, digest.ID, m.ReplyToID, "its root is in the digest")
			kinds = append(kinds, "between")
		case strings.Contains(m.Body, "offline-2."):
			require.Greater(t, m.ID, picture.ID, "behind the picture")
			kinds = append(kinds, "after")
		}
	}
	require.Equal(t, []string{"before", "old", "between", "after"}, kinds)
}

// However many of them there are: a long backlog is a digest all the same.
func TestManyRepliesToOldThreadsAreADigest(t *testing.T) {
	var held atomic.Bool
	r := started(t, func(r *portaltest.Rig) {
		r.Fast, r.Tune = true, digestTune(5, func() bool { return !held.Load() })
	})
	r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "<p>from before</p>")
	r.Quiet()
	held.Store(true)
	rootEvent := r.HS.Messages(r.Room)[0].ID
	var texts []string
	for i := range 200 {
		texts = append(texts, fmt.Sprintf("answer-%03d.", i))
		r.Reply(portaltest.BobMXID, rootEvent, texts[i])
	}
	_, before := r.Tenant.Requests()
	queued(r)
	held.Store(false)
	require.NoError(t, r.Sender.Kick(context.Background()))
	r.Quiet()
	_, after := r.Tenant.Requests()
	require.Less(t, after-before, 80)
	requireOnceInOrder(t, r, texts)
}

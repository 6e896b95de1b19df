package portal_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal/portaltest"
)

// answer is the content of an answer to a message of a thread.
func answer(root, to id.EventID, text string) map[string]any {
	c := portaltest.InThread(root, portaltest.Text(text))
	relation, _ := c["m.relates_to"].(map[string]any)
	relation["is_falling_back"], relation["m.in_reply_to"] = false, map[string]any{"event_id": to.String()}
	return c
}

// TestAnswerInAThreadQuotes answers messages of a thread: what is not its root is
// quoted, with its author, also when Teams is away, and after edits and a restart.
//
// Proves M4.
func TestAnswerInAThreadQuotes(t *testing.T) {
	r := started(t)
	root := r.Say(portaltest.AliceMXID, "lunch?")
	r.Quiet()
	post := r.Tenant.Messages(portaltest.Channel)[0]
	r.Tenant.Post(portaltest.Channel, post.ID, portaltest.Dave, "at noon?")
	r.Quiet()
	noon := last(t, r).ID
	over := outage(r)
	own := r.Reply(portaltest.CarolMXID, root, "at one?")
	early := answer(root, noon, "too early")
	early["m.mentions"] = map[string]any{"user_ids": []any{daveMXID.String(), portaltest.AliceMXID.String()}}
	yes := r.Send(portaltest.AliceMXID, event.EventMessage, early)
	r.Send(portaltest.AliceMXID, event.EventMessage, answer(root, own, "fine"))
	r.Send(portaltest.AliceMXID, event.EventMessage, answer(root, root, "to all"))
	r.Restart()
	over()
	require.NoError(t, r.Sender.Kick(context.Background()))
	r.Quiet()
	body := func(text string) string {
		for _, m := range r.Tenant.Messages(portaltest.Channel) {
			if strings.Contains(m.Body, text) && strings.Contains(outside(m.Body), text) {
				require.Equal(t, m.ID == post.ID, m.ReplyToID == "")
				return m.Body
			}
		}
		require.Fail(t, text)
		return ""
	}
	require.Contains(t, quoteIn(body("too early")), "at noon?")
	require.Contains(t, quoteIn(body("too early")), "dave")
	for _, m := range r.Tenant.Messages(portaltest.Channel) {
		if !strings.Contains(m.Body, "too early") {
			require.Empty(t, m.Mentions)
			continue
		}
		require.Len(t, m.Mentions, 1, "whom the event mentions and answers, although a ghost speaks for him")
		require.Equal(t, portaltest.Dave, m.Mentions[0].User.ID)
		require.Contains(t, outside(m.Body), `</at> too early`)
	}
	require.Contains(t, quoteIn(body("fine")), "at one?")
	require.Contains(t, quoteIn(body("fine")), "carol")
	require.Empty(t, quoteIn(body("to all")))
	require.Empty(t, quoteIn(body("lunch?")))

	// An edit keeps the quote, also when the outbox has forgotten the message.
	_, err := r.DB.Outbox.Purge(context.Background(), time.Now().Add(time.Hour))
	require.NoError(t, err)
	r.Edit(portaltest.AliceMXID, yes, "too late")
	r.Quiet()
	require.Contains(t, quoteIn(body("too late")), "at noon?")

	// A client that knows no threads answers a message of one.
	plain := portaltest.Text("me too")
	plain["m.relates_to"] = map[string]any{"m.in_reply_to": map[string]any{"event_id": noon.String()}}
	r.Send(portaltest.AliceMXID, event.EventMessage, plain)
	r.Quiet()
	require.Contains(t, quoteIn(body("me too")), "at noon?")
	for _, e := range r.HS.Events(r.Room) {
		require.False(t, e.Bridge && e.ID != noon, "nobody wrote anything else in Teams")
	}
}

// outside is what a body says outside of its quotes.
func outside(body string) string { return strings.Replace(body, quoteIn(body), "", 1) }

func quoteIn(body string) string {
	from, to := strings.Index(body, "<blockquote>"), strings.Index(body, "</blockquote>")
	if from < 0 || to < from {
		return ""
	}
	return body[from:to]
}

// TestQuoteSaysWhatIsShown answers messages that were edited: before Teams had them,
// after, and where Teams never gets them. The quote says what the room shows.
//
// Proves M4.
func TestQuoteSaysWhatIsShown(t *testing.T) {
	r := started(t)
	root := r.Say(portaltest.AliceMXID, "lunch?")
	r.Quiet()
	post := r.Tenant.Messages(portaltest.Channel)[0]
	m := r.Tenant.Post(portaltest.Channel, post.ID, portaltest.Dave, "at noon?")
	r.Quiet()
	noon := last(t, r).ID
	r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetText("at two?"))
	r.Quiet()
	r.Edit(portaltest.CarolMXID, noon, "nobody shows this") // of somebody else's message
	over := outage(r)
	own := r.Reply(portaltest.CarolMXID, root, "at one?")
	r.Edit(portaltest.CarolMXID, own, "at three?")
	r.Redact(portaltest.CarolMXID, r.Edit(portaltest.CarolMXID, own, "at night?"))
	over()
	require.NoError(t, r.Sender.Kick(context.Background()))
	r.Quiet()
	r.Tenant.SetRefuseText("poison")
	parked := r.Say(portaltest.CarolMXID, "poison")
	r.Quiet()
	r.Edit(portaltest.CarolMXID, parked, "an antidote")
	r.Quiet()
	r.Send(portaltest.AliceMXID, event.EventMessage, answer(root, noon, "first"))
	r.Send(portaltest.AliceMXID, event.EventMessage, answer(root, own, "second"))
	r.Reply(portaltest.AliceMXID, parked, "third")
	r.Quiet()
	quotes := map[string]string{}
	for _, m := range r.Tenant.Messages(portaltest.Channel) {
		quotes[strings.TrimSpace(portaltest.Plain(outside(m.Body)))] = quoteIn(m.Body)
	}
	require.Contains(t, quotes["first"], "at two?")
	require.Contains(t, quotes["second"], "at three?")
	require.Contains(t, quotes["third"], "an antidote")
}

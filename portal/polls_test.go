package portal_test

import (
	"context"
	"fmt"
	"math/rand/v2"
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
)

// The types of a poll's events, in the spelling of the specification.
var (
	stablePollStart    = event.Type{Type: "m.poll.start", Class: event.MessageEventType}
	stablePollResponse = event.Type{Type: "m.poll.response", Class: event.MessageEventType}
	stablePollEnd      = event.Type{Type: "m.poll.end", Class: event.MessageEventType}
)

func poll(question string, answers ...string) map[string]any {
	list := make([]any, len(answers))
	for i, a := range answers {
		list[i] = map[string]any{"id": a, "org.matrix.msc1767.text": a}
	}
	return map[string]any{"org.matrix.msc3381.poll.start": map[string]any{
		"kind": "org.matrix.msc3381.poll.disclosed", "max_selections": 1,
		"question": map[string]any{"org.matrix.msc1767.text": question}, "answers": list,
	}}
}

// of changes the inside of a poll.
func of(content map[string]any, field string, value any) map[string]any {
	content["org.matrix.msc3381.poll.start"].(map[string]any)[field] = value
	return content
}

func stablePoll(most int, question string, answers ...string) map[string]any {
	text := func(s string) any { return []any{map[string]any{"body": s}} }
	list := make([]any, len(answers))
	for i, a := range answers {
		list[i] = map[string]any{"m.id": a, "m.text": text(a)}
	}
	return map[string]any{"m.text": text(question), "m.poll": map[string]any{
		"kind": "m.disclosed", "max_selections": most, "question": map[string]any{"m.text": text(question)}, "answers": list,
	}}
}

func about(pollID id.EventID, content map[string]any) map[string]any {
	content["m.relates_to"] = map[string]any{"rel_type": "m.reference", "event_id": pollID.String()}
	return content
}

func vote(pollID id.EventID, answers ...string) map[string]any {
	return about(pollID, map[string]any{"org.matrix.msc3381.poll.response": map[string]any{"answers": answers}})
}

func stableVote(pollID id.EventID, answers ...string) map[string]any {
	return about(pollID, map[string]any{"m.selections": answers})
}

func pollEnd(pollID id.EventID) map[string]any {
	return about(pollID, map[string]any{"org.matrix.msc3381.poll.end": map[string]any{}})
}

func isEdit(of id.EventID, newContent map[string]any) map[string]any {
	return map[string]any{
		"m.new_content": newContent, "m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": of.String()},
	}
}

// voter casts votes at times of its choice.
type voter struct {
	r  *portaltest.Rig
	t  *testing.T
	at time.Time
}

func votersOf(t *testing.T, r *portaltest.Rig) *voter {
	return &voter{r: r, t: t, at: time.Now().Truncate(time.Second)}
}

// said stores an event of somebody, so many seconds later, and does not deliver it.
func (v *voter) said(user id.UserID, kind event.Type, after int, content map[string]any) portaltest.Event {
	v.t.Helper()
	eventID, err := v.r.HS.Put(v.r.Room, user, kind, "", v.at.Add(time.Duration(after)*time.Second), content)
	require.NoError(v.t, err)
	return v.r.HS.Event(eventID)
}

func (v *voter) deliver(e portaltest.Event) {
	v.t.Helper()
	if err := v.r.Deliver(context.Background(), e); err != nil {
		require.True(v.t, v.r.Crashing(), err) // the homeserver sends it again
	}
}

// votes lets somebody vote at a time.
func (v *voter) votes(user id.UserID, after int, pollID id.EventID, answers ...string) id.EventID {
	v.t.Helper()
	e := v.said(user, event.EventUnstablePollResponse, after, vote(pollID, answers...))
	v.deliver(e)
	return e.ID
}

// counted waits until so many votes were taken and are on their way to Teams.
func (v *voter) counted(n int) {
	v.t.Helper()
	v.r.Eventually(func() bool {
		dirty, err := v.r.DB.Polls.Dirty(context.Background(), 1)
		return v.r.Counts.Get(portal.MetricPolls, msgconv.PollVote) == n && err == nil && len(dirty) == 0
	})
}

// shows waits until the channel's only message shows exactly that.
func shows(t *testing.T, r *portaltest.Rig, want string) {
	t.Helper()
	r.Quiet()
	require.Equal(t, []string{want}, r.TeamsTexts())
}

const (
	lunch     = "📊 Poll: Lunch?1. Pizza2. Soup"
	oneSoup   = "📊 Poll: Lunch?1. Pizza – 0 votes2. Soup – 1 vote1 person has voted."
	onePizza  = "📊 Poll: Lunch?1. Pizza – 1 vote2. Soup – 0 votes1 person has voted."
	oneEach   = "📊 Poll: Lunch?1. Pizza – 1 vote2. Soup – 1 vote2 people have voted."
	soupAtEnd = "📊 Poll: Lunch?1. Pizza – 0 votes2. Soup – 1 voteThe poll has ended. 1 person voted."
)

func askLunch(r *portaltest.Rig) id.EventID {
	return r.Send(portaltest.AliceMXID, event.EventUnstablePollStart, poll("Lunch?", "Pizza", "Soup"))
}

// A poll's question and answers are in Teams like any message, also through an
// outage, a restart and a repeated transaction.
func TestPollsGoToTeamsAsText(t *testing.T) {
	r := started(t)
	over := outage(r)
	first := askLunch(r)
	r.Redeliver(first)
	r.Say(portaltest.AliceMXID, "vote please")
	r.Eventually(func() bool { return r.Counts.Get(portal.MetricEnqueued, "message") == 2 })
	r.Restart()
	over()
	r.Quiet()
	require.Equal(t, []string{lunch, "vote please"}, r.TeamsTexts())
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, first))
	r.Send(portaltest.BobMXID, event.EventUnstablePollResponse, vote(first, "Soup"))
	r.Quiet()
	require.Equal(t, []string{oneSoup, "vote please"}, r.TeamsTexts())
	r.Redact(portaltest.AliceMXID, first)
	r.Quiet()
	require.Equal(t, []string{"vote please"}, r.TeamsTexts(), "a poll can be deleted like any message")
	r.Send(portaltest.CarolMXID, event.EventUnstablePollResponse, vote(first, "Soup"))
	r.Quiet()
	require.Equal(t, []string{"vote please"}, r.TeamsTexts())
	require.Len(t, r.HS.Messages(r.Room), 1, "nobody is told anything")
}

// People without a login of their own start polls and vote, in both spellings.
func TestPollOfARelayedUser(t *testing.T) {
	r := started(t)
	e := r.Send(portaltest.CarolMXID, stablePollStart, stablePoll(2, "Lunch?", "Pizza", "Soup"))
	r.Quiet()
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, e))
	r.Send(portaltest.CarolMXID, stablePollResponse, stableVote(e, "Soup", "Pizza"))
	r.Send(portaltest.AliceMXID, event.EventUnstablePollResponse, vote(e, "Soup"))
	r.Quiet()
	r.Send(portaltest.CarolMXID, stablePollEnd, about(e, map[string]any{"m.poll.results": map[string]any{}}))
	shows(t, r, "carol: 📊 Poll: Lunch? (up to 2 answers)1. Pizza – 1 vote2. Soup – 2 votesThe poll has ended. 2 people voted.")
	require.Equal(t, portaltest.Relay, r.Tenant.Messages(portaltest.Channel)[0].From.ID)
	clean(t, r)
}

// Of each person the newest vote counts, by its own time; one without an answer
// or with one that the poll does not have takes the earlier one back.
func TestVotesAreCounted(t *testing.T) {
	r := started(t)
	v := votersOf(t, r)
	e := askLunch(r)
	shows(t, r, lunch)
	v.votes(portaltest.BobMXID, 2, e, "Soup")
	shows(t, r, oneSoup)
	v.votes(portaltest.BobMXID, 1, e, "Pizza")
	shows(t, r, oneSoup)
	v.votes(portaltest.CarolMXID, 3, e, "Pizza", "Soup")
	shows(t, r, oneEach)
	v.votes(portaltest.BobMXID, 4, e)
	shows(t, r, onePizza)
	v.votes(portaltest.BobMXID, 5, e, "Soup")
	shows(t, r, oneEach)
	v.votes(portaltest.CarolMXID, 6, e, "Sushi")
	shows(t, r, oneSoup)
	last := v.votes(portaltest.BobMXID, 7, e, "Pizza")
	shows(t, r, onePizza)
	r.Redeliver(last)
	r.Redact(portaltest.ModeratorMXID, last)
	shows(t, r, oneSoup)
	v.deliver(v.said(portaltest.BobMXID, event.EventUnstablePollResponse, 8, about(e, map[string]any{"org.matrix.msc3381.poll.response": "?"})))
	shows(t, r, lunch)
	require.Len(t, r.HS.Messages(r.Room), 0, "nobody is told anything")
	clean(t, r)
}

// Whatever the order in which votes and the end come, and however often, the
// result is the same.
func TestVotesInAnyOrder(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	r := started(t)
	for round := range 4 {
		v := votersOf(t, r)
		question := fmt.Sprint("Round ", round)
		start := v.said(portaltest.AliceMXID, event.EventUnstablePollStart, 0, poll(question, "Pizza", "Soup"))
		all := []portaltest.Event{
			v.said(portaltest.BobMXID, event.EventUnstablePollResponse, 1, vote(start.ID, "Pizza")),
			v.said(portaltest.BobMXID, event.EventUnstablePollResponse, 3, vote(start.ID, "Soup")),
			v.said(portaltest.CarolMXID, event.EventUnstablePollResponse, 2, vote(start.ID, "Pizza")),
			v.said(portaltest.CarolMXID, event.EventUnstablePollResponse, 4, vote(start.ID)),
			v.said(portaltest.AliceMXID, event.EventUnstablePollResponse, 5, vote(start.ID, "Soup")),
			v.said(portaltest.AliceMXID, event.EventUnstablePollResponse, 9, vote(start.ID, "Pizza")),
		}
		// The poll itself may come behind votes, but not behind its end.
		end := v.said(portaltest.AliceMXID, event.EventUnstablePollEnd, 6, pollEnd(start.ID))
		all = append(all, all...)
		rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		at := rnd.IntN(len(all) + 1)
		behind := slices.Insert(slices.Clone(all[at:]), rnd.IntN(len(all)-at+1), end)
		for _, e := range append(append(slices.Clone(all[:at]), start), behind...) {
			v.deliver(e)
			if rnd.IntN(3) == 0 {
				r.Quiet()
			}
		}
		r.Quiet()
		texts := r.TeamsTexts()
		require.Equal(t, "📊 Poll: "+question+"1. Pizza – 0 votes2. Soup – 2 votesThe poll has ended. 2 people voted.", texts[len(texts)-1])
		require.Len(t, texts, round+1)
	}
}

// A poll is ended by its author, or by who may redact it; what was cast before
// that counts also when it comes later.
func TestPollEnds(t *testing.T) {
	for _, by := range []id.UserID{portaltest.AliceMXID, portaltest.ModeratorMXID} {
		r := started(t)
		v := votersOf(t, r)
		e := askLunch(r)
		v.deliver(v.said(portaltest.BobMXID, event.EventUnstablePollEnd, 1, pollEnd(e)))
		v.votes(portaltest.BobMXID, 2, e, "Soup")
		shows(t, r, oneSoup)
		require.Equal(t, 1, r.Counts.Get(portal.MetricIgnored, portal.IgnoredPollNotYours))
		v.deliver(v.said(by, event.EventUnstablePollEnd, 5, pollEnd(e)))
		shows(t, r, soupAtEnd)
		v.votes(portaltest.CarolMXID, 6, e, "Pizza")
		r.Quiet()
		require.Equal(t, 1, r.Counts.Get(portal.MetricIgnored, portal.IgnoredPollEnded))
		shows(t, r, soupAtEnd)
		v.votes(portaltest.CarolMXID, 5, e, "Pizza")
		shows(t, r, "📊 Poll: Lunch?1. Pizza – 1 vote2. Soup – 1 voteThe poll has ended. 2 people voted.")
		v.deliver(v.said(by, event.EventUnstablePollEnd, 7, pollEnd(e)))
		v.deliver(v.said(by, event.EventUnstablePollEnd, 3, pollEnd(e)))
		shows(t, r, soupAtEnd)
		clean(t, r)
	}
}

// An undisclosed poll keeps its result until it ends.
func TestUndisclosedPoll(t *testing.T) {
	r := started(t)
	v := votersOf(t, r)
	e := r.Send(portaltest.AliceMXID, event.EventUnstablePollStart, of(poll("Lunch?", "Pizza", "Soup"), "kind", "org.matrix.msc3381.poll.undisclosed"))
	v.votes(portaltest.BobMXID, 1, e, "Soup")
	shows(t, r, lunch+"1 person has voted. The result is shown when the poll ends.")
	v.deliver(v.said(portaltest.AliceMXID, event.EventUnstablePollEnd, 2, pollEnd(e)))
	shows(t, r, soupAtEnd)
}

// What is voted before Teams has the poll is in its first text there.
func TestVotesBeforeThePollIsPosted(t *testing.T) {
	r := started(t)
	var writes atomic.Int64
	var down atomic.Bool
	down.Store(true)
	r.Tenant.SetWrites(func(portaltest.Write) portaltest.Fault {
		if down.Load() {
			return portaltest.Fault{Refuse: portaltest.ErrUnavailable}
		}
		writes.Add(1)
		return portaltest.Fault{}
	})
	v := votersOf(t, r)
	e := askLunch(r)
	// The first try has failed, and nothing of it is in Teams.
	r.Eventually(func() bool {
		row, err := r.DB.Outbox.ByEvent(context.Background(), e.String())
		return err == nil && row != nil && row.Attempts > 0
	})
	v.votes(portaltest.BobMXID, 1, e, "Pizza")
	v.votes(portaltest.CarolMXID, 1, e, "Soup")
	v.counted(2)
	r.Restart()
	down.Store(false)
	shows(t, r, oneEach)
	require.LessOrEqual(t, writes.Load(), int64(2), "a post, and an edit where the post was in doubt")
	clean(t, r)
}

// Many votes in a short time become one edit, also where the bridge ends in
// between; the votes of a long outage wait in one row.
func TestVotesAreGathered(t *testing.T) {
	ctx := context.Background()
	r := started(t, func(r *portaltest.Rig) { r.TallyRest = time.Hour })
	var edits atomic.Int64
	var down atomic.Bool
	r.Tenant.SetWrites(func(w portaltest.Write) portaltest.Fault {
		if down.Load() {
			return portaltest.Fault{Refuse: portaltest.ErrUnavailable}
		}
		if w.Op == "edit" {
			edits.Add(1)
		}
		return portaltest.Fault{}
	})
	e := askLunch(r)
	r.Eventually(func() bool { return lastStatus(r, e) == event.MessageStatusSuccess })
	v := votersOf(t, r)
	for i := range 50 {
		v.votes(id.UserID(fmt.Sprintf("@guest%d:example.org", i)), i, e, "Soup")
	}
	r.Eventually(func() bool { return r.Counts.Get(portal.MetricPolls, msgconv.PollVote) == 50 })
	r.TallyRest = 0
	r.Restart()
	shows(t, r, "📊 Poll: Lunch?1. Pizza – 0 votes2. Soup – 50 votes50 people have voted.")
	require.EqualValues(t, 1, edits.Load())

	down.Store(true)
	for i := range 20 {
		v.votes(portaltest.BobMXID, 100+i, e, []string{"Pizza", "Soup"}[i%2])
		v.counted(51 + i)
		waiting, err := r.DB.Outbox.ByTarget(ctx, e.String())
		require.NoError(t, err)
		queued := 0
		for _, row := range waiting {
			if row.State == database.StateQueued {
				queued++
			}
		}
		require.LessOrEqual(t, queued, 2, "one that is being tried, and one behind it")
	}
	edits.Store(0)
	down.Store(false)
	shows(t, r, "📊 Poll: Lunch?1. Pizza – 0 votes2. Soup – 51 votes51 people have voted.")
	require.LessOrEqual(t, edits.Load(), int64(2))
}

// What Teams refuses of votes nobody is told, and it leaves nothing parked once a
// newer count has gone.
func TestRefusedVotesAreQuiet(t *testing.T) {
	ctx := context.Background()
	r := started(t)
	e := askLunch(r)
	r.Quiet()
	refuseAlice(r)
	v := votersOf(t, r)
	first := v.votes(portaltest.BobMXID, 1, e, "Soup")
	r.Quiet()
	v.votes(portaltest.CarolMXID, 2, e, "Soup")
	r.Quiet()
	parked, err := r.DB.Outbox.Waiting(ctx, r.Portal(), true, 0, 10)
	require.NoError(t, err)
	require.Len(t, parked, 1, "what says more replaces what was refused")
	require.Equal(t, event.MessageStatusFail, lastStatus(r, first))
	r.Restart()
	r.Quiet()
	r.Tenant.SetFault(nil)
	v.votes(portaltest.CarolMXID, 3, e, "Pizza")
	shows(t, r, oneEach)
	parked, err = r.DB.Outbox.Waiting(ctx, r.Portal(), true, 0, 10)
	require.NoError(t, err)
	require.Empty(t, parked)
	require.Empty(t, r.HS.Messages(r.Room), "no notice")

	// An edit that its author made is another matter.
	refuseAlice(r)
	r.Send(portaltest.AliceMXID, event.EventUnstablePollStart, isEdit(e, poll("Dinner?", "Pizza", "Soup")))
	r.Quiet()
	require.Len(t, answers(r, e), 1)
}

// A poll that stays in Matrix takes its votes with it, and one that was refused
// shows those cast meanwhile when it is sent again.
func TestVotesInAPollThatIsNotInTeams(t *testing.T) {
	r := portaltest.New(t)
	var kept atomic.Bool
	r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) {
		out.Policy = func(string) (string, time.Duration) { return portal.PolicyNone, 0 }
		out.Kept = func(context.Context, *database.OutboxRow) (bool, error) { return kept.Load(), nil }
	}
	r.Start()
	v := votersOf(t, r)
	kept.Store(true)
	e := askLunch(r)
	r.Quiet()
	notices := len(r.HS.Messages(r.Room))
	v.votes(portaltest.BobMXID, 1, e, "Soup")
	r.Quiet()
	kept.Store(false)
	require.Len(t, r.HS.Messages(r.Room), notices)

	refuseAlice(r)
	e = askLunch(r)
	r.Quiet()
	require.Len(t, answers(r, e), 1)
	v.votes(portaltest.BobMXID, 2, e, "Soup")
	r.Eventually(func() bool { return r.Counts.Get(portal.MetricPolls, "the poll is parked") == 1 })
	require.Len(t, answers(r, e), 1)
	r.Tenant.SetFault(nil)
	requeue(t, r, e)
	r.Quiet()
	v.votes(portaltest.CarolMXID, 3, e, "Pizza")
	r.Quiet()
	require.Contains(t, r.TeamsTexts(), lunch, "it rests until a minute is over")
}

// Its author may change a poll: the votes stay.
func TestEditOfAPollKeepsTheVotes(t *testing.T) {
	r := started(t)
	v := votersOf(t, r)
	e := askLunch(r)
	v.votes(portaltest.BobMXID, 1, e, "Soup")
	shows(t, r, oneSoup)
	changed := of(poll("Dinner?", "Pizza", "Soup"), "answers", []any{
		map[string]any{"id": "Soup", "org.matrix.msc1767.text": "Bisque"}, map[string]any{"id": "Pie", "org.matrix.msc1767.text": "Pie"}})
	over := outage(r)
	r.Send(portaltest.BobMXID, event.EventUnstablePollStart, isEdit(e, poll("Mine!", "Pizza")))
	edit := r.Send(portaltest.AliceMXID, event.EventUnstablePollStart, isEdit(e, changed))
	v.votes(portaltest.CarolMXID, 2, e, "Pie")
	over()
	shows(t, r, "📊 Poll: Dinner?1. Bisque – 1 vote2. Pie – 1 vote2 people have voted.")
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, edit))
	v.votes(portaltest.CarolMXID, 3, e, "Soup")
	shows(t, r, "📊 Poll: Dinner?1. Bisque – 2 votes2. Pie – 0 votes2 people have voted.")

	stable := stablePoll(1, "Supper?", "Soup")
	r.Send(portaltest.AliceMXID, stablePollStart, isEdit(e, stable))
	shows(t, r, "📊 Poll: Supper?1. Soup – 2 votes2 people have voted.")
	clean(t, r)
}

// The votes in a poll that went in a digest are counted there.
func TestVotesInADigestedPoll(t *testing.T) {
	r, release := digesting(t, 2)
	e := r.Send(portaltest.CarolMXID, event.EventUnstablePollStart, poll("Lunch?", "Pizza", "Soup"))
	for i := range 3 {
		r.Say(portaltest.BobMXID, fmt.Sprint("line ", i))
	}
	v := votersOf(t, r)
	v.votes(portaltest.BobMXID, 1, e, "Soup")
	v.counted(1)
	release()
	r.Quiet()
	v.votes(portaltest.AliceMXID, 2, e, "Pizza")
	r.Quiet()
	_, replies := split(r)
	require.Len(t, replies, 1)
	body := portaltest.Plain(replies[0].Body)
	require.Contains(t, body, oneEach)
	require.Equal(t, 1, strings.Count(body, "Lunch?"))
	require.Contains(t, body, "line 2")
}

// Polls stand in threads, and threads stand under polls.
func TestPollsAndThreads(t *testing.T) {
	r := started(t)
	e := askLunch(r)
	r.Reply(portaltest.BobMXID, e, "which soup")
	root := r.Say(portaltest.AliceMXID, "root")
	inside := r.Send(portaltest.CarolMXID, event.EventUnstablePollStart, portaltest.InThread(root, poll("In a thread?", "Yes")))
	r.Quiet()
	r.Send(portaltest.BobMXID, event.EventUnstablePollResponse, vote(inside, "Yes"))
	r.Quiet()
	m := r.Tenant.Messages(portaltest.Channel)
	require.Len(t, m, 4)
	require.Equal(t, m[0].ID, m[1].ReplyToID)
	require.Equal(t, m[2].ID, m[3].ReplyToID)
	require.Equal(t, "carol: 📊 Poll: In a thread?1. Yes – 1 vote1 person has voted.", portaltest.Plain(m[3].Body))
	clean(t, r)
}

// A count that is on its way is no difference.
func TestVerifyWhileVotesAreOnTheirWay(t *testing.T) {
	r := started(t)
	e := askLunch(r)
	r.Quiet()
	hold := make(chan struct{})
	r.Tenant.SetWrites(func(w portaltest.Write) portaltest.Fault { return portaltest.Fault{Hold: hold} })
	r.Silently(func() { // nothing tells the ledger of it
		votersOf(t, r).votes(portaltest.BobMXID, 1, e, "Soup")
		r.Eventually(func() bool { return r.TeamsTexts()[0] == oneSoup })
		report := verify(t, r)
		require.Empty(t, report.Findings)
		require.Equal(t, 1, report.OnTheWay)
	})
	close(hold)
	shows(t, r, oneSoup)
	clean(t, r)
}

// Votes that nobody can place are dropped and counted; who writes our mark gets
// nothing by it.
func TestForeignVotesAreDropped(t *testing.T) {
	r := started(t)
	e := askLunch(r)
	shows(t, r, lunch)
	r.Send(portaltest.BobMXID, event.EventUnstablePollResponse, map[string]any{"org.matrix.msc3381.poll.response": map[string]any{"answers": []any{"Soup"}}})
	r.Send(portaltest.BobMXID, event.EventUnstablePollResponse, vote("$x\x00", "Soup"))
	r.Send(portaltest.BobMXID, event.EventUnstablePollResponse, vote("$unknown", "Soup"))
	r.Send(portaltest.BobMXID, event.EventUnstablePollEnd, pollEnd("$unknown"))
	r.Quiet()
	require.Equal(t, 2, r.Counts.Get(portal.MetricIgnored, portal.IgnoredPollUnnamed))
	require.Equal(t, 2, r.Counts.Get(portal.MetricIgnored, portal.IgnoredPollUnknown))
	shows(t, r, lunch)
	forged := portaltest.Text("hello")
	forged[msgconv.PollField] = map[string]any{"kind": "vote", "of": e.String(), "answers": []any{"Soup"}}
	r.Send(portaltest.BobMXID, event.EventMessage, forged)
	r.Quiet()
	texts := r.TeamsTexts()
	require.Len(t, texts, 2)
	require.Equal(t, lunch, texts[0])
	require.True(t, strings.HasSuffix(texts[1], "hello"))
	require.Len(t, r.HS.Messages(r.Room), 1)
}

// Wherever the bridge crashes while people vote, Teams shows the result in the end.
func TestCrashWhileVoting(t *testing.T) {
	play := func(r *portaltest.Rig, v *voter, step func(f func())) {
		var e id.EventID
		step(func() { e = askLunch(r) })
		step(func() { v.votes(portaltest.BobMXID, 1, e, "Soup") })
		step(func() { v.votes(portaltest.CarolMXID, 2, e, "Pizza") })
		step(func() { v.votes(portaltest.CarolMXID, 3, e) })
		step(func() { v.deliver(v.said(portaltest.AliceMXID, event.EventUnstablePollEnd, 4, pollEnd(e))) })
	}
	total := 0
	{
		r := started(t)
		r.CountFromHere()
		play(r, votersOf(t, r), func(f func()) { f(); r.Quiet() })
		total = r.Statements()
		r.Stop()
	}
	stride := 5
	if testing.Short() {
		stride = 29
	}
	for at := 1; at < total; at += stride {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			r := portaltest.New(t)
			r.Fast = true
			r.Start() // makes the room
			r.Stop()
			r.CrashAfter(at)
			r.Start()
			r.CountFromHere()
			v := &voter{r: r, t: t, at: time.Now().Truncate(time.Second)}
			play(r, v, func(f func()) {
				f()
				r.Eventually(func() bool { return r.Crashed() || !r.Crashing() && r.Sender.Busy() == 0 })
				if r.Crashed() {
					r.Recover()
				}
			})
			r.Recover()
			shows(t, r, soupAtEnd)
			clean(t, r)
		})
	}
}

// Whatever Teams does with the edits, and however often the bridge restarts,
// Teams shows in the end what was voted.
func TestVotesThroughTrouble(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	for seed := range uint64(rounds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			r := started(t, func(r *portaltest.Rig) { r.Fast = true })
			var luck atomic.Uint64
			r.Tenant.SetWrites(func(w portaltest.Write) portaltest.Fault {
				switch rand.New(rand.NewPCG(seed, luck.Add(1))).IntN(6) {
				case 0, 1:
					return portaltest.Fault{Refuse: portaltest.ErrUnavailable}
				case 2:
					return portaltest.Fault{Lose: portaltest.ErrAmbiguous}
				case 3:
					if w.Op == "edit" { // a post is looked for in a window, which is short here
						return portaltest.Fault{Refuse: portaltest.ErrAmbiguous, Late: 15 * time.Millisecond}
					}
				}
				return portaltest.Fault{}
			})
			v := votersOf(t, r)
			p := msgconv.Poll{Question: "Lunch?", Most: 1, Answers: []msgconv.PollAnswer{{ID: "Pizza", Text: "Pizza"}, {ID: "Soup", Text: "Soup"}}}
			e := askLunch(r)
			var ballots []msgconv.Ballot
			times := rnd.Perm(30)
			for _, at := range times {
				who := id.UserID(fmt.Sprintf("@guest%d:example.org", rnd.IntN(4)))
				answers := [][]string{{"Pizza"}, {"Soup"}, {}}[rnd.IntN(3)]
				cast := v.votes(who, at, e, answers...)
				ballots = append(ballots, msgconv.Ballot{Event: cast.String(), Voter: who.String(), At: v.at.Add(time.Duration(at) * time.Second), Answers: answers})
				if rnd.IntN(4) == 0 {
					v.counted(len(ballots))
				}
				if rnd.IntN(10) == 0 {
					r.Restart()
				}
			}
			var ended time.Time
			if rnd.IntN(2) == 0 {
				ended = v.at.Add(20 * time.Second)
				v.deliver(v.said(portaltest.AliceMXID, event.EventUnstablePollEnd, 20, pollEnd(e)))
			}
			r.Tenant.SetWrites(nil)
			require.NoError(t, r.Sender.Kick(context.Background()))
			r.Quiet()
			want := strings.ReplaceAll(p.Text(r.Says, p.Tally(ballots, ended)), "\n", "")
			defer func() {
				if t.Failed() {
					t.Log(r.TeamsTexts())
					logRows(t, r)
				}
			}()
			r.Eventually(func() bool { texts := r.TeamsTexts(); return len(texts) == 1 && texts[0] == want }, want)
			r.Quiet()
			shows(t, r, want)
			require.Empty(t, r.HS.Messages(r.Room))
		})
	}
}

func TestStickersAndLocationsGoToTeamsAsText(t *testing.T) {
	r := started(t)
	r.Send(portaltest.AliceMXID, event.EventSticker, map[string]any{"body": "Party parrot", "url": "mxc://example.org/none", "info": map[string]any{"mimetype": "image/png", "size": 10 << 20}})
	r.Send(portaltest.CarolMXID, event.EventSticker, map[string]any{"body": "Sad parrot", "url": "mxc://example.org/none", "info": map[string]any{"mimetype": "image/png", "size": 10 << 20}})
	r.Send(portaltest.AliceMXID, event.EventMessage, map[string]any{"msgtype": "m.location", "body": "Town hall", "geo_uri": "geo:52.52,13.405;u=10"})
	// As clients write it that know MSC3488, also in an edit.
	at := func(uri, name string) map[string]any {
		return map[string]any{"msgtype": "m.location", "body": "Location " + uri, "geo_uri": uri, "org.matrix.msc3488.location": map[string]any{"uri": uri, "description": name}}
	}
	r.Send(portaltest.AliceMXID, event.EventMessage, at("geo:1,2", "At sea"))
	moved := r.Send(portaltest.AliceMXID, event.EventMessage, at("geo:3,4", "Here"))
	r.Quiet()
	r.Send(portaltest.AliceMXID, event.EventMessage, map[string]any{"msgtype": "m.location", "body": "* Location geo:5,6", "geo_uri": "geo:5,6",
		"m.new_content": at("geo:5,6", "There"), "m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": moved}})
	r.Quiet()
	texts := r.TeamsTexts()
	require.Len(t, texts, 5)
	require.Contains(t, texts[3], "Location: At sea (1, 2)")
	require.Contains(t, texts[4], "Location: There (5, 6)")
	require.Contains(t, texts[0], "Sticker: Party parrot")
	require.Contains(t, texts[1], "Sad parrot")
	require.Contains(t, texts[2], "Location: Town hall (52.52, 13.405)")
}

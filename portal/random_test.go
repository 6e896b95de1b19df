package portal_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// chaos is a source of faults that is safe to ask from anywhere.
type chaos struct {
	mu  sync.Mutex
	rng *rand.Rand
	on  bool
}

func (c *chaos) roll(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.on {
		return -1
	}
	return c.rng.IntN(n)
}

func (c *chaos) set(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on = on
}

func (c *chaos) write(string, string) portaltest.Fault {
	switch c.roll(20) {
	case 0:
		return portaltest.Fault{Refuse: portaltest.ErrThrottled}
	case 1:
		return portaltest.Fault{Refuse: portaltest.ErrUnavailable}
	case 2:
		return portaltest.Fault{Refuse: portaltest.ErrAmbiguous}
	case 3, 4:
		return portaltest.Fault{Lose: portaltest.ErrAmbiguous}
	}
	return portaltest.Fault{}
}

func (c *chaos) read(string) error {
	if c.roll(8) == 0 {
		return portaltest.ErrUnavailable
	}
	return nil
}

func (c *chaos) homeserver(p int) func(id.UserID, event.Type, map[string]any) error {
	return func(user id.UserID, _ event.Type, _ map[string]any) error {
		if strings.HasPrefix(string(user), "@teams_") && c.roll(p) == 0 {
			return portaltest.Down()
		}
		return nil
	}
}

// notices delivers notifications late, twice, swapped or never, as they come
// over the internet; list is what reconciliation then makes of it.
type notices struct {
	mu      sync.Mutex
	waiting []teams.Message
	c       *chaos
	r       *portaltest.Rig
}

func (n *notices) changed(m teams.Message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch n.c.roll(10) {
	case 0: // never
		return
	case 1:
		n.waiting = append(n.waiting, m, m)
	default:
		n.waiting = append(n.waiting, m)
	}
	if n.c.roll(3) != 0 {
		n.flush()
	}
}

func (n *notices) flush() {
	msgs := n.waiting
	n.waiting = nil
	if len(msgs) > 1 && n.c.roll(2) == 0 {
		slices.Reverse(msgs)
	}
	for _, m := range msgs {
		_ = n.r.Ingest.Accept(context.Background(), "webhook", []teams.Message{m})
	}
}

func TestRandomOperations(t *testing.T) {
	seeds := []uint64{1, 2, 3, uint64(time.Now().UnixNano())}
	if s := os.Getenv("TEAMSBRIDGE_TEST_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
		seeds = []uint64{seed}
	}
	if testing.Short() {
		seeds = seeds[:1]
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Logf("seed %d (repeat with TEAMSBRIDGE_TEST_SEED)", seed)
			randomOperations(t, seed, 150)
		})
	}
}

func randomOperations(t *testing.T, seed uint64, steps int) {
	rng := rand.New(rand.NewPCG(seed, 1))
	c := &chaos{rng: rand.New(rand.NewPCG(seed, 2)), on: true}
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(in *portal.IngestOptions, out *portal.SenderOptions) {
			in.EchoWait = 200 * time.Millisecond
		}
	})
	n := &notices{c: c, r: r}
	install := func() {
		r.Tenant.SetFault(c.write)
		r.Tenant.SetRead(c.read)
		r.HS.SetFaults(c.homeserver(15), c.homeserver(15))
		r.Tenant.SetChanged(n.changed)
	}
	install()
	matrixPeople := []id.UserID{portaltest.AliceMXID, portaltest.BobMXID, portaltest.CarolMXID}
	teamsPeople := []string{portaltest.Alice, portaltest.Bob, portaltest.Dave}
	emoji := []string{"👍", "🎉", "👀"}
	mine := map[id.UserID][]id.EventID{} // messages by Matrix people that stand
	var roots []id.EventID
	say := 0
	for range steps {
		user := matrixPeople[rng.IntN(len(matrixPeople))]
		person := teamsPeople[rng.IntN(len(teamsPeople))]
		native := r.Tenant.Messages(portaltest.Channel)
		native = slices.DeleteFunc(native, func(m teams.Message) bool {
			return !slices.Contains(teamsPeople, m.From.ID) || !strings.HasPrefix(m.Body, "t")
		})
		pick := func() (teams.Message, bool) {
			if len(native) == 0 {
				return teams.Message{}, false
			}
			return native[rng.IntN(len(native))], true
		}
		say++
		switch rng.IntN(16) {
		case 0, 1, 2:
			e := r.Say(user, fmt.Sprintf("m%d", say))
			mine[user] = append(mine[user], e)
			roots = append(roots, e)
		case 3, 4:
			if len(roots) > 0 {
				e := r.Reply(user, roots[rng.IntN(len(roots))], fmt.Sprintf("m%d", say))
				mine[user] = append(mine[user], e)
			}
		case 5:
			if own := mine[user]; len(own) > 0 {
				r.Edit(user, own[rng.IntN(len(own))], fmt.Sprintf("m%d", say))
			}
		case 6:
			if own := mine[user]; len(own) > 0 {
				i := rng.IntN(len(own))
				if slices.Contains(roots, own[i]) {
					continue // threads under deleted roots have tests of their own
				}
				r.Redact(user, own[i])
				mine[user] = slices.Delete(own, i, i+1)
			}
		case 7:
			if len(roots) > 0 && user != portaltest.CarolMXID {
				target := roots[rng.IntN(len(roots))]
				key := emoji[rng.IntN(len(emoji))]
				if !slices.Contains(r.HS.Reactions(r.Room, target), user.String()+" "+key) {
					r.React(user, target, key)
				}
			}
		case 8, 9, 10:
			r.Tenant.Post(portaltest.Channel, "", person, fmt.Sprintf("t%d", say))
		case 11:
			if m, ok := pick(); ok && m.ReplyToID == "" {
				r.Tenant.Post(portaltest.Channel, m.ID, person, fmt.Sprintf("t%d", say))
			}
		case 12:
			if m, ok := pick(); ok && m.Deleted.IsZero() {
				r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetText(fmt.Sprintf("t%d", say)))
			}
		case 13:
			if m, ok := pick(); ok && m.ReplyToID != "" {
				r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetDeleted())
			}
		case 14:
			if m, ok := pick(); ok && m.Deleted.IsZero() {
				r.Tenant.Change(portaltest.Channel, m.ID, portaltest.AddReaction(portaltest.Dave, emoji[rng.IntN(len(emoji))]))
			}
		case 15:
			if rng.IntN(4) == 0 {
				r.Restart()
				install()
			}
		}
	}
	c.set(false)
	n.mu.Lock()
	n.flush()
	n.mu.Unlock()
	r.Quiet()
	// Reconciliation: what Graph lists is the truth.
	require.NoError(t, r.Ingest.Accept(context.Background(), "list", r.Tenant.Messages(portaltest.Channel)))
	r.Quiet()
	compare(t, r, mine)
	// Nothing is reported of what is as it should be.
	report, err := r.Verifier.Verify(context.Background(), portaltest.Channel, time.Now().Add(-time.Hour))
	require.NoError(t, err)
	require.Empty(t, report.Findings)
	require.Zero(t, report.OnTheWay)
	require.Empty(t, report.Failed)
}

// compare checks that both sides show the same.
func compare(t *testing.T, r *portaltest.Rig, mine map[id.UserID][]id.EventID) {
	t.Helper()
	defer func() {
		if !t.Failed() {
			return
		}
		for _, e := range r.HS.Events(r.Room) {
			t.Logf("matrix %s %s %s %v redacted=%v", e.ID, e.Sender, e.Type.Type, e.Content, e.Redacted)
		}
		for _, m := range r.Tenant.Messages(portaltest.Channel) {
			t.Logf("teams %s root=%s %s %q edited=%v deleted=%v", m.ID, m.ReplyToID, m.From.ID, m.Body, !m.Edited.IsZero(), !m.Deleted.IsZero())
		}
		logRows(t, r)
	}()
	word := func(s string) string { // the bridge's own words around it do not matter
		fields := strings.Fields(s)
		if len(fields) == 0 {
			return ""
		}
		return fields[len(fields)-1]
	}
	var inTeams, inMatrix []string
	rootText := map[string]string{}
	all := r.Tenant.Messages(portaltest.Channel)
	for _, m := range all {
		rootText[m.ID] = word(portaltest.Plain(m.Body))
	}
	for _, m := range all {
		if m.Deleted.IsZero() {
			inTeams = append(inTeams, rootText[m.ID]+"<"+rootText[m.ReplyToID])
		}
	}
	events := r.HS.Messages(r.Room)
	byEvent := map[string]string{}
	for _, e := range events {
		byEvent[e.ID.String()] = word(e.Text())
	}
	for _, e := range events {
		if strings.Contains(e.Text(), "edited in Teams") {
			t.Errorf("unexpected notice %q", e.Text())
			continue
		}
		root := ""
		if e.Relation("rel_type") == "m.thread" {
			root = byEvent[e.Relation("event_id")]
		}
		inMatrix = append(inMatrix, byEvent[e.ID.String()]+"<"+root)
	}
	slices.Sort(inTeams)
	slices.Sort(inMatrix)
	require.Equal(t, inTeams, inMatrix, "the same messages in the same threads, each once")

	// Each Matrix author's messages are in Teams in the order in which they were said.
	position := map[string]int{}
	for i, m := range all {
		position[rootText[m.ID]] = i
	}
	for user, own := range mine {
		before := -1
		for _, e := range own {
			at, ok := position[byEvent[e.String()]]
			require.True(t, ok, "%s by %s is not in Teams", e, user)
			require.Greater(t, at, before, "order of %s", user)
			before = at
		}
	}
	// Reactions: what people without the relay show is the same.
	for _, m := range all {
		var people []string
		for _, x := range m.Reactions {
			if x.User.ID == portaltest.Dave {
				people = append(people, x.Type)
			}
		}
		for _, e := range events {
			if !m.Deleted.IsZero() || word(e.Text()) != rootText[m.ID] {
				continue
			}
			var shown []string
			for _, x := range r.HS.Reactions(r.Room, e.ID) {
				if who, what, _ := strings.Cut(x, " "); who == "@teams_dave:example.org" {
					shown = append(shown, strings.TrimSuffix(what, "\ufe0f"))
				}
			}
			slices.Sort(people)
			slices.Sort(shown)
			require.Equal(t, people, shown, "Dave's reactions on %s", rootText[m.ID])
		}
	}
	stats, err := r.DB.Outbox.Stats(context.Background())
	require.NoError(t, err)
	require.Empty(t, stats.ByState, "nothing failed, nothing is left")
	inbox, err := r.DB.Inbox.Stats(context.Background())
	require.NoError(t, err)
	require.Zero(t, inbox.ByState["parked"])
}

// logRows tells how each event of the room ended.
func logRows(t *testing.T, r *portaltest.Rig) {
	t.Helper()
	for _, e := range r.HS.Events(r.Room) {
		row, err := r.DB.Outbox.ByEvent(context.Background(), e.ID.String())
		if err != nil || row == nil {
			t.Logf("outbox %s: %v, shown as %v", e.ID, err, r.HS.Statuses(e.ID))
			continue
		}
		t.Logf("outbox %s: %s of %s, %s %q %q, shown as %v", e.ID, row.Kind, row.TargetEventID, row.State, row.Reason, row.Detail, r.HS.Statuses(e.ID))
	}
}

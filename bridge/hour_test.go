package bridge

import (
	"errors"
	"fmt"
	"html"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"

	"teamsbridge/portal/portaltest"
)

// In an hour without Teams, 200 people go on in 100 rooms. Then 10 relay
// accounts bring the 5,000 messages to Teams: each once, in order, as its
// author's and with its time, at 80 % or more of what the documented limits
// allow, and nothing while Graph has told us to wait. People are told when it
// begins and when it is over, once.
//
// Proves S4, M3, M4 and M5.
func TestHourOfOutage(t *testing.T) {
	const seed = 1
	messages, rooms, users, relays := 5000, 100, 200, 10
	if os.Getenv("TEAMSBRIDGE_FULL") == "" {
		// The same shape in less time; the gate runs the whole.
		messages, rooms, users, relays = 1000, 20, 40, 2
	}
	synctest.Test(t, func(t *testing.T) {
		t.Logf("seed %d", seed)
		w := newHourWorld(t, seed, rooms+5, relays) // in the last five nobody speaks
		time.Sleep(time.Minute)
		down := time.Now()
		w.g.setFault(hourFault(down))
		w.speak(messages, rooms, users, time.Hour)
		require.Zero(t, w.inTeams())
		require.Len(t, w.notes(opsRoom), 1)
		for _, ch := range w.rig.Channels[:rooms] {
			require.Len(t, w.notes(w.rig.RoomOf(ch)), 1, "one notice for each room in use")
		}
		var shown int
		for _, said := range w.said {
			for _, s := range said {
				if st := w.rig.HS.Statuses(s.event); len(st) > 0 && st[0].Status == event.MessageStatusPending {
					shown++
				}
			}
		}
		require.GreaterOrEqual(t, shown, w.total*9/10, "messages are shown as queued")

		back := time.Now()
		w.g.setFault(throttleSome(w.g))
		w.until("the backlog goes", time.Hour, func() bool { return w.inTeams() >= w.total })
		w.until("people are told", time.Hour, func() bool { return len(w.notes(opsRoom)) >= 2 })
		time.Sleep(30 * time.Minute)
		w.checkPace(back, relays)
		w.checkDelivered(back)
		w.checkNotices(rooms)
	})
}

// hourFault is what Graph does to all requests in an outage.
func hourFault(down time.Time) func(*http.Request) (*http.Response, error) {
	var n atomic.Int64
	return func(req *http.Request) (*http.Response, error) {
		switch gone := time.Since(down); {
		case gone < 20*time.Minute && n.Add(1)%10 == 0:
			return announced(http.StatusServiceUnavailable, 2*time.Minute, nil), nil
		case gone < 20*time.Minute:
			return answer(http.StatusServiceUnavailable, struct{}{}), nil
		case gone < 30*time.Minute:
			<-req.Context().Done()
			return nil, req.Context().Err()
		case gone < 45*time.Minute:
			return nil, errors.New("connection refused")
		default:
			return answer(http.StatusGatewayTimeout, struct{}{}), nil
		}
	}
}

// throttleSome refuses a post and announces a pause, twice.
func throttleSome(g *strictGraph) func(*http.Request) (*http.Response, error) {
	var posts atomic.Int64
	return func(req *http.Request) (*http.Response, error) {
		if req.Method == http.MethodPost {
			if n := posts.Add(1); n == 100 || n == 500 {
				return announced(http.StatusTooManyRequests, 30*time.Second, nil), nil
			}
		}
		return nil, nil
	}
}

// checkDelivered compares both sides message by message.
func (w *hourWorld) checkDelivered(back time.Time) {
	w.t.Helper()
	for _, ch := range w.rig.Channels {
		got, said := w.rig.Tenant.Messages(ch), w.said[ch]
		require.Len(w.t, got, len(said), "lost or doubled")
		ids := map[string]string{} // Matrix root to Teams root
		for i, m := range got {
			s := said[i]
			text := html.UnescapeString(portaltest.Plain(m.Body))
			require.True(w.t, strings.HasSuffix(text, s.text), "out of order: %q is not %q", text, s.text)
			require.Contains(w.t, text, s.user.Localpart())
			if back.Sub(s.at) > 3*time.Minute {
				require.Contains(w.t, text, s.at.UTC().Format("15:04"), "a late message carries its time")
			}
			ids[s.event.String()] = m.ID
			require.Equal(w.t, ids[s.root.String()], m.ReplyToID, "in its thread")
			last := w.rig.HS.Statuses(s.event)
			require.Equal(w.t, event.MessageStatusSuccess, last[len(last)-1].Status)
			require.Empty(w.t, w.rig.HS.Reactions(w.rig.RoomOf(ch), s.event), "no mark is left")
		}
		require.Len(w.t, w.rig.HS.Messages(w.rig.RoomOf(ch)), len(said)+len(w.notes(w.rig.RoomOf(ch))), "nothing came back as news")
	}
}

// checkNotices checks that each room in use was told of beginning and end with
// its count, the administrators with the sums, and nobody else anything.
func (w *hourWorld) checkNotices(rooms int) {
	w.t.Helper()
	for i, ch := range w.rig.Channels {
		notes := w.notes(w.rig.RoomOf(ch))
		if i >= rooms {
			require.Empty(w.t, notes, "nobody speaks here")
			continue
		}
		require.Len(w.t, notes, 2)
		require.Contains(w.t, notes[0], "unavailable since 00:0")
		require.Contains(w.t, notes[0], "what you write is kept")
		require.Contains(w.t, notes[1], "available again")
		require.Contains(w.t, notes[1], fmt.Sprintf("All %d messages that were written here meanwhile are in Teams", len(w.said[ch])))
	}
	ops := w.notes(opsRoom)
	require.Len(w.t, ops, 2)
	require.Contains(w.t, ops[0], "Microsoft Teams is unavailable")
	require.Regexp(w.t, regexp.MustCompile(fmt.Sprintf(`%d messages in %d rooms`, w.total, rooms)), ops[1])
	require.Contains(w.t, ops[1], fmt.Sprintf("Delivered to Teams: %d", w.total))
	w.t.Logf("administrators were told:\n%s\n%s", ops[0], ops[1])
}

// checkPace compares the pace with what the limits allow: an account posts once
// a second, and nobody while a pause is on.
func (w *hourWorld) checkPace(back time.Time, relays int) {
	w.t.Helper()
	g := w.g
	g.mu.Lock()
	defer g.mu.Unlock()
	require.Zero(w.t, g.early, "posts that a limit forbade")
	require.Zero(w.t, g.disobeyed, "posts before an announced pause was over")
	first, last := g.posts[0], g.posts[len(g.posts)-1]
	var paused time.Duration
	for i, until := range g.ends {
		if until.After(first) {
			paused += g.pauses[i]
		}
	}
	least := time.Duration(w.total) * time.Second / time.Duration(relays)
	share := least.Seconds() / (last.Sub(first) - paused).Seconds()
	w.t.Logf("health saw after %s that Teams was back, the first post was after %s, the last after %s",
		w.r.outages.upAt.Sub(back), first.Sub(back), last.Sub(back))
	w.t.Logf("%d messages by %d accounts in %s, of which %s were announced pauses: %.1f %% of the limit, and %.1f %% counted from when Teams was back",
		w.total, relays, last.Sub(first), paused, 100*share, 100*least.Seconds()/(last.Sub(back)-paused).Seconds())
	require.Less(w.t, first.Sub(back), time.Minute)
	require.GreaterOrEqual(w.t, share, 0.8)
}

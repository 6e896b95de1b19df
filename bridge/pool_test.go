package bridge

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
)

// slowGraph takes posts through the real limiter, and a moment for each.
type slowGraph struct {
	client *http.Client
	mu     sync.Mutex
	// sent are the times at which requests came.
	sent []time.Time
	by   map[string]int
	// answer may answer a request otherwise.
	answer func(n int) *http.Response
}

func newSlowGraph(t *testing.T) *slowGraph {
	g := &slowGraph{by: map[string]int{}}
	endpoints, err := teams.Cloud("global")
	require.NoError(t, err)
	g.client, err = teams.NewHTTPClient(teams.HTTPOptions{Endpoints: endpoints, Transport: g})
	require.NoError(t, err)
	return g
}

func (g *slowGraph) RoundTrip(req *http.Request) (*http.Response, error) {
	g.mu.Lock()
	n := len(g.sent)
	g.sent = append(g.sent, time.Now())
	g.by[req.Header.Get("X-Account")]++
	g.mu.Unlock()
	time.Sleep(100 * time.Millisecond)
	if g.answer != nil {
		if resp := g.answer(n); resp != nil {
			resp.Request = req
			return resp, nil
		}
	}
	return &http.Response{StatusCode: http.StatusCreated, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}")), Request: req}, nil
}

type slowWriter struct {
	teams.Writer
	graph   *slowGraph
	account string
}

func (w *slowWriter) Post(ctx context.Context, ch teams.ChannelRef, _ string, _ teams.Draft) (teams.Message, error) {
	req, err := http.NewRequestWithContext(teams.WithAccount(ctx, w.account), http.MethodPost,
		fmt.Sprintf("https://graph.microsoft.com/v1.0/teams/%s/channels/%s/messages", ch.TeamID, ch.ChannelID), nil)
	if err != nil {
		return teams.Message{}, err
	}
	req.Header.Set("Authorization", "Bearer x")
	req.Header.Set("X-Account", w.account)
	resp, err := w.graph.client.Do(req)
	if err != nil {
		return teams.Message{}, err
	}
	return teams.Message{}, resp.Body.Close()
}

// relayPool makes writers with a pool of relay accounts, without a database.
func relayPool(g *slowGraph, n int) *writers {
	w := newWriters(nil, func(a database.Account) (teams.Writer, error) { return &slowWriter{graph: g, account: a.UserID}, nil })
	for i := range n {
		id := fmt.Sprintf("relay%d", i)
		key := accountKey(database.AccountRelay, id)
		w.accounts[key] = database.Account{Key: key, Kind: database.AccountRelay, UserID: id, UPN: id, State: database.AccountOK}
	}
	return w
}

// drain sends a room's messages one after the other, as its lane does.
func drain(t *testing.T, w *writers, room string, n int) {
	ch := teams.ChannelRef{TeamID: "team", ChannelID: room}
	row := &database.OutboxRow{Portal: string(portal.ChannelPortal(ch).ID), Kind: database.KindMessage}
	for range n {
		for {
			writer, err := w.Relay(t.Context(), row, "")
			if err == nil {
				_, err = writer.Post(t.Context(), ch, "", teams.Draft{})
			}
			if err == nil {
				break
			}
			time.Sleep(max(teams.RetryAfter(err), time.Second))
		}
	}
}

// A backlog of 5,000 messages in 100 rooms goes at no less than 80 % of what
// ten accounts may send, one message a second each.
func TestThePoolWorksAsAWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSlowGraph(t)
		w := relayPool(g, 10)
		began := time.Now()
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() { drain(t, w, fmt.Sprintf("19:room%d@thread.tacv2", i), 50) })
		}
		wg.Wait()
		took := time.Since(began)
		rate := 5000 / took.Seconds()
		t.Logf("5,000 messages in %s: %.2f a second", took, rate)
		require.GreaterOrEqual(t, rate, 8.0)
		require.Len(t, g.sent, 5000)
		for account, n := range g.by {
			require.InDelta(t, 500, n, 25, account)
		}
	})
}

// A room in which much waits delays one in which little does by no more than
// its turn.
func TestALongBacklogDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSlowGraph(t)
		w := relayPool(g, 1)
		var wg sync.WaitGroup
		wg.Go(func() { drain(t, w, "19:long@thread.tacv2", 2000) })
		time.Sleep(time.Minute)
		began := time.Now()
		drain(t, w, "19:short@thread.tacv2", 1)
		require.Less(t, time.Since(began), 3*time.Second)
		wg.Wait()
	})
}

// After a Retry-After nothing is sent before it is over, by no account and in no room.
func TestNothingIsSentBeforeRetryAfterIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSlowGraph(t)
		var refused time.Time
		g.answer = func(n int) *http.Response {
			if n != 100 {
				return nil
			}
			refused = time.Now()
			return &http.Response{StatusCode: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"30"}}, Body: io.NopCloser(strings.NewReader("{}"))}
		}
		w := relayPool(g, 10)
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() { drain(t, w, fmt.Sprintf("19:room%d@thread.tacv2", i), 10) })
		}
		wg.Wait()
		require.Len(t, g.sent, 401)
		require.False(t, refused.IsZero())
		after := 0
		for _, at := range g.sent {
			if at.After(refused) {
				after++
				require.GreaterOrEqual(t, at.Sub(refused), 30*time.Second)
			}
		}
		require.Greater(t, after, 250)
	})
}

// A conversation keeps its account while that is free; another's backlog makes
// it go elsewhere, and a reaction always has the same account.
func TestPoolIsStickyWhileThatCostsNothing(t *testing.T) {
	w, _ := testWriters(t)
	for i := range 4 {
		signIn(t, w, database.AccountRelay, fmt.Sprintf("relay%d", i))
	}
	now := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	w.pool.now = func() time.Time { return now }
	row := &database.OutboxRow{Portal: "c:team/channel", Kind: database.KindMessage}
	relay := func(row *database.OutboxRow) string {
		writer, err := w.Relay(t.Context(), row, "")
		require.NoError(t, err)
		return keyOf(t, writer)
	}
	home := relay(row)
	w.pool.begin(home)
	require.NotEqual(t, home, relay(row), "it is busy")
	reaction := &database.OutboxRow{Portal: row.Portal, Kind: database.KindReaction}
	require.Equal(t, home, relay(reaction))
	w.pool.end(home, "c:team/other")
	require.NotEqual(t, home, relay(row), "it has to rest")
	now = now.Add(accountRest)
	require.Equal(t, home, relay(row))
	w.pool.begin(home)
	w.pool.end(home, row.Portal)
	require.Equal(t, home, relay(row), "the channel has to rest, too, so that costs nothing")
}

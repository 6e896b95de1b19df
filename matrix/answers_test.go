package matrix

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// Who watches over the homeserver is told how requests to it ended, and that
// it has sent something.
func TestAnswersOfTheHomeserverAreTold(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	b := startBridge(t, hs, bridgeOptions{})
	told := func() (answers []Answer, transactions int) {
		b.mu.Lock()
		defer b.mu.Unlock()
		answers, transactions, b.answers = timeless(b.answers), b.transactions, nil
		return answers, transactions
	}
	told()
	send(t, WithKey(ctx, "k1"), b, "1", "hello")
	answers, before := told()
	require.Contains(t, answers, Answer{RoomID: portalRoom, Status: http.StatusOK})

	code, text := hs.push(ctx, "not the homeserver's token", "1", txnBody(t, evt("$a", "hi", nil)))
	require.NotEqual(t, http.StatusOK, code, text)
	_, now := told()
	require.Equal(t, before, now, "anybody can call")
	code, text = hs.push(ctx, hsToken, "2", txnBody(t, evt("$b", "hi", nil)))
	require.Equal(t, http.StatusOK, code, text)
	_, now = told()
	require.Equal(t, before+1, now)

	hs.server.CloseClientConnections()
	hs.server.Close()
	require.Error(t, b.conn.Ask(ctx))
	answers, _ = told()
	require.Contains(t, answers, Answer{})
}

// A request whose caller gave up, such as a long poll at a stop, says nothing.
func TestAnAbandonedRequestIsNotTold(t *testing.T) {
	var answers []Answer
	rt := &roundTripper{answered: func(a Answer) { answers = append(answers, a) },
		next: roundTripFunc(func(r *http.Request) (*http.Response, error) { return nil, errors.New("cut") })}
	ctx, cancel := context.WithCancel(t.Context())
	get := func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://hs.example/_matrix/client/v3/rooms/%21a%3Ahs/members", nil)
		require.NoError(t, err)
		_, err = rt.RoundTrip(req)
		require.Error(t, err)
	}
	get()
	require.Equal(t, []Answer{{RoomID: "!a:hs"}}, timeless(answers))
	cancel()
	get()
	require.Len(t, answers, 1)
}

// timeless takes away how long answers took.
func timeless(answers []Answer) (out []Answer) {
	for _, a := range answers {
		a.Took = 0
		out = append(out, a)
	}
	return out
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

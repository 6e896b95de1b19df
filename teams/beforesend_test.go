package teams

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// What BeforeSend has called is called after all waiting and before the request,
// for writes only, and what it refuses does not go.
func TestBeforeSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeGraph{answer: func(n int, _ *http.Request) *http.Response {
			if n == 0 {
				return reply(429, ``, "Retry-After", "20")
			}
			return reply(200, `{}`)
		}}
		c := fakeClient(t, f, NewLimiter(LimiterOptions{}))
		require.Error(t, request(t, t.Context(), c, "POST", postA))
		over := time.Now().Add(20 * time.Second)

		var called []time.Time
		var refusal error
		ctx := BeforeSend(t.Context(), func() error { called = append(called, time.Now()); return refusal })
		require.NoError(t, request(t, ctx, c, "POST", postA))
		require.Len(t, called, 1)
		require.False(t, called[0].Before(over), "nothing is marked while the request waits")
		require.Len(t, f.times(), 2)
		require.Equal(t, f.times()[1], called[0])

		require.NoError(t, request(t, ctx, c, "GET", "/teams/T"))
		require.Len(t, called, 1)

		refusal = errors.New("the disk is full")
		err := request(t, ctx, c, "POST", postA)
		require.ErrorIs(t, err, refusal)
		require.False(t, IsAmbiguous(err))
		require.Len(t, f.times(), 3)

		canceled, cancel := context.WithCancel(ctx)
		cancel()
		require.Error(t, request(t, canceled, c, "POST", postA))
		require.Len(t, called, 2)
	})
}

// A mark that takes long costs the request its place: others may have been sent,
// or told to wait, meanwhile.
func TestSlowMarkWaitsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeGraph{answer: ok}
		c := fakeClient(t, f, NewLimiter(LimiterOptions{}))
		ctx := BeforeSend(t.Context(), func() error { time.Sleep(5 * time.Second); return nil })
		done := make(chan error, 1)
		go func() { done <- request(t, ctx, c, "POST", postA) }()
		time.Sleep(4900 * time.Millisecond)
		require.NoError(t, request(t, t.Context(), c, "POST", postA))
		require.NoError(t, <-done)
		at := f.times()
		require.Len(t, at, 2)
		require.GreaterOrEqual(t, at[1].Sub(at[0]), time.Second)
	})
}

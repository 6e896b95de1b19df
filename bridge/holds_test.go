package bridge

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
)

func testHolds(t *testing.T) (h *holds, now *time.Time, woken *int) {
	t.Helper()
	now, woken = new(time.Time), new(int)
	*now = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	h = newHolds(testDB(t), func() time.Time { return *now }, func() { *woken++ })
	require.NoError(t, h.load(t.Context()))
	return h, now, woken
}

func TestHoldsSurviveARestartAndLetGo(t *testing.T) {
	h, now, woken := testHolds(t)
	require.False(t, h.Held("c:one/a"))
	require.NoError(t, h.set(t.Context(), database.Hold{Scope: "t:one", Kind: database.HoldPause, Reason: "moving", By: "@admin:hs.example"}))
	require.True(t, h.Held("c:one/a"), "it counts at once")
	require.False(t, h.Held("c:other/a"))
	require.False(t, h.Held("c:oneandmore/a"), "a team whose id begins alike is another one")

	again := newHolds(h.db, h.now, func() { *woken++ })
	require.NoError(t, again.load(t.Context()))
	require.True(t, again.Held("c:one/a"))
	require.Equal(t, []database.Hold{{Scope: "t:one", Kind: database.HoldPause, Reason: "moving", By: "@admin:hs.example", Began: now.UTC()}},
		utc(again.list()))

	*woken = 0
	ok, err := again.clear(t.Context(), "t:one", database.HoldPause)
	require.NoError(t, err)
	require.True(t, ok)
	require.False(t, again.Held("c:one/a"))
	require.Equal(t, 1, *woken, "what waited looks again")
	ok, err = again.clear(t.Context(), "t:one", database.HoldPause)
	require.NoError(t, err)
	require.False(t, ok)
}

// utc makes times comparable.
func utc(all []database.Hold) []database.Hold {
	for i := range all {
		all[i].Began = all[i].Began.UTC()
	}
	return all
}

func TestSeveralHoldsOnOneQueue(t *testing.T) {
	h, _, _ := testHolds(t)
	require.NoError(t, h.set(t.Context(), database.Hold{Kind: database.HoldOutage, Reason: "storm"}))
	require.NoError(t, h.set(t.Context(), database.Hold{Scope: "c:one/a", Kind: database.HoldPause}))
	_, err := h.clear(t.Context(), "", database.HoldOutage)
	require.NoError(t, err)
	require.True(t, h.Held("c:one/a"), "the end of one is not the end of the other")
	require.False(t, h.Held("c:one/b"))
}

func TestHoldEndsByItself(t *testing.T) {
	h, now, woken := testHolds(t)
	var told []string
	h.expired = func(_ context.Context, hold database.Hold) { told = append(told, hold.Kind+" "+hold.Scope) }
	require.NoError(t, h.set(t.Context(), database.Hold{Scope: "t:one", Kind: database.HoldDrill, Until: now.Add(10 * time.Minute)}))
	require.NoError(t, h.set(t.Context(), database.Hold{Scope: "t:two", Kind: database.HoldPause}))
	*woken = 0
	wait, err := h.expire(t.Context())
	require.NoError(t, err)
	require.Equal(t, 10*time.Minute, wait)
	require.Empty(t, told)
	require.True(t, h.Held("c:one/a"))

	*now = now.Add(10 * time.Minute)
	require.Len(t, h.list(), 1, "to the moment")
	require.True(t, h.Held("c:one/a"), "until what waits knows that it was held")
	_, err = h.expire(t.Context())
	require.NoError(t, err)
	require.False(t, h.Held("c:one/a"))
	require.Equal(t, []string{"drill t:one"}, told)
	require.Positive(t, *woken)
	_, err = h.expire(t.Context())
	require.NoError(t, err)
	require.Len(t, told, 1, "once")
	require.True(t, h.Held("c:two/a"))
	left, err := h.db.Holds.All(t.Context())
	require.NoError(t, err)
	require.Len(t, left, 1)
}

// A hold that ended while the bridge was away is taken away at the start.
func TestRunTakesAwayWhatIsOver(t *testing.T) {
	h, now, _ := testHolds(t)
	require.NoError(t, h.db.Holds.Set(t.Context(), database.Hold{Kind: database.HoldDrill, Until: now.Add(-time.Minute)}))
	require.NoError(t, h.load(t.Context()))
	require.Empty(t, h.list())
	told := make(chan database.Hold, 1)
	h.expired = func(_ context.Context, hold database.Hold) { told <- hold }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.run(ctx) }()
	require.Equal(t, database.HoldDrill, (<-told).Kind)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	left, err := h.db.Holds.All(t.Context())
	require.NoError(t, err)
	require.Empty(t, left)
}

// What an administrator or a drill held counts its age from when it was let go,
// from the moment at which the lanes may have it.
func TestHeldTimeIsNoAge(t *testing.T) {
	for name, until := range map[string]time.Duration{"by hand": 0, "by itself": time.Hour} {
		t.Run(name, func(t *testing.T) {
			h, now, _ := testHolds(t)
			hold := database.Hold{Scope: "t:one", Kind: database.HoldDrill, Began: *now}
			if until > 0 {
				hold.Until = now.Add(until)
			}
			require.NoError(t, h.set(t.Context(), hold))
			row := &database.OutboxRow{EventID: "$1", Portal: "c:one/a", Kind: database.KindMessage, CreatedAt: *now}
			_, err := h.db.Outbox.Enqueue(t.Context(), row)
			require.NoError(t, err)
			*now = now.Add(3 * time.Hour)
			want := *now
			var heldUntil time.Time
			h.wake = func() {
				got, err := h.db.Outbox.ByID(t.Context(), row.ID)
				require.NoError(t, err)
				heldUntil = got.HeldUntil
			}
			if until == 0 {
				_, err = h.clear(t.Context(), "t:one", database.HoldDrill)
			} else {
				want = hold.Until
				_, err = h.expire(t.Context())
			}
			require.NoError(t, err)
			require.Equal(t, want.UTC(), heldUntil.UTC())
		})
	}
}

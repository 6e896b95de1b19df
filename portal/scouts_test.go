package portal

import (
	"testing"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
)

// Proves M5.
func TestScouts(t *testing.T) {
	const fresh, old = 0, 3
	down := true
	var woken []string
	s := newScouts(func() bool { return down }, func(portal string) { woken = append(woken, portal) })
	may := func(portal string, attempts int) bool {
		return s.mayTry(&database.OutboxRow{Portal: portal, Attempts: attempts})
	}
	wakes := func(want ...string) {
		t.Helper()
		require.Equal(t, want, woken)
		woken = nil
	}
	for _, portal := range []string{"a", "b", "c"} {
		require.False(t, may(portal, old))
	}
	require.False(t, may("new", fresh))
	require.False(t, may("b", old), "it waits once")

	s.next()
	wakes("new") // what was never tried may well go
	require.True(t, may("new", fresh))
	s.tried("new", false, true)
	wakes()
	s.next()
	wakes("a")
	s.next() // it did not come
	wakes("b")
	require.False(t, may("a", old))
	require.True(t, may("b", old))
	s.tried("b", false, false)
	wakes("c") // Teams was not asked: that was no try
	require.True(t, may("c", old))
	s.tried("c", true, true)
	wakes("a") // where one gets through, others may
	require.True(t, may("c", old), "it goes on")
	s.tried("c", false, true)
	require.False(t, may("c", old), "until it fails")
	s.pass("b")
	require.True(t, may("b", old), "it is known what became of its post")

	require.True(t, may("a", old))
	down = false
	require.True(t, may("d", old))
	s.tried("a", true, true)
	wakes("c")
	down = true
	require.False(t, may("b", old), "nothing is left of the outage before")

	for i := range maxScouts + 2 {
		may(string(rune('A'+i)), fresh)
	}
	woken = nil
	for range maxScouts + 2 {
		if s.next(); s.chosen != "" {
			require.True(t, may(s.chosen, fresh))
		}
	}
	require.Len(t, woken, maxScouts, "no more at once")
}

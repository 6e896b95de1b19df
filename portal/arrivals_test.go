package portal

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/teams"
)

// bench is an arrivals with what it asks and wakes.
type bench struct {
	*arrivals
	isBehind, failing bool
	woken             []string
}

func newBench() *bench {
	b := &bench{}
	b.arrivals = newArrivals(time.Now, func(teams.ChannelRef) (bool, bool) { return b.isBehind, b.failing },
		func(portal string) { b.woken = append(b.woken, portal) })
	return b
}

var (
	roomA = "c:team/19:a"
	refA  = teams.ChannelRef{TeamID: "team", ChannelID: "19:a"}
)

func messageAt(id string) teams.MessageRef { return teams.MessageRef{ChannelRef: refA, ID: id} }

// Proves T5.
func TestMessageRestsForAnnouncedOnesBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		first, second := time.UnixMilli(1000), time.UnixMilli(2000)
		b.announce(roomA, messageAt("1000"))
		require.Zero(t, b.rest(roomA, first, time.Now()), "not for itself")
		require.Zero(t, b.rest("c:team/19:b", second, time.Now()), "another room")
		require.Equal(t, time.Now().Add(announcePatience), b.rest(roomA, second, time.Now()))
		b.arrived(roomA, "999")
		require.Empty(t, b.woken)
		b.arrived(roomA, "1000")
		require.Equal(t, []string{roomA}, b.woken)
		require.Zero(t, b.rest(roomA, second, time.Now()))

		b.announce(roomA, messageAt("1000"))
		require.Zero(t, b.rest(roomA, second, time.Now()), "it is there already")

		b.announce(roomA, messageAt("1500"))
		b.announce(roomA, messageAt("not a time"))
		require.NotZero(t, b.rest(roomA, second, time.Now()))
		time.Sleep(announcePatience)
		require.Zero(t, b.rest(roomA, second, time.Now()), "nobody waits for ever")
	})
}

func TestMessageRestsUntilItsRoomWasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.isBehind = true
		received := time.Now()
		require.Equal(t, received.Add(readPatience), b.rest(roomA, received, received))
		b.read(teams.Scope{TeamID: "another"})
		b.read(teams.Scope{TeamID: "team", ChannelID: "19:b"})
		require.Empty(t, b.woken)
		b.read(teams.Scope{TeamID: "team"})
		require.Equal(t, []string{roomA}, b.woken)
		b.isBehind = false
		require.Zero(t, b.rest(roomA, received, received))

		b.isBehind, b.failing = true, true
		require.Equal(t, received.Add(failingPatience), b.rest(roomA, received, received))
		time.Sleep(failingPatience)
		require.Zero(t, b.rest(roomA, received, received))
		b.failing = false
		time.Sleep(readPatience - failingPatience)
		require.Zero(t, b.rest(roomA, received, received))
	})
}

func TestSettleFollowsTheSpreadOfLags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 3 * time.Second
		b := newBench()
		// A clock that is an hour off makes no difference.
		lag := func(d time.Duration) { b.delayed(d-time.Hour, most) }
		lag(10 * time.Second) // a repeated one, before anything is known
		require.Zero(t, b.lagSpread(most))
		lag(100 * time.Millisecond)
		require.Zero(t, b.lagSpread(most), "the late one foretells nothing")
		lag(900 * time.Millisecond)
		require.Equal(t, 800*time.Millisecond, b.lagSpread(most))
		time.Sleep(lagAge + time.Second)
		require.Zero(t, b.lagSpread(most), "it was quiet since")
		for range 1000 {
			lag(2 * time.Second)
		}
		require.Zero(t, b.lagSpread(most), "all alike")
		require.Len(t, b.lags, lagSamples)
	})
}

func TestArrivedAreForgottenInTheEnd(t *testing.T) {
	b := newBench()
	at := func(i int) string { return time.UnixMilli(int64(i)).Format("150405.000") }
	for i := range 3 * arrivedKept {
		b.arrived(roomA, at(i))
		b.arrived(roomA, at(i))
	}
	require.Len(t, b.recent, arrivedKept)
	require.True(t, b.recent[arrival{roomA, at(3*arrivedKept - 1)}])
	require.False(t, b.recent[arrival{roomA, at(2*arrivedKept - 1)}])
}

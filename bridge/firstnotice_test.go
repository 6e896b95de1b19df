package bridge

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/teams"
)

// told keeps what arrivals are told, in order with the reads.
type told struct {
	teams.NoArrivals
	what *[]string
}

func (t told) Announced(refs []teams.MessageRef) { *t.what = append(*t.what, "announced "+refs[0].ID) }

func TestFirstNotificationHasItsChannelRead(t *testing.T) {
	now := time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC)
	one, two, three := teams.ChannelRef{TeamID: "t", ChannelID: "1"}, teams.ChannelRef{TeamID: "t", ChannelID: "2"}, teams.ChannelRef{TeamID: "t", ChannelID: "3"}
	covered := map[teams.ChannelRef]time.Time{one: now.Add(-time.Second)}
	var what []string
	f := &firstNotices{
		Arrivals: told{what: &what}, seen: map[teams.ChannelRef]struct{}{}, now: func() time.Time { return now },
		wanted:  func(ch teams.ChannelRef) bool { return ch != three },
		covered: func(ch teams.ChannelRef) time.Time { return covered[ch] },
		read: func(reason string, scopes ...teams.Scope) {
			require.Equal(t, reasonFirstNotice, reason)
			require.Len(t, scopes, 1)
			what = append(what, "read "+scopes[0].ChannelID)
		},
	}
	tell := func(ch teams.ChannelRef, id string) {
		now = now.Add(time.Second)
		f.Announced([]teams.MessageRef{{ChannelRef: ch, ID: id}})
	}
	tell(one, "a") // read at the start, before notifications came here
	tell(one, "b")
	covered[two] = now
	tell(two, "c") // read since
	tell(three, "d")
	require.Equal(t, []string{"read 1", "announced a", "announced b", "announced c", "announced d"}, what)
	what = nil
	f.again() // it was not ready
	covered[one] = now
	tell(one, "e")
	tell(one, "f")
	covered[two] = now
	tell(two, "g")
	require.Equal(t, []string{"read 1", "announced e", "announced f", "announced g"}, what)
	(*firstNotices)(nil).again()
}

package teamstest

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEndpointStates(t *testing.T) {
	clock := NewClock(time.Time{})
	clock.Freeze()
	tenant, err := Start(Options{Clock: clock})
	require.NoError(t, err)
	defer func() { require.NoError(t, tenant.Close()) }()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }))
	defer server.Close()
	n := tenant.edge.notifier
	s := &subscription{
		id: "s", notificationURL: server.URL, expires: clock.Now().Add(48 * time.Hour),
		changeTypes: []string{"created"}, topic: topic{key: "messages", wide: true},
	}
	s.authorize(clock.Now())
	require.Nil(t, n.admit(s, true))
	say := func() {
		n.onChange(change{Kind: changeTeamCreated, TeamID: "t"})
		n.offer(&item{s: s, changeType: "created", born: clock.Now()})
	}
	judge := func(took time.Duration, times int) {
		n.mu.Lock()
		defer n.mu.Unlock()
		for range times {
			n.judge(n.endpoints[server.URL], took)
		}
	}
	delivered := func(want int) {
		t.Helper()
		require.Eventually(t, func() bool { return tenant.NotificationStats().Delivered == want }, 5*time.Second, time.Millisecond)
	}
	say()
	delivered(1)
	judge(time.Millisecond, 17)
	judge(4*time.Second, 1)
	say()
	delivered(2) // one of twenty is tolerated

	judge(4*time.Second, 5)
	say() // slow: ten minutes later
	require.Equal(t, 2, tenant.NotificationStats().Delivered)
	clock.Advance(11 * time.Minute)
	delivered(3)

	judge(11*time.Second, 10)
	say() // drop: never
	clock.Advance(11 * time.Minute)
	require.Equal(t, 1, tenant.NotificationStats().Dropped)
	say()
	delivered(4)
}

package portal_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// TestPostInDoubtThatHasArrived: the answer to a post is lost, and no list shows it,
// but a notification has told of it, maybe after somebody has edited it: it waits for
// its delivery when the bridge gives up looking. It is not made again.
//
// Proves M4.
func TestPostInDoubtThatHasArrived(t *testing.T) {
	for _, edited := range []bool{false, true} {
		r := started(t, func(r *portaltest.Rig) {
			r.Tune = func(in *portal.IngestOptions, _ *portal.SenderOptions) { in.Settle = 3 * time.Second }
		})
		r.Tenant.SetLag(func(teams.Message) time.Duration { return time.Hour })
		r.Tenant.SetFault(onPosts(func(n int) (f portaltest.Fault) {
			if n == 1 {
				f.Lose = portaltest.ErrAmbiguous
				if edited {
					f.Delay = 300 * time.Millisecond
				}
			}
			return f
		}))
		want := "we met at teh station"
		e := r.Say(portaltest.AliceMXID, want)
		if edited {
			r.Eventually(func() bool { return len(r.TeamsTexts()) == 1 })
			want = "we met at the station"
			first(portaltest.SetText(want))(r)
		}
		r.Eventually(func() bool { return lastStatus(r, e) == event.MessageStatusSuccess })
		require.Equal(t, []string{want}, r.TeamsTexts())
		r.Quiet()
		require.Equal(t, []string{want}, r.TeamsTexts())
		require.Equal(t, []string{want}, shownTexts(r))
		require.Zero(t, r.Counts.Get(portal.MetricDoubt, "absent"))
	}
}

// TestNewsIsNoPostInDoubt: a message that somebody wrote in Teams is being brought to
// the room, and its picture takes long. Meanwhile a post of the same account is in
// doubt that says nearly the same: Teams does not have it, and it is made again.
//
// Proves M1 and T1.
func TestNewsIsNoPostInDoubt(t *testing.T) {
	r := started(t)
	r.Tenant.AddImage(pictureURL(0), []byte("png"))
	r.Tenant.SetChanged(nil)
	m := r.Tenant.Post(portaltest.Channel, "", portaltest.Alice, "shall we all have lunch together at noon, today, please?"+pictureTag(0))
	m = r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetText("shall we all have lunch together at noon, today?"+pictureTag(0)))
	var fetching atomic.Bool
	hold := make(chan struct{})
	r.Tenant.SetRead(func(op string) error {
		if op == "image" {
			fetching.Store(true)
			<-hold
		}
		return nil
	})
	accept(t, r, m)
	r.Eventually(fetching.Load)
	r.Tenant.SetFault(onPosts(func(n int) (f portaltest.Fault) {
		if n == 1 {
			f.Refuse = portaltest.ErrAmbiguous
		}
		return f
	}))
	e := r.Say(portaltest.AliceMXID, "shall we all have lunch together at noon, today!")
	r.Eventually(func() bool {
		return r.Counts.Get(portal.MetricDoubt, "absent")+r.Counts.Get(portal.MetricDoubt, "changed") > 0
	})
	close(hold)
	r.Quiet()
	require.Len(t, r.TeamsTexts(), 2)
	require.Contains(t, r.TeamsTexts(), "shall we all have lunch together at noon, today!")
	require.Contains(t, shownTexts(r), "shall we all have lunch together at noon, today?")
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, e))
}

package portal_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// Teams' clock may be a minute and a half before or behind the bridge's. A post
// whose answer was lost is found all the same, by reading back or by its echo,
// and one that Teams does not have is made once; a thread goes on either way.
//
// Proves M4.
func TestClocksThatDiffer(t *testing.T) {
	t.Parallel()
	for _, skew := range []time.Duration{-90 * time.Second, -time.Second, time.Second, 90 * time.Second} {
		for name, by := range map[string]func(r *portaltest.Rig){
			"read back": func(r *portaltest.Rig) { r.Tenant.SetChanged(nil) },
			"echo":      func(*portaltest.Rig) {},
		} {
			t.Run(fmt.Sprint(name, skew), func(t *testing.T) {
				t.Parallel()
				r := started(t, func(r *portaltest.Rig) {
					r.Tenant.SetSkew(skew)
					r.EchoSkew = portal.ClockSkew
					r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) { out.DoubtSkew = 0 } // the default
				})
				by(r)
				posts := 0
				r.Tenant.SetFault(onPosts(func(int) portaltest.Fault {
					switch posts++; posts {
					case 1, 4:
						return portaltest.Fault{Lose: portaltest.ErrAmbiguous}
					case 2:
						return portaltest.Fault{Refuse: portaltest.ErrAmbiguous}
					}
					return portaltest.Fault{}
				}))
				root := r.Say(portaltest.AliceMXID, "lost") // 1
				r.Quiet()
				r.Say(portaltest.AliceMXID, "refused") // 2, 3
				r.Quiet()
				r.Reply(portaltest.AliceMXID, root, "lost in a thread") // 4
				r.Quiet()
				require.Equal(t, []string{"lost", "refused", "lost in a thread"}, r.TeamsTexts())
				require.Equal(t, 4, posts)
				for _, m := range r.Tenant.Messages(portaltest.Channel) {
					require.InDelta(t, skew.Seconds(), time.Until(m.Created).Seconds(), 20)
				}
				require.Len(t, r.Texts(), 3, "an echo is no message")
			})
		}
	}
}

// A listing from before a reaction may look newer than it where clocks differ: it
// does not take the reaction back. Once Teams has listed it, one without it does.
func TestListingFromBeforeAReaction(t *testing.T) {
	r := started(t)
	evt := r.Say(portaltest.AliceMXID, "hello")
	r.Quiet()
	before := r.Tenant.Messages(portaltest.Channel)[0]
	r.Tenant.SetChanged(nil)
	reaction := r.React(portaltest.AliceMXID, evt, "👍")
	r.Quiet()
	listed := r.Tenant.Messages(portaltest.Channel)[0]
	require.Len(t, listed.Reactions, 1)
	shown := func() bool { return !r.HS.Event(reaction).Redacted }

	see := func(m teams.Message, after time.Duration) {
		m.Modified = time.Now().Add(time.Minute + after)
		m.ETag = m.Modified.UnixMilli()
		require.NoError(t, r.Ingest.Accept(t.Context(), "webhook", []teams.Message{m}))
		r.Quiet()
	}
	see(before, 0)
	require.True(t, shown())
	see(listed, time.Second)
	require.True(t, shown())
	see(before, 2*time.Second)
	require.False(t, shown(), "it was taken back in Teams")
}

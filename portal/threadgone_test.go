package portal_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// TestThreadThatGraphDoesNotKnow: a reply without an answer, whose thread Graph
// says it does not know, is not sent again unless something else shows that it is
// not there.
//
// Proves M4.
func TestThreadThatGraphDoesNotKnow(t *testing.T) {
	hide := func(n *int, ops ...string) func(op string, _ int) error {
		return func(op string, _ int) error {
			if *n > 0 && strings.Contains(strings.Join(ops, " "), op) {
				*n--
				return portaltest.ErrNotFound
			}
			return nil
		}
	}
	t.Run("the export has it", func(t *testing.T) {
		r, root := longThread(t, teams.MembershipStandard)
		always := 1 << 30
		countReads(r, hide(&always, "replies", "message"))
		r.Tenant.SetFault(onPosts(loseFirst))
		r.Reply(portaltest.AliceMXID, root, "once")
		r.Quiet()
		require.Equal(t, 1, inTeams(r, "once"))
		require.Equal(t, 1, r.Counts.Get(portal.MetricDoubt, "found"))
	})
	t.Run("the export does not have it", func(t *testing.T) {
		r, root := longThread(t, teams.MembershipStandard)
		always := 1 << 30
		countReads(r, hide(&always, "replies", "message"))
		r.Tenant.SetFault(onPosts(refuseFirst))
		r.Reply(portaltest.AliceMXID, root, "once")
		r.Quiet()
		require.Equal(t, 1, inTeams(r, "once"))
		require.Equal(t, 1, r.Counts.Get(portal.MetricDoubt, "absent"))
	})
	t.Run("its root is there", func(t *testing.T) {
		r, root := longThread(t, teams.MembershipShared)
		some := 6
		c := countReads(r, hide(&some, "replies"))
		r.Tenant.SetFault(onPosts(loseFirst))
		r.Reply(portaltest.AliceMXID, root, "once")
		r.Quiet()
		require.Equal(t, 1, inTeams(r, "once"))
		require.Equal(t, 1, r.Counts.Get(portal.MetricDoubt, "found"))
		require.Positive(t, r.Counts.Get(portal.MetricDoubt, "unknown"))
		require.Positive(t, c.of("message"))
		require.Zero(t, c.of("list"), "nothing is read that is not needed")
	})
	t.Run("the channel lists it", func(t *testing.T) {
		r, root := longThread(t, teams.MembershipShared)
		always := 1 << 30
		countReads(r, hide(&always, "replies", "message"))
		r.Tenant.SetFault(onPosts(loseFirst))
		r.Reply(portaltest.AliceMXID, root, "once")
		r.Quiet()
		require.Equal(t, 1, inTeams(r, "once"))
		require.Equal(t, 1, r.Counts.Get(portal.MetricDoubt, "found"))
	})
	t.Run("the channel lists its root only", func(t *testing.T) {
		r, root := longThread(t, teams.MembershipShared)
		some := 9
		countReads(r, hide(&some, "replies", "message"))
		r.Tenant.SetFault(onPosts(refuseFirst))
		r.Reply(portaltest.AliceMXID, root, "once")
		r.Quiet()
		require.Equal(t, 1, inTeams(r, "once"))
		require.Equal(t, 1, r.Counts.Get(portal.MetricDoubt, "absent"))
		require.Positive(t, r.Counts.Get(portal.MetricDoubt, "unknown"), "as long as the thread can't be read")
	})
	for _, membership := range []string{teams.MembershipStandard, teams.MembershipShared} {
		t.Run("it is gone: "+membership, func(t *testing.T) {
			r, root := longThread(t, membership)
			r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "other")
			countReads(r, func(op string, n int) error {
				if op == "replies" && n == 1 {
					for _, m := range r.Tenant.Messages(portaltest.Channel)[:61] {
						r.Tenant.Remove(portaltest.Channel, m.ID)
					}
				}
				if op == "replies" {
					return portaltest.ErrNotFound
				}
				return nil
			})
			r.Tenant.SetFault(onPosts(refuseFirst))
			r.Reply(portaltest.AliceMXID, root, "once")
			r.Quiet()
			require.Equal(t, 1, inTeams(r, "once"))
			require.Equal(t, 1, r.Counts.Get(portal.MetricDoubt, "absent"))
		})
	}
}

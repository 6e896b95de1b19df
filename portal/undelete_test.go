package portal_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// TestUndeleteWhereClocksDiffer: somebody deletes their message in Matrix, and no
// notification tells of the deletion. What a list said before comes late: the message
// stays deleted. Somebody takes the deletion back in Teams: the message returns. By
// how much Teams' clock differs does not matter, nor that what is read from Teams is
// old for a while, or can't be read, or that the bridge is restarted meanwhile.
//
// Proves M4 and T4.
func TestUndeleteWhereClocksDiffer(t *testing.T) {
	for _, skew := range []time.Duration{-4 * time.Minute, 0, 4 * time.Minute} {
		for _, who := range []id.UserID{portaltest.AliceMXID, portaltest.BobMXID} {
			for _, dies := range []bool{false, true} {
				begin := func(t *testing.T) (r *portaltest.Rig, e id.EventID, late teams.Message) {
					r = started(t, func(r *portaltest.Rig) { r.Tenant.SetSkew(skew) })
					r.Tenant.SetChanged(nil)
					e = r.Say(who, "regretted")
					r.Quiet()
					accept(t, r, r.Tenant.Messages(portaltest.Channel)...)
					r.Quiet()
					late = r.Tenant.Change(portaltest.Channel, stands(r).ID, portaltest.AddReaction(portaltest.Dave, "👍"))
					r.Redact(who, e)
					r.Quiet()
					require.Empty(t, r.HS.Messages(r.Room))
					return r, e, late
				}
				meanwhile := func(r *portaltest.Rig) {
					failsToRead(r)
					time.Sleep(100 * time.Millisecond)
					if dies {
						r.Restart()
						r.Tenant.SetChanged(nil)
					}
					r.Tenant.SetRead(nil)
				}
				t.Run(fmt.Sprint("late ", skew, who.Localpart(), dies), func(t *testing.T) {
					r, e, late := begin(t)
					r.Tenant.SetStale(200 * time.Millisecond)
					accept(t, r, late)
					r.Quiet()
					meanwhile(r)
					r.Eventually(func() bool {
						row, err := r.Bridge.DB.Message.GetPartByMXID(context.Background(), e)
						return err == nil && row != nil && row.Metadata.(*portal.MessageMetadata).DeletedIn != 0
					})
					accept(t, r, late)
					r.Quiet()
					require.Empty(t, r.HS.Messages(r.Room))
				})
				t.Run(fmt.Sprint("back ", skew, who.Localpart(), dies), func(t *testing.T) {
					r, _, _ := begin(t)
					back := r.Tenant.Change(portaltest.Channel, stands(r).ID, portaltest.SetUndeleted("wanted again"))
					accept(t, r, back)
					r.Quiet()
					meanwhile(r)
					r.Eventually(func() bool { return len(r.HS.Messages(r.Room)) == 1 })
					r.Quiet()
					require.Contains(t, r.Texts()[0], "wanted again")
				})
			}
		}
	}
}

package portal_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
)

// TestPartOfAnEditInDoubt: an edit makes a message so long that it takes another
// post. The answer to that is cut, and somebody edits the post in Teams before the
// bridge can look for it, also where the bridge dies in between. It is there once,
// and is no message from Teams.
//
// Proves M4.
func TestPartOfAnEditInDoubt(t *testing.T) {
	var long strings.Builder
	for n := range 4000 {
		fmt.Fprintf(&long, "word%d ", n)
	}
	for _, by := range []id.UserID{portaltest.AliceMXID, portaltest.BobMXID} {
		for _, dies := range []bool{false, true} {
			t.Run(fmt.Sprint(by.Localpart(), dies), func(t *testing.T) {
				r := started(t)
				e := r.Say(by, "short")
				r.Quiet()
				r.Tenant.SetChanged(nil)
				var lost atomic.Bool
				r.Tenant.SetReads(func(portaltest.Read) error {
					if lost.Load() {
						return portaltest.ErrUnavailable
					}
					return nil
				})
				r.Tenant.SetWrites(func(w portaltest.Write) (f portaltest.Fault) {
					if w.Op == "post" && lost.CompareAndSwap(false, true) {
						f.Lose = portaltest.ErrAmbiguous
					}
					return f
				})
				edit := r.Edit(by, e, long.String())
				r.Eventually(func() bool { return r.Counts.Get(portal.MetricDoubt, "unknown") > 0 })
				if dies {
					r.Restart()
					r.Tenant.SetChanged(nil)
				}
				posts := r.Tenant.Messages(portaltest.Channel)
				require.Len(t, posts, 2)
				require.Contains(t, posts[1].Body, "word3900 ")
				r.Tenant.Change(portaltest.Channel, posts[1].ID, portaltest.SetText(strings.Replace(posts[1].Body, "word3900 ", "another ", 1)))
				accept(t, r, r.Tenant.Messages(portaltest.Channel)...)
				r.Eventually(func() bool { return r.Counts.Get(portal.MetricIngestRetry, "in doubt") > 0 || r.Ingest.Busy() == 0 })
				r.Tenant.SetReads(nil)
				r.Quiet()
				accept(t, r, r.Tenant.Messages(portaltest.Channel)...)
				r.Quiet()
				require.Len(t, liveTexts(r), 2)
				require.Len(t, shownTexts(r), 1)
				require.Equal(t, 1, r.Counts.Get(portal.MetricDoubt, "changed"))
				require.Equal(t, event.MessageStatusSuccess, lastStatus(r, edit))
			})
		}
	}
}

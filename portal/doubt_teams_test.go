package portal_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// lateReader does not list what was posted until it was asked some times, as
// Graph's eventual consistency may have it.
type lateReader struct {
	teams.Reader
	hides atomic.Int32
}

func (r *lateReader) List(ctx context.Context, ch teams.ChannelRef, link string) (teams.Page, error) {
	page, err := r.Reader.List(ctx, ch, link)
	if r.hides.Add(-1) >= 0 {
		page.Messages = nil
	}
	return page, err
}

// A post whose answer was lost, which no notification tells of and which is
// listed only a while later, is not sent again.
//
// Proves M4.
func TestDoubtOutlastsALateListing(t *testing.T) {
	late := &lateReader{}
	late.hides.Store(4)
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) {
			late.Reader, out.Reader, out.DoubtWindow = out.Reader, late, 20*time.Second
		}
	})
	r.Tenant.SetChanged(nil)
	r.Tenant.SetFault(onPosts(func(int) portaltest.Fault { return portaltest.Fault{Lose: portaltest.ErrAmbiguous} }))
	r.Say(portaltest.AliceMXID, "once")
	r.Quiet()
	require.Equal(t, []string{"once"}, r.TeamsTexts())
	require.Negative(t, late.hides.Load(), "it was looked for until it was there")
	require.Equal(t, 1, r.Counts.Get(portal.MetricDoubt, "found"))
}

// A bridge that is restarted again and again comes to the end of a doubt all the
// same: it counts from when the doubt began, in whichever process.
func TestDoubtOutlastsRestarts(t *testing.T) {
	const window = 2 * time.Second
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) { out.DoubtWindow = window }
	})
	r.Tenant.SetChanged(nil)
	r.Tenant.SetFault(onPosts(refuseFirst))
	r.Say(portaltest.AliceMXID, "once")
	r.Eventually(func() bool {
		parts, err := r.DB.Sent.InDoubt(t.Context(), "")
		return err == nil && len(parts) == 1 && !parts[0].DoubtAt.IsZero()
	})
	// None of these processes lives as long as the window.
	for began := time.Now(); len(r.TeamsTexts()) == 0 && time.Since(began) < 10*window; {
		r.Restart()
	}
	require.Equal(t, []string{"once"}, r.TeamsTexts())
	r.Quiet()
	require.Equal(t, []string{"once"}, r.TeamsTexts())
}

// What Teams does not seem to have is posted again by the same account, also by
// another process, though another account could by now: should the first post come
// yet, both are known to be the same.
func TestPostedAgainByTheSameAccount(t *testing.T) {
	for _, restart := range []bool{false, true} {
		r := started(t)
		r.People.SignIn(portaltest.Alice, false)
		block := make(chan struct{})
		var tried atomic.Int32
		r.Tenant.SetFault(func(op, account string) portaltest.Fault {
			if op != "post" {
				return portaltest.Fault{}
			}
			switch tried.Add(1) {
			case 1:
				r.People.SignIn(portaltest.Alice, true)
				return portaltest.Fault{Refuse: portaltest.ErrAmbiguous}
			case 2:
				if restart {
					defer close(block)
					return portaltest.Fault{Refuse: portaltest.ErrUnavailable}
				}
			}
			return portaltest.Fault{}
		})
		r.Say(portaltest.AliceMXID, "once")
		if restart {
			<-block
			r.Restart()
		}
		r.Quiet()
		require.Len(t, r.TeamsTexts(), 1)
		require.Equal(t, portaltest.Relay, r.Tenant.Messages(portaltest.Channel)[0].From.ID)
	}
}

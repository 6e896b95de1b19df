package portal_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// reads counts the tenant's reads by kind and lets some of them fail.
type reads struct {
	mu   sync.Mutex
	n    map[string]int
	fail func(op string, n int) error
}

func countReads(r *portaltest.Rig, fail func(op string, n int) error) *reads {
	c := &reads{n: map[string]int{}, fail: fail}
	r.Tenant.SetRead(func(op string) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.n[op]++
		if c.fail != nil {
			return c.fail(op, c.n[op])
		}
		return nil
	})
	return c
}

func (c *reads) of(op string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[op]
}

func (c *reads) setFail(fail func(op string, n int) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = fail
}

// longThread makes a thread that has more pages than are read back at first,
// in a channel of a kind, and cuts the notifications off.
func longThread(t *testing.T, membership string, tune ...func(r *portaltest.Rig)) (r *portaltest.Rig, root id.EventID) {
	t.Helper()
	r = started(t, append(tune, func(r *portaltest.Rig) {
		before := r.Tune
		r.Tune = func(in *portal.IngestOptions, out *portal.SenderOptions) {
			out.DoubtSkew = 500 * time.Millisecond
			if before != nil {
				before(in, out)
			}
		}
	})...)
	require.NoError(t, r.DB.Conversations.Upsert(context.Background(), database.Conversation{
		Portal: r.Portal(), Kind: database.ConversationChannel, TeamID: portaltest.Channel.TeamID, ChannelID: portaltest.Channel.ChannelID,
		Membership: membership, State: database.ConversationMirrored,
	}))
	post := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "root")
	r.Quiet()
	r.Tenant.SetChanged(nil)
	for i := range 60 {
		r.Tenant.Post(portaltest.Channel, post.ID, portaltest.Dave, fmt.Sprint("reply ", i))
	}
	r.Tenant.SetPageSize(2)
	return r, r.HS.Messages(r.Room)[0].ID
}

func loseFirst(n int) portaltest.Fault {
	if n == 1 {
		return portaltest.Fault{Lose: portaltest.ErrAmbiguous}
	}
	return portaltest.Fault{}
}

func refuseFirst(n int) portaltest.Fault {
	if n == 1 {
		return portaltest.Fault{Refuse: portaltest.ErrAmbiguous}
	}
	return portaltest.Fault{}
}

// inTeams returns how often Teams shows a text.
func inTeams(r *portaltest.Rig, text string) int {
	n := 0
	for _, have := range r.TeamsTexts() {
		if strings.Contains(have, text) {
			n++
		}
	}
	return n
}

// Proves M4.
func TestInDoubtInALongThread(t *testing.T) {
	refused := func(err error) func(op string, n int) error {
		return func(op string, _ int) error {
			if op == "export" {
				return err
			}
			return nil
		}
	}
	t.Run("the export has it", func(t *testing.T) {
		r, root := longThread(t, teams.MembershipStandard)
		c := countReads(r, nil)
		r.Tenant.SetFault(onPosts(loseFirst))
		e := r.Reply(portaltest.AliceMXID, root, "once")
		r.Quiet()
		require.Equal(t, 1, inTeams(r, "once"))
		require.Equal(t, 1, r.Counts.Get(portal.MetricDoubt, "found"))
		require.Equal(t, event.MessageStatusSuccess, lastStatus(r, e))
		require.Positive(t, c.of("export"))
		require.LessOrEqual(t, c.of("replies"), 3*10, "the thread is not read to its end")
	})
	t.Run("the export does not have it: sent again", func(t *testing.T) {
		r, root := longThread(t, teams.MembershipPrivate)
		c := countReads(r, nil)
		r.Tenant.SetFault(onPosts(refuseFirst))
		r.Reply(portaltest.AliceMXID, root, "once")
		r.Quiet()
		require.Equal(t, 1, inTeams(r, "once"))
		require.Equal(t, 1, r.Counts.Get(portal.MetricDoubt, "absent"))
		require.Positive(t, c.of("export"))
	})
	for _, err := range []error{portaltest.ErrPermission, portaltest.ErrBadRequest, portaltest.ErrNotFound, &teams.Error{Kind: teams.KindPrecondition}} {
		t.Run("the export is refused: "+teams.KindOf(err).String(), func(t *testing.T) {
			r, root := longThread(t, teams.MembershipStandard)
			c := countReads(r, refused(err))
			r.Tenant.SetFault(onPosts(loseFirst))
			r.Reply(portaltest.AliceMXID, root, "once")
			r.Quiet()
			require.Equal(t, 1, inTeams(r, "once"))
			require.Equal(t, 1, r.Counts.Get(portal.MetricDoubt, "found"))
			require.Equal(t, 1, c.of("export"))
		})
	}
	t.Run("the export is refused and the thread does not have it: sent again", func(t *testing.T) {
		r, root := longThread(t, teams.MembershipStandard)
		countReads(r, refused(portaltest.ErrPermission))
		r.Tenant.SetFault(onPosts(refuseFirst))
		r.Reply(portaltest.AliceMXID, root, "once")
		r.Quiet()
		require.Equal(t, 1, inTeams(r, "once"))
		require.Equal(t, 1, r.Counts.Get(portal.MetricDoubt, "absent"))
	})
	for _, membership := range []string{teams.MembershipShared, ""} {
		t.Run("the export may leave the channel out: "+membership, func(t *testing.T) {
			r, root := longThread(t, membership)
			c := countReads(r, nil)
			r.Tenant.SetFault(onPosts(loseFirst))
			r.Reply(portaltest.AliceMXID, root, "once")
			r.Quiet()
			require.Equal(t, 1, inTeams(r, "once"))
			require.Equal(t, 1, r.Counts.Get(portal.MetricDoubt, "found"))
			require.Zero(t, c.of("export"))
		})
	}
	t.Run("the export fails: waits", func(t *testing.T) {
		r, root := longThread(t, teams.MembershipStandard)
		c := countReads(r, refused(portaltest.ErrUnavailable))
		r.Tenant.SetFault(onPosts(loseFirst))
		r.Reply(portaltest.AliceMXID, root, "once")
		r.Eventually(func() bool { return r.Counts.Get(portal.MetricDoubt, "unknown") > 1 })
		require.Equal(t, 1, inTeams(r, "once"))
		c.setFail(nil)
		r.Quiet()
		require.Equal(t, 1, inTeams(r, "once"))
		require.Equal(t, 1, r.Counts.Get(portal.MetricDoubt, "found"))
	})
	for _, at := range []int{2, 7} {
		t.Run(fmt.Sprint("the place in the thread is lost on page ", at), func(t *testing.T) {
			r, root := longThread(t, teams.MembershipShared, func(r *portaltest.Rig) {
				r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) { out.DoubtWindow = time.Nanosecond }
			})
			countReads(r, func(op string, n int) error {
				if op == "replies" && n == at {
					return portaltest.ErrNotFound
				}
				return nil
			})
			r.Tenant.SetFault(onPosts(loseFirst))
			r.Reply(portaltest.AliceMXID, root, "once")
			r.Quiet()
			require.Equal(t, 1, inTeams(r, "once"))
			require.Equal(t, 1, r.Counts.Get(portal.MetricDoubt, "unknown"))
			require.Equal(t, 1, r.Counts.Get(portal.MetricDoubt, "found"))
		})
	}
}

// Proves M4.
func TestInDoubtBehindManyPosts(t *testing.T) {
	for name, refuse := range map[string]bool{"with the export": false, "without": true} {
		t.Run(name, func(t *testing.T) {
			r, _ := longThread(t, teams.MembershipStandard)
			countReads(r, func(op string, _ int) error {
				if refuse && op == "export" {
					return portaltest.ErrPermission
				}
				return nil
			})
			var once sync.Once
			r.Tenant.SetFault(onPosts(func(n int) portaltest.Fault {
				if n > 1 {
					return portaltest.Fault{}
				}
				hold := make(chan struct{})
				once.Do(func() {
					go func() {
						defer close(hold)
						r.Eventually(func() bool { return inTeams(r, "once") == 1 })
						for i := range 60 {
							r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, fmt.Sprint("other ", i))
						}
					}()
				})
				return portaltest.Fault{Hold: hold, Lose: portaltest.ErrAmbiguous}
			}))
			r.Say(portaltest.AliceMXID, "once")
			r.Quiet()
			require.Equal(t, 1, inTeams(r, "once"))
			require.Equal(t, 1, r.Counts.Get(portal.MetricDoubt, "found"))
		})
	}
}

// A look at a long list takes longer than the window. What shows behind its
// back meanwhile is there all the same.
//
// Proves M4.
func TestInDoubtAndShownDuringTheLook(t *testing.T) {
	var ahead atomic.Int64
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) {
			out.DoubtWindow = time.Hour
			out.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		}
	})
	for i := range 6 {
		r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, fmt.Sprint("post ", i))
	}
	r.Quiet()
	r.Tenant.SetChanged(nil)
	r.Tenant.SetPageSize(2)
	countReads(r, func(op string, n int) error {
		if op == "list" && n == 2 { // the newest were read by then
			r.Tenant.Post(portaltest.Channel, "", portaltest.Alice, "once")
			ahead.Store(int64(2 * time.Hour))
		}
		return nil
	})
	r.Tenant.SetFault(onPosts(refuseFirst))
	r.Say(portaltest.AliceMXID, "once")
	r.Quiet()
	require.Equal(t, 1, inTeams(r, "once"))
	require.Equal(t, 1, r.Counts.Get(portal.MetricDoubt, "found"))
}

// Proves M4.
func TestEchoThatDecidesMakesTheRowDue(t *testing.T) {
	r, root := longThread(t, teams.MembershipStandard, func(r *portaltest.Rig) {
		r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) {
			out.RetryMin, out.RetryMax = time.Hour, time.Hour
		}
	})
	countReads(r, func(string, int) error { return portaltest.ErrUnavailable })
	r.Tenant.SetFault(onPosts(loseFirst))
	e := r.Reply(portaltest.AliceMXID, root, "once")
	r.Eventually(func() bool {
		row, err := r.DB.Outbox.ByEvent(context.Background(), e.String())
		require.NoError(t, err)
		return row != nil && row.Reason == "in doubt"
	})
	all := r.Tenant.Messages(portaltest.Channel)
	require.NoError(t, r.Ingest.Accept(context.Background(), "webhook", all[len(all)-1:]))
	r.Quiet()
	require.Equal(t, 1, inTeams(r, "once"))
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, e))
}

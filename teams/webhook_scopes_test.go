package teams

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Graph delivers to a slow endpoint late before it drops: what is announced
// later than Graph promises tells of that, if it is not late because of us.
func TestLateNotificationsAreDoubted(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC)
	written := func(at time.Time) []MessageRef {
		return []MessageRef{{ChannelRef: chanA, ID: fmt.Sprint(at.UnixMilli())}}
	}
	var d *WebhookDoubts
	begin := func() {
		d = NewWebhookDoubts(func() time.Time { return now })
		now = now.Add(24 * time.Hour)
	}
	begin()
	d.Announced(written(now.Add(-announceGrace)))
	require.False(t, d.State().Any(), "in time")
	d.Announced(written(now.Add(-announceGrace - time.Second)))
	require.Equal(t, []string{DoubtLate}, d.State().Reasons)
	require.Equal(t, []Scope{{}}, d.State().Scopes, "an endpoint is slow for every channel")

	begin()
	d.Announced(written(now.Add(-longestDelay - time.Second)))
	require.False(t, d.State().Any(), "that long Graph does not try")
	d.Announced([]MessageRef{{ChannelRef: chanA, ID: "no time"}})
	require.False(t, d.State().Any())

	d = NewWebhookDoubts(func() time.Time { return now })
	d.Announced(written(now.Add(-time.Hour)))
	require.False(t, d.State().Any(), "written while nobody was here to be told")

	begin()
	d.Answered(time.Millisecond, true)
	refused := now
	now = now.Add(time.Hour)
	d.Announced(written(refused.Add(-time.Second)))
	require.False(t, d.State().Any(), "what was refused comes again")
	d.Announced(written(refused.Add(time.Second)))
	require.True(t, d.State().Any())
}

// What no subscription tells of is read all the time, and nothing else.
func TestWhatIsNotSubscribedToIsRead(t *testing.T) {
	t.Parallel()
	shared := ChannelRef{TeamID: "team2", ChannelID: "19:shared@thread.tacv2"}
	for name, tc := range map[string]struct {
		missing Scope
		read    []ChannelRef
		exports int
		lists   int
	}{
		"a channel":        {Scope(chanA), []ChannelRef{chanA}, 120, 0},
		"a shared channel": {Scope(shared), []ChannelRef{shared}, 0, 120},
		"everything":       {Scope{}, []ChannelRef{chanA, chanC, shared}, 240, 120},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				doubts := NewWebhookDoubts(nil)
				b := newPollerBundle(1, func(o *PollerOptions) {
					o.Readers = []string{SourceExport, SourceList}
					o.Teams = func() []PolledTeam {
						return []PolledTeam{
							{ID: "team1", Channels: []string{chanA.ChannelID, chanB.ChannelID}},
							{ID: "team2", Channels: []string{chanC.ChannelID}, Separate: []string{shared.ChannelID}},
						}
					}
					o.Doubtful = func() []Scope { return doubts.State().Scopes }
				})
				b.run(t)
				elapse(time.Minute)
				doubts.Unsubscribed([]Scope{tc.missing})
				b.Request("doubt", tc.missing)
				elapse(time.Second)
				exports, lists := b.tenant.called(SourceExport), b.tenant.called(SourceList)
				said := map[ChannelRef]MessageRef{}
				for _, ch := range []ChannelRef{chanA, chanC, shared} {
					said[ch] = b.tenant.put(ch, "")
				}
				for range 60 {
					doubts.Unsubscribed([]Scope{tc.missing})
					elapse(time.Minute)
				}
				require.InDelta(t, exports+tc.exports, b.tenant.called(SourceExport), 3)
				require.InDelta(t, lists+tc.lists, b.tenant.called(SourceList), 3)
				for _, ch := range tc.read {
					_, ok := b.sink.has(said[ch])
					require.True(t, ok, ch.String())
				}
				elapse(time.Hour)
				require.False(t, doubts.State().Any())
				exports, lists = b.tenant.called(SourceExport), b.tenant.called(SourceList)
				elapse(time.Hour)
				require.Equal(t, exports, b.tenant.called(SourceExport), "the doubt is over")
				require.Equal(t, lists, b.tenant.called(SourceList))
			})
		})
	}
}

// Which messages are subscribed to goes by the subscriptions to messages alone,
// each for its own channel, and by whether they still hold.
func TestSubscribedMessages(t *testing.T) {
	t.Parallel()
	forbidden, away := &Error{Kind: KindPermission, Status: 403, Message: "Missing role"}, &Error{Kind: KindUnavailable}
	check := func(name string, wanted []WantedSubscription, f func(t *testing.T, b *subscriptionBundle)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, newSubscriptionBundle(wanted...)) })
		})
	}
	channels := []WantedSubscription{ChannelMessages(chanA, true), ChannelMessages(chanC, true), TeamMembers("team1")}
	check("members", channels, func(t *testing.T, b *subscriptionBundle) {
		b.graph.setFail("create /teams/team1/members", forbidden)
		require.True(t, b.Subscribed(chanA).IsZero())
		start(t, b.Run)
		elapse(time.Hour)
		require.False(t, b.Healthy())
		require.Empty(t, b.Unsubscribed())
		require.Equal(t, time.Now().Add(-time.Hour), b.Subscribed(chanA))
		require.True(t, b.Subscribed(chanB).IsZero(), "nobody wants it")
	})
	for name, err := range map[string]error{"refused": forbidden, "unavailable": away} {
		check(name, channels, func(t *testing.T, b *subscriptionBundle) {
			b.graph.setFail("create "+channels[0].Resource, err)
			start(t, b.Run)
			synctest.Wait()
			require.Empty(t, b.Unsubscribed(), "a round may still make it")
			elapse(unsubscribedGrace + time.Second)
			require.Equal(t, []Scope{Scope(chanA)}, b.Unsubscribed())
			require.True(t, b.Subscribed(chanA).IsZero())
			require.False(t, b.Subscribed(chanC).IsZero())
			b.graph.setFail("create "+channels[0].Resource, nil)
			elapse(subscriptionLastRetry)
			synctest.Wait()
			require.Empty(t, b.Unsubscribed())
			require.False(t, b.Subscribed(chanA).IsZero())
		})
	}
	check("tenant", []WantedSubscription{TenantMessages(true), ChannelMessages(chanC, true)}, func(t *testing.T, b *subscriptionBundle) {
		b.graph.setFail("create /teams/getAllMessages", forbidden)
		start(t, b.Run)
		elapse(2 * unsubscribedGrace)
		require.Equal(t, []Scope{{}}, b.Unsubscribed())
		require.True(t, b.Subscribed(chanA).IsZero())
		require.False(t, b.Subscribed(chanC).IsZero(), "it has its own")
	})
	check("ran out", channels[:1], func(t *testing.T, b *subscriptionBundle) {
		start(t, b.Run)
		elapse(time.Hour)
		b.graph.setFail("list", away)
		elapse(maxSubscriptionLife - 2*time.Hour)
		require.Empty(t, b.Unsubscribed())
		require.Equal(t, SubscriptionActive, b.State()[0].Status)
		elapse(2 * time.Hour)
		require.Equal(t, []Scope{Scope(chanA)}, b.Unsubscribed())
		require.True(t, b.Subscribed(chanA).IsZero())
		require.NotEqual(t, SubscriptionActive, b.State()[0].Status)
		require.False(t, b.Healthy())
	})
	check("removed while Graph does not answer", channels[:1], func(t *testing.T, b *subscriptionBundle) {
		start(t, b.Run)
		elapse(time.Hour)
		b.graph.setFail("list", away)
		require.NoError(t, b.HandleLifecycle(t.Context(), LifecycleEvent{Type: "subscriptionRemoved", SubscriptionID: b.State()[0].ID}))
		elapse(2 * unsubscribedGrace)
		require.Equal(t, []Scope{Scope(chanA)}, b.Unsubscribed())
	})
	check("never listed", channels, func(t *testing.T, b *subscriptionBundle) {
		b.graph.setFail("list", forbidden)
		require.Empty(t, b.Unsubscribed())
		start(t, b.Run)
		elapse(2 * unsubscribedGrace)
		require.Equal(t, []Scope{{}}, b.Unsubscribed(), "nobody knows what there is")
	})
	check("made anew", channels[:1], func(t *testing.T, b *subscriptionBundle) {
		require.NoError(t, b.Reconcile(context.Background()))
		elapse(time.Hour)
		b.graph.drop(b.State()[0].ID)
		require.NoError(t, b.Reconcile(context.Background()))
		require.Equal(t, time.Now(), b.Subscribed(chanA))
	})
}

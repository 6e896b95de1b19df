package teams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	chanA = ChannelRef{TeamID: "team1", ChannelID: "19:a@thread.tacv2"}
	chanB = ChannelRef{TeamID: "team1", ChannelID: "19:b@thread.tacv2"}
	chanC = ChannelRef{TeamID: "team2", ChannelID: "19:c@thread.tacv2"}
)

func testTeams() []PolledTeam {
	return []PolledTeam{
		{ID: "team1", Channels: []string{chanA.ChannelID, chanB.ChannelID}},
		{ID: "team2", Channels: []string{chanC.ChannelID}},
	}
}

// pollerBundle is a poller that can be restarted.
type pollerBundle struct {
	tenant   *fakeTenant
	sink     *memSink
	cursors  *memCursors
	counters *memCounters
	opts     PollerOptions
	*Poller
	stop func()
}

func newPollerBundle(seed uint64, change func(*PollerOptions)) *pollerBundle {
	b := &pollerBundle{tenant: newFakeTenant(seed), sink: newMemSink(), cursors: newMemCursors(), counters: newMemCounters()}
	b.opts = PollerOptions{
		Source: b.tenant, Sink: b.sink, Cursors: b.cursors, Changes: b.sink, Counters: b.counters,
		Teams: testTeams,
	}
	if change != nil {
		change(&b.opts)
	}
	return b
}

// run starts the poller, anew if it ran before.
func (b *pollerBundle) run(t *testing.T) {
	t.Helper()
	if b.stop != nil {
		b.stop()
	}
	p, err := NewPoller(b.opts)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	b.Poller = p
	b.stop = func() {
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
		b.stop = nil
	}
	t.Cleanup(func() {
		if b.stop != nil {
			b.stop()
		}
	})
	synctest.Wait()
}

// same checks that the sink has the newest state of everything.
func (b *pollerBundle) same(t *testing.T) {
	t.Helper()
	for _, want := range b.tenant.all() {
		got, ok := b.sink.has(want.Ref())
		require.True(t, ok, "missing %v", want.Ref())
		require.Equal(t, want, got)
	}
	require.Equal(t, len(b.tenant.all()), b.sink.count())
}

func TestReplyToAnOldPostIsFound(t *testing.T) {
	t.Parallel()
	for _, name := range []string{SourceExport, SourceDelta, SourceList} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newPollerBundle(1, func(o *PollerOptions) { o.Readers, o.Continuous = []string{name}, true })
				b.opts.Start = func(Scope) time.Time { return time.Now().Add(-time.Hour) }
				b.run(t)
				old := b.tenant.put(chanA, "")
				elapse(20 * 24 * time.Hour)
				for range 100 {
					b.tenant.put(chanA, "")
				}
				elapse(time.Hour)
				b.tenant.put(chanA, old.ID)
				b.tenant.change(old, "edited", false)
				elapse(2 * time.Minute)
				synctest.Wait()
				b.same(t)
			})
		})
	}
}

func TestListStopsBelowTheWatermark(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newPollerBundle(1, func(o *PollerOptions) { o.Readers = []string{SourceList} })
		for range 1000 {
			b.tenant.put(chanA, "")
		}
		elapse(40 * 24 * time.Hour)
		b.run(t)
		before := b.tenant.called(SourceList)
		b.tenant.put(chanA, "")
		require.NoError(t, b.CatchUp(t.Context(), []Scope{Scope(chanA)}, "test"))
		require.Equal(t, 1, b.sink.count(), "what is older than the start is not wanted")
		require.LessOrEqual(t, b.tenant.called(SourceList)-before, 2)
	})
}

func TestWatermarkNeedsTheSink(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newPollerBundle(1, nil)
		b.run(t)
		scope := Scope{TeamID: "team1"}
		first := b.cursors.get(scope)
		require.False(t, first.Watermark.IsZero(), "the beginning is written down")
		for range 30 {
			b.tenant.put(chanA, "")
		}
		// The first pages are taken, the last is not.
		b.sink.setRefuse(func([]Message) error {
			if b.sink.accepts > 1 {
				return errors.New("no")
			}
			return nil
		})
		b.Request("test")
		elapse(time.Hour)
		synctest.Wait()
		require.Equal(t, first, b.cursors.get(scope))
		require.Greater(t, b.Lag(), 50*time.Minute)
		require.NotEmpty(t, b.Status().LastError)
		b.run(t) // a restart in the middle
		b.sink.setRefuse(nil)
		elapse(pollerLastRetry)
		synctest.Wait()
		b.same(t)
		last := b.cursors.get(scope)
		require.True(t, last.Watermark.After(first.Watermark))
		require.Zero(t, b.Lag())
	})
}

func TestQuietTenantWritesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newPollerBundle(1, func(o *PollerOptions) { o.Continuous = true })
		b.run(t)
		elapse(5 * time.Minute)
		synctest.Wait()
		saves := b.cursors.saves
		elapse(10 * time.Hour)
		synctest.Wait()
		require.Equal(t, saves, b.cursors.saves)
	})
}

func TestReadersFallBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newPollerBundle(1, nil)
		b.tenant.setFail("export team1", &Error{Op: "GET export", Kind: KindPermission, Status: 403})
		b.tenant.setFail("delta "+chanB.ChannelID, &Error{Op: "GET delta", Kind: KindBadRequest, Status: 400})
		b.run(t)
		require.Equal(t, map[string]int{SourceExport: 1, SourceDelta: 1, SourceList: 1}, b.Status().Scopes)
		for _, ch := range []ChannelRef{chanA, chanB, chanC} {
			b.tenant.put(ch, "")
		}
		require.NoError(t, b.CatchUp(t.Context(), nil, "test"))
		b.same(t)
		refusals := b.Refusals()
		require.Len(t, refusals, 2)
		require.Equal(t, Scope(chanB), refusals[0].Scope)
		require.Equal(t, SourceDelta, refusals[0].Reader)
		require.Equal(t, KindPermission, refusals[1].Kind)
		require.Contains(t, refusals[1].Reason, "403")

		// Remembered for a day, and tried again then.
		exports := b.tenant.called(SourceExport)
		elapse(12 * time.Hour)
		require.NoError(t, b.CatchUp(t.Context(), []Scope{{TeamID: "team1"}}, "test"))
		require.Equal(t, exports, b.tenant.called(SourceExport))
		b.tenant.setFail("export team1", nil)
		elapse(13 * time.Hour)
		synctest.Wait()
		require.Equal(t, 2, b.Status().Scopes[SourceExport])
		b.tenant.put(chanB, "")
		require.NoError(t, b.CatchUp(t.Context(), nil, "test"))
		b.same(t)
	})
}

func TestRefusedTeamDoesNotLoseARequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newPollerBundle(1, nil)
		b.run(t)
		elapse(time.Hour)
		b.tenant.put(chanA, "")
		b.tenant.setFail("export team1", &Error{Kind: KindPrecondition})
		require.NoError(t, b.CatchUp(t.Context(), []Scope{Scope(chanA)}, "gap"))
		b.same(t)
	})
}

func TestUnreadableChannel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newPollerBundle(1, nil)
		for _, op := range []string{"export team1", "delta " + chanA.ChannelID, "list " + chanA.ChannelID} {
			b.tenant.setFail(op, &Error{Op: "GET", Kind: KindNotFound})
		}
		b.tenant.put(chanB, "")
		b.opts.Start = func(Scope) time.Time { return time.Now().Add(-time.Hour) }
		b.run(t)
		err := b.CatchUp(t.Context(), nil, "test")
		require.ErrorIs(t, err, ErrUnreadable)
		require.ErrorContains(t, err, chanA.ChannelID)
		require.NoError(t, b.CatchUp(t.Context(), []Scope{{TeamID: "team2"}}, "test"))
		b.same(t) // the others are not held up
		require.Positive(t, b.sink.hinted("team1 team"))
		require.Positive(t, b.sink.hinted("team1 channel"))
		require.Equal(t, 1, b.Status().Unreadable)

		// A consent that is given later is noticed soon.
		for _, op := range []string{"export team1", "delta " + chanA.ChannelID, "list " + chanA.ChannelID} {
			b.tenant.setFail(op, nil)
		}
		b.tenant.put(chanA, "")
		elapse(pollerUnreadableRetry + time.Minute)
		synctest.Wait()
		require.Zero(t, b.Status().Unreadable)
		b.same(t)
	})
}

func TestOutageIsNoRefusal(t *testing.T) {
	t.Parallel()
	for _, kind := range []Kind{KindUnavailable, KindThrottled, KindSignInExpired} {
		synctest.Test(t, func(t *testing.T) {
			b := newPollerBundle(1, func(o *PollerOptions) { o.Continuous = true })
			b.run(t)
			for _, op := range []string{SourceExport, SourceDelta, SourceList} {
				b.tenant.setFail(op, &Error{Kind: kind})
			}
			before := b.tenant.called(SourceExport)
			b.tenant.put(chanA, "")
			elapse(12 * time.Hour)
			synctest.Wait()
			require.Empty(t, b.Refusals())
			require.Zero(t, b.tenant.called(SourceDelta))
			require.Less(t, b.tenant.called(SourceExport)-before, 4000)
			require.Greater(t, b.Lag(), 11*time.Hour)
			for _, op := range []string{SourceExport, SourceDelta, SourceList} {
				b.tenant.setFail(op, nil)
			}
			b.Resume()
			require.NoError(t, b.CatchUp(t.Context(), nil, "outage over"))
			b.same(t)
			require.Empty(t, b.Status().LastError)
		})
	}
}

// TestOneFailureOfMany: Graph was away for a moment in which many scopes were
// being read. That is one failure, and the pause after it a short one.
func TestOneFailureOfMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newPollerBundle(40, func(o *PollerOptions) { o.Readers = []string{SourceDelta} })
		b.run(t)
		b.tenant.setFail(SourceDelta, &Error{Kind: KindUnavailable})
		b.tenant.put(chanA, "")
		b.Request("test", Scope{})
		synctest.Wait()
		b.tenant.setFail(SourceDelta, nil)
		before := time.Now()
		require.NoError(t, b.CatchUp(t.Context(), []Scope{{}}, "test"))
		b.same(t)
		require.Less(t, time.Since(before), 2*pollerFirstRetry)
	})
}

func TestOddFailureFallsBackInTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newPollerBundle(1, nil)
		b.tenant.setFail("export", errors.New("page that can't be decoded"))
		b.run(t)
		elapse(10 * time.Minute)
		b.tenant.put(chanA, "")
		require.NoError(t, b.CatchUp(t.Context(), nil, "test"))
		b.same(t)
		require.Equal(t, 3, b.Status().Scopes[SourceDelta])
	})
}

func TestGraphDownAtStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newPollerBundle(1, nil)
		b.tenant.setFail(SourceExport, &Error{Kind: KindUnavailable})
		b.run(t)
		b.tenant.put(chanA, "")
		elapse(time.Hour)
		b.tenant.setFail(SourceExport, nil)
		elapse(2 * pollerPauseMax)
		synctest.Wait()
		b.same(t)
	})
}

func TestDailyReconcile(t *testing.T) {
	t.Parallel()
	for _, name := range []string{SourceExport, SourceDelta, SourceList} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newPollerBundle(1, func(o *PollerOptions) { o.Readers, o.Continuous = []string{name}, true })
				b.run(t)
				elapse(time.Hour)
				// Lost on the way, though the watermark has passed it.
				lost := b.tenant.put(chanA, "")
				elapse(time.Hour)
				for i := range 10 {
					b.tenant.change(b.tenant.put(chanA, ""), fmt.Sprint(i), false)
					elapse(time.Minute)
				}
				b.sink.drop(lost)
				elapse(20 * time.Hour)
				synctest.Wait()
				_, ok := b.sink.has(lost)
				require.False(t, ok)
				// Restarts don't bring the reconciliation forward.
				full := b.cursors.get(b.Scopes()[0].Scope).FullAt
				b.run(t)
				require.Equal(t, full, b.cursors.get(b.Scopes()[0].Scope).FullAt)
				elapse(4 * time.Hour)
				synctest.Wait()
				b.same(t)
				require.True(t, b.cursors.get(b.Scopes()[0].Scope).FullAt.After(full))
			})
		})
	}
}

func TestChangeDuringALongRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newPollerBundle(1, func(o *PollerOptions) { o.Continuous = true })
		b.opts.Start = func(Scope) time.Time { return time.Now().Add(-time.Hour) }
		first := b.tenant.put(chanA, "")
		b.opts.Source = &livePages{fakeTenant: b.tenant, changed: first}
		b.run(t)
		elapse(2 * time.Hour)
		synctest.Wait()
		b.same(t)
	})
}

// livePages answers the first export in two pages with a long time between
// them. Meanwhile what was on the first page changes, and later something new
// is said, which the second page has.
type livePages struct {
	*fakeTenant
	changed MessageRef
	asked   atomic.Bool
}

func (l *livePages) ExportTeam(ctx context.Context, teamID string, since time.Time, link string) (Page, error) {
	const second = "https://graph.example/second"
	if teamID != l.changed.TeamID {
		return Page{}, nil
	}
	if link == second {
		elapse(5 * time.Minute)
		l.change(l.changed, "changed behind our back", false)
		elapse(5 * time.Minute)
		l.put(l.changed.ChannelRef, "")
		all := l.all()
		return Page{Messages: all[len(all)-1:]}, nil
	}
	page, err := l.fakeTenant.ExportTeam(ctx, teamID, since, link)
	if !l.asked.Swap(true) {
		page.NextLink = second
	}
	return page, err
}

func TestBudgetIsShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var wanted []PolledTeam
		for i := range 50 {
			wanted = append(wanted, PolledTeam{ID: fmt.Sprint("t", i), Channels: []string{"c"}})
		}
		b := newPollerBundle(1, func(o *PollerOptions) {
			o.Teams = func() []PolledTeam { return wanted }
			o.Continuous, o.Interval, o.RequestsPerSecond = true, 10*time.Second, 1
		})
		b.run(t)
		elapse(time.Minute)
		b.tenant.mu.Lock()
		b.tenant.times = nil
		b.tenant.mu.Unlock()
		// One scope has a great deal to say.
		busy := ChannelRef{TeamID: "t0", ChannelID: "c"}
		for range 2000 {
			b.tenant.put(busy, "")
		}
		elapse(1000 * time.Second)
		synctest.Wait()
		require.InDelta(t, 1000, len(b.tenant.times), 20, "the budget is used and not exceeded")
		for _, s := range b.Scopes() {
			if s.Scope.TeamID != "t0" {
				require.Less(t, time.Since(s.LastRead), 200*time.Second, "nobody starves: %v", s.Scope)
			}
		}
	})
}

func TestCatchUpOfManyTeams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var wanted []PolledTeam
		for i := range 1000 {
			wanted = append(wanted, PolledTeam{ID: fmt.Sprint("t", i), Channels: []string{"a", "b"}})
		}
		b := newPollerBundle(1, func(o *PollerOptions) { o.Teams = func() []PolledTeam { return wanted } })
		b.run(t)
		require.NoError(t, b.CatchUp(t.Context(), nil, "start"))
		require.LessOrEqual(t, b.tenant.called(SourceExport), 2000)
		before := b.tenant.called(SourceExport)
		require.NoError(t, b.CatchUp(t.Context(), nil, "gap"))
		require.Equal(t, 1000, b.tenant.called(SourceExport)-before, "one request per team")
	})
}

func TestTeamsComeAndGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newPollerBundle(1, nil)
		wanted := testTeams()[:1]
		b.opts.Teams = func() []PolledTeam { return wanted }
		b.run(t)
		require.Equal(t, map[string]int{SourceExport: 1}, b.Status().Scopes)
		wanted = testTeams()
		b.Wake()
		synctest.Wait()
		require.Equal(t, map[string]int{SourceExport: 2}, b.Status().Scopes)
		wanted = testTeams()[1:]
		b.Wake()
		synctest.Wait()
		require.Equal(t, []Scope{{TeamID: "team2"}}, []Scope{b.Scopes()[0].Scope})
		require.NoError(t, b.CatchUp(t.Context(), []Scope{{TeamID: "unknown"}}, "test"))
	})
}

func TestSystemMessagesAreHints(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newPollerBundle(1, func(o *PollerOptions) { o.Continuous = true })
		b.run(t)
		elapse(time.Minute)
		b.tenant.system(chanA, "membersAdded")
		b.tenant.system(chanA, "callEnded")
		elapse(10 * time.Minute)
		synctest.Wait()
		require.Equal(t, 1, b.sink.hinted("team1 membersAdded"), "once, though the overlap is read again")
		require.Zero(t, b.sink.hinted("team1 callEnded"))
	})
}

func TestHistory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newPollerBundle(1, nil)
		var refs []MessageRef
		for range 40 {
			refs = append(refs, b.tenant.put(chanA, ""))
			elapse(time.Minute)
		}
		for range 12 {
			b.tenant.put(chanA, refs[35].ID)
		}
		b.tenant.put(chanA, refs[3].ID)
		b.tenant.system(chanA, "membersAdded")
		b.tenant.emptyFirst = true
		p, err := NewPoller(b.opts)
		require.NoError(t, err)
		n, err := p.History(t.Context(), chanA, 10)
		require.NoError(t, err)
		require.Equal(t, 10+12+1, n)
		require.Equal(t, n, b.sink.count())
		_, ok := b.sink.has(refs[30])
		require.True(t, ok)
		_, ok = b.sink.has(refs[29])
		require.False(t, ok)
		require.Equal(t, n, b.sink.from(SourceHistory))
		n, err = p.History(t.Context(), chanA, 1000)
		require.NoError(t, err)
		require.Equal(t, 40+12+1+1, n)
		n, err = p.History(t.Context(), chanA, 0)
		require.NoError(t, err)
		require.Zero(t, n)
		b.tenant.setFail(SourceList, &Error{Kind: KindPermission})
		_, err = p.History(t.Context(), chanA, 1)
		require.Equal(t, KindPermission, KindOf(err))
	})
}

func TestPollerOptions(t *testing.T) {
	t.Parallel()
	_, err := NewPoller(PollerOptions{Readers: []string{"telepathy"}})
	require.ErrorContains(t, err, "telepathy")
}

func TestPageLoopIsNotFollowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newPollerBundle(1, nil)
		b.opts.Source = loopingSource{b.tenant}
		b.run(t)
		elapse(10 * time.Minute)
		synctest.Wait()
		require.NotEmpty(t, b.Refusals())
		b.tenant.put(chanA, "")
		require.NoError(t, b.CatchUp(t.Context(), nil, "test"))
		b.same(t)
	})
}

type loopingSource struct{ *fakeTenant }

func (loopingSource) ExportTeam(context.Context, string, time.Time, string) (Page, error) {
	return Page{NextLink: "https://graph.example/again"}, nil
}

func TestSharedChannelsAreReadSeparately(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newPollerBundle(1, func(o *PollerOptions) {
			o.Teams = func() []PolledTeam {
				return []PolledTeam{{ID: "team1", Channels: []string{chanA.ChannelID}, Separate: []string{chanB.ChannelID}}}
			}
		})
		b.opts.Source = exportWithout{b.tenant, chanB}
		b.run(t)
		for range 3 {
			elapse(time.Hour)
			b.tenant.put(chanA, "")
			b.tenant.put(chanB, "")
			b.tenant.put(chanA, "")
			require.NoError(t, b.CatchUp(t.Context(), nil, "test"))
			b.same(t)
		}
		require.Equal(t, map[string]int{SourceExport: 1, SourceDelta: 1}, b.Status().Scopes)
	})
}

type exportWithout struct {
	*fakeTenant
	ch ChannelRef
}

func (e exportWithout) ExportTeam(ctx context.Context, teamID string, since time.Time, link string) (Page, error) {
	p, err := e.fakeTenant.ExportTeam(ctx, teamID, since, link)
	p.Messages = slices.DeleteFunc(p.Messages, func(m Message) bool { return m.Channel == e.ch })
	return p, err
}

func TestFallingBackKeepsTheWatermark(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newPollerBundle(1, nil)
		// What the bridge answers for a channel of which it knows nothing better.
		b.opts.Start = func(Scope) time.Time { return time.Now().Add(-time.Hour) }
		b.run(t)
		b.tenant.put(chanA, "")
		require.NoError(t, b.CatchUp(t.Context(), nil, "test"))
		b.stop()
		b.tenant.put(chanA, "")
		elapse(10 * time.Hour)
		b.tenant.setFail(SourceExport, &Error{Kind: KindPermission})
		b.run(t)
		elapse(time.Minute)
		b.same(t)
		// And once more with a cursor of its own.
		b.stop()
		b.tenant.put(chanA, "")
		elapse(10 * time.Hour)
		b.run(t)
		elapse(time.Minute)
		b.same(t)
	})
}

package teams

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWebhookDoubts(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC)
	ref := func(id string) MessageRef { return MessageRef{ChannelRef: chanA, ID: id} }
	var d *WebhookDoubts
	begin := func() { d = NewWebhookDoubts(func() time.Time { return now }) }

	begin()
	require.False(t, d.State().Any())
	for range 100 {
		d.Answered(time.Millisecond, false)
	}
	for range 5 {
		d.Answered(lateAnswer, false)
	}
	require.False(t, d.State().Any(), "5 of 105 are no reason yet")
	d.Answered(lateAnswer, false)
	require.Equal(t, []string{DoubtSlow}, d.State().Reasons)
	require.Equal(t, now, d.State().Since)
	now = now.Add(endpointWindow + endpointState)
	require.True(t, d.State().Any(), "what the last late answer caused may last until now")
	now = now.Add(2*announceGrace + time.Second)
	require.False(t, d.State().Any())
	d.Answered(time.Millisecond, false)
	require.False(t, d.State().Any(), "ten minutes later late answers don't count")

	begin()
	d.Answered(time.Millisecond, true)
	require.Equal(t, []string{DoubtRefused}, d.State().Reasons)

	begin()
	d.Announced([]MessageRef{ref("before")})
	d.Expect(ref("before"))
	d.Expect(ref("behind"))
	d.Announced([]MessageRef{{ChannelRef: chanA, RootID: "root", ID: "behind"}})
	now = now.Add(announceGrace + time.Second)
	require.False(t, d.State().Any(), "a reply has two names")
	d.Expect(ref("never"))
	now = now.Add(announceGrace + time.Second)
	require.Equal(t, []string{DoubtUnannounced}, d.State().Reasons)

	begin()
	d.Expect(ref("late"))
	now = now.Add(announceGrace + time.Second)
	d.Announced([]MessageRef{ref("late")})
	require.True(t, d.State().Any(), "late is how a slow endpoint is told")

	begin()
	for i := range 10 * rememberAnnounced {
		d.Announced([]MessageRef{ref(fmt.Sprint(i))})
		d.Expect(ref(fmt.Sprint("x", i)))
	}
	require.LessOrEqual(t, len(d.announced)+len(d.before), rememberAnnounced)
	require.LessOrEqual(t, len(d.expected), rememberExpected)
	for _, reason := range DoubtReasons() {
		begin()
		d.Note(reason)
		require.Equal(t, []string{reason}, d.State().Reasons)
		require.Equal(t, now.Add(doubtLife(reason)), d.State().Until)
	}
}

// endpointGraph delivers to a receiver, and judges it as Microsoft documents.
type endpointGraph struct {
	h http.Handler

	mu                 sync.Mutex
	answers            []time.Duration
	at                 []time.Time
	dropUntil          time.Time
	delivered, dropped int
}

func (g *endpointGraph) announce(ref MessageRef) {
	g.mu.Lock()
	if time.Now().Before(g.dropUntil) {
		g.dropped++
		g.mu.Unlock()
		return
	}
	g.mu.Unlock()
	began := time.Now()
	w := deliver(g.h, `{"value":[`+basicItem(testState, fmt.Sprintf("teams('%s')/channels('%s')/messages('%s')", ref.TeamID, ref.ChannelID, ref.ID))+`]}`)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answers, g.at = append(g.answers, time.Since(began)), append(g.at, time.Now())
	late, all := 0, 0
	for i, took := range g.answers {
		if time.Since(g.at[i]) <= endpointWindow {
			all++
			if took > 10*time.Second {
				late++
			}
		}
	}
	if late*100 > 15*all {
		g.dropUntil = time.Now().Add(endpointState)
	}
	if w.Code == http.StatusAccepted {
		g.delivered++
	}
}

// While Graph drops notifications, because answers were late, messages come all
// the same, and soon.
func TestDroppedNotificationsAreReadAround(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		doubts := NewWebhookDoubts(nil)
		b := newPollerBundle(1, func(o *PollerOptions) { o.Doubtful = func() []Scope { return doubts.State().Scopes } })
		log := newMemLog()
		block := make(chan struct{})
		close(block)
		log.block = block
		graph := &endpointGraph{h: testReceiver(log, newMemCounters(), func(o *ReceiverOptions) { o.Doubts, o.AnswerTimeout = doubts, time.Minute })}
		process := NewProcessor(ProcessorOptions{Log: log, Sink: b.sink, Messages: b.tenant, TenantID: testTenant})
		start(t, process.Run)
		b.run(t)
		started := false
		look := func() {
			if doubts.State().Any() && !started {
				started = true
				b.Request("doubt")
			}
		}
		say := func() MessageRef {
			ref := b.tenant.put(chanA, "")
			go graph.announce(ref)
			process.Wake()
			return ref
		}
		elapse(time.Minute)
		for range 20 {
			say()
			elapse(time.Second)
			process.Wake()
		}
		elapse(time.Minute)
		look()
		require.False(t, started)
		b.same(t)
		quiet := b.tenant.called(SourceExport)
		elapse(time.Hour)
		require.Equal(t, quiet, b.tenant.called(SourceExport), "nothing is read without a doubt")

		// The disk hangs for a while.
		stuck := make(chan struct{})
		log.block = stuck
		for range 20 {
			say()
		}
		elapse(12 * time.Second)
		close(stuck)
		synctest.Wait()
		look()
		require.True(t, started)
		for range 90 {
			ref := say()
			elapse(2 * time.Second)
			look()
			process.Wake()
			elapse(DefaultPollInterval + 5*time.Second)
			_, ok := b.sink.has(ref)
			require.True(t, ok, "within the interval, dropped or not")
		}
		require.NotZero(t, graph.dropped)
		b.same(t)
		elapse(time.Hour)
		require.False(t, doubts.State().Any())
		quiet = b.tenant.called(SourceExport)
		elapse(time.Hour)
		require.Equal(t, quiet, b.tenant.called(SourceExport), "the doubt is over")
	})
}

func (f *fakeTenant) Message(_ context.Context, ref MessageRef) (Message, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.channels[ref.ChannelRef] {
		if m.ID == ref.ID {
			return m.Message, nil
		}
	}
	return Message{}, &Error{Kind: KindNotFound}
}

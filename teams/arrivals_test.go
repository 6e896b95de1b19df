package teams

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// memArrivals remembers what is on its way.
type memArrivals struct {
	mu     sync.Mutex
	coming map[MessageRef]bool
	said   map[MessageRef]int
}

func newMemArrivals() *memArrivals {
	return &memArrivals{coming: map[MessageRef]bool{}, said: map[MessageRef]int{}}
}

func (a *memArrivals) Announced(refs []MessageRef) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, ref := range refs {
		a.coming[ref] = true
		a.said[ref]++
	}
}

func (a *memArrivals) GivenUp(refs []MessageRef) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, ref := range refs {
		delete(a.coming, ref)
	}
}

func (a *memArrivals) list() (ids []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for ref := range a.coming {
		ids = append(ids, ref.ID)
	}
	slices.Sort(ids)
	return ids
}

// Proves T5.
func TestReceiverAnnouncesBeforeItStores(t *testing.T) {
	t.Parallel()
	log, arrivals := newMemLog(), newMemArrivals()
	log.block = make(chan struct{})
	var left []string
	h := testReceiver(log, newMemCounters(), func(o *ReceiverOptions) {
		o.Arrivals, o.AnswerTimeout = arrivals, time.Minute
		o.LeaveToPoller = func(ref MessageRef, _ string) { left = append(left, ref.String()+"/"+ref.ID) }
	})
	items := basicItem(testState, "teams('t')/channels('c')/messages('1000')") + "," +
		basicItem(testState, "teams('t')/channels('c')/messages('1000')/replies('1001')") + "," +
		basicItem(testState, "teams('t')/channels('d')/messages('1002')") + "," +
		basicItem(testState, "teams('t')/members") + "," + basicItem("wrong", "teams('t')/channels('c')/messages('1003')")
	done := make(chan int)
	go func() { done <- deliver(h, `{"value":[`+items+`]}`).Code }()
	eventually(t, "announced", func() bool { return len(arrivals.list()) == 3 })
	require.Zero(t, log.pending())
	require.Equal(t, []string{"1000", "1001", "1002"}, arrivals.list())
	log.setFail(errors.New("disk full"))
	close(log.block)
	require.Equal(t, http.StatusServiceUnavailable, <-done)
	require.Equal(t, []string{"t/c/1000", "t/d/1002"}, left, "read instead, each channel once")
	require.Len(t, arrivals.list(), 3, "still waited for")
}

// A busy channel's messages are fetched one a second: each is handed over as
// soon as it is there, and the others stay announced. Proves T5.
func TestProcessorHandsOverWhatIsThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newProcessorBundle(nil)
		arrivals := newMemArrivals()
		b.opts.Arrivals = arrivals
		b.opts.Messages = aSecondEach{b.messages}
		start(t, b.Run)
		var body notificationBody
		for i := range 5 {
			id := strconv.Itoa(1000 + i)
			body.Value = append(body.Value, testItem("created", id))
			if i != 3 {
				b.messages.set(Message{Channel: testChannel, ID: id, ETag: 1})
			} else {
				b.messages.setErr(root(id), &Error{Kind: KindPermission})
			}
		}
		body.Value = append(body.Value, testItem("updated", "900"))
		b.append(t, body)
		for i := range 5 {
			time.Sleep(time.Second)
			synctest.Wait()
			if i < 3 {
				require.Equal(t, i+1, b.sink.count())
			}
		}
		require.Equal(t, []string{"1003 permission missing"}, b.leftToPoller())
		require.NotContains(t, arrivals.list(), "1003", "the poller's now")
		require.NotContains(t, arrivals.list(), "900", "a change is no arrival")
		require.Greater(t, arrivals.said[root("1004")], 3, "announced again while it takes long")
	})
}

// aSecondEach answers after a second.
type aSecondEach struct{ *fakeMessages }

func (s aSecondEach) Message(ctx context.Context, ref MessageRef) (Message, error) {
	time.Sleep(time.Second)
	return s.fakeMessages.Message(ctx, ref)
}

func TestPollerSaysWhatIsBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var read []Scope
		b := newPollerBundle(1, func(o *PollerOptions) {
			o.Readers = []string{SourceDelta}
			o.Read = func(s Scope) {
				mu.Lock()
				defer mu.Unlock()
				read = append(read, s)
			}
		})
		p, err := NewPoller(b.opts)
		require.NoError(t, err)
		behind, failing := p.Behind(chanA)
		require.True(t, behind, "it has not begun")
		require.False(t, failing)
		b.run(t)
		require.Len(t, read, 3)
		behind, _ = b.Behind(chanA)
		require.False(t, behind)
		b.tenant.setFail("delta", &Error{Kind: KindUnavailable})
		b.Request("test", Scope(chanA))
		synctest.Wait()
		behind, failing = b.Behind(chanA)
		require.True(t, behind)
		require.True(t, failing)
		behind, _ = b.Behind(chanB)
		require.False(t, behind, "only what was asked for")
		b.tenant.setFail("delta", nil)
		elapse(2 * time.Minute)
		synctest.Wait()
		behind, _ = b.Behind(chanA)
		require.False(t, behind)
		require.Equal(t, Scope(chanA), read[len(read)-1])
	})
}

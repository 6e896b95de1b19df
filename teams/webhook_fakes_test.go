package teams

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// memLog is a NotificationLog in memory.
type memLog struct {
	mu         sync.Mutex
	seq        int64
	rows       []RawNotification
	quarantine map[int64]string
	fail       error
	block      chan struct{} // appends wait for it
}

func newMemLog() *memLog { return &memLog{quarantine: map[int64]string{}} }

func (l *memLog) AppendNotification(_ context.Context, body []byte, at time.Time) error {
	if l.block != nil {
		<-l.block
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return l.fail
	}
	l.seq++
	l.rows = append(l.rows, RawNotification{Seq: l.seq, Body: slices.Clone(body), ReceivedAt: at})
	return nil
}

func (l *memLog) PendingNotifications(_ context.Context, limit int) ([]RawNotification, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []RawNotification
	for _, r := range l.rows {
		if _, bad := l.quarantine[r.Seq]; !bad && len(out) < limit {
			out = append(out, r)
		}
	}
	return out, l.fail
}

func (l *memLog) DeleteNotification(_ context.Context, seq int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rows = slices.DeleteFunc(l.rows, func(r RawNotification) bool { return r.Seq == seq })
	return nil
}

func (l *memLog) QuarantineNotification(_ context.Context, seq int64, reason string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.quarantine[seq] = reason
	return nil
}

func (l *memLog) setFail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = err
}

func (l *memLog) bodies() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, r := range l.rows {
		out = append(out, string(r.Body))
	}
	return out
}

func (l *memLog) pending() int {
	rows, _ := l.PendingNotifications(context.Background(), 1000)
	return len(rows)
}

func (l *memLog) reasons() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, r := range l.quarantine {
		out = append(out, r)
	}
	slices.Sort(out)
	return out
}

// memSink is a Sink and ChangeSink in memory. Like the ledger it keeps the
// highest version of each message.
type memSink struct {
	mu      sync.Mutex
	got     map[MessageRef]Message
	accepts int
	sources map[string]int
	hints   map[string]int
	refuse  func(msgs []Message) error
}

func newMemSink() *memSink {
	return &memSink{got: map[MessageRef]Message{}, sources: map[string]int{}, hints: map[string]int{}}
}

func (s *memSink) Accept(_ context.Context, source string, msgs []Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		if err := s.refuse(msgs); err != nil {
			return err
		}
	}
	s.accepts++
	s.sources[source] += len(msgs)
	for _, m := range msgs {
		if old, ok := s.got[m.Ref()]; !ok || m.ETag >= old.ETag {
			s.got[m.Ref()] = m
		}
	}
	return nil
}

func (s *memSink) DirectoryChanged(teamID, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hints[teamID+" "+what]++
}

func (s *memSink) setRefuse(f func([]Message) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = f
}

func (s *memSink) drop(ref MessageRef) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.got, ref)
}

func (s *memSink) has(ref MessageRef) (Message, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.got[ref]
	return m, ok
}

func (s *memSink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got)
}

func (s *memSink) from(source string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sources[source]
}

func (s *memSink) hinted(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hints[what]
}

// memCursors is a CursorStore in memory.
type memCursors struct {
	mu    sync.Mutex
	rows  map[string]Cursor
	saves int
}

func newMemCursors() *memCursors { return &memCursors{rows: map[string]Cursor{}} }

func (c *memCursors) LoadCursor(_ context.Context, scope string) (Cursor, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rows[scope], nil
}

func (c *memCursors) SaveCursor(_ context.Context, scope string, cur Cursor) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.saves++
	c.rows[scope] = cur
	return nil
}

func (c *memCursors) get(scope Scope) Cursor {
	cur, _ := c.LoadCursor(context.Background(), scope.String())
	return cur
}

// memCounters counts.
type memCounters struct {
	mu sync.Mutex
	n  map[string]int
}

func newMemCounters() *memCounters { return &memCounters{n: map[string]int{}} }

func (c *memCounters) Count(event, reason string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[event+" "+reason] += n
}

func (c *memCounters) get(event, reason string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[event+" "+reason]
}

// start runs f until the test ends, and fails it if f doesn't stop then.
func start(t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("stopped with %v", err)
		}
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 10*time.Second, 2*time.Millisecond, what)
}

// elapse lets virtual time pass, inside a synctest bubble.
func elapse(d time.Duration) { <-time.After(d) }

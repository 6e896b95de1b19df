package portaltest

import (
	"time"

	"teamsbridge/teams"
)

// Write is a write that somebody wants to make.
type Write struct {
	// Op is post, edit, delete, undelete, react, unreact, folder, session or chunk.
	Op, Account string
	Channel     teams.ChannelRef
	// Target is the message that is changed, or the root that is replied to.
	Target string
	HTML   string
}

// Fault is what happens to a write.
type Fault struct {
	// Refuse is answered without the write being made, Lose after it was made.
	Refuse, Lose error
	// Late makes the write all the same, so long after Refuse was answered.
	Late time.Duration
	// Delay is how long the answer takes.
	Delay time.Duration
	// Hold delays the answer, after the write was made, until it is closed.
	Hold chan struct{}
}

// Read is a read that somebody wants to make; Op is message, list, replies,
// export, image, folder, stat or file.
type Read struct {
	Op      string
	Channel teams.ChannelRef
	Target  string
}

// SetFault sets what happens to writes; nil means that all goes well.
func (t *Tenant) SetFault(f func(op, account string) Fault) {
	if f == nil {
		t.SetWrites(nil)
		return
	}
	t.SetWrites(func(w Write) Fault { return f(w.Op, w.Account) })
}

// SetWrites is SetFault for whoever wants to know which write it is.
func (t *Tenant) SetWrites(f func(w Write) Fault) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fault = f
}

// SetRead sets what happens to reads; nil means that all goes well.
func (t *Tenant) SetRead(f func(op string) error) {
	if f == nil {
		t.SetReads(nil)
		return
	}
	t.SetReads(func(r Read) error { return f(r.Op) })
}

// SetReads is SetRead for whoever wants to know which read it is.
func (t *Tenant) SetReads(f func(r Read) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.read = f
}

// SetRefuseText makes posts that say something be refused for good.
func (t *Tenant) SetRefuseText(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refused = text
}

// SetPageSize sets how many messages a page of a list has; 0 means all.
func (t *Tenant) SetPageSize(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pageSize = n
}

// SetLag sets how long after it was written a message is not seen by readers,
// as with any service that is consistent eventually; nil means at once.
func (t *Tenant) SetLag(f func(m teams.Message) time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lag = f
}

// SetStale sets how long after a change a message that is asked for is what it was
// before.
func (t *Tenant) SetStale(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stale = d
}

// seen reports whether readers see a message.
func (t *Tenant) seen(m *teams.Message) bool {
	return t.lag == nil || !time.Now().Add(t.skew).Before(m.Created.Add(t.lag(*m)))
}

// SetWriteLag sets how long after it was written a message answers 404 to replies,
// changes and reads that name it, while lists have it; nil means never. Graph does
// not say whether it does that: this is the harder choice.
func (t *Tenant) SetWriteLag(f func(m teams.Message) time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.writeLag = f
}

// known finds a message that somebody names; t is locked.
func (t *Tenant) known(ch teams.ChannelRef, messageID string) *teams.Message {
	m := t.find(ch, messageID)
	if m == nil || t.writeLag != nil && time.Now().Add(t.skew).Before(m.Created.Add(t.writeLag(*m))) {
		return nil
	}
	return m
}

// limits are the limits of writing.
type limits struct {
	channel, account time.Duration
	next             map[string]time.Time
	early            int
}

// SetLimits lets a channel and an account take one write in so much time each;
// what comes too early is throttled and told when it may come again.
func (t *Tenant) SetLimits(channel, account time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.limits = &limits{channel: channel, account: account, next: map[string]time.Time{}}
}

// Early returns how many writes came before their time.
func (t *Tenant) Early() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.limits == nil {
		return 0
	}
	return t.limits.early
}

// throttle returns the answer to a write that comes too early.
func (l *limits) throttle(w Write) error {
	if l == nil {
		return nil
	}
	now := time.Now()
	keys := map[string]time.Duration{"c" + w.Channel.String(): l.channel, "a" + w.Account: l.account}
	var wait time.Duration
	for key := range keys {
		wait = max(wait, l.next[key].Sub(now))
	}
	if wait > 0 {
		l.early++
		return Throttled(wait)
	}
	for key, every := range keys {
		l.next[key] = now.Add(every)
	}
	return nil
}

// Throttled is an error as of Graph that says when to come again.
func Throttled(after time.Duration) error {
	return &teams.Error{Op: "test", Kind: teams.KindThrottled, Status: 429, RetryAfter: after}
}

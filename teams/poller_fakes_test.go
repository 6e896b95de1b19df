package teams

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"
)

// fakeTenant is what Graph shows of channels: a MessageSource with Graph's bad
// manners, on the test's clock.
type fakeTenant struct {
	mu       sync.Mutex
	rng      *rand.Rand
	channels map[ChannelRef][]*fakeMessage
	seq      int
	tokens   map[string]fakeToken
	calls    map[string]int // by operation
	times    []time.Time
	fail     map[string]error // by operation, or operation and scope

	pageSize    int
	expandLimit int
	emptyFirst  bool // a first page with nothing but a link
	shuffled    bool
	skew        time.Duration // Graph's clock against ours
	hidden      time.Duration // a change is listed only so much later
}

type fakeMessage struct {
	Message
	seq     int
	changed time.Time
}

type fakeToken struct {
	page   []Message
	more   []MoreReplies
	rest   []Message
	deltaN int
	delta  bool // of a delta round
	end    bool // the delta link of one that is over
}

func newFakeTenant(seed uint64) *fakeTenant {
	return &fakeTenant{
		rng: rand.New(rand.NewPCG(seed, 0)), channels: map[ChannelRef][]*fakeMessage{}, tokens: map[string]fakeToken{},
		calls: map[string]int{}, fail: map[string]error{}, pageSize: 7, expandLimit: 5,
	}
}

func (f *fakeTenant) now() time.Time { return time.Now().Add(f.skew).UTC() }

// put posts, or replies where root is set, and returns the new message's ref.
func (f *fakeTenant) put(ch ChannelRef, rootID string) MessageRef {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	ms := now.UnixMilli()
	for _, m := range f.channels[ch] {
		if last, _ := strconv.ParseInt(m.ID, 10, 64); last >= ms {
			ms = last + 1
		}
	}
	m := &fakeMessage{Message: Message{
		Channel: ch, ID: strconv.FormatInt(ms, 10), ReplyToID: rootID, ETag: ms, Type: TypeMessage,
		Created: time.UnixMilli(ms).UTC(), Modified: time.UnixMilli(ms).UTC(), Body: "new",
	}}
	f.touch(m)
	f.channels[ch] = append(f.channels[ch], m)
	return m.Ref()
}

func (f *fakeTenant) touch(m *fakeMessage) {
	f.seq++
	m.seq, m.changed = f.seq, time.Now()
}

// change edits, and deletes where gone is set.
func (f *fakeTenant) change(ref MessageRef, body string, gone bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.channels[ref.ChannelRef] {
		if m.Ref() == ref {
			now := f.now()
			if !now.After(m.Modified) {
				now = m.Modified.Add(time.Millisecond)
			}
			m.Modified, m.ETag, m.Body = now, now.UnixMilli(), body
			m.Deleted = time.Time{}
			if gone {
				m.Deleted, m.Body = now, ""
			}
			f.touch(m)
		}
	}
}

func (f *fakeTenant) system(ch ChannelRef, event string) {
	ref := f.put(ch, "")
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.channels[ch] {
		if m.Ref() == ref {
			m.Type, m.Event = TypeSystem, &EventDetail{Type: event}
		}
	}
}

// all returns the tenant's messages.
func (f *fakeTenant) all() []Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []Message
	for _, msgs := range f.channels {
		for _, m := range msgs {
			out = append(out, m.Message)
		}
	}
	return out
}

func (f *fakeTenant) called(op string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[op]
}

func (f *fakeTenant) setFail(what string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		delete(f.fail, what)
	} else {
		f.fail[what] = err
	}
}

// loseTokens forgets all page and delta tokens.
func (f *fakeTenant) loseTokens() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.tokens)
}

func (f *fakeTenant) enter(op, scope string) error {
	f.mu.Lock()
	f.calls[op]++
	f.times = append(f.times, time.Now())
	if err := f.fail[op+" "+scope]; err != nil {
		return err
	}
	return f.fail[op]
}

func (f *fakeTenant) shown(ch ChannelRef) []*fakeMessage {
	var out []*fakeMessage
	for _, m := range f.channels[ch] {
		if f.hidden == 0 || time.Since(m.changed) >= f.hidden {
			out = append(out, m)
		}
	}
	return out
}

func (f *fakeTenant) ExportTeam(_ context.Context, teamID string, since time.Time, link string) (Page, error) {
	defer f.mu.Unlock()
	if err := f.enter(SourceExport, teamID); err != nil {
		return Page{}, err
	}
	if link != "" {
		return f.follow(link, KindGone)
	}
	var items []Message
	for ch := range f.channels {
		if ch.TeamID != teamID {
			continue
		}
		for _, m := range f.shown(ch) {
			if m.Modified.After(since) {
				items = append(items, m.Message)
			}
		}
	}
	slices.SortFunc(items, func(a, b Message) int { return a.Modified.Compare(b.Modified) })
	return f.pages(items, nil, 0, false), nil
}

func (f *fakeTenant) Delta(_ context.Context, ch ChannelRef, since time.Time, link string) (Page, error) {
	defer f.mu.Unlock()
	if err := f.enter(SourceDelta, ch.ChannelID); err != nil {
		return Page{}, err
	}
	after := -1
	if link != "" {
		token, ok := f.tokens[link]
		if !ok {
			kind := []Kind{KindGone, KindBadRequest, KindNotFound}[f.rng.IntN(3)]
			return Page{}, &Error{Op: "delta", Kind: kind, Code: "syncStateNotFound"}
		}
		if !token.end {
			return f.follow(link, KindGone)
		}
		after = token.deltaN
	}
	var items []Message
	var more []MoreReplies
	for _, r := range f.shown(ch) {
		if r.ReplyToID != "" {
			continue
		}
		thread, m := f.thread(ch, r.Message)
		touched := false
		for _, one := range f.shown(ch) {
			in := one.ID == r.ID || one.ReplyToID == r.ID
			touched = touched || in && (after >= 0 && one.seq > after || after < 0 && one.Modified.After(since))
		}
		if touched {
			items = append(items, thread...)
			more = append(more, m...)
		}
	}
	return f.pages(items, more, f.shownSeq(), true), nil
}

// shownSeq is how far what is shown reaches.
func (f *fakeTenant) shownSeq() int {
	seq := f.seq
	for ch := range f.channels {
		for _, m := range f.channels[ch] {
			if f.hidden > 0 && time.Since(m.changed) < f.hidden && m.seq-1 < seq {
				seq = m.seq - 1
			}
		}
	}
	return seq
}

// thread returns a post with the replies that fit, the newest of them.
func (f *fakeTenant) thread(ch ChannelRef, r Message) ([]Message, []MoreReplies) {
	var replies []Message
	for _, m := range f.shown(ch) {
		if m.ReplyToID == r.ID {
			replies = append(replies, m.Message)
		}
	}
	slices.SortFunc(replies, func(a, b Message) int { return b.Created.Compare(a.Created) })
	out := []Message{r}
	if len(replies) <= f.expandLimit {
		return append(out, replies...), nil
	}
	first := f.pages(replies[f.expandLimit:], nil, 0, false)
	link := f.keep(fakeToken{page: first.Messages, rest: f.tokens[first.NextLink].all()})
	return append(out, replies[:f.expandLimit]...), []MoreReplies{{Root: r.Ref(), Link: link}}
}

func (t fakeToken) all() []Message { return append(slices.Clone(t.page), t.rest...) }

func (f *fakeTenant) List(_ context.Context, ch ChannelRef, link string) (Page, error) {
	defer f.mu.Unlock()
	if err := f.enter(SourceList, ch.ChannelID); err != nil {
		return Page{}, err
	}
	if link != "" {
		return f.follow(link, KindBadRequest)
	}
	var roots []Message
	for _, m := range f.shown(ch) {
		if m.ReplyToID == "" {
			roots = append(roots, m.Message)
		}
	}
	slices.SortFunc(roots, func(a, b Message) int { return b.Created.Compare(a.Created) })
	var items []Message
	var more []MoreReplies
	for _, r := range roots {
		thread, m := f.thread(ch, r)
		items = append(items, thread...)
		more = append(more, m...)
	}
	shuffled := f.shuffled
	f.shuffled = false // a list of posts is in order, only its samples say so
	defer func() { f.shuffled = shuffled }()
	return f.pages(items, more, 0, false), nil
}

func (f *fakeTenant) Replies(_ context.Context, root MessageRef, link string) (Page, error) {
	defer f.mu.Unlock()
	if err := f.enter("replies", root.ID); err != nil {
		return Page{}, err
	}
	if link != "" {
		return f.follow(link, KindBadRequest)
	}
	var replies []Message
	for _, m := range f.shown(root.ChannelRef) {
		if m.ReplyToID == root.ID {
			replies = append(replies, m.Message)
		}
	}
	slices.SortFunc(replies, func(a, b Message) int { return b.Created.Compare(a.Created) })
	return f.pages(replies, nil, 0, false), nil
}

// pages cuts items into pages and returns the first.
func (f *fakeTenant) pages(items []Message, more []MoreReplies, deltaN int, delta bool) Page {
	if f.shuffled {
		f.rng.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
		if len(items) > 3 {
			items = append(items, items[0], items[2]) // replays
		}
	}
	first := fakeToken{rest: items, more: more, deltaN: deltaN, delta: delta}
	if f.emptyFirst && len(items) > 0 {
		return Page{NextLink: f.keep(f.cut(first))}
	}
	return f.page(f.cut(first))
}

// cut moves a page's worth from rest to page.
func (f *fakeTenant) cut(t fakeToken) fakeToken {
	n := min(f.pageSize, len(t.rest))
	t.page, t.rest = t.rest[:n], t.rest[n:]
	return t
}

func (f *fakeTenant) page(t fakeToken) Page {
	p := Page{Messages: slices.Clone(t.page), MoreReplies: t.more}
	t.more = nil
	switch {
	case len(t.rest) > 0:
		p.NextLink = f.keep(f.cut(t))
	case t.delta:
		p.DeltaLink = f.keep(fakeToken{end: true, deltaN: t.deltaN})
	}
	return p
}

func (f *fakeTenant) keep(t fakeToken) string {
	link := fmt.Sprint("https://graph.example/next?token=", len(f.tokens), "-", f.rng.Uint32())
	f.tokens[link] = t
	return link
}

func (f *fakeTenant) follow(link string, lost Kind) (Page, error) {
	t, ok := f.tokens[link]
	if !ok {
		return Page{}, &Error{Op: "page", Kind: lost}
	}
	return f.page(t), nil
}

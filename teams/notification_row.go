package teams

import (
	"context"
	"errors"
	"runtime/debug"
	"strings"
	"time"
)

// Reasons under which a body is quarantined, besides those of tokens and
// resource data.
const (
	reasonBody     = "malformed_body"
	reasonResource = "malformed_resource"
	reasonMessage  = "malformed_message"
	reasonTenant   = "foreign_tenant"
	// reasonUnexpected is resource data where none was subscribed to.
	reasonUnexpected = "unexpected_content"
	// reasonPanic is a mistake of the bridge that the body brought out.
	reasonPanic = "panic"
)

// The changes that a notification reports.
const (
	changeCreated = "created"
	changeDeleted = "deleted"
)

// rowWork is one attempt at one body.
type rowWork struct {
	raw       RawNotification
	body      notificationBody
	malformed error
	state     *rowState
	// got holds the messages of this attempt, took the items they came from,
	// which are done when the sink has them.
	got  []Message
	took []int
	err  error // transient: try again
	// away is set once Graph did not answer; the rest of the body need not ask.
	away bool
}

func (w *rowWork) messages() []Message { return w.got }

// coming returns the new messages that items from the given one on announce and
// that are not done.
func (w *rowWork) coming(from int) (refs []MessageRef) {
	for i := from; i < len(w.body.Value); i++ {
		if ref, ok := w.body.Value[i].created(); ok && !w.state.done[i] {
			refs = append(refs, ref)
		}
	}
	return refs
}

// accepted notes what the sink said of the row's messages.
func (w *rowWork) accepted(err error, n int) {
	if n == 0 {
		return
	}
	if err != nil {
		w.err = errors.Join(w.err, err)
		return
	}
	for _, i := range w.took {
		w.state.done[i] = true
	}
}

// wait notes that an item needs another attempt.
func (w *rowWork) wait(err error) {
	if w.err == nil {
		w.err = err
	}
}

// spoil notes why the body goes into quarantine once the rest of it is done.
func (w *rowWork) spoil(reason string) {
	if w.state.bad == "" {
		w.state.bad = reason
	}
}

// open checks one body and reads its messages.
func (p *Processor) open(ctx context.Context, w *rowWork, fetch *fetcher) {
	body := &w.body
	if w.malformed != nil {
		w.spoil(reasonBody)
		return
	}
	if body.hasContent() {
		err := p.verify(ctx, body.ValidationTokens, w.raw.ReceivedAt)
		var forged *TokenError
		switch {
		case errors.As(err, &forged):
			// Nothing of a body with a forged token is believed.
			w.spoil(forged.Reason)
			return
		case err != nil:
			w.wait(err)
			return
		}
	}
	for i := range body.Value {
		if w.state.done[i] {
			continue
		}
		item := &body.Value[i]
		if p.safely(w.raw.Seq, func() { p.item(ctx, w, i, item, fetch) }) {
			continue
		}
		w.spoil(reasonPanic)
		w.state.done[i] = true
		p.safely(w.raw.Seq, func() {
			if r, ok := ParseResource(item.Resource); ok && r.Kind == ResourceMessage {
				p.leave(r.Message(), reasonPanic)
			}
		})
	}
}

// safely runs f and reports whether it came to its end. A panic is the fault of
// what is being opened, and must not end the bridge, at every start anew. What
// was panicked with may quote a message and is not logged.
func (p *Processor) safely(seq int64, f func()) (ok bool) {
	defer func() {
		if v := recover(); v != nil {
			p.opts.Logger.Error().Int64("seq", seq).Type("panic", v).Bytes("stack", debug.Stack()).Msg("Opening a notification panicked")
		}
	}()
	f()
	return true
}

func (p *Processor) verify(ctx context.Context, tokens []string, at time.Time) error {
	if p.opts.Tokens == nil || p.opts.Certificates == nil {
		// Without the means to check it, nothing encrypted was asked for.
		return &TokenError{Reason: reasonUnexpected}
	}
	return p.opts.Tokens.Verify(ctx, tokens, at)
}

// lane returns the channel that Graph has to be asked about to process the
// body, or "" where all of it came along.
func (b *notificationBody) lane() string {
	for i := range b.Value {
		item := &b.Value[i]
		if item.LifecycleEvent != "" {
			return "lifecycle"
		}
		if item.Encrypted != nil {
			continue
		}
		if r, ok := ParseResource(item.Resource); ok && r.Kind == ResourceMessage {
			return r.Message().String()
		}
	}
	return ""
}

func (b *notificationBody) hasContent() bool {
	for i := range b.Value {
		if b.Value[i].Encrypted != nil {
			return true
		}
	}
	return false
}

// item reads one notification. It either marks the item done, adds a message,
// spoils the row, or makes it wait.
func (p *Processor) item(ctx context.Context, w *rowWork, i int, item *notificationItem, fetch *fetcher) {
	if item.TenantID != "" && p.opts.TenantID != "" && !strings.EqualFold(item.TenantID, p.opts.TenantID) {
		w.spoil(reasonTenant)
		w.state.done[i] = true
		return
	}
	if item.LifecycleEvent != "" {
		p.lifecycle(ctx, w, i, item)
		return
	}
	resource, ok := ParseResource(item.Resource)
	if !ok {
		w.spoil(reasonResource)
		w.state.done[i] = true
		return
	}
	if h, directory := resourceHint(resource); directory {
		p.hint([]hint{h})
		w.state.done[i] = true
		return
	}
	ref := resource.Message()
	if ref.TeamID == "" || ref.ChannelID == "" || ref.ID == "" {
		w.spoil(reasonResource)
		w.state.done[i] = true
		return
	}
	if item.Encrypted != nil && p.content(w, i, item, ref) {
		return
	}
	p.fetched(ctx, w, i, item, ref, fetch)
}

// content reads the item's resource data. It returns false where the data
// leave the state open and Graph has to be asked.
func (p *Processor) content(w *rowWork, i int, item *notificationItem, ref MessageRef) bool {
	plain, err := item.Encrypted.open(p.opts.Certificates())
	if err != nil {
		w.spoil(err.Error())
		w.state.done[i] = true
		p.leave(ref, err.Error())
		return true
	}
	m, err := DecodeMessage(plain)
	if err != nil {
		w.spoil(reasonMessage)
		w.state.done[i] = true
		p.leave(ref, reasonMessage)
		return true
	}
	if item.ChangeType == changeDeleted && m.Deleted.IsZero() {
		return false
	}
	w.take(i, ref, m)
	return true
}

// take adds a message; what it leaves out of its own place is filled in from
// the notification.
func (w *rowWork) take(i int, ref MessageRef, m Message) {
	m.FillChannel(ref.ChannelRef)
	if m.ReplyToID == "" && m.ID == ref.ID {
		m.ReplyToID = ref.RootID
	}
	w.got = append(w.got, m)
	w.took = append(w.took, i)
}

// fetched reads the message from Graph. What is announced may not be shown
// yet; after a few attempts the rest is left to the poller.
func (p *Processor) fetched(ctx context.Context, w *rowWork, i int, item *notificationItem, ref MessageRef, fetch *fetcher) {
	if w.away {
		return // w.err is set
	}
	// Said again, because a busy channel's messages come one a second.
	p.opts.Arrivals.Announced(w.coming(i))
	m, err := fetch.get(ctx, ref)
	switch KindOf(err) {
	case KindNotFound, KindGone:
		w.state.missing[i]++
		if w.state.missing[i] < processorNotFoundTries {
			w.wait(err)
			return
		}
		if item.ChangeType == changeDeleted {
			w.take(i, ref, tombstone(ref, w.raw.ReceivedAt))
			return
		}
	case KindPermission, KindPrecondition, KindBadRequest, KindForeignHost:
		// Asking again would not help.
	default:
		if err != nil {
			w.away = true
			w.wait(err)
			return
		}
		w.take(i, ref, m)
		p.handOver(ctx, w)
		return
	}
	w.state.done[i] = true
	p.leave(ref, KindOf(err).String())
	p.opts.Logger.Warn().Err(err).Stringer("channel", ref.ChannelRef).Str("message", ref.ID).
		Msg("Announced message can't be read and is left to the poller")
}

// tombstone is a message that was announced as deleted and that Graph does not
// show any more. Any later state of it is newer.
func tombstone(ref MessageRef, at time.Time) Message {
	return Message{
		Channel: ref.ChannelRef, ID: ref.ID, ReplyToID: ref.RootID, Type: TypeMessage,
		ETag: at.UnixMilli(), Created: ref.Created(), Modified: at.UTC(), Deleted: at.UTC(),
	}
}

func (p *Processor) leave(ref MessageRef, reason string) {
	p.opts.Counters.Count(CountLeftToPoller, reason, 1)
	if p.opts.LeaveToPoller != nil {
		p.opts.LeaveToPoller(ref, reason)
	}
	p.opts.Arrivals.GivenUp([]MessageRef{ref}) // the poller knows of it by now
}

// handOver gives the sink what was fetched so far: the rest of a body may take
// a second for each message.
func (p *Processor) handOver(ctx context.Context, w *rowWork) {
	p.accept(ctx, []*rowWork{w})
	w.got, w.took = nil, nil
}

func (p *Processor) lifecycle(ctx context.Context, w *rowWork, i int, item *notificationItem) {
	if p.opts.Lifecycle != nil {
		err := p.opts.Lifecycle.HandleLifecycle(ctx, LifecycleEvent{
			Type: item.LifecycleEvent, SubscriptionID: item.SubscriptionID,
			Resource: item.Resource, Expires: item.expires(),
		})
		if err != nil {
			w.wait(err)
			return
		}
	}
	w.state.done[i] = true
}

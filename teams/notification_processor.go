package teams

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Bounds of the processor's work and patience.
const (
	processorBatch    = 64
	processorWindow   = 1000
	processorFetchers = 8
	// processorSlow bounds the bodies for which Graph is being asked, in all
	// and per channel: Graph answers once a second and channel, and a busy
	// channel must not keep the others waiting.
	processorSlow        = 64
	processorSlowPerLane = 4
	processorSinkTime    = 30 * time.Second
	processorFetchTime   = 30 * time.Second
	processorFirstRetry  = 500 * time.Millisecond
	processorLastRetry   = 5 * time.Minute
	// processorNotFoundTries bounds the wait for a message that Graph has
	// announced but does not show yet: half a minute in all.
	processorNotFoundTries = 6
	// processorFailFast is after how many failures of the sink in a row the
	// rest of a batch is not tried.
	processorFailFast = 3
)

// MessageGetter reads one message; a Reader is one.
type MessageGetter interface {
	Message(ctx context.Context, ref MessageRef) (Message, error)
}

// LifecycleHandler is told of lifecycle notifications. A nil error means done.
type LifecycleHandler interface {
	HandleLifecycle(ctx context.Context, event LifecycleEvent) error
}

// LifecycleEvent is a lifecycle notification.
type LifecycleEvent struct {
	// Type is reauthorizationRequired, subscriptionRemoved or missed.
	Type           string
	SubscriptionID string
	// Resource and Expires may be missing.
	Resource string
	Expires  time.Time
}

// ProcessorOptions configures NewProcessor.
type ProcessorOptions struct {
	Log      NotificationLog
	Sink     Sink
	Messages MessageGetter
	Tokens   *TokenVerifier
	// Certificates returns the keys of now.
	Certificates func() CertSet
	// TenantID is the only tenant whose items are taken.
	TenantID string
	// Changes, Lifecycle and LeaveToPoller may be nil. LeaveToPoller is told
	// of a message that was announced and could not be read; it must not block.
	Changes       ChangeSink
	Lifecycle     LifecycleHandler
	LeaveToPoller func(ref MessageRef, reason string)
	// Arrivals may be nil.
	Arrivals Arrivals
	Counters Counters
	Logger   zerolog.Logger
	Now      func() time.Time
}

// Processor turns logged notifications into messages. A body leaves the log
// only when the sink has everything of it, or when it is quarantined under a
// named reason; a crash anywhere means that it is processed again.
type Processor struct {
	opts ProcessorOptions
	wake chan struct{}

	// slow runs what Graph has to be asked for.
	slow sync.WaitGroup

	mu sync.Mutex
	// rows is what is remembered of bodies that are not done, lanes how many
	// of them are being worked on by lane, "" being all.
	rows   map[int64]*rowState
	lanes  map[string]int
	status ProcessorStatus
}

// ProcessorStatus is a snapshot for status commands.
type ProcessorStatus struct {
	// Waiting is the number of bodies that wait for something; Oldest is when
	// the oldest of them was received.
	Waiting int
	Oldest  time.Time
	// LastError is why the last one had to wait; Last is when a body was done.
	LastError string
	Last      time.Time
}

// rowState is what is remembered of one body between two attempts.
type rowState struct {
	attempts int
	next     time.Time
	received time.Time
	done     map[int]bool
	missing  map[int]int
	bad      string
	// lane is the channel that Graph has to be asked about, if any; busy means
	// that it is being asked.
	lane string
	busy bool
}

// NewProcessor returns a processor; Run works.
func NewProcessor(opts ProcessorOptions) *Processor {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	opts.Counters = countersOr(opts.Counters)
	if opts.Arrivals == nil {
		opts.Arrivals = NoArrivals{}
	}
	return &Processor{opts: opts, wake: make(chan struct{}, 1), rows: map[int64]*rowState{}, lanes: map[string]int{}}
}

// Wake makes Run look into the log; it never blocks.
func (p *Processor) Wake() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Status returns what the processor is waiting for.
func (p *Processor) Status() ProcessorStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

// Run processes what is in the log and what comes until ctx ends.
func (p *Processor) Run(ctx context.Context) error {
	defer p.slow.Wait()
	failures := 0
	for {
		next, err := p.drain(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		wait := time.Duration(-1)
		if err != nil {
			p.opts.Logger.Error().Err(err).Msg("Notification log can't be read")
			wait = retryWait(failures, processorFirstRetry, processorLastRetry)
			failures++
		} else {
			failures = 0
			if !next.IsZero() {
				wait = max(next.Sub(p.opts.Now()), time.Millisecond)
			}
		}
		if !waitFor(ctx, wait, p.wake) {
			return ctx.Err()
		}
	}
}

// drain processes until nothing is due and returns when something will be.
func (p *Processor) drain(ctx context.Context) (next time.Time, err error) {
	for ctx.Err() == nil {
		window := min(processorBatch+p.waiting(), processorWindow)
		pending, err := p.opts.Log.PendingNotifications(ctx, window)
		if err != nil {
			return time.Time{}, err
		}
		due, next := p.due(pending)
		p.publish()
		if len(due) == 0 {
			return next, nil
		}
		p.process(ctx, due)
	}
	return time.Time{}, ctx.Err()
}

func (p *Processor) waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.rows)
}

// due returns the bodies that may be tried now, and when the first of the
// others may. Those that wait don't hold up those that came later.
func (p *Processor) due(pending []RawNotification) (due []RawNotification, next time.Time) {
	now := p.opts.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, raw := range pending {
		row := p.rows[raw.Seq]
		switch {
		case len(due) == processorBatch:
			return due, next
		case row == nil:
			due = append(due, raw)
		case row.busy || row.lane != "" && p.full(row.lane):
			// Run is woken when one of them is done.
		case row.next.After(now):
			if next.IsZero() || row.next.Before(next) {
				next = row.next
			}
		default:
			due = append(due, raw)
		}
	}
	return due, next
}

func (p *Processor) full(lane string) bool {
	return p.lanes[""] >= processorSlow || p.lanes[lane] >= processorSlowPerLane
}

// process tries a batch. What is complete is opened, handed to the sink in
// order and let go of, together; where Graph has to be asked, each body goes
// its own way.
func (p *Processor) process(ctx context.Context, batch []RawNotification) {
	var quick []*rowWork
	fetch := newFetcher(p.opts.Messages)
	for _, raw := range batch {
		w, slow := p.prepare(raw)
		switch {
		case w == nil: // its lane is full
		case !slow:
			quick = append(quick, w)
		default:
			p.slow.Go(func() {
				p.complete(ctx, []*rowWork{w}, fetch)
				p.leaveLane(w.state)
				p.Wake()
			})
		}
	}
	p.complete(ctx, quick, fetch)
}

// prepare remembers a body and takes a place in its lane if it needs one.
func (p *Processor) prepare(raw RawNotification) (w *rowWork, slow bool) {
	w = &rowWork{raw: raw}
	lane := ""
	ok := p.safely(raw.Seq, func() {
		w.body, w.malformed = decodeBody(raw.Body)
		lane = w.body.lane()
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	w.state = p.rows[raw.Seq]
	if w.state == nil {
		w.state = &rowState{received: raw.ReceivedAt, done: map[int]bool{}, missing: map[int]int{}, lane: lane}
		p.rows[raw.Seq] = w.state
	}
	if !ok {
		w.spoil(reasonPanic)
		w.body = notificationBody{}
	}
	p.opts.Arrivals.Announced(w.coming(0))
	lane = w.state.lane
	if lane == "" {
		return w, false
	}
	if p.full(lane) {
		return nil, false
	}
	w.state.busy = true
	p.lanes[lane]++
	p.lanes[""]++
	return w, true
}

func (p *Processor) leaveLane(row *rowState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	row.busy = false
	p.lanes[""]--
	if p.lanes[row.lane]--; p.lanes[row.lane] == 0 {
		delete(p.lanes, row.lane)
	}
}

// complete does all that has to be done with the bodies.
func (p *Processor) complete(ctx context.Context, work []*rowWork, fetch *fetcher) {
	sem := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for _, w := range work {
		sem <- struct{}{}
		wg.Go(func() {
			defer func() { <-sem }()
			if !p.safely(w.raw.Seq, func() { p.open(ctx, w, fetch) }) {
				w.spoil(reasonPanic)
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return
	}
	p.accept(ctx, work)
	for _, w := range work {
		if ctx.Err() != nil {
			return
		}
		p.finish(ctx, w)
	}
}

// accept hands the batch's messages to the sink: all at once, because that is
// one transaction, and one body after the other if that fails, so that a body
// the sink can't take does not hold up the rest.
func (p *Processor) accept(ctx context.Context, work []*rowWork) {
	var all []Message
	for _, w := range work {
		all = append(all, w.messages()...)
	}
	err := p.sink(ctx, all)
	failed := 0
	for _, w := range work {
		msgs := w.messages()
		rowErr := err
		if err != nil && len(msgs) > 0 && failed < processorFailFast && ctx.Err() == nil {
			if rowErr = p.sink(ctx, msgs); rowErr != nil {
				failed++
			}
		}
		w.accepted(rowErr, len(msgs))
		if rowErr == nil {
			p.hint(messageHints(msgs, time.Time{}))
		}
	}
}

func (p *Processor) sink(ctx context.Context, msgs []Message) error {
	if len(msgs) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, processorSinkTime)
	defer cancel()
	if err := p.opts.Sink.Accept(ctx, SourceWebhook, msgs); err != nil {
		return err
	}
	p.opts.Counters.Count(CountMessages, SourceWebhook, len(msgs))
	return nil
}

func (p *Processor) hint(hints []hint) {
	if p.opts.Changes == nil {
		return
	}
	for _, h := range hints {
		p.opts.Changes.DirectoryChanged(h.teamID, h.what)
	}
}

// finish lets go of a body, or remembers when to try it again.
func (p *Processor) finish(ctx context.Context, w *rowWork) {
	log := p.opts.Logger.With().Int64("seq", w.raw.Seq).Logger()
	seq := w.raw.Seq
	err := w.err
	if err == nil {
		if w.state.bad != "" {
			err = p.opts.Log.QuarantineNotification(ctx, seq, w.state.bad)
		} else {
			err = p.opts.Log.DeleteNotification(ctx, seq)
		}
	}
	if err == nil {
		if w.state.bad != "" {
			p.opts.Counters.Count(CountQuarantined, w.state.bad, 1)
			log.Warn().Str("reason", w.state.bad).Msg("Notification put into quarantine")
		} else {
			p.opts.Counters.Count(CountProcessed, "", 1)
		}
		p.opts.Arrivals.GivenUp(w.body.created()) // those that the sink does not have
		p.mu.Lock()
		delete(p.rows, seq)
		p.status.Last = p.opts.Now()
		p.mu.Unlock()
		return
	}
	p.mu.Lock()
	wait := max(retryWait(w.state.attempts, processorFirstRetry, processorLastRetry), RetryAfter(err))
	w.state.attempts++
	w.state.next = p.opts.Now().Add(wait)
	p.status.LastError = err.Error()
	p.mu.Unlock()
	p.opts.Counters.Count(CountDeferred, KindOf(err).String(), 1)
	log.Debug().Err(err).Dur("wait", wait).Msg("Notification has to wait")
}

func (p *Processor) publish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	var oldest time.Time
	for _, row := range p.rows {
		if oldest.IsZero() || row.received.Before(oldest) {
			oldest = row.received
		}
	}
	p.status.Waiting, p.status.Oldest = len(p.rows), oldest
	if len(p.rows) == 0 {
		p.status.LastError = ""
	}
}

package portal

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"teamsbridge/database"
)

// Sender brings what is in the outbox to Teams: one lane per portal, the rows
// of a portal strictly one after the other.
type Sender struct {
	o      SenderOptions
	loop   loop
	lanes  *lanes
	status statusSender
	teller *teller
	marks  *marks
	scouts *scouts
	// restored says whether the database knows less than both sides do.
	restored wasRestored

	// kicks counts how often waiting rows were made due.
	kicks atomic.Int64

	mu sync.Mutex
	// indicated is until when a portal that is behind need not be looked over.
	indicated map[string]time.Time
	// shownTo is the last row of a portal up to which all are shown as queued; it
	// only saves reading those again.
	shownTo map[string]int64
	// acking holds the rows that are being acknowledged.
	acking map[int64]struct{}
	// returning holds, by portal, parked rows that may go on.
	returning map[string][]*database.OutboxRow
	// fileless is since when a row's file can't be had or put where it belongs.
	fileless map[string]time.Time
	// copies is taken by who uploads a file.
	copies chan struct{}

	// parkedAfter is where the next look at parked rows begins; Run's.
	parkedAfter int64
	refusals    refusals
}

// NewSender makes a Sender; it sends while Run runs.
func NewSender(o SenderOptions) *Sender {
	o.setDefaults()
	s := &Sender{
		o:      o,
		loop:   loop{bridge: o.Bridge, source: o.Source, timeout: time.Minute},
		status: statusSender{&o.Common},
		acking: map[int64]struct{}{}, indicated: map[string]time.Time{}, shownTo: map[string]int64{}, returning: map[string][]*database.OutboxRow{},
		fileless: map[string]time.Time{}, copies: make(chan struct{}, copies),
	}
	s.o.Writers = patientWriters{o.Writers, s}
	s.teller = &teller{o: &s.o, loop: &s.loop, status: s.status, pending: s.keepsMore, wake: make(chan struct{}, 1), shown: map[int64]time.Time{}}
	s.marks = newMarks(&s.o)
	s.lanes = newLanes(o.Concurrency, o.Now, s.work)
	s.scouts = newScouts(o.Down, s.lanes.wake)
	return s
}

// Wake makes a portal's lane look again now.
func (s *Sender) Wake(portal string) {
	s.lanes.wake(portal)
	s.marks.ended(portal)
}

// Busy returns how many portals have rows on their way to Teams.
func (s *Sender) Busy() int { return s.lanes.busy() }

// Kick makes all waiting rows due now, for example because Teams is back.
func (s *Sender) Kick(ctx context.Context) error {
	if err := s.retryNow(ctx, ""); err != nil {
		return err
	}
	return s.WakeAll(ctx)
}

// retryNow makes the waiting rows of a portal due, or all with "". A row whose
// failure is about to be written down is one of them, see step.
func (s *Sender) retryNow(ctx context.Context, portal string) error {
	s.kicks.Add(1)
	s.o.Echo.overtaken.due(portal)
	_, err := s.o.DB.Outbox.RetryNow(ctx, portal)
	return err
}

// WakeAll makes all lanes look again now, for example because what was held may
// go on. What waits for a time goes on waiting.
func (s *Sender) WakeAll(ctx context.Context) error {
	portals, err := s.o.DB.Outbox.ActivePortals(ctx)
	for _, portal := range append(portals, s.o.Echo.overtaken.all()...) {
		s.lanes.wake(portal)
	}
	return err
}

// Run sends until ctx ends, and returns when every lane has stopped.
func (s *Sender) Run(ctx context.Context) {
	ctx = s.o.Logger.WithContext(ctx)
	if err := prepare(ctx, s.o.Bridge); err != nil {
		zerolog.Ctx(ctx).Err(err).Msg("Threads will be slow")
	}
	s.restored.load(ctx, s.o.DB, s.o.RetryMin)
	// What only waited for its turn when the process before ended is to be kept,
	// merged or put into a digest like anything that waits.
	if _, err := s.o.DB.Outbox.RequeueUnbegun(ctx); err != nil && ctx.Err() == nil {
		zerolog.Ctx(ctx).Err(err).Msg("Could not look over what the process before has left")
	}
	s.lanes.start(ctx)
	defer s.lanes.stop()
	s.marks.lanes.start(ctx)
	defer s.marks.lanes.stop()
	var telling sync.WaitGroup
	telling.Go(func() { s.teller.run(ctx) })
	telling.Go(func() { s.scouts.run(ctx, s.o.ScoutEvery) })
	defer telling.Wait()
	sweep := time.NewTicker(s.o.Sweep)
	defer sweep.Stop()
	loaded := false
	for {
		if !loaded {
			err := s.loadOvertaken(ctx)
			if loaded = err == nil; !loaded && ctx.Err() == nil {
				zerolog.Ctx(ctx).Err(err).Msg("Could not look for digests that show something older")
			}
		}
		if err := s.WakeAll(ctx); err != nil && ctx.Err() == nil {
			zerolog.Ctx(ctx).Err(err).Msg("Could not look over the outbox")
		}
		s.ackLeft(ctx)
		s.sweepDigests(ctx)
		s.sweepSignedIn(ctx)
		s.sweepRefused(ctx)
		s.marks.sweep(ctx)
		select {
		case <-sweep.C:
		case <-ctx.Done():
			return
		}
	}
}

// work deals with a portal's next row.
func (s *Sender) work(ctx context.Context, portal string) time.Time {
	if ctx.Err() != nil {
		return time.Time{}
	}
	s.takeReturning(ctx, portal)
	rewrite := s.rewriteOvertaken(ctx, portal)
	row, look, err := s.next(ctx, portal)
	if err == nil && row == nil {
		s.caughtUp(portal)
		return rewrite
	}
	kept := false
	if err == nil {
		kept, err = s.keepUnlessThere(ctx, row)
	}
	if errors.Is(err, ErrUndecided) {
		return s.indicate(ctx, portal, s.o.Now().Add(s.o.RetryMin))
	} else if err != nil {
		if ctx.Err() == nil {
			zerolog.Ctx(ctx).Err(err).Str("portal", portal).Msg("Could not read the outbox")
		}
		return s.o.Now().Add(s.o.RetryMin)
	} else if kept {
		return giveWay
	}
	next := row.NextAt
	due := !next.After(s.o.Now())
	switch {
	case s.o.Held(portal), due && !s.scouts.mayTry(row):
		next, look = s.o.Now().Add(s.o.RetryMax), time.Time{}
	case due:
		next = s.try(ctx, row)
	}
	if !next.IsZero() {
		return s.indicate(ctx, portal, sooner(sooner(next, look), rewrite))
	}
	s.indicateBehind(ctx, row)
	return giveWay
}

// step sends one row and writes down what came of it; it returns when to try
// again, or the zero time when the next row may go, and what failed.
func (s *Sender) step(ctx context.Context, row *database.OutboxRow) (time.Time, error) {
	log := zerolog.Ctx(ctx).With().Str("portal", row.Portal).Str("event_id", row.EventID).Str("kind", row.Kind).Logger()
	ctx = log.WithContext(ctx)
	kicks, down := s.kicks.Load(), s.o.Down()
	err := s.send(ctx, row)
	switch {
	case err == nil:
		return time.Time{}, nil
	case ctx.Err() != nil:
		return s.o.Now().Add(s.o.RetryMin), err
	}
	v := s.judge(row, err)
	if v.final {
		log.Warn().Err(err).Str("reason", v.reason).Msg("A Matrix event can't go to Teams")
		s.fail(ctx, row, v)
		return time.Time{}, err
	}
	isUnread := errors.Is(err, errUnread)
	wait := backoff(row.Attempts, s.o.RetryMin, s.o.RetryMax)
	if s.o.Down() {
		wait = min(wait, scoutRetry)
	}
	if v.retryAfter > wait {
		wait = v.retryAfter
	}
	if v.retryAfter > 0 {
		v.reason = database.ReasonAnnounced
	}
	next := s.o.Now().Add(wait)
	log.Info().Err(err).Str("reason", v.reason).Time("next", next).Msg("A Matrix event waits for Teams")
	if dbErr := s.o.DB.Outbox.Retry(ctx, row.ID, next, v.reason); dbErr != nil && ctx.Err() == nil {
		log.Err(dbErr).Msg("Could not write to the outbox")
	}
	if isUnread {
		next = s.waitAside(ctx, row, next)
	}
	s.o.Metrics.Count(MetricSendRetry, v.reason)
	if v.retryAfter == 0 && (s.kicks.Load() != kicks || down && !s.o.Down()) {
		// All were made due, or another one got through, while this one failed:
		// what it saw may be over.
		if _, dbErr := s.o.DB.Outbox.RetryNow(ctx, row.Portal); dbErr != nil && ctx.Err() == nil {
			log.Err(dbErr).Msg("Could not write to the outbox")
		}
		return giveWay, err
	}
	return next, err
}

func (s *Sender) send(ctx context.Context, row *database.OutboxRow) (err error) {
	defer func() {
		if v := recover(); v != nil {
			zerolog.Ctx(ctx).Error().Any("panic", v).Bytes("stack", debug.Stack()).Msg("Sending panicked")
			err = &panicError{v}
		}
	}()
	known, err := s.restoredRow(ctx, row)
	if err != nil {
		return err
	}
	if row.State == database.StateQueued {
		if known == nil {
			if err = s.plan(ctx, row); err != nil {
				return err
			}
		}
		if ok, err := s.o.DB.Outbox.MarkSending(ctx, row); err != nil || !ok {
			return err // taken back meanwhile: the lane looks again
		}
	}
	if err = s.reopen(ctx, row); err != nil {
		return err
	}
	if isDelivered(known) && row.Kind != database.KindEdit {
		return s.takeDelivered(ctx, row, known)
	}
	switch row.Kind {
	case database.KindMessage:
		if row.Digest != "" {
			return s.digest(ctx, row)
		}
		return s.message(ctx, row)
	case database.KindEdit:
		return s.edit(ctx, row)
	case database.KindDelete:
		return s.remove(ctx, row)
	case database.KindReaction:
		return s.react(ctx, row)
	case database.KindUnreact:
		return s.unreact(ctx, row)
	}
	return &failure{reason: "unknown kind", message: fmt.Sprintf("the bridge does not know what %q is", row.Kind)}
}

// fail parks a row that Teams refuses for good; its author is told.
func (s *Sender) fail(ctx context.Context, row *database.OutboxRow, v verdict) {
	if dbErr := s.o.DB.Outbox.Park(ctx, row.ID, v.reason, v.message); dbErr != nil {
		zerolog.Ctx(ctx).Err(dbErr).Msg("Could not write to the outbox")
		return
	}
	s.ended(row)
	if row.Kind == database.KindEdit {
		s.o.Echo.edited(row.TargetEventID)
	}
	s.o.Metrics.Count(MetricFailed, v.reason)
	s.teller.soon()
}

// durable returns a context for writing down what Teams did, which must not be
// lost because the bridge is stopping.
func durable(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
}

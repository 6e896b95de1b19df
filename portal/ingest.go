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
	"maunium.net/go/mautrix/bridgev2/networkid"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
	"teamsbridge/teams"
)

// batch is how many rows a lane reads at once.
const batch = 32

// forever is later than any row's time.
var forever = time.UnixMilli(1 << 52)

// Ingest brings Teams messages to Matrix. It implements teams.Sink.
type Ingest struct {
	o     IngestOptions
	loop  loop
	lanes *lanes
	// began is when this process started: rows older than that may have been
	// sent by the one before.
	began    time.Time
	doubts   *doubts
	arrivals *arrivals
	// doubled wakes the healing of duplicates.
	doubled chan struct{}
	orphans *orphans
	ghosts  *ghostLocks
	// restored says whether the database knows less than both sides do.
	restored wasRestored
	// pictures are those of reactions that were copied lately.
	pictures pictures

	mu sync.Mutex
	// refused counts how often a row was refused for a reason of its own, in
	// whatever version; a row that failed for any reason is in it.
	refused map[string]int
	// imageless is since when a row's images can't be fetched, by the same key.
	imageless map[string]time.Time
	// copied are the files that are at the homeserver, of messages that are not in
	// their room yet.
	copied map[string]map[string]msgconv.Media
	// lacking is set while messages may be in Matrix that lack something.
	lacking atomic.Bool
	// copies is taken by who copies a file.
	copies chan struct{}
}

var _ teams.Sink = (*Ingest)(nil)

// NewIngest makes an Ingest. It accepts messages at once, and delivers them
// while Run runs.
func NewIngest(o IngestOptions) *Ingest {
	o.setDefaults()
	in := &Ingest{
		o:       o,
		loop:    loop{bridge: o.Bridge, source: o.Source, timeout: o.DeliverTimeout},
		began:   o.Now(),
		refused: map[string]int{}, imageless: map[string]time.Time{},
		copied: map[string]map[string]msgconv.Media{}, copies: make(chan struct{}, copies),
		doubts:  &doubts{pending: o.DB.Inbox.Heads},
		doubled: make(chan struct{}, 1),
		ghosts:  newGhostLocks(),
	}
	in.orphans = newOrphans(in.began)
	in.lacking.Store(true) // the process before may have left some
	in.lanes = newLanes(o.Concurrency, o.Now, in.work)
	in.arrivals = newArrivals(o.Now, o.Behind, in.lanes.wake)
	return in
}

// Accept takes messages in any order and any number of times. Once it returns
// nil, those of wanted conversations are in the ledger for good.
func (in *Ingest) Accept(ctx context.Context, source string, msgs []teams.Message) error {
	rows := make([]database.InboxRow, 0, len(msgs))
	portals := make(map[string]struct{}, 1)
	now := in.o.Now()
	for _, m := range msgs {
		switch {
		case m.ID == "" || m.Channel.TeamID == "" || m.Channel.ChannelID == "":
			in.o.Metrics.Count(MetricDropped, "incomplete")
			continue
		case !in.o.Wanted(m.Channel):
			in.o.Metrics.Count(MetricDropped, "not mirrored")
			continue
		}
		if source == teams.SourceWebhook && !m.Modified.IsZero() {
			in.arrivals.delayed(now.Sub(m.Modified), in.o.SettleMax)
		}
		payload, err := teams.EncodeStored(m)
		if err != nil {
			return fmt.Errorf("encode message for the ledger: %w", err)
		}
		key := string(ChannelPortal(m.Channel).ID)
		rows = append(rows, database.InboxRow{
			Portal: key, MessageID: m.ID, RootID: m.ReplyToID, Version: versionOf(m),
			CreatedAt: m.Created, Payload: payload, ReceivedAt: now, Source: source,
		})
		portals[key] = struct{}{}
	}
	if err := in.doubts.load(ctx, in.began.Add(in.o.DoubtRest)); err != nil {
		return err
	}
	accepted, err := in.o.DB.Inbox.Accept(ctx, rows)
	if err != nil {
		return fmt.Errorf("write to the ledger: %w", err)
	}
	for range accepted {
		in.o.Metrics.Count(MetricAccepted, source)
	}
	if accepted > 0 {
		for key := range portals {
			in.lanes.wakeAfter(key, in.o.Settle)
		}
	}
	for i := range rows {
		in.arrivals.arrived(rows[i].Portal, rows[i].MessageID)
	}
	return nil
}

// versionOf returns a message's version; a message without one gets its time
// of change, because the ledger takes nothing below 1.
func versionOf(m teams.Message) int64 {
	for _, t := range []time.Time{m.Modified, m.Created} {
		if m.ETag > 0 {
			break
		} else if !t.IsZero() {
			return max(t.UnixMilli(), 1)
		}
	}
	return max(m.ETag, 1)
}

// Wake makes a conversation's lane look again now, for example because its
// room was created.
func (in *Ingest) Wake(portal string) { in.lanes.wake(portal) }

// Busy returns how many conversations have messages on their way to Matrix.
func (in *Ingest) Busy() int { return in.lanes.busy() + in.orphans.busy() }

// Run delivers until ctx ends, and returns when every lane has stopped.
func (in *Ingest) Run(ctx context.Context) {
	ctx = in.o.Logger.WithContext(ctx)
	if err := prepare(ctx, in.o.Bridge); err != nil {
		zerolog.Ctx(ctx).Err(err).Msg("Threads will be slow")
	}
	in.restored.load(ctx, in.o.DB, in.o.RetryMin)
	in.lanes.start(ctx)
	defer in.lanes.stop()
	var healing sync.WaitGroup
	healing.Go(func() { in.runHealing(ctx) })
	healing.Go(func() { in.runOrphans(ctx) })
	defer healing.Wait()
	sweep := time.NewTicker(in.o.Sweep)
	defer sweep.Stop()
	again := time.NewTicker(in.o.YoungRest)
	defer again.Stop()
	for look := true; ; {
		if look {
			in.sweep(ctx)
		}
		in.takeAgain(ctx)
		select {
		case <-sweep.C:
			look = true
		case <-again.C:
			look = false
		case <-ctx.Done():
			return
		}
	}
}

// sweep wakes the lanes of conversations with rows that are due.
func (in *Ingest) sweep(ctx context.Context) {
	portals, err := in.o.DB.Inbox.PortalsDue(ctx, in.o.Now())
	if err != nil && ctx.Err() == nil {
		zerolog.Ctx(ctx).Err(err).Msg("Could not look over the ledger")
	}
	for _, key := range portals {
		in.lanes.wake(key)
	}
}

// work delivers a conversation's due rows in order.
func (in *Ingest) work(ctx context.Context, portal string) time.Time {
	if err := in.doubts.load(ctx, in.began.Add(in.o.DoubtRest)); err != nil {
		if ctx.Err() == nil {
			zerolog.Ctx(ctx).Err(err).Str("portal", portal).Msg("Could not read the ledger")
		}
		return in.o.Now().Add(in.o.RetryMin)
	}
	for turn := batch; ctx.Err() == nil; {
		in.lanes.woken(portal) // what it was woken for by now is read
		rows, err := in.o.DB.Inbox.Due(ctx, portal, forever, batch)
		if err != nil {
			if ctx.Err() == nil {
				zerolog.Ctx(ctx).Err(err).Str("portal", portal).Msg("Could not read the ledger")
			}
			return in.o.Now().Add(in.o.RetryMin)
		}
		reread := false
		for i := range rows {
			row := &rows[i]
			if at := in.dueAt(row); at.After(in.o.Now()) {
				return at
			}
			// Asked last: what is not waited for any more may be in the ledger.
			if reread = in.lanes.woken(portal); reread {
				break
			}
			var wait time.Time
			if wait, reread = in.step(ctx, row); !wait.IsZero() {
				return wait
			} else if turn--; reread || ctx.Err() != nil {
				break
			}
		}
		if !reread && len(rows) < batch {
			if ctx.Err() == nil {
				in.orphans.drained(portal, in.doubts.settle(portal))
			}
			return time.Time{}
		}
		if !reread || turn <= 0 {
			return giveWay
		}
	}
	return time.Time{}
}

// dueAt returns when a row may be delivered.
func (in *Ingest) dueAt(row *database.InboxRow) time.Time {
	at := row.ReceivedAt.Add(in.settle())
	if row.NextAt.After(at) {
		at = row.NextAt
	}
	if until := in.doubts.rest(row.Portal); until.After(at) {
		at = until
	}
	if row.Delivered > 0 || row.Source == teams.SourceHistory {
		return at // a change has no place of its own, and history is read whole
	}
	if until := in.arrivals.rest(row.Portal, row.CreatedAt, row.ReceivedAt); until.After(at) {
		at = until
	}
	return at
}

// settle is how long messages rest at present.
func (in *Ingest) settle() time.Duration {
	return in.o.Settle + in.arrivals.lagSpread(in.o.SettleMax)
}

// errReread says that the ledger has got a row that comes first.
var errReread = errors.New("another message comes first")

// attempt delivers one row. A panic on what it says is the row's own fault and
// must not end the bridge, at every start anew.
func (in *Ingest) attempt(ctx context.Context, row *database.InboxRow) (err error) {
	defer func() {
		if v := recover(); v != nil {
			zerolog.Ctx(ctx).Error().Any("panic", v).Bytes("stack", debug.Stack()).Msg("Delivery panicked")
			err = &panicError{v}
		}
	}()
	if row.Unreadable != nil {
		return in.reopen(ctx, row)
	}
	m, err := teams.DecodeStored(row.Payload)
	if err != nil {
		return &refusal{reason: "unreadable ledger row", err: err}
	}
	return in.deliver(ctx, row, m)
}

// step delivers one row and writes down what came of it.
func (in *Ingest) step(ctx context.Context, row *database.InboxRow) (wait time.Time, reread bool) {
	log := zerolog.Ctx(ctx).With().Str("portal", row.Portal).Str("message", row.MessageID).Int64("version", row.Version).Logger()
	ctx = log.WithContext(ctx)
	err := in.attempt(ctx, row)
	key := refusalKey(row)
	if err == nil {
		in.forgetRefusals(key)
		if err = in.done(ctx, row); err == nil {
			in.o.Metrics.Observe(DurationIngest, in.o.Now().Sub(row.ReceivedAt))
			return time.Time{}, false
		}
	}
	switch {
	case errors.Is(err, errReread):
		return time.Time{}, true
	case ctx.Err() != nil:
		return in.o.Now().Add(in.o.RetryMin), false
	}
	if mayHaveArrived(err) {
		in.doubts.add(row.Portal, in.o.Now().Add(in.o.DoubtRest))
		in.orphans.watch(in.o.Now())
	}
	reason, own := reasonOf(err)
	if in.countRefusal(key, own) >= in.o.ParkAfter {
		in.forgetRefusals(key)
		log.Err(err).Msg("Giving a Teams message up for now")
		in.o.Metrics.Count(MetricParked, reason)
		if err = in.o.DB.Inbox.Park(ctx, row.Portal, row.MessageID, row.Version, reason); err == nil {
			return time.Time{}, false
		}
	}
	next := in.o.Now().Add(backoff(row.Attempts, in.o.RetryMin, in.o.RetryMax))
	if errors.Is(err, errNoRoom) || errors.Is(err, errNoSource) {
		log.Debug().Msg("Teams message waits for its room")
	} else {
		log.Warn().Err(err).Time("next", next).Msg("Could not deliver a Teams message, will try again")
	}
	in.o.Metrics.Count(MetricIngestRetry, reason)
	if err = in.o.DB.Inbox.Retry(ctx, row.Portal, row.MessageID, row.Version, next, reason); err != nil && ctx.Err() == nil {
		log.Err(err).Msg("Could not write to the ledger")
	}
	return next, false
}

// countRefusal notes a failed attempt and returns how many were refusals; a
// failure that is waited for counts nothing, but is remembered.
func (in *Ingest) countRefusal(key string, own bool) int {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !own {
		in.refused[key] += 0
		return 0
	}
	in.refused[key]++
	return in.refused[key]
}

// wasTried reports whether a delivery of the message, in whatever version, was
// tried by this process and is not done.
func (in *Ingest) wasTried(row *database.InboxRow) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	_, tried := in.refused[refusalKey(row)]
	return tried
}

func refusalKey(row *database.InboxRow) string { return row.Portal + "\x00" + row.MessageID }

func (in *Ingest) forgetRefusals(key string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	delete(in.refused, key)
	delete(in.imageless, key)
	delete(in.copied, key)
}

func portalIDOf(row *database.InboxRow) networkid.PortalID { return networkid.PortalID(row.Portal) }

package sim

import (
	"context"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// world is one run: a bridge with its two sides, and what was said so far.
type world struct {
	t *testing.T
	p *plan
	f *faults
	r *portaltest.Rig

	// gate is held by whoever uses the bridge from outside. It is a channel,
	// because virtual time stands still while somebody waits for a mutex.
	gate    chan struct{}
	up      bool // with gate
	crashed chan struct{}
	wake    chan struct{}
	poller  *teams.Poller

	mu sync.Mutex
	// queue are the events for which the homeserver got no 200 yet.
	queue []portaltest.Event
	txns  int
	// arrived is when the homeserver stored an event, whatever time it bears.
	arrived map[id.EventID]time.Time
	// taken is in which call a Teams message was first taken into the ledger,
	// unsure which may have been taken at the moment of a crash before.
	taken  map[string]int
	unsure map[string]bool
	calls  int

	// said is what became of the plan's messages; only the driver uses it.
	said []said
}

// said is what became of a message of the plan.
type said struct {
	done, deleted bool
	version       int
	event         id.EventID // where it was said in Matrix
	teamsID       string     // where it was said in Teams
	reactions     map[string]id.EventID
}

func newWorld(t *testing.T, p *plan) *world {
	w := &world{
		t: t, p: p, f: newFaults(p), r: portaltest.New(t),
		gate: make(chan struct{}, 1), crashed: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		taken: map[string]int{}, unsure: map[string]bool{}, arrived: map[id.EventID]time.Time{}, said: make([]said, len(p.messages)),
	}
	w.r.Fast, w.r.OwnTransactions, w.r.Channels = true, true, p.channels
	w.r.EchoSkew = portal.ClockSkew
	w.r.Tenant.SetSkew(w.f.skew())
	w.r.Tune, w.r.Also = w.tune, w.read
	w.r.OnCrash = func() {
		w.f.crashed()
		w.crashed <- struct{}{}
	}
	if os.Getenv("TEAMSBRIDGE_TEST_LOG") != "" {
		w.r.Log = zerolog.New(zerolog.ConsoleWriter{Out: os.Stderr, NoColor: true})
		zerolog.TimestampFunc = time.Now
		w.r.Log = w.r.Log.With().Timestamp().Logger()
	}
	w.r.HS.OnEvent = w.stored
	w.r.HS.SetSends(w.f.send)
	w.r.Tenant.SetWrites(w.f.write)
	w.r.Tenant.SetReads(w.f.read)
	w.r.Tenant.SetLag(w.f.lag)
	w.r.Tenant.SetWriteLag(w.f.writeLag)
	w.r.Tenant.SetChanged(w.changed)
	for _, ch := range p.channels {
		w.r.Tenant.AddImage(imageURL(ch), []byte("png"))
	}
	return w
}

// tune undoes the rig's short times: virtual time costs nothing. And it ties the
// ledger to the poller, as the bridge does.
func (w *world) tune(in *portal.IngestOptions, out *portal.SenderOptions) {
	in.Behind = func(ch teams.ChannelRef) (behind, failing bool) {
		w.mu.Lock()
		poller := w.poller
		w.mu.Unlock()
		if poller == nil {
			return true, false
		}
		return poller.Behind(ch)
	}
	in.Settle, in.SettleMax, in.DoubtRest, in.OrphanGrace, in.RetryMin, in.RetryMax, in.EchoWait = 0, 0, 0, 0, 0, 0, 0
	out.RetryMin, out.RetryMax, out.DoubtWindow, out.DoubtLook, out.DoubtSkew, out.IndicateAfter, out.TargetPatience = 0, 0, 0, 0, 0, 0, 0
	in.Sweep, out.Sweep = 2*time.Minute, 2*time.Minute
}

// locked runs f while nothing else uses the bridge from outside.
func (w *world) locked(f func()) {
	w.gate <- struct{}{}
	defer func() { <-w.gate }()
	f()
}

// start starts the bridge.
func (w *world) start() {
	w.locked(func() {
		w.mu.Lock()
		w.poller = nil
		w.mu.Unlock()
		w.r.Start()
		w.up = true
	})
	w.kick()
}

func (w *world) kick() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// read is the real poller over the tenant.
func (w *world) read(ctx context.Context) {
	var channels []string
	for _, ch := range w.p.channels {
		channels = append(channels, ch.ChannelID)
	}
	poller, err := teams.NewPoller(teams.PollerOptions{
		Source: w.r.Tenant.Reader(nil), Sink: w, Cursors: cursors{w.r.DB.Cursors},
		Teams:      func() []teams.PolledTeam { return []teams.PolledTeam{{ID: "team", Channels: channels}} },
		Readers:    []string{teams.SourceExport},
		Continuous: true, Interval: 10 * time.Minute, Logger: w.r.Log,
		Read: func(scope teams.Scope) { w.r.Ingest.Read(scope) },
	})
	require.NoError(w.t, err)
	w.mu.Lock()
	w.poller = poller
	w.mu.Unlock()
	_ = poller.Run(ctx)
}

// Accept is the sink of the poller and of notifications.
func (w *world) Accept(ctx context.Context, source string, msgs []teams.Message) error {
	w.mu.Lock()
	w.calls++
	call := w.calls
	w.mu.Unlock()
	err := w.r.Ingest.Accept(ctx, source, msgs)
	crash := w.r.Crashing()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range msgs {
		if _, before := w.taken[m.ID]; before {
			continue
		} else if crash {
			w.unsure[m.ID] = true
		} else if err == nil {
			w.taken[m.ID] = call
		}
	}
	return err
}

// changed is told about changes in Teams, which become notifications.
func (w *world) changed(m teams.Message) {
	for _, d := range w.f.notice(m) {
		time.AfterFunc(d, func() {
			w.locked(func() {
				if w.up { // else it is lost, and read later
					_ = w.Accept(context.Background(), "webhook", []teams.Message{m})
				}
			})
		})
	}
}

// stored is told about every event that the homeserver stores; it is locked.
func (w *world) stored(e portaltest.Event) {
	w.mu.Lock()
	w.queue = append(w.queue, e)
	w.arrived[e.ID] = time.Now()
	w.mu.Unlock()
	w.kick()
}

// deliver is the homeserver's sender of transactions: in order, until it has got
// a 200, and sometimes once more after that.
func (w *world) deliver(ctx context.Context) {
	const most = 20
	for ctx.Err() == nil {
		w.mu.Lock()
		txn, n := w.queue[:min(len(w.queue), most)], w.txns
		w.mu.Unlock()
		ok := false
		if len(txn) > 0 {
			w.locked(func() { ok = w.up && w.transaction(ctx, txn) })
		}
		if !ok {
			select {
			case <-w.wake:
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			time.Sleep(20 * time.Millisecond)
			continue
		}
		for range w.f.again(n) {
			time.Sleep(time.Second)
			w.locked(func() { _ = w.up && w.transaction(ctx, txn) })
		}
		w.mu.Lock()
		w.queue, w.txns = w.queue[len(txn):], n+1
		w.mu.Unlock()
	}
}

// transaction reports whether the bridge answers with a 200.
func (w *world) transaction(ctx context.Context, txn []portaltest.Event) bool {
	for _, e := range txn {
		var err error
		if e.Bridge {
			err = w.r.Echo(ctx, e)
		} else {
			err = w.r.Deliver(ctx, e)
		}
		if err != nil || w.r.Crashing() {
			return false
		}
	}
	return true
}

// idle reports what is left to do, empty where there is nothing.
func (w *world) idle() map[string]int {
	ctx := context.Background()
	left := map[string]int{}
	journal, err := w.r.DB.Journal.Count(ctx)
	require.NoError(w.t, err)
	in, err := w.r.DB.Inbox.Stats(ctx)
	require.NoError(w.t, err)
	out, err := w.r.DB.Outbox.Stats(ctx)
	require.NoError(w.t, err)
	doubled, err := w.r.DB.Echoes.Doubled(ctx, 10)
	require.NoError(w.t, err)
	doubt, err := w.r.DB.Sent.InDoubt(ctx, "")
	require.NoError(w.t, err)
	untold, err := w.r.DB.Outbox.Untold(ctx, 0, 10)
	require.NoError(w.t, err)
	w.mu.Lock()
	queue := len(w.queue)
	w.mu.Unlock()
	for what, n := range map[string]int{
		"transactions": queue, "journal": journal, "ledger": in.ByState[database.StatePending],
		"outbox queued": out.ByState[database.StateQueued], "outbox sending": out.ByState[database.StateSending], "outbox sent": out.ByState[database.StateSent],
		"ingest lanes": w.r.Ingest.Busy(), "sender lanes": w.r.Sender.Busy(), "doubled": len(doubled), "doubt": len(doubt), "untold": len(untold),
	} {
		if n > 0 {
			left[what] = n
		}
	}
	return left
}

// liveness is how long a bridge may take to come to rest once nothing goes
// wrong any more.
const liveness = 20 * time.Minute

// rest waits until nothing is left to do.
func (w *world) rest() {
	w.t.Helper()
	var left map[string]int
	for deadline := time.Now().Add(liveness); time.Now().Before(deadline); {
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if left = w.idle(); len(left) == 0 {
			return
		}
	}
	w.t.Fatalf("the bridge does not come to rest: %v", left)
}

// cursors is the cursors' table as package teams wants it.
type cursors struct{ *database.Cursors }

func (s cursors) LoadCursor(ctx context.Context, scope string) (teams.Cursor, error) {
	c, err := s.Cursors.LoadCursor(ctx, scope)
	return teams.Cursor(c), err
}

func (s cursors) SaveCursor(ctx context.Context, scope string, c teams.Cursor) error {
	return s.Cursors.SaveCursor(ctx, scope, database.Cursor(c))
}

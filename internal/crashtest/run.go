package crashtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"maunium.net/go/mautrix/id"

	"teamsbridge/internal/freeport"
	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// run is one run of the crash test.
type run struct {
	o      Options
	ctx    context.Context
	out    *printer
	stack  *stack.Stack
	admin  *stack.BotChat
	people []*person
	relays []*teamstest.User
	places []*place
	book   *book
	report *Report
	// metricsAddr is where the bridge serves its metrics.
	metricsAddr string

	// calm is held by whoever starts or ends the bridge, or must not be
	// interrupted by that.
	calm sync.Mutex
	// gates are closed while the people of a side can't do anything.
	gates [2]sync.RWMutex
	// onlyTalk keeps people in Matrix from changing anything.
	onlyTalk atomic.Bool
	// left is how many of those that make trouble are not through.
	left atomic.Int32

	mu sync.Mutex
	// late are the messages that have no place in the order, by channel.
	late map[string]map[string]bool
	// order is the order in which events came down to a client.
	order map[id.EventID]int
	// told is the order in which the bridge was told of events.
	told map[id.EventID]int
}

// Run does one run and writes its progress and figures to out. The report tells
// how both sides agree; an error, why that could not be found out.
func Run(ctx context.Context, o Options, out io.Writer) (*Report, error) {
	if o.Seed == 0 {
		o.Seed = uint64(time.Now().UnixNano()) % 1_000_000_000
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	r := &run{o: o, out: newPrinter(out, o.Verbose), book: newBook(), report: newReport(&o), late: map[string]map[string]bool{}, order: map[id.EventID]int{}, told: map[id.EventID]int{}}
	r.out.line("crashtest %s", o.String())
	if err := r.start(ctx); err != nil {
		r.close()
		return r.report, err
	}
	defer r.close()
	// Building and preparing do not count.
	ctx, cancel := context.WithTimeoutCause(ctx, o.Duration, fmt.Errorf("the run took longer than %s", o.Duration))
	defer cancel()
	r.ctx = ctx
	return r.report, r.everything()
}

func (r *run) close() {
	if r.stack != nil {
		r.stack.Close()
	}
}

// start brings the stack up, mirrors the organisation and signs everybody in.
func (r *run) start(ctx context.Context) (err error) {
	r.ctx = ctx
	port, err := freeport.Get()
	if err != nil {
		return fmt.Errorf("find a port for the metrics: %w", err)
	}
	r.metricsAddr = fmt.Sprintf("127.0.0.1:%d", port)
	r.stack, err = stack.Up(ctx, stack.Options{
		Dir: r.o.Dir, Homeserver: r.o.Homeserver, Database: r.o.Database,
		BridgeBinary: r.o.BridgeBinary, DendriteBinary: r.o.DendriteBinary, Progress: r.out.progressLine,
		Tenant: teamstest.Options{
			Seed: r.o.Seed, Limits: r.o.Limits, UnevenPages: true, NoSystemEvents: true, SignIn: teamstest.SignInOptions{DeviceInterval: time.Second},
			// An address that fails as often as one whose bridge is killed all the
			// time would get no notifications any more; the tests of teams have that.
			Notify: teamstest.NotifyOptions{EndpointsForgiven: true},
		},
		Settings: map[string]any{"network": map[string]any{
			"mapping": map[string]any{"overrides": r.unmapped()}, "metrics": map[string]any{"listen": r.metricsAddr},
		}},
	})
	if err != nil {
		return err
	}
	r.listen()
	began := time.Now()
	if err = r.fill(); err != nil {
		return err
	}
	if err = r.stack.StartBridge(ctx); err != nil {
		return err
	}
	if err = r.enter(); err != nil {
		return err
	}
	if err = r.signInAll(); err != nil {
		return err
	}
	r.out.line("%d channels, %d people and %d relay accounts are ready after %s", len(r.places), len(r.people), len(r.relays), time.Since(began).Round(time.Second))
	return nil
}

// everything makes the traffic and the trouble, waits for the end and compares.
func (r *run) everything() error {
	began := time.Now()
	defer func() { r.report.Took = time.Since(began); r.report.fill(r.book) }()
	watching, stop := context.WithCancel(r.ctx)
	watchers, watch := errgroup.WithContext(watching)
	watchers.Go(func() error { return r.watchMatrix(watch) })
	watchers.Go(func() error { return r.watchTeams(watch) })
	err := r.stormAndRest(began)
	if err == nil {
		err = r.compare()
	}
	stop()
	return errors.Join(err, watchers.Wait())
}

// stormAndRest returns when the bridge has nothing left to do.
func (r *run) stormAndRest(began time.Time) error {
	if err := r.storm(); err != nil {
		return err
	}
	r.report.StormTook = time.Since(began)
	r.out.line("all was said and done after %s; waiting until the bridge is at rest", r.report.StormTook.Round(time.Second))
	if err := r.settle(); err != nil {
		r.report.Problems = append(r.report.Problems, err.Error())
	}
	return nil
}

// storm is the traffic with everything that goes wrong meanwhile.
func (r *run) storm() error {
	group, ctx := errgroup.WithContext(r.ctx)
	lots := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(r.o.Seed, n)) }
	r.left.Store(2)
	all, done := context.WithCancel(ctx)
	var running sync.WaitGroup
	run := func(n uint64, f func(ctx context.Context, rng *rand.Rand) error) {
		running.Add(1)
		group.Go(func() error { defer running.Done(); return f(ctx, lots(n)) })
	}
	run(1, func(ctx context.Context, rng *rand.Rand) error { defer r.left.Add(-1); return r.killing(ctx, rng) })
	run(2, func(ctx context.Context, rng *rand.Rand) error { defer r.left.Add(-1); return r.troubling(ctx, rng) })
	for i := range uint64(voices) {
		run(10+i, func(ctx context.Context, rng *rand.Rand) error { return r.talk(ctx, inTeams, teamsVoice{r}, rng) })
		run(20+i, func(ctx context.Context, rng *rand.Rand) error {
			return r.talk(ctx, inMatrix, matrixVoice{r}, rng)
		})
	}
	group.Go(func() error { return r.supervise(all) })
	group.Go(func() error { r.tell(all); return nil })
	group.Go(func() error { running.Wait(); done(); return nil })
	err := group.Wait()
	done()
	return err
}

// enough reports whether everybody may stop talking.
func (r *run) enough() bool {
	teams, _ := r.book.counts(inTeams)
	matrix, _ := r.book.counts(inMatrix)
	return r.left.Load() == 0 && teams >= r.o.Messages && matrix >= r.o.Messages
}

// tell shows how far it is.
func (r *run) tell(ctx context.Context) {
	for r.pause(ctx, 10*time.Second) == nil {
		saidT, arrivedT := r.book.counts(inTeams)
		saidM, arrivedM := r.book.counts(inMatrix)
		r.out.line("Teams → Matrix %d of %d, Matrix → Teams %d of %d, %d kills; %s", arrivedT, saidT, arrivedM, saidM, r.report.Kills, r.out.last())
	}
}

// LogPath is the bridge's log of a run in a folder.
func LogPath(dir string) string { return filepath.Join(dir, "bridge", "bridge.log") }

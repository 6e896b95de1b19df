package health

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// world is a tenant in virtual time: traffic in conversations, and a bridge
// that probes while there is doubt, as package bridge does.
type world struct {
	t       *testing.T
	m       *Monitor
	now     time.Time
	rand    *rand.Rand
	changes []Change
	// read, write and probe answer a request.
	read, write, probe func(scope string) Outcome
	// rate is requests per second; scopes, how many conversations there are.
	rate    float64
	scopes  int
	nextAsk time.Time

	// outages counts begins and ends of what people are told.
	began, ended int
	beganAt      time.Time
	broken       bool
}

func newWorld(t *testing.T) *world {
	seed := rand.Uint64()
	if given, err := strconv.ParseUint(os.Getenv("TEAMSBRIDGE_TEST_SEED"), 10, 64); err == nil {
		seed = given
	}
	t.Logf("seed %d (repeat with TEAMSBRIDGE_TEST_SEED)", seed)
	fine := func(string) Outcome { return OK }
	w := &world{t: t, now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), rand: rand.New(rand.NewPCG(seed, 1)),
		read: fine, write: fine, probe: fine, rate: 1, scopes: 50}
	w.m = NewMonitor(func() time.Time { return w.now })
	return w
}

func (w *world) observe(o Observation) {
	w.changes = append(w.changes, w.m.Observe(o)...)
	w.look()
}

func (w *world) look() {
	broken := !w.m.Reading().OK || !w.m.Writing().OK
	switch {
	case broken && !w.broken:
		w.began, w.beganAt = w.began+1, w.now
	case !broken && w.broken:
		w.ended++
	}
	w.broken = broken
}

// run lets a time pass in which requests come at the rate, one in three of
// them a write.
func (w *world) run(d time.Duration) {
	w.runUntil(d, func() bool { return false })
}

func (w *world) runUntil(d time.Duration, done func() bool) {
	end := w.now.Add(d)
	request, tick := w.nextRequest(end), w.now.Add(5*time.Second)
	for !done() {
		next := min(request.UnixNano(), tick.UnixNano())
		asking := w.m.Doubtful(GraphRead)
		if asking {
			next = min(next, max(w.nextAsk.UnixNano(), w.now.UnixNano()))
		}
		at := time.Unix(0, next).UTC()
		if !at.Before(end) {
			w.now = end
			return
		}
		w.now = at
		switch {
		case asking && !at.Before(w.nextAsk):
			w.observe(Observation{Dependency: GraphRead, Op: "GET team", Probe: true, Outcome: w.probe("")})
			w.nextAsk = w.now.Add(2 * time.Second)
		case at.Equal(request):
			w.request()
			request = w.nextRequest(end)
		default:
			w.changes = append(w.changes, w.m.Tick()...)
			w.look()
			tick = w.now.Add(5 * time.Second)
		}
	}
}

// nextRequest spreads requests as independent ones come.
func (w *world) nextRequest(never time.Time) time.Time {
	if w.rate == 0 {
		return never
	}
	return w.now.Add(time.Duration(w.rand.ExpFloat64() / w.rate * float64(time.Second)))
}

func (w *world) request() {
	scope := fmt.Sprint("conversation ", w.rand.IntN(w.scopes))
	if w.rand.IntN(3) == 0 {
		w.observe(Observation{Dependency: GraphWrite, Op: "POST channel message", Scope: scope, Core: true, Outcome: w.write(scope)})
	} else {
		w.observe(Observation{Dependency: GraphRead, Op: "GET channel messages", Scope: scope, Core: true, Outcome: w.read(scope)})
	}
}

func (w *world) all(outcome func(string) Outcome) {
	w.read, w.write, w.probe = outcome, outcome, outcome
}

// failing is a service of which a share of the requests fails.
func (w *world) failing(share float64) func(string) Outcome {
	return func(string) Outcome {
		if w.rand.Float64() < share {
			if w.rand.IntN(2) == 0 {
				return Unreachable
			}
			return ServerError
		}
		return OK
	}
}

func always(o Outcome) func(string) Outcome { return func(string) Outcome { return o } }

func (w *world) state(d Dependency) State {
	for _, s := range w.m.Status() {
		if s.Dependency == d {
			return s.State
		}
	}
	return Unknown
}

func TestTeamsDownIsNoticedWithinSeconds(t *testing.T) {
	for _, rate := range []float64{0.2, 1, 10} {
		t.Run(fmt.Sprint(rate, " per second"), func(t *testing.T) {
			w := newWorld(t)
			w.rate = rate
			w.run(10 * time.Minute)
			require.Equal(t, Up, w.state(GraphRead))
			w.all(always(ServerError))
			fellAt := w.now
			w.runUntil(5*time.Minute, func() bool { return !w.m.Writing().OK && !w.m.Reading().OK })
			require.LessOrEqual(t, w.now.Sub(fellAt), 45*time.Second, "goal: below 90 s")
			if rate >= 1 {
				require.LessOrEqual(t, w.now.Sub(fellAt), 15*time.Second)
			}
			require.Equal(t, TeamsDown, w.m.Reading().Cause)
			require.Equal(t, TeamsDown, w.m.Writing().Cause)
			require.Less(t, w.m.Reading().Since, w.now, "since the first failure")
			w.run(time.Hour)
			require.Equal(t, 1, w.began)
			require.Zero(t, w.ended)
			w.all(always(OK))
			backAt := w.now
			w.runUntil(5*time.Minute, func() bool { return !w.broken })
			require.LessOrEqual(t, w.now.Sub(backAt), time.Minute)
			w.run(time.Hour)
			require.Equal(t, 1, w.began)
			require.Equal(t, 1, w.ended)
			require.Equal(t, Up, w.state(GraphRead))
			require.Equal(t, Up, w.state(GraphWrite))
		})
	}
}

// The first request that meets an outage may be long after its beginning; from
// then on the probes find it alone.
func TestAnOutageWithoutTrafficIsFoundByProbes(t *testing.T) {
	w := newWorld(t)
	w.run(time.Minute)
	w.all(always(Unreachable))
	w.rate = 0
	w.run(time.Hour)
	require.Zero(t, w.began, "nothing was asked")
	w.observe(Observation{Dependency: GraphRead, Op: "GET channel messages", Scope: "one", Core: true, Outcome: Unreachable})
	met := w.now
	w.runUntil(5*time.Minute, func() bool { return w.broken })
	require.LessOrEqual(t, w.now.Sub(met), 15*time.Second)
	require.False(t, w.m.Writing().OK, "nothing can be written either")
	// And the end, idle as before.
	w.all(always(OK))
	w.run(time.Minute)
	require.True(t, w.m.Reading().OK)
	require.True(t, w.m.Writing().OK)
}

func TestNoFalseAlarmInThirtyDays(t *testing.T) {
	days := 30
	if testing.Short() {
		days = 3
	}
	for _, rate := range []float64{0.02, 0.5, 2} {
		t.Run(fmt.Sprint(rate, " per second"), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.rate = rate
			w.all(w.failing(0.01))
			w.run(time.Duration(days) * 24 * time.Hour)
			require.Zero(t, w.began)
			for _, c := range w.changes {
				require.Equal(t, Up, c.To, "not even degraded: %v", c)
			}
		})
	}
}

// The same for a tenant with one conversation that is broken for good.
func TestOneConversationIsNoOutage(t *testing.T) {
	for _, outcome := range []Outcome{Forbidden, Fault, ServerError, Unreachable} {
		t.Run(fmt.Sprint(outcome), func(t *testing.T) {
			w := newWorld(t)
			w.scopes = 5
			broken := func(scope string) Outcome {
				if scope == "conversation 0" {
					return outcome
				}
				return OK
			}
			w.read, w.write = broken, broken
			w.run(12 * time.Hour)
			// And when nothing but the broken one is used.
			w.scopes = 1
			w.run(12 * time.Hour)
			require.Zero(t, w.began)
			for _, c := range w.changes {
				require.Equal(t, Up, c.To, "%v", c)
			}
		})
	}
}

func TestFlappingGraphIsDegraded(t *testing.T) {
	for _, rate := range []float64{0.05, 0.3, 2, 5} {
		t.Run(fmt.Sprint(rate, " per second"), func(t *testing.T) {
			w := newWorld(t)
			w.rate = rate
			w.run(time.Hour)
			w.changes = nil
			w.all(w.failing(0.5))
			w.run(24 * time.Hour)
			if rate < 1 {
				// A request each minute tells little; still not each hour.
				require.Less(t, w.began, 24, "in a day")
				return
			}
			require.LessOrEqual(t, w.began, 6, "in a day")
			require.Equal(t, Degraded, w.state(GraphRead))
			require.LessOrEqual(t, len(w.changes), 60)
		})
	}
}

// Graph that is away and there again in turns is not announced each time.
func TestSwitchingOnAndOffIsHeldTogether(t *testing.T) {
	w := newWorld(t)
	w.rate = 5
	w.run(time.Minute)
	for range 60 {
		w.all(always(ServerError))
		w.run(20 * time.Second)
		w.all(always(OK))
		w.run(20 * time.Second)
	}
	require.Less(t, w.began, 6, "of 60")
	require.Equal(t, w.began, w.ended)
	// A real outage right after is found all the same.
	w.all(always(ServerError))
	fellAt := w.now
	w.runUntil(5*time.Minute, func() bool { return w.broken })
	require.Less(t, w.now.Sub(fellAt), 90*time.Second)
}

// The directory answers while Teams behind it does not: probes are no proof.
func TestLightAnswersDoNotHideAnOutage(t *testing.T) {
	w := newWorld(t)
	w.rate = 2
	w.run(10 * time.Minute)
	w.read, w.write = always(ServerError), always(ServerError)
	fellAt := w.now
	w.runUntil(5*time.Minute, func() bool { return !w.m.Reading().OK && !w.m.Writing().OK })
	require.Less(t, w.now.Sub(fellAt), 30*time.Second)
	w.run(time.Hour)
	require.LessOrEqual(t, w.began, 2)
	require.True(t, w.broken)
	w.read, w.write = always(OK), always(OK)
	w.run(time.Minute)
	require.False(t, w.broken)
}

// Writing alone: reading goes on, and its probes do not end it.
func TestWritingDownAlone(t *testing.T) {
	w := newWorld(t)
	w.run(10 * time.Minute)
	w.write = always(ServerError)
	w.run(time.Hour)
	require.False(t, w.m.Writing().OK)
	require.True(t, w.m.Reading().OK)
	require.Equal(t, 1, w.began)
	w.write = always(OK)
	w.run(time.Minute)
	require.True(t, w.m.Writing().OK)
}

// Nobody writes any more: an outage of writing alone does not last for ever.
func TestAnOutageOfWritingEndsWhenNobodyWrites(t *testing.T) {
	w := newWorld(t)
	w.run(time.Minute)
	w.write = always(ServerError)
	w.run(5 * time.Minute)
	require.False(t, w.m.Writing().OK)
	w.rate = 0
	w.run(9 * time.Minute)
	require.False(t, w.m.Writing().OK)
	w.run(3 * time.Minute)
	require.True(t, w.m.Writing().OK)
}

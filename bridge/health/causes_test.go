package health

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// over repeats observations every other second.
func (w *world) over(d time.Duration, each ...Observation) {
	for end := w.now.Add(d); w.now.Before(end); w.now = w.now.Add(2 * time.Second) {
		for _, o := range each {
			w.observe(o)
		}
		w.changes = append(w.changes, w.m.Tick()...)
		w.look()
	}
}

func TestCauses(t *testing.T) {
	read := Observation{Dependency: GraphRead, Op: "GET team", Probe: true}
	token := Observation{Dependency: GraphRead, Op: "application sign-in"}
	signIn := Observation{Dependency: SignIn, Op: "sign-in"}
	with := func(o Observation, outcome Outcome) Observation { o.Outcome = outcome; return o }
	for name, c := range map[string]struct {
		seen            []Observation
		reading         Cause
		writing, signIn Cause
	}{
		"Graph answers errors":           {[]Observation{with(read, ServerError), with(signIn, OK)}, TeamsDown, TeamsDown, NoCause},
		"Graph can't be reached":         {[]Observation{with(read, Unreachable), with(signIn, OK)}, TeamsDown, TeamsDown, NoCause},
		"nothing can be reached":         {[]Observation{with(signIn, Unreachable), with(read, Unreachable)}, EgressDown, EgressDown, EgressDown},
		"no token, sign-in fails":        {[]Observation{with(signIn, ServerError), with(token, NoToken)}, SignInDown, NoCause, SignInDown},
		"no token, sign-in is away":      {[]Observation{with(signIn, Unreachable), with(token, NoToken)}, SignInDown, NoCause, SignInDown},
		"the secret has expired":         {[]Observation{with(signIn, Fault), with(token, Refused)}, CredentialExpired, NoCause, NoCause},
		"a token is still there":         {[]Observation{with(signIn, Unreachable), with(read, OK)}, NoCause, NoCause, SignInDown},
		"people get no token either":     {[]Observation{with(signIn, ServerError), {Dependency: GraphWrite, Outcome: NoToken}, with(read, OK)}, NoCause, SignInDown, SignInDown},
		"throttled is no outage":         {[]Observation{{Dependency: GraphRead, Outcome: Throttled, Scope: "a"}, {Dependency: GraphRead, Outcome: Throttled, Scope: "b"}}, NoCause, NoCause, NoCause},
		"one account's sign-in is wrong": {[]Observation{with(signIn, Fault), {Dependency: GraphWrite, Outcome: Fault}}, NoCause, NoCause, NoCause},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.run(5 * time.Minute)
			w.over(30*time.Second, c.seen...)
			require.Equal(t, c.reading, w.m.Reading().Cause)
			require.Equal(t, c.writing, w.m.Writing().Cause)
			for _, s := range w.m.Status() {
				if s.Dependency == SignIn {
					require.Equal(t, c.signIn, s.Cause)
				}
			}
			require.Equal(t, c.reading == NoCause, w.m.Reading().OK)
			require.Equal(t, c.writing == NoCause, w.m.Writing().OK)
		})
	}
}

// While the tokens can't be had, Graph is not asked: one word on whether it can
// be reached makes it our own network's fault.
func TestEgressDownWithoutAToken(t *testing.T) {
	w := newWorld(t)
	w.run(time.Minute)
	for range 10 {
		w.m.GraphReached(false)
		w.over(2*time.Second, Observation{Dependency: SignIn, Outcome: Unreachable}, Observation{Dependency: GraphRead, Outcome: NoToken})
	}
	require.Equal(t, EgressDown, w.m.Reading().Cause)
	// While it recovers, the cause is still what it was.
	w.observe(Observation{Dependency: GraphRead, Outcome: OK, Probe: true})
	w.observe(Observation{Dependency: SignIn, Outcome: OK})
	require.False(t, w.m.Reading().OK)
	require.Equal(t, EgressDown, w.m.Reading().Cause)
}

// An account that waits for the sign-in service goes on when that is back.
func TestWritingRecoversWithTheSignInService(t *testing.T) {
	w := newWorld(t)
	w.run(time.Minute)
	w.over(30*time.Second, Observation{Dependency: SignIn, Outcome: Unreachable}, Observation{Dependency: GraphWrite, Outcome: NoToken})
	require.Equal(t, SignInDown, w.m.Writing().Cause)
	require.True(t, w.m.Doubtful(SignIn))
	w.over(10*time.Second, Observation{Dependency: SignIn, Outcome: OK, Probe: true})
	require.True(t, w.m.Writing().OK)
	require.False(t, w.m.Doubtful(SignIn))
}

func TestAPermissionThatIsTakenAway(t *testing.T) {
	for _, dep := range []Dependency{GraphRead, GraphWrite} {
		t.Run(string(dep), func(t *testing.T) {
			w := newWorld(t)
			w.run(10 * time.Minute)
			w.read, w.write = always(Forbidden), always(Forbidden)
			if dep == GraphRead {
				w.write = always(OK)
			} else {
				w.read = always(OK)
			}
			w.run(10 * time.Minute)
			verdict := map[Dependency]func() Verdict{GraphRead: w.m.Reading, GraphWrite: w.m.Writing}[dep]
			require.Equal(t, PermissionRevoked, verdict().Cause)
			require.False(t, w.m.Doubtful(dep), "a probe would tell nothing")
			w.observe(Observation{Dependency: dep, Outcome: OK, Probe: true})
			require.False(t, verdict().OK, "that Graph answers was never in doubt")
			w.read, w.write = always(OK), always(OK)
			w.run(time.Minute)
			require.True(t, verdict().OK)
			require.Equal(t, 1, w.began)
			require.Equal(t, 1, w.ended)
		})
	}
}

// Graph refuses the first reader everywhere, as it does where the permission
// for it was never given: the next one reads, and nothing is wrong.
func TestARefusedReaderIsNoOutage(t *testing.T) {
	w := newWorld(t)
	for i := range 200 {
		scope := fmt.Sprint("team ", i)
		w.observe(Observation{Dependency: GraphRead, Op: "GET team messages export", Scope: scope, Core: true, Outcome: Forbidden})
		w.now = w.now.Add(time.Second)
		w.observe(Observation{Dependency: GraphRead, Op: "GET channel messages", Scope: scope, Core: true, Outcome: OK})
	}
	require.Zero(t, w.began)
	require.Equal(t, Up, w.state(GraphRead))
	// One that worked is taken away, and another stands in: that shows, and is
	// no outage.
	w.observe(Observation{Dependency: GraphRead, Op: "GET team messages export", Scope: "x", Core: true, Outcome: OK})
	for i := range 200 {
		w.observe(Observation{Dependency: GraphRead, Op: "GET team messages export", Scope: fmt.Sprint("team ", i), Core: true, Outcome: Forbidden})
		w.now = w.now.Add(time.Second)
		w.observe(Observation{Dependency: GraphRead, Op: "GET channel messages", Scope: "y", Core: true, Outcome: OK})
	}
	require.Zero(t, w.began)
	require.Equal(t, Degraded, w.state(GraphRead))
}

// Nothing was ever allowed: that is an outage too, from the start.
func TestNothingWasEverAllowed(t *testing.T) {
	w := newWorld(t)
	w.read = always(Forbidden)
	w.run(10 * time.Minute)
	require.Equal(t, PermissionRevoked, w.m.Reading().Cause)
}

func TestThrottlingShows(t *testing.T) {
	w := newWorld(t)
	w.run(5 * time.Minute)
	pause := func(scope string) Observation {
		return Observation{Dependency: GraphWrite, Op: "POST channel message", Scope: scope, Outcome: Throttled, Pause: 5 * time.Minute}
	}
	w.observe(pause("a"))
	require.Equal(t, Up, w.state(GraphWrite), "one conversation's limit")
	w.observe(pause("b"))
	require.Equal(t, Degraded, w.state(GraphWrite))
	require.Equal(t, CauseThrottled, w.m.Status()[1].Cause)
	require.True(t, w.m.Writing().OK)
	w.run(6 * time.Minute)
	require.Equal(t, Up, w.state(GraphWrite))
	require.Zero(t, w.began)
}

func TestNotificationsThatDoNotCome(t *testing.T) {
	w := newWorld(t)
	received := Observation{Dependency: Webhook, Op: "notification", Outcome: OK}
	missed := Observation{Dependency: Webhook, Op: "message", Outcome: Missed}
	w.observe(received)
	w.observe(missed)
	w.observe(missed)
	w.observe(received)
	w.observe(missed)
	require.Equal(t, Up, w.state(Webhook), "some were late")
	w.now = w.now.Add(24 * time.Hour)
	w.observe(missed)
	w.observe(missed)
	require.Equal(t, Down, w.state(Webhook))
	require.Equal(t, WebhookSilent, w.m.Status()[3].Cause)
	require.Zero(t, w.began, "messages come by reading")
	w.now = w.now.Add(time.Hour)
	w.observe(received)
	require.Equal(t, Up, w.state(Webhook))

	w.m.Hold(Webhook, Down, "none of 3 subscriptions is active")
	require.Equal(t, Down, w.state(Webhook))
	require.Equal(t, "none of 3 subscriptions is active", w.m.Status()[3].Detail)
	w.m.Hold(Webhook, Up, "")
	require.Equal(t, Up, w.state(Webhook))
}

func TestHomeserverDown(t *testing.T) {
	w := newWorld(t)
	hs := func(o Outcome, room string) Observation {
		return Observation{Dependency: Homeserver, Op: "request", Scope: room, Outcome: o}
	}
	w.over(time.Minute, hs(OK, "!a"))
	w.over(10*time.Minute, hs(ServerError, "!broken"))
	require.Equal(t, Up, w.state(Homeserver), "one room")
	w.observe(hs(OK, ""))
	w.over(20*time.Second, hs(Unreachable, "!a"), hs(Unreachable, "!b"))
	require.Equal(t, Down, w.state(Homeserver))
	require.Equal(t, HomeserverDown, w.m.Status()[4].Cause)
	require.Zero(t, w.began, "it is no outage of Teams")
	w.over(10*time.Second, hs(OK, ""))
	require.Equal(t, Up, w.state(Homeserver))
}

// What comes out of order, from goroutines, or a window late does no harm.
func TestObservationsOutOfOrder(t *testing.T) {
	w := newWorld(t)
	w.run(10 * time.Minute)
	w.changes = nil
	for i := range 1000 {
		o := Observation{Dependency: GraphRead, Op: "GET channel messages", Scope: fmt.Sprint(i), Core: true, Outcome: OK,
			At: w.now.Add(time.Duration(w.rand.IntN(600)-300) * time.Second)}
		if i%50 == 0 {
			o.Outcome = Unreachable
		}
		w.observe(o)
	}
	require.Zero(t, w.began)
}

// While a permission is gone a failure now and then says nothing about it, and one
// that goes while Graph is down is found when that answers.
func TestARevocationOutlastsAFailure(t *testing.T) {
	w := newWorld(t)
	w.run(10 * time.Minute)
	w.read, w.write = always(OK), always(Forbidden)
	w.run(10 * time.Minute)
	require.Equal(t, PermissionRevoked, w.m.Writing().Cause)
	w.observe(Observation{Dependency: GraphWrite, Op: "POST channel message", Scope: "one", Core: true, Outcome: ServerError})
	w.observe(Observation{Dependency: GraphWrite, Op: "POST channel message", Scope: "two", Core: true, Outcome: Forbidden})
	require.Equal(t, PermissionRevoked, w.m.Writing().Cause)
	w.write = always(OK)
	w.run(time.Minute)
	require.True(t, w.m.Writing().OK)

	w.write = always(ServerError)
	w.run(5 * time.Minute)
	require.False(t, w.m.Writing().OK)
	require.NotEqual(t, PermissionRevoked, w.m.Writing().Cause)
	w.write = always(Forbidden)
	w.run(10 * time.Minute)
	require.Equal(t, PermissionRevoked, w.m.Writing().Cause)
	w.write = always(OK)
	w.run(time.Minute)
	require.True(t, w.m.Writing().OK)
}

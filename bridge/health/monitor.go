package health

import (
	"sync"
	"time"
)

// reachFor is how long it counts that a network was reached, or was not.
const reachFor = 2 * time.Minute

// Monitor holds the machines of all dependencies and what they say together.
// It is safe for concurrent use.
type Monitor struct {
	now func() time.Time

	mu       sync.Mutex
	machines map[Dependency]*Machine
	// graphNet and signInNet are the last word on whether the two can be
	// reached over the network, whatever they answer.
	graphNet, signInNet reach
	// shared is set where writing is down for what probes of reading meet too,
	// so that their success speaks for writing as well.
	shared bool
}

type reach struct {
	ok bool
	at time.Time
}

// NewMonitor makes a monitor with the default thresholds.
func NewMonitor(now func() time.Time) *Monitor {
	m := &Monitor{now: now, machines: map[Dependency]*Machine{}}
	for _, d := range Dependencies() {
		m.machines[d] = NewMachine(d, DefaultOptions(d))
	}
	return m
}

// Observe takes one outcome into account and returns the steps it made.
func (m *Monitor) Observe(o Observation) []Change {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o.At.IsZero() {
		o.At = m.now()
	}
	// Only Graph has operations that work while messages do not.
	o.Core = o.Core || o.Dependency != GraphRead && o.Dependency != GraphWrite
	m.noteReach(o)
	changes := m.machines[o.Dependency].Observe(o)
	switch {
	case o.Dependency == GraphRead && o.Probe:
		changes = append(changes, m.probed(o)...)
	case o.Dependency == SignIn && o.Outcome == OK:
		// Whoever waited for a token gets one now.
		if w := m.machines[GraphWrite]; w.broken() && w.why == NoToken {
			changes = append(changes, w.Observe(Observation{Outcome: OK, Probe: true, At: o.At})...)
		}
	}
	return m.explained(changes)
}

// probed lets a probe of reading count for writing. A failure of Graph's does;
// a success only where writing is down for the same reason.
func (m *Monitor) probed(o Observation) []Change {
	w := m.machines[GraphWrite]
	if o.Outcome == Unreachable || o.Outcome == ServerError {
		changes := w.Observe(o)
		if w.state == Down {
			m.shared = true
		}
		return changes
	}
	if o.Outcome != OK {
		return nil
	}
	if w.broken() && m.shared {
		return w.Observe(o)
	}
	w.run.forgetProbes()
	return nil
}

func (m *Monitor) noteReach(o Observation) {
	reached := o.Outcome != Unreachable
	switch {
	case o.Outcome == NoToken || o.Outcome == Refused || o.Outcome == Missed:
	case o.Dependency == GraphRead || o.Dependency == GraphWrite:
		m.graphNet = reach{reached, o.At}
	case o.Dependency == SignIn:
		m.signInNet = reach{reached, o.At}
	}
}

// Worked tells what a process before knew: that an operation has succeeded in a
// conversation, at the zero time if that is long ago.
func (m *Monitor) Worked(d Dependency, op, scope string, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	machine := m.machines[d]
	machine.perms.of(op).ever = true
	machine.talks.remember(scope, at)
}

// GraphReached notes whether Graph can be reached over the network, from a
// request that tells nothing else.
func (m *Monitor) GraphReached(ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.graphNet = reach{ok, m.now()}
}

// Hold sets what is known of a dependency from elsewhere (Machine.Hold).
func (m *Monitor) Hold(d Dependency, s State, detail string) []Change {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.explained(m.machines[d].Hold(s, detail, m.now()))
}

// Tick lets time pass and returns the steps that it made.
func (m *Monitor) Tick() []Change {
	m.mu.Lock()
	defer m.mu.Unlock()
	var changes []Change
	for _, d := range Dependencies() {
		changes = append(changes, m.machines[d].Tick(m.now())...)
	}
	return m.explained(changes)
}

// Doubtful reports whether asking a dependency would tell something new. For
// reading that includes writing where it is down for the same reason, because
// nothing else probes that.
func (m *Monitor) Doubtful(d Dependency) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d == GraphRead && m.shared && m.machines[GraphWrite].broken() {
		return true
	}
	return m.machines[d].doubtful()
}

// Unproven reports whether a dependency that was down has not carried a message
// since: it is still down, or only light successes say that it is not.
func (m *Monitor) Unproven(d Dependency) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	machine := m.machines[d]
	return machine.state == Down || machine.state == Recovering && machine.byLight
}

// Verdict says whether something can be done now, and why not.
type Verdict struct {
	OK bool
	// Known is unset before anything has been observed.
	Known  bool
	Cause  Cause
	Detail string
	// Since is when the failures began.
	Since time.Time
	// Unsure is set where the verdict rests on so few conversations, or is so old,
	// that one which has not failed is worth a try.
	Unsure bool
}

// CoreAt is when an operation of a dependency that carries messages has last
// succeeded; the zero time where none has.
func (m *Monitor) CoreAt(d Dependency) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.machines[d].perms.coreAt
}

// Writing reports whether messages can go to Teams now.
func (m *Monitor) Writing() Verdict { return m.verdict(GraphWrite) }

// Reading reports whether messages can come from Teams now.
func (m *Monitor) Reading() Verdict { return m.verdict(GraphRead) }

func (m *Monitor) verdict(d Dependency) Verdict {
	m.mu.Lock()
	defer m.mu.Unlock()
	machine := m.machines[d]
	if !machine.broken() {
		return Verdict{OK: true, Known: machine.state != Unknown}
	}
	return Verdict{Known: true, Cause: m.cause(machine), Detail: machine.detail, Since: machine.downAt, Unsure: machine.unsure(m.now())}
}

// Status is what is known of one dependency.
type Status struct {
	Dependency Dependency
	State      State
	Since      time.Time
	Cause      Cause
	Detail     string
}

// Status returns what is known of each dependency, in their order.
func (m *Monitor) Status() []Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Status
	for _, d := range Dependencies() {
		machine := m.machines[d]
		s := Status{Dependency: d, State: machine.shown, Since: machine.since, Cause: m.cause(machine), Detail: machine.detail}
		if machine.held > machine.state {
			s.Detail = machine.heldDetail
		}
		out = append(out, s)
	}
	return out
}

// cause says why a machine is not up.
func (m *Monitor) cause(machine *Machine) Cause {
	if machine.state == Recovering {
		return machine.lastCause
	}
	return m.causeOf(machine)
}

func (m *Monitor) causeOf(machine *Machine) Cause {
	switch {
	case machine.shown == Up || machine.shown == Unknown:
		return NoCause
	case machine.dep == Webhook:
		return WebhookSilent
	case machine.why == Throttled:
		return CauseThrottled
	case machine.why == Forbidden:
		return PermissionRevoked
	case machine.state == Degraded:
		return Unsteady
	case machine.dep == Homeserver:
		return HomeserverDown
	case machine.why == Refused:
		return CredentialExpired
	case machine.why != ServerError && m.egressDown():
		return EgressDown
	case machine.why == NoToken || machine.dep == SignIn:
		return SignInDown
	default:
		return TeamsDown
	}
}

func (m *Monitor) egressDown() bool {
	now := m.now()
	for _, r := range []reach{m.graphNet, m.signInNet} {
		if r.ok || r.at.IsZero() || now.Sub(r.at) > reachFor {
			return false
		}
	}
	return true
}

// explained ends every change of the machines: it gives the steps their causes.
func (m *Monitor) explained(changes []Change) []Change {
	m.shared = m.shared && m.machines[GraphWrite].broken()
	for _, machine := range m.machines {
		// While it recovers, what it has recovered from is the cause.
		if machine.state == Down {
			machine.lastCause = m.causeOf(machine)
		}
	}
	for i, c := range changes {
		changes[i].Cause = m.cause(m.machines[c.Dependency])
	}
	return changes
}

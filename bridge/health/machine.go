package health

import (
	"slices"
	"time"
)

// State is what a machine says of its dependency.
type State int

// The states, the more severe the higher.
const (
	Unknown State = iota
	Up
	Recovering
	Degraded
	Down
)

// States lists the states that are shown, Unknown being none.
func States() []State { return []State{Up, Degraded, Down, Recovering} }

// String returns the name used in logs and metrics.
func (s State) String() string {
	switch s {
	case Up:
		return "up"
	case Recovering:
		return "recovering"
	case Degraded:
		return "degraded"
	case Down:
		return "down"
	default:
		return "unknown"
	}
}

// Change is a machine's step from one state to another.
type Change struct {
	Dependency Dependency
	From, To   State
	Cause      Cause
	At         time.Time
}

// Machine judges one dependency. It is not safe for concurrent use; Monitor is.
type Machine struct {
	dep  Dependency
	opts Options

	state  State
	window window
	run    run
	perms  permissions
	talks  talks
	// pauses is until when which scope is throttled.
	pauses map[string]time.Time

	// why and detail are what brought it down or degraded it.
	why    Outcome
	detail string
	// downAt is when the failures began that brought it down; recoverAt, when
	// the recovery did, with the successes in a row since and the last failure.
	downAt, recoverAt, failedAt  time.Time
	good, flaps                  int
	troubleAt, heardAt, degraded time.Time
	// byLight is set while only light successes speak for the recovery, or have
	// ended it; needCore, once they were contradicted: from then on only an
	// operation that carries messages counts.
	byLight, needCore bool
	// narrow is set while what took it down is fewer conversations than speak for
	// all: no other was in use.
	narrow    bool
	lastCause Cause

	// held is what is known from elsewhere: the state is never better.
	held       State
	heldDetail string

	shown   State
	since   time.Time
	changes []Change
}

// NewMachine makes a machine of which nothing is known yet.
func NewMachine(d Dependency, o Options) *Machine {
	return &Machine{dep: d, opts: o, window: window{width: o.Window}, perms: permissions{ops: map[string]*refusals{}}, pauses: map[string]time.Time{}}
}

// State returns the state and since when it is.
func (m *Machine) State() (State, time.Time) { return m.shown, m.since }

// Observe takes one outcome into account and returns the steps it made.
func (m *Machine) Observe(o Observation) []Change {
	m.heardAt = o.At
	m.talks.note(o)
	if !o.Probe {
		m.window.add(o)
	}
	switch {
	case o.Outcome == OK:
		m.success(o)
	case o.Outcome.failed():
		m.failure(o)
	case o.Outcome == Forbidden:
		m.forbidden(o)
	case o.Outcome == Throttled:
		m.throttled(o)
	}
	return m.Tick(o.At)
}

// Tick lets time pass and returns the steps that it made.
func (m *Machine) Tick(now time.Time) []Change {
	switch m.state {
	case Unknown, Up, Degraded:
		// Others may not be in use any more since it was refused.
		for op := range m.perms.ops {
			m.judgeRefusals(op, now)
		}
		m.assess(now)
	case Recovering:
		quiet := now.Sub(later(m.recoverAt, m.failedAt))
		if quiet >= m.opts.QuietFor || now.Sub(m.recoverAt) >= m.opts.MixedFor {
			m.recovered(now)
		}
	case Down:
		if idle := m.opts.IdleFor; idle > 0 && m.why != Forbidden && now.Sub(m.heardAt) >= idle {
			m.recover(now)
		}
	}
	if m.state > Up {
		m.troubleAt = now
	}
	m.show(now)
	changes := m.changes
	m.changes = nil
	return changes
}

// Hold sets what is known of the dependency from elsewhere, such as whether
// there are subscriptions. Unknown takes it back.
func (m *Machine) Hold(s State, detail string, now time.Time) []Change {
	m.held, m.heldDetail = s, detail
	return m.Tick(now)
}

// success takes the machine up step by step. A light one (a probe, a list of
// members) tells less than one that carried a message: Graph answers such even
// while Teams is down behind it.
func (m *Machine) success(o Observation) {
	if !o.Probe {
		m.perms.of(o.Op).success()
	}
	if o.Core {
		m.perms.coreAt = o.At
	}
	if m.broken() && !o.Core && (m.needCore || m.why == Forbidden) {
		return
	}
	if !o.Core && !m.broken() && len(m.run.coreIn) >= coreScopes {
		m.run.forgetProbes()
		m.run.contradicted = true
	} else {
		m.run = run{}
	}
	switch m.state {
	case Unknown:
		m.to(Up, o.At)
	case Down:
		m.recover(o.At)
		m.good, m.byLight = 1, !o.Core
	case Recovering:
		m.good++
		m.byLight = m.byLight && !o.Core
	}
	if m.state == Recovering && m.good >= m.opts.UpAfter {
		m.recovered(o.At)
	}
}

func (m *Machine) failure(o Observation) {
	m.run.add(o, m.opts.RunGap)
	m.good, m.failedAt = 0, o.At
	switch {
	case m.state == Down && m.why == Forbidden:
		// One failure says nothing about the permission, which may still be gone.
	case m.state == Down:
		m.why, m.detail = m.run.outcome(), m.run.detail
		m.narrow = m.narrow && m.run.narrow(&m.opts)
	case m.state == Recovering && m.byLight && len(m.run.coreIn) >= m.opts.DownScopes:
		m.needCore = true
		m.fail(o.At)
	case m.run.down(&m.opts, m.guard(o.At)), m.alone(o.At):
		m.fail(o.At)
	}
}

// guard is the level of the flapping guard: how many outages there were since
// the last calm, and one more where it has been degraded for a while.
func (m *Machine) guard(now time.Time) int {
	level := m.flaps
	if m.troubleAt.IsZero() || now.Sub(m.troubleAt) >= m.opts.FlapWindow {
		level = 0
	}
	if m.state == Degraded && now.Sub(m.degraded) >= m.opts.DegradedFor {
		level++
	}
	return level
}

// fail takes the machine down. From recovering it is the same outage still.
func (m *Machine) fail(now time.Time) {
	if m.state != Recovering {
		m.flaps = min(m.guard(now), maxGuard) + 1
		m.downAt = m.run.first
		m.needCore = m.run.contradicted || m.flaps > 1 && m.byLight && len(m.run.coreIn) >= m.opts.DownScopes
	}
	m.why, m.detail = m.run.outcome(), m.run.detail
	m.narrow = m.run.narrow(&m.opts)
	m.to(Down, now)
}

// unsure reports whether an outage is worth a try in a conversation that has not
// failed: it rests on few, or nothing has been heard for long.
func (m *Machine) unsure(now time.Time) bool {
	return m.state == Down && (m.narrow || m.opts.IdleFor > 0 && now.Sub(m.heardAt) >= m.opts.IdleFor)
}

// alone reports whether the run is an outage although one conversation alone has
// failed, again and again: because no other was in use lately.
func (m *Machine) alone(now time.Time) bool {
	o := &m.opts
	if o.AloneAfter == 0 || !m.talks.insist(m.run.in, o.AloneAfter+m.guard(now), o.AloneFor) {
		return false
	}
	_, all := m.talks.all(m.run.in, now, o.Lately)
	return all
}

func (m *Machine) forbidden(o Observation) {
	m.perms.of(o.Op).add(o)
	m.judgeRefusals(o.Op, o.At)
}

// judgeRefusals takes the machine down where an operation is refused in general.
func (m *Machine) judgeRefusals(op string, now time.Time) {
	r := m.perms.of(op)
	if !m.perms.blocked(r, &m.opts, &m.talks, now) || m.state == Recovering {
		return
	}
	few := len(r.in) < m.opts.RevokedScopes
	if m.state == Down {
		m.why, m.detail = Forbidden, r.detail
		m.narrow = m.narrow && few
		return
	}
	m.downAt = r.first
	m.why, m.detail = Forbidden, r.detail
	m.narrow = few
	m.to(Down, now)
}

func (m *Machine) throttled(o Observation) {
	if until := o.At.Add(o.Pause); o.Pause > 0 && (len(m.pauses) < scopesKept || m.pauses[o.Scope].Before(until)) {
		m.pauses[o.Scope] = until
	}
	if m.state == Unknown {
		m.to(Up, o.At) // it answers
	}
}

// recover is the first sign of life. What failed before counts no more.
func (m *Machine) recover(now time.Time) {
	m.window = window{width: m.opts.Window}
	m.run, m.good, m.byLight, m.recoverAt, m.failedAt = run{}, 0, true, now, time.Time{}
	m.to(Recovering, now)
}

// recovered ends a recovery; a share of failures that is left degrades it.
func (m *Machine) recovered(now time.Time) {
	m.good, m.needCore = 0, false
	m.why, m.detail = OK, ""
	m.to(Up, now)
	m.assess(now)
}

// assess moves between up and degraded.
func (m *Machine) assess(now time.Time) {
	if m.state != Up && m.state != Degraded {
		return
	}
	why := m.trouble(now)
	switch {
	case why != OK && m.state == Up:
		m.degraded = now
		m.why, m.detail = why, m.run.detail
		m.to(Degraded, now)
	case why != OK:
		m.why = why
	case m.state == Degraded && now.Sub(m.degraded) >= m.opts.DegradedFor:
		m.why, m.detail = OK, ""
		m.to(Up, now)
	}
}

// trouble is what degrades the dependency at the moment, OK where nothing does.
func (m *Machine) trouble(now time.Time) Outcome {
	for scope, until := range m.pauses {
		if !until.After(now) {
			delete(m.pauses, scope)
		}
	}
	limit, least := m.opts.DegradedShare, m.opts.DegradedFails
	if m.state == Degraded {
		limit, least = m.opts.HealthyShare, 1
	}
	sum := m.window.sums(now)
	switch {
	case len(m.pauses) >= m.opts.DegradedScopes,
		sum.throttled >= least && sum.share(sum.throttled) >= limit && (m.state == Degraded || len(sum.throttledIn) >= m.opts.DegradedScopes):
		return Throttled
	case m.perms.lost(&m.opts, &m.talks, now):
		return Forbidden
	case sum.bad >= least && sum.share(sum.bad) >= limit && (m.state == Degraded || len(sum.badIn) >= m.opts.DegradedScopes || slices.Contains(sum.badIn, "")):
		return ServerError
	}
	return OK
}

func (m *Machine) to(s State, now time.Time) {
	m.state = s
	m.show(now)
}

// show notes a step of what is seen from outside.
func (m *Machine) show(now time.Time) {
	s := max(m.state, m.held)
	if s == m.shown {
		return
	}
	m.changes = append(m.changes, Change{Dependency: m.dep, From: m.shown, To: s, At: now})
	m.shown, m.since = s, now
}

// doubtful reports whether it is worth asking: failures stand without an
// answer, or it is not up again.
func (m *Machine) doubtful() bool {
	if m.broken() {
		return m.why != Forbidden && !m.needCore
	}
	return m.run.n > 0 && !m.run.contradicted
}

// broken reports whether it is down or not yet recovered.
func (m *Machine) broken() bool { return m.state == Down || m.state == Recovering }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

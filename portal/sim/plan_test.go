package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"maunium.net/go/mautrix/id"

	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// side is where somebody acts.
type side int

const (
	inMatrix side = iota
	inTeams
)

type opKind int

const (
	opPost opKind = iota
	opEdit
	opDelete
	opReact
	opUnreact
	// What happens to the bridge and the homeserver.
	opCrash
	opRestart
	opForget // the homeserver restarts and forgets its transaction ids
)

// op is something that happens at a time.
type op struct {
	at   time.Duration
	kind opKind
	// msg is the message that it makes or acts on; who acts.
	msg   int
	who   string
	emoji string
	// n is the number of statements until a crash, away how long the bridge then
	// is away.
	n    int
	away time.Duration
}

// message is a message as it is meant to be.
type message struct {
	room  int
	side  side
	who   string
	root  int // -1 for a post
	image bool
	// poison is refused by Teams for good.
	poison bool
	// fixed messages are not deleted any more: something hangs on them.
	fixed, deleted bool
}

// plan is what people do and what happens to the bridge, from the seed alone.
type plan struct {
	seed     uint64
	channels []teams.ChannelRef
	messages []message
	ops      []op
	span     time.Duration
	// again is after how many statements of its recovery a bridge that crashed
	// crashes a second time, 0 for never.
	again int
}

var (
	matrixPeople = []string{portaltest.Alice, portaltest.Bob, "carol"}
	teamsPeople  = []string{portaltest.Alice, portaltest.Bob, portaltest.Dave}
	emojis       = []string{"👍", "🎉", "👀"}
)

func mxid(who string) id.UserID { return id.UserID("@" + who + ":" + portaltest.ServerName) }

// newPlan draws a plan.
func newPlan(seed uint64) *plan {
	rng := rand.New(rand.NewPCG(seed, 7))
	p := &plan{seed: seed}
	for i := range 1 + rng.IntN(3) {
		p.channels = append(p.channels, channel(i))
	}
	spans := []time.Duration{10 * time.Minute, time.Hour, 4 * time.Hour}
	steps := 12 + rng.IntN(20)
	gap := spans[rng.IntN(len(spans))] / time.Duration(steps)
	at := time.Second
	for range steps {
		if rng.IntN(3) == 0 {
			at += time.Duration(float64(gap) * rng.ExpFloat64() * 1.5)
		} else {
			at += time.Duration(rng.IntN(2000)) * time.Millisecond // people talk in bursts
		}
		p.step(rng, at)
	}
	p.span = at + time.Duration(rng.IntN(60))*time.Second
	p.trouble(rng)
	slices.SortStableFunc(p.ops, func(a, b op) int { return int(a.at - b.at) })
	return p
}

func channel(i int) teams.ChannelRef {
	return teams.ChannelRef{TeamID: "team", ChannelID: fmt.Sprintf("19:c%d@thread.tacv2", i)}
}

// step draws something that somebody does.
func (p *plan) step(rng *rand.Rand, at time.Duration) {
	s := side(rng.IntN(2))
	room := rng.IntN(len(p.channels))
	who := matrixPeople[rng.IntN(len(matrixPeople))]
	if s == inTeams {
		who = teamsPeople[rng.IntN(len(teamsPeople))]
	}
	add := func(kind opKind, msg int, who, emoji string) {
		p.ops = append(p.ops, op{at: at, kind: kind, msg: msg, who: who, emoji: emoji})
	}
	switch x := rng.IntN(20); {
	case x < 7:
		p.messages = append(p.messages, message{room: room, side: s, who: who, root: -1, image: x == 0, poison: x == 6 && s == inMatrix && rng.IntN(8) == 0})
		add(opPost, len(p.messages)-1, who, "")
	case x < 11:
		if root := p.pick(rng, func(m *message) bool { return m.root < 0 }); root >= 0 {
			p.messages[root].fixed = true
			p.messages = append(p.messages, message{room: p.messages[root].room, side: s, who: who, root: root})
			add(opPost, len(p.messages)-1, who, "")
		}
	case x < 14:
		if i := p.pick(rng, func(m *message) bool { return !m.image }); i >= 0 {
			add(opEdit, i, p.messages[i].who, "")
		}
	case x < 15:
		if i := p.pick(rng, func(m *message) bool { return !m.fixed }); i >= 0 {
			p.messages[i].deleted = true
			add(opDelete, i, p.messages[i].who, "")
		}
	default:
		p.reaction(rng, s, add)
	}
}

// reaction draws a reaction, or takes one back. Each person reacts on one side.
func (p *plan) reaction(rng *rand.Rand, s side, add func(kind opKind, msg int, who, emoji string)) {
	who := portaltest.Dave
	if s == inMatrix {
		who = []string{portaltest.Alice, portaltest.Bob}[rng.IntN(2)]
	}
	var made []op
	for _, o := range p.ops {
		if o.kind == opReact && o.who == who && !p.messages[o.msg].deleted {
			made = append(made, o)
		}
	}
	if len(made) > 0 && rng.IntN(3) == 0 {
		o := made[rng.IntN(len(made))]
		add(opUnreact, o.msg, who, o.emoji)
		return
	}
	if i := p.pick(rng, func(*message) bool { return true }); i >= 0 {
		add(opReact, i, who, emojis[rng.IntN(len(emojis))])
	}
}

// pick chooses a message that stands, newer ones more often.
func (p *plan) pick(rng *rand.Rand, ok func(m *message) bool) int {
	var fit []int
	for i := range p.messages {
		if m := &p.messages[i]; !m.deleted && !m.poison && ok(m) {
			fit = append(fit, i)
		}
	}
	if len(fit) == 0 {
		return -1
	}
	return fit[len(fit)-1-min(rng.IntN(len(fit)), rng.IntN(len(fit)))]
}

// trouble draws crashes and restarts.
func (p *plan) trouble(rng *rand.Rand) {
	moment := func() time.Duration {
		o := p.ops[rng.IntN(len(p.ops))] // when something is on its way
		return o.at + time.Duration(rng.IntN(3000))*time.Millisecond
	}
	away := func() time.Duration {
		if rng.IntN(2) == 0 {
			return time.Duration(rng.IntN(5000)) * time.Millisecond
		}
		return time.Duration(rng.IntN(1200)) * time.Second
	}
	if len(p.ops) == 0 {
		return
	}
	for range rng.IntN(4) {
		p.ops = append(p.ops, op{at: moment(), kind: opCrash, n: 1 + rng.IntN(120), away: away()})
	}
	for range rng.IntN(2) {
		p.ops = append(p.ops, op{at: moment(), kind: opRestart, away: away()})
	}
	for range rng.IntN(3) {
		p.ops = append(p.ops, op{at: moment(), kind: opForget})
	}
}

package crashtest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"maunium.net/go/mautrix/id"
)

// side is one of the two systems.
type side int

const (
	inTeams side = iota
	inMatrix
)

func (s side) String() string { return [...]string{"Teams", "Matrix"}[s] }

// remark is one message and what must be there of it in the end. The book's
// lock guards it.
type remark struct {
	token  string
	side   side
	author *person
	place  *place
	root   *remark // nil for a post
	text   string
	// picture says that there is a picture with the text.
	picture bool
	deleted bool
	// closed takes no more replies, so that it can be deleted.
	closed  bool
	replies int
	// reactions are those that are there in the end, with the Matrix event of
	// those made there. used are all that there ever were.
	reactions map[string]id.EventID
	used      map[string]bool
	// busy is somebody changing it at this moment.
	busy bool
	// event and message are its ids on both sides, once they are known. Others
	// are events that say the same, of which one is going to be taken back.
	event   id.EventID
	others  []id.EventID
	message string
	arrived bool
	// began and ended are when it was sent from a Matrix client: what two clients
	// send at the same time has no order.
	began, ended time.Time
	// rootEvent is the event that it answers in Matrix, reactedTo those that the
	// reactions made there are to.
	rootEvent id.EventID
	reactedTo map[string]id.EventID
	// looseRoot and loose name what hangs on an event that was there twice and is
	// taken back. A reply is in its thread in Teams; in Matrix its root is gone,
	// and nobody can say what becomes of a reaction.
	looseRoot bool
	loose     map[string]bool
}

// book is what was said.
type book struct {
	mu      sync.Mutex
	all     []*remark
	byToken map[string]*remark
	byEvent map[id.EventID]*remark
	said    [2]int
	// arrived counts the messages that are on the other side, and those that
	// were deleted before.
	arrived [2]int
	// edits, deletes, reactions and removals count changes by side.
	edits, deletes, reactions, removals, replies, pictures [2]int
}

func newBook() *book { return &book{byToken: map[string]*remark{}, byEvent: map[id.EventID]*remark{}} }

// progress is how many messages have arrived, both ways.
func (b *book) progress() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.arrived[inTeams] + b.arrived[inMatrix]
}

func (b *book) counts(s side) (said, arrived int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.said[s], b.arrived[s]
}

// open begins a message; root is nil for a post. It is not to be found by
// others until it has an id.
func (b *book) open(s side, by *person, at *place, root *remark, words string, picture bool) *remark {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &remark{side: s, author: by, place: at, root: root, picture: picture, reactions: map[string]id.EventID{}, used: map[string]bool{},
		reactedTo: map[string]id.EventID{}, loose: map[string]bool{}}
	r.token = fmt.Sprintf("%cq%06d", "tm"[s], b.said[s])
	r.text = r.token + " " + words
	b.said[s]++
	if root != nil {
		b.replies[s]++
	}
	if picture {
		b.pictures[s]++
	}
	b.all = append(b.all, r)
	b.byToken[r.token] = r
	at.remarks = append(at.remarks, r)
	return r
}

// seen notes that a message is on a side.
func (b *book) seen(token string, on side, event id.EventID, message string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.byToken[token]
	if r == nil {
		return
	}
	switch {
	case event == "" || event == r.event:
	case r.event == "":
		r.event = event
	default:
		r.others = append(r.others, event)
	}
	if event != "" {
		b.byEvent[event] = r
	}
	if message != "" && r.message == "" {
		r.message = message
	}
	if on != r.side {
		b.arrive(r)
	}
}

func (b *book) arrive(r *remark) {
	if !r.arrived {
		r.arrived = true
		b.arrived[r.side]++
	}
}

// gone notes that an event was redacted: where another says the same, that one
// is what people answer from now on.
func (b *book) gone(event id.EventID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.byEvent[event]
	if r == nil || r.side == inMatrix {
		return
	}
	for emoji, to := range r.reactedTo {
		r.loose[emoji] = r.loose[emoji] || to == event
	}
	for _, other := range r.place.remarks {
		other.looseRoot = other.looseRoot || other.rootEvent == event
	}
	r.others = slices.DeleteFunc(r.others, func(other id.EventID) bool { return other == event })
	if r.event == event && len(r.others) > 0 {
		r.event, r.others = r.others[0], r.others[1:]
	}
}

// within bounds how far back people look for something to react to.
const within = 40

// pick finds a message that fits, among a place's newest.
func (b *book) pick(rng *rand.Rand, at *place, fits func(r *remark) bool) *remark {
	b.mu.Lock()
	defer b.mu.Unlock()
	recent := at.remarks[max(0, len(at.remarks)-within):]
	for _, i := range rng.Perm(len(recent)) {
		if r := recent[i]; !r.deleted && !r.busy && fits(r) {
			return r
		}
	}
	return nil
}

// known reports whether a message has an id on a side.
func (r *remark) known(on side) bool {
	if on == inTeams {
		return r.message != ""
	}
	return r.event != ""
}

// answer finds a post to reply to, which is not deleted from now on.
func (b *book) answer(rng *rand.Rand, on side, at *place) *remark {
	return b.pick(rng, at, func(r *remark) bool {
		ok := r.root == nil && !r.closed && r.known(on)
		if ok {
			r.replies++
		}
		return ok
	})
}

// change finds a message that its author changes on its own side.
func (b *book) change(rng *rand.Rand, on side, at *place, fits func(r *remark) bool) *remark {
	return b.pick(rng, at, func(r *remark) bool {
		ok := r.side == on && r.known(on) && fits(r)
		r.busy = r.busy || ok
		return ok
	})
}

// note writes something down.
func (b *book) note(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// done ends a change; note writes down what came of it.
func (b *book) done(r *remark, note func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if note != nil {
		note()
	}
	r.busy = false
}

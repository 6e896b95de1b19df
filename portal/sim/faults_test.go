package sim

import (
	"fmt"
	"hash/fnv"
	"strings"
	"sync"
	"time"

	"maunium.net/go/mautrix/event"

	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// maxTries bounds how often one thing is disturbed, so that it gets through.
const maxTries = 4

// faults decides what goes wrong. Every decision is a hash of the seed, of what
// is done and of how often that was tried before, so that it does not depend on
// what else happens at the time.
type faults struct {
	seed  uint64
	began time.Time
	// windows are times in which something is away.
	windows []window

	mu     sync.Mutex
	over   bool
	tries  map[string]int
	until  map[string]time.Time // the end of a write's announced Retry-After
	since  map[string]time.Time // and when it was announced
	early  []string             // what came before it
	counts map[string]int
}

// window is a time in which something is away: teams, homeserver, alice, relay,
// or a channel that forbids.
type window struct {
	what     string
	from, to time.Duration
}

func newFaults(p *plan) *faults {
	f := &faults{
		seed: p.seed, began: time.Now(), tries: map[string]int{}, until: map[string]time.Time{}, since: map[string]time.Time{}, counts: map[string]int{},
	}
	for _, what := range []string{"teams", "homeserver", portaltest.Alice, portaltest.Relay, p.channels[0].ChannelID} {
		if f.draw(5, "window", what) != 0 {
			continue
		}
		lengths := []time.Duration{10 * time.Second, 10 * time.Minute, 6 * time.Hour}
		length := lengths[f.draw(len(lengths), "length", what)]
		if what == p.channels[0].ChannelID {
			length = 10 * time.Minute
		}
		from := time.Duration(f.draw(1000, "from", what)) * p.span / 1000
		f.windows = append(f.windows, window{what, from, from + length})
	}
	return f
}

// skew is how far Teams' clock is from the bridge's: in one of three seeds, by up
// to a minute and a half.
func (f *faults) skew() time.Duration {
	if f.draw(3, "has", "skew") != 0 {
		return 0
	}
	return time.Duration(f.draw(181, "skew")-90) * time.Second
}

// draw returns a number below n that depends on the seed and the words.
func (f *faults) draw(n int, words ...any) int {
	h := fnv.New64a()
	fmt.Fprint(h, f.seed)
	for _, w := range words {
		fmt.Fprintf(h, "|%v", w)
	}
	x := h.Sum64() // FNV alone does not mix short inputs well enough
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return int(x % uint64(n))
}

// roll decides about one try of something: whether the fault of a kind, which a
// seed may not have at all, strikes with a chance of percent.
func (f *faults) roll(percent int, kind, what string, try int) bool {
	if try >= maxTries || f.draw(3, "has", kind) == 0 || f.draw(100, kind, what, try) >= percent {
		return false
	}
	f.counts[kind]++
	return true
}

// try counts one more try of something; f.mu is held.
func (f *faults) try(what string) int {
	f.tries[what]++
	return f.tries[what] - 1
}

func (f *faults) away(what string) bool {
	at := time.Since(f.began)
	for _, w := range f.windows {
		if w.what == what && w.from <= at && at < w.to {
			f.counts["away: "+what]++
			return true
		}
	}
	return false
}

// had reports whether the seed has such a window.
func (f *faults) had(what string) bool {
	for _, w := range f.windows {
		if w.what == what {
			return true
		}
	}
	return false
}

// crashed forgets what was announced at the moment of a crash: the bridge may have
// died before it could write that down.
func (f *faults) crashed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for what, at := range f.since {
		if !at.Before(time.Now()) {
			delete(f.until, what)
		}
	}
}

// end ends all faults.
func (f *faults) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
}

const poison = "poison"

// write decides about a write to Teams.
func (f *faults) write(w portaltest.Write) (out portaltest.Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.Contains(w.HTML, poison) {
		return portaltest.Fault{Refuse: portaltest.ErrBadRequest}
	}
	if f.over {
		return out
	}
	// That nothing else goes to a paused channel either is the HTTP stack's
	// business (package teams), which is not in here.
	what := strings.Join([]string{w.Op, w.Channel.ChannelID, w.Target, portaltest.Plain(w.HTML)}, "|")
	if time.Now().Before(f.until[what]) {
		f.early = append(f.early, what)
	}
	switch {
	case f.away("teams"):
		return portaltest.Fault{Refuse: portaltest.ErrUnavailable}
	case f.away(w.Account):
		return portaltest.Fault{Refuse: portaltest.ErrExpired}
	case f.away(w.Channel.ChannelID):
		return portaltest.Fault{Refuse: portaltest.ErrPermission}
	}
	try := f.try(what)
	if f.roll(30, "write slow", what, try) {
		out.Delay = time.Duration(f.draw(4000, "delay", what, try)) * time.Millisecond
	}
	switch {
	case f.roll(10, "write throttled", what, try):
		after := time.Duration(1+f.draw(60, "after", what, try)) * time.Second
		f.until[what], f.since[what] = time.Now().Add(after), time.Now()
		out.Refuse, out.Delay = portaltest.Throttled(after), 0
	case f.roll(10, "write unavailable", what, try):
		out.Refuse = portaltest.ErrUnavailable
	case f.roll(6, "write cut before", what, try):
		out.Refuse = portaltest.ErrAmbiguous
	case f.roll(12, "write answer lost", what, try):
		out.Lose = portaltest.ErrAmbiguous
	case f.roll(8, "write accepted late", what, try):
		out.Refuse, out.Late = portaltest.ErrAmbiguous, time.Duration(500+f.draw(12000, "late", what, try))*time.Millisecond
	}
	return out
}

// lag is how long readers do not see a message.
func (f *faults) lag(m teams.Message) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over || f.draw(3, "has", "lag") == 0 || f.draw(100, "lag", m.ID) >= 30 {
		return 0
	}
	return time.Duration(f.draw(8000, "lag of", m.ID)) * time.Millisecond
}

// writeLag is how long a message is not known by its id.
func (f *faults) writeLag(m teams.Message) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over || f.draw(3, "has", "write lag") == 0 || f.draw(100, "write lag", m.ID) >= 30 {
		return 0
	}
	return time.Duration(f.draw(25_000, "write lag of", m.ID)) * time.Millisecond
}

// read decides about a read of Teams.
func (f *faults) read(r portaltest.Read) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return nil
	}
	what := strings.Join([]string{"read", r.Op, r.Channel.ChannelID, r.Target}, "|")
	if f.away("teams") {
		return portaltest.ErrUnavailable
	}
	switch try := f.try(what); {
	case f.roll(12, "read unavailable", what, try%maxTries+try/maxTries):
		return portaltest.ErrUnavailable
	case f.roll(5, "read throttled", what, try):
		return portaltest.Throttled(5 * time.Second)
	}
	return nil
}

// send decides about a send to the homeserver.
func (f *faults) send(s portaltest.Send) (out portaltest.SendFault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return out
	}
	if f.away("homeserver") {
		return portaltest.SendFault{Refuse: portaltest.Down()}
	}
	what := s.Type.Type + "|" + s.Key
	try := f.try(what)
	if s.Type == event.EventRedaction && f.roll(5, "redaction slow", what, try) {
		out.Delay = 5 * time.Second
	}
	if f.roll(20, "send slow", what, try) {
		out.Delay = time.Duration(f.draw(2500, "delay", what, try)) * time.Millisecond
	}
	switch {
	case f.roll(8, "send refused", what, try):
		out.Refuse = portaltest.Down()
	case f.roll(8, "send throttled", what, try):
		out.Refuse = portaltest.Refused(429, "M_LIMIT_EXCEEDED")
	case f.roll(10, "send answer lost", what, try):
		out.Lose = portaltest.Down()
	case f.roll(6, "send cut while working", what, try):
		out.Cut = time.Duration(100+f.draw(2500, "cut", what, try)) * time.Millisecond
	case s.Type == event.EventMessage && f.roll(2, "send cut for long", what, try):
		out.Cut = time.Duration(5+f.draw(30, "cut", what, try)) * time.Second
	}
	return out
}

// notice decides about a notification: when it comes, and how often.
func (f *faults) notice(m teams.Message) (after []time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	what := fmt.Sprint("notice|", m.ID, "|", m.ETag)
	soon := time.Duration(50+f.draw(1500, "notice", what)) * time.Millisecond
	if f.over {
		return []time.Duration{soon}
	}
	switch {
	case f.away("teams") || f.roll(12, "notification lost", what, 0):
		return nil
	case f.roll(12, "notification twice", what, 0):
		return []time.Duration{soon, soon + time.Duration(f.draw(120_000, "again", what))*time.Millisecond}
	case f.roll(10, "notification late", what, 0):
		return []time.Duration{soon + time.Duration(f.draw(600, "late", what))*time.Second}
	}
	return []time.Duration{soon}
}

// again decides how often a transaction is delivered once more.
func (f *faults) again(txn int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over || !f.roll(20, "transaction again", fmt.Sprint("txn|", txn), 0) {
		return 0
	}
	return 1 + f.draw(2, "times", txn)
}

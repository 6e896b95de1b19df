package teams

import (
	"slices"
	"sync"
	"time"
)

// What Graph does with an endpoint that is slow: more than a tenth of the
// answers of ten minutes late, and what is new comes late; more than a seventh,
// and it is dropped for up to ten minutes. Neither is told, and what was dropped
// does not come again.
const (
	endpointWindow = 10 * time.Minute
	endpointState  = 10 * time.Minute
	// lateAnswer is below the 3 seconds that Graph waits, because it counts the
	// way through the network too, and lateShare, in percent, below its tenth.
	lateAnswer = 2500 * time.Millisecond
	lateShare  = 5
	// announceGrace is how late a notification may be; Graph promises a minute.
	announceGrace = 2 * time.Minute
	// longestDelay is for how long Graph tries to deliver: what comes later than
	// that was not delayed but, for example, moved here from elsewhere.
	longestDelay = 4 * time.Hour
	// What is remembered is bounded. To forget something can only mean a doubt
	// without a reason, or one that another message will give a reason for.
	rememberExpected  = 2000
	rememberAnnounced = 4000
)

// Reasons to doubt that notifications bring everything.
const (
	// DoubtStarted: nobody was here to answer.
	DoubtStarted = "started"
	// DoubtSlow: our answers are late, so Graph may delay or drop.
	DoubtSlow = "slow"
	// DoubtRefused: a notification was refused; Graph repeats it, but not soon.
	DoubtRefused = "refused"
	// DoubtLate: Graph delivers late, as it does before it drops.
	DoubtLate = "late"
	// DoubtUnannounced: a message was found of which no notification told.
	DoubtUnannounced = "unannounced"
	// DoubtUnsubscribed: messages are not all subscribed to; it holds for what
	// is not.
	DoubtUnsubscribed = "unsubscribed"
)

// DoubtReasons returns every reason.
func DoubtReasons() []string {
	return []string{DoubtStarted, DoubtSlow, DoubtRefused, DoubtLate, DoubtUnannounced, DoubtUnsubscribed}
}

// doubtLife is how long a doubt outlives its reason. Late answers count for a
// window, and the state that they cause lasts after it.
func doubtLife(reason string) time.Duration {
	switch reason {
	case DoubtStarted, DoubtSlow:
		return endpointWindow + endpointState + announceGrace
	case DoubtUnsubscribed:
		return announceGrace
	default:
		return endpointState + announceGrace
	}
}

// WebhookDoubts judges whether notifications may be missing. It goes by how
// long our own answers took, by how old what is new is when it is announced, by
// messages that are known to exist and that a notification has to announce, and
// by the subscriptions.
type WebhookDoubts struct {
	now func() time.Time

	mu      sync.Mutex
	answers []answered
	// expected is by when a message has to be announced.
	expected map[MessageRef]time.Time
	// announced and before are two generations of what was announced.
	announced, before map[MessageRef]bool
	since             time.Time
	until             map[string]time.Time
	// unsubscribed is until when a scope is one of which nothing tells.
	unsubscribed map[Scope]time.Time
	// excused is until when we are the reason why a notification comes late:
	// nobody was here, or it was refused before.
	excused time.Time
}

// answered is what was answered within a second: how often, and how often late.
type answered struct {
	second    int64
	all, late int
}

// WebhookDoubt is why notifications can't be relied on; the zero value says
// that they can.
type WebhookDoubt struct {
	Since, Until time.Time
	Reasons      []string
	// Scopes is of what they may be missing; the zero Scope stands for everything.
	Scopes []Scope
}

// Any reports whether there is a doubt.
func (d WebhookDoubt) Any() bool { return len(d.Reasons) > 0 }

// NewWebhookDoubts returns doubts of which there are none yet.
func NewWebhookDoubts(now func() time.Time) *WebhookDoubts {
	if now == nil {
		now = time.Now
	}
	return &WebhookDoubts{
		now: now, expected: map[MessageRef]time.Time{}, announced: map[MessageRef]bool{}, until: map[string]time.Time{},
		unsubscribed: map[Scope]time.Time{}, excused: now(),
	}
}

// Note begins a doubt or makes it last.
func (d *WebhookDoubts) Note(reason string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.note(reason, d.now())
}

// Unsubscribed begins a doubt about scopes, or makes it last, because no
// subscription tells of their messages.
func (d *WebhookDoubts) Unsubscribed(scopes []Scope) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	for scope, until := range d.unsubscribed {
		if !now.Before(until) {
			delete(d.unsubscribed, scope)
		}
	}
	for _, scope := range scopes {
		d.begin(now)
		d.unsubscribed[scope] = now.Add(doubtLife(DoubtUnsubscribed))
	}
}

// begin notes since when there is a doubt.
func (d *WebhookDoubts) begin(at time.Time) {
	if len(d.reasons(at)) == 0 {
		d.since = at
	}
}

func (d *WebhookDoubts) note(reason string, at time.Time) {
	d.begin(at)
	if until := at.Add(doubtLife(reason)); until.After(d.until[reason]) {
		d.until[reason] = until
	}
}

// Answered tells how long a notification's answer took, and whether it was no.
func (d *WebhookDoubts) Answered(took time.Duration, refused bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	second := now.Unix()
	if n := len(d.answers); n == 0 || d.answers[n-1].second != second {
		d.answers = append(d.answers, answered{second: second})
	}
	newest := &d.answers[len(d.answers)-1]
	newest.all++
	if took >= lateAnswer {
		newest.late++
	}
	oldest := now.Add(-endpointWindow).Unix()
	d.answers = slices.DeleteFunc(d.answers, func(a answered) bool { return a.second < oldest })
	all, late := 0, 0
	for _, a := range d.answers {
		all, late = all+a.all, late+a.late
	}
	if late*100 > lateShare*all {
		d.note(DoubtSlow, now)
	}
	if refused {
		d.excused = now
		d.note(DoubtRefused, now)
	}
}

// Expect tells of a message that a notification has to announce, or has.
func (d *WebhookDoubts) Expect(ref MessageRef) {
	ref.RootID = "" // a reply may be announced by either of its names
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.announced[ref] || d.before[ref] || len(d.expected) >= rememberExpected {
		return
	}
	if _, known := d.expected[ref]; !known {
		d.expected[ref] = d.now().Add(announceGrace)
	}
}

// Announced tells what a notification has told of.
func (d *WebhookDoubts) Announced(refs []MessageRef) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	for _, ref := range refs {
		ref.RootID = ""
		if late := now.Sub(ref.Created()); late > announceGrace && late < longestDelay && ref.Created().After(d.excused) {
			d.note(DoubtLate, now)
		}
		if due, ok := d.expected[ref]; ok && !now.After(due) {
			delete(d.expected, ref)
		}
		if len(d.announced) >= rememberAnnounced/2 {
			d.before, d.announced = d.announced, make(map[MessageRef]bool, rememberAnnounced/2)
		}
		d.announced[ref] = true
	}
}

// State returns what there is to doubt now.
func (d *WebhookDoubts) State() WebhookDoubt {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	for ref, due := range d.expected {
		if now.After(due) {
			delete(d.expected, ref)
			d.note(DoubtUnannounced, now)
		}
	}
	reasons := d.reasons(now)
	if len(reasons) == 0 {
		return WebhookDoubt{}
	}
	out := WebhookDoubt{Since: d.since, Reasons: reasons}
	everything := now.Before(d.unsubscribed[Scope{}])
	for _, until := range d.until {
		everything = everything || now.Before(until)
		if until.After(out.Until) {
			out.Until = until
		}
	}
	for scope, until := range d.unsubscribed {
		if now.Before(until) {
			out.Scopes = append(out.Scopes, scope)
		}
		if until.After(out.Until) {
			out.Until = until
		}
	}
	if everything {
		out.Scopes = []Scope{{}}
	}
	return out
}

// reasons returns those that hold at a time, always in the same order.
func (d *WebhookDoubts) reasons(at time.Time) (out []string) {
	for _, reason := range DoubtReasons() {
		holds := at.Before(d.until[reason])
		if reason == DoubtUnsubscribed {
			for _, until := range d.unsubscribed {
				holds = holds || at.Before(until)
			}
		}
		if holds {
			out = append(out, reason)
		}
	}
	return out
}

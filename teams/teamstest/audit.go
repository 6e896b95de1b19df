package teamstest

import (
	"crypto/sha256"
	"net/http"
	"sync"
	"time"
)

const (
	// repeatWindow is how long the same message in the same place is taken
	// for the same write. People do say the same thing twice; tests should
	// not let them within it.
	repeatWindow = 5 * time.Minute
	// pollWindow is how often the terms of use let a resource be listed.
	pollWindow = 24 * time.Hour
	// auditSize bounds what the audit remembers.
	auditSize = 100_000
)

// audit notices what Graph would not refuse and a client must not do.
type audit struct {
	mu     sync.Mutex
	posts  map[[32]byte]time.Time
	writes map[string]lastWrite
	polls  map[string]time.Time
}

// lastWrite is the newest write to a resource.
type lastWrite struct {
	sum  [32]byte
	at   time.Time
	told bool // the client got its answer
}

func newAudit() *audit {
	a := &audit{}
	a.reset()
	return a
}

func (a *audit) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.posts, a.writes, a.polls = map[[32]byte]time.Time{}, map[string]lastWrite{}, map[string]time.Time{}
}

// write notes a write that was applied, and whether its answer reaches the
// client; repeated says that it had been applied before. A message sent again
// is always a repetition. Other writes do no harm twice, and after a lost
// answer they must be repeated; only when the answer was given, and nothing
// else happened to the resource, is it one.
func (a *audit) write(x *exchange, told bool) (repeated bool) {
	now := x.received
	sum := sha256.Sum256([]byte(x.caller.AppID + "\x00" + x.caller.UserID + "\x00" + string(x.op) + "\x00" + x.path + "\x00" + string(x.body)))
	a.mu.Lock()
	defer a.mu.Unlock()
	if x.op == OpPostMessage || x.op == OpPostReply {
		at, ok := a.posts[sum]
		if len(a.posts) > auditSize {
			clear(a.posts)
		}
		a.posts[sum] = now
		return ok && now.Sub(at) < repeatWindow
	}
	switch x.op {
	case OpPatchMessage, OpSoftDelete, OpUndoSoftDelete, OpSetReaction, OpUnsetReaction:
	default:
		return false
	}
	resource := x.caller.UserID + " " + x.vars["team"] + "/" + x.vars["channel"] + "/" + x.vars["message"] + "/" + x.vars["reply"]
	previous := a.writes[resource]
	if len(a.writes) > auditSize {
		clear(a.writes)
	}
	a.writes[resource] = lastWrite{sum, now, told}
	return previous.told && previous.sum == sum && now.Sub(previous.at) < repeatWindow
}

// poll notes that a listing was begun; again says that the same one was begun
// within the last day.
func (a *audit) poll(x *exchange) (again bool) {
	switch x.op {
	case OpMessages, OpMessagesDelta, OpReplies, OpExport:
	default:
		return false
	}
	if x.r.Method != http.MethodGet || x.query.Get("$skiptoken") != "" {
		return false
	}
	key := x.caller.AppID + " " + x.path
	a.mu.Lock()
	defer a.mu.Unlock()
	at, ok := a.polls[key]
	if len(a.polls) > auditSize {
		clear(a.polls)
	}
	a.polls[key] = x.received
	return ok && x.received.Sub(at) < pollWindow
}

package crashtest

import (
	"cmp"
	"math"
	"net/http"
	"slices"

	"github.com/tidwall/gjson"
	"maunium.net/go/mautrix/id"

	"teamsbridge/internal/stack"
)

// listen notes in which order the homeserver tells the bridge of events.
// Dendrite does not tell what it made just before it was stopped until half a
// minute after it came back, behind newer ones, and Synapse forgets a
// transaction now and then (see matrix/untold.go): the bridge can't know of such
// a message before it passes a younger one on.
func (r *run) listen() {
	r.stack.Inbound.Tap(func(q *http.Request) func([]byte) {
		if !transactions(q) {
			return nil
		}
		return func(body []byte) {
			r.mu.Lock()
			defer r.mu.Unlock()
			gjson.GetBytes(body, "events.#.event_id").ForEach(func(_, eventID gjson.Result) bool {
				if _, known := r.told[id.EventID(eventID.Str)]; !known {
					r.told[id.EventID(eventID.Str)] = len(r.told)
				}
				return true
			})
		}
	})
}

// toldLate returns the events of which the bridge was told after a younger one of
// the same room, or was not told at all. r.mu is held.
func (r *run) toldLate(entries []stack.Entry) map[id.EventID]bool {
	late := map[id.EventID]bool{}
	said := slices.Clone(entries)
	slices.SortStableFunc(said, func(a, b stack.Entry) int { return cmp.Compare(r.order[a.EventID], r.order[b.EventID]) })
	const never = math.MaxInt
	first := never
	for _, e := range slices.Backward(said) {
		if _, known := r.order[e.EventID]; !known || stack.SourceMessage(e) != "" {
			continue
		}
		told, known := r.told[e.EventID]
		if !known {
			told = never
		}
		late[e.EventID] = told > first
		first = min(first, told)
	}
	return late
}

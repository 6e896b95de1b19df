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
	_, said := r.asSaid(entries)
	const never = math.MaxInt
	first := never
	for _, e := range slices.Backward(said) {
		told, known := r.told[e.EventID]
		if !known {
			told = never
		}
		late[e.EventID] = told > first
		first = min(first, told)
	}
	return late
}

// asSaid returns what was said in Matrix in the order in which it came down to a
// client, and the places that it has in the room: Dendrite's pages show events of one
// depth in another order here and there. What the client never got stays behind what
// it follows in the room: a Dendrite that is being stopped answers /sync with success,
// without what it could not read any more and with a position behind that. r.mu is
// held.
func (r *run) asSaid(entries []stack.Entry) (places []int, said []stack.Entry) {
	ranks, rank := map[id.EventID]int{}, -1
	for i, e := range entries {
		if stack.SourceMessage(e) != "" {
			continue
		}
		if came, known := r.order[e.EventID]; known {
			rank = came
		}
		ranks[e.EventID] = rank
		places, said = append(places, i), append(said, e)
	}
	slices.SortStableFunc(said, func(a, b stack.Entry) int { return cmp.Compare(ranks[a.EventID], ranks[b.EventID]) })
	return places, said
}

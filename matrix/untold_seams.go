package matrix

import (
	"encoding/json"
	"slices"

	"github.com/tidwall/gjson"
)

// Dendrite (0.15.2) loses or repeats events of the same depth where two pages of
// a room meet. So a room is read twice, the second time from its end and half a
// page further on, and what only one of the readings has counts as well.

// seamShift is that half page; Dendrite gives pages of at most 100 events, whatever
// is asked for.
const seamShift = 50

// eventIDs returns the ids of events.
func eventIDs(events []json.RawMessage) []string {
	out := make([]string, len(events))
	for i, raw := range events {
		out[i] = gjson.GetBytes(raw, "event_id").Str
	}
	return out
}

// mergeReadings puts what only the second reading of a room has into the first:
// behind the event that it follows there, and in front of the one that follows it.
// Each event is there once.
func mergeReadings(first, second []json.RawMessage) []json.RawMessage {
	var out []json.RawMessage
	var ids []string
	known := map[string]bool{}
	for i, eventID := range eventIDs(first) {
		if !known[eventID] {
			known[eventID] = true
			out, ids = append(out, first[i]), append(ids, eventID)
		}
	}
	again := eventIDs(second)
	for i, eventID := range again {
		if known[eventID] {
			continue
		}
		place := 0
		if i > 0 {
			place = slices.Index(ids, again[i-1]) + 1
		}
		for _, next := range again[i+1:] {
			if known[next] {
				place = min(place, slices.Index(ids, next))
				break
			}
		}
		known[eventID] = true
		out, ids = slices.Insert(out, place, second[i]), slices.Insert(ids, place, eventID)
	}
	return out
}

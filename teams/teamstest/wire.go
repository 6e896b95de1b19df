package teamstest

import (
	"net/http"
	"strings"
)

// prefersUnknown reports whether a request carries the preference that makes
// Graph name enum values that it added later, instead of unknownFutureValue.
func prefersUnknown(h http.Header) bool {
	for _, line := range h.Values("Prefer") {
		for part := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(part), "include-unknown-enum-members") {
				return true
			}
		}
	}
	return false
}

// encodeForNotification renders a changed object for a rich notification.
func encodeForNotification(object any, unknownMembers bool) []byte {
	if object == nil {
		return nil
	}
	return mustJSON(object)
}

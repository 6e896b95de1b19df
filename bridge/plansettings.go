package bridge

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// words say what a room is set to, for a plan.
func (s roomSettings) words() string {
	who := "joined on invitation"
	if s.OpenTo != "" {
		who = "whoever is in the space may join"
	}
	words := []string{who, "history visible to: " + string(s.History)}
	for _, mxid := range slices.Sorted(maps.Keys(s.Levels)) {
		words = append(words, fmt.Sprintf("power level %d for %s", s.Levels[mxid], mxid))
	}
	return strings.Join(words, "; ")
}

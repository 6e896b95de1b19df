package msgconv

import (
	"maunium.net/go/mautrix/id"

	"teamsbridge/teams"
)

// mention is who an element of a tree mentions, on the side that the tree is for.
type mention struct {
	mxid  id.UserID
	room  bool
	teams *teams.Mention
	// size is what the mention takes beside the HTML.
	size int
}

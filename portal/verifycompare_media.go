package portal

import (
	"slices"
	"strings"

	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

// sameSource reports whether a row shows the picture or file that a part has now.
// Of what a version before has delivered nobody knows it.
func sameSource(part shownPart, row *rowSide) bool {
	return part.source == "" || row.Source == "" || part.source == row.Source
}

// sameTexts reports whether it is in pictures and files alone that rows show
// something else than would be shown now.
func sameTexts(t *teamsSide, rows []*rowSide) bool {
	media := false
	for _, part := range t.Parts {
		at := slices.IndexFunc(rows, func(row *rowSide) bool { return row.Part == part.id })
		switch {
		case at < 0 && part.source == "", at >= 0 && part.hash != "" && rows[at].PartHash != part.hash:
			return false
		case at < 0, !sameSource(part, rows[at]):
			media = true
		}
	}
	return media
}

// otherMedia judges whether an event shows the picture or file that its row says.
func (c *comparison) otherMedia(t *teamsSide, row *rowSide, e *matrixSide) bool {
	if row.Media == "" || e.Media == "" || row.Media == e.Media || c.s.partial[e.ID] {
		return false
	}
	c.find(Finding{Class: DifferentMedia, Message: t.ID, Event: id.EventID(row.Event), At: t.Created, fix: fixReshow})
	return true
}

// ownFile judges whether a post of ours has the file that came with it.
func (c *comparison) ownFile(t *teamsSide, part *database.SentPart) {
	if part == nil || t.Deleted || part.Attachment == "" || slices.Contains(t.Files, strings.ToLower(part.Attachment)) || c.editing(c.events[part.EventID]) {
		return
	}
	c.find(Finding{Class: DifferentMedia, Message: t.ID, Event: id.EventID(part.EventID), At: t.Created, Reason: whyFile})
}

package msgconv

import (
	"slices"
	"strings"

	"teamsbridge/teams"
)

// WithAdded returns a new text for a message with the pictures, files and snippets
// that somebody has put into it in Teams: those of whose addresses added says so.
func WithAdded(m teams.Message, d teams.Draft, added func(source string) bool) teams.Draft {
	for _, image := range hostedImages(m) {
		if added(image.ref.URL) {
			d.HTML += image.html
		}
	}
	var kept []teams.Attachment
	for i := range m.Attachments {
		a := m.Attachments[i]
		source := sourceOf(&a, m.Channel)
		have := func(b teams.Attachment) bool { return strings.EqualFold(a.ID, b.ID) }
		if source != "" && a.ID != "" && added(source) && !slices.ContainsFunc(d.Attachments, have) {
			kept = append(kept, a)
		}
	}
	if len(kept) > 0 {
		d.HTML += marks(d.HTML, kept)
		d.Attachments = append(slices.Clone(d.Attachments), kept...)
	}
	return d
}

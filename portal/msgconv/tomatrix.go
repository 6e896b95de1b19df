package msgconv

import (
	"html"
	"strings"

	"maunium.net/go/mautrix/event"

	"teamsbridge/teams"
)

// ToMatrix converts a Teams message, without its reactions, to Matrix.
func ToMatrix(m teams.Message, env MatrixEnv) Rendered {
	if !m.Deleted.IsZero() {
		return Rendered{Deleted: true}
	}
	content := &event.MessageEventContent{MsgType: event.MsgText, Body: m.Body, Mentions: &event.Mentions{}}
	return Rendered{Parts: []Part{{Type: event.EventMessage, Content: content}}}
}

// Images lists the images in the body of a message in document order.
func Images(m teams.Message) []ImageRef { return nil }

// ToTeams converts a Matrix message to drafts for Teams, at least one unless
// there is an error, each within MaxDraftSize.
func ToTeams(c *event.MessageEventContent, env TeamsEnv) ([]teams.Draft, error) {
	if strings.TrimSpace(c.Body) == "" {
		return nil, ErrNothingToSend
	}
	return []teams.Draft{{HTML: strings.ReplaceAll(html.EscapeString(c.Body), "\n", "<br>")}}, nil
}

package msgconv

import (
	"encoding/json"
	"html"

	"maunium.net/go/mautrix/event"

	"teamsbridge/teams"
)

// HasFile reports whether a message is a file that could be attached to a
// message in Teams. A picture is one, too, where it can't go inline.
func HasFile(c *event.MessageEventContent) bool {
	switch c.MsgType {
	case event.MsgFile, event.MsgVideo, event.MsgAudio, event.MsgImage:
		return c.URL != "" || c.File != nil && c.File.URL != ""
	}
	return false
}

// attach puts the message's file behind its last draft.
func (t *toTeams) attach(drafts []teams.Draft) {
	f := t.env.File
	if !t.showsFile() || len(drafts) == 0 {
		return
	}
	last := &drafts[len(drafts)-1]
	last.HTML += attachmentMark(f.ID)
	last.Attachments = []teams.Attachment{*f}
}

// showsFile reports whether the message's file is attached.
func (t *toTeams) showsFile() bool { return t.env.File != nil && t.image == nil && HasFile(t.c) }

// attachmentMark is how a body refers to an attachment.
func attachmentMark(id string) string {
	return `<attachment id="` + html.EscapeString(id) + `"></attachment>`
}

// attachmentSize is what an attachment takes of a message's size, which Graph
// counts whole.
func attachmentSize(f *teams.Attachment) int {
	if f == nil {
		return 0
	}
	raw, err := json.Marshal(f)
	if err != nil {
		return 0
	}
	const null = 64 // what is not set is written all the same
	return len(attachmentMark(f.ID)) + len(raw) + null
}

package portal

import (
	"maunium.net/go/mautrix/event"
)

// What the bridge itself says in rooms; what it says inside converted messages
// stands in msgconv.
const (
	textEditedInTeams  = "✏️ This message was edited in Teams. It now says:"
	textDeletedInTeams = "This message was deleted in Teams."

	problemTooLarge = "too large"
	problemGone     = "not available any more"
	problemForeign  = "on a host outside Teams"
	problemNoAnswer = "Teams did not hand it out"

	problemElsewhere    = "kept outside the channel's folder"
	problemMalware      = "blocked because of malware"
	problemRefused      = "Teams refuses access to it"
	problemTooLargeHere = "too large for the homeserver"
	problemHomeserver   = "the homeserver refused it"
	problemNotCopied    = "files are not copied"
	problemNotTaken     = "Teams did not take it"
	problemEmpty        = "empty"
	problemNoSpace      = "no space left in Teams"
	problemNoUpload     = "the account may not put files into this channel"
)

// placeholderPart stands for a root that was deleted before the bridge saw it.
func placeholderPart() rendered {
	return rendered{kind: event.EventMessage, content: &event.MessageEventContent{
		MsgType: event.MsgNotice, Body: textDeletedInTeams,
	}}
}

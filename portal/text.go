package portal

import (
	"maps"

	"maunium.net/go/mautrix/event"

	"teamsbridge/portal/msgconv"
	"teamsbridge/texts"
)

// Why a picture or file is not there. Metrics count by these, so that they are
// the same in every language; people are told what spoken says.
const (
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

// Why a row will never be in Teams, beside the errors of status.go.
const (
	failNotConvertible = "the bridge can't convert it"
	failNoChannel      = "this room is not a channel in Teams"
	failOnlyPart       = "of a message from Teams only the text can be edited, and a part be deleted, where it is one event; to delete all of it, delete all its events"
	failTargetUnknown  = "the bridge does not know the message"
	failPanic          = "the bridge could not handle it"
	failOwnAccount     = "the Teams account that posted this is not signed in any more. It goes to Teams when that account has signed in again"
	failPermission     = "the account that writes to Teams is not allowed to do this in this channel"
	failNotThere       = "the channel or message is not there in Teams any more"
	failTooLarge       = "it is too large for Teams"
	failRefused        = "Teams refused it"
	failForeign        = "it names a host outside Teams"
)

// spokenMedia returns media whose problems are said in people's language.
func spokenMedia(x texts.Texts, media map[string]msgconv.Media) map[string]msgconv.Media {
	out := maps.Clone(media)
	for url, m := range out {
		m.Problem = spoken(x, m.Problem)
		out[url] = m
	}
	return out
}

// placeholderPart stands for a root that was deleted before the bridge saw it.
func placeholderPart(x texts.Texts) rendered {
	return rendered{kind: event.EventMessage, content: &event.MessageEventContent{
		MsgType: event.MsgNotice, Body: x.Say(texts.DeletedInTeams),
	}}
}

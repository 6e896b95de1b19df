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
	failTargetUnknown  = "the bridge does not know the message"
	failPanic          = "the bridge could not handle it"
	failOwnAccount     = "the Teams account that posted this is not signed in any more. It goes to Teams when that account has signed in again"
	failPermission     = "the account that writes to Teams is not allowed to do this in this channel"
	failNotThere       = "the channel or message is not there in Teams any more"
	failTooLarge       = "it is too large for Teams"
	failRefused        = "Teams refused it"
	failForeign        = "it names a host outside Teams"
)

// spokenKeys are the texts for reasons that the database and the metrics have
// in English.
var spokenKeys = map[string]texts.Key{
	problemTooLarge: texts.ProblemTooLarge, problemGone: texts.ProblemGone, problemForeign: texts.ProblemForeign,
	problemNoAnswer: texts.ProblemNoAnswer, problemElsewhere: texts.ProblemElsewhere, problemMalware: texts.ProblemMalware,
	problemRefused: texts.ProblemRefused, problemTooLargeHere: texts.ProblemTooLargeHere, problemHomeserver: texts.ProblemHomeserver,
	problemNotCopied: texts.ProblemNotCopied, problemNotTaken: texts.ProblemNotTaken, problemEmpty: texts.ProblemEmpty,
	problemNoSpace: texts.ProblemNoSpace, problemNoUpload: texts.ProblemNoUpload,

	errNotAuthorEdit.Error(): texts.WhyNotAuthorEdit, errNotAuthorDelete.Error(): texts.WhyNotAuthorDelete,
	errNotAuthorReaction.Error(): texts.WhyNotAuthorReaction, errDeleted.Error(): texts.WhyDeleted,
	errDetached.Error(): texts.WhyDetached, errDetachedTakeBack.Error(): texts.WhyDetachedTakeBack,
	errNeverSent.Error(): texts.WhyNeverSent, errBadReaction.Error(): texts.WhyBadReaction,
	errIsQueued.Error(): texts.WhyQueued, errUnreadable.Error(): texts.WhyUnreadable,
	msgconv.ErrNotEmoji.Error(): texts.ReactionNotEmoji, msgconv.ErrCustomEmoji.Error(): texts.ReactionCustom,
	msgconv.ErrNothingToSend.Error(): texts.NothingToSend,

	detailKept: texts.WhyKept, detailTooOld: texts.WhyTooOld, failNotConvertible: texts.WhyNotConvertible, failNoChannel: texts.WhyNoChannel,
	failTargetUnknown: texts.WhyTargetUnknown, failPanic: texts.WhyPanic, failOwnAccount: texts.WhyOwnAccount, failPermission: texts.WhyPermission,
	failNotThere: texts.WhyNotThere, failTooLarge: texts.WhyTooLarge, failRefused: texts.WhyRefused, failForeign: texts.WhyForeign,
}

// spoken says a reason in people's language. One that is not known stays as it is.
func spoken(x texts.Texts, reason string) string {
	if key, ok := spokenKeys[reason]; ok {
		return x.Say(key)
	}
	return reason
}

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

package bridge

import (
	"slices"

	"teamsbridge/portal"
	"teamsbridge/texts"
)

// phrases are what logs, metrics, the database and errors say in English and
// people are told in their language.
var phrases = texts.NewPhrases(slices.Concat(portal.PhraseKeys(), chosenKeys, commandKeys, hintKeys)...)

// spoken says a reason or an error in people's language. What is not known, such
// as Graph's own words, stays as it is.
func spoken(x texts.Texts, reason string) string { return phrases.Retell(x, reason) }

// chosenKeys say why something is mirrored or not, how accounts and subscriptions
// are, and why somebody has none.
var chosenKeys = []texts.Key{
	texts.ChosenExclude, texts.ChosenInclude, texts.ChosenRule, texts.ChosenNoGroup, texts.ChosenIncludeNot, texts.ChosenTeamNot, texts.ChosenMembershipNot,
	texts.ChosenExcludeChannels, texts.ChosenChannels, texts.ChosenChannelsNot, texts.ChosenMirror, texts.ChosenUnmirror, texts.ChosenDeleted,
	texts.AccountSealed,
	texts.MappedExcluded, texts.MappedNoGroup, texts.MappedGuest, texts.MappedNoAttribute, texts.MappedEmpty, texts.MappedTaken, texts.MappedElsewhere, texts.MappedForeign,
	texts.SubscriptionActive, texts.SubscriptionPending, texts.SubscriptionQuota, texts.SubscriptionUnreachable, texts.SubscriptionRefused,
	texts.SubscriptionUnavailable, texts.SubscriptionsNone, texts.SubscriptionsSome,
}

// commandKeys are problems of commands.
var commandKeys = []texts.Key{
	texts.OutageNotDeclared, texts.DrillGoesOn, texts.DrillInOutage, texts.DrillNone, texts.DrillNoReport, texts.DrillBound,
	texts.DoingListRooms, texts.DoingListChannels, texts.DoingStoreSignIn, texts.DoingForgetSignIn,
	texts.SignInDeclined, texts.SignInExpired, texts.VerifyUnusable, texts.VerifyStopped,
}

// hintKeys are what teams.Error tells operators to do.
var hintKeys = []texts.Key{
	texts.HintTokenStore, texts.HintNobody, texts.HintTokenNotStored, texts.HintSignInChanged, texts.HintNoCode, texts.HintNoRefresh,
	texts.HintWhose, texts.HintHosts, texts.HintTooLarge, texts.HintLimits, texts.HintPause, texts.HintSubscription, texts.HintUsers,
	texts.HintApplication, texts.HintDelegated, texts.HintWrite, texts.HintProxy, texts.HintKindOfSignIn, texts.HintSignInUnreachable,
	texts.HintNotSignIn, texts.HintSecretWrong, texts.HintSecretExpired, texts.HintNoApplication, texts.HintNoTenant, texts.HintCertificate,
	texts.HintPublicClient, texts.HintRedirect, texts.HintOtherSignIn, texts.HintApplicationDisabled, texts.HintConsent, texts.HintOtherTenant, texts.HintAccountDisabled,
	texts.HintAccountLocked, texts.HintPassword, texts.HintExpired, texts.HintPolicy, texts.HintNoGraph, texts.HintScope,
	texts.HintUnreadable, texts.HintBroken,
}

// words are the names of states and kinds, which stand alone.
var words = texts.NewPhrases(
	texts.StateQueued, texts.StateSending, texts.StateSent, texts.StateDone, texts.StateFailed, texts.StateCancelled, texts.StateParked,
	texts.StateUp, texts.StateDegraded, texts.StateDown, texts.StateRecovering, texts.KindUnknown,
	texts.RowMessage, texts.RowEdit, texts.RowReaction, texts.RowUnreact, texts.RowDelete,
	texts.ChannelStandard, texts.ChannelPrivate, texts.ChannelShared, texts.AccountRelay, texts.AccountUser,
)

// word is the name of a state or kind in people's language.
func word(x texts.Texts, name string) string { return words.Retell(x, name) }

// drills are what a drill is for, which its hold and its record say in English.
var drills = texts.NewPhrases(texts.DrillAll, texts.DrillTeam)

// inEnglish is a text as logs and the database have it.
func inEnglish(key texts.Key, pairs ...string) string { return texts.Texts{}.Say(key, pairs...) }

package portal

import (
	"slices"

	"teamsbridge/texts"
)

// phraseKeys are the texts for reasons that logs, metrics and the database have
// in English.
var phraseKeys = slices.Concat(toldKeys, kindKeys, rowKeys, foundKeys)

// PhraseKeys returns the texts for all reasons that come from here.
func PhraseKeys() []texts.Key { return slices.Clone(phraseKeys) }

var phrases = texts.NewPhrases(phraseKeys...)

// spoken says a reason in people's language. One that is not known stays as it is.
func spoken(x texts.Texts, reason string) string { return phrases.Retell(x, reason) }

// toldKeys are what people in rooms are told.
var toldKeys = []texts.Key{
	texts.ProblemTooLarge, texts.ProblemGone, texts.ProblemForeign, texts.ProblemNoAnswer, texts.ProblemElsewhere, texts.ProblemMalware,
	texts.ProblemRefused, texts.ProblemTooLargeHere, texts.ProblemHomeserver, texts.ProblemNotCopied, texts.ProblemNotTaken,
	texts.ProblemEmpty, texts.ProblemNoSpace, texts.ProblemNoUpload,

	texts.WhyNotAuthorEdit, texts.WhyNotAuthorDelete, texts.WhyNotAuthorReaction, texts.WhyDeleted, texts.WhyDetached,
	texts.WhyDetachedTakeBack, texts.WhyNeverSent, texts.WhyBadReaction, texts.WhyQueued, texts.WhyUnreadable,
	texts.ReactionNotEmoji, texts.ReactionCustom, texts.NothingToSend,

	texts.WhyKept, texts.WhyTooOld, texts.WhyNotConvertible, texts.WhyNoChannel, texts.WhyTargetUnknown, texts.WhyOnlyPart, texts.WhyPanic,
	texts.WhyOwnAccount, texts.WhyPermission, texts.WhyNotThere, texts.WhyTooLarge, texts.WhyRefused, texts.WhyForeign,
}

// kindKeys are the kinds of teams.Error, and what stands behind them.
var kindKeys = []texts.Key{
	texts.KindUnknown, texts.KindThrottled, texts.KindUnavailable, texts.KindSignInExpired, texts.KindPermission, texts.KindNotFound,
	texts.KindGone, texts.KindConflict, texts.KindBadRequest, texts.KindPrecondition, texts.KindForeignHost,
	texts.KindWithStatus, texts.KindWithPause, texts.KindOfTeams,
}

// rowKeys are the reasons of rows of the outbox and the ledger.
var rowKeys = []texts.Key{
	texts.RowNoAccount, texts.RowInDoubt, texts.RowUnclear, texts.RowBehind, texts.RowYoung, texts.RowAnnounced, texts.RowLost, texts.RowPanic, texts.RowError, texts.RowNotEmoji,
	texts.RowNotConvertible, texts.RowNotAChannel, texts.RowUnreadable, texts.RowUnknownKind, texts.RowUnknownKindDetail,
	texts.RowOwnSignIn, texts.RowNewerEdit, texts.RowTargetMissing, texts.RowTargetUnknown, texts.RowOnlyPart, texts.RowKept, texts.RowTooOld,
	texts.RowDropped, texts.RowDroppedDetail, texts.RowTakenBack, texts.RowEditedParked, texts.RowMessageDeleted, texts.RowEditOlder, texts.RowMessageTakenBack,
	texts.RowMessageStays, texts.RowDeletedBefore, texts.RowMessageDeletedBefore, texts.RowRemovedBefore, texts.RowNothingToDelete,
	texts.RowNothingToRemove, texts.RowNotMirrored,
	texts.RowNoRoom, texts.RowStarting, texts.RowStopping, texts.RowTimeout, texts.RowOwnEdit, texts.RowUnreachable, texts.RowThrottles,
	texts.RowRefusesBridge, texts.RowForbids, texts.RowRefusesEvent, texts.RowHomeserverFails, texts.RowLedger,
}

// foundKeys are what comparisons say.
var foundKeys = []texts.Key{
	texts.FoundMissingInMatrix, texts.FoundMissingInTeams, texts.FoundGone, texts.FoundDoubledInMatrix, texts.FoundDoubledInTeams,
	texts.FoundText, texts.FoundMedia, texts.FoundDeletedInTeams, texts.FoundDeletedInMatrix, texts.FoundReactions, texts.FoundOrder, texts.FoundThread,
	texts.FoundUnknown,
	texts.LeftHistory, texts.LeftPurged, texts.LeftModerated, texts.LeftForgotten, texts.LeftNotForward, texts.LeftFinished, texts.UnseenOneByOne, texts.UnseenRefused,
	texts.RepairGone, texts.RepairRest, texts.RepairFile, texts.RepairDigest, texts.RepairDigestText, texts.RepairOrder, texts.RepairMaybe, texts.RepairMaybeEvent, texts.RepairOwnEvent, texts.RepairOwnParts,
	texts.RepairOwnThread, texts.RepairHandled, texts.RepairUnnamed, texts.RepairOnly, texts.RepairNoAccount, texts.RepairRefused, texts.RepairStill,
	texts.RepairWaits, texts.RepairError, texts.RepairOwnAccount, texts.CompareTooMuch, texts.CompareNoRoom,
	texts.GivenUpToMatrix, texts.GivenUpToTeams, texts.GivenUpRest, texts.GivenUpDeletion, texts.GivenUpRemoval, texts.RowReaction, texts.RowEdit,
}

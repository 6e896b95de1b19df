package portal

import (
	"cmp"
	"slices"
	"time"

	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/teams"
)

// Class is a kind of difference between Teams and Matrix.
type Class string

// The classes of findings.
const (
	// MissingInMatrix is a message of Teams that the room does not show.
	MissingInMatrix Class = "missing in Matrix"
	// MissingInTeams is an event of a person that Teams never got and that
	// nothing brings there.
	MissingInTeams Class = "missing in Teams"
	// GoneInTeams is a message that Teams had and has no more, not even as deleted.
	GoneInTeams Class = "gone from Teams"
	// DoubledInMatrix is an event that shows what another shows too.
	DoubledInMatrix Class = "doubled in Matrix"
	// DoubledInTeams is a second post of one event.
	DoubledInTeams Class = "doubled in Teams"
	// DifferentText is a message whose newest text one side does not show.
	DifferentText Class = "different text"
	// DifferentMedia is a message of which one side shows another picture or file,
	// or lacks it.
	DifferentMedia Class = "different picture or file"
	// DeletedInTeams is a message that only Teams shows as deleted.
	DeletedInTeams Class = "deleted in Teams only"
	// DeletedInMatrix is a message that only Matrix shows as deleted.
	DeletedInMatrix Class = "deleted in Matrix only"
	// DifferentReactions is a reaction that only one side has.
	DifferentReactions Class = "different reactions"
	// OutOfOrder is a message behind a later one of the same author and thread.
	OutOfOrder Class = "out of order"
	// WrongThread is a message that stands elsewhere than in Teams.
	WrongThread Class = "wrong thread"
	// Unknown is a message that both sides have and the bridge's tables do not
	// know, so that nothing that happens to it is carried over.
	Unknown Class = "not known to the bridge"
)

// Classes returns all classes in the order in which they are reported.
func Classes() []Class {
	return []Class{
		MissingInMatrix, MissingInTeams, GoneInTeams, DoubledInMatrix, DoubledInTeams, DifferentText, DifferentMedia,
		DeletedInTeams, DeletedInMatrix, DifferentReactions, WrongThread, OutOfOrder, Unknown,
	}
}

// Finding is one difference.
type Finding struct {
	Class Class
	// Message is the message in Teams and Event the event in Matrix, where there
	// is one; Emoji the reaction that differs.
	Message string
	Event   id.EventID
	Emoji   string
	// At is when the message was written.
	At time.Time
	// Mended says that a repair has done away with it, Reason why it has not.
	Mended bool
	Reason string

	fix   fix
	root  string // the root of the message in Teams
	other string // a second id that the fix needs
	who   string // the person of a reaction
	// stays is the message that has to be there when this one is deleted.
	stays teams.MessageRef
	// echoes are the events that show a message which no row knows.
	echoes []database.Echo
}

// key tells whether two looks found the same.
func (f Finding) key() string {
	return hashOf(string(f.Class), f.Message, string(f.Event), f.Emoji, f.other, f.who)
}

// subject tells whether a look after a repair found the same still.
func (f Finding) subject() string {
	if f.Message != "" && f.Class != DoubledInMatrix {
		return hashOf(string(f.Class), f.Message, f.Emoji, f.who)
	}
	return hashOf(string(f.Class), string(f.Event), f.Emoji, f.who)
}

// Report is what a comparison of a channel found.
type Report struct {
	Channel      teams.ChannelRef
	Portal       string
	Room         id.RoomID
	Since, Until time.Time
	// Reader is how Teams was read.
	Reader string
	// InTeams and InMatrix are how many messages were compared.
	InTeams, InMatrix int
	// OnTheWay are the messages that wait in a queue of the bridge.
	OnTheWay int
	// Failed counts the messages that were given up, by reason.
	Failed map[string]int
	// Left counts what is as it should be although only one side has it, by reason.
	Left map[string]int
	// Unseen counts what was not looked at, and may differ, by reason.
	Unseen   map[string]int
	Findings []Finding
}

// Counts returns how many findings there are of each class.
func (r *Report) Counts() map[Class]int {
	out := map[Class]int{}
	for _, f := range r.Findings {
		out[f.Class]++
	}
	return out
}

// The reasons in Report.Left.
const (
	LeftHistory    = "from before mirroring began"
	LeftPurged     = "no longer kept by the homeserver (retention)"
	LeftModerated  = "removed by a moderator in Matrix"
	LeftForgotten  = "older than the outbox remembers"
	LeftNotForward = "not for Teams"
	LeftFinished   = "finished by the outbox without a post of its own"
)

// The reasons in Report.Unseen.
const (
	UnseenOneByOne = "because one by one it would take too long"
	UnseenRefused  = "because Graph lets the bridge read lists and no single messages"
)

func (r *Report) sort() {
	order := map[Class]int{}
	for i, c := range Classes() {
		order[c] = i
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(order[a.Class], order[b.Class]), a.At.Compare(b.At), cmp.Compare(a.Message, b.Message), cmp.Compare(a.Event, b.Event))
	})
}

// fix is what mends a finding.
type fix int

const (
	// fixNone: Finding.Reason says why nothing can.
	fixNone fix = iota
	// fixRedeliver: the ledger delivers the message once more.
	fixRedeliver
	// fixResend: the event is not in the room; a new one takes its place.
	fixResend
	// fixReshow: the event does not show what its row says.
	fixReshow
	// fixRedelete: the row says deleted, the event is there.
	fixRedelete
	// fixRequeue: the event goes through the journal once more.
	fixRequeue
	// fixRequeueEdit: the same for an edit that the outbox takes for done.
	fixRequeueEdit
	// fixRewrite: a post of a digest gets what its messages say now.
	fixRewrite
	// fixRedact: the event is one too many.
	fixRedact
	// fixTwin: the event is one too many and has a row.
	fixTwin
	// fixDeletePost: the post in Teams is deleted through the account that made it.
	fixDeletePost
	// fixDeletePart: the same for one post of a message of several.
	fixDeletePart
	// fixReact and fixUnreact: a reaction in Teams is made or taken back through
	// the account that made it.
	fixReact
	fixUnreact
	// fixReaction: the row of a reaction whose event is gone is deleted, and the
	// message delivered once more.
	fixReaction
)

// What a repair says about findings that nothing mends.
const (
	whyGone       = "Teams had it and has it no more, not even as deleted: whoever removed it there (retention, an administrator) decides"
	whyRest       = "it is one of several posts of a message whose first was deleted in Teams"
	whyFile       = "Teams has the message without the file that came with it: whoever took it away there decides"
	whyDigest     = "it is a post of a digest, with several people's messages: whoever deleted it in Teams decides"
	whyDigestText = "somebody changed a post of a digest in Teams, which is no one person's message"
	whyOrder      = "what stands in a room can't be moved; it shows its original time"
	whyMaybe      = "Teams has a post of that time that the bridge does not know; it may be this message"
	whyMaybeEvent = "the room has an event of that time that the bridge does not know; this may be its post"
	whyOwnEvent   = "it was written in Matrix and its event is not there any more; Teams has it"
	whyOwnParts   = "it was written in Matrix and is several posts in Teams"
	whyOwnThread  = "it was written in Matrix, where nobody moves what a person wrote"
	whyHandled    = "Teams has it by the person's own account; the bridge does not know which post it is"
	whyUnnamed    = "the homeserver does not say which event changed it"
	whyOnly       = "the other one of the two is not there any more"
	whyNoAccount  = "the bridge does not know which account made it"
	whyRefused    = "the bridge did not take it; its author was told why"
	whyStill      = "it is still so; look at status and the log"
	whyWaits      = "on its way"
)

package portal

import (
	"time"

	"maunium.net/go/mautrix/bridgev2/networkid"

	"teamsbridge/database"
)

// sides is what both sides and the bridge's own tables say about a
// conversation: ids, times, hashes and keys, and no text.
type sides struct {
	// since is from when on messages are compared, until where comparing ends:
	// what is younger may be on its way. Mirrored is when mirroring began.
	since, until, mirrored time.Time
	// memory is from when on the outbox still knows every event.
	memory time.Time
	// kept is from when on the homeserver keeps the room, keptRow the row of the
	// first message that it has; zero where it keeps all.
	kept    time.Time
	keptRow int64

	teams     []teamsSide
	gone      map[string]bool // Teams ids that Graph does not know any more
	events    []matrixSide    // messages in the room's order
	reactions []reactionEvent // in the room's order
	rows      []rowSide
	reactRows []reactionRow
	parts     []database.SentPart
	sentReact []database.SentReaction
	digests   map[string]*digestSide
	outbox    map[string]database.OutboxRow // by event, without payloads
	ledger    map[string]database.InboxRow  // by Teams id, without payloads
	journal   map[string]bool               // events with an open entry
	edited    map[string]bool               // events of which an edit is unfinished
	partial   map[string]bool               // events of which only the existence is known
	removed   map[string]removal            // what became of events that were redacted
	unseen    map[string]int                // what was not looked at, by reason
}

// removal is the redaction of an event: who sent the event, who redacted it,
// whether that was the bridge, and the redaction's own event. What the
// homeserver does not tell is empty.
type removal struct {
	Sender, By, Redaction string
	At                    time.Time
	Own                   bool
}

// teamsSide is a message as Teams lists it.
type teamsSide struct {
	ID, Root, Author          string
	Created, Modified, Edited time.Time
	Version                   int64
	Deleted, System           bool
	// Relay says that its author is an account of the relay pool.
	Relay       bool
	Hash, Print string
	// File is the id of the first file that it has attached, Files are all of them.
	File  string
	Files []string
	// Parts are what would be shown now.
	Parts     []shownPart
	Reactions []teamsReaction
}

// shownPart is a part of a message; of a picture or file its address in Teams is
// compared, and not its hash.
type shownPart struct{ id, hash, source string }

type teamsReaction struct {
	reactionKey
	Relay bool
}

// matrixSide is a message event with what became of it.
type matrixSide struct {
	ID, Sender string
	Pos        int
	At         time.Time
	// Own says that the bridge sent it, Source of which change, where it is one.
	Own    bool
	Source string
	// Thread is the event under which it stands.
	Thread string
	// Redacted says that it was redacted; how, stands in sides.removed.
	Redacted bool
	// Hashes are those of what it shows (contentPartHash), none where that is
	// not known.
	Hashes []string
	// Media is the picture or file that it shows, where the bridge sent it.
	Media string
	// Edit is its author's newest edit that is not the bridge's.
	Edit   string
	EditAt time.Time
	// Person is who its sender is in the directory.
	Person string
	// Print is what it says where its author's own account posts it.
	Print string
	// Unwanted says that it is not for Teams: a notice, an order to the bot.
	Unwanted bool
}

// reactionEvent is a reaction that is not redacted. Of one that is, only a row
// tells that it was a reaction.
type reactionEvent struct {
	ID, Sender, Target string
	Emoji              networkid.EmojiID
	At                 time.Time
	Own                bool
	// Person is who its sender is in Teams, also where the bridge sent it.
	Person string
}

// rowSide is a message row of the bridge.
type rowSide struct {
	// ID grows from one row to the next.
	ID          int64
	Event, Part string
	Message     networkid.MessageID
	// Remote is the Teams id, empty while Teams does not have the message.
	Remote     string
	SenderMXID string
	// Ghost says that nobody but the bridge can edit the event.
	Ghost                 bool
	At                    time.Time
	Thread                networkid.MessageID
	ContentHash, PartHash string
	// Source is the address in Teams of the picture or file that it shows, Media
	// where that is in Matrix.
	Source, Media string
	// LastEdit is the newest edit of its author that is in Teams.
	LastEdit                                                          string
	Prints, Before                                                    []string
	Version, EditedMS                                                 int64
	Deleted, Deleting, TakenOut, Placeholder, Outbound, Relayed, Gone bool
}

// reactionRow is a reaction row of the bridge.
type reactionRow struct {
	Event   string
	Message networkid.MessageID
	reactionKey
	// Outbound says that it was made in Matrix.
	Outbound, Relayed, Queued, Removing bool
	AckMS                               int64
}

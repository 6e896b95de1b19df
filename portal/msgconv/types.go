package msgconv

import (
	"errors"
	"time"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/teams"
	"teamsbridge/texts"
)

// People answers who is who on the other side, from memory and without I/O.
type People interface {
	// Mention returns the Matrix user that stands for a Teams user and the
	// name to show. A name may come with ok false: a person who is known but
	// has no Matrix user.
	Mention(userID string) (mxid id.UserID, name string, ok bool)
	// ByUPN returns the Teams user who signs in by a name, however it is written,
	// and whether there is one.
	ByUPN(upn string) (userID string, ok bool)
	// Person returns the Teams user behind a Matrix user and the name by which
	// Teams knows them. ok is false where nobody is, and then they are not
	// mentioned but named.
	Person(mxid id.UserID) (userID, name string, ok bool)
}

// Media is a Teams image or file that the caller has copied to the homeserver, or the
// reason why it could not.
type Media struct {
	URI           id.ContentURIString
	MimeType      string
	Name          string
	Size          int
	Width, Height int
	// File is set instead of URI in encrypted rooms.
	File *event.EncryptedFileInfo
	// Problem says in a few words why there is no picture; empty means there is one.
	Problem string
}

// ImageRef is an image in the body of a Teams message.
type ImageRef struct {
	URL           string
	Alt           string
	Width, Height int
	// Foreign marks an image that must never be fetched: it is not a hosted
	// content of the very conversation that the message is in.
	Foreign bool
}

// MatrixEnv is what ToMatrix needs to know beyond the message.
type MatrixEnv struct {
	People People
	// Media holds the hosted images by ImageRef.URL, also those of Emoticons.
	Media map[string]Media
	// Snippets holds the code of code snippets by SnippetRef.URL.
	Snippets map[string]Snippet
	// Files holds the attached files by FileRef.URL.
	Files map[string]Media
	// Texts is what the bridge says itself.
	Texts texts.Texts
	// ChannelID is the channel whose mention means everybody in the room. Empty
	// means the message's own channel.
	ChannelID string
	// Head is what is not shown in front of the text, or nil.
	Head *Head
}

// Rendered is a Teams message as Matrix shows it.
type Rendered struct {
	// Deleted says that the message is deleted in Teams; it then has no parts.
	Deleted bool
	// Parts are in the order in which they are to be sent.
	Parts []Part
}

// Part is one Matrix event of a message. IDs are stable over edits: "" is the
// text, "text:1", "text:2"… its continuations, "img:0", "img:1"… the hosted
// images by their place in what Images returns, where foreign ones count, too,
// "code:0", "code:1"… the code snippets by their place in what Snippets returns,
// and "file:0", "file:1"… the attached files by their place in what Files returns.
type Part struct {
	ID string
	// Source is the address of the picture, file or snippet that the part is, empty
	// for text.
	Source  string
	Type    event.Type
	Content *event.MessageEventContent
}

// Author is who wrote a message that somebody else's account sends to Teams,
// and when, if that was long ago.
type Author struct {
	// Name is put in front of the text. It may be empty where the author's own
	// account sends a late message.
	Name string
	// Late makes the original time show; At carries the zone to show it in.
	Late bool
	At   time.Time
}

// RoomMention is the channel that @room stands for.
type RoomMention struct {
	ChannelID   string
	ChannelName string
}

// Quote is the message that a Matrix reply answers, where Teams' own threading
// cannot show it.
type Quote struct {
	Name string
	// Author is whose message it is in Matrix, or empty.
	Author id.UserID
	// Text is plain text; only its beginning is shown.
	Text string
	// Link is where the message can be read, or empty.
	Link string
}

// TeamsEnv is what ToTeams needs to know beyond the event.
type TeamsEnv struct {
	People People
	// Texts is what the bridge says itself.
	Texts texts.Texts
	// Author is nil for a prompt message by the sender's own account.
	Author *Author
	// RoomMention is nil where the sender may not mention everybody.
	RoomMention *RoomMention
	// Image holds the bytes of an m.image or sticker that are small enough to
	// go inline; nil shows name and link instead.
	Image *teams.InlineImage
	// File is how Teams refers to the message's file, which was uploaded; nil
	// shows name and link instead, and FileProblem why.
	File        *teams.Attachment
	FileProblem string
	// Link is where in Matrix that can be seen which Teams cannot show.
	Link string
	// Reply is what the message answers, or nil.
	Reply *Quote
	// Kept is what Teams keeps beside the body of a message that is edited, or nil.
	Kept *Kept
}

// MaxDraftSize is the most that a draft's HTML and mentions may take, in bytes
// as DraftSize counts. Graph's limit is about 28 KB (28,522 characters were
// seen to pass); the difference is left for what Teams itself adds.
const MaxDraftSize = 27_500

// MaxContentSize is the most that one part's content may take as JSON, alone
// and as an edit. Homeservers refuse events above 65,536 bytes, encryption adds
// a third, and the rest is left for the envelope.
const MaxContentSize = 47_000

// ErrNothingToSend is returned for an event that has no content to show.
var ErrNothingToSend = errors.New(texts.Texts{}.Say(texts.NothingToSend))

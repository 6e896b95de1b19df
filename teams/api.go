package teams

import (
	"context"
	"io"
	"time"
)

// Reader reads the tenant with the application's own credential. Every call
// has a deadline of its own inside; every error is or wraps an *Error.
type Reader interface {
	MessageSource

	// Organization returns the tenant's display name; it is also the probe.
	Organization(ctx context.Context) (string, error)
	Teams(ctx context.Context) ([]Team, error)
	Team(ctx context.Context, teamID string) (Team, error)
	// Channels lists the channels that the team hosts, General marked.
	Channels(ctx context.Context, teamID string) ([]Channel, error)
	TeamMembers(ctx context.Context, teamID string) ([]Member, error)
	// ChannelMembers lists a private or shared channel's members, indirect ones included.
	ChannelMembers(ctx context.Context, ch ChannelRef) ([]Member, error)
	// TeamGroups lists the groups of the tenant's teams. Old teams may lack the
	// mark that they are found by; Group has those.
	TeamGroups(ctx context.Context) ([]Group, error)
	Group(ctx context.Context, groupID string) (Group, error)
	GroupMembers(ctx context.Context, groupID string) (GroupMembers, error)
	Users(ctx context.Context) ([]User, error)
	User(ctx context.Context, userID string) (User, error)
	// UserPhoto and TeamPhoto return at most 4 MiB and the content type;
	// KindNotFound where there is no photo.
	UserPhoto(ctx context.Context, userID string) ([]byte, string, error)
	TeamPhoto(ctx context.Context, teamID string) ([]byte, string, error)
	Message(ctx context.Context, ref MessageRef) (Message, error)
	// HostedContent opens an inline image by the URL in a message's body and
	// returns its content type. A URL on a host that is not the configured
	// Graph is refused with KindForeignHost before anything is sent.
	HostedContent(ctx context.Context, url string) (io.ReadCloser, string, error)
	FileReader
	// CancelUpload ends an upload that was begun and is given up; one that is
	// over is no error. No token goes with it.
	CancelUpload(ctx context.Context, u Upload) error
}

// FileReader reads files out of channels' folders.
type FileReader interface {
	// ChannelFolder returns the folder of a channel.
	ChannelFolder(ctx context.Context, ch ChannelRef) (Folder, error)
	// StatFile finds the file that a message refers to by address; one that is
	// not in the folder is refused with ErrElsewhere before anything is sent.
	StatFile(ctx context.Context, folder Folder, contentURL string) (File, error)
	// OpenFile opens a file that StatFile found. The call's context bounds the
	// whole reading, which has no deadline of its own as long as bytes come.
	OpenFile(ctx context.Context, file File) (io.ReadCloser, error)
}

// MessageSource has the raw calls of the three readers. An empty link asks
// for the first page; otherwise link is a NextLink or DeltaLink, verbatim.
type MessageSource interface {
	// ExportTeam lists posts and replies of all the team's channels that
	// changed after since (/teams/{id}/channels/getAllMessages).
	ExportTeam(ctx context.Context, teamID string, since time.Time, link string) (Page, error)
	// Delta lists a channel's changed threads with their replies.
	Delta(ctx context.Context, ch ChannelRef, since time.Time, link string) (Page, error)
	// List lists a channel's posts, newest first, with their replies.
	List(ctx context.Context, ch ChannelRef, link string) (Page, error)
	// Replies lists a post's replies.
	Replies(ctx context.Context, root MessageRef, link string) (Page, error)
}

// Writer writes as one signed-in account. No call is ever repeated inside; an
// error for which IsAmbiguous holds means that Graph may have accepted.
type Writer interface {
	Account() Account
	// Post sends a post, or a reply where rootID is set.
	Post(ctx context.Context, ch ChannelRef, rootID string, d Draft) (Message, error)
	Edit(ctx context.Context, ref MessageRef, d Draft) error
	Delete(ctx context.Context, ref MessageRef) error
	Undelete(ctx context.Context, ref MessageRef) error
	React(ctx context.Context, ref MessageRef, emoji string) error
	Unreact(ctx context.Context, ref MessageRef, emoji string) error
	// ChannelFolder returns the folder of a channel, as the account may see it.
	ChannelFolder(ctx context.Context, ch ChannelRef) (Folder, error)
	// UploadFile brings content into a channel's folder, and goes on with what was
	// begun. save has to keep what it is given before anything is sent; taken
	// reports whether an item is another upload's. Unlike the other calls, what
	// fails is repeated inside as long as it gets on.
	UploadFile(ctx context.Context, u Upload, content io.ReaderAt, save func(context.Context, Upload) error,
		taken func(ctx context.Context, itemID string) (bool, error)) (File, error)
}

// Subscription is a change notification subscription (resource subscription).
type Subscription struct {
	ID                string
	Resource          string
	ChangeType        string
	NotificationURL   string
	LifecycleURL      string
	ClientState       string
	Expires           time.Time
	IncludeData       bool
	CertificateID     string
	CertificateBase64 string
}

// SubscriptionAPI manages the application's subscriptions.
type SubscriptionAPI interface {
	CreateSubscription(ctx context.Context, s Subscription) (Subscription, error)
	// RenewSubscription moves the expiry, which also reauthorizes, and sets a
	// new certificate where one is given.
	RenewSubscription(ctx context.Context, s Subscription) (Subscription, error)
	DeleteSubscription(ctx context.Context, id string) error
	ListSubscriptions(ctx context.Context) ([]Subscription, error)
}

// Sink takes messages that were read. A nil error means that they are durable.
type Sink interface {
	// Accept takes messages in any order and any number of times; source is
	// the way they came (webhook, export, delta, list, history, repair).
	Accept(ctx context.Context, source string, msgs []Message) error
}

// Arrivals is told what the sink is going to be given, so that what came later
// does not overtake it: notifications keep no order, and what they announce may
// have to be fetched first. Messages that are not of its channels may be among
// them. No call may block.
type Arrivals interface {
	// Announced is told of new messages that are on their way, again while
	// that takes long.
	Announced(refs []MessageRef)
	// GivenUp is told of those that will not come after all.
	GivenUp(refs []MessageRef)
}

// NoArrivals is an Arrivals that nobody listens to.
type NoArrivals struct{}

// Announced implements Arrivals.
func (NoArrivals) Announced([]MessageRef) {}

// GivenUp implements Arrivals.
func (NoArrivals) GivenUp([]MessageRef) {}

// ChangeSink is told that something of the directory may have changed; what
// Graph then lists is the truth.
type ChangeSink interface {
	DirectoryChanged(teamID, what string)
}

// TokenStore keeps the refresh tokens of delegated sign-ins.
type TokenStore interface {
	LoadToken(ctx context.Context, key string) (string, error)
	// RotateToken replaces older by the token that came in exchange for it, and
	// returns only when that is durable. ok is false, and nothing changed, where
	// older is not what is stored any more: somebody signed out or anew.
	RotateToken(ctx context.Context, key, older, refreshToken string) (ok bool, err error)
}

// RawNotification is a received notification body that was not processed yet.
type RawNotification struct {
	Seq        int64
	Body       []byte
	ReceivedAt time.Time
}

// NotificationLog keeps received notifications until they are processed.
type NotificationLog interface {
	// AppendNotification returns only when the body is durable.
	AppendNotification(ctx context.Context, body []byte, at time.Time) error
	PendingNotifications(ctx context.Context, limit int) ([]RawNotification, error)
	DeleteNotification(ctx context.Context, seq int64) error
	QuarantineNotification(ctx context.Context, seq int64, reason string) error
}

// Cursor is how far a scope (a team, or a channel) has been read.
type Cursor struct {
	// Link is a delta link, empty for the other readers.
	Link string
	// Watermark is the newest lastModifiedDateTime that the sink has accepted
	// together with everything before it.
	Watermark time.Time
	// Reader names the reader that worked last: export, delta or list.
	Reader string
	// FullAt is when the last full reconciliation began.
	FullAt time.Time
}

// CursorStore keeps cursors; an unknown scope has the zero Cursor.
type CursorStore interface {
	LoadCursor(ctx context.Context, scope string) (Cursor, error)
	SaveCursor(ctx context.Context, scope string, c Cursor) error
}

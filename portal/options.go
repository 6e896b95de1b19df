package portal

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// Directory answers who is who, from memory and without I/O.
type Directory interface {
	msgconv.People
	// Mapped reports whether a login stands for the person.
	Mapped(userID string) bool
	// IsRelay reports whether the person is an account of the relay pool,
	// whose own reactions are not shown.
	IsRelay(userID string) bool
}

// ErrNoAccount is returned by Writers where no account is there that could
// write; it is waited for, and the row stays queued.
var ErrNoAccount = errors.New("no account to write with")

// ErrOwnAccount is returned by Writers where only one account could write and
// it can't any more; the row is parked with it until it can again.
var ErrOwnAccount = errors.New("the account that posted this is not signed in any more")

// Writers chooses the account that writes a row.
type Writers interface {
	// For returns the writer for a row and whether it is a relay account: the
	// sender's own where it is signed in, else one of the relay pool. Where
	// preferred is not empty and can still write, it is the one returned.
	For(ctx context.Context, row *database.OutboxRow, preferred string) (w teams.Writer, relayed bool, err error)
	// Relay returns a relay account, after the sender's own account was refused.
	Relay(ctx context.Context, row *database.OutboxRow, preferred string) (teams.Writer, error)
	// Exactly returns the named account and no other (an edit or a deletion
	// goes through the account that posted), or ErrOwnAccount.
	Exactly(ctx context.Context, row *database.OutboxRow, accountID string) (teams.Writer, error)
	// Failed tells that an account was refused with err, so that its state can
	// be shown and it is not chosen again until it signs in.
	Failed(ctx context.Context, accountID string, err error)
}

// Common is what ingest, outbox and sender share.
type Common struct {
	Bridge *bridgev2.Bridge
	DB     *database.Database
	// Source returns the login through which the portal loops are reached; nil
	// while there is none yet.
	Source    func() *bridgev2.UserLogin
	Directory Directory
	// Echo must be the same for Ingest and Sender.
	Echo    *Echo
	Metrics Metrics
	Logger  zerolog.Logger
	// Texts is what the bridge says in rooms and in Teams, and in which zone it
	// tells times.
	Texts texts.Texts
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// WithKey puts the key of an event that is to be sent into the context, so
	// that its transaction id is deterministic (matrix.WithKey).
	WithKey func(ctx context.Context, key string) context.Context
	// WithDelivered puts what an event became in Teams into the context in which its
	// status is sent (matrix.WithDelivered). Restorer is told of it.
	WithDelivered func(ctx context.Context, what json.RawMessage) context.Context
	// Link returns where an event can be read in Matrix; nil means matrix.to.
	Link func(roomID id.RoomID, eventID id.EventID) string
}

func (c *Common) setDefaults() {
	if c.Metrics == nil {
		c.Metrics = NoMetrics{}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.WithKey == nil {
		c.WithKey = func(ctx context.Context, _ string) context.Context { return ctx }
	}
	if c.WithDelivered == nil {
		c.WithDelivered = func(ctx context.Context, _ json.RawMessage) context.Context { return ctx }
	}
	if c.Link == nil {
		c.Link = func(roomID id.RoomID, eventID id.EventID) string {
			return roomID.EventURI(eventID, c.Bridge.Matrix.ServerName()).MatrixToURL()
		}
	}
}

// IngestOptions configures an Ingest. Zero durations and sizes mean the default.
type IngestOptions struct {
	Common
	Reader teams.Reader
	// Wanted reports whether a conversation is to be mirrored; nil means all.
	Wanted func(teams.ChannelRef) bool
	// Speaks reports whether a person's own account may be used in a room, which
	// joins it; nil means always. Spoke is told who said something there as a
	// ghost, once that is stored, possibly again; it must not block.
	Speaks func(ctx context.Context, p *bridgev2.Portal, userID string) bool
	Spoke  func(portalID, userID string, at time.Time)
	// Settle is how long a message rests before it is delivered, so that
	// messages whose notifications were swapped arrive in order. Default 150 ms;
	// negative means not at all.
	Settle time.Duration
	// SettleMax is how much longer it rests where notifications come with lags
	// that differ: as long as they differ at present, but not more than this.
	// Default 3 s; negative means not at all.
	SettleMax time.Duration
	// Behind reports whether a channel has yet to be read, so that messages may
	// be missing before one that a notification has brought, and whether reading
	// fails at present. Ingest.Read must be called when that changes. Nil means
	// never.
	Behind func(teams.ChannelRef) (behind, failing bool)
	// Concurrency is how many conversations are delivered at once. Default 16.
	Concurrency int
	// MaxImage is the most bytes of an image that are copied. Default 50 MiB.
	MaxImage int64
	// ReactionPictures shows an organisation's own emoji in reactions by their
	// pictures (MSC4027). Clients that don't know that show an address instead;
	// without it they all show the name.
	ReactionPictures bool
	// MaxFile is the most bytes of an attached file that are copied, negative for
	// none at all. Default 100 MiB.
	MaxFile int64
	// MediaPatience is how long a message waits for its images while Graph does
	// not answer, from the first try on, before it goes without them. Default 5
	// minutes.
	MediaPatience time.Duration
	// YoungMedia is how long after a message came its pictures and files are looked
	// for that Graph says are not there: what is new may not show everywhere at once.
	// The message, and those behind it, wait for YoungRest; after that it goes without
	// them, and they follow when they are there. Defaults 3 minutes and 3 s.
	YoungMedia, YoungRest time.Duration
	// EmojiPatience is how long a message waits for the pictures of its custom
	// emoji and of custom reactions to it, all together, before it shows their
	// names. Default 10 s.
	EmojiPatience time.Duration
	// EchoWait is how long a message by one of our accounts waits for the
	// outcome of that account's post. Default 30 s.
	EchoWait time.Duration
	// RootPatience is how long a reply that was just written waits, from when it
	// came, for a root that Graph does not show: what is new may be missing at
	// first, and a reply without its root would stay outside its thread for good.
	// Default 30 s.
	RootPatience time.Duration
	// Look brings the echoes up to date with a room's newest events
	// (matrix.Connector.LookForSends); nil means that only what the homeserver
	// pushes is known. It is called where a send is in doubt.
	Look func(ctx context.Context, roomID id.RoomID) error
	// DoubtRest is how long the homeserver has to finish a request whose answer
	// nobody saw, before it is looked for: after this process began, in
	// conversations with rows of the process before, and after a send without an
	// answer. Default 3 s.
	DoubtRest time.Duration
	// OrphanGrace is how old an event has to be before it counts as one that no
	// row knows. Default 1 s.
	OrphanGrace time.Duration
	// RetryMin and RetryMax bound the backoff. Default 1 s and 1 minute.
	RetryMin, RetryMax time.Duration
	// ParkAfter is how often a message is refused for a reason of its own
	// before it is parked. Default 6.
	ParkAfter int
	// DeliverTimeout bounds one delivery. Default 4 minutes, which must stay
	// below bridgev2's own limit of 5.
	DeliverTimeout time.Duration
	// Sweep is how often the ledger is looked over for conversations without a
	// lane. Default 30 s.
	Sweep time.Duration
}

func (o *IngestOptions) setDefaults() {
	o.Common.setDefaults()
	if o.Wanted == nil {
		o.Wanted = func(teams.ChannelRef) bool { return true }
	}
	def(&o.Settle, 150*time.Millisecond)
	def(&o.SettleMax, 3*time.Second)
	if o.Behind == nil {
		o.Behind = func(teams.ChannelRef) (bool, bool) { return false, false }
	}
	def(&o.Concurrency, 16)
	def(&o.MaxImage, 50<<20)
	def(&o.MaxFile, 100<<20)
	def(&o.MediaPatience, 5*time.Minute)
	def(&o.YoungMedia, 3*time.Minute)
	def(&o.YoungRest, 3*time.Second)
	def(&o.EmojiPatience, 10*time.Second)
	def(&o.EchoWait, 30*time.Second)
	def(&o.RootPatience, 30*time.Second)
	if o.Look == nil {
		o.Look = func(context.Context, id.RoomID) error { return nil }
	}
	def(&o.DoubtRest, 3*time.Second)
	def(&o.OrphanGrace, time.Second)
	def(&o.RetryMin, time.Second)
	def(&o.RetryMax, time.Minute)
	def(&o.ParkAfter, 6)
	def(&o.DeliverTimeout, 4*time.Minute)
	def(&o.Sweep, 30*time.Second)
}

// OutboxOptions configures an Outbox.
type OutboxOptions struct {
	Common
	// Wake tells the sender that a portal has a row.
	Wake func(portal string)
	// Voted tells the tally that a poll has changed.
	Voted func()
}

// ClockSkew is how far Teams' clock and ours may differ: a minute and a half, and
// a second because not both tell more than milliseconds.
const ClockSkew = 91 * time.Second

// SenderOptions configures a Sender. Zero durations and sizes mean the default.
type SenderOptions struct {
	Common
	Reader  teams.Reader
	Writers Writers
	// Echoed is told about a portal whose ledger may go on (Ingest.Wake).
	Echoed func(portal string)
	// Held reports whether a portal's rows are to wait: its queue is paused, or an
	// outage was declared or is rehearsed. Whoever ends that calls Wake or Kick.
	// nil means never.
	Held func(portal string) bool
	// Down reports whether it is known that Teams takes nothing: few conversations
	// try then, one every ScoutEvery, and all the others wait until one of them gets
	// through. nil means never; ScoutEvery is 3 s by default.
	Down       func() bool
	ScoutEvery time.Duration
	// Revoked returns since when the bridge may not write at all, because a
	// permission was taken away: what is refused waits. The zero time means that
	// it may, as far as is known; nil means always.
	Revoked func() time.Time
	// RefusalPatience is how long messages of a conversation wait that nobody may
	// write in, before they are parked: it shows by then whether that is all
	// conversations. Default 2 minutes.
	RefusalPatience time.Duration
	// DigestAbove returns above how many waiting messages the late ones of a
	// portal go as a digest, 0 for never. nil means never.
	DigestAbove func(portal string) int
	// Waited returns why the messages of a digest waited, one of the While keys. nil
	// means because Teams was unavailable.
	Waited func(ctx context.Context, rows []*database.OutboxRow) (texts.Key, error)
	// Policy returns how what waited in a portal goes to Teams (PolicyFull,
	// PolicyDigest, PolicyNone), and from which age on a message does not go any
	// more; 0 is never. nil means all of it always.
	Policy func(portal string) (policy string, maxAge time.Duration)
	// Kept reports whether a message was said while nothing could be written to
	// Teams, so that with PolicyNone it stays in Matrix, or ErrUndecided. It is
	// asked for such portals only.
	Kept func(ctx context.Context, row *database.OutboxRow) (bool, error)
	// Outage reports whether an outage is on for a portal: a room is told how
	// many messages stay in Matrix when it is over. nil means never.
	Outage func(ctx context.Context, portal string) bool
	// ToldAtEnd reports whether the notice of an outage's end tells, or has told,
	// the room of a message that was kept. nil means never.
	ToldAtEnd func(ctx context.Context, row *database.OutboxRow) (bool, error)
	// Reaction is the emoji with which the bot marks messages that wait; empty
	// means none. They have a status besides.
	Reaction string
	// Concurrency is how many conversations are sent at once. Default 256: most
	// of them wait for a limit of Graph, and what waits for one account must
	// not hold up what another could send.
	Concurrency int
	// RetryMin and RetryMax bound the backoff. Default 1 s and 2 minutes.
	RetryMin, RetryMax time.Duration
	// DoubtWindow is how long a post of unknown outcome is looked for before
	// it counts as not accepted. Default 25 s; DoubtLook is the time between
	// the first two looks, and doubles. Default 4 s.
	DoubtWindow, DoubtLook time.Duration
	// DoubtSkew is how far Teams' clock and ours may differ. Default ClockSkew.
	DoubtSkew time.Duration
	// TargetPatience is how long after a message was written a 404 about it is not
	// believed: a reply or a change may reach a part of Graph that does not know it
	// yet. It has to be longer than clocks differ. Default 3 minutes.
	TargetPatience time.Duration
	// ReadPatience is how long the messages of a conversation wait behind a change
	// that has to see first what it would replace, and can't. Default 2 minutes.
	ReadPatience time.Duration
	// LateAfter is from when on a message shows its original time. Default 2 minutes.
	LateAfter time.Duration
	// IndicateAfter is from when on a waiting message is shown as queued.
	// Default 5 s.
	IndicateAfter time.Duration
	// MaxImage is the most bytes of an image that go inline. Default 2.9 MiB.
	MaxImage int64
	// MaxFile is the most bytes of a file that is uploaded, negative for none at
	// all. Default 100 MiB.
	MaxFile int64
	// MediaPatience is how long a file waits for a host of files that fails while
	// Graph works. Default 15 minutes.
	MediaPatience time.Duration
	// Edits returns the edits of an event that the homeserver knows, the newest
	// first, whoever sent them; nil means that there never are any.
	Edits func(ctx context.Context, roomID id.RoomID, eventID id.EventID) ([]id.EventID, error)
	// Sweep is how often the outbox is looked over for portals without a lane
	// and for rows that were not acknowledged. Default 30 s.
	Sweep time.Duration
}

func (o *SenderOptions) setDefaults() {
	o.Common.setDefaults()
	if o.Echoed == nil {
		o.Echoed = func(string) {}
	}
	if o.Held == nil {
		o.Held = func(string) bool { return false }
	}
	if o.Down == nil {
		o.Down = func() bool { return false }
	}
	if o.ScoutEvery == 0 {
		o.ScoutEvery = 3 * time.Second
	}
	if o.Revoked == nil {
		o.Revoked = func() time.Time { return time.Time{} }
	}
	if o.DigestAbove == nil {
		o.DigestAbove = func(string) int { return 0 }
	}
	if o.Policy == nil {
		o.Policy = func(string) (string, time.Duration) { return PolicyFull, 0 }
	}
	if o.Waited == nil {
		o.Waited = func(context.Context, []*database.OutboxRow) (texts.Key, error) { return texts.WhileUnavailable, nil }
	}
	if o.Kept == nil {
		o.Kept = func(context.Context, *database.OutboxRow) (bool, error) { return false, nil }
	}
	if o.ToldAtEnd == nil {
		o.ToldAtEnd = func(context.Context, *database.OutboxRow) (bool, error) { return false, nil }
	}
	if o.Outage == nil {
		o.Outage = func(context.Context, string) bool { return false }
	}
	if o.Edits == nil {
		o.Edits = func(context.Context, id.RoomID, id.EventID) ([]id.EventID, error) { return nil, nil }
	}
	def(&o.Concurrency, 256)
	def(&o.RetryMin, time.Second)
	def(&o.RetryMax, 2*time.Minute)
	def(&o.RefusalPatience, 2*time.Minute)
	def(&o.DoubtWindow, 25*time.Second)
	def(&o.DoubtLook, 4*time.Second)
	def(&o.DoubtSkew, ClockSkew)
	def(&o.TargetPatience, 3*time.Minute)
	def(&o.ReadPatience, 2*time.Minute)
	def(&o.LateAfter, 2*time.Minute)
	def(&o.IndicateAfter, 5*time.Second)
	def(&o.MaxImage, 2900<<10)
	def(&o.MaxFile, 100<<20)
	def(&o.MediaPatience, 15*time.Minute)
	def(&o.Sweep, 30*time.Second)
}

// def replaces a zero value.
func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// backoff returns the wait after a number of attempts.
func backoff(attempts int, lo, hi time.Duration) time.Duration {
	d := lo
	for range attempts {
		if d >= hi/2 {
			return hi
		}
		d *= 2
	}
	return min(d, hi)
}

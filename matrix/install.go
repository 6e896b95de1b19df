package matrix

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/commands"
	"maunium.net/go/mautrix/bridgev2/matrix/mxmain"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

const (
	defaultMaxBody  = 32 << 20 // 100 events of 64 KiB and as much ephemeral data, with room
	defaultMaxConns = 32
)

// Options says what Install needs.
type Options struct {
	// DB holds the bridge's own tables; Start upgrades them.
	DB *database.Database
	// Source returns the login on whose behalf the journal puts markers into
	// portals' queues (the system login), nil while there is none.
	Source func() *bridgev2.UserLogin
	// OnUpgraded runs when the tables are there and before anything else starts.
	OnUpgraded func(ctx context.Context) error
	// OnStatus sees every message status before it is sent.
	OnStatus func(ctx context.Context, status *bridgev2.MessageStatus, info *bridgev2.MessageStatusEventInfo)
	// OnDuplicate is told when one source change became two events in a room. By
	// then they are kept (database.Echoes.Doubled). It must not block.
	OnDuplicate func(database.Echo)
	// OnEcho is told that the homeserver has confirmed sends, after that is kept
	// (database.Echoes). It must not block.
	OnEcho func()
	// OnAnswer is told how requests to the homeserver ended, OnTransaction that
	// the homeserver has sent a transaction. They must not block.
	OnAnswer      func(Answer)
	OnTransaction func()
	// Present returns a raw event as the framework is to see it, which lacks
	// things that the bridge can do; nil means as it is. It is applied to all that
	// the framework is handed: transactions, what is replayed or tried again, what
	// was decrypted. What is journalled stays as it came, so an event may be
	// presented more than once. It must not wait for the framework.
	Present func(raw json.RawMessage) json.RawMessage
	// Redactions is RedactionsAuto, RedactionsSync or RedactionsPush, which is
	// the default. RedactionWait is how long a redaction waits for an event that
	// did not come yet, 10 minutes where 0. OnRedaction counts, by reason.
	Redactions    string
	RedactionWait time.Duration
	OnRedaction   func(reason string)
	// OnDelivered is told, where the database was restored from an earlier time, what
	// the rooms say of events that Teams has, OnDoubt of which messages nothing is said,
	// so that Teams may have them. Both come before the event is handed over, and may
	// come again. Nil means that nobody wants to know.
	OnDelivered func(ctx context.Context, d Delivered) error
	OnDoubt     func(ctx context.Context, roomID id.RoomID, eventID id.EventID) error
	// OnRoom is told, before these, of rooms that the bridge has made and the
	// database does not know, with the id of the conversation; it says whether the
	// room counts as that from now on.
	OnRoom func(ctx context.Context, roomID id.RoomID, conversation string) (taken bool, err error)
	// MaxBody limits a transaction, MaxConns the connections to the homeserver;
	// 0 takes the defaults (32 MiB, 32).
	MaxBody  int64
	MaxConns int
	// Leash, where it is set, makes the connections to the homeserver, on top of
	// the usual way.
	Leash func(next func(ctx context.Context, network, address string) (net.Conn, error)) func(ctx context.Context, network, address string) (net.Conn, error)
	// Words are what commands say.
	Words Words
	// Now is the clock, time.Now where nil.
	Now func() time.Time
}

// Words are the description and the answers of the command that resets a room's
// encryption session, in people's language.
type Words struct{ Reset, WasReset, NoEncryption string }

// Install puts the journal, the idempotent sends and the corrections into a
// bridge. Call it in PostInit, before anything else that uses m.Matrix.AS.
func Install(m *mxmain.BridgeMain, opts Options) *Connector {
	if opts.MaxBody == 0 {
		opts.MaxBody = defaultMaxBody
	}
	if opts.MaxConns == 0 {
		opts.MaxConns = defaultMaxConns
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.OnDelivered == nil {
		opts.OnDelivered = func(context.Context, Delivered) error { return nil }
	}
	if opts.OnDoubt == nil {
		opts.OnDoubt = func(context.Context, id.RoomID, id.EventID) error { return nil }
	}
	if opts.OnRoom == nil {
		opts.OnRoom = func(context.Context, id.RoomID, string) (bool, error) { return false, nil }
	}
	c := &Connector{Connector: m.Matrix, db: opts.DB, opts: opts, restored: make(chan struct{}), delivered: newRecent(passedSize)}
	as, prover := m.Matrix.AS, newProver(m.Matrix.AS.Registration.AppToken)
	inner := as.Router
	c.journal = &journal{
		db: opts.DB, now: opts.Now, prover: prover, log: m.Bridge.Log.With().Str("component", "journal").Logger(),
		token: as.Registration.ServerToken, maxBody: opts.MaxBody, inner: inner,
		puppetValue:   func() string { return as.DoublePuppetValue },
		commandPrefix: func() string { return m.Bridge.Config.CommandPrefix },
		isOwn:         func(user id.UserID) bool { return user == m.Matrix.Bot.UserID || m.Bridge.IsGhostMXID(user) },
		isPortal:      isPortal(m.Bridge),
		bot:           func() id.UserID { return m.Matrix.Bot.UserID },
		barrier:       portalBarrier(m.Bridge, opts.Source),
		onDuplicate:   opts.OnDuplicate, onEcho: opts.OnEcho, onRedaction: opts.OnRedaction, onTransaction: opts.OnTransaction,
		isKnown: isKnown(m.Bridge, opts.DB),
		present: opts.Present, hold: newHolding(opts.RedactionWait),
		restore: c.restore, known: make(chan struct{}),
		gate: make(chan struct{}), stopping: make(chan struct{}), open: map[string]*openEvent{}, late: map[string]map[string]bool{}, awaited: map[string]map[string]int64{},
	}
	c.journal.fetch = c.rawEvent
	c.journal.untold = newUntold(m, c, opts)
	c.alive = &alive{db: opts.DB, client: m.Matrix.Bot.Client, log: c.journal.log, now: opts.Now}
	c.restorer = &restorer{
		j: c.journal, db: opts.DB, client: &feedClient{client: m.Matrix.Bot.Client}, rooms: mirroredRooms(m.Bridge), followed: c.journal.untold.followed,
		now: opts.Now, delivered: opts.OnDelivered, doubted: opts.OnDoubt, made: opts.OnRoom,
	}
	outer := http.NewServeMux()
	outer.Handle("PUT "+transactionPath+"{txnID}", c.journal)
	outer.Handle("/", inner)
	as.Router = outer

	as.HTTPClient.Transport = limitConns(as.HTTPClient.Transport, opts)
	bound(as.HTTPClient)
	sends := &roundTripper{next: as.HTTPClient.Transport, prover: prover, answered: opts.OnAnswer}
	as.HTTPClient.Transport = sends
	if opts.Redactions != "" && opts.Redactions != RedactionsPush {
		c.feed = newFeed(m, c.journal, opts)
		sends.own, c.journal.catchUp = c.feed.own, c.feed.wait
	}
	// Dendrite announces an older spec version than it implements; a server that
	// is really too old fails at the first request it does not know.
	m.Matrix.IgnoreUnsupportedServer = true
	for _, eventType := range []event.Type{
		event.EventMessage, event.EventSticker, event.EventReaction, event.EventRedaction,
	} {
		m.Matrix.EventProcessor.On(eventType, c.journal.dispatched)
	}
	presentDecrypted(m, opts.Present)
	m.Bridge.Matrix = c
	replaceCommands(m.Bridge, c)
	next := m.PostStart
	m.PostStart = func() {
		c.Replay()
		if next != nil {
			next()
		}
	}
	return c
}

func newUntold(m *mxmain.BridgeMain, c *Connector, opts Options) *untold {
	return &untold{
		j: c.journal, db: opts.DB, log: m.Bridge.Log.With().Str("component", "untold").Logger(), now: opts.Now, tick: untoldTick,
		client:   &feedClient{client: m.Matrix.Bot.Client},
		followed: func() bool { return c.feed != nil && c.Redactions().Source != RedactionsPush },
	}
}

func newFeed(m *mxmain.BridgeMain, j *journal, opts Options) *feed {
	return &feed{
		j: j, db: opts.DB, log: m.Bridge.Log.With().Str("component", "redactions").Logger(), mode: opts.Redactions,
		client:   &feedClient{client: m.Matrix.Bot.Client},
		software: &software{client: m.Matrix.AS.HTTPClient, address: m.Config.Homeserver.Address},
		own:      &ownRedactions{db: opts.DB, isOwn: j.isOwn, now: opts.Now},
		rooms:    mirroredRooms(m.Bridge),
		pause:    feedPause, ready: make(chan struct{}),
	}
}

func mirroredRooms(br *bridgev2.Bridge) func(context.Context) ([]id.RoomID, error) {
	return func(ctx context.Context) (out []id.RoomID, err error) {
		portals, err := br.DB.Portal.GetAllWithMXID(ctx)
		for _, portal := range portals {
			out = append(out, portal.MXID)
		}
		return out, err
	}
}

// isPortal reports whether a room is mirrored; in doubt it is.
func isPortal(br *bridgev2.Bridge) func(context.Context, id.RoomID) bool {
	return func(ctx context.Context, roomID id.RoomID) bool {
		portal, err := br.GetPortalByMXID(ctx, roomID)
		return err != nil || portal != nil
	}
}

// limitConns bounds the connections to the homeserver, which is the bridge's
// global limit of requests in flight, and keeps them open between requests.
func limitConns(base http.RoundTripper, opts Options) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	transport, ok := base.(*http.Transport)
	if !ok {
		return base
	}
	transport, conns := transport.Clone(), opts.MaxConns
	transport.MaxConnsPerHost, transport.MaxIdleConnsPerHost, transport.MaxIdleConns = conns, conns, max(conns, transport.MaxIdleConns)
	if opts.Leash != nil {
		if transport.DialContext == nil {
			transport.DialContext = (&net.Dialer{}).DialContext
		}
		transport.DialContext = opts.Leash(transport.DialContext)
	}
	return transport
}

// replaceCommands replaces the framework's command that expects its own
// connector type in Bridge.Matrix.
func replaceCommands(br *bridgev2.Bridge, c *Connector) {
	processor, ok := br.Commands.(*commands.Processor)
	if !ok {
		return
	}
	processor.AddHandler(&commands.FullHandler{
		Func: func(ce *commands.Event) {
			if c.Crypto == nil {
				ce.Reply(c.opts.Words.NoEncryption)
				return
			}
			c.Crypto.ResetSession(ce.Ctx, ce.RoomID)
			ce.Reply(c.opts.Words.WasReset)
		},
		Name:          "discard-megolm-session",
		Aliases:       []string{"discard-session"},
		Help:          commands.HelpMeta{Section: commands.HelpSectionAdmin, Description: c.opts.Words.Reset},
		RequiresAdmin: true,
	})
}

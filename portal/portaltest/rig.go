package portaltest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"go.mau.fi/util/dbutil"
	_ "go.mau.fi/util/dbutil/litestream" // the SQLite driver that fsyncs every commit
	"gopkg.in/yaml.v3"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/bridgeconfig"
	brdb "maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// The people of the rig. Alice has a Matrix account that the bridge can speak
// for and her own Teams sign-in; Bob has neither, but is mapped; Carol is in
// Matrix only, Dave in Teams only.
const (
	Alice = "alice"
	Bob   = "bob"
	Dave  = "dave"
	Relay = "relay"
	// SecondRelay is of the relay pool too, and posts nothing by itself.
	SecondRelay = "relay2"

	AliceMXID = id.UserID("@alice:" + ServerName)
	BobMXID   = id.UserID("@bob:" + ServerName)
	CarolMXID = id.UserID("@carol:" + ServerName)
	// BlockedMXID may not write to Teams.
	BlockedMXID = id.UserID("@blocked:" + ServerName)

	systemLogin = networkid.UserLoginID("app:tenant")
)

// Channel is the rig's channel.
var Channel = teams.ChannelRef{TeamID: "team", ChannelID: "19:one@thread.tacv2"}

// TB is what the rig needs of a test, a benchmark or a fuzz target.
type TB interface {
	require.TestingT
	Helper()
	Cleanup(func())
	TempDir() string
	Logf(format string, args ...any)
}

// Rig is a bridge between a Homeserver and a Tenant. Stop and Start make a
// restart: what is in memory is gone, the database, the homeserver, the tenant
// and the homeserver's undelivered events stay.
type Rig struct {
	t      TB
	dir    string
	HS     *Homeserver
	Tenant *Tenant
	People *People

	// Tune may change the options before Start.
	Tune func(in *portal.IngestOptions, out *portal.SenderOptions)
	// Says is what the bridge says itself, English where it is not set.
	Says texts.Texts
	// TallyRest is how long votes rest, 10 ms where it is not set.
	TallyRest time.Duration
	// EchoSkew is how far clocks may differ for an echo to be a post in doubt,
	// 5 s where it is not set.
	EchoSkew time.Duration
	// NoRoom leaves the channels without a room.
	NoRoom bool
	// Channels are the channels there are; only Channel where it is empty.
	Channels []teams.ChannelRef
	// Fast begins with a database whose schema is there, and leaves it to the
	// operating system when it writes: only the machine's crash would lose
	// anything, and Recover goes by what was committed.
	Fast bool
	// Lookups is how many messages a comparison asks for one by one, 0 for its own
	// default.
	Lookups int
	// OwnTransactions leaves it to the test to deliver what people say and what
	// the homeserver has got (Deliver, Echo), and the tenant's notifications; a
	// start replays the journal only.
	OwnTransactions bool
	// Also runs beside the bridge until it stops.
	Also func(ctx context.Context)
	// Key seals what a bridge may not keep in the clear, with one of the rig's own
	// where it is not set; PreviousKeys open it, too.
	Key          string
	PreviousKeys []string
	// Log receives the bridge's log.
	Log zerolog.Logger
	// Queries is told about every SQL statement.
	Queries func(query string)

	Bridge   *bridgev2.Bridge
	DB       *database.Database
	Ingest   *portal.Ingest
	Outbox   *portal.Outbox
	Sender   *portal.Sender
	Tally    *portal.Tally
	Verifier *portal.Verifier
	Room     id.RoomID
	Counts   *Counts

	source atomic.Pointer[bridgev2.UserLogin]
	run    atomic.Pointer[run]
	// dead is set when the running bridge has crashed.
	dead, crashed *atomic.Bool
	// crashAt is the number of the statement after which the bridge crashes, 0
	// for none.
	crashAt, statements *atomic.Int64
	// Torn makes a crash a power cut in the middle of writing: the files are
	// taken as they are, and Torn is given the write-ahead log to tear its end.
	Torn func(log []byte) []byte
	// OnCrash is called when the bridge has crashed.
	OnCrash func()
	image   string
	// back tells a database that was set back what the rooms show (SetBack).
	back   func(ctx context.Context, common portal.Common)
	rooms  map[teams.ChannelRef]id.RoomID
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// New makes a rig, which is not started.
func New(t TB) *Rig {
	r := &Rig{
		t: t, dir: t.TempDir(), HS: NewHomeserver(), Tenant: NewTenant(), People: NewPeople(), Log: zerolog.Nop(), Counts: NewCounts(),
		crashAt: &atomic.Int64{}, rooms: map[teams.ChannelRef]id.RoomID{},
	}
	r.HS.AllowPuppet(AliceMXID)
	t.Cleanup(r.Stop)
	return r
}

const bridgeYAML = `
command_prefix: "!teams"
portal_event_buffer: 64
permissions: {"*": user, "@blocked:example.org": block}
relay: {enabled: true, message_formats: {m.text: "{{ .Message }}"}, displayname_format: "{{ .DisambiguatedName }}"}
`

// Start starts the bridge, and again what a homeserver and a journal do then:
// events that nobody has taken over are delivered once more.
func (r *Rig) Start() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.Log.WithContext(context.Background()))
	r.cancel = cancel
	r.dead, r.crashed, r.statements = &atomic.Bool{}, &atomic.Bool{}, &atomic.Int64{}
	raw, err := r.open()
	require.NoError(r.t, err)
	cfg := bridgeConfig()
	net, conn := &network{}, &Connector{HS: r.HS, Dead: r.dead, crashed: r.crashed}
	r.Bridge = bridgev2.NewBridge("", raw, r.Log, &cfg, conn, net, func(*bridgev2.Bridge) bridgev2.CommandProcessor { return noCommands{} })
	seal, err := database.NewSealer(cmp.Or(r.Key, "a key of the rig, for tests only"), r.PreviousKeys...)
	require.NoError(r.t, err)
	r.DB = database.New(raw, r.Log, seal)
	require.NoError(r.t, r.Bridge.StartConnectors(ctx))
	require.NoError(r.t, r.DB.Upgrade(ctx))

	common := portal.Common{
		Bridge: r.Bridge, DB: r.DB, Source: r.source.Load, Directory: r.People,
		Metrics: r.Counts, Logger: r.Log, Texts: r.Says, WithKey: WithKey,
	}
	common.Echo = portal.NewEcho(r.DB, cmp.Or(r.EchoSkew, 5*time.Second), r.Counts, nil)
	in := portal.IngestOptions{
		Common: common, Reader: r.Tenant.Reader(r.dead), Settle: 10 * time.Millisecond, SettleMax: -1,
		Look: r.Look, DoubtRest: 10 * time.Millisecond, OrphanGrace: 10 * time.Millisecond,
		RetryMin: 5 * time.Millisecond, RetryMax: 20 * time.Millisecond, EchoWait: 5 * time.Second, Sweep: 50 * time.Millisecond,
		YoungMedia: 300 * time.Millisecond, YoungRest: 20 * time.Millisecond,
	}
	out := portal.SenderOptions{
		Common: common, Reader: r.Tenant.Reader(r.dead), Writers: &writers{tenant: r.Tenant, people: r.People, dead: r.dead}, Edits: r.HS.Edits,
		RetryMin: 5 * time.Millisecond, RetryMax: 20 * time.Millisecond,
		DoubtWindow: 30 * time.Millisecond, TargetPatience: 500 * time.Millisecond, DoubtLook: 10 * time.Millisecond, DoubtSkew: 5 * time.Second,
		RefusalPatience: 50 * time.Millisecond, IndicateAfter: 20 * time.Millisecond, Sweep: 50 * time.Millisecond,
	}
	if r.Tune != nil {
		r.Tune(&in, &out)
	}
	r.Ingest = portal.NewIngest(in)
	r.run.Store(&run{r.DB, r.Ingest})
	r.Sender = portal.NewSender(out)
	common.Echo.OnDecided(r.Sender.Decided)
	r.Tally = portal.NewTally(portal.TallyOptions{Common: common, Wake: r.Sender.Wake, Rest: cmp.Or(r.TallyRest, 10*time.Millisecond), Sweep: max(out.Sweep, time.Second)})
	r.Outbox = portal.NewOutbox(portal.OutboxOptions{Common: common, Wake: r.Sender.Wake, Voted: r.Tally.Voted})
	net.outbox = r.Outbox
	r.Verifier = portal.NewVerifier(r.verifyOptions(common, in, out))
	ingest := r.Ingest
	if !r.OwnTransactions {
		r.Tenant.SetChanged(func(m teams.Message) { _ = ingest.Accept(context.Background(), "webhook", []teams.Message{m}) })
	}

	// Package matrix closes journal rows when a final status passes.
	db := r.DB
	conn.closed = func(eventID id.EventID) { _ = db.Journal.Done(context.Background(), eventID.String()) }
	conn.again = func(eventID id.EventID) {
		time.AfterFunc(retryJournal, func() {
			if ctx.Err() == nil {
				r.dispatch(ctx, r.HS.Event(eventID))
			}
		})
	}

	r.people(ctx)
	if !r.NoRoom {
		r.MakeRoom()
	}
	if r.back != nil {
		r.back(ctx, common)
	}
	r.wg.Go(func() { r.Ingest.Run(ctx) })
	r.wg.Go(func() { r.Sender.Run(ctx) })
	r.wg.Go(func() { r.Tally.Run(ctx) })
	if r.Also != nil {
		r.wg.Go(func() { r.Also(ctx) })
	}
	r.replay(ctx)
}

// bridgeConfig is the framework's configuration.
var bridgeConfig = sync.OnceValue(func() (cfg bridgeconfig.BridgeConfig) {
	if err := yaml.Unmarshal([]byte(bridgeYAML), &cfg); err != nil {
		panic(err)
	}
	return cfg
})

// Stop stops the bridge without any farewell, as far as that goes in one process.
func (r *Rig) Stop() {
	if r.cancel == nil {
		return
	}
	if !r.OwnTransactions {
		r.Tenant.SetChanged(nil)
	}
	r.cancel()
	r.cancel = nil
	r.wg.Wait()
	r.Bridge.Stop()
	for _, login := range r.Bridge.GetAllCachedUserLogins() {
		login.BridgeState.Destroy() // the framework leaves its goroutine behind
	}
	r.source.Store(nil)
}

// Restart is Stop and Start.
func (r *Rig) Restart() {
	r.t.Helper()
	r.Stop()
	r.Start()
}

func (r *Rig) people(ctx context.Context) {
	for mxid, login := range map[id.UserID]networkid.UserLoginID{BotID: systemLogin, AliceMXID: Alice, BobMXID: Bob} {
		user, err := r.Bridge.GetUserByMXID(ctx, mxid)
		require.NoError(r.t, err)
		ul, err := r.Bridge.GetExistingUserLoginByID(ctx, login)
		require.NoError(r.t, err)
		if ul == nil {
			ul, err = user.NewLogin(ctx, &brdb.UserLogin{ID: login, RemoteName: string(login)}, nil)
			require.NoError(r.t, err)
		}
		if login == systemLogin {
			r.source.Store(ul)
		}
	}
}

// Eventually waits until cond holds.
func (r *Rig) Eventually(cond func() bool, msg ...any) {
	r.t.Helper()
	require.Eventually(r.t, cond, 20*time.Second, 5*time.Millisecond, msg...)
}

// retryJournal is when an event is handed over again that could not be handled.
const retryJournal = 5 * time.Millisecond

const (
	// stuckAfter is after how long without any change the bridge counts as stuck,
	// restlessAfter after how long it counts as one that never comes to rest. Both
	// are there to end a test that has failed; a slow disk is no failure.
	stuckAfter    = 20 * time.Second
	restlessAfter = 2 * time.Minute
)

// Quiet waits until neither direction has anything left to do.
func (r *Rig) Quiet() {
	r.t.Helper()
	began := time.Now()
	before, since := "", began
	for still := 0; still <= 3; time.Sleep(5 * time.Millisecond) {
		left := r.unfinished(context.Background())
		if left == "" {
			still++
			continue
		}
		still = 0
		if left != before {
			before, since = left, time.Now()
		}
		if time.Since(since) > stuckAfter || time.Since(began) > restlessAfter {
			require.Fail(r.t, "the bridge does not come to rest", left)
		}
	}
}

// unfinished says what the bridge has left to do, "" where that is nothing.
func (r *Rig) unfinished(ctx context.Context) string {
	pending, err := r.DB.Journal.Count(ctx)
	in, inErr := r.DB.Inbox.Stats(ctx)
	out, outErr := r.DB.Outbox.Stats(ctx)
	untold, untoldErr := r.DB.Outbox.Untold(ctx, 0, 1)
	votes, votesErr := r.votes(ctx)
	if err = errors.Join(err, inErr, outErr, untoldErr, votesErr); err != nil {
		return err.Error()
	}
	ingest, sender := r.Ingest.Busy(), r.Sender.Busy()
	if pending+in.ByState[database.StatePending]+out.ByState[database.StateQueued]+out.ByState[database.StateSending]+
		out.ByState[database.StateSent]+len(untold)+votes+ingest+sender == 0 {
		return ""
	}
	return fmt.Sprint("journal ", pending, ", inbox ", in.ByState, ", outbox ", out.ByState, ", untold ", len(untold), ", polls ", votes,
		", lanes to Matrix ", ingest, ", to Teams ", sender)
}

// votes counts the polls that are to be brought to Teams; one that is parked
// rests, which is no work that is left.
func (r *Rig) votes(ctx context.Context) (n int, err error) {
	polls, err := r.DB.Polls.Dirty(ctx, 100)
	for _, p := range polls {
		if p.DirtyAt.Before(time.Now()) {
			n++
		}
	}
	return n, err
}

// Texts returns what a client shows in the room.
func (r *Rig) Texts() []string {
	var out []string
	for _, e := range r.HS.Messages(r.Room) {
		out = append(out, e.Text())
	}
	return out
}

// TeamsTexts returns what Teams shows in the channel.
func (r *Rig) TeamsTexts() []string {
	var out []string
	for _, m := range r.Tenant.Messages(Channel) {
		if m.Deleted.IsZero() {
			out = append(out, Plain(m.Body))
		}
	}
	return out
}

// Plain strips tags.
func Plain(html string) string {
	var b strings.Builder
	in := false
	for _, c := range html {
		switch {
		case c == '<':
			in = true
		case c == '>':
			in = false
		case !in:
			b.WriteRune(c)
		}
	}
	return strings.TrimSpace(b.String())
}

type queryLog struct{ tell func(query string) }

func (q queryLog) QueryTiming(_ context.Context, method, query string, _ []any, _ int, _ time.Duration, _ error) {
	if method != "EndRows" {
		q.tell(query)
	}
}
func (q queryLog) WarnUnsupportedVersion(int, int, int)       {}
func (q queryLog) PrepareUpgrade(int, int, int)               {}
func (q queryLog) DoUpgrade(int, int, string, dbutil.TxnMode) {}
func (q queryLog) Warn(string, ...any)                        {}

// Settled waits until no lane has work, without asking the database.
func (r *Rig) Settled() {
	r.t.Helper()
	r.Eventually(func() bool { return r.Ingest.Busy()+r.Sender.Busy() == 0 }, "lanes do not come to rest")
}

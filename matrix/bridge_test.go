package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"go.mau.fi/util/configupgrade"
	"gopkg.in/yaml.v3"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/bridgeconfig"
	"maunium.net/go/mautrix/bridgev2/commands"
	b2db "maunium.net/go/mautrix/bridgev2/database"
	mxconn "maunium.net/go/mautrix/bridgev2/matrix"
	"maunium.net/go/mautrix/bridgev2/matrix/mxmain"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/database/databasetest"
)

const (
	portalRoom = "!portal:example.com"
	hsToken    = "the homeserver's token"
	asToken    = "the appservice's token"
	patience   = 20 * time.Second
)

// bridge is the real framework with the real appservice listener and a network
// connector that only puts messages into the outbox.
type bridge struct {
	t       *testing.T
	main    *mxmain.BridgeMain
	conn    *Connector
	db      *database.Database
	clock   *databasetest.Clock
	network *network
	stop    func()

	mu       sync.Mutex
	statuses []bridgev2.MessageStatus
	doubled  []database.Echo
	counted  map[string]int // redactions, by reason
	answers  []Answer
	// delivered and doubted are what a restored database was told.
	delivered []Delivered
	doubted   []id.EventID
	rooms     map[id.RoomID]string
	// transactions counts what OnTransaction told.
	transactions int
}

const configText = `
homeserver: {address: "%ADDRESS%", domain: example.com}
appservice: {hostname: "%SOCKET%", id: teams, bot: {username: teamsbot}, username_template: "teams_{{.}}",
  as_token: "` + asToken + `", hs_token: "` + hsToken + `"}
bridge: {command_prefix: "!teams", portal_event_buffer: 64, relay: {enabled: true, message_formats: {}},
  permissions: {"example.com": user}}
matrix: {message_status_events: true, message_error_notices: true}
`

type bridgeOptions struct {
	path    string // of the database; "" for a new one
	network *network
	noStart bool // leaves the replay to the test
	maxBody int64

	redactions string
	present    func(json.RawMessage) json.RawMessage
}

func startBridge(t *testing.T, hs *homeserver, o bridgeOptions) *bridge {
	t.Helper()
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "tbmx") // a socket's path has to be short
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	hs.socket = filepath.Join(dir, "as")
	if o.path == "" {
		o.path = filepath.Join(t.TempDir(), "db")
	}
	if o.network == nil {
		o.network = &network{}
	}
	b := &bridge{t: t, network: o.network, clock: databasetest.NewClock(), counted: map[string]int{}, rooms: map[id.RoomID]string{}}
	var cfg bridgeconfig.Config
	text := strings.NewReplacer("%ADDRESS%", hs.server.URL, "%SOCKET%", hs.socket).Replace(configText)
	require.NoError(t, yaml.Unmarshal([]byte(text), &cfg))
	log := zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel)
	if !testing.Verbose() {
		log = zerolog.Nop()
	}
	raw := databasetest.OpenSQLite(t, o.path)
	seal, err := database.NewSealer(databasetest.Secret)
	require.NoError(t, err)
	b.db = database.NewWithClock(raw, log, seal, b.clock.Now)
	o.network.db = b.db

	// The same steps as BridgeMain.Init, which reads flags.
	b.main = &mxmain.BridgeMain{Name: "teamsbridge", Connector: o.network, Config: &cfg, Log: &log, DB: raw, Matrix: mxconn.NewConnector(&cfg)}
	b.main.Bridge = bridgev2.NewBridge("", raw, log, &cfg.Bridge, b.main.Matrix, o.network, commands.NewProcessor)
	b.main.Matrix.AS.DoublePuppetValue = b.main.Name
	o.network.inTurn = func(eventID id.EventID) error { return b.conn.InTurn(eventID) }
	b.conn = Install(b.main, Options{
		DB: b.db, MaxBody: o.maxBody, Now: b.clock.Now, Present: o.present,
		Source: func() *bridgev2.UserLogin { return o.network.system.Load() },
		OnStatus: func(_ context.Context, status *bridgev2.MessageStatus, _ *bridgev2.MessageStatusEventInfo) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.statuses = append(b.statuses, *status)
		},
		OnDuplicate: func(e database.Echo) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.doubled = append(b.doubled, e)
		},
		OnAnswer: func(a Answer) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.answers = append(b.answers, a)
		},
		OnDelivered: func(_ context.Context, d Delivered) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.delivered = append(b.delivered, d)
			return nil
		},
		OnRoom: func(_ context.Context, roomID id.RoomID, conversation string) (bool, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.rooms[roomID] = conversation
			return true, nil
		},
		OnDoubt: func(_ context.Context, _ id.RoomID, eventID id.EventID) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.doubted = append(b.doubted, eventID)
			return nil
		},
		OnTransaction: func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.transactions++
		},
		Redactions: o.redactions,
		OnRedaction: func(reason string) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.counted[reason]++
		},
	})
	if b.conn.feed != nil {
		b.conn.feed.pause = 5 * time.Millisecond
	}
	b.conn.journal.untold.tick = time.Hour // tests take its steps themselves
	require.NoError(t, b.main.Bridge.StartConnectors(ctx))
	require.NoError(t, b.main.Bridge.StartLogins(ctx))
	var once sync.Once
	b.stop = func() {
		once.Do(func() {
			o.network.release()
			b.main.Bridge.StopWithTimeout(time.Second)
			_ = raw.Close()
		})
	}
	t.Cleanup(b.stop)
	if !o.noStart {
		b.main.PostStart()
	}
	require.Eventually(t, func() bool { code, _ := hs.push(ctx, "wrong", "ping", nil); return code == 401 }, patience, time.Millisecond)
	return b
}

func (b *bridge) eventually(what string, check func() bool) {
	b.t.Helper()
	require.Eventually(b.t, check, patience, 5*time.Millisecond, what)
}

func (b *bridge) queue() (ids []string) {
	rows, err := b.db.Outbox.Queue(context.Background(), "c:1", 1000)
	require.NoError(b.t, err)
	for _, r := range rows {
		ids = append(ids, r.EventID)
	}
	return ids
}

func (b *bridge) journalCount() int {
	n, err := b.db.Journal.Count(context.Background())
	require.NoError(b.t, err)
	return n
}

func (b *bridge) statusList() []bridgev2.MessageStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]bridgev2.MessageStatus(nil), b.statuses...)
}

// network is the smallest network connector that enqueues durably.
type network struct {
	br     *bridgev2.Bridge
	db     *database.Database
	system atomic.Pointer[bridgev2.UserLogin]

	mu     sync.Mutex
	block  chan struct{} // handlers wait for it where set
	err    error         // handlers fail with it
	silent bool          // handlers say that all is well and take nothing
	calls  int
	rows   bool // messages get rows, so that redactions find them
	// refuse are events that fail with ErrNotStored so many times more.
	refuse map[id.EventID]int
	// roots are events that fail for want of another one until that is in the queue.
	roots map[id.EventID]id.EventID
	// inTurn is asked first.
	inTurn func(id.EventID) error

	released bool
}

var _ bridgev2.NetworkConnector = (*network)(nil)

func (n *network) release() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.block != nil && !n.released {
		// What was waiting, and what comes after, dies with the process.
		close(n.block)
		n.released = true
	}
}

func (n *network) callCount() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.calls
}

func (n *network) Init(br *bridgev2.Bridge) { n.br = br }

// Start makes the system login and a portal that relays through it.
func (n *network) Start(ctx context.Context) error {
	login, err := n.br.GetExistingUserLoginByID(ctx, "app:tenant")
	if err != nil {
		return err
	}
	if login == nil {
		user, err := n.br.GetUserByMXID(ctx, n.br.Bot.GetMXID())
		if err != nil {
			return err
		}
		if login, err = user.NewLogin(ctx, &b2db.UserLogin{ID: "app:tenant"}, nil); err != nil {
			return err
		}
		err = n.br.DB.Portal.Insert(ctx, &b2db.Portal{
			PortalKey: networkid.PortalKey{ID: "c:1"}, MXID: portalRoom, RelayLoginID: "app:tenant",
		})
		if err != nil {
			return err
		}
	}
	n.system.Store(login)
	return nil
}

func (n *network) GetName() bridgev2.BridgeName {
	return bridgev2.BridgeName{DisplayName: "Test", NetworkID: "test", BeeperBridgeType: "test"}
}
func (n *network) GetDBMetaTypes() b2db.MetaTypes { return b2db.MetaTypes{} }
func (n *network) GetCapabilities() *bridgev2.NetworkGeneralCapabilities {
	return &bridgev2.NetworkGeneralCapabilities{}
}
func (n *network) GetConfig() (string, any, configupgrade.Upgrader) { return "", nil, nil }
func (n *network) LoadUserLogin(_ context.Context, login *bridgev2.UserLogin) error {
	login.Client = &client{n}
	return nil
}
func (n *network) GetLoginFlows() []bridgev2.LoginFlow { return nil }
func (n *network) CreateLogin(context.Context, *bridgev2.User, string) (bridgev2.LoginProcess, error) {
	return nil, errors.New("none")
}
func (n *network) GetBridgeInfoVersion() (int, int) { return 1, 1 }

type client struct{ n *network }

func (c *client) Connect(context.Context)                           {}
func (c *client) Disconnect()                                       {}
func (c *client) IsLoggedIn() bool                                  { return true }
func (c *client) LogoutRemote(context.Context)                      {}
func (c *client) IsThisUser(context.Context, networkid.UserID) bool { return false }
func (c *client) GetChatInfo(context.Context, *bridgev2.Portal) (*bridgev2.ChatInfo, error) {
	return nil, errors.New("none")
}
func (c *client) GetUserInfo(context.Context, *bridgev2.Ghost) (*bridgev2.UserInfo, error) {
	return nil, errors.New("none")
}
func (c *client) GetCapabilities(context.Context, *bridgev2.Portal) *event.RoomFeatures {
	return &event.RoomFeatures{PerMessageProfileRelay: true}
}

func (c *client) HandleMatrixMessage(ctx context.Context, msg *bridgev2.MatrixMessage) (*bridgev2.MatrixMessageResponse, error) {
	c.n.mu.Lock()
	block, failWith, silent, rows := c.n.block, c.n.err, c.n.silent, c.n.rows
	c.n.calls++
	if c.n.refuse[msg.Event.ID] > 0 {
		c.n.refuse[msg.Event.ID]--
		failWith = ErrNotStored
	}
	c.n.mu.Unlock()
	if err := c.n.inTurn(msg.Event.ID); err != nil {
		return nil, err
	}
	if root := c.n.roots[msg.Event.ID]; root != "" {
		row, err := c.n.db.Outbox.ByEvent(ctx, string(root))
		if err != nil {
			return nil, err
		} else if row == nil {
			return nil, fmt.Errorf("its root: %w", bridgev2.ErrTargetMessageNotFound)
		}
	}
	if block != nil {
		<-block
		return nil, context.Canceled
	}
	if failWith != nil {
		return nil, failWith
	} else if silent {
		return &bridgev2.MatrixMessageResponse{Pending: true}, nil
	}
	if _, err := c.n.br.GetGhostByID(ctx, ""); err != nil {
		return nil, err
	}
	err := c.n.db.DoTxn(ctx, nil, func(ctx context.Context) error {
		_, err := c.n.db.Outbox.Enqueue(ctx, &database.OutboxRow{
			EventID: string(msg.Event.ID), Portal: "c:1", RoomID: string(msg.Event.RoomID), Kind: database.KindMessage, Payload: []byte("{}"),
		})
		if err != nil {
			return err
		}
		if rows {
			err = c.n.br.DB.Message.Insert(ctx, &b2db.Message{ID: networkid.MessageID(msg.Event.ID), MXID: msg.Event.ID,
				Room: msg.Portal.PortalKey, SenderMXID: msg.Event.Sender, Timestamp: time.UnixMilli(msg.Event.Timestamp)})
			if err != nil {
				return err
			}
		}
		return c.n.db.Journal.Done(ctx, string(msg.Event.ID))
	})
	return &bridgev2.MatrixMessageResponse{Pending: true}, err
}

func (c *client) HandleMatrixMessageRemove(ctx context.Context, msg *bridgev2.MatrixMessageRemove) error {
	return c.n.db.DoTxn(ctx, nil, func(ctx context.Context) error {
		_, err := c.n.db.Outbox.Enqueue(ctx, &database.OutboxRow{
			EventID: string(msg.Event.ID), Portal: "c:1", RoomID: string(msg.Event.RoomID), Kind: database.KindDelete,
			TargetEventID: string(msg.TargetMessage.MXID), Payload: []byte("{}"),
		})
		if err != nil {
			return err
		}
		return c.n.db.Journal.Done(ctx, string(msg.Event.ID))
	})
}

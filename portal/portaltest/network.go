package portaltest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.mau.fi/util/configupgrade"
	"maunium.net/go/mautrix/bridgev2"
	brdb "maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
)

// People is the rig's directory, and which accounts are signed in.
type People struct {
	mu       sync.Mutex
	signedIn map[string]bool
}

// NewPeople makes the rig's directory.
func NewPeople() *People {
	return &People{signedIn: map[string]bool{Alice: true, Relay: true, SecondRelay: true}}
}

var staff = map[string]id.UserID{Alice: AliceMXID, Bob: BobMXID}

// SignIn says whether an account is signed in.
func (p *People) SignIn(account string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signedIn[account] = ok
}

func (p *People) can(account string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.signedIn[account]
}

// Mention implements msgconv.People.
func (p *People) Mention(userID string) (id.UserID, string, bool) {
	mxid, ok := staff[userID]
	return mxid, userID, ok
}

// ByUPN implements msgconv.People.
func (p *People) ByUPN(string) (string, bool) { return "", false }

// Person implements msgconv.People.
func (p *People) Person(mxid id.UserID) (string, string, bool) {
	for userID, other := range staff {
		if other == mxid {
			return userID, userID, true
		}
	}
	return "", "", false
}

// Mapped implements portal.Directory.
func (p *People) Mapped(userID string) bool {
	_, ok := staff[userID]
	return ok
}

// IsRelay implements portal.Directory.
func (p *People) IsRelay(userID string) bool { return userID == Relay || userID == SecondRelay }

// writers implements portal.Writers.
type writers struct {
	tenant *Tenant
	people *People
	dead   *atomic.Bool
}

func (w *writers) For(ctx context.Context, row *database.OutboxRow, preferred string) (teams.Writer, bool, error) {
	if preferred != "" && w.people.can(preferred) {
		return w.tenant.Writer(preferred, w.dead), w.people.IsRelay(preferred), nil
	}
	if row.SenderUserID != "" && w.people.can(row.SenderUserID) {
		return w.tenant.Writer(row.SenderUserID, w.dead), false, nil
	}
	relay, err := w.Relay(ctx, row, preferred)
	return relay, true, err
}

func (w *writers) Relay(context.Context, *database.OutboxRow, string) (teams.Writer, error) {
	if !w.people.can(Relay) {
		return nil, portal.ErrNoAccount
	}
	return w.tenant.Writer(Relay, w.dead), nil
}

func (w *writers) Exactly(_ context.Context, _ *database.OutboxRow, account string) (teams.Writer, error) {
	if !w.people.can(account) {
		return nil, portal.ErrOwnAccount
	}
	return w.tenant.Writer(account, w.dead), nil
}

func (w *writers) Failed(_ context.Context, account string, err error) {
	if teams.KindOf(err) == teams.KindSignInExpired {
		w.people.SignIn(account, false)
	}
}

// Counts is a portal.Metrics that can be asked.
type Counts struct {
	mu sync.Mutex
	n  map[string]int
}

// NewCounts makes empty counts.
func NewCounts() *Counts { return &Counts{n: map[string]int{}} }

// Count implements portal.Metrics.
func (c *Counts) Count(name, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[name+" "+reason]++
}

// Observe implements portal.Metrics.
func (c *Counts) Observe(string, time.Duration) {}

// Get returns a count.
func (c *Counts) Get(name, reason string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[name+" "+reason]
}

type noCommands struct{}

func (noCommands) Handle(context.Context, id.RoomID, id.EventID, *bridgev2.User, string, id.EventID) {
}

// network is the smallest connector that uses package portal as the real one does.
type network struct{ outbox *portal.Outbox }

var _ bridgev2.NetworkConnector = (*network)(nil)

func (n *network) Init(*bridgev2.Bridge)       {}
func (n *network) Start(context.Context) error { return nil }
func (n *network) GetName() bridgev2.BridgeName {
	return bridgev2.BridgeName{DisplayName: "Teams", NetworkID: "teams"}
}
func (n *network) GetDBMetaTypes() brdb.MetaTypes   { return portal.MetaTypes() }
func (n *network) GetBridgeInfoVersion() (int, int) { return 1, 1 }
func (n *network) GetCapabilities() *bridgev2.NetworkGeneralCapabilities {
	return &bridgev2.NetworkGeneralCapabilities{}
}
func (n *network) GetConfig() (string, any, configupgrade.Upgrader) { return "", nil, nil }
func (n *network) GetLoginFlows() []bridgev2.LoginFlow              { return nil }
func (n *network) CreateLogin(context.Context, *bridgev2.User, string) (bridgev2.LoginProcess, error) {
	return nil, errors.New("no logins")
}

func (n *network) LoadUserLogin(_ context.Context, login *bridgev2.UserLogin) error {
	userID := string(login.ID)
	if login.ID == systemLogin {
		userID = ""
	}
	login.Client = &client{net: n, userID: userID}
	return nil
}

// client hands events to the outbox.
type client struct {
	net    *network
	userID string
}

var (
	_ bridgev2.EditHandlingNetworkAPI      = (*client)(nil)
	_ bridgev2.ReactionHandlingNetworkAPI  = (*client)(nil)
	_ bridgev2.RedactionHandlingNetworkAPI = (*client)(nil)
)

func (c *client) Connect(context.Context)      {}
func (c *client) Disconnect()                  {}
func (c *client) IsLoggedIn() bool             { return true }
func (c *client) LogoutRemote(context.Context) {}
func (c *client) IsThisUser(_ context.Context, userID networkid.UserID) bool {
	return string(userID) == c.userID
}

func (c *client) GetChatInfo(context.Context, *bridgev2.Portal) (*bridgev2.ChatInfo, error) {
	return nil, errors.New("the rig tells by itself")
}

func (c *client) GetUserInfo(_ context.Context, ghost *bridgev2.Ghost) (*bridgev2.UserInfo, error) {
	if _, ok := staff[string(ghost.ID)]; !ok {
		return nil, nil
	}
	name := string(ghost.ID)
	return &bridgev2.UserInfo{Name: &name}, nil
}

func (c *client) GetCapabilities(context.Context, *bridgev2.Portal) *event.RoomFeatures {
	anything := &event.FileFeatures{MimeTypes: map[string]event.CapabilitySupportLevel{"*/*": event.CapLevelFullySupported}}
	return &event.RoomFeatures{
		LocationMessage: event.CapLevelPartialSupport,
		Thread:          event.CapLevelFullySupported, Edit: event.CapLevelFullySupported, Delete: event.CapLevelFullySupported,
		Reaction: event.CapLevelFullySupported, PerMessageProfileRelay: true,
		File: event.FileFeatureMap{
			event.MsgImage: anything, event.CapMsgSticker: anything, event.MsgFile: anything, event.MsgVideo: anything, event.MsgAudio: anything,
		},
	}
}

func (c *client) actor(orig *bridgev2.OrigSender) portal.Actor {
	return portal.ActorOf(c.userID, c.userID, orig)
}

func (c *client) HandleMatrixMessage(ctx context.Context, msg *bridgev2.MatrixMessage) (*bridgev2.MatrixMessageResponse, error) {
	return c.net.outbox.HandleMessage(ctx, msg, c.actor(msg.OrigSender))
}

func (c *client) HandleMatrixEdit(ctx context.Context, msg *bridgev2.MatrixEdit) error {
	return c.net.outbox.HandleEdit(ctx, msg, c.actor(msg.OrigSender))
}

func (c *client) PreHandleMatrixReaction(ctx context.Context, msg *bridgev2.MatrixReaction) (bridgev2.MatrixReactionPreResponse, error) {
	return c.net.outbox.PreHandleReaction(ctx, msg, c.actor(msg.OrigSender))
}

func (c *client) HandleMatrixReaction(ctx context.Context, msg *bridgev2.MatrixReaction) (*brdb.Reaction, error) {
	return c.net.outbox.HandleReaction(ctx, msg, c.actor(msg.OrigSender))
}

func (c *client) HandleMatrixReactionRemove(ctx context.Context, msg *bridgev2.MatrixReactionRemove) error {
	return c.net.outbox.HandleReactionRemove(ctx, msg, c.actor(msg.OrigSender))
}

func (c *client) HandleMatrixMessageRemove(ctx context.Context, msg *bridgev2.MatrixMessageRemove) error {
	return c.net.outbox.HandleRemove(ctx, msg, c.actor(msg.OrigSender))
}

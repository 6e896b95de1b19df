package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/internal/pgserver"
	"teamsbridge/teams/teamstest"
)

// Options sets a stack up. The zero value is Dendrite, a calm tenant, double
// puppeting, and webhook and poller at once.
type Options struct {
	// Dir holds everything that is written; it must exist.
	Dir string
	// Homeserver is "dendrite" or "synapse", empty for Dendrite.
	Homeserver string
	Tenant     teamstest.Options
	// Settings are merged into the bridge's config last.
	Settings map[string]any
	// Database is the bridge's: "sqlite" or "postgres", empty for SQLite.
	Database string
	// NoDoublePuppet leaves the second registration out of the bridge's config.
	NoDoublePuppet bool
	// BridgeBinary and DendriteBinary are built where they are empty.
	BridgeBinary, DendriteBinary string
	Progress                     Progress
}

// Stack is a homeserver, a tenant and a bridge on one machine.
type Stack struct {
	Dir        string
	Homeserver Homeserver
	// Proxy is between the bridge, which asks, and the homeserver; Inbound is
	// between the homeserver, which delivers transactions, and the bridge.
	Proxy, Inbound *Proxy
	Tenant         *teamstest.Tenant
	Bridge         *Bridge
	// Admin is the Matrix account that the bridge's config names as administrator.
	Admin *mautrix.Client

	postgres *pgserver.Server

	mu      sync.Mutex
	clients map[string]*mautrix.Client
}

// AdminName is the localpart of the administrator's Matrix account.
const AdminName = "operator"

// Password is the password of every Matrix account of a stack.
const Password = "teamsbridge-demo"

// Up builds what is missing, starts the homeserver and the tenant, and
// configures the bridge. The bridge is not started yet, so that the caller can
// fill the tenant and make accounts first. Close ends all of it.
func Up(ctx context.Context, opts Options) (_ *Stack, err error) {
	s := &Stack{Dir: opts.Dir, clients: map[string]*mautrix.Client{}}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if opts.BridgeBinary == "" {
		if opts.BridgeBinary, err = BuildBridge(ctx, opts.Dir, opts.Progress); err != nil {
			return nil, err
		}
	}
	serverName := "dendrite.test"
	if opts.Homeserver == "synapse" {
		serverName = "synapse.test"
	}
	if s.Inbound, err = newProxy(); err != nil {
		return nil, err
	}
	if s.Bridge, err = NewBridge(ctx, opts.BridgeBinary, filepath.Join(opts.Dir, "bridge"), serverName, s.Inbound.URL()); err != nil {
		return nil, err
	}
	if err = s.Inbound.aim(fmt.Sprintf("http://127.0.0.1:%d", s.Bridge.Port)); err != nil {
		return nil, err
	}
	if err = s.startDatabase(ctx, opts.Database); err != nil {
		return nil, err
	}
	if err = s.startHomeserver(ctx, opts); err != nil {
		return nil, err
	}
	if s.Proxy, err = newProxy(); err != nil {
		return nil, err
	}
	if err = s.Proxy.aim(s.Homeserver.URL()); err != nil {
		return nil, err
	}
	if s.Tenant, err = teamstest.Start(opts.Tenant); err != nil {
		return nil, fmt.Errorf("start the simulated tenant: %w", err)
	}
	if err = s.configure(opts); err != nil {
		return nil, err
	}
	s.Admin, err = s.Person(ctx, AdminName)
	return s, err
}

func (s *Stack) startHomeserver(ctx context.Context, opts Options) (err error) {
	switch opts.Homeserver {
	case "", "dendrite":
		if opts.DendriteBinary == "" {
			if opts.DendriteBinary, err = BuildDendrite(ctx, opts.Progress); err != nil {
				return err
			}
		}
		s.Homeserver, err = NewDendrite(opts.DendriteBinary, filepath.Join(opts.Dir, "dendrite"), s.Bridge.Registrations)
	case "synapse":
		script := os.Getenv(SynapseScriptEnv)
		if script == "" {
			return fmt.Errorf("%s does not name the program that starts Synapse", SynapseScriptEnv)
		}
		s.Homeserver, err = NewSynapse(script, s.Bridge.Registrations)
	default:
		return fmt.Errorf("unknown homeserver %q: it is dendrite or synapse", opts.Homeserver)
	}
	if err != nil {
		return err
	}
	return s.Homeserver.Start(ctx)
}

func (s *Stack) configure(opts Options) error {
	ca, err := s.Tenant.CAFile(s.Dir)
	if err != nil {
		return fmt.Errorf("write the tenant's certificate authority: %w", err)
	}
	app := s.Tenant.App()
	webhook := fmt.Sprintf("127.0.0.1:%d", s.Bridge.WebhookPort)
	base := map[string]any{
		"homeserver": map[string]any{"address": s.Proxy.URL()},
		"network": map[string]any{
			"tenant_id": s.Tenant.TenantID, "client_id": app.ClientID, "client_secret": app.Secret(), "ca_file": ca,
			"endpoints": map[string]any{"login": s.Tenant.URL(), "graph": s.Tenant.GraphURL(), "hosts": []string{}},
			"webhook":   map[string]any{"enabled": true, "listen": webhook, "public_url": "http://" + webhook},
			"limits":    map[string]any{"rooms_per_second": 1000, "joins_per_second": 1000},
		},
		"bridge": map[string]any{"permissions": Whole{
			s.Homeserver.ServerName(): "user", "@" + AdminName + ":" + s.Homeserver.ServerName(): "admin",
		}},
		"logging": map[string]any{"min_level": "debug"},
	}
	if opts.NoDoublePuppet {
		base["double_puppet"] = map[string]any{"secrets": Whole{}}
	}
	if err = s.Bridge.Configure(base); err != nil {
		return err
	}
	return s.Bridge.Configure(opts.Settings)
}

// Person returns the signed-in client of a Matrix account, which is made when
// it is asked for first.
func (s *Stack) Person(ctx context.Context, localpart string) (*mautrix.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cli, ok := s.clients[localpart]; ok {
		return cli, nil
	}
	cli, err := RegisterUser(ctx, s.Homeserver, localpart, Password)
	if err != nil {
		return nil, err
	}
	s.clients[localpart] = cli
	return cli, nil
}

// UserID is the Matrix id that the account with the localpart has here.
func (s *Stack) UserID(localpart string) id.UserID {
	return id.NewUserID(localpart, s.Homeserver.ServerName())
}

// StartBridge starts the bridge and waits until it says that it is ready.
func (s *Stack) StartBridge(ctx context.Context) error {
	if err := s.Bridge.Start(); err != nil {
		return err
	}
	return s.Bridge.WaitReady(ctx)
}

// ErrNoRoom says that a user is in no room of the channel or team.
var ErrNoRoom = errors.New("no such room among the user's rooms")

// RoomsOf maps the ids of teams and channels to the rooms that the user has
// joined, by the m.bridge state that names them.
func RoomsOf(ctx context.Context, cli *mautrix.Client) (map[string]id.RoomID, error) {
	joined, err := cli.JoinedRooms(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the rooms of %s: %w", cli.UserID, err)
	}
	rooms := make(map[string]id.RoomID, len(joined.JoinedRooms))
	for _, room := range joined.JoinedRooms {
		state, err := cli.State(ctx, room)
		if err != nil {
			continue // left between the two calls
		}
		for _, evt := range state[event.StateBridge] {
			channel, _ := evt.Content.Raw["channel"].(map[string]any)
			if name, _ := channel["id"].(string); name != "" {
				// "t:<team>" or "c:<team>/<channel>"
				rooms[name[strings.LastIndexAny(name, "/")+1:]] = room
				rooms[strings.TrimPrefix(name, "t:")] = room
			}
		}
	}
	return rooms, nil
}

// RoomOf finds the room of a channel, or the space of a team, among the rooms
// that the user has joined.
func RoomOf(ctx context.Context, cli *mautrix.Client, remoteID string) (id.RoomID, error) {
	rooms, err := RoomsOf(ctx, cli)
	if err != nil {
		return "", err
	}
	if room, ok := rooms[remoteID]; ok {
		return room, nil
	}
	return "", fmt.Errorf("%w: %s for %s", ErrNoRoom, remoteID, cli.UserID)
}

// Close ends everything that the stack started. It may be called twice.
func (s *Stack) Close() {
	if s.Bridge != nil {
		s.Bridge.Stop()
	}
	if s.Homeserver != nil {
		s.Homeserver.Stop()
	}
	for _, proxy := range []**Proxy{&s.Proxy, &s.Inbound} {
		if *proxy != nil {
			(*proxy).close()
			*proxy = nil
		}
	}
	if s.postgres != nil {
		_ = s.postgres.Stop()
		s.postgres = nil
	}
	if s.Tenant != nil {
		_ = s.Tenant.Close()
		s.Tenant = nil
	}
}

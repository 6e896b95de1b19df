package graph

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"teamsbridge/teams"
	"teamsbridge/teams/teamstest"
)

// world is a simulated tenant with a little organisation, and clients of it
// that are built the way the bridge builds them.
type world struct {
	sim       *teamstest.Tenant
	endpoints teams.Endpoints
	http      *http.Client
	app       *teams.AppCredential
	client    *Client
	store     *memoryStore

	ann, bob *teamstest.User
	team     *teamstest.Team
	channel  *teamstest.Channel
	private  *teamstest.Channel
	shared   *teamstest.Channel
}

type memoryStore struct {
	mu     sync.Mutex
	tokens map[string]string
}

func (s *memoryStore) LoadToken(_ context.Context, key string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens[key], nil
}

func (s *memoryStore) RotateToken(_ context.Context, key, older, token string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tokens[key] != older {
		return false, nil
	}
	s.tokens[key] = token
	return true, nil
}

func (s *memoryStore) set(key, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[key] = token
}

func newWorld(t *testing.T, opts teamstest.Options, limits teams.LimiterOptions) *world {
	t.Helper()
	opts.SignIn.DeviceInterval = time.Second
	opts.NoSystemEvents = true
	sim, err := teamstest.Start(opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = sim.Close() })
	w := &world{sim: sim, store: &memoryStore{tokens: map[string]string{}}}
	w.ann = sim.AddUser(teamstest.UserSpec{DisplayName: "Ann Baker"})
	w.bob = sim.AddUser(teamstest.UserSpec{DisplayName: "Bob Cook", Mail: "-"})
	w.team = sim.AddTeam(teamstest.TeamSpec{DisplayName: "Engineering", Description: "We build", Owners: []*teamstest.User{w.ann}, Members: []*teamstest.User{w.bob}, General: "Everything"})
	w.channel = w.team.AddChannel(teamstest.ChannelSpec{DisplayName: "Releases", Description: "What ships"})
	w.private = w.team.AddChannel(teamstest.ChannelSpec{DisplayName: "Secrets", Kind: teamstest.Private, Owners: []*teamstest.User{w.ann}})
	w.shared = w.team.AddChannel(teamstest.ChannelSpec{DisplayName: "Partners", Kind: teamstest.Shared, Owners: []*teamstest.User{w.ann}})

	ca, err := sim.CAFile(t.TempDir())
	require.NoError(t, err)
	w.endpoints, err = teams.ResolveEndpoints("global", sim.URL(), sim.GraphURL(), nil)
	require.NoError(t, err)
	w.http, err = teams.NewHTTPClient(teams.HTTPOptions{Endpoints: w.endpoints, CAFile: ca, Limiter: teams.NewLimiter(limits),
		Timeout: 5 * time.Second, Logger: zerolog.Nop()})
	require.NoError(t, err)
	t.Cleanup(w.http.CloseIdleConnections)
	w.app = w.newApp(t, sim.App().Secret())
	w.client, err = New(Options{Endpoints: w.endpoints, Credential: w.app, HTTP: w.http, TenantID: sim.TenantID, Logger: zerolog.Nop()})
	require.NoError(t, err)
	return w
}

func (w *world) newApp(t *testing.T, secret string) *teams.AppCredential {
	t.Helper()
	app, err := teams.NewAppCredential(teams.AppConfig{Endpoints: w.endpoints, TenantID: w.sim.TenantID,
		ClientID: w.sim.App().ClientID, ClientSecret: secret, HTTP: w.http})
	require.NoError(t, err)
	return app
}

func (w *world) delegated() teams.DelegatedConfig {
	return teams.DelegatedConfig{Endpoints: w.endpoints, TenantID: w.sim.TenantID, ClientID: w.sim.App().ClientID,
		HTTP: w.http, Store: w.store}
}

// writer signs a person in with a device code and returns their writer.
func (w *world) writer(t *testing.T, u *teamstest.User) *Writer {
	t.Helper()
	login, err := teams.StartDeviceLogin(t.Context(), w.delegated())
	require.NoError(t, err)
	require.NoError(t, w.sim.ApproveDevice(login.UserCode, u))
	got, err := login.Wait(t.Context())
	require.NoError(t, err)
	require.Equal(t, teams.Account{UserID: u.ID, UPN: u.UPN(), DisplayName: u.DisplayName()}, got.Account)
	w.store.set(u.ID, got.RefreshToken)
	cred, err := teams.NewDelegatedCredential(w.delegated(), u.ID)
	require.NoError(t, err)
	writer, err := NewWriter(WriterOptions{Endpoints: w.endpoints, Credential: cred, HTTP: w.http, Account: got.Account, Messages: w.client})
	require.NoError(t, err)
	return writer
}

func ref(c *teamstest.Channel) teams.ChannelRef {
	return teams.ChannelRef{TeamID: c.Team().ID, ChannelID: c.ID}
}

func unlimited() teams.LimiterOptions { return teams.LimiterOptions{Disabled: true} }

func png() []byte { return []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR and so on") }

package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/bridgev2/matrix/mxmain"

	vitals "teamsbridge/bridge/health"
	"teamsbridge/database"
	"teamsbridge/internal/freeport"
	"teamsbridge/teams"
)

// askProbe asks a listener and returns status code and condition.
func askProbe(t *testing.T, p *probes, path string) (int, condition) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+path, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	var v condition
	_ = json.NewDecoder(resp.Body).Decode(&v)
	return resp.StatusCode, v
}

func probedRuntime(t *testing.T, db *database.Database) *runtime {
	t.Helper()
	poller, err := teams.NewPoller(teams.PollerOptions{Source: &fakeTenant{}, Sink: noSink{}, Cursors: cursorStore{db.Cursors},
		Teams: func() []teams.PolledTeam { return nil }, Logger: zerolog.Nop()})
	require.NoError(t, err)
	r := &runtime{c: &Connector{}, keys: &keyring{}, db: db, now: time.Now, health: newHealth(nil, time.Now), poller: poller,
		rooms: &matrixRooms{joins: newJoins()}, mirror: &mirror{catalog: newCatalog(db.Conversations)}}
	r.outages = newOutages(db, newHolds(db, time.Now, func() {}), time.Now)
	r.metrics = newMetrics(r)
	return r
}

// An instance that waits is alive and not ready; the one that works is ready
// before the homeserver has answered, because that calls it back through its
// readiness, and with Teams away; it is down where its database does not answer.
func TestProbesTellStatesApart(t *testing.T) {
	port, err := freeport.Get()
	require.NoError(t, err)
	p := newProbes(fmt.Sprintf("127.0.0.1:%d", port), zerolog.Nop())
	p.open()
	t.Cleanup(p.close)
	expect := func(path string, wantCode int, status, role string, what ...string) {
		t.Helper()
		code, v := askProbe(t, p, path)
		require.Equal(t, wantCode, code, path)
		require.Equal(t, status, v.Status, path)
		require.Equal(t, role, v.Role, path)
		named := []string{}
		for _, reason := range v.Reasons {
			named = append(named, reason.What)
			require.NotEmpty(t, reason.State)
			require.NotEmpty(t, reason.Text)
		}
		require.Equal(t, append([]string{}, what...), named, path)
	}
	alive := func() {
		t.Helper()
		code, _ := askProbe(t, p, "/livez")
		require.Equal(t, http.StatusOK, code)
	}
	expect("/healthz", 200, statusOK, roleStandby, "instance")
	expect("/readyz", 503, statusOK, roleStandby, "instance")
	code, _ := askProbe(t, p, "/metrics")
	require.Equal(t, 503, code)
	alive()

	db := testDB(t)
	r := probedRuntime(t, db)
	require.NoError(t, p.lead(r))
	expect("/healthz", 200, statusDegraded, roleStarting, "homeserver")
	expect("/readyz", 200, statusDegraded, roleStarting, "homeserver")
	code, _ = askProbe(t, p, "/metrics")
	require.Equal(t, 200, code)

	r.firsts = &firstNotices{seen: map[teams.ChannelRef]struct{}{{ChannelID: "told of"}: {}}}
	r.running.Store(true)
	expect("/healthz", 200, statusOK, roleActive)
	expect("/readyz", 200, statusOK, roleActive)

	for i := range 6 {
		r.health.observe(vitals.Observation{Dependency: vitals.GraphRead, Probe: true, Outcome: vitals.ServerError, At: time.Now().Add(time.Duration(i) * 5 * time.Second)})
	}
	code, v := askProbe(t, p, "/healthz")
	require.Equal(t, 200, code)
	require.Equal(t, statusDegraded, v.Status)
	require.Equal(t, "graph_read", v.Reasons[0].What)
	require.Equal(t, "down", v.Reasons[0].State)
	require.Equal(t, string(vitals.TeamsDown), v.Reasons[0].Cause)
	require.NotNil(t, v.Reasons[0].Since)
	code, _ = askProbe(t, p, "/readyz")
	require.Equal(t, 200, code, "with Teams away the bridge does its work")

	require.NoError(t, r.outages.declare(t.Context(), "@boss:x", "because"))
	_, v = askProbe(t, p, "/healthz")
	require.Equal(t, "outage", v.Reasons[len(v.Reasons)-1].What)

	require.NoError(t, db.Close())
	code, v = askProbe(t, p, "/healthz")
	require.Equal(t, 503, code)
	require.Equal(t, statusDown, v.Status)
	require.Equal(t, "database", v.Reasons[0].What)
	require.Len(t, r.firsts.seen, 1)
	code, _ = askProbe(t, p, "/readyz")
	require.Equal(t, 503, code)
	require.Empty(t, r.firsts.seen, "notifications may go elsewhere from now on")
	alive()
}

// Where the instance that works has the address, one that waits opens it when it
// is its turn; where the turn has come and something else has it, the start fails.
func TestProbesWaitForTheirAddress(t *testing.T) {
	port, err := freeport.Get()
	require.NoError(t, err)
	first := newProbes(fmt.Sprintf("127.0.0.1:%d", port), zerolog.Nop())
	first.open()
	second := newProbes(first.address, zerolog.Nop())
	second.open()
	r := probedRuntime(t, testDB(t))
	var config *ConfigError
	require.ErrorAs(t, second.lead(r), &config)
	first.close()
	require.NoError(t, second.lead(r))
	t.Cleanup(second.close)
	code, _ := askProbe(t, second, "/readyz")
	require.Equal(t, 200, code)
	second.close()
	second.close()
	none := newProbes("", zerolog.Nop())
	none.open()
	require.NoError(t, none.lead(r))
	none.close()
}

// The subcommand is what a container's health check runs.
func TestHealthSubcommand(t *testing.T) {
	port, err := freeport.Get()
	require.NoError(t, err)
	config := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, "network:\n    metrics:\n        listen: 0.0.0.0:%d\n", port), 0o600))
	run := func(args ...string) (int, string) {
		var out bytes.Buffer
		c := New(Graph{})
		c.main = &mxmain.BridgeMain{}
		code := runHealth(c, append([]string{"-c", config}, args...), &out, &out)
		return code, out.String()
	}
	code, said := run()
	require.Equal(t, 1, code)
	require.Contains(t, said, "does not answer")
	p := newProbes(fmt.Sprintf("0.0.0.0:%d", port), zerolog.Nop())
	p.open()
	t.Cleanup(p.close)
	code, said = run()
	require.Equal(t, 0, code, said)
	require.Contains(t, said, "ok (standby)")
	code, _ = run("--ready")
	require.Equal(t, 1, code)
	require.NoError(t, p.lead(probedRuntime(t, testDB(t))))
	code, said = run("--ready")
	require.Equal(t, 0, code)
	require.Contains(t, said, "homeserver: starting: it has not answered yet")
	code, said = run("--json")
	require.Equal(t, 0, code)
	require.True(t, json.Valid([]byte(said)))
	// A container's configuration comes from the environment in part.
	require.NoError(t, os.WriteFile(config, []byte("env_config_prefix: HEALTHTEST_\n"), 0o600))
	t.Setenv("HEALTHTEST_NETWORK__METRICS__LISTEN", fmt.Sprintf(":%d", port))
	code, said = run()
	require.Equal(t, 0, code, said)
	require.NoError(t, os.WriteFile(config, []byte("network: {metrics: {listen: ''}}"), 0o600))
	code, said = run()
	require.Equal(t, exitUsage, code)
	require.Contains(t, said, "network.metrics.listen is empty")
	require.NoError(t, os.Remove(config))
	code, _ = run()
	require.Equal(t, exitUsage, code)
}

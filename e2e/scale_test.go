package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"teamsbridge/internal/freeport"
	"teamsbridge/internal/memhs"
	"teamsbridge/internal/pgserver"
	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

const (
	// scaleEnv is how many channels there are, small where it is not set;
	// scaleDatabaseEnv is what the bridge keeps its tables in.
	scaleEnv, scaleDatabaseEnv = "TEAMSBRIDGE_E2E_SCALE", "TEAMSBRIDGE_E2E_SCALE_DATABASE"
	scaleSmall                 = 200
	// scalePerTeam is how many channels a team has, scaleStaff how many people
	// there are for each channel.
	scalePerTeam, scaleStaff = 20, 5
	// scaleRestart is how long a start may take with everything mirrored, and
	// scaleMemory what the bridge may have resident then.
	scaleRestart = 15 * time.Second
	scaleMemory  = 1 << 30
)

// Many channels and people: what a first start costs, what it needs when it has
// nothing to do, and that the next start asks nobody about every room. The
// homeserver is one in memory.
func TestScale(t *testing.T) {
	channels := scaleSmall
	if text := os.Getenv(scaleEnv); text != "" {
		var err error
		channels, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	if stackIsSynapse() {
		t.Skip("it has a homeserver of its own: it runs with Dendrite's suite")
	}
	if runtime.GOOS != "linux" {
		t.Skip("it reads /proc")
	}
	build(t)
	s := newScale(t, channels)
	s.start(t)
	began := time.Now()
	rooms := channels + channels/scalePerTeam
	require.NoError(t, stack.Eventually(s.ctx, 3*time.Hour, func(context.Context) error {
		if have, _ := s.hs.Rooms(); have < rooms {
			return fmt.Errorf("%d of %d rooms", have, rooms)
		}
		return nil
	}))
	t.Logf("%d rooms after %s", rooms, time.Since(began).Round(time.Second))
	rest := 2 * time.Second
	if channels > scaleSmall {
		rest = 10 * time.Second
	}
	first := s.settled(t, time.Now(), rest)
	_, memberships := s.hs.Rooms()
	t.Logf("first start: mirrored after %s; %d rooms, %d memberships, %d events; %d requests to the homeserver, %d to Graph",
		first.Sub(began).Round(time.Second), rooms, memberships, s.hs.Events(), total(s.hs.Counts()), s.tenant.CountRequests(nil))
	t.Logf("first start: %s", s.process(t))
	t.Logf("first start: requests to the homeserver: %v", top(s.hs.Counts()))

	// Idle.
	hs, before, cpu := total(s.hs.Counts()), s.tenant.CountRequests(nil), s.cpu(t)
	const idle = 60 * time.Second
	if channels > scaleSmall {
		<-time.After(idle)
		t.Logf("idle for %s: %d requests to the homeserver, %d to Graph, %s of CPU; %s",
			idle, total(s.hs.Counts())-hs, s.tenant.CountRequests(nil)-before, s.cpu(t)-cpu, s.process(t))
	}
	s.bridge.Stop()
	t.Logf("database: %s", s.size(t))

	// Once more.
	counts, graph := s.hs.Counts(), s.tenant.CountRequests(nil)
	signs := s.alive()
	began = time.Now()
	s.start(t)
	ready := time.Since(began)
	// It notes that it works when nothing is in the way of sending any more.
	require.NoError(t, stack.Eventually(s.ctx, 10*time.Minute, func(context.Context) error {
		if n := s.alive(); n == signs {
			return errors.New("it does not work yet")
		}
		return nil
	}))
	works := time.Since(began)
	last := s.settled(t, began, rest)
	asked := map[string]int{}
	for what, n := range s.hs.Counts() {
		if n > counts[what] {
			asked[what] = n - counts[what]
		}
	}
	t.Logf("second start: ready after %s, working after %s, the last request after %s; %d requests to the homeserver, %d to Graph: %v",
		ready.Round(time.Millisecond), works.Round(time.Millisecond), last.Sub(began).Round(time.Millisecond), total(asked), s.tenant.CountRequests(nil)-graph, top(asked))
	t.Logf("second start: %s", s.process(t))
	require.Less(t, max(works, last.Sub(began)), scaleRestart)
	require.Less(t, s.memory(t, "VmHWM"), int64(scaleMemory))
	require.Less(t, total(asked), 50+channels/20, "requests to the homeserver, which are to be far fewer than rooms")
	require.Less(t, s.tenant.CountRequests(nil)-graph, 50+channels/scalePerTeam*3, "requests to Graph")
	if unknown := s.hs.Unknown(); len(unknown) > 0 {
		t.Logf("what the homeserver had no answer to: %v", top(unknown))
	}
}

// scale is a bridge between a simulated tenant and a homeserver in memory.
type scale struct {
	ctx     context.Context
	tenant  *teamstest.Tenant
	hs      *memhs.Server
	bridge  *stack.Bridge
	server  *pgserver.Server
	metrics string
}

func newScale(t *testing.T, channels int) *scale {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Hour)
	t.Cleanup(cancel)
	s := &scale{ctx: ctx}
	var err error
	s.tenant, err = teamstest.Start(teamstest.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.tenant.Close() })
	s.fill(channels)

	dir := t.TempDir()
	const name = "memory.test"
	s.bridge, err = stack.NewBridge(ctx, binaries.bridge, filepath.Join(dir, "bridge"), name, "")
	require.NoError(t, err)
	var registration struct {
		HSToken string `yaml:"hs_token"`
	}
	data, err := os.ReadFile(s.bridge.Registrations[0])
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(data, &registration))
	s.hs, err = memhs.Start(name, "teamsbot", fmt.Sprintf("http://127.0.0.1:%d", s.bridge.Port), registration.HSToken)
	require.NoError(t, err)
	t.Cleanup(s.hs.Close)
	t.Cleanup(s.bridge.Stop)

	ca, err := s.tenant.CAFile(dir)
	require.NoError(t, err)
	port, err := freeport.Get()
	require.NoError(t, err)
	s.metrics = fmt.Sprintf("127.0.0.1:%d", port)
	app, webhook := s.tenant.App(), fmt.Sprintf("127.0.0.1:%d", s.bridge.WebhookPort)
	require.NoError(t, s.bridge.Configure(map[string]any{
		"homeserver": map[string]any{"address": s.hs.URL()},
		"network": map[string]any{
			"tenant_id": s.tenant.TenantID, "client_id": app.ClientID, "client_secret": app.Secret(), "ca_file": ca,
			"endpoints": map[string]any{"login": s.tenant.URL(), "graph": s.tenant.GraphURL(), "hosts": []string{}},
			"webhook":   map[string]any{"enabled": true, "listen": webhook, "public_url": "http://" + webhook},
			"limits":    map[string]any{"rooms_per_second": 1000, "joins_per_second": 1000},
			"rooms":     map[string]any{"join": "space"},
			"metrics":   map[string]any{"listen": s.metrics},
		},
		"bridge":  map[string]any{"permissions": stack.Whole{name: "user", "@operator:" + name: "admin"}},
		"logging": map[string]any{"min_level": "info"},
	}))
	if os.Getenv(scaleDatabaseEnv) == "postgres" {
		s.server, err = pgserver.Start()
		require.NoError(t, err)
		t.Cleanup(func() { _ = s.server.Stop() })
		uri, err := s.server.Create(ctx, "teamsbridge")
		require.NoError(t, err)
		require.NoError(t, s.bridge.Configure(map[string]any{"database": map[string]any{"type": "postgres", "uri": uri}}))
	}
	return s
}

// fill makes teams of 5 to 200 people; nearly all of the staff are in one, some in
// several.
func (s *scale) fill(channels int) {
	staff := make([]*teamstest.User, channels*scaleStaff)
	for i := range staff {
		staff[i] = s.tenant.AddUser(teamstest.UserSpec{DisplayName: fmt.Sprintf("Person %d", i), UPN: fmt.Sprintf("person%d@contoso.example", i)})
	}
	next := 0
	for i := range channels / scalePerTeam {
		size := []int{5, 20, 60, 120, 200, 100, 195}[i%7]
		team := make([]*teamstest.User, size)
		for k := range team {
			team[k] = staff[next%len(staff)]
			next++
		}
		made := s.tenant.AddTeam(teamstest.TeamSpec{DisplayName: fmt.Sprintf("Team %d", i), Owners: team[:1], Members: team[1:]})
		for len(made.Channels()) < scalePerTeam {
			made.AddChannel(teamstest.ChannelSpec{DisplayName: fmt.Sprintf("Channel %d", len(made.Channels())), By: team[0]})
		}
	}
}

func (s *scale) start(t *testing.T) {
	t.Helper()
	require.NoError(t, s.bridge.Start())
	require.NoError(t, s.bridge.WaitReady(s.ctx))
}

// settled waits until for a while nobody was asked anything but what a bridge asks
// that has nothing to do, and returns when that began.
func (s *scale) settled(t *testing.T, since time.Time, rest time.Duration) time.Time {
	t.Helper()
	before, last := -1, since
	require.NoError(t, stack.Eventually(s.ctx, time.Hour, func(context.Context) error {
		n := s.tenant.CountRequests(nil)
		for what, count := range s.hs.Counts() {
			if !strings.Contains(what, "/sync") && !strings.Contains(what, "account_data") && !strings.Contains(what, "account/whoami") {
				n += count
			}
		}
		if n != before {
			before, last = n, time.Now()
		}
		if time.Since(last) < rest {
			return errors.New("still working")
		}
		return nil
	}))
	return last
}

// alive counts how often the bridge has noted that it works.
func (s *scale) alive() (n int) {
	for what, count := range s.hs.Counts() {
		if strings.HasPrefix(what, "PUT /user/") {
			n += count
		}
	}
	return n
}

// memory reads a line of /proc/…/status, in bytes.
func (s *scale) memory(t *testing.T, name string) int64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.bridge.PID()))
	require.NoError(t, err)
	match := regexp.MustCompile(name + `:\s+(\d+) kB`).FindSubmatch(data)
	require.NotNil(t, match)
	n, err := strconv.ParseInt(string(match[1]), 10, 64)
	require.NoError(t, err)
	return n << 10
}

// cpu is how long the bridge has computed.
func (s *scale) cpu(t *testing.T) time.Duration {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.bridge.PID()))
	require.NoError(t, err)
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		require.NoError(t, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// process says what the bridge's process needs.
func (s *scale) process(t *testing.T) string {
	t.Helper()
	const mib = 1 << 20
	out := fmt.Sprintf("resident %d MiB, at most %d MiB", s.memory(t, "VmRSS")/mib, s.memory(t, "VmHWM")/mib)
	resp, err := http.Get("http://" + s.metrics + "/metrics")
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	for _, name := range []string{"go_memstats_heap_inuse_bytes", "go_goroutines"} {
		if match := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindSubmatch(text); match != nil {
			n, _ := strconv.ParseFloat(string(match[1]), 64)
			if strings.HasSuffix(name, "bytes") {
				out += fmt.Sprintf(", heap %d MiB", int(n)/mib)
			} else {
				out += fmt.Sprintf(", %d goroutines", int(n))
			}
		}
	}
	return out
}

// size says how large the database is.
func (s *scale) size(t *testing.T) string {
	t.Helper()
	if s.server != nil {
		n, err := s.server.Size("teamsbridge")
		require.NoError(t, err)
		return fmt.Sprintf("%d MiB", n>>20)
	}
	var n int64
	require.NoError(t, filepath.WalkDir(s.bridge.Dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(entry.Name(), "teamsbridge.db") {
			if info, err := entry.Info(); err == nil {
				n += info.Size()
			}
		}
		return err
	}))
	return fmt.Sprintf("%d MiB", n>>20)
}

func total(counts map[string]int) (n int) {
	for _, count := range counts {
		n += count
	}
	return n
}

// top is the largest of many counts, for reading.
func top(counts map[string]int) string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return counts[b] - counts[a] })
	shown := map[string]int{}
	for _, name := range names[:min(12, len(names))] {
		shown[name] = counts[name]
	}
	text, _ := json.Marshal(shown)
	return string(text)
}

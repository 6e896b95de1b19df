package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database/databasetest"
	"teamsbridge/internal/freeport"
	"teamsbridge/internal/pgserver"
	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// failoverEnv is how many times the leader is lost in the long form.
const failoverEnv = "TEAMSBRIDGE_E2E_FAILOVER"

// failoverLimit is how long nobody may lead after a kill or a cut.
const failoverLimit = 10 * time.Second

// replica is one of the instances, with its own way to the database.
type replica struct {
	*stack.Bridge
	name    string
	way     *stack.Forward
	monitor string
}

// role is what it says of itself: "" where nobody answers.
func (r *replica) role() string {
	client := http.Client{Timeout: time.Second}
	resp, err := client.Get("http://" + r.monitor + "/healthz")
	if err != nil {
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	var v struct {
		Role string `json:"role"`
	}
	_ = json.NewDecoder(resp.Body).Decode(&v)
	return v.Role
}

// ready asks as a load balancer does.
func (r *replica) ready() bool {
	client := http.Client{Timeout: time.Second}
	resp, err := client.Get("http://" + r.monitor + "/readyz")
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// group is the instances and what leads calls to the one that is ready.
type group struct {
	*office
	server   *pgserver.Server
	replicas []*replica
	doors    map[*stack.Forward]func(*replica) int
}

func newGroup(t *testing.T, n int) *group {
	server, err := pgserver.Start()
	if errors.Is(err, pgserver.ErrNotInstalled) && os.Getenv(databasetest.EnvRequire) == "" {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Stop() })
	uri, err := server.Create(t.Context(), "bridge")
	require.NoError(t, err)
	g := &group{office: newOffice(t, stack.Options{Settings: map[string]any{"database": map[string]any{"type": "postgres", "uri": uri}}}), server: server}
	for i := range n {
		g.replicas = append(g.replicas, g.replica(i, uri))
	}
	g.doors = map[*stack.Forward]func(*replica) int{
		g.forward(g.Bridge.Port, ""):        func(r *replica) int { return r.Port },
		g.forward(g.Bridge.WebhookPort, ""): func(r *replica) int { return r.WebhookPort },
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		g.balance(ctx)
	}()
	return g
}

func (g *group) replica(i int, uri string) *replica {
	port, err := freeport.Get()
	require.NoError(g.t, err)
	name := fmt.Sprintf("instance %d", i+1)
	r := &replica{name: name, monitor: fmt.Sprintf("127.0.0.1:%d", port)}
	r.Bridge, err = g.Bridge.Twin(filepath.Join(g.Dir, fmt.Sprintf("instance-%d", i+1)), g.Proxy.URL())
	require.NoError(g.t, err)
	u, err := url.Parse(uri)
	require.NoError(g.t, err)
	r.way = g.forward(0, u.Host)
	u.Host = r.way.Address()
	require.NoError(g.t, r.Configure(map[string]any{
		"database": map[string]any{"uri": u.String()},
		"network":  map[string]any{"metrics": map[string]any{"listen": r.monitor}},
	}))
	g.t.Cleanup(func() {
		r.way.Mend()
		r.Stop()
		if g.t.Failed() {
			kept := filepath.Join(os.TempDir(), fmt.Sprintf("failover-%d-%d.log", os.Getpid(), i+1))
			_ = os.Rename(r.LogPath(), kept)
			g.t.Logf("the log of %s is %s", name, kept)
		}
	})
	return r
}

// balance leads calls to the instance that is ready, as a service of Kubernetes
// or a load balancer.
func (g *group) balance(ctx context.Context) {
	var to *replica
	for ctx.Err() == nil {
		var now *replica
		for _, r := range g.replicas {
			if r.ready() {
				now = r
			}
		}
		if now != to {
			to = now
			for door, port := range g.doors {
				target := ""
				if to != nil {
					target = net.JoinHostPort("127.0.0.1", strconv.Itoa(port(to)))
				}
				door.Aim(target)
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// leader waits for another one than that to lead, and says how long it took.
func (g *group) leader(but *replica, since time.Time) (*replica, time.Duration) {
	g.t.Helper()
	var leader *replica
	g.within(time.Minute, "somebody leads", func(context.Context) error {
		for _, r := range g.replicas {
			if r != but && r.role() == "active" {
				leader = r
				return nil
			}
		}
		return errors.New("nobody does")
	})
	return leader, time.Since(since)
}

// TestFailover: of three instances one leads. Whatever becomes of it, another one
// leads within ten seconds, and nothing is lost, doubled or reordered.
func TestFailover(t *testing.T) {
	if stackIsSynapse() {
		t.Skip("what it is about does not depend on the homeserver: it runs on Dendrite")
	}
	faults := []string{"kill", "cut", "restart", "kill"}
	if n, err := strconv.Atoi(os.Getenv(failoverEnv)); err == nil {
		faults = nil
		for i := range n {
			faults = append(faults, []string{"kill", "cut", "kill", "cut", "restart"}[i%5])
		}
	}
	g := newGroup(t, 3)
	relay := g.Tenant.AddUser(teamstest.UserSpec{DisplayName: "Matrix Relay"})
	g.team.AddMember(g.ada, relay)
	require.NoError(t, g.RegisterStaff(g.ctx))
	for _, r := range g.replicas {
		require.NoError(t, r.Start())
	}
	g.leader(nil, time.Now())
	g.signIn(relay, "relay login")
	ben := g.as(stack.Localpart(g.ben))
	room := g.room(ben, g.general)

	talking, hush := context.WithCancel(g.ctx)
	said := make(chan int)
	go func() {
		n := 0
		for ; talking.Err() == nil; n++ {
			g.general.Post(g.cleo, teamstest.Msg{HTML: fmt.Sprintf("<p>from Teams %d</p>", n)})
			if _, err := ben.SendText(g.ctx, room, fmt.Sprintf("from Matrix %d", n)); err != nil {
				t.Error(err)
			}
			time.Sleep(1300 * time.Millisecond) // one relay account may post once a second
		}
		said <- n
	}()

	times := map[string][]time.Duration{}
	for i, fault := range faults {
		leader, _ := g.leader(nil, time.Now())
		at := time.Now()
		switch fault {
		case "kill":
			leader.Kill()
			next, took := g.leader(leader, at)
			require.Less(t, took, failoverLimit)
			require.NoError(t, leader.Start())
			times[fault] = append(times[fault], took)
			leader = next
		case "cut":
			leader.way.Cut()
			next, took := g.leader(leader, at)
			ended, err := leader.Exited()
			require.True(t, ended, "another one leads, and the one that was cut off goes on")
			exit := new(exec.ExitError)
			require.ErrorAs(t, err, &exit)
			require.Equal(t, 30, exit.ExitCode())
			require.Less(t, took, failoverLimit)
			leader.way.Mend()
			require.NoError(t, leader.Start())
			times[fault] = append(times[fault], took)
			leader = next
		case "restart":
			require.NoError(t, g.server.Restart())
			leader, _ = g.leader(nil, at)
			times[fault] = append(times[fault], time.Since(at))
			for _, r := range g.replicas { // whoever it was too long for
				if ended, _ := r.Exited(); ended {
					require.NoError(t, r.Start())
				}
			}
		}
		t.Logf("%d: %s, %s leads after %s", i+1, fault, leader.name, time.Since(at).Round(10*time.Millisecond))
		time.Sleep(2 * time.Second) // people talk
	}
	hush()
	n := <-said
	g.within(5*time.Minute, "everything in Teams", func(context.Context) error {
		have := map[string]int{}
		for _, m := range g.general.Messages() {
			have[m.Content]++
		}
		if len(have) < 2*n {
			return fmt.Errorf("%d of %d", len(have), 2*n)
		}
		return nil
	})
	g.agreeAfterAKill(g.general)
	require.Empty(t, g.Tenant.Violations(teamstest.ViolationRepeatedWrite))
	for fault, took := range times {
		slices.Sort(took)
		t.Logf("%s: %d, median %s, worst %s", fault, len(took), took[len(took)/2].Round(10*time.Millisecond), took[len(took)-1].Round(10*time.Millisecond))
	}
	t.Logf("%d messages each way", n)
}

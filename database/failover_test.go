package database_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mau.fi/util/dbutil"

	"teamsbridge/database"
	"teamsbridge/database/databasetest"
)

// leadEnv makes the test binary an instance that waits until it leads and then
// writes its name ("name uri") again and again, as fast as it can.
const leadEnv = "TEAMSBRIDGE_TEST_LEAD"

// exitLost is the code with which an instance ends that has lost the lead.
const exitLost = 30

func leadAndWrite(what string) {
	var name, uri string
	if _, err := fmt.Sscan(what, &name, &uri); err != nil {
		panic(err)
	}
	ctx := context.Background()
	contender, err := database.NewContender(dbutil.PoolConfig{Type: "postgres", URI: uri})
	if err != nil {
		panic(err)
	}
	lock, err := contender.Try(ctx)
	for err != nil {
		wait := 500 * time.Millisecond
		if locked := new(database.LockedError); errors.As(err, &locked) && locked.Again > 0 {
			wait = min(wait, locked.Again)
		}
		time.Sleep(wait)
		lock, err = contender.Try(ctx)
	}
	go func() {
		fmt.Println(<-lock.Lost())
		os.Exit(exitLost)
	}()
	cfg := database.FencedPostgres(uri)
	pool, err := sql.Open(cfg.Type, cfg.URI)
	if err != nil {
		panic(err)
	}
	for { // it does not ask whether it may: the fence has to hold it
		if _, err := pool.ExecContext(ctx, "INSERT INTO said (who) VALUES ($1)", name); err != nil {
			time.Sleep(time.Millisecond)
		}
	}
}

// node is an instance in a process of its own, with its own way to the server.
type node struct {
	name string
	cmd  *exec.Cmd
	way  *network
	done chan struct{}
}

func startNode(t *testing.T, name, uri string) *node {
	t.Helper()
	u, err := url.Parse(uri)
	require.NoError(t, err)
	n := &node{name: name, way: newNetwork(t, u.Host), done: make(chan struct{})}
	u.Host = n.way.listener.Addr().String()
	n.cmd = exec.Command(os.Args[0], "-test.run=^$")
	n.cmd.Env = append(os.Environ(), leadEnv+"="+name+" "+u.String())
	require.NoError(t, n.cmd.Start())
	go func() {
		_ = n.cmd.Wait()
		close(n.done)
	}()
	t.Cleanup(func() {
		_ = n.cmd.Process.Kill()
		<-n.done
	})
	return n
}

// lost waits until the instance has ended because it does not lead any more.
func (n *node) lost(t *testing.T) {
	t.Helper()
	select {
	case <-n.done:
		require.Equal(t, exitLost, n.cmd.ProcessState.ExitCode())
	case <-time.After(20 * time.Second):
		t.Fatal(n.name + " goes on")
	}
}

// network is a way that can be cut without either side learning of it.
type network struct {
	listener net.Listener
	mu       sync.Mutex
	cut      bool
}

func newNetwork(t *testing.T, target string) *network {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	n := &network{listener: listener}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				_ = in.Close()
				continue
			}
			t.Cleanup(func() { _ = in.Close(); _ = out.Close() })
			go n.pass(in, out)
			go n.pass(out, in)
		}
	}()
	return n
}

// pass carries one direction. What comes after the cut, the end of the connection
// too, goes nowhere.
func (n *network) pass(to io.WriteCloser, from io.Reader) {
	data := make([]byte, 64<<10)
	for {
		size, err := from.Read(data)
		n.mu.Lock()
		cut := n.cut
		n.mu.Unlock()
		if cut {
			return
		}
		if err == nil {
			_, err = to.Write(data[:size])
		}
		if err != nil {
			_ = to.Close()
			return
		}
	}
}

func (n *network) sever() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = true
}

// TestFailoverOfProcesses: whatever becomes of the process that leads, another
// one writes within seconds, and from then on the first writes nothing more:
// not when it was cut off, and not when it stood still and goes on.
func TestFailoverOfProcesses(t *testing.T) {
	ctx := t.Context()
	uri := databasetest.Postgres(t).URI(t)
	admin := databasetest.OpenPostgres(t, uri)
	_, err := admin.Exec(ctx, "CREATE TABLE said (id BIGSERIAL PRIMARY KEY, who TEXT NOT NULL)")
	require.NoError(t, err)
	last := func() (id int, who string) {
		err := admin.QueryRow(ctx, "SELECT id, who FROM said ORDER BY id DESC LIMIT 1").Scan(&id, &who)
		if !errors.Is(err, sql.ErrNoRows) {
			require.NoError(t, err)
		}
		return id, who
	}
	nodes := map[string]*node{}
	add := func() {
		name := fmt.Sprintf("n%d", len(nodes)+1)
		nodes[name] = startNode(t, name, uri)
	}
	next := func(before string) *node {
		t.Helper()
		var who string
		require.Eventually(t, func() bool {
			_, who = last()
			return who != before
		}, 30*time.Second, 20*time.Millisecond)
		return nodes[who]
	}
	for range 3 {
		add()
	}
	leader := next("")
	order := []string{leader.name}
	for _, fault := range []string{"kill", "cut", "stop", "kill"} {
		began := time.Now()
		switch fault {
		case "kill":
			require.NoError(t, leader.cmd.Process.Kill())
		case "cut":
			leader.way.sever()
		case "stop":
			require.NoError(t, leader.cmd.Process.Signal(syscall.SIGSTOP))
		}
		follower := next(leader.name)
		t.Logf("%s: another one writes after %s", fault, time.Since(began).Round(10*time.Millisecond))
		switch fault {
		case "cut":
			leader.lost(t)
		case "stop":
			require.NoError(t, leader.cmd.Process.Signal(syscall.SIGCONT))
			leader.lost(t)
		}
		require.Less(t, time.Since(began), 15*time.Second)
		leader, order = follower, append(order, follower.name)
		add()
	}
	rows, err := admin.Query(ctx, "SELECT who FROM (SELECT id, who, lag(who) OVER (ORDER BY id) AS before FROM said) AS s WHERE before IS DISTINCT FROM who ORDER BY id")
	require.NoError(t, err)
	var wrote []string
	for rows.Next() {
		var who string
		require.NoError(t, rows.Scan(&who))
		wrote = append(wrote, who)
	}
	require.NoError(t, rows.Err())
	require.Equal(t, order, wrote, "they wrote one after the other")
}

package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"

	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// binaries are built once for all tests of the package.
var binaries struct {
	once             sync.Once
	dir              string
	bridge, dendrite string
	err              error
}

// sideBySide is how many tests run at a time where go test was not told: most of
// their time they wait, for people to be brought into rooms or for a pause to end.
const sideBySide = 3

func TestMain(m *testing.M) {
	flag.Parse()
	told := false
	flag.Visit(func(f *flag.Flag) { told = told || f.Name == "test.parallel" })
	if !told && runtime.GOMAXPROCS(0) < sideBySide {
		_ = flag.Set("test.parallel", strconv.Itoa(sideBySide))
	}
	code := m.Run()
	if binaries.dir != "" {
		_ = os.RemoveAll(binaries.dir)
	}
	os.Exit(code)
}

func build(t *testing.T) {
	t.Helper()
	binaries.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 25*time.Minute)
		defer cancel()
		if binaries.dir, binaries.err = os.MkdirTemp("", "teamsbridge-e2e-*"); binaries.err != nil {
			return
		}
		progress := func(line string) { fmt.Fprintln(os.Stderr, line) }
		if binaries.bridge, binaries.err = stack.BuildBridge(ctx, binaries.dir, progress); binaries.err != nil {
			return
		}
		if os.Getenv(homeserverEnv) != "synapse" {
			binaries.dendrite, binaries.err = stack.BuildDendrite(ctx, progress)
			return
		}
		// The first start on a machine installs Synapse, which two tests side by
		// side must not do at the same time.
		var hs stack.Homeserver
		if hs, binaries.err = stack.NewSynapse(os.Getenv(stack.SynapseScriptEnv), nil); binaries.err == nil {
			binaries.err = hs.Start(ctx)
			hs.Stop()
		}
	})
	require.NoError(t, binaries.err)
}

const homeserverEnv = "TEAMSBRIDGE_E2E_HOMESERVER"

// env is a running stack with the helpers that tests share.
type env struct {
	*stack.Stack
	t     *testing.T
	ctx   context.Context
	chats map[id.UserID]*manage
}

// start brings a stack up without the bridge; it ends with the test. When the
// test fails, the bridge's log is kept and named.
func start(t *testing.T, opts stack.Options) *env {
	t.Helper()
	build(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	t.Cleanup(cancel)
	dir, err := os.MkdirTemp("", "teamsbridge-e2e-run-*")
	require.NoError(t, err)
	opts.Dir, opts.Homeserver = dir, os.Getenv(homeserverEnv)
	opts.BridgeBinary, opts.DendriteBinary = binaries.bridge, binaries.dendrite
	s, err := stack.Up(ctx, opts)
	require.NoError(t, err)
	t.Cleanup(func() {
		s.Close()
		if t.Failed() {
			t.Logf("the bridge's log is %s", filepath.Join(dir, "bridge", "bridge.log"))
		} else {
			_ = os.RemoveAll(dir)
		}
	})
	return &env{Stack: s, t: t, ctx: ctx, chats: map[id.UserID]*manage{}}
}

// run starts the bridge and waits until it is ready.
func (e *env) run() {
	e.t.Helper()
	require.NoError(e.t, e.StartBridge(e.ctx))
}

// until waits for a state, a little more than a minute at most.
const testLimit = 75 * time.Second

func (e *env) until(what string, check func(ctx context.Context) error) {
	e.t.Helper()
	e.within(testLimit, what, check)
}

func (e *env) within(limit time.Duration, what string, check func(ctx context.Context) error) {
	e.t.Helper()
	require.NoError(e.t, stack.Eventually(e.ctx, limit, check), what)
}

// as returns the Matrix client of an account.
func (e *env) as(localpart string) *mautrix.Client {
	e.t.Helper()
	cli, err := e.Person(e.ctx, localpart)
	require.NoError(e.t, err)
	return cli
}

// room waits until the account is in the channel's room.
func (e *env) room(cli *mautrix.Client, ch *teamstest.Channel) (room id.RoomID) {
	e.t.Helper()
	e.within(60*time.Second, "the room of "+ch.DisplayName()+" for "+cli.UserID.String(), func(ctx context.Context) (err error) {
		room, err = stack.RoomOf(ctx, cli, ch.ID)
		return err
	})
	return room
}

// entries reads a room and keeps what is visible and matches.
func (e *env) entries(ctx context.Context, cli *mautrix.Client, room id.RoomID, keep func(stack.Entry) bool) ([]stack.Entry, error) {
	all, err := stack.Timeline(ctx, cli, room)
	if err != nil {
		return nil, err
	}
	var out []stack.Entry
	for _, entry := range all {
		if !entry.Redacted && keep(entry) {
			out = append(out, entry)
		}
	}
	return out, nil
}

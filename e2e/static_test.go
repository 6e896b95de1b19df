package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"teamsbridge/internal/freeport"
	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// staticEnv names the binary that deploy/build makes; .ci/run does.
const staticEnv = "TEAMSBRIDGE_STATIC_BINARY"

// nobody is the user of the container image.
const nobody = 65532

// cell is a root file system that has the binary, and what a distroless image
// has beside it, and one folder that its user may write to.
type cell struct {
	t    *testing.T
	root string
}

func newCell(t *testing.T, binary string) *cell {
	t.Helper()
	dir := t.TempDir()
	// The user has to reach it through the folders above.
	for up := dir; up != filepath.Dir(os.TempDir()) && up != "/" && up != os.TempDir(); up = filepath.Dir(up) {
		require.NoError(t, os.Chmod(up, 0o755))
	}
	c := &cell{t: t, root: filepath.Join(dir, "root")}
	require.NoError(t, os.MkdirAll(filepath.Join(c.root, "usr", "bin"), 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(c.root, "data"), 0o700))
	require.NoError(t, os.Chown(filepath.Join(c.root, "data"), nobody, nobody))
	data, err := os.ReadFile(binary)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(c.root, "usr", "bin", "teamsbridge"), data, 0o755))
	for _, dir := range []string{"usr/bin", "usr", "."} {
		require.NoError(t, os.Chmod(filepath.Join(c.root, dir), 0o555))
	}
	return c
}

// data is the path of a file in the folder that may be written to.
func (c *cell) data(name string) string { return filepath.Join(c.root, "data", name) }

func (c *cell) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/usr/bin/teamsbridge", args...)
	cmd.Dir, cmd.Env = "/data", []string{"TMPDIR=/data"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: c.root, Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return cmd
}

// run runs the binary to its end and returns what it said.
func (c *cell) run(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	out, err := c.command(ctx, args...).CombinedOutput()
	return string(out), err
}

// configure merges settings into the config in the cell.
func (c *cell) configure(settings map[string]any) {
	c.t.Helper()
	b := &stack.Bridge{Dir: filepath.Join(c.root, "data")}
	require.NoError(c.t, b.Configure(settings))
	require.NoError(c.t, os.Chown(c.data("config.yaml"), nobody, nobody))
}

// files are the paths in the cell outside of its data.
func (c *cell) files() (out []string) {
	require.NoError(c.t, filepath.WalkDir(c.root, func(path string, d os.DirEntry, err error) error {
		if path == filepath.Join(c.root, "data") {
			return filepath.SkipDir
		}
		out = append(out, path)
		return err
	}))
	return out
}

// The binary that is shipped runs as a user without rights in a root file system
// that has nothing else in it, and writes to nothing but its data folder: it
// makes its config and registration, checks an installation over TLS, knows the
// time zones, starts with SQLite, and ends on a signal.
func TestStaticBinaryInAnEmptyRoot(t *testing.T) {
	binary := os.Getenv(staticEnv)
	switch {
	case binary == "":
		t.Skip(staticEnv + " does not name a binary that deploy/build has made")
	case os.Geteuid() != 0:
		t.Skip("changing the root file system takes root")
	}
	c := newCell(t, binary)
	before := c.files()

	said, err := c.run("-v")
	require.NoError(t, err, said)
	require.Contains(t, said, "teamsbridge")
	said, err = c.run("-c", "/data/config.yaml", "-e")
	require.NoError(t, err, said)

	tenant, err := teamstest.Start(teamstest.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = tenant.Close() })
	ada := tenant.AddUser(teamstest.UserSpec{DisplayName: "Ada Lovelace"})
	tenant.AddTeam(teamstest.TeamSpec{DisplayName: "Engineering", Owners: []*teamstest.User{ada}})
	ca, err := tenant.CAFile(filepath.Join(c.root, "data"))
	require.NoError(t, err)
	require.NoError(t, os.Chown(ca, nobody, nobody))
	ports := map[string]int{}
	for _, name := range []string{"appservice", "webhook", "metrics"} {
		ports[name], err = freeport.Get()
		require.NoError(t, err)
	}
	local := func(name string) string { return fmt.Sprintf("127.0.0.1:%d", ports[name]) }
	app := tenant.App()
	c.configure(map[string]any{
		"homeserver": map[string]any{"address": "http://127.0.0.1:1", "domain": "matrix.test"},
		"appservice": map[string]any{"address": "http://" + local("appservice"), "hostname": "127.0.0.1", "port": ports["appservice"]},
		"bridge":     map[string]any{"permissions": stack.Whole{"matrix.test": "user"}},
		"network": map[string]any{
			"tenant_id": tenant.TenantID, "client_id": app.ClientID, "client_secret": app.Secret(), "ca_file": "/data/" + filepath.Base(ca),
			"endpoints": map[string]any{"login": tenant.URL(), "graph": tenant.GraphURL(), "hosts": []string{}},
			"time_zone": "Europe/Paris",
			"webhook":   map[string]any{"enabled": true, "listen": local("webhook"), "public_url": "http://" + local("webhook")},
			"metrics":   map[string]any{"listen": local("metrics")},
		},
	})
	said, err = c.run("-c", "/data/config.yaml", "-g", "-r", "/data/registration.yaml")
	require.NoError(t, err, said)
	var registration struct {
		Token string `yaml:"as_token"`
	}
	data, err := os.ReadFile(c.data("registration.yaml"))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(data, &registration))
	require.NotEmpty(t, registration.Token)

	// Its homeserver is not there, which is all that is wrong.
	said, err = c.run("check", "-c", "/data/config.yaml", "-r", "/data/registration.yaml")
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, said)
	require.Equal(t, 1, exit.ExitCode(), said)
	for _, line := range strings.Split(said, "\n") {
		if strings.HasPrefix(line, "ERROR") {
			require.Contains(t, line, " homeserver ", said)
		}
	}
	require.Regexp(t, `(?m)^ok +sign-in`, said, "TLS works with a certificate authority of the config's")

	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = log.Close() })
	cmd := c.command(t.Context(), "-c", "/data/config.yaml", "-r", "/data/registration.yaml")
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	for _, url := range []string{local("appservice") + "/_matrix/mau/live", local("metrics") + "/livez", local("metrics") + "/readyz", local("webhook") + "/healthz"} {
		err = stack.Eventually(t.Context(), time.Minute, func(ctx context.Context) error { return answers(ctx, "http://"+url) })
		output, _ := os.ReadFile(log.Name())
		require.NoError(t, err, "%s\n%s", url, output)
	}
	said, err = c.run("health", "-c", "/data/config.yaml", "--ready")
	require.NoError(t, err, said)
	require.Contains(t, said, "degraded (starting)")
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Fatal("it does not end")
	}
	_, err = os.Stat(c.data("teamsbridge.db"))
	require.NoError(t, err)
	require.Equal(t, before, c.files(), "it wrote outside of its data")
}

func answers(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

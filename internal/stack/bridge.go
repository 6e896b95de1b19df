package stack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"teamsbridge/internal/freeport"
)

// Bridge is the built bridge binary with its config, registrations and database.
type Bridge struct {
	Binary string
	Dir    string
	// Port serves the homeserver, WebhookPort serves Graph.
	Port, WebhookPort int
	// Registrations are the files that the homeserver must load: the
	// bridge's own and the one for double puppeting.
	Registrations []string
	// DatabaseURI is the connection string of the bridge's PostgreSQL database,
	// empty on SQLite.
	DatabaseURI string

	// config is the config file's name, where it is not config.yaml.
	config string
	proc   *process
}

// NewBridge makes a folder with both registrations. It runs the binary's own
// -e, -g and -d as an operator would, so these are exercised by every test.
// address is where the homeserver reaches it, empty for the bridge's own port.
func NewBridge(ctx context.Context, binary, dir, serverName, address string) (*Bridge, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the bridge's folder: %w", err)
	}
	b := &Bridge{Binary: binary, Dir: dir}
	var err error
	if b.Port, err = freeport.Get(); err != nil {
		return nil, err
	}
	if b.WebhookPort, err = freeport.Get(); err != nil {
		return nil, err
	}
	if err = b.run(ctx, "-c", b.configPath(), "-e"); err != nil {
		return nil, fmt.Errorf("write the example config: %w", err)
	}
	if address == "" {
		address = fmt.Sprintf("http://127.0.0.1:%d", b.Port)
	}
	base := map[string]any{
		"homeserver": map[string]any{"address": "http://127.0.0.1:1", "domain": serverName},
		"appservice": map[string]any{
			"address": address, "hostname": "127.0.0.1", "port": b.Port,
		},
		"network": map[string]any{"tenant_id": "00000000-0000-0000-0000-000000000000", "client_id": "00000000-0000-0000-0000-000000000000", "client_secret": "set later"},
		"bridge":  map[string]any{"permissions": map[string]any{serverName: "user"}},
	}
	if err = b.Configure(base); err != nil {
		return nil, err
	}
	if err = b.run(ctx, "-c", b.configPath(), "-g", "-r", b.registrationPath()); err != nil {
		return nil, fmt.Errorf("generate the registration: %w", err)
	}
	puppet := filepath.Join(b.Dir, "doublepuppet.yaml")
	if err = b.run(ctx, "-c", b.configPath(), "-d", puppet); err != nil {
		return nil, fmt.Errorf("generate the double puppeting registration: %w", err)
	}
	b.Registrations = []string{b.registrationPath(), puppet}
	return b, nil
}

func (b *Bridge) configPath() string       { return filepath.Join(b.Dir, cmp.Or(b.config, "config.yaml")) }
func (b *Bridge) registrationPath() string { return filepath.Join(b.Dir, "registration.yaml") }

// DatabasePath is where the bridge's SQLite database is.
func (b *Bridge) DatabasePath() string { return filepath.Join(b.Dir, "teamsbridge.db") }

// LogPath is where the output of every run is appended.
func (b *Bridge) LogPath() string { return filepath.Join(b.Dir, "bridge.log") }

func (b *Bridge) run(ctx context.Context, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.Binary, args...)
	cmd.Dir = b.Dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, tailOf(out, 3000))
	}
	return nil
}

// Configure merges the settings into the config file: maps are merged, all
// else is replaced. It takes effect at the next start.
func (b *Bridge) Configure(settings map[string]any) error {
	data, err := os.ReadFile(b.configPath())
	if err != nil {
		return fmt.Errorf("read the bridge's config: %w", err)
	}
	var config map[string]any
	if err = yaml.Unmarshal(data, &config); err != nil {
		return fmt.Errorf("parse the bridge's config: %w", err)
	}
	merge(config, settings)
	if data, err = yaml.Marshal(config); err != nil {
		return fmt.Errorf("write the bridge's config: %w", err)
	}
	if err = os.WriteFile(b.configPath(), data, 0o600); err != nil {
		return fmt.Errorf("write the bridge's config: %w", err)
	}
	return nil
}

// Whole marks a map of settings that replaces the one in the file.
type Whole map[string]any

func merge(into, from map[string]any) {
	for key, value := range from {
		if whole, ok := value.(Whole); ok {
			into[key] = map[string]any(whole)
			continue
		}
		sub, ok := value.(map[string]any)
		if !ok {
			into[key] = value
			continue
		}
		old, had := into[key].(map[string]any)
		if !had {
			old = map[string]any{}
			into[key] = old
		}
		merge(old, sub)
	}
}

// Start starts the bridge and returns when its process runs; WaitReady waits
// until it says that it is ready.
func (b *Bridge) Start() error {
	proc, err := startProcess("the bridge", b.LogPath(), processOptions{dir: b.Dir, program: b.Binary, args: []string{
		"-c", b.configPath(), "-r", b.registrationPath()}})
	if err != nil {
		return err
	}
	b.proc = proc
	return nil
}

// WaitReady waits until /_matrix/mau/ready answers 200.
func (b *Bridge) WaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return waitHTTP(ctx, b.proc, fmt.Sprintf("http://127.0.0.1:%d/_matrix/mau/ready", b.Port), 200)
}

// Exited reports whether the bridge has ended, and how.
func (b *Bridge) Exited() (bool, error) {
	if b.proc == nil {
		return true, nil
	}
	return b.proc.exited()
}

// Kill ends the bridge at once, as kill -9 and a power cut do.
func (b *Bridge) Kill() {
	if b.proc != nil {
		b.proc.kill()
		b.proc = nil
	}
}

// Stop ends the bridge as a service manager does.
func (b *Bridge) Stop() {
	if b.proc != nil {
		b.proc.stop(30 * time.Second)
		b.proc = nil
	}
}

// PID is the process id of the bridge that runs, 0 where none does.
func (b *Bridge) PID() int {
	if b.proc == nil {
		return 0
	}
	return b.proc.cmd.Process.Pid
}

// Subcommand runs the binary with a subcommand and returns what it printed and
// its exit code. settings are merged into a copy of the config file, which is
// deleted afterwards.
func (b *Bridge) Subcommand(ctx context.Context, settings map[string]any, name string, args ...string) (stdout, stderr string, code int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	copied := &Bridge{Binary: b.Binary, Dir: b.Dir, config: "copy-" + filepath.Base(b.configPath())}
	data, err := os.ReadFile(b.configPath())
	if err == nil {
		err = os.WriteFile(copied.configPath(), data, 0o600)
	}
	if err == nil {
		defer func() { _ = os.Remove(copied.configPath()) }()
		err = copied.Configure(settings)
	}
	if err != nil {
		return "", "", 0, fmt.Errorf("copy the bridge's config: %w", err)
	}
	cmd := exec.CommandContext(ctx, b.Binary, append([]string{name, "-c", copied.configPath()}, args...)...)
	cmd.Dir = b.Dir
	var out, errOut strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = nil
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode(), err
}

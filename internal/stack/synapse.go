package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"teamsbridge/internal/freeport"
)

// SynapseScriptEnv names the environment variable that holds the path of a
// program which starts Synapse: called with a port and registration files, it
// prints the pid on its last line once the server answers. The server's name
// must be synapse.test and its registration shared secret "testsecret".
const SynapseScriptEnv = "TEAMSBRIDGE_SYNAPSE_UP"

type synapse struct {
	script        string
	registrations []string
	port, pid     int
}

// NewSynapse prepares a Synapse that is started by the given program. Its
// data does not outlive a stop, so tests that restart the homeserver use Dendrite.
func NewSynapse(script string, registrations []string) (Homeserver, error) {
	port, err := freeport.Get()
	if err != nil {
		return nil, err
	}
	return &synapse{script: script, registrations: registrations, port: port}, nil
}

func (s *synapse) Name() string       { return "synapse" }
func (s *synapse) ServerName() string { return "synapse.test" }
func (s *synapse) URL() string        { return fmt.Sprintf("http://127.0.0.1:%d", s.port) }

func (s *synapse) Start(ctx context.Context) error {
	if s.pid != 0 {
		return errors.New("synapse is running already")
	}
	// The first call on a machine installs Synapse, which takes minutes.
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.script, append([]string{strconv.Itoa(s.port)}, s.registrations...)...)
	// Files and not pipes: the server inherits them, and a pipe would keep Wait waiting for it.
	out, err := os.CreateTemp("", "synapse-up-*")
	if err != nil {
		return fmt.Errorf("start Synapse: %w", err)
	}
	defer func() { _ = os.Remove(out.Name()); _ = out.Close() }()
	errs, err := os.CreateTemp("", "synapse-up-*")
	if err != nil {
		return fmt.Errorf("start Synapse: %w", err)
	}
	defer func() { _ = os.Remove(errs.Name()); _ = errs.Close() }()
	cmd.Stdout, cmd.Stderr = out, errs
	if err = cmd.Run(); err != nil {
		text, _ := os.ReadFile(errs.Name())
		return fmt.Errorf("start Synapse: %w\n%s", err, tailOf(text, 3000))
	}
	text, err := os.ReadFile(out.Name())
	if err != nil {
		return fmt.Errorf("read Synapse's pid: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if s.pid, err = strconv.Atoi(strings.TrimSpace(lines[len(lines)-1])); err != nil {
		return fmt.Errorf("read Synapse's pid: %w", err)
	}
	return nil
}

func (s *synapse) Stop() {
	if s.pid == 0 {
		return
	}
	_ = syscall.Kill(s.pid, syscall.SIGTERM)
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if gone(s.pid) {
			s.pid = 0
			return
		}
	}
	_ = syscall.Kill(s.pid, syscall.SIGKILL)
	s.pid = 0
}

// gone reports whether the process has ended. It was not started by us, so
// whoever inherited it may leave it as a zombie, which counts as ended.
func gone(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(rest, "Z")
}

func tailOf(text []byte, limit int) []byte {
	if len(text) > limit {
		text = text[len(text)-limit:]
	}
	return bytes.TrimSpace(text)
}

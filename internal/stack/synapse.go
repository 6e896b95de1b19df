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
// must be synapse.test and its registration shared secret "testsecret". What the
// YAML file that SYNAPSE_EXTRA names has in it must get into its config.
const SynapseScriptEnv = "TEAMSBRIDGE_SYNAPSE_UP"

const synapseExtraEnv = "SYNAPSE_EXTRA"

// synapseExtra takes files as large as the tests' Dendrite does, and not the
// 50 MB that Synapse takes by itself.
const synapseExtra = "max_upload_size: 4096M\n"

type synapse struct {
	script        string
	registrations []string
	port, pid     int
	// first is how the program started it: each call of the program makes a new
	// and empty Synapse, so that later starts do without it.
	first *command
	proc  *process
}

// NewSynapse prepares a Synapse that is first started by the given program,
// and after a stop by us, with the same data.
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
	switch {
	case s.pid != 0 || s.proc != nil:
		return errors.New("synapse is running already")
	case s.first != nil:
		return s.restart(ctx)
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
	extra, err := extraFile()
	defer func() { _ = os.Remove(extra) }()
	if err != nil {
		return fmt.Errorf("start Synapse: %w", err)
	}
	cmd.Stdout, cmd.Stderr, cmd.Env = out, errs, append(os.Environ(), synapseExtraEnv+"="+extra)
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
	first, err := commandOf(s.pid)
	if err != nil {
		s.Stop()
		return err
	}
	s.first = &first
	return nil
}

// extraFile writes what Synapse's config is to have besides, behind what the
// environment asks for.
func extraFile() (path string, err error) {
	var asked []byte
	if name := os.Getenv(synapseExtraEnv); name != "" {
		if asked, err = os.ReadFile(name); err != nil {
			return "", err
		}
	}
	f, err := os.CreateTemp("", "synapse-extra-*.yaml")
	if err != nil {
		return "", err
	}
	_, err = f.Write(append(bytes.TrimSpace(asked), "\n"+synapseExtra...))
	return f.Name(), errors.Join(err, f.Close())
}

// restart starts it as the program did, with the data that it had.
func (s *synapse) restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	log, err := os.CreateTemp("", "synapse-*.log")
	if err != nil {
		return fmt.Errorf("start Synapse: %w", err)
	}
	_ = log.Close()
	if s.proc, err = s.first.start("Synapse", log.Name()); err != nil {
		return err
	}
	if err = waitHTTP(ctx, s.proc, s.URL()+"/_matrix/client/versions", 200); err != nil {
		s.Stop()
		return err
	}
	return os.Remove(log.Name())
}

// stopGrace is how long a homeserver has to end by itself.
const stopGrace = 15 * time.Second

func (s *synapse) Stop() {
	if s.proc != nil {
		s.proc.stop(stopGrace)
		s.proc = nil
	}
	if s.pid == 0 {
		return
	}
	_ = syscall.Kill(s.pid, syscall.SIGTERM)
	for deadline := time.Now().Add(stopGrace); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
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

package stack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// process is a child program in a process group of its own, so that Ctrl-C in
// a terminal reaches only us and we decide the order in which things end.
type process struct {
	name string
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{}
	err  error
}

// processOptions say what is started, and where.
type processOptions struct {
	program string
	args    []string
	// dir is its folder; root, if not empty or "/", the part of the file system
	// that it sees, in which dir and program are then. env nil means ours.
	dir, root string
	env       []string
}

// startProcess starts the program with its output appended to logPath.
func startProcess(name, logPath string, o processOptions) (*process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", name, err)
	}
	cmd := exec.Command(o.program, o.args...)
	cmd.Dir, cmd.Env = o.dir, o.env
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childAttributes()
	if o.root != "" && o.root != "/" {
		cmd.SysProcAttr.Chroot = o.root
	}
	if err = cmd.Start(); err != nil {
		_ = log.Close()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		_ = log.Close()
		close(p.done)
	}()
	return p, nil
}

// exited reports whether the program has ended, and how.
func (p *process) exited() (bool, error) {
	select {
	case <-p.done:
		return true, p.err
	default:
		return false, nil
	}
}

// kill ends the program at once, as a power cut would, and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// stop asks the program to end and kills it after the grace time.
func (p *process) stop(grace time.Duration) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(grace):
		p.kill()
	}
}

// waitHTTP polls url until it answers with the status or the program ends.
func waitHTTP(ctx context.Context, p *process, url string, status int) error {
	client := &http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	for {
		if ended, err := p.exited(); ended {
			return fmt.Errorf("%s ended while starting (%v); its output is in %s", p.name, err, p.log.Name())
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return fmt.Errorf("make request: %w", err)
		}
		if resp, err := client.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == status {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not answer %s: %w; its output is in %s", p.name, url, context.Cause(ctx), p.log.Name())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Eventually polls until check returns nil, and returns its last error when
// the time is over. It is how the tests and the demo wait for a state.
func Eventually(ctx context.Context, limit time.Duration, check func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	last := errNeverChecked
	for {
		if err := check(ctx); err == nil {
			return nil
		} else if ctx.Err() == nil || errors.Is(last, errNeverChecked) {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", limit, last)
		case <-time.After(30 * time.Millisecond):
		}
	}
}

var errNeverChecked = errors.New("never checked")

package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"teamsbridge/internal/freeport"
)

// Twin makes a second instance of the bridge: the same configuration,
// registrations and database, a folder and ports of its own, and homeserver as
// its way to the homeserver. From outside both have the first one's address,
// which a Forward moves.
func (b *Bridge) Twin(dir, homeserver string) (*Bridge, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the second bridge's folder: %w", err)
	}
	twin := *b
	twin.Dir, twin.proc = dir, nil
	var err error
	if twin.Port, err = freeport.Get(); err != nil {
		return nil, err
	}
	if twin.WebhookPort, err = freeport.Get(); err != nil {
		return nil, err
	}
	config, err := os.ReadFile(b.configPath())
	if err != nil {
		return nil, fmt.Errorf("read the first bridge's config: %w", err)
	}
	// The only path in it that is relative.
	config = []byte(strings.Replace(string(config), "file:teamsbridge.db", "file:"+b.DatabasePath(), 1))
	if err = os.WriteFile(twin.configPath(), config, 0o600); err != nil {
		return nil, fmt.Errorf("write the second bridge's config: %w", err)
	}
	return &twin, twin.Configure(map[string]any{
		"homeserver": map[string]any{"address": homeserver},
		"appservice": map[string]any{"port": twin.Port},
		"network":    map[string]any{"webhook": map[string]any{"listen": fmt.Sprintf("127.0.0.1:%d", twin.WebhookPort)}},
	})
}

// WaitLog waits until the bridge's log has the text.
func (b *Bridge) WaitLog(ctx context.Context, limit time.Duration, text string) error {
	return Eventually(ctx, limit, func(context.Context) error {
		if ended, err := b.Exited(); ended {
			return fmt.Errorf("the bridge ended: %w", err)
		}
		log, err := os.ReadFile(b.LogPath())
		if err == nil && !strings.Contains(string(log), text) {
			err = fmt.Errorf("the bridge's log does not have %q", text)
		}
		return err
	})
}

// Forward passes connections from one local port to another, as an address
// does that moves from one machine to the next.
type Forward struct {
	listener net.Listener
	target   atomic.Pointer[string]
	way      valve
	count    atomic.Int64
	wg       sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]struct{} // nil when closed
}

// NewForward listens on a port, 0 for any, and forwards to an address.
func NewForward(port int, target string) (*Forward, error) {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, fmt.Errorf("listen to forward: %w", err)
	}
	f := &Forward{listener: listener, open: map[net.Conn]struct{}{}, way: valve{open: make(chan struct{})}}
	close(f.way.open)
	f.target.Store(&target)
	f.wg.Go(func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			f.count.Add(1)
			f.wg.Go(func() { f.pass(in) })
		}
	})
	return f, nil
}

// Address is where it listens.
func (f *Forward) Address() string { return f.listener.Addr().String() }

// Connections is how many connections there were.
func (f *Forward) Connections() int64 { return f.count.Load() }

// Close ends the forwarding and every connection.
func (f *Forward) Close() {
	_ = f.listener.Close()
	f.mu.Lock()
	f.drop()
	f.open = nil
	f.mu.Unlock()
	f.Mend()
	f.wg.Wait()
}

// Aim forwards to another address from now on, to none where it is empty, and
// ends the connections that there are.
func (f *Forward) Aim(target string) {
	f.target.Store(&target)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drop()
}

// drop ends every connection. mu is held.
func (f *Forward) drop() {
	for conn := range f.open {
		_ = conn.Close()
	}
}

// Cut lets nothing through any more, as a network that is cut: neither side
// learns of it, nor that the other one has gone. Mend ends it.
func (f *Forward) Cut() { f.way.shut() }

// Mend lets everything through again, also what was on its way.
func (f *Forward) Mend() { f.way.release() }

// valve lets pass, or makes wait.
type valve struct {
	mu   sync.Mutex
	open chan struct{} // closed when it is open
	off  bool
}

func (v *valve) shut() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.off {
		v.off, v.open = true, make(chan struct{})
	}
}

func (v *valve) release() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.off {
		v.off = false
		close(v.open)
	}
}

func (v *valve) wait() {
	v.mu.Lock()
	open := v.open
	v.mu.Unlock()
	<-open
}

// valved waits before it writes.
type valved struct {
	io.Writer
	v *valve
}

func (w valved) Write(data []byte) (int, error) {
	w.v.wait()
	return w.Writer.Write(data)
}

func (f *Forward) pass(in net.Conn) {
	defer func() { _ = in.Close() }()
	f.way.wait()
	target := *f.target.Load()
	if target == "" {
		return
	}
	out, err := net.DialTimeout("tcp", target, 10*time.Second)
	if err != nil {
		return
	}
	defer func() { _ = out.Close() }()
	if f.keep(in, out) != nil {
		return
	}
	defer f.forget(in, out)
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		go func() {
			_, _ = io.Copy(valved{way[0], &f.way}, way[1])
			done <- struct{}{}
		}()
	}
	<-done
	f.way.wait()
}

func (f *Forward) forget(conns ...net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, conn := range conns {
		delete(f.open, conn)
	}
}

var errForwardClosed = errors.New("closed")

func (f *Forward) keep(conns ...net.Conn) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open == nil {
		return errForwardClosed
	}
	for _, conn := range conns {
		f.open[conn] = struct{}{}
	}
	return nil
}

package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
)

const (
	// lowest is above what services of a machine use.
	lowest = 10_000
	// ephemeral is where Linux' ports for outgoing connections begin, unless the
	// machine says otherwise.
	ephemeral = 32_768
	tries     = 200
)

// Get returns a TCP port of 127.0.0.1 on which nobody listens. It is below those
// that the system gives to outgoing connections and to listeners on port 0: one
// of these may be taken again before the program has started. Where none is to
// be had, it is one of the system's.
func Get() (int, error) {
	begin := ephemeral
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		_, _ = fmt.Sscan(string(text), &begin)
	}
	for range tries {
		if begin <= lowest {
			break
		}
		if port := lowest + rand.IntN(begin-lowest); isFree(port) {
			return port, nil
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func isFree(port int) bool {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

package bridge

import (
	"context"
	"errors"
	"net"
)

// errNotLeading is what a request meets that must not go out.
var errNotLeading = errors.New("this instance does not have the database any more")

// dialFunc is how an HTTP transport connects.
type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// leash keeps what this instance says to homeserver and Graph in the time in
// which it may act. A process may be stopped, by a virtual machine that is moved
// for example, between any two steps, so that its end by guard comes too late; so
// each write to a connection asks, whatever a request has waited for before.
func (i *instance) leash(next dialFunc) dialFunc {
	if i == nil { // a program that looks at things, or a test
		return next
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := next(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &leashed{conn, i}, nil
	}
}

// leashed is a connection of an instance.
type leashed struct {
	net.Conn
	i *instance
}

// Write implements net.Conn.
func (l *leashed) Write(data []byte) (int, error) {
	if lock := l.i.lock.Load(); lock == nil || !lock.Held() {
		return 0, errNotLeading
	}
	return l.Conn.Write(data)
}

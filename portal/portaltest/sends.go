package portaltest

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// Send is an event that the bridge wants to send.
type Send struct {
	Room    id.RoomID
	User    id.UserID
	Type    event.Type
	Key     string
	Content map[string]any
	bridge  bool
}

// txn is how the homeserver knows a transaction again.
func (s Send) txn() string { return fmt.Sprintf("%s|%s|%s|%s", s.Room, s.User, s.Type.Type, s.Key) }

// SendFault is what happens to a send.
type SendFault struct {
	// Refuse is answered without the event being stored, Lose after it was.
	Refuse, Lose error
	// Delay is how long it takes until the homeserver looks at it.
	Delay time.Duration
	// Cut cuts the connection at once, while the homeserver works on: it stores
	// the event after so long, and knows its transaction id only then.
	Cut time.Duration
}

// SetSends sets how sends of the bridge fare; nil means that all goes well.
func (h *Homeserver) SetSends(f func(s Send) SendFault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sends = f
}

// send sends an event for the bridge.
func (h *Homeserver) send(ctx context.Context, dead *atomic.Bool, s Send, at time.Time) (id.EventID, error) {
	h.mu.Lock()
	sends := h.sends
	h.mu.Unlock()
	var fault SendFault
	if sends != nil {
		fault = sends(s)
	}
	if err := after(ctx, fault.Delay, fault.Refuse); err != nil {
		return "", err
	}
	if fault.Cut > 0 {
		return "", h.cutOff(dead, s, at, fault.Cut)
	}
	eventID, err := h.put(dead, s, at)
	if err == nil && fault.Lose != nil {
		return "", fault.Lose
	}
	return eventID, err
}

// cutOff stores an event later, with nobody waiting for the answer.
func (h *Homeserver) cutOff(dead *atomic.Bool, s Send, at time.Time, later time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known := h.txns[s.txn()]; known || dead != nil && dead.Load() {
		return Down()
	}
	h.requests++
	time.AfterFunc(later, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		_, _ = h.store(s, at)
	})
	return Down()
}

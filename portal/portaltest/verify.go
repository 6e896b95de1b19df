package portaltest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal"
	"teamsbridge/teams"
)

// roomPage is how many events a page of a room has.
const roomPage = 25

// verifyOptions are those of the rig's Verifier.
func (r *Rig) verifyOptions(common portal.Common, in portal.IngestOptions, out portal.SenderOptions) portal.VerifyOptions {
	return portal.VerifyOptions{
		Common: common, Reader: in.Reader, Room: roomReader{r.HS}, Ingest: r.Ingest, Writers: out.Writers,
		Requeue: func(_ context.Context, _ id.RoomID, eventID id.EventID) error {
			r.Redeliver(eventID)
			return nil
		},
		Grace: -time.Hour, Recheck: -1, RepairLook: 5 * time.Millisecond, RepairWait: 15 * time.Second, MaxLookups: r.Lookups,
	}
}

// roomReader reads rooms as package matrix does.
type roomReader struct{ hs *Homeserver }

var _ portal.RoomReader = roomReader{}

// RoomPage implements portal.RoomReader.
func (r roomReader) RoomPage(_ context.Context, roomID id.RoomID, from string) (portal.RoomPage, error) {
	r.hs.mu.Lock()
	defer r.hs.mu.Unlock()
	r.hs.pages++
	all := r.hs.events[roomID]
	end := len(all)
	if from != "" {
		end, _ = strconv.Atoi(from)
	}
	begin := max(0, end-roomPage)
	var page portal.RoomPage
	for _, e := range slices.Backward(all[begin:end]) {
		if !r.hs.expired(e) {
			page.Events = append(page.Events, r.hs.roomEvent(e))
		}
	}
	if begin > 0 {
		page.Next = strconv.Itoa(begin)
	}
	return page, nil
}

// RoomKept implements portal.RoomReader.
func (r roomReader) RoomKept(_ context.Context, roomID id.RoomID) (kept portal.RoomKept, err error) {
	r.hs.mu.Lock()
	defer r.hs.mu.Unlock()
	kept.Lifetime, kept.Purged = r.hs.told, r.hs.purged[roomID]
	if !kept.Purged {
		return kept, nil
	}
	for _, e := range r.hs.events[roomID] {
		if !r.hs.expired(e) && len(kept.First) < roomPage {
			kept.First = append(kept.First, r.hs.roomEvent(e))
		}
	}
	return kept, nil
}

// SetLifetime sets how long events are shown, and whether that is told.
func (h *Homeserver) SetLifetime(lifetime time.Duration, told bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lifetime, h.told = lifetime, 0
	if told {
		h.told = lifetime
	}
}

// expired reports whether an event is too old to be shown.
func (h *Homeserver) expired(e *Event) bool { return h.lifetime > 0 && time.Since(e.At) > h.lifetime }

// Purge forgets what stands in a room before an event.
func (h *Homeserver) Purge(before id.EventID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	room := h.byID[before].Room
	h.purged[room] = true
	for h.events[room][0].ID != before {
		delete(h.byID, h.events[room][0].ID)
		h.events[room] = h.events[room][1:]
	}
}

// RoomEvent implements portal.RoomReader.
func (r roomReader) RoomEvent(_ context.Context, _ id.RoomID, eventID id.EventID) (*portal.RoomEvent, error) {
	r.hs.mu.Lock()
	defer r.hs.mu.Unlock()
	e := r.hs.byID[eventID]
	if e == nil || r.hs.expired(e) {
		return nil, nil
	}
	out := r.hs.roomEvent(e)
	return &out, nil
}

// isOwn reports whether the bridge sent an event.
func isOwn(e *Event) bool {
	source, _ := e.Content[portal.SourceField].(string)
	return source != "" || e.Sender == BotID || strings.HasPrefix(string(e.Sender), ghostPrefix)
}

func (h *Homeserver) roomEvent(e *Event) portal.RoomEvent {
	out := portal.RoomEvent{ID: e.ID, Sender: e.Sender, Type: e.Type.Type, At: e.At, Own: isOwn(e), Redacted: e.Redacted}
	content := e.Content
	if e.Type == event.EventRedaction {
		out.Redacts = id.EventID(fmt.Sprint(content["redacts"]))
	}
	if e.Redacted {
		content = nil
		for _, other := range h.events[e.Room] {
			if other.Type == event.EventRedaction && fmt.Sprint(other.Content["redacts"]) == e.ID.String() {
				out.RedactedBy, out.Redaction, out.RedactedOwn = other.Sender, other.ID, isOwn(other)
				break
			}
		}
	}
	out.Source, _ = content[portal.SourceField].(string)
	out.Content, _ = json.Marshal(content)
	return out
}

// Lose makes an event vanish, as if the homeserver had been restored from a
// backup that does not have it.
func (h *Homeserver) Lose(eventID id.EventID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.byID[eventID]
	if e == nil {
		return
	}
	if target := h.byID[id.EventID(fmt.Sprint(e.Content["redacts"]))]; target != nil && e.Type == event.EventRedaction {
		target.Redacted = false
	}
	h.events[e.Room] = slices.DeleteFunc(h.events[e.Room], func(other *Event) bool { return other.ID == eventID })
	delete(h.byID, eventID)
	maps.DeleteFunc(h.txns, func(_ string, known id.EventID) bool { return known == eventID })
}

// Pages returns how many pages of rooms were read so far.
func (h *Homeserver) Pages() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pages
}

// Double stores an event once more, as a homeserver does that has forgotten a
// transaction.
func (h *Homeserver) Double(t TB, eventID id.EventID) id.EventID {
	t.Helper()
	e := h.Event(eventID)
	twin, err := h.Put(e.Room, e.Sender, e.Type, "", e.At, e.Content)
	require.NoError(t, err)
	return twin
}

// Move puts an event behind all others of its room.
func (h *Homeserver) Move(eventID id.EventID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.byID[eventID]
	all := slices.DeleteFunc(h.events[e.Room], func(other *Event) bool { return other.ID == eventID })
	h.events[e.Room] = append(all, e)
}

// Secretly stores an event of a user of which nobody tells the bridge.
func (r *Rig) Secretly(user id.UserID, kind event.Type, content map[string]any) id.EventID {
	r.t.Helper()
	eventID, err := r.HS.Put(r.Room, user, kind, "", time.Now(), content)
	require.NoError(r.t, err)
	return eventID
}

// Silently changes the tenant without any notification.
func (r *Rig) Silently(change func()) {
	ingest := r.Ingest
	r.Tenant.SetChanged(nil)
	defer r.Tenant.SetChanged(func(m teams.Message) { _ = ingest.Accept(context.Background(), "webhook", []teams.Message{m}) })
	change()
}

// Set changes a message without leaving the traces of a change, as if a write
// had been answered and not made.
func (t *Tenant) Set(ch teams.ChannelRef, messageID string, f func(m *teams.Message)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(t.find(ch, messageID))
}

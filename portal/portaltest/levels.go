package portaltest

import (
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// PowerLevels returns a room's power levels.
func (h *Homeserver) PowerLevels(room id.RoomID) *event.PowerLevelsEventContent {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.powerLevels(room)
}

func (h *Homeserver) powerLevels(room id.RoomID) *event.PowerLevelsEventContent {
	if levels := h.levels[room]; levels != nil {
		return levels.Clone()
	}
	return &event.PowerLevelsEventContent{Users: map[id.UserID]int{BotID: 9001, ModeratorMXID: 50}}
}

// SetPowerLevels sets a room's power levels, as an administrator does.
func (h *Homeserver) SetPowerLevels(room id.RoomID, levels *event.PowerLevelsEventContent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.levels[room] = levels
}

// RefuseLevels makes the homeserver answer so many changes of power levels with
// an error.
func (h *Homeserver) RefuseLevels(times int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refusals, h.levelsRefused = times, err
}

// changeLevels is the bridge's change of a room's power levels.
func (h *Homeserver) changeLevels(room id.RoomID, levels *event.PowerLevelsEventContent) error {
	if h.refusals > 0 {
		h.refusals--
		return h.levelsRefused
	}
	h.levels[room] = levels.Clone()
	return nil
}

// rings reports whether Matrix's rule for mentions of a room notifies everybody.
func (h *Homeserver) rings(room id.RoomID, sender id.UserID, content map[string]any) bool {
	mentions, _ := content["m.mentions"].(map[string]any)
	levels := h.powerLevels(room)
	return mentions["room"] == true && levels.GetUserLevel(sender) >= levels.Notifications.Room()
}

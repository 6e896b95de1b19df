package bridge

import (
	"context"
	"encoding/json"
	"net/http"

	"maunium.net/go/mautrix/id"

	"teamsbridge/bridge/check"
	"teamsbridge/teams"
)

// opensRooms reports whether any channel is open to who is in its team's space.
func (c *Config) opensRooms() bool {
	if (&RoomsConfig{Join: c.Rooms.Join, JoinRule: c.Rooms.JoinRule}).rules("", "").open(teams.MembershipStandard) {
		return true
	}
	for name := range c.Rooms.Teams {
		if c.Rooms.rules("", name).open(teams.MembershipStandard) {
			return true
		}
	}
	return false
}

// checkRooms says whether the rooms that the homeserver makes can be open to a space.
func (c *Connector) checkRooms(ctx context.Context, p *homeserverProbe, area *check.Area) {
	if !c.Config.opensRooms() {
		return
	}
	a, err := p.ask(ctx, http.MethodGet, "/_matrix/client/v3/capabilities", c.main.Config.AppService.ASToken, nil)
	var told struct {
		Capabilities struct {
			Versions struct {
				Default id.RoomVersion `json:"default"`
			} `json:"m.room_versions"`
		} `json:"capabilities"`
	}
	if err != nil || a.status != http.StatusOK || json.Unmarshal(a.raw, &told) != nil || told.Capabilities.Versions.Default == "" {
		area.Skipped("room-version", "the homeserver does not tell of which version it makes rooms")
		return
	}
	version := told.Capabilities.Versions.Default
	if !version.RestrictedJoins() {
		area.Doubt("room-version", "the homeserver makes rooms of version "+string(version)+", in which nobody can be let in from a space: network.rooms would leave them on invitation",
			"set its default room version to 10 or later before the bridge makes rooms")
		return
	}
	area.Right("room-version", "rooms that the homeserver makes (version %s) can be open to their team's space", version)
}

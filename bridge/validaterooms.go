package bridge

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// maxActiveDays is the longest time in which somebody counts as active.
const maxActiveDays = 3650

func (c *Config) validateRooms() checks {
	var e checks
	r := c.Rooms
	e.that(r.Join != "", "rooms.join", "is empty", joinFix)
	e.that(r.ActiveDays >= 1, "rooms.active_days", fmt.Sprintf("is %d", r.ActiveDays), daysFix)
	e.that(r.JoinRule != "", "rooms.join_rule", "is empty", ruleFix)
	e.that(r.HistoryVisibility != "", "rooms.history_visibility", "is empty", visibilityFix)
	e.rooms("rooms.", "", TeamRoomsConfig{Join: r.Join, ActiveDays: r.ActiveDays, JoinRule: r.JoinRule,
		HistoryVisibility: r.HistoryVisibility, PowerLevels: r.PowerLevels})
	for _, name := range slices.Sorted(maps.Keys(r.Teams)) {
		e.that(strings.TrimSpace(name) != "", "rooms.teams", "has an empty name", "remove it")
		if strings.TrimSpace(name) != "" {
			e.rooms("rooms.teams."+name, ": ", r.Teams[name])
		}
	}
	return e
}

// What to write instead of a value that can't be.
const (
	joinFix       = "use all, active or space"
	daysFix       = "write a number of days from 1 to 3650"
	ruleFix       = "use auto, invite or restricted"
	visibilityFix = "use shared, invited or joined"
	levelFix      = "write a full Matrix id and a power level from 0 to 100"
)

// rooms checks one set of rules; at is where it stands.
func (c *checks) rooms(at, inside string, r TeamRoomsConfig) {
	key := func(name string) string {
		if inside == "" {
			return at + name
		}
		return at
	}
	what := func(name, value string) string {
		if inside == "" {
			return fmt.Sprintf("is %q", value)
		}
		return fmt.Sprintf("has the %s %q", name, value)
	}
	c.that(oneOf(r.Join, "", JoinAll, JoinActive, JoinSpace), key("join"), what("join", r.Join), joinFix)
	c.that(r.ActiveDays >= 0 && r.ActiveDays <= maxActiveDays, key("active_days"), what("active_days", fmt.Sprint(r.ActiveDays)), daysFix)
	c.that(oneOf(r.JoinRule, "", JoinRuleAuto, JoinRuleInvite, JoinRuleRestricted), key("join_rule"), what("join_rule", r.JoinRule), ruleFix)
	c.that(oneOf(r.HistoryVisibility, "", string(event.HistoryVisibilityShared), string(event.HistoryVisibilityInvited), string(event.HistoryVisibilityJoined)),
		key("history_visibility"), what("history_visibility", r.HistoryVisibility), visibilityFix)
	for _, mxid := range slices.Sorted(maps.Keys(r.PowerLevels)) {
		_, _, err := id.UserID(mxid).Parse()
		c.err(err, key("power_levels"), fmt.Sprintf("names %q, which is not a Matrix id", mxid), levelFix)
		level := r.PowerLevels[mxid]
		c.that(level >= 0 && level <= 100, key("power_levels"), fmt.Sprintf("gives %d to %q", level, mxid), levelFix)
	}
}

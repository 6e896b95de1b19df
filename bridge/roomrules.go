package bridge

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/teams"
)

// The values of rooms.join, rooms.join_rule and rooms.history_visibility.
const (
	JoinAll    = "all"
	JoinActive = "active"
	JoinSpace  = "space"

	JoinRuleAuto       = "auto"
	JoinRuleInvite     = "invite"
	JoinRuleRestricted = "restricted"
)

// maxActiveDays is the longest time in which somebody counts as active.
const maxActiveDays = 3650

// RoomsConfig says how rooms are and who is brought into them.
type RoomsConfig struct {
	Join              string         `yaml:"join"`
	ActiveDays        int            `yaml:"active_days"`
	JoinRule          string         `yaml:"join_rule"`
	HistoryVisibility string         `yaml:"history_visibility"`
	PowerLevels       map[string]int `yaml:"power_levels"`
	// Teams are teams, by name or id, for which something else holds.
	Teams map[string]TeamRoomsConfig `yaml:"teams"`
}

// TeamRoomsConfig is what holds for one team; what it leaves out is as for all.
type TeamRoomsConfig struct {
	Join              string         `yaml:"join"`
	ActiveDays        int            `yaml:"active_days"`
	JoinRule          string         `yaml:"join_rule"`
	HistoryVisibility string         `yaml:"history_visibility"`
	PowerLevels       map[string]int `yaml:"power_levels"`
}

// roomRules are what holds for the rooms of a team.
type roomRules struct {
	join     string
	active   time.Duration
	joinRule string
	history  event.HistoryVisibility
	levels   map[id.UserID]int
}

// rules returns what holds for a team.
func (c *RoomsConfig) rules(teamID, name string) roomRules {
	team, _ := forTeam(c.Teams, teamID, name)
	levels := make(map[id.UserID]int, len(c.PowerLevels)+len(team.PowerLevels))
	for _, list := range []map[string]int{c.PowerLevels, team.PowerLevels} {
		for mxid, level := range list {
			levels[id.UserID(mxid)] = level
		}
	}
	return roomRules{
		join:     cmp.Or(team.Join, c.Join, JoinAll),
		active:   time.Duration(cmp.Or(team.ActiveDays, c.ActiveDays)) * 24 * time.Hour,
		joinRule: cmp.Or(team.JoinRule, c.JoinRule, JoinRuleAuto),
		history:  event.HistoryVisibility(cmp.Or(team.HistoryVisibility, c.HistoryVisibility, string(event.HistoryVisibilityShared))),
		levels:   levels,
	}
}

// everybody reports whether all members are brought into every room.
func (r roomRules) everybody() bool { return r.join == JoinAll }

// open reports whether whoever is in the team's space may join a channel's room.
// A private or a shared channel is never open: not everybody of the team is in it.
func (r roomRules) open(membership string) bool {
	if membership != teams.MembershipStandard {
		return false
	}
	return r.joinRule == JoinRuleRestricted || (r.joinRule == JoinRuleAuto && !r.everybody())
}

// stamp tells rules from others. It is empty for those that rooms have without
// any configuration, so that nothing is done to these.
func (r roomRules) stamp() string {
	if r.everybody() && r.joinRule != JoinRuleRestricted && r.history == event.HistoryVisibilityShared && len(r.levels) == 0 {
		return ""
	}
	return hashOf(append([]string{r.join, r.joinRule, string(r.history)}, levelWords(r.levels)...)...)[:8]
}

// levelWords names power levels in an order.
func levelWords(levels map[id.UserID]int) (out []string) {
	for _, mxid := range slices.Sorted(maps.Keys(levels)) {
		out = append(out, fmt.Sprintf("%s=%d", mxid, levels[mxid]))
	}
	return out
}

// of returns what a channel's room is set to; space is the team's.
func (r roomRules) of(membership string, space id.RoomID) roomSettings {
	s := roomSettings{History: r.history, Levels: r.levels}
	if r.open(membership) {
		s.OpenTo = space
	}
	return s
}

// ofSpace returns what a team's space is set to. Where channels are open to who is
// in it, not everybody in it can let others in.
func (r roomRules) ofSpace() roomSettings {
	s := roomSettings{History: r.history, Levels: r.levels}
	if r.open(teams.MembershipStandard) {
		s.InviteLevel = moderatorLevel
	}
	return s
}

// moderatorLevel is the power level from which on somebody looks after a room.
const moderatorLevel = 50

// infoHash is what a conversation's room was brought to last: what it is called
// and so on, the rules that hold for it, what it was set to by them, and whether
// it is archived in Teams.
type infoHash struct {
	base, stamp, set string
	archived         bool
}

const (
	stampMark    = "~"
	setMark      = "."
	archivedHash = "+archived"
)

func parseInfoHash(s string) (h infoHash) {
	s, h.archived = strings.CutSuffix(s, archivedHash)
	h.base, h.stamp, _ = strings.Cut(s, stampMark)
	h.stamp, h.set, _ = strings.Cut(h.stamp, setMark)
	return h
}

func (h infoHash) String() string {
	s := h.base
	if h.stamp != "" {
		s += stampMark + h.stamp
	}
	if h.set != "" {
		s += setMark + h.set
	}
	if h.archived {
		s += archivedHash
	}
	return s
}

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

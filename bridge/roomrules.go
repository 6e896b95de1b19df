package bridge

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/matrix"
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
	// Federate lets other servers take part, or keeps them out, in rooms that are
	// made; nil is as matrix.federate_rooms says.
	Federate *bool `yaml:"federate"`
}

// roomRules are what holds for the rooms of a team.
type roomRules struct {
	join     string
	active   time.Duration
	joinRule string
	history  event.HistoryVisibility
	levels   map[id.UserID]int
	// federate is nil where the framework's configuration decides.
	federate *bool
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
		federate: team.Federate,
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

// creating returns a context under which the team's rooms are made.
func (r roomRules) creating(ctx context.Context) context.Context {
	if r.federate == nil {
		return ctx
	}
	return matrix.WithFederation(ctx, *r.federate)
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

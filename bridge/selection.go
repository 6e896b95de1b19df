package bridge

import (
	"slices"
	"strconv"
	"strings"

	"teamsbridge/teams"
	"teamsbridge/texts"
)

// verdict is whether something is mirrored, and why, in English.
type verdict struct {
	mirror bool
	reason string
}

// choice is what an administrator told the bot about a team (ChannelID empty)
// or a channel.
type choice struct {
	TeamID, ChannelID string
	Mirror            bool
	By                string
}

// selector decides what is mirrored: what administrators told the bot goes
// before the configuration, a channel's own word before its team's.
type selector struct {
	cfg       SelectionConfig
	overrides map[string]choice
	// facts are what rules ask about, by team.
	facts map[string]teamFacts
}

func newSelector(cfg SelectionConfig, overrides []choice, facts map[string]teamFacts) *selector {
	s := &selector{cfg: cfg, facts: facts, overrides: make(map[string]choice, len(overrides))}
	for _, o := range overrides {
		s.overrides[o.TeamID+"/"+o.ChannelID] = o
	}
	return s
}

// team decides on a team. A team of which only channels were chosen with the
// bot is mirrored for their sake.
func (s *selector) team(t teams.Team) verdict {
	if o, ok := s.overrides[t.ID+"/"]; ok {
		return overrideVerdict(o)
	}
	for _, pattern := range s.cfg.Exclude {
		if matches(pattern, t.ID, t.DisplayName) {
			return verdict{false, inEnglish(texts.ChosenExclude, "pattern", strconv.Quote(pattern))}
		}
	}
	if v, decided := s.byRule(t); decided {
		return v
	}
	for _, pattern := range s.cfg.Include {
		if matches(pattern, t.ID, t.DisplayName) {
			return verdict{true, inEnglish(texts.ChosenInclude, "pattern", strconv.Quote(pattern))}
		}
	}
	return verdict{false, inEnglish(texts.ChosenIncludeNot)}
}

// anyChannelChosen reports whether the bot was told to mirror a channel of a
// team that is not mirrored as a whole.
func (s *selector) anyChannelChosen(teamID string) bool {
	for _, o := range s.overrides {
		if o.TeamID == teamID && o.ChannelID != "" && o.Mirror {
			return true
		}
	}
	return false
}

// channel decides on a channel of t.
func (s *selector) channel(t teams.Team, c teams.Channel) verdict {
	if o, ok := s.overrides[t.ID+"/"+c.ID]; ok {
		return overrideVerdict(o)
	}
	team := s.team(t)
	if !team.mirror {
		return verdict{false, inEnglish(texts.ChosenTeamNot, "why", team.reason)}
	}
	if !slices.Contains(s.cfg.MembershipTypes, c.MembershipType) {
		return verdict{false, inEnglish(texts.ChosenMembershipNot, "pattern", strconv.Quote(c.MembershipType))}
	}
	for pattern, channels := range s.cfg.ExcludeChannels {
		if matches(pattern, t.ID, t.DisplayName) {
			if i := slices.IndexFunc(channels, func(p string) bool { return matches(p, c.ID, c.DisplayName) }); i >= 0 {
				return verdict{false, inEnglish(texts.ChosenExcludeChannels, "pattern", strconv.Quote(channels[i]))}
			}
		}
	}
	limited := false
	for pattern, channels := range s.cfg.Channels {
		if !matches(pattern, t.ID, t.DisplayName) {
			continue
		}
		limited = true
		if i := slices.IndexFunc(channels, func(p string) bool { return matches(p, c.ID, c.DisplayName) }); i >= 0 {
			return verdict{true, inEnglish(texts.ChosenChannels, "pattern", strconv.Quote(channels[i]))}
		}
	}
	if limited {
		return verdict{false, inEnglish(texts.ChosenChannelsNot)}
	}
	return verdict{true, team.reason}
}

func overrideVerdict(o choice) verdict {
	if o.Mirror {
		return verdict{true, inEnglish(texts.ChosenMirror, "who", o.By)}
	}
	return verdict{false, inEnglish(texts.ChosenUnmirror, "who", o.By)}
}

// matches compares a name of the configuration with an id and a display name.
// Only * is special, because names contain every other character.
func matches(pattern, id, name string) bool {
	pattern = strings.ToLower(strings.TrimSpace(pattern))
	return pattern == strings.ToLower(id) || wildcard(pattern, strings.ToLower(strings.TrimSpace(name)))
}

func wildcard(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return strings.HasSuffix(s, parts[len(parts)-1])
}

// forTeam returns what a part of the configuration says about a team: under its
// id, under its name, under a pattern, the longest first.
func forTeam[T any](byTeam map[string]T, teamID, name string) (T, bool) {
	best, bestRank := "", -1
	for pattern := range byTeam {
		if !matches(pattern, teamID, name) {
			continue
		}
		rank := len(pattern)
		switch {
		case strings.EqualFold(strings.TrimSpace(pattern), teamID):
			rank += 1 << 21
		case !strings.Contains(pattern, "*"):
			rank += 1 << 20
		}
		if rank > bestRank || rank == bestRank && pattern < best {
			best, bestRank = pattern, rank
		}
	}
	return byTeam[best], bestRank >= 0
}

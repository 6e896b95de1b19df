package bridge

import (
	"cmp"
	"slices"
	"strings"

	"teamsbridge/database"
	"teamsbridge/texts"
)

// maxNear is how many similar names an unknown one is answered with.
const maxNear = 5

// findTeam finds a team by name or id, whatever the case. Where there is none,
// or more than one, it returns the names that come near.
func findTeam(views []teamView, name string) (*teamView, []string) {
	var hits []*teamView
	names := make([]string, 0, len(views))
	for i, view := range views {
		if strings.EqualFold(view.team.TeamID, name) {
			return &views[i], nil
		}
		if strings.EqualFold(view.team.Name, name) {
			hits = append(hits, &views[i])
		}
		names = append(names, view.team.Name)
	}
	if len(hits) == 1 {
		return hits[0], nil
	}
	if len(hits) > 1 {
		ids := make([]string, len(hits))
		for i, hit := range hits {
			ids[i] = hit.team.TeamID
		}
		return nil, ids
	}
	return nil, nearNames(names, name)
}

// findChannel does the same for a channel of a team.
func findChannel(channels []database.Conversation, name string) (*database.Conversation, []string) {
	names := make([]string, 0, len(channels))
	for i, conv := range channels {
		if strings.EqualFold(conv.ChannelID, name) || strings.EqualFold(conv.Name, name) {
			return &channels[i], nil
		}
		names = append(names, conv.Name)
	}
	return nil, nearNames(names, name)
}

// splits returns the ways in which TEAM[/CHANNEL] can be read: names may
// contain slashes themselves.
func splits(name string) [][2]string {
	out := [][2]string{{name, ""}}
	for i := range len(name) {
		if name[i] == '/' {
			team, channel := strings.TrimSpace(name[:i]), strings.TrimSpace(name[i+1:])
			if team != "" && channel != "" {
				out = append(out, [2]string{team, channel})
			}
		}
	}
	return out
}

// nearNames returns the names that somebody may have meant, the nearest first.
func nearNames(names []string, name string) []string {
	type scored struct {
		name     string
		distance int
	}
	wanted := strings.ToLower(name)
	var near []scored
	for _, candidate := range names {
		lower := strings.ToLower(candidate)
		distance := editDistance(lower, wanted)
		switch {
		case wanted != "" && strings.Contains(lower, wanted), lower != "" && strings.Contains(wanted, lower):
			distance = 0
		case distance > max(2, len([]rune(wanted))/3):
			continue
		}
		near = append(near, scored{candidate, distance})
	}
	slices.SortFunc(near, func(a, b scored) int { return cmp.Or(a.distance-b.distance, strings.Compare(a.name, b.name)) })
	out := make([]string, 0, maxNear)
	for _, s := range near {
		if len(out) < maxNear && !slices.Contains(out, s.name) {
			out = append(out, s.name)
		}
	}
	return out
}

// editDistance is the Levenshtein distance.
func editDistance(a, b string) int {
	x, y := []rune(a), []rune(b)
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		last := row[0]
		row[0] = i + 1
		for j := range y {
			cost := last
			if x[i] != y[j] {
				cost++
			}
			last = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(y)]
}

// unknown is how a name is answered that is not known: without names that come
// near it, and with some.
type unknown struct{ alone, near texts.Key }

var (
	unknownTeam    = unknown{texts.UnknownTeam, texts.UnknownTeamNear}
	unknownChannel = unknown{texts.UnknownChannel, texts.UnknownChannelNear}
	unknownRelay   = unknown{texts.UnknownRelay, texts.UnknownRelayNear}
)

// unknownText answers a name that is not known.
func unknownText(x texts.Texts, what unknown, name string, near []string) string {
	if len(near) == 0 {
		return x.Say(what.alone, "name", esc(name))
	}
	quoted := make([]string, len(near))
	for i, n := range near {
		quoted[i] = x.Say(texts.QuotedName, "name", esc(n))
	}
	return x.Say(what.near, "name", esc(name), "names", strings.Join(quoted, ", "))
}

// labelTeam and labelChannel name a team and a channel in answers.
func labelTeam(x texts.Texts, team string) string {
	return x.Say(texts.LabelTeam, "team", esc(team))
}

func labelChannel(x texts.Texts, channel, team string) string {
	return x.Say(texts.LabelChannel, "channel", esc(channel), "team", esc(team))
}

package bridge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"teamsbridge/teams"
	"teamsbridge/texts"
)

// teamFacts are what the directory says about a team's group.
type teamFacts struct {
	group teams.Group
	// in are the groups that it is in, of those that rules name.
	in map[string]bool
}

// facts knows what rules ask about teams. It is filled when teams are listed, so
// that rules cost a request for every 999 teams, and one or more for each group that
// they name.
type facts struct {
	reader teams.Reader
	rules  []SelectionRule

	mu     sync.Mutex
	byTeam map[string]teamFacts
	// in are the groups that are in each group that rules name.
	in map[string]map[string]bool
}

func newFacts(reader teams.Reader, rules []SelectionRule) *facts {
	return &facts{reader: reader, rules: rules}
}

// refresh asks for everything anew.
func (f *facts) refresh(ctx context.Context) error {
	if len(f.rules) == 0 {
		return nil
	}
	in := map[string]map[string]bool{}
	for _, rule := range f.rules {
		if id := strings.ToLower(rule.MemberOf); id != "" && in[id] == nil {
			members, err := f.reader.GroupMembers(ctx, rule.MemberOf)
			if err != nil {
				return fmt.Errorf("listing the groups in group %s, which teams.rules names: %w", rule.MemberOf, err)
			}
			in[id] = map[string]bool{}
			for _, group := range members.Groups {
				in[id][group] = true
			}
		}
	}
	groups, err := f.reader.TeamGroups(ctx)
	if err != nil {
		return fmt.Errorf("listing the groups of teams, for teams.rules: %w", err)
	}
	byTeam := make(map[string]teamFacts, len(groups))
	labelled := false
	for _, g := range groups {
		byTeam[g.ID] = factsOf(g, in)
		labelled = labelled || len(g.Labels) > 0
	}
	if !labelled && slices.ContainsFunc(f.rules, func(r SelectionRule) bool { return r.Label != "" && !r.Mirror }) {
		return errNoLabels
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.byTeam, f.in = byTeam, in
	return nil
}

func factsOf(g teams.Group, in map[string]map[string]bool) teamFacts {
	out := teamFacts{group: g, in: map[string]bool{}}
	for id, groups := range in {
		out.in[id] = groups[g.ID]
	}
	return out
}

// need makes sure that something is known of teams, without asking for those again
// of which something is. A team whose group is not found is left without facts.
func (f *facts) need(ctx context.Context, teamIDs ...string) error {
	if len(f.rules) == 0 {
		return nil
	}
	f.mu.Lock()
	loaded := f.byTeam != nil
	f.mu.Unlock()
	if !loaded {
		if err := f.refresh(ctx); err != nil {
			return err
		}
	}
	for _, teamID := range teamIDs {
		f.mu.Lock()
		_, known := f.byTeam[teamID]
		in := f.in
		f.mu.Unlock()
		if known {
			continue
		}
		g, err := f.reader.Group(ctx, teamID)
		if kind := teams.KindOf(err); kind == teams.KindNotFound || kind == teams.KindGone {
			continue
		} else if err != nil {
			return fmt.Errorf("reading the group of team %s, for teams.rules: %w", teamID, err)
		}
		f.mu.Lock()
		f.byTeam[teamID] = factsOf(g, in)
		f.mu.Unlock()
	}
	return nil
}

// snapshot returns what is known now.
func (f *facts) snapshot() map[string]teamFacts {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.byTeam)
}

// errNoLabels says that labels are to keep teams out and nobody shows any: rather
// nothing is mirrored anew than what was to be kept out.
var errNoLabels = errors.New("a rule of teams.rules leaves out teams by their label, and Graph shows no label on any team's group")

// errNoFacts says that nothing is known of a team of which rules ask.
var errNoFacts = errors.New("nothing is known of the team's group")

// ruleFor returns the first rule that fits a team, counted from 1, and 0 where none
// does.
func ruleFor(rules []SelectionRule, t teams.Team, known map[string]teamFacts) (number int, mirror bool, err error) {
	if len(rules) == 0 {
		return 0, false, nil
	}
	facts, ok := known[t.ID]
	for i, rule := range rules {
		if rule.asksGroup() && !ok {
			return 0, false, errNoFacts
		}
		if rule.fits(t, facts) {
			return i + 1, rule.Mirror, nil
		}
	}
	return 0, false, nil
}

// asksGroup reports whether a rule asks what only the team's group tells.
func (r SelectionRule) asksGroup() bool {
	return r.Mail != "" || r.Label != "" || r.Visibility != "" || r.MemberOf != ""
}

func (r SelectionRule) fits(t teams.Team, f teamFacts) bool {
	if r.Name != "" && !matches(r.Name, t.ID, t.DisplayName) {
		return false
	}
	if r.Mail != "" && !matches(r.Mail, f.group.MailNickname, f.group.Mail) && !matches(r.Mail, "", f.group.MailNickname) {
		return false
	}
	if r.Visibility != "" && !strings.EqualFold(r.Visibility, f.group.Visibility) {
		return false
	}
	if r.MemberOf != "" && !f.in[strings.ToLower(r.MemberOf)] {
		return false
	}
	if r.Label == "" {
		return true
	}
	for _, label := range f.group.Labels {
		if matches(r.Label, label.ID, label.Name) {
			return true
		}
	}
	return false
}

// byRule is the verdict of rules about a team, if they have one. Of a team whose
// group can't be asked nothing is mirrored: it may be one that a rule leaves out.
func (s *selector) byRule(t teams.Team) (verdict, bool) {
	number, mirror, err := ruleFor(s.cfg.Rules, t, s.facts)
	if err != nil {
		return verdict{false, inEnglish(texts.ChosenNoGroup)}, true
	}
	if number == 0 {
		return verdict{}, false
	}
	return verdict{mirror, inEnglish(texts.ChosenRule, "n", strconv.Itoa(number))}, true
}

package bridge

import (
	"context"
	"errors"
	"fmt"

	"teamsbridge/bridge/check"
)

// asksGroups reports whether groups of the directory decide about anything.
func (c *Config) asksGroups() bool {
	return len(c.Mapping.MembersOf) > 0 || len(c.Teams.Rules) > 0
}

// checkGroups asks what rules and mapping.members_of ask, and says which of them fit
// nothing. It reports whether teams can be chosen.
func (c *Connector) checkGroups(ctx context.Context, v *tenantView, ask func(permission, what string, call func(context.Context) error) bool, area *check.Area) bool {
	const permission = "GroupMember.Read.All"
	if len(c.Config.Mapping.MembersOf) > 0 {
		m := &mapper{cfg: c.Config.Mapping}
		if ask(permission, "who is in the groups of mapping.members_of", func(ctx context.Context) error { return m.listAllowed(ctx, v.graph.reader) }) {
			v.allowed = *m.allowed.Load()
			if len(v.allowed) == 0 {
				area.Wrong("members-of", "nobody is in the groups of network.mapping.members_of, so nobody would be mapped", "check the groups' object ids")
			}
		}
	}
	rules := c.Config.Teams.Rules
	if len(rules) == 0 {
		return true
	}
	facts := newFacts(v.graph.reader, rules)
	ids := make([]string, len(v.teams))
	for i, t := range v.teams {
		ids[i] = t.ID
	}
	unlabelled := false
	known := ask(permission, "the groups of teams, for teams.rules", func(ctx context.Context) error {
		err := facts.need(ctx, ids...)
		if unlabelled = errors.Is(err, errNoLabels); unlabelled {
			return nil
		}
		return err
	})
	if unlabelled {
		area.Wrong("labels", "a rule of network.teams.rules leaves out teams by their sensitivity label, and Graph shows the application no label on any team's group, so nothing would be mirrored",
			"look in the Teams admin centre whether teams have labels; if they have, this tenant does not show them to applications: list the teams in network.teams.exclude instead")
		return false
	} else if !known {
		return false
	}
	v.facts = facts.snapshot()
	for i, rule := range rules {
		fit := 0
		for _, t := range v.teams {
			if known, ok := v.facts[t.ID]; (ok || !rule.asksGroup()) && rule.fits(t, known) {
				fit++
			}
		}
		if fit > 0 {
			area.Right("rule", "rule %d of network.teams.rules fits %d teams", i+1, fit)
		} else {
			area.Doubt("rule", fmt.Sprintf("rule %d of network.teams.rules fits no team of the tenant", i+1), "compare it with the team's page in the Teams admin centre; * stands for anything")
		}
	}
	return true
}

package bridge

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"teamsbridge/bridge/check"
	"teamsbridge/database"
	"teamsbridge/teams"
)

const (
	// examples is how many people or teams are named.
	examples = 5
	// relayTeams is in how many teams it is looked whether a relay account is a member.
	relayTeams = 100
)

// checkSelection says what would be mirrored, and which names of the selection
// match nothing.
func (c *Connector) checkSelection(v *tenantView, area *check.Area) {
	sel := c.Config.Teams
	named := slices.Concat(sel.Include, sel.Exclude, slices.Sorted(maps.Keys(sel.Channels)), slices.Sorted(maps.Keys(sel.ExcludeChannels)))
	told := map[string]bool{}
	for _, pattern := range named {
		if told[pattern] || slices.ContainsFunc(v.teams, func(t teams.Team) bool { return matches(pattern, t.ID, t.DisplayName) }) {
			continue
		}
		told[pattern] = true
		area.Doubt("no-match", fmt.Sprintf("network.teams names %q, which is no team of the tenant", pattern), "write the team's id or its name as Teams shows it; * stands for anything")
	}
	if len(v.chosen) == 0 {
		area.Wrong("nothing", fmt.Sprintf("none of the %d teams is selected, so nothing would be mirrored", len(v.teams)), "list teams in network.teams.include")
		return
	}
	area.Right("teams", "%d of %d teams are mirrored", len(v.chosen), len(v.teams))
}

// checkMapping says how many people have a Matrix account, and why others do not.
func (c *Connector) checkMapping(v *tenantView, area *check.Area) {
	m, err := newMapper(c.Config.Mapping, c.main.Config.Homeserver.Domain)
	if err != nil || v.users == nil {
		area.Skipped("people", "the directory could not be read")
		return
	}
	if len(c.Config.Mapping.MembersOf) > 0 && v.allowed == nil {
		area.Skipped("people", "who is in the groups of network.mapping.members_of could not be read")
		return
	}
	m.allowed.Store(&v.allowed)
	c.checkExceptions(m, v.users, area)
	rows, _ := newDirectory(nil, m, nil).decide(sortedUsers(v.users))
	mapped, why := 0, map[string][]string{}
	doubled := 0
	for _, row := range rows {
		if row.Status == database.StaffMapped {
			mapped++
			continue
		}
		reason := row.Reason
		if _, owner, taken := strings.Cut(reason, " belongs to "); taken && owner != "" {
			reason = "their account belongs to somebody else already"
			doubled++
		}
		why[reason] = append(why[reason], row.UPN)
	}
	for _, reason := range slices.Sorted(maps.Keys(why)) {
		people := why[reason]
		area.Right("unmapped", "%d are not mapped: %s (%s)", len(people), reason, some(people))
	}
	switch {
	case mapped == 0 && len(rows) > 0:
		area.Wrong("nobody", fmt.Sprintf("none of the %d people has a Matrix account", len(rows)), "look at network.mapping: attribute, template, domain")
		return
	case doubled > 0:
		area.Doubt("same-account", fmt.Sprintf("%d people would have another's Matrix account and get none", doubled), "let network.mapping.template tell them apart, with {{.Domain}} for example, or list them in mapping.overrides")
	}
	area.Right("people", "%d of %d people have a Matrix account, on %s", mapped, len(rows), m.domain)
	if _, speaks := c.puppetServers()[m.domain]; !speaks && m.domain != c.main.Config.Homeserver.Domain {
		area.Doubt("foreign", fmt.Sprintf("staff have accounts on %s, for which the bridge can't speak", m.domain), "set double_puppet for that server as well, or let people accept invitations")
	}
}

// checkExceptions says whom exceptions name that the directory does not have.
func (c *Connector) checkExceptions(m *mapper, users []teams.User, area *check.Area) {
	there := make(map[string]bool, 3*len(users))
	for _, u := range users {
		for _, key := range []string{u.UPN, u.Mail, u.ID} {
			there[strings.ToLower(key)] = true
		}
	}
	named := slices.Collect(maps.Keys(m.overrides))
	if file := m.file.Load(); file != nil {
		named = slices.AppendSeq(named, maps.Keys(file.byPerson))
	}
	unknown := slices.DeleteFunc(named, func(person string) bool { return there[person] })
	if len(unknown) > 0 {
		slices.Sort(unknown)
		area.Doubt("exceptions", fmt.Sprintf("%d people of network.mapping.overrides and overrides_file are not in the directory: %s", len(unknown), some(unknown)), "write their UPN, mail or object id as the directory has it, or remove them")
	}
}

func sortedUsers(users []teams.User) []teams.User {
	users = slices.Clone(users)
	slices.SortFunc(users, func(a, b teams.User) int { return strings.Compare(a.ID, b.ID) })
	return users
}

// some names the first of many.
func some(all []string) string {
	if len(all) <= examples {
		return strings.Join(all, ", ")
	}
	return strings.Join(all[:examples], ", ") + " …"
}

// checkRelay says whether those who do not sign in can be heard in Teams.
func (c *Connector) checkRelay(ctx context.Context, db *database.Database, v *tenantView, area *check.Area) {
	const add = "sign one in with `relay login` in the bot's room, and add it to the teams"
	if db == nil {
		area.Doubt("none", "there is no relay account yet, so only who signs in can write to Teams", add)
		return
	}
	accounts, err := db.Accounts.All(ctx, database.AccountRelay)
	if err != nil {
		area.Wrong("accounts", fmt.Sprintf("the accounts can't be read: %v", err), "check the database")
		return
	}
	usable := map[string]bool{}
	for _, a := range accounts {
		if a.State == database.AccountOK {
			usable[a.UserID] = true
			continue
		}
		area.Doubt("signed-out", fmt.Sprintf("the relay account %s is signed out: %s", a.UPN, a.Reason), "sign it in again with `relay login`")
	}
	if len(usable) == 0 {
		area.Doubt("none", "there is no relay account that is signed in, so only who signs in can write to Teams", add)
		return
	}
	area.Right("accounts", "%d relay accounts are signed in, which write %d messages a second at most", len(usable), len(usable))
	var missing []string
	looked := 0
	for _, t := range v.chosen[:min(len(v.chosen), relayTeams)] {
		members := v.members[t.ID]
		if members == nil {
			if members, err = v.graph.reader.TeamMembers(ctx, t.ID); err != nil {
				continue
			}
		}
		looked++
		if !slices.ContainsFunc(members, func(m teams.Member) bool { return usable[m.UserID] }) {
			missing = append(missing, t.DisplayName)
		}
	}
	if len(missing) > 0 {
		area.Doubt("no-member", fmt.Sprintf("no relay account is a member of %d teams: %s", len(missing), some(missing)), "add a relay account to them, else what is written there in Matrix does not get to Teams")
		return
	}
	if looked > 0 {
		area.Right("members", "a relay account is a member of each of the %d teams that were looked at", looked)
	}
}
